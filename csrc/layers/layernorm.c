/* Layer normalisation (Ba, Kiros, Hinton 2016) over the last axis: kernels/layernorm.h has the formulas. `saved` holds
 * two doubles a row. */
#include <math.h>

#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/layernorm.h"
#include "layers/ops.h"

enum { GAMMA, BETA };

static int64_t channel_count(const gm_layer *layer) { return gm_shape_channels(&layer->in); }

static int64_t row_count(const gm_layer *layer, int64_t N) { return N * (layer->in_size / channel_count(layer)); }

static double *statistics(const gm_pass *pass) { return (double *)(void *)pass->saved; }

static gm_status resolve(gm_layer *layer, gm_error *error) {
    float epsilon = layer->config.epsilon;
    GM_REQUIRE(layer->in.rank >= 1, error, GM_VALUE_ERROR, GM_LAYER "the input has no last axis",
               GM_LAYER_ARGUMENTS(layer));
    GM_REQUIRE(epsilon >= 1e-12f && isfinite(epsilon), error, GM_VALUE_ERROR,
               GM_LAYER "epsilon is %g, must be finite and at least 1e-12", GM_LAYER_ARGUMENTS(layer), (double)epsilon);
    gm_shape shape = {1, {channel_count(layer)}};
    layer->out = layer->in;
    GM_TRY(gm_layer_add_parameter(layer, "gamma", shape, true, GM_INIT_ONES, 0, 0, error));
    return gm_layer_add_parameter(layer, "beta", shape, true, GM_INIT_ZEROS, 0, 0, error);
}

static int64_t saved(const gm_layer *layer, int64_t N) { return row_count(layer, N) * 2 * GM_DOUBLE_FLOATS; }

static int64_t workspace(const gm_layer *layer, int64_t N) {
    return gm_channels_workspace(row_count(layer, N), channel_count(layer));
}

static void forward(gm_layer *layer, const gm_pass *pass) {
    gm_normalise_rows(row_count(layer, pass->N), channel_count(layer), (double)layer->config.epsilon, pass->x,
                      layer->parameter[GAMMA].value, layer->parameter[BETA].value, pass->act, statistics(pass),
                      pass->y);
}

static void backward(gm_layer *layer, const gm_pass *pass) {
    const gm_parameter *gamma = &layer->parameter[GAMMA], *beta = &layer->parameter[BETA];
    gm_channels channels = gm_channels_of(row_count(layer, pass->N), channel_count(layer));
    if (!pass->frozen) gm_add_channel_sums(&channels, pass->dy, beta->gradient, pass->workspace);
    gm_normalise_rows_backward(row_count(layer, pass->N), channel_count(layer), statistics(pass), gamma->value, pass->x,
                               pass->gate_act, pass->dy, pass->dx);
    if (!pass->frozen) gm_add_channel_sums(&channels, pass->dy, gamma->gradient, pass->workspace);
}

const gm_layer_ops gm_layer_norm_ops = {
    .name = "LayerNorm",
    .resolve = resolve,
    .saved = saved,
    .workspace = workspace,
    .forward = forward,
    .backward = backward,
    .applies_act = true,
};
