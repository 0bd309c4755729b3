/* A training step, with D the discriminator and G the generator:
 *
 *     critic_steps times:  fake = G(noise);  D(real), D(fake) -> loss, back through D alone;
 *                          wgan-gp: D(mixed), back to the image, the penalty's tangent pass;  update of D
 *     once:                D(G(noise)) -> loss, back through D, whose weights stay, and G;    update of G
 *
 * All passes are in training mode, and each moves the moving statistics of its network. An update is made when its loss
 * and its gradients are finite; else what its passes moved is put back. */
#include "models/gan.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/latent.h"
#include "models/checks.h"
#include "models/codes.h"

enum { GENERATOR, DISCRIMINATOR, AVERAGE, NETWORKS };
enum { OPTIMIZERS = 2, PIECE = 128 /* images at a time where any number may come */ };

/* What the model needs beside its networks' plans, for `capacity` images; D is the discriminator's input. */
typedef struct buffers {
    gm_arena arena;
    int64_t capacity;
    float *inputs;    /* (2 * capacity, D): N real images, and behind them N generated ones */
    float *direction; /* (capacity, D): the penalty's derivative */
    float *noise;     /* (capacity, L) */
    float *outputs;   /* (2 * capacity): the gradient at the discriminator's outputs */
    float *mix;       /* (capacity) */
    double *norms;    /* (capacity) */
    float *dimage;    /* (capacity, image) when conditional: D's input gradient without the label channels */
} buffers;

struct gm_gan {
    gm_gan_config config;
    gm_network *network[NETWORKS]; /* the caller's; AVERAGE may be NULL */
    gm_optimizer *optimizer[OPTIMIZERS];
    int64_t image_size, input_size; /* H * W * C; H * W * (C + classes) */
    bool signed_pixels;             /* gm_images_are_signed */
    bool penalised;
    gm_random noise, sample, mix;
    buffers buffers;
};

/* ---- Creation ---- */

static gm_status check_config(const gm_gan_config *config, gm_error *error) {
    GM_TRY(gm_check_image_model("GAN", &config->image, config->num_classes, error));
    GM_TRY(gm_check_latent_dim("GAN", config->latent_dim, error));
    GM_REQUIRE(config->critic_steps >= 1 && config->critic_steps <= GM_MAX_CRITIC_STEPS, error, GM_VALUE_ERROR,
               "GAN: critic_steps is %" PRId64 ", must be 1 to %d", config->critic_steps, GM_MAX_CRITIC_STEPS);
    GM_REQUIRE(config->label_smoothing >= 0 && config->label_smoothing <= 1, error, GM_VALUE_ERROR,
               "GAN: label_smoothing is %g, must be 0 to 1", (double)config->label_smoothing);
    GM_REQUIRE(config->clip_weights >= 0 && isfinite(config->clip_weights), error, GM_VALUE_ERROR,
               "GAN: clip_weights is %g, must be finite and at least 0", (double)config->clip_weights);
    GM_REQUIRE(config->gradient_penalty >= 0 && isfinite(config->gradient_penalty), error, GM_VALUE_ERROR,
               "GAN: gradient_penalty is %g, must be finite and at least 0", (double)config->gradient_penalty);
    GM_REQUIRE(config->ema >= 0 && config->ema < 1, error, GM_VALUE_ERROR,
               "GAN: ema is %g, must be at least 0 and below 1", (double)config->ema);
    return GM_OK;
}

static gm_status check_output(const gm_gan_config *config, const gm_network *discriminator, gm_error *error) {
    int64_t size;
    char text[GM_SHAPE_TEXT];
    const gm_shape *out = gm_network_output_shape(discriminator);
    GM_TRY(gm_shape_size(out, &size, "GAN: discriminator output", error));
    GM_REQUIRE(size == 1, error, GM_VALUE_ERROR,
               "GAN: the discriminator's output has shape %s, must be one value: end in Flatten(), Dense(1)",
               gm_shape_text(out, text));
    bool wants_logits = config->objective == GM_OBJECTIVE_BCE || config->objective == GM_OBJECTIVE_HINGE;
    GM_REQUIRE(!wants_logits || gm_network_last_activation(discriminator).kind != GM_SIGMOID, error, GM_VALUE_ERROR,
               "GAN: the discriminator ends in Sigmoid(), but objective=\"%s\" takes its output before that: leave it "
               "out",
               config->objective == GM_OBJECTIVE_BCE ? "bce" : "hinge");
    return GM_OK;
}

