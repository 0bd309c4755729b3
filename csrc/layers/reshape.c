/* Flatten and Reshape: the same values in another shape, the same memory. */
#include "layers/ops.h"

static gm_status resolve_flatten(gm_layer *layer, gm_error *error) {
    (void)error;
    layer->out = (gm_shape){1, {layer->in_size}};
    return GM_OK;
}

static gm_status resolve_reshape(gm_layer *layer, gm_error *error) {
    const gm_shape *shape = &layer->config.shape;
    char from[GM_SHAPE_TEXT], to[GM_SHAPE_TEXT];
    int64_t size;
    GM_TRY(gm_shape_size(shape, &size, "Reshape", error));
    GM_REQUIRE(size == layer->in_size, error, GM_VALUE_ERROR,
               GM_LAYER "shape %s has %" PRId64 " values, the input %s has %" PRId64, GM_LAYER_ARGUMENTS(layer),
               gm_shape_text(shape, to), size, gm_shape_text(&layer->in, from), layer->in_size);
    layer->out = *shape;
    return GM_OK;
}

const gm_layer_ops gm_flatten_ops = {.name = "Flatten", .resolve = resolve_flatten, .is_view = true};
const gm_layer_ops gm_reshape_ops = {.name = "Reshape", .resolve = resolve_reshape, .is_view = true};
