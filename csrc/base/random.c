#include "base/random.h"

#include <math.h>

#include "base/parallel.h"

enum { PIECE = 4096 }; /* numbers that one thread draws at a time; whole blocks */

void gm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Block number `offset` of the stream: four words. */
static void block(const gm_random *random, uint64_t offset, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)offset, (uint32_t)(offset >> 32), (uint32_t)random->stream,
                                 (uint32_t)(random->stream >> 32)};
    const uint32_t key[2] = {(uint32_t)random->seed, (uint32_t)(random->seed >> 32)};
    gm_philox(counter, key, out);
}

static float uniform_of(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

void gm_random_bits(gm_random *random, int64_t n, uint32_t *out) {
    uint32_t words[4];
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) block(random, random->offset++, words);
        out[i] = words[i % 4];
    }
}

/* Draws many numbers on all threads: a piece begins at a block of its own, so it does not matter who draws it. */
typedef void (*fill_piece)(gm_random *random, int64_t n, float *out);

typedef struct fill_call {
    fill_piece fill;
    gm_random random;
    float *out;
} fill_call;

static void fill_one(void *context, int64_t start, int64_t n) {
    const fill_call *call = context;
    gm_random random = call->random;
    random.offset += (uint64_t)start / 4;
    call->fill(&random, n, call->out + start);
}

static void fill_all(fill_piece fill, gm_random *random, int64_t n, float *out) {
    gm_parallel_pieces(n, PIECE, fill_one, &(fill_call){fill, *random, out});
    random->offset += ((uint64_t)n + 3) / 4;
}

static void fill_uniform(gm_random *random, int64_t n, float *out) {
    uint32_t words[4];
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) block(random, random->offset++, words);
        out[i] = uniform_of(words[i % 4]);
    }
}

static void fill_normal(gm_random *random, int64_t n, float *out) {
    const double two_pi = 6.283185307179586;
    uint32_t words[4] = {0};
    for (int64_t i = 0; i < n; i += 2) {
        if (i % 4 == 0) block(random, random->offset++, words);
        double u = ((double)words[i % 4] + 1.0) * 0x1p-32; /* in (0, 1]: the logarithm stays finite */
        double v = (double)words[i % 4 + 1] * 0x1p-32;
        double radius = sqrt(-2.0 * log(u));
        out[i] = (float)(radius * cos(two_pi * v));
        if (i + 1 < n) out[i + 1] = (float)(radius * sin(two_pi * v));
    }
}

void gm_random_uniform(gm_random *random, int64_t n, float *out) { fill_all(fill_uniform, random, n, out); }
void gm_random_normal(gm_random *random, int64_t n, float *out) { fill_all(fill_normal, random, n, out); }

/* A number below `bound` without bias: 64 random bits, the few values of the last incomplete range drawn again. */
static uint64_t below(gm_random *random, uint64_t bound) {
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    for (;;) {
        uint32_t words[4];
        block(random, random->offset++, words);
        uint64_t value = (uint64_t)words[0] << 32 | words[1];
        if (value < limit) return value % bound;
    }
}

void gm_random_permutation(gm_random *random, int64_t n, int64_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)below(random, (uint64_t)i + 1), swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}
