#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* The vectors of Random123 1.14, kat_vectors, philox4x32-10. */
TEST(philox_known_answers) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        gm_philox(vectors[i].counter, vectors[i].key, out);
        for (int j = 0; j < 4; j++)
            CHECK(out[j] == vectors[i].out[j], "vector %d word %d is %08x, must be %08x", i, j, out[j],
                  vectors[i].out[j]);
    }
}

enum { MANY = 400000 };

TEST(uniform_moments) {
    float *x = malloc(MANY * sizeof *x);
    gm_random random = {.seed = 11, .stream = GM_STREAM_INIT};
    gm_random_uniform(&random, MANY, x);
    double mean = 0, square = 0;
    for (int i = 0; i < MANY; i++) {
        CHECK(x[i] >= 0 && x[i] < 1, "value %d is %g", i, (double)x[i]);
        mean += (double)x[i] / MANY;
        square += (double)x[i] * (double)x[i] / MANY;
    }
    /* Five standard errors: sqrt(1/12 / MANY) and sqrt(4/45 / MANY). */
    check_near(mean, 0.5, 5 * sqrt(1.0 / 12 / MANY), "mean", 0);
    check_near(square, 1.0 / 3, 5 * sqrt(4.0 / 45 / MANY), "mean square", 0);
    free(x);
}

TEST(normal_moments) {
    float *x = malloc(MANY * sizeof *x);
    gm_random random = {.seed = 12, .stream = GM_STREAM_NOISE};
    gm_random_normal(&random, MANY, x);
    double moment[5] = {0}, neighbours = 0;
    for (int i = 0; i < MANY; i++) {
        double power = 1;
        for (int k = 1; k <= 4; k++) moment[k] += (power *= (double)x[i]) / MANY;
        if (i) neighbours += (double)x[i] * (double)x[i - 1] / MANY;
    }
    /* Five standard errors; the variances of x, x^2, x^3, x^4 are 1, 2, 15, 96. */
    static const double wanted[5] = {0, 0, 1, 0, 3}, variance[5] = {0, 1, 2, 15, 96};
    for (int k = 1; k <= 4; k++) check_near(moment[k], wanted[k], 5 * sqrt(variance[k] / MANY), "moment", k);
    check_near(neighbours, 0, 5 / sqrt(MANY), "correlation of neighbours", 0);
    free(x);
}

/* Whether the first `few` values of a longer draw are the shorter draw. */
static void draws_prefix(void (*draw)(gm_random *, int64_t, float *), const char *name) {
    for (int few = 1; few <= 9; few++) {
        float shorter[9], longer[23];
        gm_random a = {.seed = 3, .stream = 7, .offset = 5}, b = a;
        draw(&a, few, shorter);
        draw(&b, 23, longer);
        CHECK(memcmp(shorter, longer, (size_t)few * sizeof(float)) == 0, "%s: first %d of 23 differ", name, few);
        CHECK(a.offset == 5 + (uint64_t)(few + 3) / 4, "%s: offset %d after %d values", name, (int)a.offset, few);
    }
}

TEST(short_draw_is_prefix) {
    draws_prefix(gm_random_uniform, "uniform");
    draws_prefix(gm_random_normal, "normal");
}

/* A long draw, which threads share, against the same numbers drawn a few at a time. */
static void draws_in_parts(void (*draw)(gm_random *, int64_t, float *), int64_t n) {
    enum { PART = 100 };
    float *whole = malloc((size_t)n * sizeof *whole), part[PART];
    gm_random a = {.seed = 3, .stream = 7, .offset = 5}, b = a;
    draw(&a, n, whole);
    for (int64_t start = 0; start < n; start += PART) {
        int64_t length = n - start < PART ? n - start : PART;
        draw(&b, length, part);
        CHECK(memcmp(whole + start, part, (size_t)length * sizeof *part) == 0, "%d: numbers from %d on", (int)n,
              (int)start);
    }
    CHECK(a.offset == b.offset, "offset %d after %d values", (int)a.offset, (int)n);
    free(whole);
}

TEST(long_draw_is_its_parts) {
    static const int64_t sizes[] = {0, 4095, 4096, 4097, 20001};
    for (int i = 0; i < 5; i++) draws_in_parts(gm_random_uniform, sizes[i]), draws_in_parts(gm_random_normal, sizes[i]);
}

TEST(streams_and_seeds_differ) {
    uint32_t seen[4][8];
    for (int i = 0; i < 4; i++) {
        gm_random random = {.seed = (uint64_t)(i & 1) << 40, .stream = 1 + (uint64_t)(i >> 1)};
        gm_random_bits(&random, 8, seen[i]);
        for (int j = 0; j < i; j++) CHECK(memcmp(seen[i], seen[j], sizeof seen[i]) != 0, "%d equals %d", i, j);
    }
}

TEST(permutation_holds_each_once) {
    static const int64_t sizes[] = {1, 2, 3, 10, 1000, 65537};
    for (int s = 0; s < 6; s++) {
        int64_t n = sizes[s], *order = malloc((size_t)n * sizeof *order);
        char *seen = calloc((size_t)n, 1);
        gm_random random = {.seed = 1, .stream = GM_STREAM_SHUFFLE};
        gm_random_permutation(&random, n, order);
        for (int64_t i = 0; i < n; i++) {
            CHECK(order[i] >= 0 && order[i] < n, "entry %lld of %lld is out of range", (long long)i, (long long)n);
            CHECK(!seen[order[i]], "%lld comes twice", (long long)order[i]);
            seen[order[i]] = 1;
        }
        free(order);
        free(seen);
    }
}

/* Chi-squared over the 24 orders of 4: 23 degrees of freedom, so 60 is beyond one chance in 10,000. */
TEST(permutation_is_unbiased) {
    enum { DRAWS = 48000, ORDERS = 24 };
    int64_t count[256] = {0};
    gm_random random = {.seed = 21, .stream = GM_STREAM_SHUFFLE};
    for (int i = 0; i < DRAWS; i++) {
        int64_t order[4];
        gm_random_permutation(&random, 4, order);
        count[order[0] + 4 * order[1] + 16 * order[2] + 64 * order[3]]++;
    }
    double chi = 0, expected = (double)DRAWS / ORDERS;
    int orders = 0;
    for (int i = 0; i < 256; i++)
        if (count[i]) orders++, chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    CHECK(orders == ORDERS, "%d different orders of 4", orders);
    CHECK(chi < 60, "chi-squared %g", chi);
}

MAIN(CASE(philox_known_answers), CASE(uniform_moments), CASE(normal_moments), CASE(short_draw_is_prefix),
     CASE(long_draw_is_its_parts), CASE(streams_and_seeds_differ), CASE(permutation_holds_each_once),
     CASE(permutation_is_unbiased))
