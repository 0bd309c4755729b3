/* The plan of a network: input gradients and workspaces lie where outputs do that are not needed then, and gradients have the
 * bits of those of a network where all have places of their own. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "network/network.h"

enum { N = 3, SIDE = 8, CHANNELS = 3, SIZE = SIDE * SIDE * CHANNELS, MOST = 14, OUT = 5 };

static const gm_shape INPUT = {3, {SIDE, SIDE, CHANNELS}};

/* A convolution to few channels or many, to half the side, the same or twice. */
static gm_layer_config convolution(gm_random *random) {
    static const int64_t filters[] = {2, 6, 24, 40};
    int64_t stride = check_between(random, 1, 2), kernel = check_between(random, 1, 4);
    return (gm_layer_config){.kind = check_between(random, 0, 1) ? "Conv2D" : "Conv2DTranspose",
                             .filters = filters[check_between(random, 0, 3)],
                             .kernel_size = {kernel, kernel},
                             .strides = {stride, stride},
                             .padding = GM_PADDING_SAME,
                             .use_bias = true,
                             .kernel_initializer = GM_INIT_HE_NORMAL};
}

static gm_layer_config other(gm_random *random) {
    static const gm_layer_config layers[] = {
        {.kind = "LeakyReLU", .negative_slope = 0.3f},
        {.kind = "ReLU"},
        {.kind = "LeakyReLU", .negative_slope = 0.1f},
        {.kind = "Dropout", .rate = 0.3f},
        {.kind = "MaxPool2D", .kernel_size = {2, 2}, .strides = {1, 1}, .padding = GM_PADDING_SAME},
        {.kind = "UpSampling2D", .size = {2, 2}},
    };
    return layers[check_between(random, 0, 5)];
}

/* Convolutions with other layers between them, and a dense layer, perhaps with dropout, an activation or both behind it. */
static int random_layers(gm_random *random, gm_layer_config *layers) {
    int count = 0, convolutions = (int)check_between(random, 1, 4);
    for (int i = 0; i < convolutions; i++) {
        layers[count++] = convolution(random);
        if (check_between(random, 0, 3)) layers[count++] = other(random);
    }
    layers[count++] = (gm_layer_config){.kind = "Flatten"};
    layers[count++] = (gm_layer_config){
        .kind = "Dense", .units = OUT, .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM};
    if (check_between(random, 0, 1)) layers[count++] = (gm_layer_config){.kind = "Dropout", .rate = 0.2f};
    if (check_between(random, 0, 1)) layers[count++] = (gm_layer_config){.kind = "ReLU"};
    return count;
}

static gm_network *make_network(const gm_layer_config *layers, int count, bool own_places) {
    gm_error error = {0};
    gm_network *network;
    check_succeed(gm_network_create(layers, count, &INPUT, 5, 0, &network, &error), &error);
    if (own_places) check_succeed(gm_network_keep_signals(network, "a test", &error), &error);
    check_succeed(gm_network_reserve(network, N, &error), &error);
    return network;
}

/* What a training step leaves. */
typedef struct result {
    gm_network *network;
    const float *dx;
    float out[N * OUT];
} result;

static result run(const gm_layer_config *layers, int count, bool own_places, const check_buffer *x, check_buffer *dy) {
    result r = {.network = make_network(layers, count, own_places)};
    memcpy(r.out, gm_network_forward(r.network, N, x->values, GM_TRAINING), sizeof r.out);
    r.dx = gm_network_backward(r.network, N, dy->values, GM_WANT_INPUT | GM_WANT_PARAMETERS);
    return r;
}

static void name_layers(const gm_layer_config *layers, int count, char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s %d/%d ", layers[i].kind, (int)layers[i].filters,
                                 (int)layers[i].strides[0]);
}

static void compare(const gm_layer_config *layers, int count, gm_random *random) {
    char text[400];
    name_layers(layers, count, text, sizeof text);
    check_buffer x = check_normal(N * SIZE, random), dy[2] = {check_normal(N * OUT, random)};
    dy[1] = check_copy(&dy[0]);
    result shared = run(layers, count, false, &x, &dy[0]), own = run(layers, count, true, &x, &dy[1]);
    CHECK(memcmp(shared.out, own.out, sizeof own.out) == 0, "outputs differ: %s", text);
    CHECK(memcmp(shared.dx, own.dx, N * SIZE * sizeof(float)) == 0, "input gradients differ: %s", text);
    CHECK(memcmp(gm_network_gradients(shared.network), gm_network_gradients(own.network),
                 (size_t)gm_network_trainable(own.network) * sizeof(float)) == 0,
          "gradients differ: %s", text);
    CHECK(gm_network_plan_bytes(shared.network) < gm_network_plan_bytes(own.network), "no memory is shared: %s", text);
    gm_network_free(shared.network), gm_network_free(own.network);
    check_free(&x), check_free(&dy[0]), check_free(&dy[1]);
}

TEST(gradients_lie_where_outputs_did) {
    gm_random random = {.seed = 1, .stream = 1};
    for (int i = 0; i < 200; i++) {
        gm_layer_config layers[MOST];
        int count = random_layers(&random, layers);
        compare(layers, count, &random);
    }
}

/* The gradients by a signal that stands in the network's output, or elsewhere. */
static check_buffer gradients(const gm_layer_config *layers, int count, const check_buffer *x, const check_buffer *dy,
                              bool in_place) {
    gm_network *network = make_network(layers, count, false);
    float *y = gm_network_forward(network, N, x->values, GM_TRAINING | GM_NO_LAST_ACT), elsewhere[N * OUT];
    float *signal = in_place ? y : elsewhere;
    memcpy(signal, dy->values, sizeof elsewhere);
    gm_network_backward(network, N, signal, GM_WANT_PARAMETERS);
    check_buffer got = check_floats(gm_network_trainable(network));
    memcpy(got.values, gm_network_gradients(network), (size_t)got.count * sizeof(float));
    gm_network_free(network);
    return got;
}

/* As the losses of a classifier are made in its logits. */
TEST(the_signal_may_be_the_output) {
    gm_random random = {.seed = 2, .stream = 1};
    for (int i = 0; i < 100; i++) {
        gm_layer_config layers[MOST];
        char text[400];
        int count = random_layers(&random, layers);
        name_layers(layers, count, text, sizeof text);
        check_buffer x = check_normal(N * SIZE, &random), dy = check_normal(N * OUT, &random);
        check_buffer there = gradients(layers, count, &x, &dy, true),
                     elsewhere = gradients(layers, count, &x, &dy, false);
        CHECK(memcmp(there.values, elsewhere.values, (size_t)there.count * sizeof(float)) == 0, "%s", text);
        check_free(&there), check_free(&elsewhere), check_free(&x), check_free(&dy);
    }
}

MAIN(CASE(gradients_lie_where_outputs_did), CASE(the_signal_may_be_the_output))
