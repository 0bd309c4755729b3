/* UpSampling2D, nearest neighbour: every pixel becomes a rectangle of `size` equal ones. The adjoint of the sums over
 * those rectangles, which are windows side by side. */
#include "kernels/pool.h"
#include "layers/ops.h"
#include "layers/window.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    const int64_t *size = layer->config.size;
    GM_TRY(gm_image_check(layer, error));
    GM_REQUIRE(size[0] >= 1 && size[1] >= 1, error, GM_VALUE_ERROR,
               GM_LAYER "size (%" PRId64 ", %" PRId64 ") must be at least 1", GM_LAYER_ARGUMENTS(layer), size[0],
               size[1]);
    int64_t P = layer->in.dim[0], Q = layer->in.dim[1], C = layer->in.dim[2], H, W;
    GM_TRY(gm_size_multiply(P, size[0], &H, layer->ops->name, error));
    GM_TRY(gm_size_multiply(Q, size[1], &W, layer->ops->name, error));
    layer->conv = (gm_conv){.H = H,
                            .W = W,
                            .C = C,
                            .P = P,
                            .Q = Q,
                            .K = C,
                            .R = size[0],
                            .S = size[1],
                            .stride_h = size[0],
                            .stride_w = size[1]};
    layer->out = (gm_shape){3, {H, W, C}};
    return GM_OK;
}

static void forward(gm_layer *layer, const gm_pass *pass) {
    gm_window_spread(&layer->conv, pass->N, false, pass->x, pass->y);
}

static void backward(gm_layer *layer, const gm_pass *pass) {
    if (pass->dx) gm_window_sums(&layer->conv, pass->N, false, pass->dy, pass->dx);
}

const gm_layer_ops gm_up_sampling2d_ops = {
    .name = "UpSampling2D",
    .resolve = resolve,
    .forward = forward,
    .backward = backward,
    .tangent = forward,
};
