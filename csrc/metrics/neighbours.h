/* Nearest neighbours in feature space: what precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem
 * et al. 2020) count. Distances are Euclidean and stay squared: comparing squares is exact where roots would round. */
#ifndef GM_METRICS_NEIGHBOURS_H
#define GM_METRICS_NEIGHBOURS_H

#include <stdint.h>

#include "base/error.h"

/* radius (N) = squared distance from every row of x (N, D) to the k-th nearest of the others, 1 <= k < N. */
gm_status gm_neighbour_radii(int64_t N, int64_t D, int64_t k, const double *x, double *radius, gm_error *error);

/* For every row of x (R, D): own (R) = how many rows of y (C, D) lie within its radius, other (R) = within the radius
 * of how many rows of y it lies; bounds included. x_radius (R), y_radius (C) squared. */
gm_status gm_neighbour_counts(int64_t R, int64_t C, int64_t D, const double *x, const double *y, const double *x_radius,
                              const double *y_radius, int64_t *own, int64_t *other, gm_error *error);

#endif
