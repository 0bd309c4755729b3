/* 2-D convolution; x (N, H, W, C), kernel (kh, kw, C, K), y (N, P, Q, K). */
#include "layers/ops.h"
#include "layers/product.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    GM_TRY(gm_window_check(layer, error));
    const gm_layer_config *config = &layer->config;
    gm_conv g = {.H = layer->in.dim[0], .W = layer->in.dim[1], .C = layer->in.dim[2], .K = config->filters};
    g.R = config->kernel_size[0], g.S = config->kernel_size[1];
    g.stride_h = config->strides[0], g.stride_w = config->strides[1];
    GM_TRY(gm_window_axis(layer, 0, g.H, &g.P, &g.pad_top, error));
    GM_TRY(gm_window_axis(layer, 1, g.W, &g.Q, &g.pad_left, error));
    layer->conv = g;
    layer->out = (gm_shape){3, {g.P, g.Q, g.K}};
    return gm_product_add_parameters(layer, (gm_shape){4, {g.R, g.S, g.C, g.K}}, g.K, error);
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
    .commit = gm_product_commit,
    .sets_gradients = true,
    .applies_act = true,
};
