/* The transforms of the short convolutions F(2, 2) and F(3, 2): along one axis three products give 2 outputs of 2 taps and four
 * give 3, where the definition takes four and six (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray
 * 2016, "Fast Algorithms for Convolutional Neural Networks"). With window d, taps g and outputs y,
 *
 *     y0 = d0 g0 + d1 g1 = (d0 - d1) g0 + d1 (g0 + g1)
 *     y1 = d1 g0 + d2 g1 =                d1 (g0 + g1) + (d2 - d1) g1
 *
 * and, with s = (d1 + d2) / 2 (g0 + g1) and t = (d2 - d1) / 2 (g0 - g1), which are d1 g1 + d2 g0 = s + t and
 * d1 g0 + d2 g1 = s - t,
 *
 *     y0 = d0 g0 + d1 g1 = (d0 - d2) g0 + s + t
 *     y1 = d1 g0 + d2 g1 =                s - t
 *     y2 = d2 g0 + d3 g1 =                s + t + (d3 - d1) g1
 *
 * so that the window is differenced, the taps are expanded, alike for both, and the products are folded. Nothing is multiplied by
 * any other number than a half, and no accuracy is lost: the errors of sums are those of the definition. Turned round, the
 * gradients of outputs are expanded; times differenced windows they are sums that fold into the gradients of the taps, and times
 * expanded taps products that spread over the gradients of the window. */
#ifndef GM_KERNELS_WINOGRAD_H
#define GM_KERNELS_WINOGRAD_H

#include <stdint.h>

/* Of 2 or 3 outputs along each axis: a window of one more, and as many points as that, one product each. Point (i, j) lies at
 * i * row_step + j * step. */
typedef struct gm_square {
    int rows, columns;
    int64_t row_step, step;
} gm_square;

/* On n values at a time of arrays that are listed row by row, or lie at the points. Taps are 2 x 2; their points those of
 * squares of such sizes or smaller ones. */
#define GM_WINOGRAD_KERNELS(X)                                                                                                    \
    /* Along each axis d0 - d1, d1, d2 - d1; or d0 - d2, (d1 + d2) / 2, d3 - d1, (d2 - d1) / 2. */                                \
    X(void, winograd_difference, (const gm_square *of, int64_t n, const float *const *d, float *points))                          \
    /* Along each axis y0, y0 + y1, y1; or y0, y0 + y1 + y2, y2, y0 - y1 + y2. */                                                 \
    X(void, winograd_expand, (const gm_square *of, int64_t n, const float *const *y, float *points))                              \
    /* Along each axis g0, g0 + g1, g1; or g0, g0 + g1, g1, g0 - g1. */                                                           \
    X(void, winograd_expand_taps, (const gm_square *of, int64_t n, const float *const *g, float *points))                         \
    /* y = along each axis m0 + m1, m1 + m2; or m0 + m1 + m3, m1 - m3, m1 + m2 + m3. */                                           \
    X(void, winograd_fold, (const gm_square *of, int64_t n, const float *points, float *const *y))                                \
    /* g += along each axis m0 + m1, m1 + m2; or m0 + m1 + m3, m1 + m2 - m3. */                                                   \
    X(void, winograd_fold_taps, (const gm_square *of, int64_t n, const float *points, float *const *g))                           \
    /* d += along each axis m0, m1 - (m0 + m2), m2; or m0, (m1 - m3) / 2 - m2, (m1 + m3) / 2 - m0, m2. Some of them may be one  \
     * array, whose values then mean nothing. */ \
    X(void, winograd_spread, (const gm_square *of, int64_t n, const float *points, float *const *d))

#endif
