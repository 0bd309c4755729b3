/* The elementwise kernels over whole arrays, on all threads.
 *
 * An array is cut into pieces whose size depends on the array alone; partial sums are kept in double and added in the
 * order of the pieces. So results do not depend on the number of threads. Nothing here allocates. */
#ifndef GM_KERNELS_ARRAYS_H
#define GM_KERNELS_ARRAYS_H

#include "kernels/elementwise.h"

void gm_activate(gm_activation act, int64_t n, const float *x, float *y);
void gm_activate_backward(gm_activation act, int64_t n, const float *y, const float *dy, float *dx);

/* Losses summed over n elements; dx (n) = scale * derivative. */
double gm_cross_entropy(int64_t n, const float *x, const float *t, float scale, float *dx);
double gm_squared_error(int64_t n, const float *x, const float *t, float scale, float *dx);

/* The same for each of N rows of n elements: sums (N). Row i of x, which becomes the derivative, is held against row
 * (start + i) / repeat of t. */
void gm_cross_entropy_rows(int64_t N, int64_t n, float *x, const float *t, int64_t start, int64_t repeat, double *sums);
void gm_squared_error_rows(int64_t N, int64_t n, float *x, const float *t, int64_t start, int64_t repeat, double *sums);

/* The largest |x|; infinity when one is not finite. */
float gm_peak(int64_t n, const float *x);

/* Inverted dropout: random->offset names the first block; keep (n) is kept for the backward pass. 0 <= rate < 1. */
void gm_dropout(const gm_random *random, float rate, int64_t n, const float *x, uint8_t *keep, float *y);
void gm_dropout_backward(float rate, int64_t n, const uint8_t *keep, const float *dy, float *dx);

/* y (n) = x. */
void gm_copy(int64_t n, const float *x, float *y);
/* x (n) held to [-bound, bound]. */
void gm_clip(float bound, int64_t n, float *x);
/* mean (n) = decay * mean + (1 - decay) * x. */
void gm_moving_average(float decay, int64_t n, const float *x, float *mean);

/* ---- Arrays (rows, C), a statistic a channel ---- */

/* How such an array is cut. Narrow rows are joined `repeat` at a time to rows of `width` floats, which fill vectors;
 * vectors of channel values are repeated likewise (gm_channels_repeat). */
typedef struct gm_channels {
    int64_t C, repeat, width; /* width = C * repeat */
    int64_t n;                /* rows * C */
    int64_t piece, pieces;    /* values in a piece, a multiple of width; how many */
    gm_in_pairs in_pairs;     /* of an even C */
} gm_channels;

/* Of float32 arrays. */
gm_channels gm_channels_of(int64_t rows, int64_t C);
/* Floats of workspace for the sums over an array of up to `rows` rows. */
int64_t gm_channels_workspace(int64_t rows, int64_t C);

/* first (C) = sum of x; second (C) = sum of x^2. */
void gm_channel_moments(const gm_channels *channels, const float *x, double *first, double *second, float *workspace);
/* first (C) = sum of dy; second (C) = sum of dy * (x - center); center (width). */
void gm_channel_products(const gm_channels *channels, const float *dy, const float *x, const float *center,
                         double *first, double *second, float *workspace);
/* gradient (C) += sum of dy: the gradient of a bias. */
void gm_add_channel_sums(const gm_channels *channels, const float *dy, float *gradient, float *workspace);

/* Repeats the first C of values (width) over the rest. */
void gm_channels_repeat(const gm_channels *channels, float *values);

/* y = act((x - center) * scale + shift); center, scale, shift (width). Of arrays in pairs, act and the gate of the next are
 * GM_LINEAR or GM_LEAKY_RELU. */
void gm_channel_affine(const gm_channels *channels, const float *x, const float *center, const float *scale,
                       const float *shift, gm_activation act, float *y);
/* dx = (a * dy + b * (x - center) + c) * gate'(.) at the output value x; all vectors (width). */
typedef struct gm_channel_terms {
    const float *center, *a, *b, *c;
} gm_channel_terms;
void gm_channel_blend(const gm_channels *channels, const float *dy, const float *x, const gm_channel_terms *terms,
                      gm_activation gate, float *dx);

#endif
