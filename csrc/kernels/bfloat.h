/* Rounding to bfloat16: the sign, the exponent and the first seven bits behind the point of a float, to nearest and of
 * two as near to the even one; a NaN stays one. Two such values make a pair, one 32-bit word, the first in its lower half.
 * Arrays of pairs go by the type float, whose size they have; as numbers they mean nothing. */
#ifndef GM_KERNELS_BFLOAT_H
#define GM_KERNELS_BFLOAT_H

#include <stdint.h>

#define GM_BFLOAT_KERNELS(X)                                                                                           \
    /* out[i] = x[i], rounded, as a float. */                                                                          \
    X(void, bf16_round, (int64_t n, const float *x, float *out))                                                       \
    /* out[i] = the pair of x[i] and y[i]; y NULL: of zeros. */                                                        \
    X(void, bf16_pair, (int64_t n, const float *x, const float *y, float *out))                                        \
    /* out[i] = the pair of x[2i] and x[2i + 1], for ceil(n / 2) of them; behind the last of an odd n comes a zero. */ \
    X(void, bf16_pair_neighbours, (int64_t n, const float *x, float *out))

#endif
