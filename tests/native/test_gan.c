/* A small conditional GAN trained from C, with every critic update's own images and labels: the same bits for any number
 * of threads, no weight that is not finite after a divergence. Here the sanitizers see the whole training step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "check.h"
#include "models/gan.h"

enum { SIDE = 6, CLASSES = 3, LATENT = 3, PARTS = 2, BATCH = 7, STEPS = 4, NETWORKS = 3, SEEN = 130 };

#define CONV(f, s, transposed)                                                                                         \
    {                                                                                                                  \
        .kind = (transposed) ? "Conv2DTranspose" : "Conv2D", .filters = (f), .kernel_size = {3, 3}, .strides = {s, s}, \
        .padding = GM_PADDING_SAME, .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM,                    \
        .spectral_norm = true                                                                                          \
    }
#define DENSE(u)                                                                                                       \
    { .kind = "Dense", .units = (u), .use_bias = true, .kernel_initializer = GM_INIT_HE_NORMAL }
#define LEAKY                                                                                                          \
    { .kind = "LeakyReLU", .negative_slope = 0.2f }
#define NORM                                                                                                           \
    { .kind = "BatchNorm", .momentum = 0.1f, .epsilon = 1e-5f }
#define DROPOUT                                                                                                        \
    { .kind = "Dropout", .rate = 0.3f }

static const gm_layer_config GENERATOR[] = {
    DENSE(3 * 3 * 4), NORM, {.kind = "ReLU"}, {.kind = "Reshape", .shape = {3, {3, 3, 4}}}, CONV(1, 2, true),
    {.kind = "Tanh"},
};
static const gm_layer_config PENALISED[] = {
    CONV(5, 2, false), LEAKY, DROPOUT, {.kind = "Flatten"}, DENSE(8), {.kind = "ReLU"}, DENSE(1),
};
static const gm_layer_config NORMALISED[] = {
    CONV(5, 2, false), NORM, LEAKY, DROPOUT, {.kind = "Flatten"}, DENSE(8), {.kind = "Tanh"}, DENSE(1),
};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

typedef struct model {
    gm_network *network[NETWORKS]; /* generator, discriminator, the generator's average */
    gm_gan *gan;
} model;

/* What a step is given: (PARTS, BATCH) images and labels. */
typedef struct inputs {
    check_buffer pixels, labels;
} inputs;

static gm_gan_config config_of(gm_objective objective) {
    gm_optimizer_config adam = {
        .kind = GM_ADAM, .learning_rate = 1e-2f, .beta1 = 0.5f, .beta2 = 0.999f, .epsilon = 1e-7f};
    gm_gan_config config = {.image = {3, {SIDE, SIDE, 1}}, .latent_dim = LATENT, .num_classes = CLASSES, .seed = 5};
    config.objective = objective;
    config.critic_steps = PARTS;
    config.ema = 0.9f;
    config.generator_optimizer = config.discriminator_optimizer = adam;
    if (objective == GM_OBJECTIVE_WGAN_GP) config.gradient_penalty = 10;
    if (objective == GM_OBJECTIVE_WGAN) config.clip_weights = 0.1f;
    if (objective == GM_OBJECTIVE_BCE) config.label_smoothing = 0.1f;
    config.mixed_batches = objective == GM_OBJECTIVE_HINGE;
    return config;
}

static model make_model(gm_objective objective) {
    gm_error error = {0};
    model m;
    const gm_shape seen = {3, {SIDE, SIDE, 1 + CLASSES}}, z = {1, {LATENT + CLASSES}};
    bool penalised = objective == GM_OBJECTIVE_WGAN_GP;
    const gm_layer_config *critic = penalised ? PENALISED : NORMALISED;
    int count = penalised ? COUNT(PENALISED) : COUNT(NORMALISED);
    check_succeed(gm_network_create(GENERATOR, COUNT(GENERATOR), &z, 5, 0, &m.network[0], &error), &error);
    check_succeed(gm_network_create(critic, count, &seen, 5, 1, &m.network[1], &error), &error);
    check_succeed(gm_network_create(GENERATOR, COUNT(GENERATOR), &z, 5, 0, &m.network[2], &error), &error);
    gm_gan_config config = config_of(objective);
    check_succeed(gm_gan_create(&config, m.network[0], m.network[1], m.network[2], &m.gan, &error), &error);
    return m;
}

