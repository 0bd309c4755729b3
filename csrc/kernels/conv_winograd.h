/* The three products of conv.h, by fewer multiplications. */
#ifndef GM_KERNELS_CONV_WINOGRAD_H
#define GM_KERNELS_CONV_WINOGRAD_H

#include <stdbool.h>

#include "kernels/conv.h"

/* Whether this geometry can be multiplied so, and whether that pays in products with the weights, and in their gradients. */
bool gm_conv_winograd_fits(const gm_conv *g);
bool gm_conv_winograd_pays(const gm_conv *g);
bool gm_conv_winograd_weights_pay(const gm_conv *g);

/* Forward or, `adjoint`, the input gradient; and the weights' gradient, which is added. Only for geometries that fit. */
int64_t gm_conv_winograd_workspace(const gm_conv *g);
void gm_conv_winograd(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                      const gm_epilogue *epilogue, float *workspace);
int64_t gm_conv_winograd_weights_workspace(const gm_conv *g);
void gm_conv_winograd_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw,
                              float *workspace);

#endif
