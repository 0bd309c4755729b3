/* GFLOP/s of the convolution kernels beside the machine's own limit, measured in turn in one run.
 *
 *     make build/conv && build/conv 2 bf16     on two threads, as JSON; `make bench` makes a table of it
 *
 * The precision is float32 (as it is without one), bf16 or high. In bf16 the arrays are stored as between the layers of a
 * network: in pairs where the layer and the channels take them.
 *
 * FLOPs count the taps that fall inside the image, two a multiply-add. Medians of 9 rounds; a round measures the limit
 * (limit.h) and every layer once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "kernels/conv.h"
#include "kernels/table.h"
#include "limit.h"
#include "values.h"

enum { ROUNDS = 9, PASSES = 3 };

static const char *const pass_names[PASSES] = {"forward", "input_gradient", "weight_gradient"};

typedef struct layer {
    const char *name;
    gm_conv g;
    int64_t N;
    float *x, *w, *y, *dx, *dw, *workspace;
    double flops, seconds[PASSES][ROUNDS];
} layer;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, ascending);
    return values[ROUNDS / 2];
}

/* ---- the layers ------------------------------------------------------------------------------------------------- */

static const char *const precisions[] = {[GM_FLOAT32] = "float32", [GM_BF16] = "bf16", [GM_HIGH] = "high"};

static gm_precision precision_of(const char *name) {
    for (int i = GM_FLOAT32; i <= GM_HIGH; i++)
        if (strcmp(name, precisions[i]) == 0) return (gm_precision)i;
    (void)fprintf(stderr, "the precision is %s, must be float32, bf16 or high\n", name);
    exit(2);
}

static gm_conv same(int64_t size, int64_t C, int64_t K, int64_t kernel, int64_t stride) {
    int64_t out = (size + stride - 1) / stride, pad = (out - 1) * stride + kernel - size;
    pad = pad > 0 ? pad / 2 : 0;
    return (gm_conv){size, size, C, out, out, K, kernel, kernel, stride, stride, pad, pad, GM_FLOAT32, false, false};
}

static int64_t inner_taps(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad) {
    int64_t taps = 0;
    for (int64_t i = 0; i < out; i++)
        for (int64_t r = 0; r < kernel; r++) taps += i * stride + r >= pad && i * stride + r - pad < in;
    return taps;
}

static float *stored(int64_t n, bool pairs) {
    float *v = values(n);
    if (pairs) gm_kernels_active()->bf16_pair_neighbours(GM_BF16_ROUNDED, n, v, v);
    return v;
}

static void prepare(layer *l, gm_precision precision) {
    gm_conv *g = &l->g;
    g->precision = precision;
    g->image_pairs = gm_conv_takes_pairs(g) && gm_channels_pair(g->C);
    g->map_pairs = gm_conv_takes_pairs(g) && gm_channels_pair(g->K);
    int64_t image = l->N * g->H * g->W * g->C, map = l->N * g->P * g->Q * g->K, kernel = g->R * g->S * g->C * g->K;
    l->x = stored(image, g->image_pairs), l->dx = stored(image, g->image_pairs);
    l->y = stored(map, g->map_pairs), l->w = values(kernel), l->dw = values(kernel);
    l->workspace = values(gm_conv_workspace(g, l->N));
    l->flops = 2.0 * (double)(l->N * g->C * g->K * inner_taps(g->H, g->P, g->R, g->stride_h, g->pad_top) *
                              inner_taps(g->W, g->Q, g->S, g->stride_w, g->pad_left));
}

static void measure(layer *l, int round) {
    double t[PASSES + 1] = {gm_clock_seconds()};
    gm_conv_forward(&l->g, l->N, l->x, l->w, l->y, NULL, l->workspace);
    t[1] = gm_clock_seconds();
    gm_conv_backward_data(&l->g, l->N, l->y, l->w, l->dx, NULL, l->workspace);
    t[2] = gm_clock_seconds();
    gm_conv_backward_weights(&l->g, l->N, l->x, l->y, true, l->dw, l->workspace);
    t[3] = gm_clock_seconds();
    for (int p = 0; p < PASSES; p++) l->seconds[p][round] = t[p + 1] - t[p];
}

int main(int count, char **arguments) {
    static layer layers[] = {
        {.name = "28x28x32, 64, 3x3", .N = 128},    {.name = "14x14x64, 128, 5x5 /2", .N = 256},
        {.name = "14x14x64, 128, 3x3 /2", .N = 64}, {.name = "7x7x128, 256, 5x5 /2", .N = 128},
        {.name = "7x7x128, 256, 5x5", .N = 128},    {.name = "14x14x64, 64, 3x3 /2", .N = 128},
        {.name = "28x28x32, 64, 3x3 /2", .N = 128}, {.name = "8x8x256, 256, 3x3", .N = 64},
        {.name = "28x28x1, 32, 3x3 /2", .N = 128},  {.name = "28x28x1, 32, 3x3", .N = 128},
        {.name = "28x28x1, 64, 5x5 /2", .N = 256},  {.name = "28x28x128, 1, 7x7", .N = 64},
    };
    const gm_conv shapes[] = {same(28, 32, 64, 3, 1),  same(14, 64, 128, 5, 2), same(14, 64, 128, 3, 2),
                              same(7, 128, 256, 5, 2), same(7, 128, 256, 5, 1), same(14, 64, 64, 3, 2),
                              same(28, 32, 64, 3, 2),  same(8, 256, 256, 3, 1), same(28, 1, 32, 3, 2),
                              same(28, 1, 32, 3, 1),   same(28, 1, 64, 5, 2),   same(28, 128, 1, 7, 1)};
    enum { LAYERS = sizeof layers / sizeof layers[0] };
    gm_set_num_threads(count > 1 ? atoi(arguments[1]) : 2);
    gm_precision precision = precision_of(count > 2 ? arguments[2] : "float32");
    double limits[ROUNDS];
    for (int i = 0; i < LAYERS; i++) {
        layers[i].g = shapes[i];
        prepare(&layers[i], precision);
        measure(&layers[i], 0); /* a warm-up */
    }
    for (int round = 0; round < ROUNDS; round++) {
        limits[round] = limit();
        for (int i = 0; i < LAYERS; i++) measure(&layers[i], round);
    }
    printf("{\"isa\": \"%s\", \"precision\": \"%s\", \"threads\": %d, \"limit_gflops\": %.1f, \"layers\": [\n",
           gm_isa_name(gm_kernels_isa()), precisions[precision], gm_num_threads(), median(limits) * 1e-9);
    for (int i = 0; i < LAYERS; i++) {
        printf("  {\"layer\": \"%s\", \"batch\": %lld", layers[i].name, (long long)layers[i].N);
        for (int p = 0; p < PASSES; p++) {
            double seconds = median(layers[i].seconds[p]);
            printf(", \"%s\": {\"ms\": %.4f, \"gflops\": %.2f}", pass_names[p], seconds * 1e3,
                   layers[i].flops / seconds * 1e-9);
        }
        printf("}%s\n", i + 1 < LAYERS ? "," : "");
    }
    printf("]}\n");
    return 0;
}
