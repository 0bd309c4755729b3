/* Means, covariances and kernel sums of features, in double. */
#ifndef GM_METRICS_MOMENTS_H
#define GM_METRICS_MOMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* mean (D) and covariance (D, D), divisor N - 1, of the rows of x (N, D); N >= 2. */
gm_status gm_moments(int64_t N, int64_t D, const double *x, double *mean, double *covariance, gm_error *error);

/* sum (R): for every row of x (R, D) the sum of (x.y / D + 1)^3 over the rows of y (C, D), the kernel of the kernel
 * distance (Binkowski et al. 2018). `same`: y is x, and no row is paired with itself. */
gm_status gm_kernel_sums(int64_t R, int64_t C, int64_t D, const double *x, const double *y, bool same, double *sum,
                         gm_error *error);

#endif