static gm_status check_networks(const gm_gan_config *config, gm_network *const network[NETWORKS], gm_error *error) {
    gm_shape seen = config->image, latent = {1, {config->latent_dim + config->num_classes}};
    seen.dim[2] += config->num_classes;
    GM_TRY(gm_check_shape("GAN: the generator's input", gm_network_input_shape(network[GENERATOR]), &latent, error));
    GM_TRY(gm_check_shape("GAN: the generator's output", gm_network_output_shape(network[GENERATOR]), &config->image,
                          error));
    GM_TRY(
        gm_check_shape("GAN: the discriminator's input", gm_network_input_shape(network[DISCRIMINATOR]), &seen, error));
    GM_TRY(check_output(config, network[DISCRIMINATOR], error));
    GM_REQUIRE((config->ema > 0) == (network[AVERAGE] != NULL), error, GM_VALUE_ERROR,
               "GAN: a network for the average goes with ema > 0");
    if (!network[AVERAGE]) return GM_OK;
    return gm_check_same_layers("GAN: the average", network[AVERAGE], "the generator", network[GENERATOR], error);
}

static gm_status create_optimizers(gm_gan *gan, gm_error *error) {
    const gm_optimizer_config *config[] = {&gan->config.generator_optimizer, &gan->config.discriminator_optimizer};
    for (int i = 0; i < OPTIMIZERS; i++)
        GM_TRY(gm_optimizer_create(config[i], gm_network_trainable(gan->network[i]), &gan->optimizer[i], error));
    return GM_OK;
}

gm_status gm_gan_create(const gm_gan_config *config, gm_network *generator, gm_network *discriminator,
                        gm_network *average, gm_gan **gan, gm_error *error) {
    gm_network *const network[NETWORKS] = {generator, discriminator, average};
    GM_TRY(check_config(config, error));
    GM_TRY(check_networks(config, network, error));
    gm_gan *g = calloc(1, sizeof *g);
    GM_REQUIRE(g, error, GM_MEMORY_ERROR, "GAN: cannot allocate the model");
    g->config = *config;
    g->image_size = config->image.dim[0] * config->image.dim[1] * config->image.dim[2];
    g->input_size = config->image.dim[0] * config->image.dim[1] * (config->image.dim[2] + config->num_classes);
    g->signed_pixels = gm_images_are_signed(generator);
    g->penalised = config->objective == GM_OBJECTIVE_WGAN_GP;
    g->noise = (gm_random){config->seed, GM_STREAM_NOISE, 0};
    g->sample = (gm_random){config->seed, GM_STREAM_SAMPLE, 0};
    g->mix = (gm_random){config->seed, GM_STREAM_MIX, 0};
    for (int i = 0; i < NETWORKS; i++) g->network[i] = network[i];
    gm_status status = create_optimizers(g, error);
    if (status == GM_OK && g->penalised) /* last: the critic stays as it is where anything is refused */
        status = gm_network_keep_signals(discriminator, "a critic with a gradient penalty", error);
    if (status != GM_OK) {
        gm_gan_free(g);
        return status;
    }
    *gan = g;
    return GM_OK;
}

void gm_gan_free(gm_gan *gan) {
    if (!gan) return;
    for (int i = 0; i < OPTIMIZERS; i++) gm_optimizer_free(gan->optimizer[i]);
    gm_arena_free(&gan->buffers.arena);
    free(gan);
}

/* ---- Memory ---- */

static gm_status lay_out(const gm_gan *gan, int64_t N, gm_arena *arena, buffers *b, gm_error *error) {
    int64_t inputs, latents;
    GM_TRY(gm_size_multiply(2 * N, gan->input_size, &inputs, "batch of images", error));
    GM_TRY(gm_size_multiply(N, gan->config.latent_dim, &latents, "batch of latents", error));
    b->capacity = N;
    b->inputs = gm_arena_floats(arena, inputs);
    b->direction = gan->penalised ? gm_arena_floats(arena, inputs / 2) : NULL;
    b->noise = gm_arena_floats(arena, latents);
    b->outputs = gm_arena_floats(arena, 2 * N);
    b->mix = gm_arena_floats(arena, N);
    b->norms = gm_arena_doubles(arena, N);
    b->dimage = gan->config.num_classes ? gm_arena_floats(arena, N * gan->image_size) : NULL;
    return GM_OK;
}

