/* The variational autoencoder (Kingma and Welling 2014), conditional when there are classes (Sohn, Lee, Yan 2015).
 *
 * encoder: image (+ one-hot channels) -> features; head: Dense(2 * latent), mean then log-variance;
 * decoder: z (+ one-hot) -> image. The networks belong to the caller and may be used on their own between calls. */
#ifndef GM_MODELS_VAE_H
#define GM_MODELS_VAE_H

#include "models/images.h"
#include "network/network.h"
#include "network/optimizer.h"

typedef enum gm_reconstruction { GM_BCE, GM_MSE } gm_reconstruction;
typedef enum gm_reduction { GM_SUM, GM_MEAN } gm_reduction; /* over the pixels of the reconstruction term */

typedef struct gm_vae_config {
    gm_shape image;      /* (H, W, C), without label channels */
    int64_t latent_dim;  /* >= 1 */
    int64_t num_classes; /* 0: unconditional */
    gm_reconstruction reconstruction;
    gm_reduction reduction;
    float beta; /* >= 0, finite */
    gm_optimizer_config optimizer;
    uint64_t seed;
} gm_vae_config;

/* Nats, averaged over the batch. loss = reconstruction + beta * kl. */
typedef struct gm_vae_losses {
    double loss, reconstruction, kl;
} gm_vae_losses;

typedef struct gm_vae gm_vae;

/* Checks that the three networks fit together and with the configuration. */
gm_status gm_vae_create(const gm_vae_config *config, gm_network *encoder, gm_network *head, gm_network *decoder,
                        gm_vae **vae, gm_error *error);
void gm_vae_free(gm_vae *vae);

/* Room for batches of N in all three networks. */
gm_status gm_vae_reserve(gm_vae *vae, int64_t N, gm_error *error);

/* One optimizer step. labels (N) when conditional, else NULL; noise (N, latent) or NULL to draw it.
 * GM_NONFINITE_ERROR: loss or gradient is not finite (or a gradient exceeds GM_MAX_GRADIENT); nothing was changed
 * but the gradients. */
gm_status gm_vae_train_step(gm_vae *vae, const gm_images *x, const int64_t *labels, const float *noise,
                            gm_vae_losses *losses, gm_error *error);

/* The losses in inference mode, without a step; any N. z = mean + sd * noise, noise drawn from the stream `seed` names. */
gm_status gm_vae_evaluate(gm_vae *vae, const gm_images *x, const int64_t *labels, uint64_t seed, gm_vae_losses *losses,
                          gm_error *error);

/* mean, logvar (N, latent). */
gm_status gm_vae_encode(gm_vae *vae, const gm_images *x, const int64_t *labels, float *mean, float *logvar,
                        gm_error *error);
/* z (N, latent) -> images (N, H, W, C) in [0, 1]. */
gm_status gm_vae_decode(gm_vae *vae, int64_t N, const float *z, const int64_t *labels, float *images, gm_error *error);

/* Which draws of each image's Gaussian to weigh: numbers first_draw..first_draw+count-1. The noise is a function of the
 * seed, of the image's number, first_image + its place in x, and of the draw's. */
typedef struct gm_vae_draws {
    uint64_t seed, first_image, first_draw; /* first_image + x's N <= 2^32, first_draw + count <= 2^40 */
    int64_t count;                          /* >= 1 */
} gm_vae_draws;

/* log_weights (N, count): log p(x | z) + log p(z) - log q(z | x) of every draw z, in nats, in inference mode. p(x | z) is
 * Bernoulli for bce, from the decoder's logits; for mse Gaussian of variance 1/2 in the decoder's range. The logarithm
 * of the weights' mean estimates log p(x) (Burda, Grosse, Salakhutdinov 2016). */
gm_status gm_vae_log_weights(gm_vae *vae, const gm_images *x, const int64_t *labels, const gm_vae_draws *draws,
                             double *log_weights, gm_error *error);

/* Prior noise (N, latent): from `seed` alone, or (seed NULL) from the model's own sampling stream, which advances. */
void gm_vae_prior(gm_vae *vae, int64_t N, const uint64_t *seed, float *z);

/* The optimizer state of the encoder (0), head (1), decoder (2). */
gm_optimizer *gm_vae_optimizer(gm_vae *vae, int network);

/* Positions of the model's random streams, for saving. */
typedef struct gm_vae_streams {
    uint64_t noise, sample;
} gm_vae_streams;
gm_vae_streams gm_vae_get_streams(const gm_vae *vae);
void gm_vae_set_streams(gm_vae *vae, gm_vae_streams streams);

#endif
