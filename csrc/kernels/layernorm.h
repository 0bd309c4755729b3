/* Normalisation of rows by their own mean and variance (Ba, Kiros, Hinton 2016):
 *     y = gamma * x^ + beta,   x^ = (x - mean) * inverse,   inverse = 1 / sqrt(variance + epsilon)
 * Backward, with d = dy * gamma:
 *     dx = inverse * (d - mean(d) - x^ * mean(d * x^)).
 * Sums are in double; the means are used in two parts, as in layers/batchnorm.c. */
#ifndef GM_KERNELS_LAYERNORM_H
#define GM_KERNELS_LAYERNORM_H

#include <stdint.h>

#include "kernels/activation.h"

/* statistics (rows, 2): mean and inverse. x, y, dy, dx (rows, C); gamma, beta (C). */
#define GM_LAYERNORM_KERNELS(X)                                                                                        \
    X(void, normalise_rows,                                                                                            \
      (int64_t rows, int64_t C, double epsilon, const float *x, const float *gamma, const float *beta,                 \
       double *statistics, float *y))                                                                                  \
    /* dx, where it is not NULL; and dy becomes dy * x^, whose sums over the rows are gamma's gradient. */             \
    X(void, normalise_rows_backward,                                                                                   \
      (int64_t rows, int64_t C, const double *statistics, const float *gamma, const float *x, float *dy, float *dx))

/* The same over all rows on all threads, with the next layer's activation behind and the last one's gate before. */
void gm_normalise_rows(int64_t rows, int64_t C, double epsilon, const float *x, const float *gamma, const float *beta,
                       gm_activation act, double *statistics, float *y);
void gm_normalise_rows_backward(int64_t rows, int64_t C, const double *statistics, const float *gamma, const float *x,
                                gm_activation gate, float *dy, float *dx);

#endif
