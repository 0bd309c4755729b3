/* The operations of every kind of layer; layer.c finds them by name. */
#ifndef GM_LAYERS_OPS_H
#define GM_LAYERS_OPS_H

#include "layers/layer.h"

extern const gm_layer_ops gm_dense_ops, gm_conv2d_ops, gm_conv2d_transpose_ops, gm_batch_norm_ops;
extern const gm_layer_ops gm_relu_ops, gm_leaky_relu_ops, gm_tanh_ops, gm_sigmoid_ops;
extern const gm_layer_ops gm_layer_norm_ops, gm_lstm_ops, gm_max_pool2d_ops, gm_avg_pool2d_ops;
extern const gm_layer_ops gm_global_max_pool2d_ops, gm_global_avg_pool2d_ops, gm_up_sampling2d_ops;
extern const gm_layer_ops gm_dropout_ops, gm_flatten_ops, gm_reshape_ops;

#endif