static gm_status reserve_buffers(gm_gan *gan, int64_t N, gm_error *error) {
    if (N <= gan->buffers.capacity) return GM_OK;
    gm_arena measured = gm_arena_measuring(), arena;
    buffers b;
    GM_TRY(lay_out(gan, N, &measured, &b, error));
    GM_TRY(gm_arena_create(&measured, &arena, "buffers of a GAN", error));
    (void)lay_out(gan, N, &arena, &b, error); /* its sizes passed the first time */
    b.arena = arena;
    gm_arena_free(&gan->buffers.arena);
    gan->buffers = b;
    return GM_OK;
}

gm_status gm_gan_reserve(gm_gan *gan, int64_t N, gm_error *error) {
    GM_TRY(gm_network_reserve(gan->network[GENERATOR], N, error));
    GM_TRY(gm_network_reserve(gan->network[DISCRIMINATOR], gan->config.mixed_batches ? 2 * N : N, error));
    return reserve_buffers(gan, N, error);
}

static gm_status reserve_piece(gm_gan *gan, int64_t N, gm_error *error) {
    if (gan->network[AVERAGE]) GM_TRY(gm_network_reserve(gan->network[AVERAGE], min_of(N, PIECE), error));
    return gm_gan_reserve(gan, min_of(N, PIECE), error);
}

/* ---- Passes ---- */

/* Whether the generator has been updated; before that there is nothing to average. */
static bool has_learned(const gm_gan *gan) { return gm_optimizer_steps(gan->optimizer[GENERATOR]) > 0; }

/* Images start..start+N-1 of x, whose labels are all of x's, or N of the generator's (drawn), as the discriminator sees
 * them. */
static void load(const gm_gan *gan, const gm_images *x, int64_t start, int64_t N, const int64_t *labels, float *out) {
    gm_images_load(x, start, N, &gan->config.image, labels, labels ? gan->config.num_classes : 0, gan->signed_pixels,
                   out);
}

static void load_drawn(const gm_gan *gan, const float *drawn, int64_t N, const int64_t *labels, float *out) {
    const gm_images images = {.N = N, .floats = drawn};
    gm_images_load(&images, 0, N, &gan->config.image, labels, labels ? gan->config.num_classes : 0, false, out);
}

/* z (N, L) and labels (N) -> images (N, H, W, C) in the generator's own range. */
static const float *draw(gm_gan *gan, int64_t N, const float *z, const int64_t *labels, unsigned flags) {
    gm_network *generator = gan->network[GENERATOR];
    gm_codes_place(generator, N, z, labels, gan->config.num_classes);
    return gm_network_forward(generator, N, gm_network_input(generator), flags);
}

/* Newly generated images, in training mode, as the discriminator sees them: behind N real ones. */
static float *draw_fakes(gm_gan *gan, int64_t N, const float *z, const int64_t *labels) {
    float *fake = gan->buffers.inputs + N * gan->input_size;
    load_drawn(gan, draw(gan, N, z, labels, GM_TRAINING), N, labels, fake);
    return fake;
}

/* ---- The discriminator's update ---- */

/* Adds the loss of N outputs on real images; d (N) is its gradient. */
static void judge_real(const gm_gan *gan, int64_t N, const float *out, float *d, gm_gan_losses *losses) {
    losses->discriminator += gm_loss_of_real(gan->config.objective, N, out, (double)gan->config.label_smoothing, d);
    losses->wasserstein += gm_mean(N, out);
}

/* The same for generated ones. */
static void judge_fake(const gm_gan *gan, int64_t N, const float *out, float *d, gm_gan_losses *losses) {
    losses->discriminator += gm_loss_of_fake(gan->config.objective, N, out, d);
    losses->wasserstein -= gm_mean(N, out);
}

static void learn(gm_network *network, int64_t N, float *d, unsigned wants) {
    gm_network_backward(network, N, d, wants);
    gm_network_commit(network);
}

/* The losses of N real images and the N generated ones behind them, in two passes or one, and D's gradients. */
static void judge(gm_gan *gan, int64_t N, gm_gan_losses *losses) {
    gm_network *network = gan->network[DISCRIMINATOR];
    float *real = gan->buffers.inputs, *d = gan->buffers.outputs;
    if (gan->config.mixed_batches) {
        const float *out = gm_network_forward(network, 2 * N, real, GM_TRAINING);
        judge_real(gan, N, out, d, losses);
        judge_fake(gan, N, out + N, d + N, losses);
        learn(network, 2 * N, d, GM_WANT_PARAMETERS | (gan->penalised ? 0 : GM_UPDATE_NEXT));
        return;
    }
    judge_real(gan, N, gm_network_forward(network, N, real, GM_TRAINING), d, losses);
    learn(network, N, d, GM_WANT_PARAMETERS);
    judge_fake(gan, N, gm_network_forward(network, N, real + N * gan->input_size, GM_TRAINING), d, losses);
    learn(network, N, d, GM_WANT_PARAMETERS | GM_ADD);
}

