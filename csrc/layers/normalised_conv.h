/* A batch normalisation, the activation it applies, and the convolution of few filters that reads what comes out, as one: what
 * lies between them is nowhere written (conv_normalised.h). */
#ifndef GM_LAYERS_NORMALISED_CONV_H
#define GM_LAYERS_NORMALISED_CONV_H

#include "layers/layer.h"

/* Whether `norm`, with `act` behind it and the derivative of `gate` to apply (GM_LINEAR: none), and then `conv` are such. */
bool gm_normalised_conv_pays(const gm_layer *norm, gm_activation act, gm_activation gate, const gm_layer *conv);

int64_t gm_normalised_conv_workspace(const gm_layer *norm, const gm_layer *conv, int64_t N);

/* Each layer's pass is as if it were alone, but for: the workspace, which is that of `pass`; what lies between them; and the
 * input gradient, which is `pass`'s dx, and may be the input of the normalisation. */
void gm_normalised_conv_forward(gm_layer *norm, const gm_pass *norm_pass, gm_layer *conv, const gm_pass *pass);
void gm_normalised_conv_backward(gm_layer *norm, const gm_pass *norm_pass, gm_layer *conv, const gm_pass *pass);

#endif
