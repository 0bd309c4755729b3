#include "kernels/latent.h"

#include <math.h>
#include <string.h>

double gm_latent_sample(int64_t N, int64_t L, const float *h, const float *noise, float *z, int64_t stride) {
    double divergence = 0;
    for (int64_t n = 0; n < N; n++, h += 2 * L, noise += L, z += stride)
        for (int64_t l = 0; l < L; l++) {
            double mean = (double)h[l], logvar = (double)h[L + l];
            z[l] = (float)(mean + exp(0.5 * logvar) * (double)noise[l]);
            divergence += 0.5 * (mean * mean + (expm1(logvar) - logvar));
        }
    return divergence;
}

void gm_latent_backward(int64_t N, int64_t L, const float *h, const float *noise, const float *dz, int64_t stride,
                        double scale, float *dh) {
    for (int64_t n = 0; n < N; n++, h += 2 * L, noise += L, dz += stride, dh += 2 * L)
        for (int64_t l = 0; l < L; l++) {
            double mean = (double)h[l], logvar = (double)h[L + l], gradient = (double)dz[l];
            dh[l] = (float)(gradient + scale * mean);
            dh[L + l] = (float)(0.5 * (gradient * (double)noise[l] * exp(0.5 * logvar) + scale * expm1(logvar)));
        }
}

void gm_copy_rows(int64_t N, int64_t length, const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    for (int64_t n = 0; n < N; n++) memcpy(to + n * to_stride, from + n * from_stride, (size_t)length * sizeof(float));
}

void gm_one_hot_rows(int64_t N, int64_t classes, const int64_t *labels, int64_t at, float *out, int64_t stride) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < classes; k++) out[n * stride + at + k] = labels[n] == k ? 1.0f : 0.0f;
}
