/* y = x W + b; x (N, in), W (in, out), b (out): a 1 x 1 convolution of a 1 x 1 image. */
#include "layers/ops.h"
#include "layers/product.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    int64_t in = layer->in_size, units = layer->config.units;
    char text[GM_SHAPE_TEXT];
    GM_REQUIRE(layer->in.rank == 1, error, GM_VALUE_ERROR,
               GM_LAYER "input %s must have 1 dimension (add Flatten() before it)", GM_LAYER_ARGUMENTS(layer),
               gm_shape_text(&layer->in, text));
    GM_REQUIRE(units >= 1, error, GM_VALUE_ERROR, GM_LAYER "units is %" PRId64 ", must be at least 1",
               GM_LAYER_ARGUMENTS(layer), units);
    layer->out = (gm_shape){1, {units}};
    layer->conv = gm_conv_of_pixels(in, units);
    return gm_product_add_parameters(layer, (gm_shape){2, {in, units}}, units, error);
}

static bool leaves_kernel(const gm_layer *layer) {
    return !layer->config.spectral_norm && gm_conv_gives_weights(&layer->conv);
}

const gm_layer_ops gm_dense_ops = {
    .name = "Dense",
    .resolve = resolve,
    .saved = gm_product_saved,
    .workspace = gm_product_workspace,
    .products = gm_product_products,
    .forward = gm_product_forward,
    .backward = gm_product_backward,
    .tangent = gm_product_tangent,
    .dx_over_x = gm_product_dx_over_x,
    .leaves_kernel = leaves_kernel,
    .commit = gm_product_commit,
    .sets_gradients = true,
    .applies_act = true,
};
