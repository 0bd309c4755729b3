/* The losses, the gradient penalty, spectral normalisation and the tangent pass of a network, against their definitions
 * in float64 and against finite differences. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/adversarial.h"
#include "kernels/spectral.h"

static double dot(int64_t n, const float *a, const float *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static double *doubles(const check_buffer *buffer) { return (double *)(void *)buffer->values; }

static check_buffer check_doubles(int64_t count) { return check_bytes(count * (int64_t)sizeof(double)); }

/* ---- losses ---- */

enum { REAL, FAKE, GENERATOR, SIDES, OBJECTIVES = GM_OBJECTIVE_HINGE + 1 };
static const double SMOOTHING = 0.25;

/* -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) */
static double entropy(double x, double t) { return t * log1p(exp(-x)) + (1 - t) * log1p(exp(x)); }

/* The loss of one output. */
static double loss_at(gm_objective objective, int side, double x) {
    double target = side == FAKE ? 0 : side == REAL ? 1 - SMOOTHING : 1;
    switch (objective) {
    case GM_OBJECTIVE_BCE: return entropy(x, target);
    case GM_OBJECTIVE_LSGAN: return (x - target) * (x - target) * (side == GENERATOR ? 1 : 0.5);
    case GM_OBJECTIVE_HINGE:
        if (side != GENERATOR) return fmax(0, 1 + (side == FAKE ? x : -x));
        return -x;
    case GM_OBJECTIVE_WGAN:
    case GM_OBJECTIVE_WGAN_GP: return side == FAKE ? x : -x;
    }
    return NAN;
}

static double loss_of(gm_objective objective, int side, int64_t N, const float *out, float *d) {
    if (side == REAL) return gm_loss_of_real(objective, N, out, SMOOTHING, d);
    return side == FAKE ? gm_loss_of_fake(objective, N, out, d) : gm_loss_of_generator(objective, N, out, d);
}

static void compare_losses(gm_objective objective, int side, int64_t N) {
    const double h = 1e-6;
    gm_random random = {.seed = (uint64_t)N, .stream = 1};
    check_buffer out = check_normal(N, &random), d = check_floats(N);
    double wanted = 0, got = loss_of(objective, side, N, out.values, d.values);
    for (int64_t n = 0; n < N; n++) {
        double x = (double)out.values[n];
        wanted += loss_at(objective, side, x) / (double)N;
        double slope = (loss_at(objective, side, x + h) - loss_at(objective, side, x - h)) / (2 * h);
        check_near((double)d.values[n], slope / (double)N, 1e-6 / (double)N, "slope", n);
    }
    check_near(got, wanted, 1e-9 * (1 + fabs(wanted)), "loss", objective);
    check_free(&out), check_free(&d);
}

TEST(losses_and_their_slopes) {
    static const int64_t counts[] = {1, 2, 37};
    for (int objective = 0; objective < OBJECTIVES; objective++)
        for (int side = 0; side < SIDES; side++)
            for (int i = 0; i < 3; i++) compare_losses((gm_objective)objective, side, counts[i]);
}

/* An output far out costs what it should, and one that is no number spoils the loss. */
TEST(losses_of_extreme_outputs) {
    float d[1], far[] = {1e30f}, near[] = {-1e30f}, nan[] = {NAN};
    check_near(gm_loss_of_fake(GM_OBJECTIVE_BCE, 1, far, d), 1e30, 1e24, "loss", 0);
    check_near((double)d[0], 1, 0, "slope", 0);
    check_near(gm_loss_of_generator(GM_OBJECTIVE_BCE, 1, far, d), 0, 0, "loss", 1);
    check_near((double)d[0], 0, 0, "slope", 1);
    check_near(gm_loss_of_real(GM_OBJECTIVE_BCE, 1, near, 0, d), 1e30, 1e24, "loss", 2);
    check_near((double)d[0], -1, 0, "slope", 2);
    for (int objective = 0; objective < OBJECTIVES; objective++)
        for (int side = 0; side < SIDES; side++)
            CHECK(isnan(loss_of((gm_objective)objective, side, 1, nan, d)), "objective %d, side %d", objective, side);
}

