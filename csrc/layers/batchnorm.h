/* The parts of a batch normalisation's passes, for itself and for what works with it as one (normalised_conv.h). */
#ifndef GM_LAYERS_BATCHNORM_H
#define GM_LAYERS_BATCHNORM_H

#include "kernels/arrays.h"
#include "layers/layer.h"

/* What a pass computes by channel, in its workspace. */
typedef struct gm_batch_norm {
    gm_channels channels;
    double *first, *second;        /* (C) sums */
    float *center, *scale, *shift; /* (width): y = (x - center) * scale + shift, before the activation */
    float *a, *b, *c;              /* (width): dx = a * dy + b * (x - center) + c */
    float *rest;                   /* for the sums */
} gm_batch_norm;

int64_t gm_batch_norm_workspace(const gm_layer *layer, int64_t N);
gm_batch_norm gm_batch_norm_begin(const gm_layer *layer, const gm_pass *pass);

/* Forward: in training takes the statistics of x into `saved`; sets center, scale and shift. */
void gm_batch_norm_measure(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm);

/* Backward: sets center, scale and shift as the forward pass did; then, from first = sum of dy and second = sum of
 * dy * (x - center), a, b and c, and the parameters' gradients, unless frozen. */
void gm_batch_norm_recall(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm);
void gm_batch_norm_derive(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm);

#endif