/* The gradient penalty between N real and N generated images, and what it adds to D's gradients. */
static double penalise(gm_gan *gan, int64_t N, const float *mix) {
    gm_network *network = gan->network[DISCRIMINATOR];
    const gm_shape *image = &gan->config.image;
    const buffers *b = &gan->buffers;
    int64_t C = image->dim[2], stride = C + gan->config.num_classes;
    float *mixed = gm_network_input(network);
    gm_mix_rows(N, gan->input_size, mix, b->inputs, b->inputs + N * gan->input_size, mixed);
    gm_network_forward(network, N, mixed, GM_TRAINING);
    gm_fill(N, 1.0f, b->outputs);
    const float *gradient = gm_network_backward(network, N, b->outputs, GM_WANT_INPUT);
    double penalty = gm_gradient_penalty(N, image->dim[0] * image->dim[1], C, stride, gradient,
                                         (double)gan->config.gradient_penalty, b->direction, b->norms);
    gm_network_tangent(network, N, b->direction);
    gm_network_commit(network);
    return penalty;
}

static gm_status check_finite(const gm_gan *gan, int which, double loss, gm_error *error) {
    static const char *const names[] = {"generator", "discriminator"};
    uint64_t step = gm_optimizer_steps(gan->optimizer[which]) + 1;
    GM_REQUIRE(isfinite(loss), error, GM_NONFINITE_ERROR,
               "GAN: training diverged: at the %s's step %" PRIu64 " its loss is %g; the weights are the last finite "
               "ones; try a lower learning rate%s",
               names[which], step, gm_printed(loss),
               gan->config.objective == GM_OBJECTIVE_WGAN ? ", or clip_weights" : "");
    return gm_check_gradients("GAN", gan->network[which], names[which], step, error);
}

static gm_status update(gm_gan *gan, int which, double loss, gm_error *error) {
    GM_TRY(check_finite(gan, which, loss, error));
    gm_network_update(gan->network[which], gan->optimizer[which]);
    return GM_OK;
}

static gm_status train_discriminator(gm_gan *gan, const gm_gan_batch *batch, int64_t k, const float *noise,
                                     const float *mix, gm_gan_losses *losses, gm_error *error) {
    int64_t N = batch->N, part = batch->parts > 1 ? k : 0;
    const int64_t *labels = batch->labels ? batch->labels + part * N : NULL;
    load(gan, &batch->images, part * N, N, batch->labels, gan->buffers.inputs);
    draw_fakes(gan, N, noise, labels);
    gm_network_commit(gan->network[GENERATOR]);
    judge(gan, N, losses);
    if (gan->penalised) {
        losses->penalty = penalise(gan, N, mix);
        losses->discriminator += (double)gan->config.gradient_penalty * losses->penalty;
    }
    GM_TRY(update(gan, DISCRIMINATOR, losses->discriminator, error));
    gm_network *network = gan->network[DISCRIMINATOR];
    if (gan->config.clip_weights > 0)
        gm_clip(gan->config.clip_weights, gm_network_trainable(network), gm_network_parameters(network));
    return GM_OK;
}

/* ---- The generator's update ---- */

/* The gradient of the images alone: that of the label channels goes nowhere. */
static float *image_gradient(gm_gan *gan, int64_t N, float *dx) {
    int64_t C = gan->config.image.dim[2], classes = gan->config.num_classes;
    if (!classes) return dx;
    gm_copy_rows(N * (gan->image_size / C), C, dx, C + classes, gan->buffers.dimage, C);
    return gan->buffers.dimage;
}

/* The average takes 1 - decay of the generator's weights; its moving statistics are always the newest. */
static void follow(const gm_gan *gan, float decay) {
    gm_network *from = gan->network[GENERATOR], *to = gan->network[AVERAGE];
    if (!to) return;
    int64_t trainable = gm_network_trainable(from);
    gm_moving_average(decay, trainable, gm_network_parameters(from), gm_network_parameters(to));
    gm_copy_rows(1, gm_network_buffers(from), gm_network_parameters(from) + trainable, 0,
                 gm_network_parameters(to) + trainable, 0);
}

