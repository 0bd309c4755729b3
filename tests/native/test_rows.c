/* Kernels that work on rows on their own: layer normalisation and the LSTM cell. Against float64 and with every buffer between guards.
 *
 * The lists make the cases: a kernel without a function of its name here does not compile. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "layers/layer.h"
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

/* ---- the LSTM cell ---- */

/* Arrays (ROWS, U), and (ROWS, 4U) for the gates, of a step that is the first one or not, the last one or not. */
typedef struct cell_case {
    int64_t U;
    check_buffer before, recurrent, gates, c, h, dy, dh, dc, dz;
    gm_lstm_step step;
} cell_case;

static cell_case make_cell(int64_t U, bool first, bool last) {
    gm_random random = {.seed = (uint64_t)U, .stream = 3};
    int64_t count = ROWS * U;
    cell_case t = {.U = U, .before = check_normal(count, &random), .recurrent = check_normal(4 * count, &random)};
    t.gates = check_normal(4 * count, &random), t.c = check_normal(count, &random), t.h = check_floats(count);
    t.dy = check_normal(count, &random), t.dh = check_normal(count, &random), t.dc = check_normal(count, &random);
    t.dz = check_floats(4 * count);
    t.step = (gm_lstm_step){.before = first ? NULL : t.before.values,
                            .recurrent = first ? NULL : t.recurrent.values,
                            .gates = t.gates.values,
                            .c = t.c.values,
                            .h = t.h.values,
                            .dy = last ? NULL : t.dy.values,
                            .dh = t.dh.values,
                            .dc = t.dc.values,
                            .dz = t.dz.values};
    return t;
}

static void free_cell(cell_case *t) {
    check_buffer *all[] = {&t->before, &t->recurrent, &t->gates, &t->c, &t->h, &t->dy, &t->dh, &t->dc, &t->dz};
    for (int i = 0; i < 9; i++) check_free(all[i]);
}

static void near(float got, double wanted, const char *name, int64_t i) {
    check_near((double)got, wanted, 2e-6 * (1 + fabs(wanted)), name, i);
}

static double value(const float *array, int64_t i) { return array ? (double)array[i] : 0; }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* The sizes of a cell, and the place of unit i's gates. */
static int64_t gate_of(int64_t U, int64_t i) { return i / U * 4 * U + i % U; }

static void forward_of_a_step(const gm_kernels *k, int64_t U, bool first) {
    cell_case t = make_cell(U, first, false), given = make_cell(U, first, false);
    k->lstm_cell(&t.step, 0, 2, U);
    k->lstm_cell(&t.step, 2, ROWS, U);
    for (int64_t i = 0; i < ROWS * U; i++) {
        double gate[4];
        for (int64_t j = 0; j < 4; j++) {
            int64_t at = gate_of(U, i) + j * U;
            double z = value(given.gates.values, at) + value(given.step.recurrent, at);
            gate[j] = j == 2 ? tanh(z) : sigmoid(z);
            near(t.gates.values[at], gate[j], "gate", at);
        }
        double c = gate[1] * value(given.step.before, i) + gate[0] * gate[2];
        near(t.c.values[i], c, "c", i);
        near(t.h.values[i], gate[3] * tanh(c), "h", i);
    }
    free_cell(&t), free_cell(&given);
}

static void lstm_cell(const gm_kernels *k, int64_t U) {
    forward_of_a_step(k, U, true);
    forward_of_a_step(k, U, false);
}

static void backward_of_a_step(const gm_kernels *k, int64_t U, bool first, bool last) {
    cell_case t = make_cell(U, first, last), given = make_cell(U, first, last);
    k->lstm_cell_backward(&t.step, 0, 3, U);
    k->lstm_cell_backward(&t.step, 3, ROWS, U);
    for (int64_t i = 0; i < ROWS * U; i++) {
        const float *gates = given.gates.values + gate_of(U, i);
        double in = value(gates, 0), f = value(gates, U), g = value(gates, 2 * U), o = value(gates, 3 * U);
        double tanh_c = tanh(value(given.c.values, i)), dh = value(given.dh.values, i) + value(given.step.dy, i);
        double dc = value(given.dc.values, i) + dh * o * (1 - tanh_c * tanh_c);
        float *dz = t.dz.values + gate_of(U, i);
        near(dz[0], dc * g * in * (1 - in), "dz of i", i);
        near(dz[U], dc * value(given.step.before, i) * f * (1 - f), "dz of f", i);
        near(dz[2 * U], dc * in * (1 - g * g), "dz of g", i);
        near(dz[3 * U], dh * tanh_c * o * (1 - o), "dz of o", i);
        near(t.dc.values[i], dc * f, "dc", i);
    }
    free_cell(&t), free_cell(&given);
}

