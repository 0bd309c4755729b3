/* The kernels of normalised.h against their meaning in float64, by every instruction set: of floats and pairs, with and without
 * the weights' gradient, and every array between guards.
 *
 * The list makes the cases: a kernel without a function of its name here does not compile. */
#include "kernels/normalised.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/sizes.h"
#include "variants.h"

enum { MOST_TAPS = 18, MOST_CHANNELS = 40, MOST_COUNT = 11 };

static const float SLOPES[] = {1, 0, 0.2f};

/* A row, its arrays, and what normalises it and blends its gradient: center, scale, shift, a, b, c. */
typedef struct problem {
    gm_normalised_row row;
    int64_t offset[MOST_TAPS];
    check_buffer floats, x, signal, w, vector[6];
    float gate_slope;
    char name[100];
} problem;

enum { CENTER, SCALE, SHIFT, A, B, C };

static int64_t values_of(const gm_normalised_row *row) { return (row->count - 1) * row->x_step + row->channels; }

static problem make_problem(gm_random *random) {
    const gm_kernels *plain = gm_kernels_of(GM_ISA_PORTABLE);
    problem p = {.gate_slope = SLOPES[check_between(random, 0, 2)]};
    gm_normalised_row *row = &p.row;
    row->in_pairs = check_between(random, 0, 1), row->rounded = row->in_pairs || check_between(random, 0, 1);
    row->count = check_between(random, 1, MOST_COUNT);
    row->channels = check_between(random, 1, MOST_CHANNELS) * (row->in_pairs ? 2 : 1);
    row->x_step = row->channels * check_between(random, 1, 3);
    row->taps = check_between(random, 0, MOST_TAPS), row->signal_step = check_between(random, 1, 4);
    row->slope = SLOPES[check_between(random, 0, 2)];
    row->ahead = row->x_step * row->count;
    for (int64_t t = 0; t < row->taps; t++) p.offset[t] = check_between(random, 0, 30);
    p.floats = check_normal(round_up(values_of(row), 2), random);
    if (row->in_pairs) plain->bf16_round(p.floats.count, p.floats.values, p.floats.values);
    p.x = row->in_pairs ? check_floats(p.floats.count / 2) : check_copy(&p.floats);
    if (row->in_pairs) plain->bf16_pair_neighbours(GM_BF16_ROUNDED, p.floats.count, p.floats.values, p.x.values);
    p.signal = check_normal((row->count - 1) * row->signal_step + 31, random);
    p.w = check_normal(row->taps * row->channels, random);
    for (int i = 0; i < 6; i++) p.vector[i] = check_normal(row->channels, random);
    return p;
}

/* The pointers of the row, which is not to be moved any more. */
static void link(problem *p) {
    gm_normalised_row *row = &p->row;
    row->x = p->x.values, row->signal = p->signal.values, row->w = p->w.values, row->offset = p->offset;
    row->center = p->vector[CENTER].values, row->scale = p->vector[SCALE].values, row->shift = p->vector[SHIFT].values;
}

static void free_problem(problem *p) {
    check_free(&p->floats), check_free(&p->x), check_free(&p->signal), check_free(&p->w);
    for (int i = 0; i < 6; i++) check_free(&p->vector[i]);
}

static double at(const problem *p, int vector, int64_t c) { return (double)p->vector[vector].values[c]; }
static double distance(const problem *p, int64_t i, int64_t c) {
    return (double)p->floats.values[i * p->row.x_step + c] - at(p, CENTER, c);
}
static double signal_of(const problem *p, int64_t i, int64_t t) {
    return (double)p->signal.values[i * p->row.signal_step + p->offset[t]];
}

/* As the kernels make it, with a float's roundings: which side of zero it is on decides. */
static float made(const problem *p, int64_t i, int64_t c) {
    float far = (float)distance(p, i, c);
    float value = (float)((double)far * at(p, SCALE, c) + at(p, SHIFT, c));
    return value < 0 ? value * p->row.slope : value;
}

static double gradient(const problem *p, int64_t i, int64_t c) {
    double sum = 0;
    for (int64_t t = 0; t < p->row.taps; t++) sum += signal_of(p, i, t) * (double)p->w.values[t * p->row.channels + c];
    return made(p, i, c) > 0 ? sum : sum * (double)p->row.slope;
}