/* ---- the gradient penalty ---- */

enum { ROWS = 5, PIXELS = 6, STRIDE = 4, ROW = PIXELS * STRIDE, VALUES = ROWS * ROW };

/* weight * mean of (|g| - 1)^2, over the first C channels. */
static double penalty_of(const float *gradient, int64_t C, double weight) {
    double sum = 0;
    for (int64_t n = 0; n < ROWS; n++) {
        double square = 0;
        for (int64_t i = 0; i < ROW; i++)
            if (i % STRIDE < C) square += pow((double)gradient[n * ROW + i], 2);
        sum += pow(sqrt(square) - 1, 2) / ROWS;
    }
    return weight * sum;
}

static void compare_penalty(int64_t C, float scale) {
    const float h = 1.0f / 1024;
    const double weight = 7;
    gm_random random = {.seed = (uint64_t)C, .stream = 2};
    check_buffer g = check_normal(VALUES, &random), direction = check_floats(VALUES), norms = check_doubles(ROWS);
    for (int64_t i = 0; i < VALUES; i++) g.values[i] *= scale;
    double got = gm_gradient_penalty(ROWS, PIXELS, C, STRIDE, g.values, weight, direction.values, doubles(&norms));
    double wanted = penalty_of(g.values, C, 1);
    check_near(got, wanted, 1e-6 * (1 + wanted), "penalty", C);
    for (int64_t i = 0; i < VALUES; i++) {
        float kept = g.values[i], up = kept + h * scale, down = kept - h * scale;
        g.values[i] = up;
        double difference = penalty_of(g.values, C, weight);
        g.values[i] = down;
        difference = (difference - penalty_of(g.values, C, weight)) / ((double)up - (double)down);
        g.values[i] = kept;
        check_near((double)direction.values[i], difference, 1e-4 * (1 + (double)scale), "direction", i);
        if (i % STRIDE >= C) check_near((double)direction.values[i], 0, 0, "direction of a label", i);
    }
    check_free(&g), check_free(&direction), check_free(&norms);
}

TEST(penalty_and_its_direction) {
    static const float scales[] = {0.1f, 1.0f, 30.0f};
    for (int64_t C = 1; C <= STRIDE; C++)
        for (int i = 0; i < 3; i++) compare_penalty(C, scales[i]);
}

TEST(penalty_without_gradient_has_no_direction) {
    float gradient[2 * STRIDE] = {0}, direction[2 * STRIDE];
    double norms[2];
    gradient[STRIDE + 1] = 3;  /* the second sample's norm is 3 */
    gradient[STRIDE - 1] = 10; /* of a label channel */
    double penalty = gm_gradient_penalty(2, 1, STRIDE - 1, STRIDE, gradient, 1, direction, norms);
    check_near(penalty, (1 + 4) / 2.0, 0, "penalty", 0);
    for (int i = 0; i < 2 * STRIDE; i++)
        check_near((double)direction[i], i == STRIDE + 1 ? 2 : 0, 1e-6, "direction", i);
}

/* Where critics of a good penalty are: what is left of the difference is no rounding of a float. */
TEST(penalty_of_a_norm_near_1) {
    const float gradient[] = {0.60006f, 0.80008f};
    float direction[2];
    double norm[1], wanted = pow(sqrt(dot(2, gradient, gradient)) - 1, 2);
    check_near(gm_gradient_penalty(1, 1, 2, 2, gradient, 1, direction, norm), wanted, 1e-12 * wanted, "penalty", 0);
}

