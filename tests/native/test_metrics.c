/* The tiles of pairs of every instruction set, and what the scores are made of, against the loops that define them.
 *
 * The list GM_PAIR_KERNELS makes the cases: a kernel without a `try_` function here does not compile. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "metrics/moments.h"
#include "metrics/neighbours.h"
#include "variants.h"

typedef struct doubles {
    check_buffer buffer;
    double *values;
} doubles;

static doubles make_doubles(int64_t count) {
    check_buffer buffer = check_bytes(count * (int64_t)sizeof(double));
    return (doubles){buffer, (double *)(void *)buffer.values};
}

static doubles make_normal(int64_t count, gm_random *random) {
    check_buffer floats = check_normal(count, random);
    doubles made = make_doubles(count);
    for (int64_t i = 0; i < count; i++) made.values[i] = (double)floats.values[i] + 1e-12 * (double)(i % 7);
    check_free(&floats);
    return made;
}

static double squared_distance(int64_t D, const double *x, const double *y) {
    double sum = 0;
    for (int64_t d = 0; d < D; d++) sum += (x[d] - y[d]) * (x[d] - y[d]);
    return sum;
}

static double product(int64_t D, const double *x, const double *y) {
    double sum = 0;
    for (int64_t d = 0; d < D; d++) sum += x[d] * y[d];
    return sum;
}

/* ---- tiles: the very bits of the plain loop ---- */

typedef void tile_kernel(int64_t rows, int64_t D, const double *x, const double *panel, double *out);

static void tile_case(tile_kernel *kernel, bool distance, int64_t width, int64_t rows, int64_t D) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + D)};
    doubles x = make_normal(rows * D, &random), panel = make_normal(D * width, &random),
            out = make_doubles(rows * width);
    double column[100];
    kernel(rows, D, x.values, panel.values, out.values);
    for (int64_t i = 0; i < rows * width; i++) {
        for (int64_t d = 0; d < D; d++) column[d] = panel.values[d * width + i % width];
        double wanted = (distance ? squared_distance : product)(D, x.values + i / width * D, column);
        CHECK(out.values[i] == wanted, "pair %d of %d rows, D %d: %g for %g", (int)i, (int)rows, (int)D, out.values[i],
              wanted);
    }
    doubles *all[] = {&x, &panel, &out};
    for (int i = 0; i < 3; i++) check_guards(&all[i]->buffer, "tile"), check_free(&all[i]->buffer);
}

static void each_tile(tile_kernel *kernel, bool distance, int64_t width) {
    for (int64_t rows = 1; rows <= GM_PAIR_ROWS; rows++)
        for (int64_t D = 1; D <= 97; D += 16) tile_case(kernel, distance, width, rows, D);
}

static void try_product_tile(void) { EACH_VARIANT(k) each_tile(k->product_tile, false, k->tile.vector); }

static void try_distance_tile(void) { EACH_VARIANT(k) each_tile(k->distance_tile, true, k->tile.vector); }

TEST(every_tile) {
#define RUN(type, name, parameters) try_##name();
    GM_PAIR_KERNELS(RUN)
#undef RUN
}

/* ---- neighbours ---- */

static int ascending(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* The k-th smallest distance from row n to the others. */
static double radius_of(int64_t N, int64_t D, int64_t k, const double *x, int64_t n, double *scratch) {
    int64_t count = 0;
    for (int64_t i = 0; i < N; i++)
        if (i != n) scratch[count++] = squared_distance(D, x + n * D, x + i * D);
    qsort(scratch, (size_t)count, sizeof *scratch, ascending);
    return scratch[k - 1];
}

static void radii_case(int64_t N, int64_t D, int64_t k) {
    gm_random random = {.seed = (uint64_t)(N + k)};
    gm_error error;
    doubles x = make_normal(N * D, &random), radius = make_doubles(N), scratch = make_doubles(N);
    if (N > 3) memcpy(x.values + D, x.values + 3 * D, (size_t)D * sizeof(double)); /* a sample twice */
    CHECK(gm_neighbour_radii(N, D, k, x.values, radius.values, &error) == GM_OK, "%s", error.message);
    for (int64_t n = 0; n < N; n++)
        CHECK(radius.values[n] == radius_of(N, D, k, x.values, n, scratch.values), "N %d, k %d, row %d", (int)N, (int)k,
              (int)n);
    doubles *all[] = {&x, &radius, &scratch};
    for (int i = 0; i < 3; i++) check_guards(&all[i]->buffer, "radii"), check_free(&all[i]->buffer);
}

TEST(radii_reach_the_kth_neighbour) {
    const int64_t sizes[] = {2, 3, 5, 16, 17, 33, 211};
    for (int i = 0; i < 7; i++) {
        radii_case(sizes[i], 3, 1);
        radii_case(sizes[i], 9, sizes[i] - 1);
        if (sizes[i] > 5) radii_case(sizes[i], 4, 5);
    }
    radii_case(1100, 2, 3); /* more rows than are held at a time */
}

TEST(radii_need_more_samples_than_neighbours) {
    gm_error error;
    double x[3] = {0, 1, 2}, radius[3];
    CHECK(gm_neighbour_radii(3, 1, 3, x, radius, &error) == GM_VALUE_ERROR, "k = N was taken");
    CHECK(gm_neighbour_radii(3, 1, 0, x, radius, &error) == GM_VALUE_ERROR, "k = 0 was taken");
}

static void counts_case(int64_t R, int64_t C, int64_t D) {
    gm_random random = {.seed = (uint64_t)(R * 1000 + C)};
    gm_error error;
    doubles x = make_normal(R * D, &random), y = make_normal(C * D, &random);
    doubles x_radius = make_doubles(R), y_radius = make_doubles(C);
    /* Radii that are distances of the set: the bound itself counts. */
    for (int64_t r = 0; r < R; r++) x_radius.values[r] = squared_distance(D, x.values + r * D, y.values + r % C * D);
    for (int64_t c = 0; c < C; c++) y_radius.values[c] = squared_distance(D, x.values + c % R * D, y.values + c * D);
    int64_t *own = malloc((size_t)R * sizeof *own), *other = malloc((size_t)R * sizeof *other);
    CHECK(own && other, "no memory");
    CHECK(gm_neighbour_counts(R, C, D, x.values, y.values, x_radius.values, y_radius.values, own, other, &error) ==
              GM_OK,
          "%s", error.message);
    for (int64_t r = 0; r < R; r++) {
        int64_t wanted_own = 0, wanted_other = 0;
        for (int64_t c = 0; c < C; c++) {
            double distance = squared_distance(D, x.values + r * D, y.values + c * D);
            wanted_own += distance <= x_radius.values[r];
            wanted_other += distance <= y_radius.values[c];
        }
        CHECK(own[r] == wanted_own && other[r] == wanted_other, "row %d of %d, %d columns", (int)r, (int)R, (int)C);
    }
    free(own), free(other);
    doubles *all[] = {&x, &y, &x_radius, &y_radius};
    for (int i = 0; i < 4; i++) check_free(&all[i]->buffer);
}

TEST(counts_include_the_bound) {
    const int64_t sizes[] = {1, 4, 15, 16, 17, 67};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) counts_case(sizes[i], sizes[j], 5);
}

