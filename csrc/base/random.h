/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
 *
 * A generator is a key and a counter and nothing else, so a stream can be saved as three integers, any element can be
 * computed on its own, and the numbers do not depend on how the work is cut. Element i of a draw depends only on
 * (seed, stream, offset + i): the first 5 rows of a draw of 9 are the draw of 5. */
#ifndef GM_BASE_RANDOM_H
#define GM_BASE_RANDOM_H

#include <stdint.h>

typedef struct gm_random {
    uint64_t seed;
    uint64_t stream; /* which purpose: see gm_stream */
    uint64_t offset; /* blocks of four 32-bit words already used */
} gm_random;

/* One stream a purpose; a network adds its own number, below 2^24, and in the upper half its layer's index:
 * stream | number << 8 | (uint64_t)layer << 32. */
typedef enum gm_stream {
    GM_STREAM_INIT = 1,     /* initial weights */
    GM_STREAM_DROPOUT = 2,  /* dropout masks */
    GM_STREAM_NOISE = 3,    /* latent noise while training */
    GM_STREAM_SAMPLE = 4,   /* latent noise of sample() */
    GM_STREAM_SHUFFLE = 5,  /* order of the training images */
    GM_STREAM_MIX = 6,      /* places between real and generated images */
    GM_STREAM_AUGMENT = 7,  /* their shifts and flips (genmodels/augmentation.py) */
    GM_STREAM_BINARIZE = 8, /* which of their pixels become white (genmodels/binarization.py) */
    GM_STREAM_WEIGH = 9,    /* latent noise of importance sampling */
} gm_stream;

/* The bijection itself: out = Philox4x32-10(counter, key). */
void gm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Each fills out (n) and advances the offset by the whole blocks it used. */
void gm_random_bits(gm_random *random, int64_t n, uint32_t *out);
void gm_random_uniform(gm_random *random, int64_t n, float *out); /* in [0, 1), multiples of 2^-24 */
void gm_random_normal(gm_random *random, int64_t n, float *out);  /* mean 0, variance 1 (Box-Muller) */
/* out (n) = a permutation of 0..n-1 (Fisher-Yates, unbiased). */
void gm_random_permutation(gm_random *random, int64_t n, int64_t *out);

#endif
