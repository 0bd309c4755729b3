/* A training step: images -> encoder -> head -> z = mean + sd * noise -> decoder -> loss; back through the same; then,
 * when the loss and all gradients are finite, the moving statistics and the three optimizers. */
#include "models/vae.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/latent.h"
#include "models/checks.h"
#include "models/codes.h"

enum { ENCODER, HEAD, DECODER, NETWORKS };
enum { PIECE = 128 }; /* images at a time where any number may come */

static const char *const network_names[NETWORKS] = {"encoder", "head", "decoder"};

/* What the model needs beside its networks' plans, for `capacity` images. */
typedef struct buffers {
    gm_arena arena;
    int64_t capacity;
    float *noise;  /* (capacity, L) */
    float *dh;     /* (capacity, 2L) */
    float *dimage; /* (capacity, image) */
    float *target; /* (capacity, image) when conditional: the encoder's input has label channels between */
} buffers;

struct gm_vae {
    gm_vae_config config;
    gm_network *network[NETWORKS]; /* the caller's */
    gm_optimizer *optimizer[NETWORKS];
    int64_t image_size; /* H * W * C */
    bool signed_pixels; /* gm_images_are_signed */
    gm_random noise, sample;
    buffers buffers;
};

/* ---- Creation ---- */

static gm_status check_config(const gm_vae_config *config, gm_error *error) {
    GM_TRY(gm_check_image_model("VAE", &config->image, config->num_classes, error));
    GM_TRY(gm_check_latent_dim("VAE", config->latent_dim, error));
    GM_REQUIRE(config->beta >= 0 && isfinite(config->beta), error, GM_VALUE_ERROR,
               "VAE: beta is %g, must be finite and at least 0", (double)config->beta);
    return GM_OK;
}

static gm_status check_networks(const gm_vae_config *config, gm_network *const network[NETWORKS], gm_error *error) {
    int64_t L = config->latent_dim, classes = config->num_classes, features;
    gm_shape image = config->image, head_out = {1, {2 * L}}, latent = {1, {L + classes}};
    image.dim[2] += classes;
    GM_TRY(gm_check_shape("VAE: the encoder's input", gm_network_input_shape(network[ENCODER]), &image, error));
    GM_TRY(gm_shape_size(gm_network_output_shape(network[ENCODER]), &features, "VAE: encoder output", error));
    gm_shape flat = {1, {features}};
    GM_TRY(gm_check_shape("VAE: the head's input", gm_network_input_shape(network[HEAD]), &flat, error));
    GM_TRY(gm_check_shape("VAE: the head's output", gm_network_output_shape(network[HEAD]), &head_out, error));
    GM_TRY(gm_check_shape("VAE: the decoder's input", gm_network_input_shape(network[DECODER]), &latent, error));
    GM_TRY(
        gm_check_shape("VAE: the decoder's output", gm_network_output_shape(network[DECODER]), &config->image, error));
    bool logits = gm_network_last_activation(network[DECODER]).kind == GM_SIGMOID;
    GM_REQUIRE(config->reconstruction != GM_BCE || logits, error, GM_VALUE_ERROR,
               "VAE: reconstruction=\"bce\" needs a decoder whose last layer is Sigmoid(); "
               "add it, or use reconstruction=\"mse\"");
    return GM_OK;
}

gm_status gm_vae_create(const gm_vae_config *config, gm_network *encoder, gm_network *head, gm_network *decoder,
                        gm_vae **vae, gm_error *error) {
    gm_network *const network[NETWORKS] = {encoder, head, decoder};
    GM_TRY(check_config(config, error));
    GM_TRY(check_networks(config, network, error));
    gm_vae *v = calloc(1, sizeof *v);
    GM_REQUIRE(v, error, GM_MEMORY_ERROR, "VAE: cannot allocate the model");
    v->config = *config;
    v->image_size = config->image.dim[0] * config->image.dim[1] * config->image.dim[2];
    v->signed_pixels = gm_images_are_signed(decoder);
    v->noise = (gm_random){config->seed, GM_STREAM_NOISE, 0};
    v->sample = (gm_random){config->seed, GM_STREAM_SAMPLE, 0};
    for (int i = 0; i < NETWORKS; i++) {
        v->network[i] = network[i];
        gm_status status =
            gm_optimizer_create(&config->optimizer, gm_network_trainable(network[i]), &v->optimizer[i], error);
        if (status != GM_OK) {
            gm_vae_free(v);
            return status;
        }
    }
    *vae = v;
    return GM_OK;
}

