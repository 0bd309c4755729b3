/* Kernels that work on rows on their own: layer normalisation. Against float64 and with every buffer between guards.
 *
 * The lists make the cases: a kernel without a function of its name here does not compile. */
#include <math.h>
#include <stddef.h>

#include "variants.h"

static const int64_t WIDTHS[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 66, 300};

static void each_width(void (*run)(const gm_kernels *k, int64_t C)) {
    for (int i = 0; i < (int)(sizeof WIDTHS / sizeof *WIDTHS); i++) EACH_VARIANT(k) run(k, WIDTHS[i]);
}

/* ---- layer normalisation ---- */

enum { ROWS = 5 };
static const double EPSILON = 1e-3;

typedef struct rows_case {
    int64_t C;
    check_buffer x, dy, dx, y, statistics, gamma, beta;
} rows_case;

/* Row r has a mean of 10 r. */
static rows_case make_rows(int64_t C) {
    gm_random random = {.seed = (uint64_t)C, .stream = 2};
    rows_case t = {.C = C, .x = check_normal(ROWS * C, &random), .dy = check_normal(ROWS * C, &random)};
    for (int64_t i = 0; i < ROWS * C; i++) t.x.values[i] += 10 * (float)(i / C);
    t.dx = check_floats(ROWS * C), t.y = check_floats(ROWS * C);
    t.statistics = check_bytes(ROWS * 2 * (int64_t)sizeof(double));
    t.gamma = check_normal(C, &random), t.beta = check_normal(C, &random);
    return t;
}

static void free_rows(rows_case *t) {
    check_buffer *all[] = {&t->x, &t->dy, &t->dx, &t->y, &t->statistics, &t->gamma, &t->beta};
    for (int i = 0; i < 7; i++) check_free(all[i]);
}

static double *statistics_of(const rows_case *t) { return (double *)(void *)t->statistics.values; }

/* Sum over row r of a value made of x^ and d = dy * gamma. */
static double normal_at(const rows_case *t, int64_t i) {
    const double *of_row = statistics_of(t) + i / t->C * 2;
    return ((double)t->x.values[i] - of_row[0]) * of_row[1];
}

static double d_at(const rows_case *t, int64_t i) {
    return (double)t->dy.values[i] * (double)t->gamma.values[i % t->C];
}

static void measure(const rows_case *t) {
    for (int64_t r = 0; r < ROWS; r++) {
        double mean = 0, variance = 0;
        for (int64_t i = r * t->C; i < (r + 1) * t->C; i++) mean += (double)t->x.values[i] / (double)t->C;
        for (int64_t i = r * t->C; i < (r + 1) * t->C; i++)
            variance += pow((double)t->x.values[i] - mean, 2) / (double)t->C;
        statistics_of(t)[2 * r] = mean, statistics_of(t)[2 * r + 1] = 1 / sqrt(variance + EPSILON);
    }
}

static void normalise_rows(const gm_kernels *k, int64_t C) {
    rows_case t = make_rows(C), wanted = make_rows(C);
    measure(&wanted);
    k->normalise_rows(ROWS, C, EPSILON, t.x.values, t.gamma.values, t.beta.values, statistics_of(&t), t.y.values);
    for (int64_t i = 0; i < ROWS * 2; i++) {
        double value = statistics_of(&wanted)[i];
        check_near(statistics_of(&t)[i], value, 1e-8 * (1 + fabs(value)), "statistics", i);
    }
    for (int64_t i = 0; i < ROWS * C; i++) {
        double value = normal_at(&wanted, i) * (double)t.gamma.values[i % C] + (double)t.beta.values[i % C];
        check_near((double)t.y.values[i], value, 2e-6 * (1 + fabs(value)), "normalise_rows", i);
    }
    free_rows(&t), free_rows(&wanted);
}

static void normalise_rows_backward(const gm_kernels *k, int64_t C) {
    rows_case t = make_rows(C), wanted = make_rows(C), without = make_rows(C);
    measure(&t), measure(&wanted);
    k->normalise_rows_backward(ROWS, C, statistics_of(&t), t.gamma.values, t.x.values, t.dy.values, t.dx.values);
    k->normalise_rows_backward(ROWS, C, statistics_of(&t), t.gamma.values, t.x.values, without.dy.values, NULL);
    for (int64_t i = 0; i < ROWS * C; i++) {
        double mean = 0, product = 0, normal = normal_at(&wanted, i);
        for (int64_t j = i / C * C; j < (i / C + 1) * C; j++) {
            mean += d_at(&wanted, j) / (double)C;
            product += d_at(&wanted, j) * normal_at(&wanted, j) / (double)C;
        }
        double inverse = statistics_of(&wanted)[i / C * 2 + 1];
        double dx = inverse * (d_at(&wanted, i) - mean - normal * product);
        check_near((double)t.dx.values[i], dx, 4e-6 * inverse * (1 + fabs(d_at(&wanted, i))), "dx", i);
        double share = (double)wanted.dy.values[i] * normal;
        check_near((double)t.dy.values[i], share, 2e-6 * (1 + fabs(share)), "dy * x^", i);
        check_near((double)without.dy.values[i], (double)t.dy.values[i], 0, "dy * x^ without dx", i);
    }
    free_rows(&t), free_rows(&wanted), free_rows(&without);
}

TEST(every_layernorm_kernel) {
#define RUN(type, name, parameters) each_width(name);
    GM_LAYERNORM_KERNELS(RUN)
#undef RUN
}

/* A NaN makes its own row NaN and no other. */
static void one_row_with_a_nan(const gm_kernels *k, int64_t C) {
    rows_case t = make_rows(C);
    t.x.values[2 * C + C / 2] = NAN;
    k->normalise_rows(ROWS, C, EPSILON, t.x.values, t.gamma.values, t.beta.values, statistics_of(&t), t.y.values);
    for (int64_t i = 0; i < ROWS * C; i++)
        CHECK(isnan(t.y.values[i]) == (i / C == 2), "y[%d] is %g", (int)i, (double)t.y.values[i]);
    free_rows(&t);
}

TEST(nonfinite_values_stay_in_their_row) { each_width(one_row_with_a_nan); }

MAIN(CASE(every_layernorm_kernel), CASE(nonfinite_values_stay_in_their_row))
