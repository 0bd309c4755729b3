/* MaxPool2D, AvgPool2D and their global forms, whose one window is the whole image: (H, W, C) -> (C).
 *
 * The largest value is the first of equals, and a NaN; padding never wins. A mean is of the pixels that are no padding.
 * `saved` of the max pools holds, for every output, the pixel it came from. */
#include "kernels/pool.h"
#include "layers/ops.h"
#include "layers/window.h"

/* Sizes that the sums of window and padding bear; what a window covers is bounded by the image. */
enum { LARGEST_POOL = 1 << 20 };

/* Half a window of padding at most on either side: so each window holds a pixel. */
static gm_status check_padding(const gm_layer *layer, gm_error *error) {
    const int64_t *pad = layer->config.pad, *size = layer->config.kernel_size;
    GM_REQUIRE(layer->config.padding != GM_PADDING_EXPLICIT || (pad[0] <= size[0] / 2 && pad[1] <= size[1] / 2), error,
               GM_VALUE_ERROR,
               GM_LAYER "padding (%" PRId64 ", %" PRId64 ") must be at most half of pool_size (%" PRId64 ", %" PRId64
                        ")",
               GM_LAYER_ARGUMENTS(layer), pad[0], pad[1], size[0], size[1]);
    return GM_OK;
}

static gm_status resolve(gm_layer *layer, gm_error *error) {
    GM_TRY(gm_window_check_sizes(layer, "pool_size", LARGEST_POOL, error));
    GM_TRY(check_padding(layer, error));
    return gm_window_resolve(layer, layer->in.dim[2], error);
}

static gm_status resolve_global(gm_layer *layer, gm_error *error) {
    GM_TRY(gm_image_check(layer, error));
    int64_t H = layer->in.dim[0], W = layer->in.dim[1], C = layer->in.dim[2];
    layer->conv =
        (gm_conv){.H = H, .W = W, .C = C, .P = 1, .Q = 1, .K = C, .R = H, .S = W, .stride_h = 1, .stride_w = 1};
    layer->out = (gm_shape){1, {C}};
    return GM_OK;
}

/* ---- The largest value ---- */

_Static_assert(sizeof(int32_t) == sizeof(float), "the places of the largest values lie in floats");

/* Places are pixels' numbers, in 32 bits. */
static gm_status check_pixels(const gm_layer *layer, gm_error *error) {
    int64_t pixels = layer->conv.H * layer->conv.W;
    GM_REQUIRE(pixels <= INT32_MAX, error, GM_OVERFLOW_ERROR,
               GM_LAYER "the input has %" PRId64 " pixels, at most %" PRId32 " are possible", GM_LAYER_ARGUMENTS(layer),
               pixels, INT32_MAX);
    return GM_OK;
}

static gm_status resolve_max(gm_layer *layer, gm_error *error) {
    GM_TRY(resolve(layer, error));
    return check_pixels(layer, error);
}

static gm_status resolve_global_max(gm_layer *layer, gm_error *error) {
    GM_TRY(resolve_global(layer, error));
    return check_pixels(layer, error);
}

static int32_t *places(const gm_pass *pass) { return (int32_t *)(void *)pass->saved; }

static int64_t max_saved(const gm_layer *layer, int64_t N) { return N * layer->out_size; }

static void max_forward(gm_layer *layer, const gm_pass *pass) {
    gm_max_pool(&layer->conv, pass->N, pass->x, pass->y, places(pass));
}

static void max_backward(gm_layer *layer, const gm_pass *pass) {
    if (pass->dx) gm_max_pool_backward(&layer->conv, pass->N, places(pass), pass->dy, pass->dx);
}

static void max_tangent(gm_layer *layer, const gm_pass *pass) {
    gm_max_pool_take(&layer->conv, pass->N, places(pass), pass->x, pass->y);
}

/* ---- The mean ---- */

static void mean_forward(gm_layer *layer, const gm_pass *pass) {
    gm_window_sums(&layer->conv, pass->N, true, pass->x, pass->y);
}

static void mean_backward(gm_layer *layer, const gm_pass *pass) {
    if (pass->dx) gm_window_spread(&layer->conv, pass->N, true, pass->dy, pass->dx);
}

const gm_layer_ops gm_max_pool2d_ops = {
    .name = "MaxPool2D",
    .resolve = resolve_max,
    .saved = max_saved,
    .forward = max_forward,
    .backward = max_backward,
    .tangent = max_tangent,
};
const gm_layer_ops gm_avg_pool2d_ops = {
    .name = "AvgPool2D",
    .resolve = resolve,
    .forward = mean_forward,
    .backward = mean_backward,
    .tangent = mean_forward,
};
const gm_layer_ops gm_global_max_pool2d_ops = {
    .name = "GlobalMaxPool2D",
    .resolve = resolve_global_max,
    .saved = max_saved,
    .forward = max_forward,
    .backward = max_backward,
    .tangent = max_tangent,
};
const gm_layer_ops gm_global_avg_pool2d_ops = {
    .name = "GlobalAvgPool2D",
    .resolve = resolve_global,
    .forward = mean_forward,
    .backward = mean_backward,
    .tangent = mean_forward,
};
