/* A small conditional VAE trained from C: the same bits for any number of threads, the last finite weights after a
 * divergence. Here the sanitizers see the whole training step. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "check.h"
#include "models/vae.h"

enum { SIDE = 9, CLASSES = 3, LATENT = 2, BATCH = 7, STEPS = 5 };

#define CONV(f, s, transposed)                                                                                         \
    {                                                                                                                  \
        .kind = (transposed) ? "Conv2DTranspose" : "Conv2D", .filters = (f), .kernel_size = {3, 3}, .strides = {s, s}, \
        .padding = GM_PADDING_SAME, .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM                     \
    }
#define DENSE(u)                                                                                                       \
    { .kind = "Dense", .units = (u), .use_bias = true, .kernel_initializer = GM_INIT_HE_NORMAL }
#define LEAKY                                                                                                          \
    { .kind = "LeakyReLU", .negative_slope = 0.2f }

static const gm_layer_config ENCODER[] = {
    CONV(5, 2, false),
    LEAKY,
    {.kind = "BatchNorm", .momentum = 0.1f, .epsilon = 1e-5f},
    {.kind = "Flatten"},
    DENSE(11),
    {.kind = "Tanh"},
    {.kind = "Dropout", .rate = 0.3f},
};
static const gm_layer_config HEAD[] = {DENSE(2 * LATENT)};
static const gm_layer_config DECODER[] = {
    DENSE(3 * 3 * 4), LEAKY, {.kind = "Reshape", .shape = {3, {3, 3, 4}}}, CONV(1, 3, true), {.kind = "Sigmoid"},
};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

typedef struct model {
    gm_network *network[3]; /* encoder, head, decoder */
    gm_vae *vae;
} model;

static model make_model(float learning_rate) {
    gm_error error = {0};
    model m;
    const gm_shape image = {3, {SIDE, SIDE, 1}}, seen = {3, {SIDE, SIDE, 1 + CLASSES}}, z = {1, {LATENT + CLASSES}};
    check_succeed(gm_network_create(ENCODER, COUNT(ENCODER), &seen, 5, 0, &m.network[0], &error), &error);
    const gm_shape *features = gm_network_output_shape(m.network[0]);
    check_succeed(gm_network_create(HEAD, COUNT(HEAD), features, 5, 1, &m.network[1], &error), &error);
    check_succeed(gm_network_create(DECODER, COUNT(DECODER), &z, 5, 2, &m.network[2], &error), &error);
    gm_vae_config config = {.image = image,
                            .latent_dim = LATENT,
                            .num_classes = CLASSES,
                            .reconstruction = GM_BCE,
                            .reduction = GM_SUM,
                            .beta = 1,
                            .seed = 5};
    config.optimizer = (gm_optimizer_config){
        .kind = GM_ADAM, .learning_rate = learning_rate, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-7f};
    check_succeed(gm_vae_create(&config, m.network[0], m.network[1], m.network[2], &m.vae, &error), &error);
    check_succeed(gm_vae_reserve(m.vae, BATCH, &error), &error);
    return m;
}

static void free_model(model *m) {
    gm_vae_free(m->vae);
    for (int i = 0; i < 3; i++) gm_network_free(m->network[i]);
}

static int64_t weight_count(const model *m) {
    int64_t count = 0;
    for (int i = 0; i < 3; i++) count += gm_network_trainable(m->network[i]);
    return count;
}

/* All trainable parameters, one network behind the other. */
static float *copy_weights(const model *m) {
    float *weights = malloc((size_t)weight_count(m) * sizeof *weights), *at = weights;
    for (int i = 0; i < 3; i++) {
        int64_t count = gm_network_trainable(m->network[i]);
        memcpy(at, gm_network_parameters(m->network[i]), (size_t)count * sizeof(float));
        at += count;
    }
    return weights;
}

static gm_status step(const model *m, int64_t N, const check_buffer *pixels, gm_vae_losses *losses, gm_error *error) {
    static const int64_t labels[BATCH] = {0, 1, 2, 2, 1, 0, 1};
    const gm_images images = {.N = N, .floats = pixels->values};
    return gm_vae_train_step(m->vae, &images, labels, NULL, losses, error);
}

static check_buffer make_pixels(void) {
    gm_random random = {.seed = 8, .stream = 3};
    check_buffer pixels = check_floats(BATCH * SIDE * SIDE);
    gm_random_uniform(&random, pixels.count, pixels.values);
    return pixels;
}

