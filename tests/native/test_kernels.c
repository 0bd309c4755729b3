/* Every elementwise kernel of every instruction set against a plain float64 meaning and against the portable kernel.
 *
 * The list GM_ELEMENTWISE_KERNELS makes the cases: a kernel without a TRY here does not compile. Every array ends at
 * an unreadable page, starts behind guard bytes and is compared whole, so what a kernel must not touch is seen too. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "variants.h"

/* ---- the arguments of any of them ---- */

enum { ARRAYS = 4, ROWS = 5, SUMS = 2 };
typedef struct arguments {
    int64_t n, W; /* elements, in rows of W */
    gm_activation act;
    check_buffer x[ARRAYS]; /* (n): two of normal numbers, one in (-1, 1), one in (0, 1) */
    check_buffer w[ROWS];   /* (W) */
    check_buffer sum[SUMS]; /* (W) doubles */
    check_buffer bytes;     /* (n) */
    double result;
} arguments;

static double *doubles(const arguments *a, int i) { return (double *)(void *)a->sum[i].values; }
static uint8_t *bytes(const arguments *a) { return (uint8_t *)(void *)a->bytes.values; }

static arguments make_arguments(int64_t n, int64_t W, gm_activation act) {
    gm_random random = {.seed = (uint64_t)n, .stream = (uint64_t)W};
    arguments a = {.n = n, .W = W, .act = act, .bytes = check_bytes(n)};
    for (int i = 0; i < ARRAYS; i++) a.x[i] = check_normal(n, &random);
    for (int64_t i = 0; i < n; i++) {
        a.x[2].values[i] = tanhf(a.x[2].values[i]);
        a.x[3].values[i] = 0.01f + 0.98f * fabsf(tanhf(a.x[3].values[i]));
        bytes(&a)[i] = (uint8_t)check_between(&random, 0, 255);
    }
    for (int i = 0; i < ROWS; i++) a.w[i] = check_normal(W, &random);
    for (int i = 0; i < SUMS; i++) {
        a.sum[i] = check_bytes(W * (int64_t)sizeof(double));
        for (int64_t w = 0; w < W; w++) doubles(&a, i)[w] = -1e9;
    }
    return a;
}

static void free_arguments(arguments *a) {
    for (int i = 0; i < ARRAYS; i++) check_free(&a->x[i]);
    for (int i = 0; i < ROWS; i++) check_free(&a->w[i]);
    for (int i = 0; i < SUMS; i++) check_free(&a->sum[i]);
    check_free(&a->bytes);
}

/* Elements within a few roundings of values of size 4; sums within as many for each of their terms. */
static void compare(const char *name, const arguments *got, const arguments *wanted, double terms) {
    for (int i = 0; i < ARRAYS; i++)
        for (int64_t j = 0; j < got->n; j++) {
            double value = (double)wanted->x[i].values[j];
            check_near((double)got->x[i].values[j], value, 1e-5 * fmax(1, fabs(value)), name, j);
        }
    for (int i = 0; i < ROWS; i++)
        CHECK(memcmp(got->w[i].values, wanted->w[i].values, (size_t)got->W * 4) == 0, "%s wrote to an input", name);
    for (int i = 0; i < SUMS; i++)
        for (int64_t j = 0; j < got->W; j++)
            check_near(doubles(got, i)[j], doubles(wanted, i)[j], 4e-6 * terms, name, j);
    CHECK(memcmp(bytes(got), bytes(wanted), (size_t)got->n) == 0, "%s: other bytes, n = %d", name, (int)got->n);
    check_near(got->result, wanted->result, 4e-6 * terms, name, got->n);
}

/* ---- one kernel, what it means, and the sizes it is tried at ---- */