TEST(rows_are_mixed_by_their_own_share) {
    enum { N = 3, SIZE = 21 };
    gm_random random = {.seed = 3, .stream = 3};
    check_buffer real = check_normal(N * SIZE, &random), fake = check_normal(N * SIZE, &random);
    check_buffer out = check_floats(N * SIZE);
    const float e[N] = {0, 0.3f, 1};
    gm_mix_rows(N, SIZE, e, real.values, fake.values, out.values);
    for (int64_t i = 0; i < N * SIZE; i++) {
        double share = (double)e[i / SIZE], wanted = share * (double)real.values[i];
        check_near((double)out.values[i], wanted + (1 - share) * (double)fake.values[i], 1e-6, "mixed", i);
    }
    check_free(&real), check_free(&fake), check_free(&out);
}

/* ---- spectral normalisation ---- */

typedef struct spectral_case {
    gm_spectral s;
    int64_t count;
    check_buffer w, u, scaled, u_out, v_out, sigma;
} spectral_case;

static spectral_case make_spectral(int64_t A, int64_t O, int64_t B) {
    gm_random random = {.seed = (uint64_t)(100 * A + 10 * O + B), .stream = 4};
    spectral_case t = {.count = A * O * B, .w = check_normal(A * O * B, &random), .u = check_normal(O, &random)};
    t.scaled = check_floats(t.count);
    t.u_out = check_doubles(O), t.v_out = check_doubles(A * B), t.sigma = check_doubles(1);
    t.s = (gm_spectral){A, O, B, doubles(&t.u_out), doubles(&t.v_out), doubles(&t.sigma)};
    double norm = sqrt(dot(O, t.u.values, t.u.values));
    for (int64_t o = 0; o < O; o++) t.u.values[o] = (float)((double)t.u.values[o] / norm);
    return t;
}

static void free_spectral(spectral_case *t) {
    check_buffer *all[] = {&t->w, &t->u, &t->scaled, &t->u_out, &t->v_out, &t->sigma};
    for (int i = 0; i < 6; i++) check_free(all[i]);
}

/* The matrix: row o, column j = (a, b). */
static double entry(const spectral_case *t, int64_t o, int64_t j) {
    int64_t B = t->s.B;
    return (double)t->w.values[(j / B * t->s.O + o) * B + j % B];
}

static double make_unit(int64_t n, double *x) {
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    for (int64_t i = 0; i < n; i++) x[i] /= sqrt(square);
    return sqrt(square);
}

/* u (O), v (columns) by the definition; returns sigma = u.W v. */
static double power_step(const spectral_case *t, bool step, double *u, double *v) {
    int64_t O = t->s.O, columns = t->s.A * t->s.B;
    double sigma = 0;
    for (int64_t o = 0; o < O; o++) u[o] = (double)t->u.values[o];
    memset(v, 0, (size_t)columns * sizeof *v);
    for (int64_t i = 0; i < O * columns; i++) v[i % columns] += entry(t, i / columns, i % columns) * u[i / columns];
    make_unit(columns, v);
    if (step) {
        memset(u, 0, (size_t)O * sizeof *u);
        for (int64_t i = 0; i < O * columns; i++) u[i / columns] += entry(t, i / columns, i % columns) * v[i % columns];
        make_unit(O, u);
    }
    for (int64_t i = 0; i < O * columns; i++)
        sigma += u[i / columns] * entry(t, i / columns, i % columns) * v[i % columns];
    return sigma;
}

enum { MOST = 64 };

static void compare_normalised(int64_t A, int64_t O, int64_t B, bool step) {
    spectral_case t = make_spectral(A, O, B);
    double u[MOST], v[MOST], sigma = power_step(&t, step, u, v);
    gm_spectral_normalise(&t.s, t.w.values, t.u.values, step, t.scaled.values);
    check_near(*t.s.sigma, sigma, 1e-6 * sigma, "sigma", step);
    for (int64_t o = 0; o < O; o++) check_near(t.s.u[o], u[o], 1e-12, "u", o);
    for (int64_t j = 0; j < A * B; j++) check_near(t.s.v[j], v[j], 1e-12, "v", j);
    for (int64_t i = 0; i < t.count; i++)
        check_near((double)t.scaled.values[i], (double)t.w.values[i] / sigma, 1e-6, "scaled", i);
    gm_spectral_commit(&t.s, t.u.values);
    for (int64_t o = 0; o < O; o++) check_near((double)t.u.values[o], u[o], 1e-7, "u taken over", o);
    free_spectral(&t);
}

