#include "layers/layer.h"

#include <string.h>

#include "layers/ops.h"

static const gm_layer_ops *const all_ops[] = {
    &gm_dense_ops,
    &gm_conv2d_ops,
    &gm_conv2d_transpose_ops,
    &gm_batch_norm_ops,
    &gm_relu_ops,
    &gm_leaky_relu_ops,
    &gm_tanh_ops,
    &gm_sigmoid_ops,
    &gm_dropout_ops,
    &gm_flatten_ops,
    &gm_reshape_ops,
    &gm_layer_norm_ops,
    &gm_lstm_ops,
    &gm_max_pool2d_ops,
    &gm_avg_pool2d_ops,
    &gm_global_max_pool2d_ops,
    &gm_global_avg_pool2d_ops,
    &gm_up_sampling2d_ops,
};

static const gm_layer_ops *ops_of(const char *kind) {
    for (size_t i = 0; kind && i < sizeof all_ops / sizeof *all_ops; i++)
        if (strcmp(all_ops[i]->name, kind) == 0) return all_ops[i];
    return NULL;
}

gm_status gm_layer_create(const gm_layer_config *config, uint64_t index, const gm_shape *input, gm_layer *layer,
                          gm_error *error) {
    const gm_layer_ops *ops = ops_of(config->kind);
    GM_REQUIRE(ops, error, GM_VALUE_ERROR, "layer %" PRIu64 ": there is no layer kind named '%.40s'", index,
               config->kind ? config->kind : "");
    *layer = (gm_layer){.ops = ops, .config = *config, .in = *input, .index = index};
    layer->config.kind = ops->name; /* the caller's string may go */
    GM_TRY(gm_shape_size(&layer->in, &layer->in_size, "layer input", error));
    GM_TRY(ops->resolve(layer, error));
    layer->conv.precision = config->precision;
    return gm_shape_size(&layer->out, &layer->out_size, ops->name, error);
}

gm_status gm_layer_add_parameter(gm_layer *layer, const char *name, gm_shape shape, bool trainable,
                                 gm_initializer initializer, int64_t fan_in, int64_t fan_out, gm_error *error) {
    gm_parameter parameter = {.name = name,
                              .shape = shape,
                              .trainable = trainable,
                              .initializer = initializer,
                              .fan_in = fan_in,
                              .fan_out = fan_out};
    GM_TRY(gm_shape_size(&shape, &parameter.count, layer->ops->name, error));
    layer->parameter[layer->parameter_count++] = parameter;
    return GM_OK;
}