static void try_sizes(const char *name, void (*run)(const gm_kernels *, arguments *), void (*mean)(arguments *),
                      gm_activation act, int64_t W) {
    static const int64_t sizes[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 97, 255, 256, 257, 1021, 5003};
    for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++) {
        double terms = (double)(sizes[s] + W - 1) / (double)W;
        arguments wanted = make_arguments(sizes[s], W, act), plain = make_arguments(sizes[s], W, act);
        mean(&wanted);
        run(gm_kernels_of(GM_ISA_PORTABLE), &plain);
        EACH_VARIANT(k) {
            arguments got = make_arguments(sizes[s], W, act);
            run(k, &got);
            compare(name, &got, &wanted, terms);
            compare(name, &got, &plain, terms);
            free_arguments(&got);
        }
        free_arguments(&wanted);
        free_arguments(&plain);
    }
}

#define ARGUMENTS                                                                                                      \
    const int64_t n = a->n, W = a->W;                                                                                  \
    float *x0 = a->x[0].values, *x1 = a->x[1].values, *x2 = a->x[2].values, *x3 = a->x[3].values;                      \
    float *w0 = a->w[0].values, *w1 = a->w[1].values, *w2 = a->w[2].values, *w3 = a->w[3].values;                      \
    double *s0 = doubles(a, 0), *s1 = doubles(a, 1);                                                                   \
    uint8_t *b = bytes(a);                                                                                             \
    (void)n, (void)W, (void)x0, (void)x1, (void)x2, (void)x3, (void)w0, (void)w1, (void)w2, (void)w3, (void)s0,        \
        (void)s1, (void)b

/* FORM(kernel, its call on table k, its meaning for element i of column w) */
#define FORM(name, call, meaning)                                                                                      \
    static void call_##name(const gm_kernels *k, arguments *a) {                                                       \
        ARGUMENTS;                                                                                                     \
        call;                                                                                                          \
    }                                                                                                                  \
    static void mean_##name(arguments *a) {                                                                            \
        ARGUMENTS;                                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const int64_t w = i % W;                                                                                   \
            (void)w;                                                                                                   \
            meaning;                                                                                                   \
        }                                                                                                              \
    }
#define TRY(name, width, call, meaning)                                                                                \
    FORM(name, call, meaning)                                                                                          \
    static void try_##name(void) { try_sizes(#name, call_##name, mean_##name, (gm_activation){GM_LINEAR, 0}, width); }

/* Rows shorter, equal to and longer than every vector, and longer than most arrays. */
#define TRY_ROWS(name, call, meaning)                                                                                  \
    FORM(name, call, meaning)                                                                                          \
    static void try_##name(void) {                                                                                     \
        static const int64_t widths[] = {1, 3, 4, 5, 8, 15, 16, 17, 64, 66, 300};                                      \
        for (int i = 0; i < 11; i++)                                                                                   \
            try_sizes(#name, call_##name, mean_##name, (gm_activation){GM_LINEAR, 0}, widths[i]);                      \
    }

#define TRY_ACTIVATIONS(name, call, meaning)                                                                           \
    FORM(name, call, meaning)                                                                                          \
    static void try_##name(void) {                                                                                     \
        static const gm_activation acts[] = {                                                                          \
            {GM_LINEAR, 0}, {GM_LEAKY_RELU, 0}, {GM_LEAKY_RELU, 0.2f}, {GM_TANH, 0}, {GM_SIGMOID, 0}};                 \
        for (int i = 0; i < 5; i++) try_sizes(#name, call_##name, mean_##name, acts[i], 1);                            \
    }

/* ---- activations and losses ---- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* Into another array and, the second time, in place. */
TRY_ACTIVATIONS(activate, (k->activate(a->act, n, x0, x1), k->activate(a->act, n, x2, x2)),
                (x1[i] = (float)check_act(a->act, (double)x0[i]), x2[i] = (float)check_act(a->act, (double)x2[i])))
TRY_ACTIVATIONS(activate_backward,
                (k->activate_backward(a->act, n, x2, x0, x1), k->activate_backward(a->act, n, x2, x0, x0)),
                (x1[i] = x0[i] = (float)((double)x0[i] * check_act_slope(a->act, (double)x2[i]))))

