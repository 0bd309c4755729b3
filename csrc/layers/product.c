#include "layers/product.h"

#include <stddef.h>
#include <string.h>

#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/bfloat.h"
#include "kernels/spectral.h"
#include "kernels/streams.h"
#include "layers/ops.h"

enum { KERNEL, BIAS };

gm_status gm_product_add_parameters(gm_layer *layer, gm_shape kernel, int64_t channels, gm_error *error) {
    int64_t window = 1;
    for (int i = 0; i < kernel.rank - 2; i++) window *= kernel.dim[i];
    int64_t elements;
    GM_TRY(gm_shape_size(&kernel, &elements, layer->ops->name, error)); /* so the fans cannot overflow */
    GM_TRY(gm_layer_add_parameter(layer, "kernel", kernel, true, layer->config.kernel_initializer,
                                  window * kernel.dim[kernel.rank - 2], window * kernel.dim[kernel.rank - 1], error));
    gm_shape by_channel = {1, {channels}};
    if (layer->config.use_bias)
        GM_TRY(gm_layer_add_parameter(layer, "bias", by_channel, true, GM_INIT_ZEROS, 0, 0, error));
    if (!layer->config.spectral_norm) return GM_OK;
    return gm_layer_add_parameter(layer, "u", by_channel, false, GM_INIT_ORTHOGONAL, 1, 0, error);
}

static int64_t output_channels(const gm_layer *layer) { return gm_shape_channels(&layer->out); }

static int64_t output_rows(const gm_layer *layer, int64_t N) { return N * (layer->out_size / output_channels(layer)); }

/* With the input on the map's side. */
static bool is_transposed(const gm_layer *layer) { return layer->ops == &gm_conv2d_transpose_ops; }

gm_conv gm_product_geometry(const gm_layer *layer) {
    gm_conv g = layer->conv;
    g.image_pairs = is_transposed(layer) ? layer->y_pairs : layer->x_pairs;
    g.map_pairs = is_transposed(layer) ? layer->x_pairs : layer->y_pairs;
    return g;
}

bool gm_product_takes_pairs(const gm_layer *layer) { return gm_conv_takes_pairs(&layer->conv); }

int64_t gm_product_products(const gm_layer *layer) { return gm_conv_products(&layer->conv); }

int64_t gm_product_workspace(const gm_layer *layer, int64_t N) {
    gm_conv g = gm_product_geometry(layer);
    int64_t product = gm_conv_workspace(&g, N);
    int64_t sums = gm_channels_workspace(output_rows(layer, N), output_channels(layer));
    return max_of(product, sums);
}

/* ---- The kernel in use ---- */

/* The places of `saved`: u, v and sigma in double, then the normalised kernel and its gradient. */
typedef struct normalised {
    gm_spectral norm;
    float *kernel, *gradient;
} normalised;

static normalised normalised_in(const gm_layer *layer, float *memory) {
    const gm_parameter *kernel = &layer->parameter[KERNEL];
    int64_t O = output_channels(layer), B = is_transposed(layer) ? gm_shape_channels(&kernel->shape) : 1;
    int64_t A = kernel->count / (O * B), doubles = O + A * B + 1;
    double *u = (double *)(void *)memory;
    float *rest = memory + doubles * GM_DOUBLE_FLOATS;
    return (normalised){{A, O, B, u, u + O, u + O + A * B}, rest, rest + kernel->count};
}

int64_t gm_product_saved(const gm_layer *layer, int64_t N) {
    (void)N;
    if (!layer->config.spectral_norm) return 0;
    int64_t kernel = layer->parameter[KERNEL].count, O = output_channels(layer);
    return (O + kernel / O + 1) * GM_DOUBLE_FLOATS + 2 * kernel;
}

static gm_parameter *singular_vector(gm_layer *layer) { return &layer->parameter[layer->parameter_count - 1]; }

void gm_product_commit(gm_layer *layer, const gm_pass *pass) {
    if (!layer->config.spectral_norm) return;
    normalised n = normalised_in(layer, pass->saved);
    gm_spectral_commit(&n.norm, singular_vector(layer)->value);
}

const float *gm_product_new_kernel(gm_layer *layer, const gm_pass *pass) {
    const float *kernel = layer->parameter[KERNEL].value;
    if (!layer->config.spectral_norm) return kernel;
    normalised n = normalised_in(layer, pass->saved);
    gm_spectral_normalise(&n.norm, kernel, singular_vector(layer)->value, pass->training, n.kernel);
    return n.kernel;
}

