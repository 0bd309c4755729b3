#include "layers/window.h"

#include "base/sizes.h"

/* Kernel rows: what kernels/conv_gather.c keeps a list for. Strides: it works by phases, stride x stride of them. Padding:
 * beyond any use, and sums and products cannot overflow. */
enum { LARGEST_WINDOW = GM_MAX_KERNEL, LARGEST_PADDING = 1 << 20 };

static gm_status check_pair(const gm_layer *layer, const char *name, const int64_t pair[2], int64_t least, int64_t most,
                            gm_error *error) {
    GM_REQUIRE(pair[0] >= least && pair[1] >= least && pair[0] <= most && pair[1] <= most, error, GM_VALUE_ERROR,
               GM_LAYER "%s (%" PRId64 ", %" PRId64 ") must be %" PRId64 " to %" PRId64, GM_LAYER_ARGUMENTS(layer),
               name, pair[0], pair[1], least, most);
    return GM_OK;
}

gm_status gm_image_check(const gm_layer *layer, gm_error *error) {
    char text[GM_SHAPE_TEXT];
    GM_REQUIRE(layer->in.rank == 3, error, GM_VALUE_ERROR,
               GM_LAYER "input %s must have 3 dimensions: rows, columns, channels (add Reshape before it)",
               GM_LAYER_ARGUMENTS(layer), gm_shape_text(&layer->in, text));
    return GM_OK;
}

gm_status gm_window_check_sizes(const gm_layer *layer, const char *name, int64_t largest, gm_error *error) {
    const gm_layer_config *config = &layer->config;
    GM_TRY(gm_image_check(layer, error));
    GM_TRY(check_pair(layer, name, config->kernel_size, 1, largest, error));
    GM_TRY(check_pair(layer, "strides", config->strides, 1, largest, error));
    if (config->padding == GM_PADDING_EXPLICIT)
        GM_TRY(check_pair(layer, "padding", config->pad, 0, LARGEST_PADDING, error));
    return GM_OK;
}

gm_status gm_window_check(const gm_layer *layer, gm_error *error) {
    GM_TRY(gm_window_check_sizes(layer, "kernel_size", LARGEST_WINDOW, error));
    GM_REQUIRE(layer->config.filters >= 1, error, GM_VALUE_ERROR, GM_LAYER "filters is %" PRId64 ", must be at least 1",
               GM_LAYER_ARGUMENTS(layer), layer->config.filters);
    return GM_OK;
}

gm_status gm_window_axis(const gm_layer *layer, int axis, int64_t in, int64_t *out, int64_t *before, gm_error *error) {
    static const int64_t none[2] = {0, 0};
    const gm_layer_config *config = &layer->config;
    int64_t k = config->kernel_size[axis], stride = config->strides[axis];
    if (config->padding == GM_PADDING_SAME) {
        *out = ceil_div(in, stride);
        *before = max_of(0, (*out - 1) * stride + k - in) / 2; /* the odd one goes behind */
        return GM_OK;
    }
    const int64_t *pad = config->padding == GM_PADDING_EXPLICIT ? config->pad : none;
    int64_t padded[2] = {layer->in.dim[0] + 2 * pad[0], layer->in.dim[1] + 2 * pad[1]};
    GM_REQUIRE(k <= padded[axis], error, GM_VALUE_ERROR,
               GM_LAYER "the window (%" PRId64 ", %" PRId64 ") exceeds the padded input (%" PRId64 ", %" PRId64 ")",
               GM_LAYER_ARGUMENTS(layer), config->kernel_size[0], config->kernel_size[1], padded[0], padded[1]);
    *before = pad[axis];
    *out = (padded[axis] - k) / stride + 1;
    return GM_OK;
}

gm_status gm_window_resolve(gm_layer *layer, int64_t K, gm_error *error) {
    const gm_layer_config *config = &layer->config;
    gm_conv g = {.H = layer->in.dim[0], .W = layer->in.dim[1], .C = layer->in.dim[2], .K = K};
    g.R = config->kernel_size[0], g.S = config->kernel_size[1];
    g.stride_h = config->strides[0], g.stride_w = config->strides[1];
    GM_TRY(gm_window_axis(layer, 0, g.H, &g.P, &g.pad_top, error));
    GM_TRY(gm_window_axis(layer, 1, g.W, &g.Q, &g.pad_left, error));
    layer->conv = g;
    layer->out = (gm_shape){3, {g.P, g.Q, g.K}};
    return GM_OK;
}