/* <r, W / (u.W v)>, u and v constant. */
static double along(const spectral_case *t, const float *r) {
    double sigma = 0;
    int64_t columns = t->s.A * t->s.B;
    for (int64_t i = 0; i < t->count; i++)
        sigma += t->s.u[i / columns] * entry(t, i / columns, i % columns) * t->s.v[i % columns];
    return dot(t->count, t->w.values, r) / sigma;
}

static void compare_backward(int64_t A, int64_t O, int64_t B) {
    const float h = 1.0f / 4096;
    spectral_case t = make_spectral(A, O, B);
    gm_random random = {.seed = 5, .stream = 5};
    check_buffer r = check_normal(t.count, &random), dw = check_normal(t.count, &random), before = check_copy(&dw);
    gm_spectral_normalise(&t.s, t.w.values, t.u.values, true, t.scaled.values);
    gm_spectral_backward(&t.s, t.scaled.values, r.values, dw.values);
    for (int64_t i = 0; i < t.count; i++) {
        float kept = t.w.values[i], up = kept + h, down = kept - h;
        t.w.values[i] = up;
        double difference = along(&t, r.values);
        t.w.values[i] = down;
        difference = (difference - along(&t, r.values)) / ((double)up - (double)down);
        t.w.values[i] = kept;
        check_near((double)(dw.values[i] - before.values[i]), difference, 1e-5 * (1 + fabs(difference)), "dw", i);
    }
    check_free(&r), check_free(&dw), check_free(&before), free_spectral(&t);
}

static const int64_t MATRICES[][3] = {{6, 4, 1}, {3, 5, 2}, {9, 7, 3}, {1, 1, 8}, {8, 1, 1}, {1, 6, 5}};

TEST(spectral_norm_and_its_gradient) {
    for (int i = 0; i < (int)(sizeof MATRICES / sizeof *MATRICES); i++) {
        const int64_t *size = MATRICES[i];
        compare_normalised(size[0], size[1], size[2], false);
        compare_normalised(size[0], size[1], size[2], true);
        compare_backward(size[0], size[1], size[2]);
    }
}

TEST(spectral_norm_of_zeros_and_of_nan) {
    spectral_case t = make_spectral(3, 4, 2);
    memset(t.w.values, 0, (size_t)t.count * sizeof(float));
    gm_spectral_normalise(&t.s, t.w.values, t.u.values, true, t.scaled.values);
    for (int64_t i = 0; i < t.count; i++) check_near((double)t.scaled.values[i], 0, 0, "scaled", i);
    gm_spectral_commit(&t.s, t.u.values);
    for (int64_t o = 0; o < 4; o++) CHECK(isfinite(t.u.values[o]), "u[%d] is no number", (int)o);
    t.w.values[5] = NAN;
    float kept = t.u.values[1];
    gm_spectral_normalise(&t.s, t.w.values, t.u.values, true, t.scaled.values);
    CHECK(isnan(t.scaled.values[5]), "the NaN is gone");
    gm_spectral_commit(&t.s, t.u.values);
    CHECK(t.u.values[1] == kept, "u was taken over from a NaN");
    free_spectral(&t);
}

MAIN(CASE(losses_and_their_slopes), CASE(losses_of_extreme_outputs), CASE(penalty_and_its_direction),
     CASE(penalty_without_gradient_has_no_direction), CASE(penalty_of_a_norm_near_1),
     CASE(rows_are_mixed_by_their_own_share), CASE(spectral_norm_and_its_gradient),
     CASE(spectral_norm_of_zeros_and_of_nan))