/* ---- moments and kernels ---- */

TEST(moments_are_those_of_the_columns) {
    enum { N = 301, D = 19 };
    gm_random random = {.seed = 3};
    gm_error error;
    doubles x = make_normal(N * D, &random), mean = make_doubles(D), covariance = make_doubles(D * D);
    for (int64_t i = 0; i < N * D; i++) x.values[i] += 1e6; /* what a sum of squares would lose */
    CHECK(gm_moments(N, D, x.values, mean.values, covariance.values, &error) == GM_OK, "%s", error.message);
    for (int64_t i = 0; i < D; i++)
        for (int64_t j = 0; j < D; j++) {
            double sum = 0;
            for (int64_t n = 0; n < N; n++)
                sum += (x.values[n * D + i] - mean.values[i]) * (x.values[n * D + j] - mean.values[j]);
            check_near(covariance.values[i * D + j], sum / (N - 1), 1e-12, "covariance", i * D + j);
            CHECK(covariance.values[i * D + j] == covariance.values[j * D + i], "not symmetric");
        }
    doubles *all[] = {&x, &mean, &covariance};
    for (int i = 0; i < 3; i++) check_guards(&all[i]->buffer, "moments"), check_free(&all[i]->buffer);
}

static double kernel_of(int64_t D, const double *x, const double *y) {
    double base = product(D, x, y) / (double)D + 1;
    return base * base * base;
}

TEST(kernel_sums_leave_a_row_itself_out) {
    enum { R = 37, C = 21, D = 6 };
    gm_random random = {.seed = 4};
    gm_error error;
    doubles x = make_normal(R * D, &random), y = make_normal(C * D, &random), sum = make_doubles(R);
    for (int same = 0; same < 2; same++) {
        const double *columns = same ? x.values : y.values;
        int64_t count = same ? R : C;
        CHECK(gm_kernel_sums(R, count, D, x.values, columns, same, sum.values, &error) == GM_OK, "%s", error.message);
        for (int64_t r = 0; r < R; r++) {
            double wanted = 0;
            for (int64_t c = 0; c < count; c++)
                if (!same || c != r) wanted += kernel_of(D, x.values + r * D, columns + c * D);
            check_near(sum.values[r], wanted, 1e-9, "kernel sum", r);
        }
    }
    doubles *all[] = {&x, &y, &sum};
    for (int i = 0; i < 3; i++) check_free(&all[i]->buffer);
}

TEST(threads_do_not_change_a_bit) {
    enum { N = 500, D = 24 };
    gm_random random = {.seed = 5};
    gm_error error;
    doubles x = make_normal(N * D, &random), out[2];
    for (int i = 0; i < 2; i++) {
        gm_set_num_threads(1 + 3 * i);
        out[i] = make_doubles(2 * N + D + D * D);
        double *at = out[i].values;
        CHECK(gm_neighbour_radii(N, D, 5, x.values, at, &error) == GM_OK, "%s", error.message);
        CHECK(gm_kernel_sums(N, N, D, x.values, x.values, true, at + N, &error) == GM_OK, "%s", error.message);
        CHECK(gm_moments(N, D, x.values, at + 2 * N, at + 2 * N + D, &error) == GM_OK, "%s", error.message);
    }
    CHECK(memcmp(out[0].values, out[1].values, (2 * N + D + D * D) * sizeof(double)) == 0, "1 and 4 threads differ");
    doubles *all[] = {&x, &out[0], &out[1]};
    for (int i = 0; i < 3; i++) check_free(&all[i]->buffer);
}

MAIN(CASE(every_tile), CASE(radii_reach_the_kth_neighbour), CASE(radii_need_more_samples_than_neighbours),
     CASE(counts_include_the_bound), CASE(moments_are_those_of_the_columns), CASE(kernel_sums_leave_a_row_itself_out),
     CASE(threads_do_not_change_a_bit))
