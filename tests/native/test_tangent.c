/* The tangent pass of a network: the derivative of <t, input gradient> along the weights against finite differences.
 *
 * Between kinks the input gradient is linear in each weight, so the difference is exact but for rounding. Biases keep
 * whole channels on one side of the kinks; the windows of the max pools see weights nowhere or are few. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "network/network.h"

enum { N = 3, SIDE = 8, CHANNELS = 2, SIZE = SIDE * SIDE * CHANNELS };
static const float STEP = 1.0f / 2048;
static const double BOUND = 2e-3;

#define CONV(f, s, transposed, spectral)                                                                               \
    {                                                                                                                  \
        .kind = (transposed) ? "Conv2DTranspose" : "Conv2D", .filters = (f), .kernel_size = {3, 3}, .strides = {s, s}, \
        .padding = GM_PADDING_SAME, .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM,                    \
        .spectral_norm = (spectral)                                                                                    \
    }
#define POOL(name, k, s)                                                                                               \
    { .kind = (name), .kernel_size = {k, k}, .strides = {s, s}, .padding = GM_PADDING_VALID }
#define DENSE(u, spectral)                                                                                             \
    {                                                                                                                  \
        .kind = "Dense", .units = (u), .use_bias = true, .kernel_initializer = GM_INIT_HE_NORMAL,                      \
        .spectral_norm = (spectral)                                                                                    \
    }
#define LEAKY                                                                                                          \
    { .kind = "LeakyReLU", .negative_slope = 0.3f }
#define LAYERS(spectral)                                                                                               \
    {                                                                                                                  \
        POOL("MaxPool2D", 2, 1), CONV(5, 1, false, false), LEAKY, {.kind = "Dropout", .rate = 0.3f},                   \
            CONV(4, 2, true, spectral), LEAKY, POOL("AvgPool2D", 3, 2), {.kind = "UpSampling2D", .size = {2, 2}},      \
            CONV(3, 1, false, spectral), {.kind = "ReLU"}, {.kind = "Flatten"}, DENSE(7, spectral), LEAKY,             \
            {.kind = "Reshape", .shape = {3, {1, 1, 7}}}, CONV(3, 1, true, false), {.kind = "GlobalMaxPool2D"},        \
            DENSE(1, spectral), LEAKY,                                                                                 \
    }

static const gm_layer_config PLAIN[] = LAYERS(false), NORMED[] = LAYERS(true);
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

typedef struct model {
    gm_network *network;
    check_buffer x, t, dy;
    float r[N]; /* what the outputs count */
} model;

static const gm_parameter *parameter_of(const gm_network *network, int layer, const char *name) {
    const gm_layer *l = gm_network_layer(network, layer);
    for (int k = 0; k < l->parameter_count; k++)
        if (strcmp(l->parameter[k].name, name) == 0) return &l->parameter[k];
    return NULL;
}

static void set_biases(const gm_network *network) {
    for (int i = 0; i < gm_network_layer_count(network); i++) {
        const gm_parameter *bias = parameter_of(network, i, "bias");
        for (int64_t c = 0; bias && c < bias->count; c++) bias->value[c] = c % 2 ? -40.0f : 40.0f;
    }
}

/* Power steps until the singular vectors stand: from then on their own motion with the weights counts for nothing. */
static void settle(model *m) {
    for (int i = 0; i < 1000; i++) {
        gm_network_forward(m->network, 1, m->x.values, GM_TRAINING);
        gm_network_commit(m->network);
    }
}

static model make_model(const gm_layer_config *layers) {
    gm_random random = {.seed = 11, .stream = 6};
    gm_error error = {0};
    const gm_shape input = {3, {SIDE, SIDE, CHANNELS}};
    model m = {.x = check_normal(N * SIZE, &random), .t = check_normal(N * SIZE, &random), .dy = check_floats(N)};
    gm_random_normal(&random, N, m.r);
    check_succeed(gm_network_create(layers, COUNT(PLAIN), &input, 3, 1, &m.network, &error), &error);
    check_succeed(gm_network_keep_signals(m.network, "a test", &error), &error);
    check_succeed(gm_network_reserve(m.network, N, &error), &error);
    set_biases(m.network);
    if (layers == NORMED) settle(&m);
    return m;
}

static void free_model(model *m) {
    check_free(&m->x), check_free(&m->t), check_free(&m->dy);
    gm_network_free(m->network);
}