/* Full and short batches in turn. */
static float *train(int threads, gm_vae_losses *losses) {
    gm_set_num_threads(threads);
    model m = make_model(1e-2f);
    check_buffer pixels = make_pixels();
    gm_error error = {0};
    for (int i = 0; i < STEPS; i++) check_succeed(step(&m, i % 2 ? BATCH - 3 : BATCH, &pixels, losses, &error), &error);
    CHECK(fabs(losses->loss - losses->reconstruction - losses->kl) <= 1e-9 * losses->loss, "loss %g", losses->loss);
    float *weights = copy_weights(&m);
    check_free(&pixels);
    free_model(&m);
    return weights;
}

TEST(threads_do_not_change_the_bits) {
    model m = make_model(1e-2f);
    size_t bytes = (size_t)weight_count(&m) * sizeof(float);
    float *start = copy_weights(&m);
    free_model(&m);
    gm_vae_losses first, losses;
    float *one = train(1, &first);
    CHECK(memcmp(start, one, bytes) != 0, "training changed nothing");
    static const int threads[] = {2, 3, 7};
    for (int i = 0; i < 3; i++) {
        float *weights = train(threads[i], &losses);
        CHECK(memcmp(one, weights, bytes) == 0, "%d threads give other weights", threads[i]);
        CHECK(memcmp(&first, &losses, sizeof losses) == 0, "%d threads give other losses", threads[i]);
        free(weights);
    }
    free(start);
    free(one);
}

TEST(divergence_changes_no_weight) {
    model m = make_model(1e-2f);
    check_buffer pixels = make_pixels();
    gm_vae_losses losses;
    gm_error error = {0};
    check_succeed(step(&m, BATCH, &pixels, &losses, &error), &error);
    size_t bytes = (size_t)weight_count(&m) * sizeof(float);
    gm_network_parameters(m.network[2])[1] = NAN;
    float *before = copy_weights(&m);
    CHECK(step(&m, BATCH, &pixels, &losses, &error) == GM_NONFINITE_ERROR, "a NaN in the decoder went unseen");
    float *after = copy_weights(&m);
    CHECK(memcmp(before, after, bytes) == 0, "the failed step changed weights");
    free(before);
    free(after);
    check_free(&pixels);
    free_model(&m);
}

/* A parameter after so many steps of one gradient, and so many of none. */
static float moved(const gm_optimizer_config *config, float p, float gradient, int steps, int still) {
    gm_optimizer *optimizer;
    gm_error error = {0};
    check_succeed(gm_optimizer_create(config, 1, &optimizer, &error), &error);
    for (int i = 0; i < steps + still; i++) {
        const float g = i < steps ? gradient : 0;
        gm_optimizer_begin(optimizer);
        gm_optimizer_move(optimizer, 0, 1, &g, &p);
    }
    gm_optimizer_free(optimizer);
    return p;
}

TEST(no_steps_of_finite_gradients_lead_out_of_float32) {
    gm_optimizer_config config = {.kind = GM_ADAM, .learning_rate = 1e6f, .beta1 = 0.9f, .epsilon = 1e-30f};
    check_near((double)moved(&config, 0, GM_MAX_GRADIENT, 200, 600), -(double)FLT_MAX, 0, "p", 0);
    check_near((double)moved(&config, 0, -GM_MAX_GRADIENT, 200, 600), (double)FLT_MAX, 0, "p", 1);
    config = (gm_optimizer_config){.kind = GM_SGD, .learning_rate = 1e6f, .momentum = 0.9999999f};
    check_near((double)moved(&config, -FLT_MAX, GM_MAX_GRADIENT, 3000, 0), -(double)FLT_MAX, 0, "p", 2);
    config = (gm_optimizer_config){.kind = GM_RMSPROP, .learning_rate = 1e6f, .epsilon = 1e-30f, .momentum = 0.5f};
    CHECK(isfinite(moved(&config, -FLT_MAX, GM_MAX_GRADIENT, 9, 9)), "p is not finite");
    config = (gm_optimizer_config){.kind = GM_SGD, .learning_rate = 1e6f};
    CHECK(isnan(moved(&config, NAN, 1, 1, 0)), "a NaN is gone");
}

MAIN(CASE(threads_do_not_change_the_bits), CASE(divergence_changes_no_weight),
     CASE(no_steps_of_finite_gradients_lead_out_of_float32))
