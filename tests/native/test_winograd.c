/* The transforms of winograd.h against their definitions, in every set of kernels and with every buffer between guards.
 *
 * The list makes the cases: a kernel without a function of its name here does not compile. */
#include "kernels/winograd.h"

#include <stddef.h>

#include "variants.h"

static const int64_t WIDTHS[] = {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100};

enum { STEP_MORE = 5 }; /* floats between the nine of a side that belong to none */

/* Along one axis: 3 -> 3, 2 -> 3, 3 -> 2. */
static double differenced(const double d[3], int i) { return i == 1 ? d[1] : d[i] - d[1]; }
static double expanded(const double g[3], int i) { return i == 0 ? g[0] : i == 1 ? g[0] + g[1] : g[1]; }
static double folded(const double m[3], int i) { return m[i] + m[i + 1]; }

/* Out (i, j) of a square of `side` x `side` values, both axes the same way. */
static double square(double (*along)(const double *, int), int side, const double *values, int i, int j) {
    double column[3] = {0};
    for (int c = 0; c < side; c++) {
        double rows[3] = {0};
        for (int r = 0; r < side; r++) rows[r] = values[r * side + c];
        column[c] = along(rows, i);
    }
    return along(column, j);
}

typedef struct arrays {
    check_buffer in[9], out[9];
    const float *from[9];
    float *to[9];
} arrays;

static arrays make_arrays(int64_t n) {
    gm_random random = {.seed = (uint64_t)n, .stream = 9};
    arrays a;
    for (int k = 0; k < 9; k++) {
        a.in[k] = check_normal(n, &random), a.out[k] = check_floats(n);
        a.from[k] = a.in[k].values, a.to[k] = a.out[k].values;
    }
    return a;
}

static void free_arrays(arrays *a) {
    for (int k = 0; k < 9; k++) check_guards(&a->out[k], "out"), check_free(&a->in[k]), check_free(&a->out[k]);
}

static void values_at(const arrays *a, int64_t i, double values[9]) {
    for (int k = 0; k < 9; k++) values[k] = (double)a->in[k].values[i];
}

/* Nine arrays of n values, `step` apart, in one buffer that ends with the last. */
static void compare_side(const check_buffer *side, int64_t n, int64_t step, const arrays *a, int from,
                         double (*along)(const double *, int), const char *name) {
    for (int64_t i = 0; i < n; i++) {
        double values[9];
        values_at(a, i, values);
        for (int k = 0; k < 9; k++)
            check_near((double)side->values[k * step + i], square(along, from, values, k / 3, k % 3), 1e-5, name, i);
    }
    check_guards(side, name);
}

static void winograd_difference(const gm_kernels *k, int64_t n) {
    int64_t step = n + STEP_MORE;
    arrays a = make_arrays(n);
    check_buffer side = check_floats(8 * step + n);
    k->winograd_difference(n, a.from, side.values, step);
    compare_side(&side, n, step, &a, 3, differenced, "difference");
    check_free(&side), free_arrays(&a);
}

static void winograd_expand(const gm_kernels *k, int64_t n) {
    int64_t step = n + STEP_MORE;
    arrays a = make_arrays(n);
    check_buffer side = check_floats(8 * step + n);
    k->winograd_expand(n, a.from, side.values, step);
    compare_side(&side, n, step, &a, 2, expanded, "expand");
    check_free(&side), free_arrays(&a);
}

static void winograd_fold(const gm_kernels *k, int64_t n) {
    int64_t step = n + STEP_MORE;
    for (int add = 0; add < 2; add++) {
        arrays a = make_arrays(n);
        check_buffer side = check_floats(8 * step + n);
        for (int64_t i = 0; i < 9 * n; i++) side.values[i / n * step + i % n] = a.in[i / n].values[i % n];
        for (int64_t i = 0; i < 4 * n; i++) a.to[i / n][i % n] = 0.5f;
        k->winograd_fold(n, side.values, step, add, a.to);
        for (int64_t i = 0; i < n; i++) {
            double values[9];
            values_at(&a, i, values);
            for (int t = 0; t < 4; t++)
                check_near((double)a.to[t][i], square(folded, 3, values, t / 2, t % 2) + 0.5 * add, 1e-5, "fold", i);
        }
        check_guards(&side, "side");
        check_free(&side), free_arrays(&a);
    }
}

static void each_width(void (*run)(const gm_kernels *k, int64_t n)) {
    for (int i = 0; i < (int)(sizeof WIDTHS / sizeof *WIDTHS); i++) EACH_VARIANT(k) run(k, WIDTHS[i]);
}

TEST(every_winograd_kernel) {
#define RUN(type, name, parameters) each_width(name);
    GM_WINOGRAD_KERNELS(RUN)
#undef RUN
}

/* Differenced times expanded, folded, is the convolution itself; and, turned round, its weight gradient. */
TEST(nine_products_are_a_convolution) {
    gm_random random = {.seed = 3, .stream = 9};
    check_buffer d = check_normal(9, &random), g = check_normal(4, &random);
    double window[9], taps[4], products[9];
    for (int k = 0; k < 9; k++) window[k] = (double)d.values[k];
    for (int k = 0; k < 4; k++) taps[k] = (double)g.values[k];
    for (int k = 0; k < 9; k++)
        products[k] = square(differenced, 3, window, k / 3, k % 3) * square(expanded, 2, taps, k / 3, k % 3);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            double wanted = 0;
            for (int t = 0; t < 4; t++) wanted += window[3 * (i + t / 2) + j + t % 2] * taps[t];
            check_near(square(folded, 3, products, i, j), wanted, 1e-12, "output", 2 * i + j);
        }
    check_free(&d), check_free(&g);
}

MAIN(CASE(every_winograd_kernel), CASE(nine_products_are_a_convolution))
