/* The end of a register tile from its sums in memory. Over the names of simd.h; included by the bodies of the tiles, more than
 * one of which may stand in a file. */
#ifndef GM_KERNELS_TILE_END_BODY_H
#define GM_KERNELS_TILE_END_BODY_H

#include "kernels/leaky_body.h"
#include "kernels/tiles.h"

/* sums (rows, stride) -> out, its rows and the gate's out_stride values apart; bias: NULL where the sums have it. */
GM_INLINE void end_template(const bool pairs, int64_t rows, int64_t columns, const float *sums, int64_t stride,
                            const float *bias, const gm_tile_end *end, const float *gate, float *out,
                            int64_t out_stride) {
    const vf slope = v_set1(end->slope), closed = v_set1(end->gate_slope);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c += VL) {
            int64_t at = m * out_stride + c, n = columns - c < VL ? columns - c : VL;
            vf value = v_load(sums + m * stride + c);
            if (bias) value = v_add(value, v_load_n(bias + c, n));
            value = v_leaky(slope, value);
            if (gate && pairs)
                value = v_leaky_backward(closed, v_load_bf16(gm_value_of(gate, at), n), value);
            else if (gate)
                value = v_leaky_backward(closed, n == VL ? v_load(gate + at) : v_load_n(gate + at, n), value);
            if (end->streams && pairs)
                v_stream_bf16(gm_value_to(out, at), value);
            else if (end->streams)
                v_stream(out + at, value);
            else if (pairs)
                v_store_bf16(gm_value_to(out, at), value, n);
            else if (n == VL)
                v_store(out + at, value);
            else
                v_store_n(out + at, value, n);
        }
}

/* Not inlined, as the many sizes of tiles would leave the compiler no registers for its constants (twice as slow). */
static __attribute__((noinline)) void end_rows(int64_t rows, int64_t columns, const float *sums, int64_t stride,
                                               const float *bias, const gm_tile_end *end, const float *gate, float *out,
                                               int64_t out_stride) {
    if (end->pairs)
        end_template(true, rows, columns, sums, stride, bias, end, gate, out, out_stride);
    else
        end_template(false, rows, columns, sums, stride, bias, end, gate, out, out_stride);
}

#endif
