/* The names every kernel body is written in. Each instruction set defines them in a file of its own
 * (simd_portable.h, simd_avx2.h, simd_avx512.h, simd_neon.h), and one source file a set includes the bodies after it, so
 * each body exists once and holds no #if.
 *
 *   vf, VL                     a vector of VL floats
 *   v_zero() v_set1(s)
 *   v_load(p) v_store(p, v)    unaligned
 *   v_stream(p, v)             v_store past the caches, where an instruction does that; p aligned to a vector
 *   v_stream_bf16(p, v)        the same of a whole vector rounded, as v_store_bf16 does it
 *   v_streamed()               after them: before other threads read it
 *   v_load_n(p, n)             the first n (0..VL) floats, zeros behind; reads nothing past them
 *   v_store_n(p, v, n)         writes nothing past them
 *   v_add v_sub v_mul v_div v_min v_max v_sqrt v_abs
 *   v_fma(a, b, c)             a * b + c, one rounding where the hardware has it
 *   v_below_zero(x, a, b)      x < 0 ? a : b, a NaN in x takes b
 *   v_round(x)                 to the nearest integer, as a float
 *   v_pow2(x)                  2^x for integral x in [-126, 127]
 *   v_turn(rows)               the columns of VL rows, in their place
 *   v_sum(v) v_peak(v)         sum in a fixed order; largest element
 *   v_load_bf16(p, n)          the first n (1..VL) values at p, bfloat16 each, zeros behind; reads nothing past them
 *   v_store_bf16(p, v, n)      rounded, as bfloat.h says; writes nothing past them
 *
 * The list of kernels itself is in table.h. */
#ifndef GM_KERNELS_SIMD_H
#define GM_KERNELS_SIMD_H
#define GM_INLINE static inline __attribute__((always_inline, unused))
#endif
