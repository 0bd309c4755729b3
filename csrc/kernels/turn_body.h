/* The body of the kernel in turn.h. Included once by each isa_*.c, after its simd_*.h. */
#include "base/sizes.h"
#include "kernels/turn.h"

/* `lanes` and `length` are at most VL, and constants where they are VL. */
GM_INLINE void turn_square(int64_t lanes, int64_t length, const float *const *lane, int64_t at, float *to,
                           int64_t step) {
    vf row[VL];
#pragma GCC unroll 16
    for (int l = 0; l < VL; l++) {
        row[l] = v_zero();
        if (l < lanes) row[l] = length == VL ? v_load(lane[l] + at) : v_load_n(lane[l] + at, length);
    }
    v_turn(row);
#pragma GCC unroll 16
    for (int k = 0; k < VL; k++, to += step) {
        if (k == length) break;
        if (lanes == VL)
            v_store(to, row[k]);
        else
            v_store_n(to, row[k], lanes);
    }
}

static void turn(int64_t lanes, int64_t length, const float *const *lane, float *to, int64_t step) {
    for (int64_t l = 0; l < lanes; l += VL)
        for (int64_t k = 0; k < length; k += VL) {
            int64_t across = min_of(VL, lanes - l), along = min_of(VL, length - k);
            float *square = to + k * step + l;
            if (across == VL && along == VL)
                turn_square(VL, VL, lane + l, k, square, step);
            else if (across == VL)
                turn_square(VL, along, lane + l, k, square, step);
            else
                turn_square(across, along, lane + l, k, square, step);
        }
}
