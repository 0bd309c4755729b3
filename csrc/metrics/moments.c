#include "metrics/moments.h"

#include "base/shape.h"
#include "metrics/pairs.h"

/* ---- covariance: all pairs of features ---- */

typedef struct products {
    int64_t D;
    double divisor;
    double *covariance; /* (D, D) */
} products;

static void store_products(void *context, const gm_pair_tile *tile) {
    const products *call = context;
    for (int64_t m = 0; m < tile->rows; m++) {
        double *to = call->covariance + (tile->r + m) * call->D + tile->c;
        for (int64_t j = 0; j < tile->columns; j++) to[j] = tile->value[m * tile->width + j] / call->divisor;
    }
}

static void average(int64_t N, int64_t D, const double *x, double *mean) {
    for (int64_t d = 0; d < D; d++) mean[d] = 0;
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) mean[d] += x[n * D + d];
    for (int64_t d = 0; d < D; d++) mean[d] /= (double)N;
}

gm_status gm_moments(int64_t N, int64_t D, const double *x, double *mean, double *covariance, gm_error *error) {
    int64_t size;
    GM_REQUIRE(N >= 2, error, GM_VALUE_ERROR, "%lld samples, a covariance needs at least 2", (long long)N);
    GM_TRY(gm_size_multiply(N, D, &size, "features", error));
    gm_arena arena = gm_arena_measuring();
    (void)gm_arena_doubles(&arena, size);
    GM_TRY(gm_arena_create(&arena, &arena, "centred features", error));
    double *centred = gm_arena_doubles(&arena, size); /* (D, N) */
    average(N, D, x, mean);
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) centred[d * N + n] = x[n * D + d] - mean[d];
    gm_pairs pairs;
    gm_status status = gm_pairs_create(D, D, N, centred, centred, &pairs, error);
    if (status == GM_OK) {
        products call = {D, (double)(N - 1), covariance};
        gm_pairs_visit(&pairs, GM_PRODUCT, 0, D, store_products, &call);
        gm_pairs_free(&pairs);
    }
    gm_arena_free(&arena);
    return status;
}

/* ---- kernel sums: all pairs of samples ---- */

typedef struct kernel {
    double scale; /* 1 / D */
    bool same;
    double *sum; /* (R) */
} kernel;

static void add_kernels(void *context, const gm_pair_tile *tile) {
    const kernel *call = context;
    for (int64_t m = 0; m < tile->rows; m++) {
        const double *value = tile->value + m * tile->width;
        double sum = call->sum[tile->r + m];
        for (int64_t j = 0; j < tile->columns; j++) {
            double base = value[j] * call->scale + 1;
            if (!call->same || tile->c + j != tile->r + m) sum += base * base * base;
        }
        call->sum[tile->r + m] = sum;
    }
}

gm_status gm_kernel_sums(int64_t R, int64_t C, int64_t D, const double *x, const double *y, bool same, double *sum,
                         gm_error *error) {
    gm_pairs pairs;
    GM_TRY(gm_pairs_create(R, C, D, x, y, &pairs, error));
    for (int64_t r = 0; r < R; r++) sum[r] = 0;
    kernel call = {1 / (double)D, same, sum};
    gm_pairs_visit(&pairs, GM_PRODUCT, 0, R, add_kernels, &call);
    gm_pairs_free(&pairs);
    return GM_OK;
}
