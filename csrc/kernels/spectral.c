#include "kernels/spectral.h"

#include <math.h>

static const double smallest_norm = 1e-12;

/* x (n) /= max(|x|, 1e-12); returns |x| as it was. */
static double make_unit(int64_t n, double *x) {
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    double norm = sqrt(square), divisor = norm < smallest_norm ? smallest_norm : norm; /* a NaN stays */
    for (int64_t i = 0; i < n; i++) x[i] /= divisor;
    return norm;
}

/* v (A, B) = W'u. */
static void multiply_transposed(const gm_spectral *s, const float *w) {
    for (int64_t a = 0; a < s->A; a++, w += s->O * s->B)
        for (int64_t b = 0; b < s->B; b++) {
            double sum = 0;
            for (int64_t o = 0; o < s->O; o++) sum += s->u[o] * (double)w[o * s->B + b];
            s->v[a * s->B + b] = sum;
        }
}

/* u (O) = W v. */
static void multiply(const gm_spectral *s, const float *w) {
    for (int64_t o = 0; o < s->O; o++) s->u[o] = 0;
    for (int64_t a = 0; a < s->A; a++, w += s->O * s->B)
        for (int64_t o = 0; o < s->O; o++)
            for (int64_t b = 0; b < s->B; b++) s->u[o] += (double)w[o * s->B + b] * s->v[a * s->B + b];
}

void gm_spectral_normalise(const gm_spectral *s, const float *w, const float *u, bool step, float *scaled) {
    for (int64_t o = 0; o < s->O; o++) s->u[o] = (double)u[o];
    multiply_transposed(s, w);
    *s->sigma = make_unit(s->A * s->B, s->v); /* u.W v with v = unit(W'u) is |W'u| */
    if (step) {
        multiply(s, w);
        *s->sigma = make_unit(s->O, s->u);
    }
    /* A kernel of zeros stays zeros. */
    double inverse = 1 / (*s->sigma < smallest_norm ? smallest_norm : *s->sigma);
    for (int64_t i = 0; i < s->A * s->O * s->B; i++) scaled[i] = (float)((double)w[i] * inverse);
}

void gm_spectral_backward(const gm_spectral *s, const float *scaled, const float *dscaled, float *dw) {
    double inverse = 1 / (*s->sigma < smallest_norm ? smallest_norm : *s->sigma), product = 0;
    for (int64_t i = 0; i < s->A * s->O * s->B; i++) product += (double)dscaled[i] * (double)scaled[i];
    for (int64_t a = 0; a < s->A; a++)
        for (int64_t o = 0; o < s->O; o++)
            for (int64_t b = 0; b < s->B; b++) {
                int64_t i = (a * s->O + o) * s->B + b;
                double along = product * s->u[o] * s->v[a * s->B + b];
                dw[i] = (float)((double)dw[i] + ((double)dscaled[i] - along) * inverse);
            }
}

void gm_spectral_commit(const gm_spectral *s, float *u) {
    for (int64_t o = 0; o < s->O; o++)
        if (isfinite(s->u[o])) u[o] = (float)s->u[o];
}
