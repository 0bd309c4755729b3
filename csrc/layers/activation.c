/* Pointwise activations. Mostly the layer before applies them in its epilogue and nothing here runs. */
#include <math.h>

#include "kernels/arrays.h"
#include "layers/ops.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    float slope = layer->config.negative_slope;
    bool has_slope = layer->ops == &gm_leaky_relu_ops;
    GM_REQUIRE(!has_slope || (slope >= 0 && isfinite(slope)), error, GM_VALUE_ERROR,
               GM_LAYER "negative_slope is %g, must be finite and at least 0", GM_LAYER_ARGUMENTS(layer),
               (double)slope);
    layer->out = layer->in;
    return GM_OK;
}

static void forward(gm_layer *layer, const gm_pass *pass) {
    gm_activate(layer->ops->activation(layer), pass->N * layer->out_size, pass->x, pass->y);
}

/* The slope on the side of the kink where the output, `gate`, lies. */
static void tangent(gm_layer *layer, const gm_pass *pass) {
    gm_activate_backward(layer->ops->activation(layer), pass->N * layer->out_size, pass->gate, pass->x, pass->y);
}

static gm_activation relu(const gm_layer *layer) {
    (void)layer;
    return (gm_activation){GM_LEAKY_RELU, 0.0f};
}

static gm_activation leaky_relu(const gm_layer *layer) {
    return (gm_activation){GM_LEAKY_RELU, layer->config.negative_slope};
}

static gm_activation hyperbolic_tangent(const gm_layer *layer) {
    (void)layer;
    return (gm_activation){GM_TANH, 0.0f};
}

static gm_activation sigmoid(const gm_layer *layer) {
    (void)layer;
    return (gm_activation){GM_SIGMOID, 0.0f};
}

const gm_layer_ops gm_relu_ops = {
    .name = "ReLU", .resolve = resolve, .forward = forward, .tangent = tangent, .activation = relu};
const gm_layer_ops gm_leaky_relu_ops = {
    .name = "LeakyReLU", .resolve = resolve, .forward = forward, .tangent = tangent, .activation = leaky_relu};
const gm_layer_ops gm_tanh_ops = {
    .name = "Tanh", .resolve = resolve, .forward = forward, .activation = hyperbolic_tangent};
const gm_layer_ops gm_sigmoid_ops = {.name = "Sigmoid", .resolve = resolve, .forward = forward, .activation = sigmoid};
