/* Batch normalisation (Ioffe and Szegedy 2015) over every axis but the last:
 *     y = gamma * (x - mean) / sqrt(var + epsilon) + beta
 * In training mean and (biased) variance are the batch's, in inference the moving ones. Sums are in double. The mean is
 * used in two parts: its nearest float, subtracted first, and the rest, which goes into the shift; so little is lost
 * where the mean is large beside the deviation. Backward, with d = dy * gamma / sqrt(var + epsilon):
 *     dx = d - mean(d) - x^ * mean(d * x^),   x^ = (x - mean) / sqrt(var + epsilon). */
#include "layers/batchnorm.h"

#include <math.h>

#include "base/sizes.h"
#include "layers/ops.h"

enum { GAMMA, BETA, MOVING_MEAN, MOVING_VAR };
enum { SUMS = 2, VECTORS = 6 };

/* Of each channel, (C) each; in `saved` until the backward pass and the commit. */
typedef struct statistics {
    double *mean, *variance; /* variance: biased */
    double *correction;      /* one value: unbiased = biased * correction */
} statistics;

static statistics statistics_in(float *memory, int64_t C) {
    double *at = (double *)(void *)memory;
    return (statistics){at, at + C, at + 2 * C};
}

static int64_t channel_count(const gm_layer *layer) { return gm_shape_channels(&layer->in); }

static gm_channels channels_of(const gm_layer *layer, int64_t N) {
    gm_channels channels = gm_channels_of(N * (layer->in_size / channel_count(layer)), channel_count(layer));
    channels.in_pairs = (gm_in_pairs){layer->x_pairs, layer->y_pairs};
    return channels;
}

static gm_status resolve(gm_layer *layer, gm_error *error) {
    float momentum = layer->config.momentum, epsilon = layer->config.epsilon;
    GM_REQUIRE(layer->in.rank >= 1, error, GM_VALUE_ERROR, GM_LAYER "the input has no channel axis",
               GM_LAYER_ARGUMENTS(layer));
    GM_REQUIRE(momentum >= 0 && momentum <= 1, error, GM_VALUE_ERROR, GM_LAYER "momentum is %g, must be 0 to 1",
               GM_LAYER_ARGUMENTS(layer), (double)momentum);
    GM_REQUIRE(epsilon >= 1e-12f && isfinite(epsilon), error, GM_VALUE_ERROR,
               GM_LAYER "epsilon is %g, must be finite and at least 1e-12", GM_LAYER_ARGUMENTS(layer), (double)epsilon);
    gm_shape shape = {1, {channel_count(layer)}};
    layer->out = layer->in;
    GM_TRY(gm_layer_add_parameter(layer, "gamma", shape, true, GM_INIT_ONES, 0, 0, error));
    GM_TRY(gm_layer_add_parameter(layer, "beta", shape, true, GM_INIT_ZEROS, 0, 0, error));
    GM_TRY(gm_layer_add_parameter(layer, "moving_mean", shape, false, GM_INIT_ZEROS, 0, 0, error));
    return gm_layer_add_parameter(layer, "moving_var", shape, false, GM_INIT_ONES, 0, 0, error);
}

static int64_t saved(const gm_layer *layer, int64_t N) {
    (void)N;
    return (2 * channel_count(layer) + 1) * GM_DOUBLE_FLOATS;
}

int64_t gm_batch_norm_workspace(const gm_layer *layer, int64_t N) {
    gm_channels channels = channels_of(layer, N);
    int64_t sums = SUMS * GM_DOUBLE_FLOATS * channels.C + VECTORS * channels.width;
    return sums + gm_channels_workspace(channels.n / channels.C, channels.C);
}

/* An even number of floats lies before the rest, so that it can hold doubles. */
gm_batch_norm gm_batch_norm_begin(const gm_layer *layer, const gm_pass *pass) {
    gm_channels channels = channels_of(layer, pass->N);
    double *sums = (double *)(void *)pass->workspace;
    float *vectors = pass->workspace + SUMS * GM_DOUBLE_FLOATS * channels.C;
    int64_t W = channels.width;
    return (gm_batch_norm){.channels = channels,
                           .first = sums,
                           .second = sums + channels.C,
                           .center = vectors,
                           .scale = vectors + W,
                           .shift = vectors + 2 * W,
                           .a = vectors + 3 * W,
                           .b = vectors + 4 * W,
                           .c = vectors + 5 * W,
                           .rest = vectors + VECTORS * W};
}

static void take_statistics(const gm_pass *pass, gm_batch_norm *norm) {
    const gm_channels *channels = &norm->channels;
    statistics batch = statistics_in(pass->saved, channels->C);
    double count = (double)(channels->n / channels->C);
    gm_channel_moments(channels, pass->x, norm->first, norm->second, norm->rest);
    for (int64_t c = 0; c < channels->C; c++) {
        double mean = norm->first[c] / count, variance = norm->second[c] / count - mean * mean;
        batch.mean[c] = mean;
        batch.variance[c] = variance < 0 ? 0 : variance; /* rounding; a NaN stays */
    }
    batch.correction[0] = count > 1 ? count / (count - 1) : 1;
}