void gm_vae_free(gm_vae *vae) {
    if (!vae) return;
    for (int i = 0; i < NETWORKS; i++) gm_optimizer_free(vae->optimizer[i]);
    gm_arena_free(&vae->buffers.arena);
    free(vae);
}

/* ---- Memory ---- */

static gm_status lay_out(const gm_vae *vae, int64_t N, gm_arena *arena, buffers *b, gm_error *error) {
    int64_t pixels, latents;
    GM_TRY(gm_size_multiply(N, vae->image_size, &pixels, "batch of images", error));
    GM_TRY(gm_size_multiply(N, 2 * vae->config.latent_dim, &latents, "batch of latents", error));
    b->capacity = N;
    b->noise = gm_arena_floats(arena, latents / 2);
    b->dh = gm_arena_floats(arena, latents);
    b->dimage = gm_arena_floats(arena, pixels);
    b->target = vae->config.num_classes ? gm_arena_floats(arena, pixels) : NULL;
    return GM_OK;
}

static gm_status reserve_buffers(gm_vae *vae, int64_t N, gm_error *error) {
    if (N <= vae->buffers.capacity) return GM_OK;
    gm_arena measured = gm_arena_measuring(), arena;
    buffers b;
    GM_TRY(lay_out(vae, N, &measured, &b, error));
    GM_TRY(gm_arena_create(&measured, &arena, "buffers of a VAE", error));
    (void)lay_out(vae, N, &arena, &b, error); /* its sizes passed the first time */
    b.arena = arena;
    gm_arena_free(&vae->buffers.arena);
    vae->buffers = b;
    return GM_OK;
}

gm_status gm_vae_reserve(gm_vae *vae, int64_t N, gm_error *error) {
    for (int i = 0; i < NETWORKS; i++) GM_TRY(gm_network_reserve(vae->network[i], N, error));
    return reserve_buffers(vae, N, error);
}

static gm_status reserve_piece(gm_vae *vae, int64_t N, gm_error *error) {
    return gm_vae_reserve(vae, min_of(N, PIECE), error);
}

/* ---- Forward ---- */

static gm_status check_batch(const gm_vae *vae, const gm_images *x, const int64_t *labels, gm_error *error) {
    return gm_check_images("VAE", x, &vae->config.image, labels, vae->config.num_classes, error);
}

static void load(const gm_vae *vae, const gm_images *x, int64_t start, int64_t N, const int64_t *labels, float *out) {
    gm_images_load(x, start, N, &vae->config.image, labels, labels ? vae->config.num_classes : 0, vae->signed_pixels,
                   out);
}

/* Images start..start+N-1 -> h (N, 2L). */
static const float *encode_piece(gm_vae *vae, const gm_images *x, int64_t start, int64_t N, const int64_t *labels,
                                 unsigned flags) {
    float *input = gm_network_input(vae->network[ENCODER]);
    load(vae, x, start, N, labels, input);
    const float *features = gm_network_forward(vae->network[ENCODER], N, input, flags);
    return gm_network_forward(vae->network[HEAD], N, features, flags);
}

/* What the decoder is to draw: the encoder's input, unless label channels lie between its pixels. */
static const float *target_of(gm_vae *vae, const gm_images *x, int64_t start, int64_t N) {
    if (!vae->config.num_classes) return gm_network_input(vae->network[ENCODER]);
    load(vae, x, start, N, NULL, vae->buffers.target);
    return vae->buffers.target;
}

/* Losses of images start..start+N-1, averaged over them; buffers.dimage becomes the gradient at the decoder's end. */
static gm_vae_losses forward_piece(gm_vae *vae, const gm_images *x, int64_t start, int64_t N, const int64_t *labels,
                                   const float *noise, unsigned flags, const float **h) {
    const gm_vae_config *config = &vae->config;
    int64_t L = config->latent_dim, n = N * vae->image_size;
    float *z = gm_network_input(vae->network[DECODER]);
    gm_vae_losses losses;
    *h = encode_piece(vae, x, start, N, labels, flags);
    losses.kl = gm_latent_sample(N, L, *h, noise, z, L + config->num_classes) / (double)N;
    gm_codes_place_labels(vae->network[DECODER], N, labels ? labels + start : NULL, config->num_classes);
    bool logits = config->reconstruction == GM_BCE;
    const float *drawn = gm_network_forward(vae->network[DECODER], N, z, flags | (logits ? GM_NO_LAST_ACT : 0));
    const float *target = target_of(vae, x, start, N);
    double scale = 1.0 / (double)(config->reduction == GM_MEAN ? n : N);
    double sum = (logits ? gm_cross_entropy : gm_squared_error)(n, drawn, target, (float)scale, vae->buffers.dimage);
    losses.reconstruction = sum * scale;
    losses.loss = losses.reconstruction + (double)config->beta * losses.kl;
    return losses;
}

