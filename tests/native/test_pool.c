/* Pooling: the kernels on one window, whole batches, and the layers' tangents.
 *
 * The list GM_POOL_KERNELS makes the cases: a kernel without a TRY here does not compile. */
#include "kernels/pool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parallel.h"
#include "layers/layer.h"
#include "variants.h"

/* Multiples of 1/2: many are equal. */
static check_buffer steps(int64_t count, gm_random *random) {
    check_buffer x = check_normal(count, random);
    for (int64_t i = 0; i < count; i++) x.values[i] = roundf(2 * x.values[i]) / 2;
    return x;
}

static int32_t *ints(const check_buffer *buffer) { return (int32_t *)(void *)buffer->values; }

/* ---- one window ---- */

typedef struct window_case {
    gm_window window;
    check_buffer image; /* from the window's first pixel to its last */
    check_buffer x, y;  /* (C) */
    check_buffer at;    /* (C) pixels of the window */
} window_case;

static int64_t pixel_of(const gm_window *w, int64_t i, int64_t j) { return i * w->width + j; }

static window_case make_case(int64_t rows, int64_t columns, int64_t C) {
    gm_random random = {.seed = (uint64_t)C, .stream = (uint64_t)(rows * 10 + columns)};
    window_case t = {.window = {.rows = rows, .columns = columns, .width = columns + 2, .C = C, .first = 7}};
    t.image = steps((pixel_of(&t.window, rows - 1, columns - 1) + 1) * C, &random);
    t.x = check_normal(C, &random);
    t.y = check_normal(C, &random);
    t.at = check_floats(C);
    for (int64_t c = 0; c < C; c++) {
        int64_t i = check_between(&random, 0, rows - 1), j = check_between(&random, 0, columns - 1);
        ints(&t.at)[c] = (int32_t)(t.window.first + pixel_of(&t.window, i, j));
    }
    return t;
}

static void free_case(window_case *t) {
    check_free(&t->image), check_free(&t->x), check_free(&t->y), check_free(&t->at);
}

static void compare(const char *name, const check_buffer *got, const check_buffer *wanted) {
    for (int64_t i = 0; i < got->count; i++)
        check_near((double)got->values[i], (double)wanted->values[i], 1e-6 * (1 + fabs((double)wanted->values[i])),
                   name, i);
}

static void try_window(const char *name, void (*run)(const gm_kernels *, window_case *), void (*mean)(window_case *)) {
    static const int64_t channels[] = {1, 3, 4, 5, 8, 15, 16, 17, 33, 63, 64, 65, 130};
    for (int64_t rows = 1; rows <= 3; rows++)
        for (int64_t columns = 1; columns <= 3; columns++)
            for (int i = 0; i < 13; i++) {
                window_case wanted = make_case(rows, columns, channels[i]);
                mean(&wanted);
                EACH_VARIANT(k) {
                    window_case got = make_case(rows, columns, channels[i]);
                    run(k, &got);
                    compare(name, &got.image, &wanted.image);
                    compare(name, &got.x, &wanted.x);
                    compare(name, &got.y, &wanted.y);
                    CHECK(memcmp(got.at.values, wanted.at.values, (size_t)got.at.count * 4) == 0, "%s: places", name);
                    free_case(&got);
                }
                free_case(&wanted);
            }
}

#define ARGUMENTS                                                                                                      \
    const gm_window *w = &t->window;                                                                                   \
    float *image = t->image.values, *x = t->x.values, *y = t->y.values;                                                \
    int32_t *at = ints(&t->at);                                                                                        \
    (void)w, (void)image, (void)x, (void)y, (void)at

