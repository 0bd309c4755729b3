/* Turning: what lies along rows comes to lie across them. */
#ifndef GM_KERNELS_TURN_H
#define GM_KERNELS_TURN_H

#include <stdint.h>

#define GM_TURN_KERNELS(X)                                                                                             \
    /* to[k * step + l] = lane[l][k]: k < length, l < lanes. */                                                        \
    X(void, turn, (int64_t lanes, int64_t length, const float *const *lane, float *to, int64_t step))

#endif