/* Not fmax: gcc 12 for ARM stops with an internal error at a loop that gathers its largest. */
static double larger(double a, double b) { return b > a ? b : a; }
static double cross_entropy(double x, double t) { return fmax(x, 0) - x * t + log1p(exp(-fabs(x))); }

TRY(cross_entropy, 1, (a->result = k->cross_entropy(n, x0, x3, 0.5f, x1)),
    (a->result += cross_entropy((double)x0[i], (double)x3[i]),
     x1[i] = (float)(0.5 * (sigmoid((double)x0[i]) - (double)x3[i]))))
TRY(squared_error, 1, (a->result = k->squared_error(n, x0, x3, 0.5f, x1)),
    (a->result += pow((double)x0[i] - (double)x3[i], 2), x1[i] = x0[i] - x3[i]))

/* ---- ranges and pixels ---- */

TRY(clamp_to_unit, 1, k->clamp_to_unit(n, x0, 0.5f, 0.5f, x1),
    x1[i] = (float)fmin(1, fmax(0, 0.5 * (double)x0[i] + 0.5)))
TRY(peak, 1, (a->result = (double)k->peak(n, x0)), a->result = larger(a->result, fabs((double)x0[i])))
TRY(first_outside, 1, (a->result = (double)k->first_outside(n, x0, -2.5f, 2.5f)),
    (a->result += (a->result == (double)i && fabs((double)x0[i]) <= 2.5)))

/* Rows of C pixels go to rows of W floats, C < W where that is possible; the floats between stay. */
static int64_t narrow(int64_t W) { return W > 2 ? W - 2 : 1; }
TRY_ROWS(load_bytes, k->load_bytes(n / W, narrow(W), W, b, 2, -1, x0),
         if (i < n / W * W && w < narrow(W)) x0[i] = 2 * (float)b[i / W * narrow(W) + w] / 255 - 1)
TRY_ROWS(load_floats, k->load_floats(n / W, narrow(W), W, x3, 2, -1, x0),
         if (i < n / W * W && w < narrow(W)) x0[i] = 2 * x3[i / W * narrow(W) + w] - 1)
TRY_ROWS(load_one_hot, k->load_one_hot(n / W, narrow(W), W, narrow(W) / 2, x0),
         if (i < n / W * W && w < narrow(W)) x0[i] = w == narrow(W) / 2)

/* ---- channels; of arrays in pairs in test_channels.c ---- */

static const gm_in_pairs FLOATS = {false, false};

static double leaky(double slope, double x) { return x < 0 ? slope * x : x; }

/* The sums start at 0, also of columns that a short array does not reach. */
static void clear(int64_t i, const arguments *a) {
    for (int64_t w = 0; i == 0 && w < a->W; w++) doubles(a, 0)[w] = doubles(a, 1)[w] = 0;
}

TRY_ROWS(channel_sums, (k->channel_sums(n, W, false, x0, s0), k->channel_sums(n, W, false, x1, s1)),
         (clear(i, a), s0[w] += (double)x0[i], s1[w] += (double)x1[i]))
TRY_ROWS(channel_moments, k->channel_moments(n, W, false, x0, s0, s1),
         (clear(i, a), s0[w] += (double)x0[i], s1[w] += (double)x0[i] * (double)x0[i]))
TRY_ROWS(channel_products, k->channel_products(n, W, FLOATS, x0, x1, w0, s0, s1),
         (clear(i, a), s0[w] += (double)x0[i], s1[w] += (double)x0[i] * ((double)x1[i] - (double)w0[w])))
TRY_ROWS(channel_affine, k->channel_affine(n, W, FLOATS, x0, w0, w1, w2, 0.2f, false, x1),
         x1[i] = (float)leaky(0.2, ((double)x0[i] - (double)w0[w]) * (double)w1[w] + (double)w2[w]))