static void free_model(model *m) {
    gm_gan_free(m->gan);
    for (int i = 0; i < NETWORKS; i++) gm_network_free(m->network[i]);
}

static int64_t size_of(gm_network *network) { return gm_network_trainable(network) + gm_network_buffers(network); }

static int64_t weight_count(const model *m) {
    int64_t count = 0;
    for (int i = 0; i < NETWORKS; i++) count += size_of(m->network[i]);
    return count;
}

/* All weights and moving statistics, one network behind the other. */
static float *copy_weights(const model *m) {
    float *weights = malloc((size_t)weight_count(m) * sizeof *weights), *at = weights;
    for (int i = 0; i < NETWORKS; i++) {
        memcpy(at, gm_network_parameters(m->network[i]), (size_t)size_of(m->network[i]) * sizeof(float));
        at += size_of(m->network[i]);
    }
    return weights;
}

static int64_t *labels_in(const inputs *in) { return (int64_t *)(void *)in->labels.values; }

/* Exactly `count` of each, between guards. */
static inputs make_inputs(int64_t count) {
    gm_random random = {.seed = 8, .stream = 3};
    inputs in = {check_floats(count * SIDE * SIDE), check_bytes(count * (int64_t)sizeof(int64_t))};
    gm_random_uniform(&random, in.pixels.count, in.pixels.values);
    for (int64_t i = 0; i < count; i++) labels_in(&in)[i] = check_between(&random, 0, CLASSES - 1);
    return in;
}

static void free_inputs(inputs *in) { check_free(&in->pixels), check_free(&in->labels); }

/* N images an update, of their own for each or the same. */
static gm_status step(const model *m, int64_t N, int64_t parts, gm_gan_losses *losses, gm_error *error) {
    inputs in = make_inputs(parts * N);
    gm_gan_batch batch = {.N = N, .parts = parts, .images = {.N = parts * N, .floats = in.pixels.values}};
    batch.labels = labels_in(&in);
    gm_status status = gm_gan_train_step(m->gan, &batch, losses, error);
    free_inputs(&in);
    return status;
}

/* Full and short batches in turn. */
static float *train(gm_objective objective, int threads, gm_gan_losses *losses) {
    gm_set_num_threads(threads);
    model m = make_model(objective);
    gm_error error = {0};
    for (int i = 0; i < STEPS; i++)
        check_succeed(step(&m, i % 2 ? BATCH - 3 : BATCH, i % 3 ? PARTS : 1, losses, &error), &error);
    float *weights = copy_weights(&m);
    free_model(&m);
    return weights;
}

static void compare_threads(gm_objective objective) {
    model m = make_model(objective);
    size_t bytes = (size_t)weight_count(&m) * sizeof(float);
    float *start = copy_weights(&m);
    free_model(&m);
    gm_gan_losses first, losses;
    float *one = train(objective, 1, &first);
    CHECK(memcmp(start, one, bytes) != 0, "training changed nothing");
    static const int threads[] = {2, 3, 7};
    for (int i = 0; i < 3; i++) {
        float *weights = train(objective, threads[i], &losses);
        CHECK(memcmp(one, weights, bytes) == 0, "%d threads give other weights", threads[i]);
        CHECK(memcmp(&first, &losses, sizeof losses) == 0, "%d threads give other losses", threads[i]);
        free(weights);
    }
    free(start);
    free(one);
}

TEST(threads_do_not_change_the_bits) {
    for (int objective = 0; objective <= GM_OBJECTIVE_HINGE; objective++) compare_threads((gm_objective)objective);
}

/* A step that meets an infinite output says so and leaves all else finite: moving statistics, singular vectors, average. */
static void diverge(gm_objective objective) {
    model m = make_model(objective);
    gm_gan_losses losses;
    gm_error error = {0};
    gm_network_parameters(m.network[1])[gm_network_trainable(m.network[1]) - 1] = INFINITY; /* the last bias */
    gm_status status = step(&m, BATCH, PARTS, &losses, &error);
    CHECK(status == GM_NONFINITE_ERROR, "objective %d: the infinite output went unseen", (int)objective);
    CHECK(strstr(error.message, "GAN: training diverged"), "%s", error.message);
    float *weights = copy_weights(&m);
    int64_t bad = 0;
    for (int64_t i = 0; i < weight_count(&m); i++) bad += !isfinite(weights[i]);
    CHECK(bad == 1, "objective %d: %d weights are not finite", (int)objective, (int)bad);
    CHECK(gm_optimizer_steps(gm_gan_optimizer(m.gan, 0)) == 0, "the generator was updated");
    CHECK(gm_optimizer_steps(gm_gan_optimizer(m.gan, 1)) == 0, "the discriminator was updated");
    free(weights);
    free_model(&m);
}

