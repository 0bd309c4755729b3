/* What batch normalisation and a leaky ReLU make of an image, and its gradient, never written: made again from the image and
 * from the signal of the convolution that reads it, wherever one of them is needed. */
#ifndef GM_KERNELS_NORMALISED_H
#define GM_KERNELS_NORMALISED_H

#include <stdbool.h>
#include <stdint.h>

/* Places of a row of an image that see the same taps of a map: place i (channels) of x lies at value i * x_step and is made
 *     y = act((x - center) * scale + shift),   act the leaky ReLU of `slope`,
 * whose gradient is dy = act'(y) * sum over taps t of signal[i * signal_step + offset[t]] * w[t]. */
typedef struct gm_normalised_row {
    int64_t count, channels;
    const float *x;
    int64_t x_step;
    int64_t ahead; /* values from x to what is read soon: asked for meanwhile */
    const float *signal;
    int64_t signal_step;
    int64_t taps;
    const int64_t *offset;               /* (taps) */
    const float *w;                      /* (taps, channels) */
    const float *center, *scale, *shift; /* (channels) */
    float slope;                         /* 1: no activation */
    bool in_pairs;                       /* x, and dx (bfloat.h) */
    bool rounded;                        /* y, to bfloat16, where it is an operand */
} gm_normalised_row;

#define GM_NORMALISED_KERNELS(X)                                                                                        \
    /* first (channels) += sum of dy; second (channels) += sum of dy * (x - center); and unless dw is NULL */           \
    /* dw (taps, channels) = sum of signal * y. At least one place. */                                                  \
    X(void, normalised_sums, (const gm_normalised_row *row, double *first, double *second, float *dw))                  \
    /* dx = (a * dy + b * (x - center) + c) * gate'(x), the leaky ReLU of gate_slope; stored as x is, and may be it. */ \
    X(void, normalised_blend,                                                                                           \
      (const gm_normalised_row *row, const float *a, const float *b, const float *c, float gate_slope, float *dx))

#endif