const float *gm_product_kernel(const gm_layer *layer, const gm_pass *pass) {
    return layer->config.spectral_norm ? normalised_in(layer, pass->saved).kernel : layer->parameter[KERNEL].value;
}

static void clear(const gm_parameter *of) { memset(of->gradient, 0, (size_t)of->count * sizeof *of->gradient); }

gm_kernel_gradient gm_product_begin_gradient(gm_layer *layer, const gm_pass *pass) {
    const gm_parameter *kernel = &layer->parameter[KERNEL];
    if (!layer->config.spectral_norm) return (gm_kernel_gradient){kernel->gradient, !pass->sets_gradients};
    if (pass->sets_gradients) clear(kernel);
    return (gm_kernel_gradient){normalised_in(layer, pass->saved).gradient, false};
}

void gm_product_end_gradient(gm_layer *layer, const gm_pass *pass) {
    if (!layer->config.spectral_norm) return;
    normalised n = normalised_in(layer, pass->saved);
    gm_spectral_backward(&n.norm, n.kernel, n.gradient, layer->parameter[KERNEL].gradient);
}

/* ---- Passes ---- */

/* A product with the kernel: of what goes in, or `back` of what comes out; a transposed layer has these on the other sides of
 * its convolution. */
static void multiply(const gm_layer *layer, const gm_pass *pass, bool back, const float *kernel, const float *from,
                     float *to, gm_epilogue epilogue) {
    gm_conv g = gm_product_geometry(layer);
    const gm_shape *shape = back ? &layer->in : &layer->out;
    bool adjoint = back != is_transposed(layer), pairs = back ? layer->x_pairs : layer->y_pairs;
    int64_t words = pass->N * gm_words(back ? layer->in_size : layer->out_size, pairs);
    epilogue.streams = gm_streams(to, words, gm_words(gm_shape_channels(shape), pairs));
    (adjoint ? gm_conv_backward_data : gm_conv_forward)(&g, pass->N, from, kernel, to, &epilogue, pass->workspace);
}

gm_epilogue gm_product_epilogue(const gm_layer *layer, const gm_pass *pass) {
    return (gm_epilogue){.bias = layer->config.use_bias ? layer->parameter[BIAS].value : NULL, .act = pass->act};
}

void gm_product_forward(gm_layer *layer, const gm_pass *pass) {
    const float *kernel = gm_product_new_kernel(layer, pass);
    multiply(layer, pass, false, kernel, pass->x, pass->y, gm_product_epilogue(layer, pass));
}

static void backward_kernel(gm_layer *layer, const gm_pass *pass) {
    gm_kernel_gradient to = gm_product_begin_gradient(layer, pass);
    gm_conv g = gm_product_geometry(layer);
    const float *image = is_transposed(layer) ? pass->dy : pass->x, *map = is_transposed(layer) ? pass->x : pass->dy;
    gm_conv_backward_weights(&g, pass->N, image, map, to.add, to.at, pass->workspace);
    gm_product_end_gradient(layer, pass);
}

void gm_product_backward_bias(gm_layer *layer, const gm_pass *pass) {
    if (!layer->config.use_bias) return;
    if (pass->sets_gradients) clear(&layer->parameter[BIAS]);
    if (pass->centred) return; /* zero; a sum would be the roundings of dy, which Adam makes whole steps of */
    gm_channels channels = gm_channels_of(output_rows(layer, pass->N), output_channels(layer));
    channels.in_pairs.y = layer->y_pairs;
    gm_add_channel_sums(&channels, pass->dy, layer->parameter[BIAS].gradient, pass->workspace);
}

void gm_product_backward(gm_layer *layer, const gm_pass *pass) {
    if (!pass->frozen) {
        gm_product_backward_bias(layer, pass);
        if (!pass->leaves_kernel) backward_kernel(layer, pass);
    }
    if (!pass->dx) return;
    gm_epilogue epilogue = {.gate = pass->gate, .gate_act = pass->gate_act};
    multiply(layer, pass, true, gm_product_kernel(layer, pass), pass->dy, pass->dx, epilogue);
}

bool gm_product_dx_over_x(const gm_layer *layer, gm_activation gate) {
    gm_conv g = gm_product_geometry(layer);
    return gate.kind == GM_LINEAR || gm_conv_gates_in_place(&g, !is_transposed(layer), gate);
}

void gm_product_tangent(gm_layer *layer, const gm_pass *pass) {
    backward_kernel(layer, pass);
    multiply(layer, pass, false, gm_product_kernel(layer, pass), pass->x, pass->y, (gm_epilogue){0});
}