/* ---- The training step ---- */

static void backward(gm_vae *vae, int64_t N, const float *noise, const float *h) {
    const unsigned parameters = GM_WANT_PARAMETERS | GM_UPDATE_NEXT, both = GM_WANT_INPUT | parameters;
    int64_t L = vae->config.latent_dim;
    const float *dz = gm_network_backward(vae->network[DECODER], N, vae->buffers.dimage, both);
    gm_latent_backward(N, L, h, noise, dz, L + vae->config.num_classes, (double)vae->config.beta / (double)N,
                       vae->buffers.dh);
    float *dfeatures = gm_network_backward(vae->network[HEAD], N, vae->buffers.dh, both);
    gm_network_backward(vae->network[ENCODER], N, dfeatures, parameters);
}

static gm_status check_finite(const gm_vae *vae, const gm_vae_losses *losses, gm_error *error) {
    uint64_t step = gm_optimizer_steps(vae->optimizer[ENCODER]) + 1;
    GM_REQUIRE(isfinite(losses->loss), error, GM_NONFINITE_ERROR,
               "VAE: training diverged: at step %" PRIu64 " the loss is %g (reconstruction %g, kl %g); the weights "
               "are those of the step before; try a lower learning rate",
               step, gm_printed(losses->loss), gm_printed(losses->reconstruction), gm_printed(losses->kl));
    for (int i = 0; i < NETWORKS; i++)
        GM_TRY(gm_check_gradients("VAE", vae->network[i], network_names[i], step, error));
    return GM_OK;
}

static void update(gm_vae *vae) {
    for (int i = 0; i < NETWORKS; i++) {
        gm_network_commit(vae->network[i]);
        gm_network_update(vae->network[i], vae->optimizer[i]);
    }
}

/* Before a step and, where that failed, behind it: nothing has moved then. */
static gm_vae_streams note(gm_vae *vae) {
    for (int i = 0; i < NETWORKS; i++) gm_network_note(vae->network[i]);
    return gm_vae_get_streams(vae);
}

static void restore(gm_vae *vae, gm_vae_streams streams) {
    for (int i = 0; i < NETWORKS; i++) gm_network_restore(vae->network[i]);
    gm_vae_set_streams(vae, streams);
}

gm_status gm_vae_train_step(gm_vae *vae, const gm_images *x, const int64_t *labels, const float *noise,
                            gm_vae_losses *losses, gm_error *error) {
    GM_TRY(check_batch(vae, x, labels, error));
    GM_TRY(gm_vae_reserve(vae, x->N, error));
    gm_vae_streams before = note(vae);
    if (!noise) {
        gm_random_normal(&vae->noise, x->N * vae->config.latent_dim, vae->buffers.noise);
        noise = vae->buffers.noise;
    }
    const float *h;
    *losses = forward_piece(vae, x, 0, x->N, labels, noise, GM_TRAINING, &h);
    backward(vae, x->N, noise, h);
    gm_status status = check_finite(vae, losses, error);
    if (status == GM_OK)
        update(vae);
    else
        restore(vae, before);
    return status;
}

/* ---- Inference ---- */

gm_status gm_vae_evaluate(gm_vae *vae, const gm_images *x, const int64_t *labels, uint64_t seed, gm_vae_losses *losses,
                          gm_error *error) {
    GM_TRY(check_batch(vae, x, labels, error));
    GM_TRY(reserve_piece(vae, x->N, error));
    gm_random random = {seed, GM_STREAM_EVALUATE, 0};
    gm_vae_losses total = {0, 0, 0};
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        const float *h;
        gm_random_normal(&random, N * vae->config.latent_dim, vae->buffers.noise);
        gm_vae_losses piece = forward_piece(vae, x, start, N, labels, vae->buffers.noise, 0, &h);
        total.reconstruction += piece.reconstruction * (double)N;
        total.kl += piece.kl * (double)N;
    }
    losses->reconstruction = total.reconstruction / (double)x->N;
    losses->kl = total.kl / (double)x->N;
    losses->loss = losses->reconstruction + (double)vae->config.beta * losses->kl;
    return GM_OK;
}

/* ---- Importance weights ---- */

