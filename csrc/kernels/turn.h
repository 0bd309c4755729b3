/* A square of four by four floats, turned, in the vector type that gcc and clang have on every machine. */
#ifndef GM_KERNELS_TURN_H
#define GM_KERNELS_TURN_H

#include <stdint.h>
#include <string.h>

typedef float gm_four __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define GM_SHUFFLE(x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#else
typedef int32_t gm_indices __attribute__((vector_size(16)));
#define GM_SHUFFLE(x, y, i, j, k, l) __builtin_shuffle(x, y, (gm_indices){i, j, k, l})
#endif

static inline gm_four gm_load_four(const float *from) {
    gm_four value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* to[(at + k) * width + l] = lane[l][at + k], of four lanes l and four k. */
static inline void gm_turn(const float *const lane[4], int64_t at, float *to, int64_t width) {
    gm_four a = gm_load_four(lane[0] + at), b = gm_load_four(lane[1] + at), c = gm_load_four(lane[2] + at),
            e = gm_load_four(lane[3] + at);
    gm_four ab0 = GM_SHUFFLE(a, b, 0, 4, 1, 5), ab1 = GM_SHUFFLE(a, b, 2, 6, 3, 7);
    gm_four ce0 = GM_SHUFFLE(c, e, 0, 4, 1, 5), ce1 = GM_SHUFFLE(c, e, 2, 6, 3, 7);
    gm_four out[4] = {GM_SHUFFLE(ab0, ce0, 0, 1, 4, 5), GM_SHUFFLE(ab0, ce0, 2, 3, 6, 7),
                      GM_SHUFFLE(ab1, ce1, 0, 1, 4, 5), GM_SHUFFLE(ab1, ce1, 2, 3, 6, 7)};
    for (int k = 0; k < 4; k++) memcpy(to + (at + k) * width, &out[k], sizeof out[k]);
}

enum { GM_TURNED_ROWS = 16 };

/* (GM_TURNED_ROWS, count), its rows `stride` apart -> (count, GM_TURNED_ROWS), `step` apart: each row is written whole, as
 * they may share few sets of the L1. */
static inline void gm_turn_rows(const float *from, int64_t stride, int64_t count, float *to, int64_t step) {
    int64_t squares = count / 4 * 4;
    for (int64_t i = 0; i < squares; i += 4)
        for (int64_t t = 0; t < GM_TURNED_ROWS; t += 4) {
            const float *row = from + t * stride;
            gm_turn((const float *[]){row, row + stride, row + 2 * stride, row + 3 * stride}, i, to + t, step);
        }
    for (int64_t i = squares; i < count; i++)
        for (int64_t t = 0; t < GM_TURNED_ROWS; t++) to[i * step + t] = from[t * stride + i];
}

#endif
