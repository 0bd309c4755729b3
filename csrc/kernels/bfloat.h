/* Rounding to bfloat16: the sign, the exponent and the first seven bits behind the point of a float, to nearest and of
 * two as near to the even one; a NaN stays one. Two such values make a pair, one 32-bit word, the first in its lower half.
 * Arrays of pairs go by the type float, whose size they have; as numbers they mean nothing. An array of an even number of
 * values, rounded, whose neighbours make pairs (0 and 1, 2 and 3, ...) is said to be in pairs: it takes half the memory, and
 * what sums over neighbours multiplies it as it is.
 *
 * A float is also two of bfloat16, high + low, to within 2^-16 of it: its high part is the float rounded, but the greatest
 * finite value in the place of infinity; its low part is what is left, rounded, but cut off where the high part was
 * changed, so that both together do not exceed the float; none is left of an infinity or a NaN. */
#ifndef GM_KERNELS_BFLOAT_H
#define GM_KERNELS_BFLOAT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum gm_bf16_part { GM_BF16_ROUNDED, GM_BF16_HIGH, GM_BF16_LOW } gm_bf16_part;

/* What an operand in pairs is made of: one part, or a high and a low one. The product of two operands of two parts is the
 * sum of three products: that of both low parts is less than 2^-16 of the whole, and left out. */
enum { GM_BF16_MOST_PARTS = 2 };
typedef struct gm_bf16_parts {
    int64_t count;
    gm_bf16_part part[GM_BF16_MOST_PARTS];
} gm_bf16_parts;

/* Words of n values: how long they are, and where what follows them begins. */
static inline int64_t gm_words(int64_t n, bool in_pairs) { return in_pairs ? n / 2 : n; }

/* Value i of an array in pairs, two bytes. */
static inline const char *gm_value_of(const float *pairs, int64_t i) { return (const char *)pairs + 2 * i; }
static inline char *gm_value_to(float *pairs, int64_t i) { return (char *)pairs + 2 * i; }

#define GM_BFLOAT_KERNELS(X)                                                                                           \
    /* out[i] = x[i], rounded, as a float. */                                                                          \
    X(void, bf16_round, (int64_t n, const float *x, float *out))                                                       \
    /* out[i] = the pair of this part of x[i] and of y[i]; y NULL: of zeros. */                                        \
    X(void, bf16_pair, (gm_bf16_part part, int64_t n, const float *x, const float *y, float *out))                     \
    /* out[i] = that of x[2i] and x[2i + 1], for ceil(n / 2) of them; behind the last of an odd n comes a zero. */     \
    X(void, bf16_pair_neighbours, (gm_bf16_part part, int64_t n, const float *x, float *out))                          \
    /* The n values of x, an array in pairs, as floats. */                                                             \
    X(void, bf16_floats, (int64_t n, const float *x, float *out))                                                      \
    /* out[i] = the pair of value i of x and value i of y, arrays of n values in pairs; y NULL: of zeros. */           \
    X(void, bf16_pair_values, (int64_t n, const float *x, const float *y, float *out))

#endif