void gm_batch_norm_recall(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm) {
    const gm_channels *channels = &norm->channels;
    const gm_parameter *p = layer->parameter;
    statistics batch = statistics_in(pass->saved, channels->C);
    for (int64_t c = 0; c < channels->C; c++) {
        double mean = pass->training ? batch.mean[c] : (double)p[MOVING_MEAN].value[c];
        double variance = pass->training ? batch.variance[c] : (double)p[MOVING_VAR].value[c];
        double scale = (double)p[GAMMA].value[c] / sqrt(variance + (double)layer->config.epsilon);
        norm->center[c] = (float)mean;
        norm->scale[c] = (float)scale;
        norm->shift[c] = (float)((double)p[BETA].value[c] - (mean - (double)norm->center[c]) * scale);
    }
    gm_channels_repeat(channels, norm->center);
    gm_channels_repeat(channels, norm->scale);
    gm_channels_repeat(channels, norm->shift);
}

void gm_batch_norm_measure(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm) {
    if (pass->training) take_statistics(pass, norm);
    gm_batch_norm_recall(layer, pass, norm);
}

static void forward(gm_layer *layer, const gm_pass *pass) {
    gm_batch_norm norm = gm_batch_norm_begin(layer, pass);
    gm_batch_norm_measure(layer, pass, &norm);
    gm_channel_affine(&norm.channels, pass->x, norm.center, norm.scale, norm.shift, pass->act, pass->y);
}

void gm_batch_norm_derive(gm_layer *layer, const gm_pass *pass, gm_batch_norm *norm) {
    const gm_channels *channels = &norm->channels;
    statistics batch = statistics_in(pass->saved, channels->C);
    const gm_parameter *gamma = &layer->parameter[GAMMA], *beta = &layer->parameter[BETA];
    double count = (double)(channels->n / channels->C);
    for (int64_t c = 0; c < channels->C; c++) {
        double rest = batch.mean[c] - (double)norm->center[c];
        double inverse = 1 / sqrt(batch.variance[c] + (double)layer->config.epsilon);
        double product = (norm->second[c] - rest * norm->first[c]) * inverse; /* sum of dy * x^ */
        double scale = (double)gamma->value[c] * inverse;
        if (!pass->frozen) {
            beta->gradient[c] += (float)norm->first[c];
            gamma->gradient[c] += (float)product;
        }
        norm->a[c] = (float)scale;
        norm->b[c] = (float)(-scale * inverse * product / count);
        norm->c[c] = (float)(-scale * norm->first[c] / count - (double)norm->b[c] * rest);
    }
    gm_channels_repeat(channels, norm->a);
    gm_channels_repeat(channels, norm->b);
    gm_channels_repeat(channels, norm->c);
}

static void backward(gm_layer *layer, const gm_pass *pass) {
    gm_batch_norm norm = gm_batch_norm_begin(layer, pass);
    gm_batch_norm_recall(layer, pass, &norm);
    gm_channel_products(&norm.channels, pass->dy, pass->x, norm.center, norm.first, norm.second, norm.rest);
    gm_batch_norm_derive(layer, pass, &norm);
    if (!pass->dx) return;
    gm_channel_terms terms = {norm.center, norm.a, norm.b, norm.c};
    gm_channel_blend(&norm.channels, pass->dy, pass->x, &terms, pass->gate_act, pass->dx);
}

/* A value that no float holds (a variance above 1e38 of a batch that was still finite) is not taken over. */
static void move(float *moving, double value, double momentum) {
    double next = (1 - momentum) * (double)*moving + momentum * value;
    if (isfinite((float)next)) *moving = (float)next;
}

static void commit(gm_layer *layer, const gm_pass *pass) {
    statistics batch = statistics_in(pass->saved, channel_count(layer));
    double momentum = (double)layer->config.momentum;
    for (int64_t c = 0; c < channel_count(layer); c++) {
        move(&layer->parameter[MOVING_MEAN].value[c], batch.mean[c], momentum);
        move(&layer->parameter[MOVING_VAR].value[c], batch.variance[c] * batch.correction[0], momentum);
    }
}

static bool takes_pairs(const gm_layer *layer) { return layer->config.precision == GM_BF16; }

const gm_layer_ops gm_batch_norm_ops = {
    .name = "BatchNorm",
    .resolve = resolve,
    .saved = saved,
    .workspace = gm_batch_norm_workspace,
    .takes_pairs = takes_pairs,
    .forward = forward,
    .backward = backward,
    .commit = commit,
    .centres_dx = true,
    .applies_act = true,
    .in_place = true,
};
