/* What Dense, Conv2D and Conv2DTranspose share: a kernel, perhaps a bias, and a product with the kernel.
 *
 * With spectral_norm the product is not with the parameter but with the kernel divided by its largest singular value.
 * Each training forward has its own; `saved` keeps it, with what its backward needs. */
#ifndef GM_LAYERS_PRODUCT_H
#define GM_LAYERS_PRODUCT_H

#include "layers/layer.h"

/* Appends "kernel" of this shape, where the layer has one "bias" (channels), and with spectral_norm "u" (channels). The
 * fans are Keras's: the last axis but one and the last axis, times the window. */
gm_status gm_product_add_parameters(gm_layer *layer, gm_shape kernel, int64_t channels, gm_error *error);

bool gm_product_takes_pairs(const gm_layer *layer);

/* Multiplications of a sample that meet no padding. */
int64_t gm_product_products(const gm_layer *layer);

/* Workspace for the product and for the sums of the bias gradient. */
int64_t gm_product_workspace(const gm_layer *layer, int64_t N);

/* What spectral_norm keeps from a forward; 0 without it. */
int64_t gm_product_saved(const gm_layer *layer, int64_t N);
void gm_product_commit(gm_layer *layer, const gm_pass *pass);

/* The passes. */
void gm_product_forward(gm_layer *layer, const gm_pass *pass);
void gm_product_backward(gm_layer *layer, const gm_pass *pass);
void gm_product_tangent(gm_layer *layer, const gm_pass *pass);
bool gm_product_dx_over_x(const gm_layer *layer, gm_activation gate);

/* ---- Parts of them, for what multiplies in its own way (normalised_conv.h) ---- */

/* Its convolution, with the arrays as the network stores them. */
gm_conv gm_product_geometry(const gm_layer *layer);

/* The kernel of a forward pass, the parameter or its normalised form; and the same afterwards. */
const float *gm_product_new_kernel(gm_layer *layer, const gm_pass *pass);
const float *gm_product_kernel(const gm_layer *layer, const gm_pass *pass);

/* Bias and activation. */
gm_epilogue gm_product_epilogue(const gm_layer *layer, const gm_pass *pass);

/* Where the gradient of the kernel in use goes, added or not; the end carries it on to the parameter's. */
typedef struct gm_kernel_gradient {
    float *at; /* (kernel) */
    bool add;
} gm_kernel_gradient;

gm_kernel_gradient gm_product_begin_gradient(gm_layer *layer, const gm_pass *pass);
void gm_product_end_gradient(gm_layer *layer, const gm_pass *pass);

void gm_product_backward_bias(gm_layer *layer, const gm_pass *pass);

#endif
