/* Kernels over flat arrays: activations, losses, pixels, channel sums, dropout, optimizer updates.
 *
 * They run on one piece in one thread; kernels/arrays.h cuts whole arrays into pieces. What a kernel does to an
 * element does not depend on where the element stands, so results do not depend on the cutting.
 *
 * Channel kernels see a (rows, C) array as rows of W = C * k floats: element i belongs to column i % W, and the last
 * row may be short; they take arrays in pairs (bfloat.h), of an even W, as well. A NaN in is a NaN out, but for the
 * derivative that an activation takes from its output y: the check for divergence relies on it, and sees such a y in the loss. */
#ifndef GM_KERNELS_ELEMENTWISE_H
#define GM_KERNELS_ELEMENTWISE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "kernels/activation.h"

/* One optimizer step. Adam: correction1 = 1 / (1 - beta1^t), correction2 likewise. */
typedef struct gm_update {
    float learning_rate, beta1, beta2, rho, momentum, epsilon;
    float correction1, correction2;
} gm_update;

/* Which arrays of a channel kernel are in pairs: x and dx, y and dy. */
typedef struct gm_in_pairs {
    bool x, y;
} gm_in_pairs;

/* Elements of a draw of the dropout kernel: a whole piece of an array starts at a multiple of it. */
enum { GM_DROPOUT_GROUP = 256 };

#define GM_ELEMENTWISE_KERNELS(X)                                                                                        \
    /* y[i] = act(x[i]); y may be x. */                                                                                  \
    X(void, activate, (gm_activation act, int64_t n, const float *x, float *y))                                          \
    /* dx[i] = dy[i] * act'(.) from the activation's output y; dx may be dy. */                                          \
    X(void, activate_backward, (gm_activation act, int64_t n, const float *y, const float *dy, float *dx))               \
    /* Sum of the cross-entropies of logits x and targets t; dx[i] = scale * derivative; dx may be x. */                 \
    X(double, cross_entropy, (int64_t n, const float *x, const float *t, float scale, float *dx))                        \
    /* Sum of (x - t)^2; dx[i] = scale * derivative; dx may be x. */                                                     \
    X(double, squared_error, (int64_t n, const float *x, const float *t, float scale, float *dx))                        \
    /* y[i] = scale * x[i] + shift, held to [0, 1]; y may be x. */                                                       \
    X(void, clamp_to_unit, (int64_t n, const float *x, float scale, float shift, float *y))                              \
    /* The largest |x[i]|; infinity when one is not finite. */                                                           \
    X(float, peak, (int64_t n, const float *x))                                                                          \
    /* The first i with x[i] not in [low, high] (or NaN); n when there is none. */                                       \
    X(int64_t, first_outside, (int64_t n, const float *x, float low, float high))                                        \
    /* x (rows, C): out[row * stride + c] = scale * x / 255 + shift. */                                                  \
    X(void, load_bytes,                                                                                                  \
      (int64_t rows, int64_t C, int64_t stride, const uint8_t *x, float scale, float shift, float *out))                 \
    /* x (rows, C): out[row * stride + c] = scale * x + shift. */                                                        \
    X(void, load_floats,                                                                                                 \
      (int64_t rows, int64_t C, int64_t stride, const float *x, float scale, float shift, float *out))                   \
    /* out[row * stride + k] = 1 for k = label, 0 for the other k < classes. */                                          \
    X(void, load_one_hot, (int64_t rows, int64_t classes, int64_t stride, int64_t label, float *out))                    \
    /* sum (W) = sums of the columns. */                                                                                 \
    X(void, channel_sums, (int64_t n, int64_t W, bool x_in_pairs, const float *x, double *sum))                          \
    /* sum, squares (W) = sums of x and of x^2. */                                                                       \
    X(void, channel_moments, (int64_t n, int64_t W, bool x_in_pairs, const float *x, double *sum, double *squares))      \
    /* sum, products (W) = sums of dy and of dy * (x - center). */                                                       \
    X(void, channel_products,                                                                                            \
      (int64_t n, int64_t W, gm_in_pairs in_pairs, const float *dy, const float *x, const float *center, double *sum,    \
       double *products))                                                                                                \
    /* y = leaky((x - center) * scale + shift) with this slope below zero; center, scale, shift (W). */                  \
    /* `streams`: past the caches (streams.h); n and W are whole vectors. */                                             \
    X(void, channel_affine,                                                                                              \
      (int64_t n, int64_t W, gm_in_pairs in_pairs, const float *x, const float *center, const float *scale,              \
       const float *shift, float slope, bool streams, float *y))                                                         \
    /* dx = (a * dy + b * (x - center) + c) * (x > 0 ? 1 : slope); center, a, b, c (W); dx may be dy. */                 \
    X(void, channel_blend,                                                                                               \
      (int64_t n, int64_t W, gm_in_pairs in_pairs, const float *dy, const float *x, const float *center,                 \
       const float *a, const float *b, const float *c, float slope, float *dx))                                          \
    /* keep[i] = (random word i >= threshold); y[i] = x[i] * (keep[i] ? scale : 0). Group g of GM_DROPOUT_GROUP        \
     * elements uses the quarter as many Philox blocks from random->offset + g * GM_DROPOUT_GROUP / 4 on. */ \
    X(void, dropout,                                                                                                     \
      (const gm_random *random, uint32_t threshold, float scale, int64_t n, const float *x, uint8_t *keep, float *y))    \
    /* dx[i] = dy[i] * (keep[i] ? scale : 0); dx may be dy. */                                                           \
    X(void, dropout_backward, (float scale, int64_t n, const uint8_t *keep, const float *dy, float *dx))                 \
    /* One step of p (n) along g (n) with its state; formulas in network/optimizer.c. */                                 \
    X(void, adam, (const gm_update *step, int64_t n, const float *g, float *p, float *m, float *v))                      \
    X(void, rmsprop, (const gm_update *step, int64_t n, const float *g, float *p, float *v, float *b))                   \
    X(void, sgd, (const gm_update *step, int64_t n, const float *g, float *p, float *b))                                 \
    /* x[i] held to [-bound, bound]. */                                                                                  \
    X(void, clip, (float bound, int64_t n, float *x))                                                                    \
    /* mean[i] = decay * mean[i] + (1 - decay) * x[i]. */                                                                \
    X(void, moving_average, (float decay, int64_t n, const float *x, float *mean))                                       \
    /* out[i] = y[i] + e * (x[i] - y[i]): exact where x[i] = y[i]. */                                                    \
    X(void, interpolate, (float e, int64_t n, const float *x, const float *y, float *out))

#endif
