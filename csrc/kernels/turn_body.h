/* The body of the kernel in turn.h. Included once by each isa_*.c, after its simd_*.h.
 *
 * A square of VL rows is turned in log2(VL) rounds, each of which zips the upper half of the rows with the lower half.
 * Number the elements by the bits of row and column, row bits first: a zip moves the highest row bit to the lowest
 * place, and after log2(VL) of them the row's bits stand where the column's were. */
#include "base/sizes.h"
#include "kernels/turn.h"

/* `lanes` and `length` are at most VL, and constants where the square is full. */
GM_INLINE void turn_square(int64_t lanes, int64_t length, const float *const *lane, int64_t at, float *to,
                           int64_t step) {
    vf row[VL], zipped[VL];
    for (int l = 0; l < VL; l++) {
        row[l] = v_zero();
        if (l < lanes) row[l] = length == VL ? v_load(lane[l] + at) : v_load_n(lane[l] + at, length);
    }
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            zipped[2 * i] = v_zip_low(row[i], row[i + VL / 2]);
            zipped[2 * i + 1] = v_zip_high(row[i], row[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) row[i] = zipped[i];
    }
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
            else
                turn_square(across, along, lane + l, k, square, step);
        }
}
