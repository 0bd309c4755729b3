/* What importance weights are made of: codes drawn for them, and losses row by row. Against plain formulas in double, with
 * every buffer between guards. */
#include <math.h>

#include "kernels/arrays.h"
#include "kernels/latent.h"
#include "variants.h"

/* ---- codes ---- */

enum { IMAGES = 3, DRAWS = 5, FIRST_IMAGE = 7, FIRST_DRAW = 11, START = 2, ROWS = IMAGES * DRAWS - START };

static double log_normal(double x, double mean, double logvar) {
    return -0.5 * (log(2 * acos(-1)) + logvar + (x - mean) * (x - mean) / exp(logvar));
}

/* Row START + n is draw (START + n) % DRAWS of image (START + n) / DRAWS, drawn from a stream of the image's own. */
static void check_row(const check_buffer *h, const float *z, double ratio, int64_t n, int64_t L) {
    int64_t image = (START + n) / DRAWS, draw = FIRST_DRAW + (START + n) % DRAWS;
    gm_random random = {1, GM_STREAM_WEIGH | (uint64_t)(FIRST_IMAGE + image) << 32, (uint64_t)(draw * ((L + 3) / 4))};
    check_buffer noise = check_normal(L, &random);
    double wanted = 0;
    for (int64_t l = 0; l < L; l++) {
        double mean = (double)h->values[image * 2 * L + l], logvar = (double)h->values[image * 2 * L + L + l];
        double code = mean + exp(logvar / 2) * (double)noise.values[l];
        check_near((double)z[l], code, 1e-6 * (1 + fabs(code)), "z", l);
        wanted += log_normal(code, 0, 0) - log_normal(code, mean, logvar);
    }
    check_near(ratio, wanted, 1e-9 * (1 + fabs(wanted)) * (double)L, "log_ratio", n);
    check_free(&noise);
}

static void draws_of(int64_t L, int64_t stride) {
    gm_random random = {.seed = 5, .stream = 1};
    check_buffer h = check_normal(IMAGES * 2 * L, &random), z = check_floats(ROWS * stride);
    check_buffer ratio = check_bytes(ROWS * (int64_t)sizeof(double));
    double *ratios = (double *)(void *)ratio.values;
    gm_latent_draws draws = {L, DRAWS, h.values, 1, FIRST_IMAGE, FIRST_DRAW};
    gm_latent_draw(&draws, START, ROWS, z.values, stride, ratios);
    for (int64_t n = 0; n < ROWS; n++) {
        check_row(&h, z.values + n * stride, ratios[n], n, L);
        for (int64_t l = L; l < stride; l++) CHECK(isnan(z.values[n * stride + l]), "wrote behind row %d", (int)n);
    }
    check_free(&h), check_free(&z), check_free(&ratio);
}

TEST(codes_are_drawn_by_image_and_number) {
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 50};
    for (int i = 0; i < 6; i++) draws_of(sizes[i], sizes[i]), draws_of(sizes[i], sizes[i] + 3);
}

/* ---- losses ---- */

static double cross_entropy(double x, double t) { return fmax(x, 0) - x * t + log1p(exp(-fabs(x))); }
static double squared_error(double x, double t) { return (x - t) * (x - t); }

typedef void (*rows_loss)(int64_t, int64_t, float *, const float *, int64_t, int64_t, double *);

static void losses_of(int64_t n, rows_loss loss, double (*meaning)(double, double)) {
    gm_random random = {.seed = (uint64_t)n, .stream = 1};
    check_buffer x = check_normal(ROWS * n, &random), t = check_normal(IMAGES * n, &random), before = check_copy(&x);
    check_buffer sums = check_bytes(ROWS * (int64_t)sizeof(double));
    loss(ROWS, n, x.values, t.values, START, DRAWS, (double *)(void *)sums.values);
    for (int64_t row = 0; row < ROWS; row++) {
        double wanted = 0;
        for (int64_t i = 0; i < n; i++) {
            double target = (double)t.values[(START + row) / DRAWS * n + i];
            wanted += meaning((double)before.values[row * n + i], target);
        }
        check_near(((double *)(void *)sums.values)[row], wanted, 4e-6 * (double)n, "sum", row);
    }
    check_free(&x), check_free(&t), check_free(&before), check_free(&sums);
}

TEST(losses_are_summed_row_by_row) {
    static const int64_t sizes[] = {1, 3, 15, 16, 17, 255, 256, 257, 784};
    for (int i = 0; i < 9; i++) {
        losses_of(sizes[i], gm_cross_entropy_rows, cross_entropy);
        losses_of(sizes[i], gm_squared_error_rows, squared_error);
    }
}

MAIN(CASE(codes_are_drawn_by_image_and_number), CASE(losses_are_summed_row_by_row))
