/* Transposed 2-D convolution: the adjoint of a convolution, whose map is the input and whose image is the output;
 * x (N, P, Q, K), kernel (kh, kw, C, K), y (N, H, W, C). */
#include "layers/ops.h"
#include "layers/product.h"
#include "layers/window.h"

/* Rows or columns of the output, and the zeros before them in the convolution whose adjoint this is. */
static gm_status output_axis(const gm_layer *layer, int axis, int64_t *out, int64_t *before, gm_error *error) {
    const gm_layer_config *config = &layer->config;
    int64_t in = layer->in.dim[axis], k = config->kernel_size[axis], stride = config->strides[axis];
    if (config->padding == GM_PADDING_SAME) {
        int64_t map;
        GM_TRY(gm_size_multiply(in, stride, out, layer->ops->name, error));
        return gm_window_axis(layer, axis, *out, &map, before, error);
    }
    *before = config->padding == GM_PADDING_EXPLICIT ? config->pad[axis] : 0;
    *out = (in - 1) * stride + k - 2 * *before + config->output_padding[axis];
    GM_REQUIRE(*out >= 1, error, GM_VALUE_ERROR,
               GM_LAYER "the output would have %" PRId64 " %s: padding %" PRId64 " is too large for input %" PRId64
                        ", kernel_size %" PRId64,
               GM_LAYER_ARGUMENTS(layer), *out, axis ? "columns" : "rows", *before, in, k);
    return GM_OK;
}

static gm_status check_output_padding(const gm_layer *layer, gm_error *error) {
    const gm_layer_config *config = &layer->config;
    const int64_t *extra = config->output_padding;
    GM_REQUIRE(config->padding == GM_PADDING_EXPLICIT || (extra[0] == 0 && extra[1] == 0), error, GM_VALUE_ERROR,
               GM_LAYER "output_padding (%" PRId64 ", %" PRId64 ") needs explicit padding, not \"same\" or \"valid\"",
               GM_LAYER_ARGUMENTS(layer), extra[0], extra[1]);
    for (int axis = 0; axis < 2; axis++)
        GM_REQUIRE(extra[axis] >= 0 && extra[axis] < config->strides[axis], error, GM_VALUE_ERROR,
                   GM_LAYER "output_padding (%" PRId64 ", %" PRId64 ") must be 0 or more and below strides (%" PRId64
                            ", %" PRId64 ")",
                   GM_LAYER_ARGUMENTS(layer), extra[0], extra[1], config->strides[0], config->strides[1]);
    return GM_OK;
}

static gm_status resolve(gm_layer *layer, gm_error *error) {
    GM_TRY(gm_window_check(layer, error));
    GM_TRY(check_output_padding(layer, error));
    const gm_layer_config *config = &layer->config;
    gm_conv g = {.C = config->filters, .P = layer->in.dim[0], .Q = layer->in.dim[1], .K = layer->in.dim[2]};
    g.R = config->kernel_size[0], g.S = config->kernel_size[1];
    g.stride_h = config->strides[0], g.stride_w = config->strides[1];
    GM_TRY(output_axis(layer, 0, &g.H, &g.pad_top, error));
    GM_TRY(output_axis(layer, 1, &g.W, &g.pad_left, error));
    layer->conv = g;
    layer->out = (gm_shape){3, {g.H, g.W, g.C}};
    return gm_product_add_parameters(layer, (gm_shape){4, {g.R, g.S, g.C, g.K}}, g.C, error);
}

const gm_layer_ops gm_conv2d_transpose_ops = {
    .name = "Conv2DTranspose",
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
