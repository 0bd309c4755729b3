/* A convolution of few filters whose image is what batch normalisation makes of x, and its backward pass up to x. Neither the
 * image nor its gradient is ever written (normalised.h). */
#ifndef GM_KERNELS_CONV_NORMALISED_H
#define GM_KERNELS_CONV_NORMALISED_H

#include "kernels/arrays.h"
#include "kernels/conv.h"

/* An image act((x - center) * scale + shift). */
typedef struct gm_normalised {
    const float *x;                      /* (N,H,W,C) */
    bool in_pairs;                       /* x, and dx */
    const float *center, *scale, *shift; /* (C), repeated (gm_channels_repeat) */
    gm_activation act;                   /* GM_LINEAR or GM_LEAKY_RELU */
} gm_normalised;

/* Whether making it again costs less than to write and read it. */
bool gm_conv_normalised_pays(const gm_conv *g);

/* Floats for any of the calls, for batches of N, or fewer. */
int64_t gm_conv_normalised_workspace(const gm_conv *g, int64_t N);

/* y as gm_conv_forward makes it of that image; g->image_pairs says how it is rounded on the way. */
void gm_conv_normalised_forward(const gm_conv *g, int64_t N, const gm_normalised *image, const float *w, float *y,
                                const gm_epilogue *epilogue, float *workspace);

/* Of dy (N,P,Q,K) and w, with d the gradient of what the activation got: first (C) = sum of d, second (C) = sum of
 * d * (x - center); and unless dw is NULL, dw as gm_conv_backward_weights makes it. */
void gm_conv_normalised_sums(const gm_conv *g, int64_t N, const gm_normalised *image, const float *dy, const float *w,
                             double *first, double *second, bool add, float *dw, float *workspace);

/* dx (N,H,W,C), which may be x, = (a * d + b * (x - center) + c) * gate'(.) at the output value x; gate is GM_LINEAR or
 * GM_LEAKY_RELU. */
void gm_conv_normalised_blend(const gm_conv *g, int64_t N, const gm_normalised *image, const float *dy, const float *w,
                              const gm_channel_terms *terms, gm_activation gate, float *dx, float *workspace);

#endif