static gm_status train_generator(gm_gan *gan, const gm_gan_batch *batch, const float *noise, gm_gan_losses *losses,
                                 gm_error *error) {
    int64_t N = batch->N;
    const int64_t *labels = batch->labels ? batch->labels + (batch->parts - 1) * N : NULL;
    gm_network *generator = gan->network[GENERATOR], *discriminator = gan->network[DISCRIMINATOR];
    const float *out = gm_network_forward(discriminator, N, draw_fakes(gan, N, noise, labels), GM_TRAINING);
    losses->generator = gm_loss_of_generator(gan->config.objective, N, out, gan->buffers.outputs);
    float *dx = gm_network_backward(discriminator, N, gan->buffers.outputs, GM_WANT_INPUT);
    gm_network_backward(generator, N, image_gradient(gan, N, dx), GM_WANT_PARAMETERS | GM_UPDATE_NEXT);
    gm_network_commit(discriminator);
    gm_network_commit(generator);
    GM_TRY(update(gan, GENERATOR, losses->generator, error));
    follow(gan, gan->config.ema);
    return GM_OK;
}

/* ---- The training step ---- */

static gm_status check_parts(const char *what, int64_t parts, int64_t most, gm_error *error) {
    GM_REQUIRE(parts == 0 || parts == 1 || parts == most, error, GM_VALUE_ERROR,
               "GAN: %s for %" PRId64 " updates, must be for 1 or %" PRId64, what, parts, most);
    return GM_OK;
}

static gm_status check_batch(const gm_gan *gan, const gm_gan_batch *batch, gm_error *error) {
    const gm_gan_config *config = &gan->config;
    GM_REQUIRE(batch->parts >= 1 && batch->images.N == batch->parts * batch->N, error, GM_VALUE_ERROR,
               "GAN: %" PRId64 " images are not %" PRId64 " batches of %" PRId64, batch->images.N, batch->parts,
               batch->N);
    GM_TRY(check_parts("images", batch->parts, config->critic_steps, error));
    GM_TRY(check_parts("noise", batch->noise_parts, config->critic_steps + 1, error));
    GM_TRY(check_parts("mix", batch->mix_parts, config->critic_steps, error));
    return gm_check_images("GAN", &batch->images, &config->image, batch->labels, config->num_classes, error);
}

/* The noise of update k: given, or drawn. */
static const float *noise_of(gm_gan *gan, const gm_gan_batch *batch, int64_t k) {
    int64_t count = batch->N * gan->config.latent_dim;
    if (batch->noise_parts) return batch->noise + (batch->noise_parts > 1 ? k * count : 0);
    gm_random_normal(&gan->noise, count, gan->buffers.noise);
    return gan->buffers.noise;
}

static const float *mix_of(gm_gan *gan, const gm_gan_batch *batch, int64_t k) {
    if (batch->mix_parts) return batch->mix + (batch->mix_parts > 1 ? k * batch->N : 0);
    if (gan->penalised) gm_random_uniform(&gan->mix, batch->N, gan->buffers.mix);
    return gan->buffers.mix;
}

/* Before an update and, where that failed, behind it: what its passes moved is put back. */
static gm_gan_streams note(gm_gan *gan) {
    for (int i = 0; i < OPTIMIZERS; i++) gm_network_note(gan->network[i]);
    return gm_gan_get_streams(gan);
}

static gm_status restore(gm_gan *gan, gm_gan_streams streams, gm_status status) {
    for (int i = 0; i < OPTIMIZERS; i++) gm_network_restore(gan->network[i]);
    gm_gan_set_streams(gan, streams);
    return status;
}

gm_status gm_gan_train_step(gm_gan *gan, const gm_gan_batch *batch, gm_gan_losses *losses, gm_error *error) {
    int64_t K = gan->config.critic_steps;
    GM_TRY(check_batch(gan, batch, error));
    GM_TRY(gm_gan_reserve(gan, batch->N, error));
    *losses = (gm_gan_losses){0};
    if (!has_learned(gan)) follow(gan, 0); /* from where it stands: its weights may have been set by hand */
    for (int64_t k = 0; k < K; k++) {
        gm_gan_losses once = {0};
        gm_gan_streams before = note(gan);
        const float *noise = noise_of(gan, batch, k), *mix = mix_of(gan, batch, k);
        gm_status status = train_discriminator(gan, batch, k, noise, mix, &once, error);
        if (status != GM_OK) return restore(gan, before, status);
        losses->discriminator += once.discriminator / (double)K;
        losses->penalty += once.penalty / (double)K;
        losses->wasserstein += once.wasserstein / (double)K;
    }
    gm_gan_streams before = note(gan);
    gm_status status = train_generator(gan, batch, noise_of(gan, batch, K), losses, error);
    return status == GM_OK ? GM_OK : restore(gan, before, status);
}

