/* Inverted dropout (Srivastava et al. 2014): in training each value is zeroed with probability `rate` and the others
 * are divided by 1 - rate; in inference nothing happens. `saved` holds the mask, one byte a value. */
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "layers/ops.h"

static gm_status resolve(gm_layer *layer, gm_error *error) {
    float rate = layer->config.rate;
    GM_REQUIRE(rate >= 0 && rate < 1, error, GM_VALUE_ERROR, GM_LAYER "rate is %g, must be at least 0 and below 1",
               GM_LAYER_ARGUMENTS(layer), (double)rate);
    layer->out = layer->in;
    return GM_OK;
}

static int64_t saved(const gm_layer *layer, int64_t N) { return ceil_div(N * layer->in_size, (int64_t)sizeof(float)); }

static void forward(gm_layer *layer, const gm_pass *pass) {
    gm_dropout(&pass->random, layer->config.rate, pass->N * layer->in_size, pass->x, (uint8_t *)pass->saved, pass->y);
}

static void backward(gm_layer *layer, const gm_pass *pass) {
    if (!pass->dx) return;
    gm_dropout_backward(layer->config.rate, pass->N * layer->in_size, (const uint8_t *)pass->saved, pass->dy, pass->dx);
}

static void tangent(gm_layer *layer, const gm_pass *pass) {
    gm_dropout_backward(layer->config.rate, pass->N * layer->in_size, (const uint8_t *)pass->saved, pass->x, pass->y);
}

const gm_layer_ops gm_dropout_ops = {
    .name = "Dropout",
    .resolve = resolve,
    .saved = saved,
    .forward = forward,
    .backward = backward,
    .tangent = tangent,
    .only_training = true,
    .in_place = true,
};