/* Where it is so near zero that a fused product and two roundings may differ in its sign. */
static bool is_close(const problem *p, int64_t c) {
    for (int64_t i = 0; i < p->row.count; i++)
        if (fabs(distance(p, i, c) * at(p, SCALE, c) + at(p, SHIFT, c)) < 1e-5) return true;
    return false;
}

static double rounded(const problem *p, float value) {
    if (p->row.rounded) gm_kernels_of(GM_ISA_PORTABLE)->bf16_round(1, &value, &value);
    return (double)value;
}

static void compare_weights(const problem *p, const float *dw) {
    for (int64_t t = 0; t < p->row.taps; t++)
        for (int64_t c = 0; c < p->row.channels; c++) {
            double sum = 0, bound = 1e-5;
            for (int64_t i = 0; i < p->row.count; i++) {
                double y = rounded(p, made(p, i, c));
                sum += signal_of(p, i, t) * y;
                bound += (p->row.rounded ? 0x1p-7 : 2e-6) * fabs(signal_of(p, i, t) * y);
            }
            check_near((double)dw[t * p->row.channels + c], sum, bound, p->name, t);
        }
}

static void normalised_sums(const gm_kernels *k, problem *p) {
    enum { BEFORE = 3 }; /* in the sums already */
    const int64_t channels = p->row.channels;
    double first[2 * MOST_CHANNELS], second[2 * MOST_CHANNELS];
    for (int with_weights = 0; with_weights < 2; with_weights++) {
        check_buffer dw = check_floats(p->row.taps * channels);
        for (int64_t c = 0; c < channels; c++) first[c] = second[c] = BEFORE;
        k->normalised_sums(&p->row, first, second, with_weights ? dw.values : NULL);
        if (with_weights) compare_weights(p, dw.values);
        for (int64_t c = 0; c < channels; c++) {
            double sum = BEFORE, products = BEFORE;
            for (int64_t i = 0; i < p->row.count; i++) {
                sum += gradient(p, i, c);
                products += gradient(p, i, c) * distance(p, i, c);
            }
            if (is_close(p, c)) continue;
            check_near(first[c], sum, 1e-4, p->name, c);
            check_near(second[c], products, 1e-4, p->name, c);
        }
        check_free(&dw);
    }
}

static void compare_blend(const problem *p, const float *dx) {
    float values[MOST_COUNT * 6 * MOST_CHANNELS + 1];
    const int64_t n = round_up(values_of(&p->row), 2);
    if (p->row.in_pairs)
        gm_kernels_of(GM_ISA_PORTABLE)->bf16_floats(n, dx, values);
    else
        memcpy(values, dx, (size_t)n * sizeof *dx);
    for (int64_t j = 0; j < values_of(&p->row); j++) {
        int64_t i = j / p->row.x_step, c = j % p->row.x_step;
        if (c >= p->row.channels) { /* between the places: as it was */
            CHECK(values[j] == p->floats.values[j], "%s: wrote between places", p->name);
            continue;
        }
        double x = (double)p->floats.values[j];
        double wanted = at(p, A, c) * gradient(p, i, c) + at(p, B, c) * distance(p, i, c) + at(p, C, c);
        if (x <= 0) wanted *= (double)p->gate_slope;
        double bound = (p->row.in_pairs ? 0x1p-8 * fabs(wanted) : 0) + 1e-4;
        if (!is_close(p, c)) check_near((double)values[j], wanted, bound, p->name, j);
    }
}

/* In place of x: what else lies there stays. */
static void normalised_blend(const gm_kernels *k, problem *p) {
    check_buffer dx = check_copy(&p->x);
    p->row.x = dx.values;
    k->normalised_blend(&p->row, p->vector[A].values, p->vector[B].values, p->vector[C].values, p->gate_slope,
                        dx.values);
    p->row.x = p->x.values;
    compare_blend(p, dx.values);
    check_free(&dx);
}

TEST(every_kernel) {
    gm_random random = {.seed = 3, .stream = 3};
    for (int i = 0; i < 300; i++) {
        problem p = make_problem(&random);
        link(&p);
        snprintf(p.name, sizeof p.name, "%d places of %d channels, %d taps%s", (int)p.row.count, (int)p.row.channels,
                 (int)p.row.taps, p.row.in_pairs ? ", pairs" : "");
        EACH_VARIANT(k) {
#define RUN(type, name, parameters) name(k, &p);
            GM_NORMALISED_KERNELS(RUN)
#undef RUN
        }
        free_problem(&p);
    }
}

MAIN(CASE(every_kernel))
