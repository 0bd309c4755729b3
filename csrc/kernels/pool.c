/* Each function is a call whose tasks take one image each and visit its windows in row-major order. */
#include "kernels/pool.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"

typedef struct pool_call pool_call;

/* What is done to one window: its first pixel at float `image` of an image array, its place in a map at float `map`. */
typedef void (*window_task)(const pool_call *call, const gm_window *window, int64_t image, int64_t map);

struct pool_call {
    const gm_conv *g;
    window_task task;
    bool adjoint; /* y is the image, which starts at zero, and not the map */
    bool mean;
    const gm_kernels *kernels;
    const float *x;
    float *y;
    int32_t *at; /* written forward, read backward */
};

static gm_window window_of(const gm_conv *g, const axis *rows, const axis *columns, int64_t p, int64_t q) {
    int64_t r = tap_begin(rows, p), s = tap_begin(columns, q);
    return (gm_window){.rows = tap_end(rows, p) - r,
                       .columns = tap_end(columns, q) - s,
                       .width = g->W,
                       .C = g->C,
                       .first = (input_of(rows, p) + r) * g->W + input_of(columns, q) + s};
}

static void image_task(void *context, int64_t n) {
    const pool_call *call = context;
    const gm_conv *g = call->g;
    axis rows = forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P);
    axis columns = forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    int64_t image = n * g->H * g->W * g->C, map = n * g->P * g->Q * g->C;
    if (call->adjoint) memset(call->y + image, 0, (size_t)(g->H * g->W * g->C) * sizeof(float));
    for (int64_t p = 0; p < g->P; p++)
        for (int64_t q = 0; q < g->Q; q++, map += g->C) {
            gm_window window = window_of(g, &rows, &columns, p, q);
            call->task(call, &window, image + window.first * g->C, map);
        }
}

static void run(pool_call *call, int64_t N) {
    call->kernels = gm_kernels_active();
    gm_parallel_for(N, image_task, call);
}

/* ---- The largest value ---- */

static void max_window(const pool_call *call, const gm_window *window, int64_t image, int64_t map) {
    call->kernels->window_max(window, call->x + image, call->y + map, call->at + map);
}

void gm_max_pool(const gm_conv *g, int64_t N, const float *x, float *y, int32_t *at) {
    run(&(pool_call){.g = g, .task = max_window, .x = x, .y = y, .at = at}, N);
}

static void max_window_backward(const pool_call *call, const gm_window *window, int64_t image, int64_t map) {
    call->kernels->window_max_backward(window, call->at + map, call->x + map, call->y + image);
}

void gm_max_pool_backward(const gm_conv *g, int64_t N, const int32_t *at, const float *dy, float *dx) {
    /* The places are only read: the cast lets both directions share one context. */
    int32_t *places = (int32_t *)(uintptr_t)at;
    run(&(pool_call){.g = g, .task = max_window_backward, .adjoint = true, .x = dy, .y = dx, .at = places}, N);
}

static void take_window(const pool_call *call, const gm_window *window, int64_t image, int64_t map) {
    const int32_t *at = call->at + map;
    const float *x = call->x + image - window->first * window->C;
    for (int64_t c = 0; c < window->C; c++) call->y[map + c] = x[at[c] * window->C + c];
}

void gm_max_pool_take(const gm_conv *g, int64_t N, const int32_t *at, const float *x, float *y) {
    int32_t *places = (int32_t *)(uintptr_t)at;
    run(&(pool_call){.g = g, .task = take_window, .x = x, .y = y, .at = places}, N);
}

/* ---- Sums ---- */

static double share(const pool_call *call, const gm_window *window) {
    return call->mean ? 1.0 / (double)(window->rows * window->columns) : 1.0;
}

static void sum_window(const pool_call *call, const gm_window *window, int64_t image, int64_t map) {
    call->kernels->window_sum(window, share(call, window), call->x + image, call->y + map);
}

void gm_window_sums(const gm_conv *g, int64_t N, bool mean, const float *x, float *y) {
    run(&(pool_call){.g = g, .task = sum_window, .mean = mean, .x = x, .y = y}, N);
}

static void spread_window(const pool_call *call, const gm_window *window, int64_t image, int64_t map) {
    call->kernels->window_add(window, (float)share(call, window), call->x + map, call->y + image);
}

void gm_window_spread(const gm_conv *g, int64_t N, bool mean, const float *dy, float *dx) {
    run(&(pool_call){.g = g, .task = spread_window, .adjoint = true, .mean = mean, .x = dy, .y = dx}, N);
}