TRY_ROWS(channel_blend, k->channel_blend(n, W, FLOATS, x0, x1, w0, w1, w2, w3, 0.2f, x2),
         x2[i] = (float)((x1[i] > 0 ? 1 : 0.2) * ((double)w1[w] * (double)x0[i] +
                                                  (double)w2[w] * ((double)x1[i] - (double)w0[w]) + (double)w3[w])))

/* ---- dropout ---- */

static const gm_random DROPOUT = {.seed = 77, .stream = GM_STREAM_DROPOUT, .offset = 1000};
enum { QUARTER = 0x40000000 }; /* drops a quarter of the elements */

/* Element i of a group is word i / 64 of block i % 64. */
static bool kept(int64_t i) {
    gm_random random = DROPOUT;
    uint32_t word[4];
    random.offset += (uint64_t)(i / GM_DROPOUT_GROUP * (GM_DROPOUT_GROUP / 4) + i % (GM_DROPOUT_GROUP / 4));
    gm_random_bits(&random, 4, word);
    return word[i % GM_DROPOUT_GROUP / (GM_DROPOUT_GROUP / 4)] >= QUARTER;
}

TRY(dropout, 1, k->dropout(&DROPOUT, QUARTER, 1.5f, n, x0, b, x1), (b[i] = kept(i), x1[i] = b[i] ? 1.5f * x0[i] : 0))

static void make_mask(const arguments *a) {
    for (int64_t i = 0; i < a->n; i++) bytes(a)[i] &= 1;
}
TRY(dropout_backward, 1,
    (make_mask(a), k->dropout_backward(1.5f, n, b, x0, x1), k->dropout_backward(1.5f, n, b, x2, x2)),
    (b[i] &= 1, x1[i] = b[i] ? 1.5f * x0[i] : 0, x2[i] = b[i] ? 1.5f * x2[i] : 0))

/* ---- optimizers: gradient x0, parameter x1, state x2 and the non-negative x3 ---- */

static const gm_update STEP = {.learning_rate = 0.01f,
                               .beta1 = 0.9f,
                               .beta2 = 0.99f,
                               .rho = 0.9f,
                               .momentum = 0.5f,
                               .epsilon = 1e-3f,
                               .correction1 = 2.5f,
                               .correction2 = 8};

static void mean_of_adam(float g, float *p, float *m, float *v) {
    double first = (double)STEP.beta1 * (double)*m + (1 - (double)STEP.beta1) * (double)g;
    double second = (double)STEP.beta2 * (double)*v + (1 - (double)STEP.beta2) * (double)g * (double)g;
    double root = sqrt(second * (double)STEP.correction2) + (double)STEP.epsilon;
    *p = (float)((double)*p - (double)STEP.learning_rate * first * (double)STEP.correction1 / root);
    *m = (float)first, *v = (float)second;
}

static void mean_of_rmsprop(float g, float *p, float *v, float *b) {
    double square = (double)STEP.rho * (double)*v + (1 - (double)STEP.rho) * (double)g * (double)g;
    double move = (double)STEP.momentum * (double)*b + (double)g / (sqrt(square) + (double)STEP.epsilon);
    *p = (float)((double)*p - (double)STEP.learning_rate * move);
    *v = (float)square, *b = (float)move;
}

TRY(adam, 1, k->adam(&STEP, n, x0, x1, x2, x3), mean_of_adam(x0[i], x1 + i, x2 + i, x3 + i))
TRY(rmsprop, 1, k->rmsprop(&STEP, n, x0, x1, x3, x2), mean_of_rmsprop(x0[i], x1 + i, x3 + i, x2 + i))
TRY(sgd, 1, k->sgd(&STEP, n, x0, x1, x2),
    (x2[i] = STEP.momentum * x2[i] + x0[i], x1[i] = x1[i] - STEP.learning_rate * x2[i]))

