/* The transforms of the short convolution F(2 x 2, 2 x 2): nine products give 2 x 2 outputs of 2 x 2 taps, where the
 * definition takes sixteen (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray 2016, "Fast
 * Algorithms for Convolutional Neural Networks"). Along one axis, with window d, taps g and outputs y:
 *
 *     y0 = d0 g0 + d1 g1 = (d0 - d1) g0 + d1 (g0 + g1)
 *     y1 = d1 g0 + d2 g1 =                d1 (g0 + g1) + (d2 - d1) g1
 *
 * so that the window is differenced, the taps are expanded and the three products are folded; nothing is multiplied by a
 * constant, and little accuracy is lost. Turned round, expanded outputs' gradients times differenced windows are sums
 * that fold into the taps' gradients. */
#ifndef GM_KERNELS_WINOGRAD_H
#define GM_KERNELS_WINOGRAD_H

#include <stdint.h>

/* On n values at a time of squares of arrays, 3 x 3 or 2 x 2, in row order; `step` lies between the nine of a side. */
#define GM_WINOGRAD_KERNELS(X)                                                                                         \
    /* out[3][3]: along each axis d0 - d1, d1, d2 - d1. */                                                             \
    X(void, winograd_difference, (int64_t n, const float *const d[9], float *out, int64_t step))                       \
    /* out[3][3]: along each axis g0, g0 + g1, g1. */                                                                  \
    X(void, winograd_expand, (int64_t n, const float *const g[4], float *out, int64_t step))                           \
    /* y[2][2] = along each axis m0 + m1, m1 + m2; or, `add`, is increased by that. */                                 \
    X(void, winograd_fold, (int64_t n, const float *m, int64_t step, int add, float *const y[4]))

#endif
