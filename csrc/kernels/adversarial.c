#include "kernels/adversarial.h"

#include <math.h>

#include "base/parallel.h"
#include "kernels/table.h"

/* ---- Losses ---- */

/* A loss of one output and its derivative. */
typedef struct value {
    double loss, slope;
} value;

/* max(x, 0) - x t + log(1 + exp(-|x|)): the cross-entropy of logit x and target t. */
static value cross_entropy(double x, double t) {
    double e = exp(-fabs(x)), sigmoid = (x < 0 ? e : 1) / (1 + e);
    return (value){(x > 0 ? x : 0) - x * t + log1p(e), sigmoid - t};
}

static value squared_error(double x, double t) { return (value){(x - t) * (x - t), 2 * (x - t)}; }

/* max(0, 1 + sign * x). A NaN stays. */
static value hinge(double x, double sign) {
    double margin = 1 + sign * x;
    return margin <= 0 ? (value){0, 0} : (value){margin, sign};
}

static value halved(value v) { return (value){v.loss / 2, v.slope / 2}; }

static value of_real(gm_objective objective, double x, double smoothing) {
    switch (objective) {
    case GM_OBJECTIVE_BCE: return cross_entropy(x, 1 - smoothing);
    case GM_OBJECTIVE_LSGAN: return halved(squared_error(x, 1 - smoothing));
    case GM_OBJECTIVE_WGAN:
    case GM_OBJECTIVE_WGAN_GP: return (value){-x, -1};
    case GM_OBJECTIVE_HINGE: return hinge(x, -1);
    }
    return (value){NAN, NAN};
}

static value of_fake(gm_objective objective, double x) {
    switch (objective) {
    case GM_OBJECTIVE_BCE: return cross_entropy(x, 0);
    case GM_OBJECTIVE_LSGAN: return halved(squared_error(x, 0));
    case GM_OBJECTIVE_WGAN:
    case GM_OBJECTIVE_WGAN_GP: return (value){x, 1};
    case GM_OBJECTIVE_HINGE: return hinge(x, 1);
    }
    return (value){NAN, NAN};
}

static value of_generator(gm_objective objective, double x) {
    switch (objective) {
    case GM_OBJECTIVE_BCE: return cross_entropy(x, 1);
    case GM_OBJECTIVE_LSGAN: return squared_error(x, 1);
    case GM_OBJECTIVE_WGAN:
    case GM_OBJECTIVE_WGAN_GP:
    case GM_OBJECTIVE_HINGE: return (value){-x, -1};
    }
    return (value){NAN, NAN};
}

/* Writes the gradient of the mean and returns the loss's part in it. */
static double put(value v, int64_t N, float *d) {
    *d = (float)(v.slope / (double)N);
    return v.loss / (double)N;
}

double gm_loss_of_real(gm_objective objective, int64_t N, const float *out, double smoothing, float *d) {
    double loss = 0;
    for (int64_t n = 0; n < N; n++) loss += put(of_real(objective, (double)out[n], smoothing), N, &d[n]);
    return loss;
}

double gm_loss_of_fake(gm_objective objective, int64_t N, const float *out, float *d) {
    double loss = 0;
    for (int64_t n = 0; n < N; n++) loss += put(of_fake(objective, (double)out[n]), N, &d[n]);
    return loss;
}

double gm_loss_of_generator(gm_objective objective, int64_t N, const float *out, float *d) {
    double loss = 0;
    for (int64_t n = 0; n < N; n++) loss += put(of_generator(objective, (double)out[n]), N, &d[n]);
    return loss;
}

double gm_mean(int64_t N, const float *x) {
    double sum = 0;
    for (int64_t n = 0; n < N; n++) sum += (double)x[n];
    return sum / (double)N;
}

void gm_fill(int64_t N, float value, float *x) {
    for (int64_t n = 0; n < N; n++) x[n] = value;
}

/* ---- The gradient penalty ---- */

typedef struct rows_call {
    int64_t N, pixels, C, stride;
    const float *e, *real, *fake, *gradient;
    double weight;
    float *out;
    double *norms;
} rows_call;

static void mix_row(void *context, int64_t n) {
    const rows_call *call = context;
    int64_t at = n * call->stride;
    gm_kernels_active()->interpolate(call->e[n], call->stride, call->real + at, call->fake + at, call->out + at);
}

void gm_mix_rows(int64_t N, int64_t size, const float *e, const float *real, const float *fake, float *out) {
    rows_call call = {.N = N, .stride = size, .e = e, .real = real, .fake = fake, .out = out};
    gm_parallel_for(N, mix_row, &call);
}

static double norm_of_row(const rows_call *call, const float *gradient) {
    double square = 0;
    for (int64_t p = 0; p < call->pixels; p++)
        for (int64_t c = 0; c < call->C; c++) {
            double value = (double)gradient[p * call->stride + c];
            square += value * value;
        }
    return sqrt(square);
}

static void penalise_row(void *context, int64_t n) {
    const rows_call *call = context;
    int64_t at = n * call->pixels * call->stride;
    double norm = norm_of_row(call, call->gradient + at);
    /* The derivative of (|g| - 1)^2 / N is 2 (1 - 1 / |g|) / N * g. */
    double factor = norm == 0 ? 0 : call->weight * 2 * (1 - 1 / norm) / (double)call->N;
    call->norms[n] = norm;
    for (int64_t i = 0; i < call->pixels * call->stride; i++)
        call->out[at + i] = i % call->stride < call->C ? (float)(factor * (double)call->gradient[at + i]) : 0.0f;
}

double gm_gradient_penalty(int64_t N, int64_t pixels, int64_t C, int64_t stride, const float *gradient, double weight,
                           float *direction, double *norms) {
    rows_call call = {.N = N, .pixels = pixels, .C = C, .stride = stride, .gradient = gradient};
    call.weight = weight, call.out = direction, call.norms = norms;
    gm_parallel_for(N, penalise_row, &call);
    double penalty = 0;
    for (int64_t n = 0; n < N; n++) penalty += (norms[n] - 1) * (norms[n] - 1) / (double)N;
    return penalty;
}