/* ---- Inference ---- */

static gm_status check_images(const gm_gan *gan, const gm_images *x, const int64_t *labels, gm_error *error) {
    return gm_check_images("GAN", x, &gan->config.image, labels, gan->config.num_classes, error);
}

static void add_piece(gm_gan_losses *total, const gm_gan_losses *piece, double share) {
    total->discriminator += piece->discriminator * share;
    total->generator += piece->generator * share;
    total->wasserstein += piece->wasserstein * share;
}

static gm_gan_losses evaluate_piece(gm_gan *gan, const gm_images *x, int64_t start, int64_t N, const int64_t *labels,
                                    const float *noise) {
    gm_network *discriminator = gan->network[DISCRIMINATOR];
    float *d = gan->buffers.outputs, *real = gan->buffers.inputs, *fake = real + N * gan->input_size;
    gm_gan_losses losses = {0};
    load(gan, x, start, N, labels, real);
    judge_real(gan, N, gm_network_forward(discriminator, N, real, 0), d, &losses);
    if (labels) labels += start;
    load_drawn(gan, draw(gan, N, noise, labels, 0), N, labels, fake);
    const float *out = gm_network_forward(discriminator, N, fake, 0);
    judge_fake(gan, N, out, d, &losses);
    losses.generator = gm_loss_of_generator(gan->config.objective, N, out, d);
    return losses;
}

gm_status gm_gan_evaluate(gm_gan *gan, const gm_images *x, const int64_t *labels, uint64_t seed, gm_gan_losses *losses,
                          gm_error *error) {
    GM_TRY(check_images(gan, x, labels, error));
    GM_TRY(reserve_piece(gan, x->N, error));
    gm_random random = {seed, GM_STREAM_EVALUATE, 0};
    *losses = (gm_gan_losses){0};
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        gm_random_normal(&random, N * gan->config.latent_dim, gan->buffers.noise);
        gm_gan_losses piece = evaluate_piece(gan, x, start, N, labels, gan->buffers.noise);
        add_piece(losses, &piece, (double)N / (double)x->N);
    }
    return GM_OK;
}

gm_status gm_gan_generate(gm_gan *gan, int64_t N, const float *z, const int64_t *labels, float *images,
                          gm_error *error) {
    GM_TRY(gm_check_labels("GAN", N, labels, gan->config.num_classes, error));
    gm_network *generator = gan->network[gan->network[AVERAGE] && has_learned(gan) ? AVERAGE : GENERATOR];
    return gm_codes_draw(generator, N, z, labels, gan->config.num_classes, images, error);
}

gm_status gm_gan_discriminate(gm_gan *gan, const gm_images *x, const int64_t *labels, float *out, gm_error *error) {
    GM_TRY(check_images(gan, x, labels, error));
    GM_TRY(reserve_piece(gan, x->N, error));
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        load(gan, x, start, N, labels, gan->buffers.inputs);
        gm_copy_rows(1, N, gm_network_forward(gan->network[DISCRIMINATOR], N, gan->buffers.inputs, 0), 0, out + start,
                     0);
    }
    return GM_OK;
}

void gm_gan_prior(gm_gan *gan, int64_t N, const uint64_t *seed, float *z) {
    gm_codes_of_prior(N, gan->config.latent_dim, seed, &gan->sample, z);
}

/* ---- State ---- */

gm_optimizer *gm_gan_optimizer(gm_gan *gan, int network) { return gan->optimizer[network]; }

gm_gan_streams gm_gan_get_streams(const gm_gan *gan) {
    return (gm_gan_streams){gan->noise.offset, gan->sample.offset, gan->mix.offset};
}

void gm_gan_set_streams(gm_gan *gan, gm_gan_streams streams) {
    gan->noise.offset = streams.noise;
    gan->sample.offset = streams.sample;
    gan->mix.offset = streams.mix;
}
