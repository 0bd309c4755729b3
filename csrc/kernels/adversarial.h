/* The losses of adversarial training over a discriminator's outputs, one number a sample, and the gradient penalty.
 *
 * In double inside: there are few numbers, and a Wasserstein loss is a small difference of large means. */
#ifndef GM_KERNELS_ADVERSARIAL_H
#define GM_KERNELS_ADVERSARIAL_H

#include <stdint.h>

typedef enum gm_objective {
    GM_OBJECTIVE_BCE,     /* non-saturating, from logits (Goodfellow et al. 2014) */
    GM_OBJECTIVE_LSGAN,   /* least squares against 1 and 0 (Mao et al. 2017) */
    GM_OBJECTIVE_WGAN,    /* Wasserstein, weights clipped (Arjovsky, Chintala, Bottou 2017) */
    GM_OBJECTIVE_WGAN_GP, /* Wasserstein, gradients penalised (Gulrajani et al. 2017) */
    GM_OBJECTIVE_HINGE    /* (Lim and Ye 2017) */
} gm_objective;

/* Each: out (N) -> the mean loss of that side; d (N) = its gradient. The discriminator's loss is the sum of its two. */
double gm_loss_of_real(gm_objective objective, int64_t N, const float *out, double smoothing, float *d);
double gm_loss_of_fake(gm_objective objective, int64_t N, const float *out, float *d);
double gm_loss_of_generator(gm_objective objective, int64_t N, const float *out, float *d);

/* The mean of x (N). */
double gm_mean(int64_t N, const float *x);
/* x (N) = value. */
void gm_fill(int64_t N, float value, float *x);

/* out (N, size) = e * real + (1 - e) * fake, e (N) a number a sample. */
void gm_mix_rows(int64_t N, int64_t size, const float *e, const float *real, const float *fake, float *out);

/* gradient (N, pixels, stride), of whose last axis the first C count (the image's channels) -> the mean over the
 * samples of (|gradient| - 1)^2, with norms of whole samples; direction, of the same shape, = weight * its derivative,
 * zero in the other channels and at norm zero, where the norm has none. norms (N) is workspace. */
double gm_gradient_penalty(int64_t N, int64_t pixels, int64_t C, int64_t stride, const float *gradient, double weight,
                           float *direction, double *norms);

#endif