TRY(clip, 1, k->clip(0.5f, n, x0), x0[i] = fmaxf(-0.5f, fminf(0.5f, x0[i])))
TRY(moving_average, 1, k->moving_average(0.75f, n, x0, x1), x1[i] = 0.75f * x1[i] + 0.25f * x0[i])
TRY(interpolate, 1, k->interpolate(0.375f, n, x0, x1, x2), x2[i] = 0.375f * x0[i] + 0.625f * x1[i])

TEST(every_kernel) {
#define RUN(type, name, parameters) try_##name();
    GM_ELEMENTWISE_KERNELS(RUN)
#undef RUN
}

/* ---- the ends of the number line ---- */

/* A NaN or infinity anywhere, the tail included, reaches the results that the check for divergence reads. */
TEST(nonfinite_values_are_seen) {
    const float bad[] = {NAN, INFINITY, -INFINITY};
    EACH_VARIANT(k)
    for (int64_t n = 1; n <= 37; n++)
        for (int64_t at = 0; at < n; at++)
            for (int i = 0; i < 3; i++) {
                arguments a = make_arguments(n, 1, (gm_activation){GM_LINEAR, 0});
                float *x = a.x[0].values;
                x[at] = bad[i];
                CHECK(isinf(k->peak(n, x)), "peak misses %g at %d of %d", (double)bad[i], (int)at, (int)n);
                CHECK(k->first_outside(n, x, -10, 10) == at, "first_outside: %g at %d", (double)bad[i], (int)at);
                double loss = k->squared_error(n, x, a.x[3].values, 1, a.x[1].values);
                CHECK(!isfinite(loss), "squared error of %g", (double)bad[i]);
                loss = k->cross_entropy(n, x, a.x[3].values, 1, a.x[1].values);
                CHECK(!isfinite(loss), "cross-entropy of %g", (double)bad[i]);
                free_arguments(&a);
            }
}

/* What an activation gives for any x, far out as well: relative to its own size, within [0, 1], NaN for NaN. */
TEST(activations_over_the_whole_range) {
    EACH_VARIANT(k)
    for (double x = -200; x <= 200; x += 0.0625 + fabs(x) / 64) {
        float in[2] = {(float)x, NAN}, out[2], logits[1], slope[1], zero[1] = {0};
        k->activate((gm_activation){GM_SIGMOID, 0}, 2, in, out);
        check_near((double)out[0], sigmoid((double)in[0]), 1e-6 * sigmoid((double)in[0]) + 1e-37, "sigmoid",
                   (int64_t)x);
        CHECK(isnan(out[1]), "sigmoid of NaN");
        k->activate((gm_activation){GM_TANH, 0}, 2, in, out);
        check_near((double)out[0], tanh((double)in[0]), 1e-6 * fabs(tanh((double)in[0])), "tanh", (int64_t)x);
        CHECK(isnan(out[1]), "tanh of NaN");
        logits[0] = in[0];
        double loss = k->cross_entropy(1, logits, zero, 1, slope);
        check_near(loss, cross_entropy((double)in[0], 0), 1e-6 * cross_entropy((double)in[0], 0) + 1e-37, "loss",
                   (int64_t)x);
    }
}

/* A set left out of the build would fall back on a slower one and fail no other test. */
TEST(every_set_of_this_machine_is_built) {
    for (int isa = 0; isa < GM_ISA_AMX && isa <= (int)gm_cpu_isa(); isa++) {
        bool other_kind = gm_cpu_isa() == GM_ISA_NEON && isa != GM_ISA_PORTABLE;
        CHECK(other_kind || gm_kernels_of((gm_isa)isa), "%s is not built", gm_isa_name((gm_isa)isa));
    }
    CHECK(gm_kernels_of(gm_cpu_isa()), "%s is not built", gm_isa_name(gm_cpu_isa()));
}

MAIN(CASE(every_set_of_this_machine_is_built), CASE(every_kernel), CASE(nonfinite_values_are_seen),
     CASE(activations_over_the_whole_range))
