#include "kernels/latent.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"

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

typedef struct draw_call {
    const gm_latent_draws *draws;
    int64_t start, stride;
    float *z;
    double *log_ratio;
} draw_call;

/* With z = mean + sd * e, both densities have the same constant and log p - log q = sum(e^2 + logvar - z^2) / 2. */
static void draw_row(void *context, int64_t index) {
    const draw_call *call = context;
    const gm_latent_draws *draws = call->draws;
    int64_t L = draws->L, row = call->start + index, image = row / draws->D;
    const float *h = draws->h + image * 2 * L;
    float *z = call->z + index * call->stride;
    uint64_t blocks = (uint64_t)(L + 3) / 4, draw = draws->first_draw + (uint64_t)(row % draws->D);
    gm_random random = {draws->seed, GM_STREAM_WEIGH | (draws->first_image + (uint64_t)image) << 32, draw * blocks};
    double sum = 0;
    gm_random_normal(&random, L, z);
    for (int64_t l = 0; l < L; l++) {
        double noise = (double)z[l], logvar = (double)h[L + l];
        double code = (double)h[l] + exp(0.5 * logvar) * noise;
        sum += noise * noise + logvar - code * code;
        z[l] = (float)code;
    }
    call->log_ratio[index] = 0.5 * sum;
}

void gm_latent_draw(const gm_latent_draws *draws, int64_t start, int64_t N, float *z, int64_t stride,
                    double *log_ratio) {
    draw_call call = {draws, start, stride, z, log_ratio};
    gm_parallel_for(N, draw_row, &call);
}

void gm_copy_rows(int64_t N, int64_t length, const float *from, int64_t from_stride, float *to, int64_t to_stride) {
    for (int64_t n = 0; n < N; n++) memcpy(to + n * to_stride, from + n * from_stride, (size_t)length * sizeof(float));
}

void gm_one_hot_rows(int64_t N, int64_t classes, const int64_t *labels, int64_t at, float *out, int64_t stride) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < classes; k++) out[n * stride + at + k] = labels[n] == k ? 1.0f : 0.0f;
}
