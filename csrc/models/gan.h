/* The generative adversarial network (Goodfellow et al. 2014), for every objective of kernels/adversarial.h, and
 * conditional when there are classes (Mirza and Osindero 2014).
 *
 * generator: z (+ one-hot) -> image; discriminator, or critic: image (+ one-hot channels) -> one number. The networks
 * belong to the caller and may be used on their own between calls. */
#ifndef GM_MODELS_GAN_H
#define GM_MODELS_GAN_H

#include "kernels/adversarial.h"
#include "models/images.h"
#include "network/network.h"
#include "network/optimizer.h"

typedef struct gm_gan_config {
    gm_shape image;      /* (H, W, C), without label channels */
    int64_t latent_dim;  /* >= 1 */
    int64_t num_classes; /* 0: unconditional */
    gm_objective objective;
    int64_t critic_steps;   /* discriminator updates before a generator update, 1..GM_MAX_CRITIC_STEPS */
    float label_smoothing;  /* targets of real images are 1 - this; 0..1, of bce and lsgan */
    float clip_weights;     /* the critic's parameters are held to +-this; 0: they are not; of wgan */
    float gradient_penalty; /* >= 0, of wgan-gp */
    bool mixed_batches;     /* real and generated images in one pass */
    float ema;              /* decay of the generator's average, 0..1; 0: none */
    gm_optimizer_config generator_optimizer, discriminator_optimizer;
    uint64_t seed;
} gm_gan_config;

enum { GM_MAX_CRITIC_STEPS = 1000 };

/* Averaged over the batch, and the discriminator's over its updates. */
typedef struct gm_gan_losses {
    double discriminator, generator;
    double penalty;     /* unweighted, of wgan-gp */
    double wasserstein; /* mean output on real minus mean output on generated images, of wgan and wgan-gp */
} gm_gan_losses;

/* What one training step sees. Each of the arrays either serves every update (its count is 1) or has a part for each. */
typedef struct gm_gan_batch {
    int64_t N;             /* images an update */
    int64_t parts;         /* of images and labels: 1 or critic_steps */
    gm_images images;      /* (parts, N, H, W, C) */
    const int64_t *labels; /* (parts, N) when conditional, else NULL; the generator's update takes the last part */
    int64_t noise_parts;   /* 0: drawn; 1; critic_steps + 1, the generator's last */
    const float *noise;    /* (noise_parts, N, latent) */
    int64_t mix_parts;     /* 0: drawn; 1; critic_steps */
    const float *mix;      /* (mix_parts, N): the penalty's places between generated (0) and real (1) */
} gm_gan_batch;

typedef struct gm_gan gm_gan;

/* Checks that the networks fit together and with the configuration. `average`, of the generator's layers, holds its
 * moving average; NULL when ema is 0. */
gm_status gm_gan_create(const gm_gan_config *config, gm_network *generator, gm_network *discriminator,
                        gm_network *average, gm_gan **gan, gm_error *error);
void gm_gan_free(gm_gan *gan);

/* Room for batches of N. */
gm_status gm_gan_reserve(gm_gan *gan, int64_t N, gm_error *error);

/* critic_steps updates of the discriminator, each on newly generated images, then one of the generator through the
 * updated discriminator. GM_NONFINITE_ERROR: a loss or gradient is not finite (or exceeds GM_MAX_GRADIENT); that update
 * and those behind it were not made and left nothing but gradients: the model is as the last one before it, if any, left it. The
 * arrays of the batch are read between the updates, so they must not be memory that these write. */
gm_status gm_gan_train_step(gm_gan *gan, const gm_gan_batch *batch, gm_gan_losses *losses, gm_error *error);

/* The losses in inference mode, without a step and without the penalty; any N. Noise from the stream `seed` names. */
gm_status gm_gan_evaluate(gm_gan *gan, const gm_images *x, const int64_t *labels, uint64_t seed, gm_gan_losses *losses,
                          gm_error *error);

/* z (N, latent) -> images (N, H, W, C) in [0, 1], by the average where there is one and the generator has been
 * updated, else by the generator. */
gm_status gm_gan_generate(gm_gan *gan, int64_t N, const float *z, const int64_t *labels, float *images,
                          gm_error *error);

/* The discriminator's outputs (N) on images, in inference mode. */
gm_status gm_gan_discriminate(gm_gan *gan, const gm_images *x, const int64_t *labels, float *out, gm_error *error);

/* Prior noise (N, latent): from `seed` alone, or (seed NULL) from the model's own sampling stream, which advances. */
void gm_gan_prior(gm_gan *gan, int64_t N, const uint64_t *seed, float *z);

/* The optimizer state of the generator (0) and the discriminator (1). */
gm_optimizer *gm_gan_optimizer(gm_gan *gan, int network);

/* Positions of the model's random streams, for saving. */
typedef struct gm_gan_streams {
    uint64_t noise, sample, mix;
} gm_gan_streams;
gm_gan_streams gm_gan_get_streams(const gm_gan *gan);
void gm_gan_set_streams(gm_gan *gan, gm_gan_streams streams);

#endif
