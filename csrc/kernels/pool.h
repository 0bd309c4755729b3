/* Pooling and its adjoint, NHWC, with the geometry of conv.h: an image (H, W, C) and a map (P, Q, C) whose positions
 * each see a window of the image, (R, S) pixels less what falls on padding. No window may lie on padding alone.
 *
 * Work is shared out by images and a sample's values do not depend on the others. Nothing here allocates. */
#ifndef GM_KERNELS_POOL_H
#define GM_KERNELS_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv.h"

/* rows x columns pixels of C floats, in an image `width` pixels wide; pixel (i, j) is number first + i * width + j. */
typedef struct gm_window {
    int64_t rows, columns, width, C, first;
} gm_window;

/* Kernels on one window: x and dx point at its first pixel. Everything else is (C). */
#define GM_POOL_KERNELS(X)                                                                                             \
    /* y = the largest values, NaN where one is; at = the number of the first pixel to hold it. */                     \
    X(void, window_max, (const gm_window *window, const float *x, float *y, int32_t *at))                              \
    /* dx of pixel at[c] += dy[c]. */                                                                                  \
    X(void, window_max_backward, (const gm_window *window, const int32_t *at, const float *dy, float *dx))             \
    /* y = scale * sum, summed in double. */                                                                           \
    X(void, window_sum, (const gm_window *window, double scale, const float *x, float *y))                             \
    /* dx of every pixel += scale * dy. */                                                                             \
    X(void, window_add, (const gm_window *window, float scale, const float *dy, float *dx))

/* x (N,H,W,C) -> y (N,P,Q,C), the largest values; at (N,P,Q,C): the pixel of its image that each comes from, the first
 * of equals. H * W < 2^31. */
void gm_max_pool(const gm_conv *g, int64_t N, const float *x, float *y, int32_t *at);
/* dy (N,P,Q,C) goes to those pixels of dx (N,H,W,C), overwritten. */
void gm_max_pool_backward(const gm_conv *g, int64_t N, const int32_t *at, const float *dy, float *dx);
/* y (N,P,Q,C) = those pixels of x (N,H,W,C). */
void gm_max_pool_take(const gm_conv *g, int64_t N, const int32_t *at, const float *x, float *y);

/* x (N,H,W,C) -> y (N,P,Q,C), sums over windows, or with `mean` means of the pixels that are no padding. */
void gm_window_sums(const gm_conv *g, int64_t N, bool mean, const float *x, float *y);
/* The adjoint: every value of dy (N,P,Q,C), or its share, goes to the pixels of its window. dx (N,H,W,C), overwritten. */
void gm_window_spread(const gm_conv *g, int64_t N, bool mean, const float *dy, float *dx);

#endif
