/* The Gaussian latent of a variational autoencoder (Kingma and Welling 2014), and rows of different lengths.
 *
 * N samples, L latent dimensions; h (N, 2L) holds the means, then the log-variances. In double inside: these arrays
 * are small, and exp(v) - 1 - v cancels near 0. */
#ifndef GM_KERNELS_LATENT_H
#define GM_KERNELS_LATENT_H

#include <stdint.h>

/* z = mean + exp(logvar / 2) * noise; noise (N, L); row n of z at z + n * stride. Returns the KL divergence from the
 * standard normal, -1/2 * sum(1 + logvar - mean^2 - exp(logvar)), added up over the batch. */
double gm_latent_sample(int64_t N, int64_t L, const float *h, const float *noise, float *z, int64_t stride);

/* dh (N, 2L) = gradient of loss + scale * KL, from dz (row n at dz + n * stride) = gradient of loss. */
void gm_latent_backward(int64_t N, int64_t L, const float *h, const float *noise, const float *dz, int64_t stride,
                        double scale, float *dh);

/* Codes drawn from the Gaussians of images, D of each: row r is of image r / D, its draw number first_draw + r % D. The
 * noise is a function of the seed, of the image's number, first_image + r / D, and of the draw's. */
typedef struct gm_latent_draws {
    int64_t L, D;
    const float *h; /* (images, 2L) */
    uint64_t seed, first_image, first_draw;
} gm_latent_draws;

/* Rows start..start+N-1, on all threads: row n of z at z + n * stride; log_ratio (N) = log p(z) - log q(z | image), p the
 * standard normal. */
void gm_latent_draw(const gm_latent_draws *draws, int64_t start, int64_t N, float *z, int64_t stride,
                    double *log_ratio);

/* N rows of `length` floats from one stride to another. */
void gm_copy_rows(int64_t N, int64_t length, const float *from, int64_t from_stride, float *to, int64_t to_stride);

/* out (N, stride): in columns at..at+classes-1 of each row, 1 at the row's label and 0 elsewhere. */
void gm_one_hot_rows(int64_t N, int64_t classes, const int64_t *labels, int64_t at, float *out, int64_t stride);

#endif
