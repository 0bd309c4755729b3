/* 2-D convolution; x (N, H, W, C), kernel (kh, kw, C, K), y (N, P, Q, K). */
#include "layers/ops.h"
#include "layers/product.h"
#include "layers/window.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    GM_TRY(gm_window_check(layer, error));
    GM_TRY(gm_window_resolve(layer, layer->config.filters, error));
    const gm_conv *g = &layer->conv;
    return gm_product_add_parameters(layer, (gm_shape){4, {g->R, g->S, g->C, g->K}}, g->K, error);
}

const gm_layer_ops gm_conv2d_ops = {
    .name = "Conv2D",
    .resolve = resolve,
    .saved = gm_product_saved,
    .workspace = gm_product_workspace,
    .products = gm_product_products,
    .takes_pairs = gm_product_takes_pairs,
    .forward = gm_product_forward,
    .backward = gm_product_backward,
    .tangent = gm_product_tangent,
    .dx_over_x = gm_product_dx_over_x,
    .commit = gm_product_commit,
    .sets_gradients = true,
    .applies_act = true,
};