static void lstm_cell_backward(const gm_kernels *k, int64_t U) {
    for (int ends = 0; ends < 4; ends++) backward_of_a_step(k, U, ends % 2, ends / 2);
}

TEST(every_recurrent_kernel) {
#define RUN(type, name, parameters) each_width(name);
    GM_RECURRENT_KERNELS(RUN)
#undef RUN
}

/* A NaN in one gate or state of a unit reaches its output, and no other. */
static void one_unit_with_a_nan(const gm_kernels *k, int64_t U) {
    for (int64_t j = 0; j < 5; j++) {
        cell_case t = make_cell(U, false, false);
        int64_t bad = 2 * U + U / 2;
        *(j < 4 ? t.gates.values + gate_of(U, bad) + j * U : t.before.values + bad) = NAN;
        k->lstm_cell(&t.step, 0, ROWS, U);
        for (int64_t i = 0; i < ROWS * U; i++)
            CHECK(isnan(t.h.values[i]) == (i == bad), "h[%d] is %g", (int)i, (double)t.h.values[i]);
        free_cell(&t);
    }
}

TEST(nonfinite_values_stay_in_their_unit) { each_width(one_unit_with_a_nan); }

/* ---- the layers, in memory of exactly the sizes they ask for ---- */

enum { PARAMETERS = 3, SAMPLES = 5 };

static const gm_layer_config LAYERS[] = {
    {.kind = "LayerNorm", .epsilon = 1e-5f},
    {.kind = "LSTM", .units = 7},
    {.kind = "LSTM", .units = 19, .return_sequences = true},
};

/* Even, so that doubles in it are aligned. */
static check_buffer room(int64_t count) { return check_floats((count + 1) / 2 * 2); }

/* The input gradient and the parameters' gradients of one training pass over (4, 9). */
typedef struct results {
    check_buffer dx, gradient[PARAMETERS];
} results;

static void free_results(results *r) {
    check_free(&r->dx);
    for (int i = 0; i < PARAMETERS; i++) check_free(&r->gradient[i]);
}

/* Gradients start at 1. */
static results pass_through(const gm_layer_config *config, bool frozen) {
    gm_random random = {.seed = 1, .stream = 5};
    gm_shape input = {2, {4, 9}};
    gm_error error = {0};
    gm_layer layer;
    CHECK(gm_layer_create(config, 0, &input, &layer, &error) == GM_OK, "%s", error.message);
    results r = {.dx = check_floats(SAMPLES * layer.in_size)};
    check_buffer value[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) {
        int64_t count = i < layer.parameter_count ? layer.parameter[i].count : 1;
        value[i] = check_normal(count, &random), r.gradient[i] = check_floats(count);
        for (int64_t k = 0; k < count; k++) r.gradient[i].values[k] = 1;
        layer.parameter[i].value = value[i].values, layer.parameter[i].gradient = r.gradient[i].values;
    }
    check_buffer x = check_normal(SAMPLES * layer.in_size, &random), y = check_floats(SAMPLES * layer.out_size);
    check_buffer dy = check_normal(SAMPLES * layer.out_size, &random);
    check_buffer saved = room(layer.ops->saved(&layer, SAMPLES)), work = room(layer.ops->workspace(&layer, SAMPLES));
    gm_pass pass = {.N = SAMPLES, .training = true, .x = x.values, .y = y.values, .dy = dy.values};
    pass.dx = r.dx.values, pass.saved = saved.values, pass.workspace = work.values, pass.frozen = frozen;
    layer.ops->forward(&layer, &pass);
    layer.ops->backward(&layer, &pass);
    check_buffer *all[] = {&x, &y, &dy, &saved, &work, &value[0], &value[1], &value[2]};
    for (int i = 0; i < 8; i++) check_free(all[i]);
    return r;
}

TEST(frozen_passes_leave_gradients_alone) {
    for (int i = 0; i < (int)(sizeof LAYERS / sizeof *LAYERS); i++) {
        results plain = pass_through(&LAYERS[i], false), frozen = pass_through(&LAYERS[i], true);
        CHECK(memcmp(plain.dx.values, frozen.dx.values, (size_t)plain.dx.count * sizeof(float)) == 0,
              "%s: another input gradient", LAYERS[i].kind);
        CHECK(plain.gradient[0].values[0] != 1, "%s: no gradient was added", LAYERS[i].kind);
        for (int k = 0; k < PARAMETERS; k++)
            for (int64_t j = 0; j < frozen.gradient[k].count; j++)
                CHECK(frozen.gradient[k].values[j] == 1, "%s: a gradient has moved", LAYERS[i].kind);
        free_results(&plain), free_results(&frozen);
    }
}

MAIN(CASE(every_layernorm_kernel), CASE(nonfinite_values_stay_in_their_row), CASE(every_recurrent_kernel),
     CASE(nonfinite_values_stay_in_their_unit), CASE(frozen_passes_leave_gradients_alone))
