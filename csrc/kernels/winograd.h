/* The transforms of short convolutions F(m, r): along one axis m + r - 1 products give m outputs of r taps, where the
 * definition takes m r (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray 2016, "Fast Algorithms for
 * Convolutional Neural Networks").
 *
 * They are products of polynomials, known by their values at the points 0, infinity (the last coefficient), 1 and -1: as
 * many of them, in this order, as the window has values, 2 to 4. So each of m and r may be 1 to 3, and convolutions of
 * different m and r share points, where their products add up. For a window d, taps g and outputs y the forms below say that
 *
 *     y = fold(difference(d) * evaluate(g))
 *
 * and, each gradient from the other two, g = fold(difference(d) * evaluate(y)) and d = spread(evaluate(y) * evaluate(g)). As
 * an example F(2, 3), of windows of 4, with s = (d1 + d2) / 2 (g0 + g1 + g2) and t = (d2 - d1) / 2 (g0 - g1 + g2):
 *
 *     y0 = d0 g0 + d1 g1 + d2 g2 = (d0 - d2) g0 + s + t
 *     y1 = d1 g0 + d2 g1 + d3 g2 = (d3 - d1) g2 + s - t
 *
 * Nothing is multiplied by any other number than a half, and no accuracy is lost: errors are those of the definition's sums.
 * Another point would be 2; with it they are five times as large. */
#ifndef GM_KERNELS_WINOGRAD_H
#define GM_KERNELS_WINOGRAD_H

#include <stdint.h>

/* Values along each axis, of a window 2 to 4, of outputs or taps 1 to 3; and the points that they have. Point (i, j) lies at
 * i * row_step + j * step. */
typedef struct gm_square {
    int rows, columns;
    int row_points, column_points;
    int64_t row_step, step;
} gm_square;

/* On n values at a time of arrays that are listed row by row, or lie at the points. */
#define GM_WINOGRAD_KERNELS(X)                                                                                           \
    /* Along each axis of a window, which has as many points as values: d0, d1; or d0 - d1, d2 - d1, d1; or            \
     * d0 - d2, d3 - d1, (d1 + d2) / 2, (d2 - d1) / 2. */ \
    X(void, winograd_difference, (const gm_square *of, int64_t n, const float *const *d, float *points))                 \
    /* Along each axis, of values c: the first, the last, c0 + c1 + c2, c0 - c1 + c2. */                                 \
    X(void, winograd_evaluate, (const gm_square *of, int64_t n, const float *const *c, float *points))                   \
    /* Turned round: along each axis, of products m, c0 = m0 + m2 + m3, c1 = m2 - m3, c2 = m2 + m3, and m1 more for    \
     * the last of them. Points that it does not have count as zeros. `add`: c is increased by that. */ \
    X(void, winograd_fold, (const gm_square *of, int64_t n, const float *points, int add, float *const *c))              \
    /* Differences turned round: d is increased by, along each axis, m0, m1; or m0, m2 - (m0 + m1), m1; or             \
     * m0, (m2 - m3) / 2 - m1, (m2 + m3) / 2 - m0, m1. Some of d may be one array, whose values then mean nothing. */ \
    X(void, winograd_spread, (const gm_square *of, int64_t n, const float *points, float *const *d))

#endif