/* Rows start..start+N-1 of the draws of some images; target (images, image), labels (images). */
static void weigh_piece(gm_vae *vae, const gm_latent_draws *draws, int64_t start, int64_t N, const float *target,
                        const int64_t *labels, double *log_weights) {
    const gm_vae_config *config = &vae->config;
    bool logits = config->reconstruction == GM_BCE;
    float *z = gm_network_input(vae->network[DECODER]);
    int64_t row_labels[PIECE] = {0};
    double losses[PIECE], constant = logits ? 0 : 0.5 * log(acos(-1)) * (double)vae->image_size;
    for (int64_t n = 0; labels && n < N; n++) row_labels[n] = labels[(start + n) / draws->D];
    gm_latent_draw(draws, start, N, z, config->latent_dim + config->num_classes, log_weights);
    gm_codes_place_labels(vae->network[DECODER], N, row_labels, config->num_classes);
    float *drawn = gm_network_forward(vae->network[DECODER], N, z, logits ? GM_NO_LAST_ACT : 0);
    if (logits)
        gm_cross_entropy_rows(N, vae->image_size, drawn, target, start, draws->D, losses);
    else
        gm_squared_error_rows(N, vae->image_size, drawn, target, start, draws->D, losses);
    for (int64_t n = 0; n < N; n++) log_weights[n] -= losses[n] + constant;
}

/* first + count <= most, for a count >= 0. */
static bool fits(uint64_t first, int64_t count, uint64_t most) {
    return first <= most && (uint64_t)count <= most - first;
}

gm_status gm_vae_log_weights(gm_vae *vae, const gm_images *x, const int64_t *labels, const gm_vae_draws *draws,
                             double *log_weights, gm_error *error) {
    const uint64_t most_images = (uint64_t)1 << 32, most_draws = (uint64_t)1 << 40;
    int64_t D = draws->count;
    GM_TRY(check_batch(vae, x, labels, error));
    GM_REQUIRE(D >= 1, error, GM_VALUE_ERROR, "VAE: %" PRId64 " draws, at least 1 is needed", D);
    GM_REQUIRE(fits(draws->first_image, x->N, most_images) && fits(draws->first_draw, D, most_draws), error,
               GM_OVERFLOW_ERROR, "VAE: more than 2^32 images or 2^40 draws");
    GM_TRY(gm_vae_reserve(vae, PIECE, error));
    for (int64_t first = 0; first < x->N; first += PIECE) {
        int64_t images = min_of(PIECE, x->N - first), rows = images * D;
        const float *h = encode_piece(vae, x, first, images, labels, 0), *target = target_of(vae, x, first, images);
        gm_latent_draws piece = {vae->config.latent_dim, D, h, draws->seed, draws->first_image + (uint64_t)first,
                                 draws->first_draw};
        for (int64_t start = 0; start < rows; start += PIECE)
            weigh_piece(vae, &piece, start, min_of(PIECE, rows - start), target, labels ? labels + first : NULL,
                        log_weights + first * D + start);
    }
    return GM_OK;
}

/* ---- Codes and images ---- */

gm_status gm_vae_encode(gm_vae *vae, const gm_images *x, const int64_t *labels, float *mean, float *logvar,
                        gm_error *error) {
    int64_t L = vae->config.latent_dim;
    GM_TRY(check_batch(vae, x, labels, error));
    GM_TRY(reserve_piece(vae, x->N, error));
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        const float *h = encode_piece(vae, x, start, N, labels, 0);
        gm_copy_rows(N, L, h, 2 * L, mean + start * L, L);
        gm_copy_rows(N, L, h + L, 2 * L, logvar + start * L, L);
    }
    return GM_OK;
}

gm_status gm_vae_decode(gm_vae *vae, int64_t N, const float *z, const int64_t *labels, float *images, gm_error *error) {
    GM_TRY(gm_check_labels("VAE", N, labels, vae->config.num_classes, error));
    return gm_codes_draw(vae->network[DECODER], N, z, labels, vae->config.num_classes, images, error);
}

void gm_vae_prior(gm_vae *vae, int64_t N, const uint64_t *seed, float *z) {
    gm_codes_of_prior(N, vae->config.latent_dim, seed, &vae->sample, z);
}

/* ---- State ---- */

gm_optimizer *gm_vae_optimizer(gm_vae *vae, int network) { return vae->optimizer[network]; }

gm_vae_streams gm_vae_get_streams(const gm_vae *vae) { return (gm_vae_streams){vae->noise.offset, vae->sample.offset}; }

void gm_vae_set_streams(gm_vae *vae, gm_vae_streams streams) {
    vae->noise.offset = streams.noise;
    vae->sample.offset = streams.sample;
}