TEST(divergence_changes_no_weight) {
    for (int objective = 0; objective <= GM_OBJECTIVE_HINGE; objective++) diverge((gm_objective)objective);
}

/* In pieces, more images than one of them holds. */
TEST(inference_in_pieces) {
    model m = make_model(GM_OBJECTIVE_BCE);
    gm_error error = {0};
    gm_gan_losses losses, again;
    inputs in = make_inputs(SEEN);
    const gm_images images = {.N = SEEN, .floats = in.pixels.values};
    check_buffer out = check_floats(SEEN), z = check_floats(SEEN * LATENT), drawn = check_floats(SEEN * SIDE * SIDE);
    check_succeed(step(&m, BATCH, 1, &losses, &error), &error);
    check_succeed(gm_gan_evaluate(m.gan, &images, labels_in(&in), 3, &losses, &error), &error);
    check_succeed(gm_gan_evaluate(m.gan, &images, labels_in(&in), 3, &again, &error), &error);
    CHECK(memcmp(&losses, &again, sizeof losses) == 0, "the second time the losses are others");
    check_succeed(gm_gan_discriminate(m.gan, &images, labels_in(&in), out.values, &error), &error);
    double mean = 0;
    for (int i = 0; i < SEEN; i++) mean += (double)out.values[i] / SEEN;
    CHECK(isfinite(mean), "an output is %g", mean);
    gm_gan_prior(m.gan, SEEN, &(uint64_t){9}, z.values);
    check_succeed(gm_gan_generate(m.gan, SEEN, z.values, labels_in(&in), drawn.values, &error), &error);
    for (int64_t i = 0; i < drawn.count; i++)
        CHECK(drawn.values[i] >= 0 && drawn.values[i] <= 1, "pixel %d is %g", (int)i, (double)drawn.values[i]);
    check_free(&out), check_free(&z), check_free(&drawn), free_inputs(&in);
    free_model(&m);
}

static void refused(const model *m, gm_gan_batch batch, const char *words) {
    gm_error error = {0};
    gm_gan_losses losses;
    CHECK(gm_gan_train_step(m->gan, &batch, &losses, &error) == GM_VALUE_ERROR, "taken, but: %s", words);
    CHECK(strstr(error.message, words), "%s", error.message);
}

TEST(unfit_batches_are_refused) {
    model m = make_model(GM_OBJECTIVE_WGAN_GP);
    inputs in = make_inputs(PARTS * BATCH);
    check_buffer numbers = check_floats(BATCH * LATENT * 4);
    gm_gan_batch good = {.N = BATCH, .parts = PARTS, .images = {.N = PARTS * BATCH, .floats = in.pixels.values}};
    good.labels = labels_in(&in), good.noise = good.mix = numbers.values;
    gm_gan_batch bad = good;
    bad.N = BATCH - 1;
    refused(&m, bad, "14 images are not 2 batches of 6");
    bad = good, bad.noise_parts = PARTS;
    refused(&m, bad, "noise for 2 updates, must be for 1 or 3");
    bad = good, bad.mix_parts = PARTS + 1;
    refused(&m, bad, "mix for 3 updates, must be for 1 or 2");
    bad = good, bad.labels = NULL;
    refused(&m, bad, "needs labels");
    labels_in(&in)[PARTS * BATCH - 1] = CLASSES;
    refused(&m, good, "label 3 of image 13");
    CHECK(gm_gan_get_streams(m.gan).noise == 0, "noise was drawn");
    check_free(&numbers), free_inputs(&in);
    free_model(&m);
}

MAIN(CASE(threads_do_not_change_the_bits), CASE(divergence_changes_no_weight), CASE(inference_in_pieces),
     CASE(unfit_batches_are_refused))