/* TRY(kernel, its call on table k, what it means before and for pixel `i` of channel c, number `number`) */
#define TRY(name, call, before, meaning)                                                                               \
    static void call_##name(const gm_kernels *k, window_case *t) {                                                     \
        ARGUMENTS;                                                                                                     \
        call;                                                                                                          \
    }                                                                                                                  \
    static void mean_##name(window_case *t) {                                                                          \
        ARGUMENTS;                                                                                                     \
        for (int64_t c = 0; c < w->C; c++) {                                                                           \
            before;                                                                                                    \
            for (int64_t place = 0; place < w->rows * w->columns; place++) {                                           \
                int64_t pixel = pixel_of(w, place / w->columns, place % w->columns), i = pixel * w->C + c;             \
                int32_t number = (int32_t)(w->first + pixel);                                                          \
                (void)number;                                                                                          \
                meaning;                                                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void try_##name(void) { try_window(#name, call_##name, mean_##name); }

TRY(window_max, k->window_max(w, image, y, at), y[c] = -INFINITY, if (image[i] > y[c])(y[c] = image[i], at[c] = number))
TRY(window_max_backward, k->window_max_backward(w, at, x, image), (void)c, image[i] += at[c] == number ? x[c] : 0)
TRY(window_sum, k->window_sum(w, 0.25, image, y), y[c] = 0, y[c] += 0.25f * image[i])
TRY(window_add, k->window_add(w, 0.25f, x, image), (void)c, image[i] += 0.25f * x[c])

TEST(every_kernel) {
#define RUN(type, name, parameters) try_##name();
    GM_POOL_KERNELS(RUN)
#undef RUN
}

/* A NaN is the largest, wherever it is; so is infinity. */
TEST(nonfinite_values_are_seen) {
    const float bad[] = {NAN, INFINITY};
    EACH_VARIANT(k)
    for (int64_t C = 1; C <= 18; C++)
        for (int64_t place = 0; place < 9; place++)
            for (int b = 0; b < 2; b++) {
                window_case t = make_case(3, 3, C);
                int64_t pixel = pixel_of(&t.window, place / 3, place % 3);
                t.image.values[pixel * C + C - 1] = bad[b];
                k->window_max(&t.window, t.image.values, t.y.values, ints(&t.at));
                CHECK(!isfinite(t.y.values[C - 1]), "%g at place %d is lost", (double)bad[b], (int)place);
                CHECK(ints(&t.at)[C - 1] == t.window.first + pixel, "the gradient goes elsewhere");
                free_case(&t);
            }
}

/* ---- whole batches, through the layers ---- */

typedef struct setting {
    gm_layer_config config;
    gm_shape in;
} setting;

#define POOL(k0, k1, s0, s1, how, p0, p1)                                                                              \
    {                                                                                                                  \
        .kind = "MaxPool2D", .kernel_size = {k0, k1}, .strides = {s0, s1}, .padding = how, .pad = { p0, p1 }           \
    }
static const setting SETTINGS[] = {
    {POOL(2, 2, 2, 2, GM_PADDING_VALID, 0, 0), {3, {7, 6, 5}}},
    {POOL(3, 2, 1, 2, GM_PADDING_SAME, 0, 0), {3, {5, 9, 17}}},
    {POOL(3, 3, 2, 1, GM_PADDING_EXPLICIT, 1, 1), {3, {8, 8, 3}}},
    {POOL(5, 4, 3, 5, GM_PADDING_SAME, 0, 0), {3, {4, 11, 1}}},
    {{.kind = "GlobalMaxPool2D"}, {3, {5, 3, 19}}},
    {{.kind = "UpSampling2D", .size = {2, 3}}, {3, {4, 3, 7}}},
};
enum { SETTING_COUNT = (int)(sizeof SETTINGS / sizeof *SETTINGS), N = 3 };

static gm_layer make_layer(const setting *of, bool mean) {
    gm_layer_config config = of->config;
    if (mean && strcmp(config.kind, "MaxPool2D") == 0) config.kind = "AvgPool2D";
    if (mean && strcmp(config.kind, "GlobalMaxPool2D") == 0) config.kind = "GlobalAvgPool2D";
    gm_error error = {0};
    gm_layer layer;
    CHECK(gm_layer_create(&config, 0, &of->in, &layer, &error) == GM_OK, "%s", error.message);
    return layer;
}

/* What a pool gives for output (n, p, q, c), by its definition. */
static double definition(const gm_layer *layer, const float *x, int64_t n, int64_t p, int64_t q, int64_t c) {
    const gm_conv *g = &layer->conv;
    bool mean = strstr(layer->ops->name, "Avg") != NULL;
    double largest = -INFINITY, sum = 0, count = 0;
    for (int64_t r = 0; r < g->R; r++)
        for (int64_t s = 0; s < g->S; s++) {
            int64_t row = p * g->stride_h + r - g->pad_top, column = q * g->stride_w + s - g->pad_left;
            if (row < 0 || row >= g->H || column < 0 || column >= g->W) continue;
            double value = (double)x[((n * g->H + row) * g->W + column) * g->C + c];
            largest = fmax(largest, value);
            sum += value, count += 1;
        }
    return mean ? sum / count : largest;
}

static void check_definition(const gm_layer *layer, const float *x, const float *y) {
    const gm_conv *g = &layer->conv;
    for (int64_t i = 0; i < N * g->P * g->Q * g->C; i++) {
        int64_t c = i % g->C, q = i / g->C % g->Q, p = i / g->C / g->Q % g->P, n = i / layer->out_size;
        check_near((double)y[i], definition(layer, x, n, p, q, c), 1e-6, layer->ops->name, i);
    }
}

static double inner(const check_buffer *a, const check_buffer *b) {
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++) sum += (double)a->values[i] * (double)b->values[i];
    return sum;
}

/* Forward against the definition; then backward and tangent, which must be each other's adjoints:
 * <tangent(v), dy> = <v, backward(dy)>. */
static void try_layer(gm_layer *layer, gm_random *random) {
    check_buffer x = steps(N * layer->in_size, random), v = check_normal(N * layer->in_size, random);
    check_buffer dy = check_normal(N * layer->out_size, random), dx = check_floats(N * layer->in_size);
    check_buffer y = check_floats(N * layer->out_size), w = check_floats(N * layer->out_size);
    check_buffer saved = check_floats(layer->ops->saved ? layer->ops->saved(layer, N) : 0);
    gm_pass pass = {.N = N, .training = true, .x = x.values, .y = y.values, .saved = saved.values};
    layer->ops->forward(layer, &pass);
    if (strcmp(layer->ops->name, "UpSampling2D") != 0) check_definition(layer, x.values, y.values);
    pass.dy = dy.values, pass.dx = dx.values;
    layer->ops->backward(layer, &pass);
    pass.x = v.values, pass.y = w.values;
    layer->ops->tangent(layer, &pass);
    check_near(inner(&w, &dy), inner(&v, &dx), 1e-4, layer->ops->name, 0);
    CHECK(fabs(inner(&w, &dy)) > 1e-3, "%s: nothing to compare", layer->ops->name);
    check_buffer *all[] = {&x, &v, &dy, &dx, &y, &w, &saved};
    for (int i = 0; i < 7; i++) check_free(all[i]);
}

TEST(layers_follow_their_definitions_and_tangents_are_adjoint) {
    gm_random random = {.seed = 3, .stream = 4};
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (!gm_kernels_of((gm_isa)isa)) continue;
        gm_error error = {0};
        CHECK(gm_kernels_select((gm_isa)isa, &error) == GM_OK, "%s", error.message);
        for (int threads = 1; threads <= 2; threads++)
            for (int i = 0; i < 2 * SETTING_COUNT; i++) {
                gm_set_num_threads(threads);
                gm_layer layer = make_layer(&SETTINGS[i / 2], i % 2 == 1);
                try_layer(&layer, &random);
            }
    }
}

/* Along the direction a max pool was computed at, its tangent is its output. */
TEST(a_tangent_takes_the_places_of_the_forward_pass) {
    gm_random random = {.seed = 5, .stream = 6};
    gm_layer layer = make_layer(&SETTINGS[1], false);
    check_buffer x = steps(N * layer.in_size, &random), saved = check_floats(N * layer.out_size);
    check_buffer y = check_floats(N * layer.out_size), again = check_floats(N * layer.out_size);
    gm_pass pass = {.N = N, .training = true, .x = x.values, .y = y.values, .saved = saved.values};
    layer.ops->forward(&layer, &pass);
    pass.y = again.values;
    layer.ops->tangent(&layer, &pass);
    CHECK(memcmp(y.values, again.values, (size_t)y.count * sizeof(float)) == 0, "other places");
    check_free(&x), check_free(&saved), check_free(&y), check_free(&again);
}

MAIN(CASE(every_kernel), CASE(nonfinite_values_are_seen),
     CASE(layers_follow_their_definitions_and_tangents_are_adjoint),
     CASE(a_tangent_takes_the_places_of_the_forward_pass))