/* <t, input gradient>, always with the same dropout. */
static double value_of(const model *m) {
    gm_network_set_clock(m->network, 5);
    gm_network_forward(m->network, N, m->x.values, GM_TRAINING);
    memcpy(m->dy.values, m->r, sizeof m->r);
    const float *dx = gm_network_backward(m->network, N, m->dy.values, GM_WANT_INPUT);
    double sum = 0;
    for (int64_t i = 0; i < N * SIZE; i++) sum += (double)dx[i] * (double)m->t.values[i];
    return sum;
}

/* The derivative when the kernel moves along d. */
static double difference_along(const model *m, const gm_parameter *kernel, const check_buffer *d) {
    check_buffer kept = check_floats(kernel->count);
    memcpy(kept.values, kernel->value, (size_t)kernel->count * sizeof(float));
    double value[2];
    for (int k = 0; k < 2; k++) {
        float h = k ? STEP : -STEP;
        for (int64_t i = 0; i < kernel->count; i++) kernel->value[i] = kept.values[i] + h * d->values[i];
        value[k] = value_of(m);
    }
    memcpy(kernel->value, kept.values, (size_t)kernel->count * sizeof(float));
    check_free(&kept);
    return (value[1] - value[0]) / (2 * (double)STEP);
}

static void clear_gradients(gm_network *network) {
    memset(gm_network_gradients(network), 0, (size_t)gm_network_trainable(network) * sizeof(float));
}

static void compare_kernel(const model *m, int layer) {
    const gm_parameter *kernel = parameter_of(m->network, layer, "kernel");
    if (!kernel) return;
    gm_random random = {.seed = (uint64_t)layer, .stream = 7};
    check_buffer d = check_normal(kernel->count, &random);
    clear_gradients(m->network);
    value_of(m);
    gm_network_tangent(m->network, N, m->t.values);
    double along = 0, square = 0;
    for (int64_t i = 0; i < kernel->count; i++) {
        along += (double)kernel->gradient[i] * (double)d.values[i];
        square += (double)kernel->gradient[i] * (double)kernel->gradient[i];
    }
    CHECK(square > 1e-6, "layer %d has no gradient", layer);
    check_near(along, difference_along(m, kernel, &d), BOUND * sqrt(square), "kernel of layer", layer);
    const gm_parameter *bias = parameter_of(m->network, layer, "bias");
    for (int64_t c = 0; c < bias->count; c++) check_near((double)bias->gradient[c], 0, 0, "bias", c);
    check_free(&d);
}

static void compare_kernels(const gm_layer_config *layers) {
    model m = make_model(layers);
    for (int i = 0; i < COUNT(PLAIN); i++) compare_kernel(&m, i);
    free_model(&m);
}

TEST(tangent_is_the_derivative_of_the_input_gradient) { compare_kernels(PLAIN); }
TEST(tangent_goes_through_normalised_kernels) { compare_kernels(NORMED); }

/* A tangent pass adds to what is there, and moves neither weights nor clock. */
TEST(tangent_adds) {
    model m = make_model(PLAIN);
    int64_t count = gm_network_trainable(m.network);
    clear_gradients(m.network);
    value_of(&m);
    gm_network_tangent(m.network, N, m.t.values);
    check_buffer once = check_floats(count);
    memcpy(once.values, gm_network_gradients(m.network), (size_t)count * sizeof(float));
    gm_network_tangent(m.network, N, m.t.values);
    for (int64_t i = 0; i < count; i++) {
        double wanted = 2 * (double)once.values[i];
        check_near((double)gm_network_gradients(m.network)[i], wanted, 1e-5 * (1 + fabs(wanted)), "gradient", i);
    }
    CHECK(gm_network_clock(m.network) == 6, "the clock moved");
    check_free(&once);
    free_model(&m);
}

TEST(layers_without_a_tangent_are_named) {
    static const gm_layer_config layers[] = {DENSE(3, false), {.kind = "Tanh"}, DENSE(1, false)};
    gm_error error = {0};
    gm_network *network;
    check_succeed(gm_network_create(layers, 3, &(gm_shape){1, {4}}, 1, 0, &network, &error), &error);
    CHECK(gm_network_keep_signals(network, "a test", &error) == GM_VALUE_ERROR, "Tanh was taken");
    CHECK(strstr(error.message, "layer 1 (Tanh): cannot be part of a test"), "%s", error.message);
    gm_network_free(network);
}

MAIN(CASE(tangent_is_the_derivative_of_the_input_gradient), CASE(tangent_goes_through_normalised_kernels),
     CASE(tangent_adds), CASE(layers_without_a_tangent_are_named))
