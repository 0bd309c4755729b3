/* AVX-512 F/BW/DQ/VL: 16 floats. Included after the target pragma, by isa_avx512.c and the sets of bfloat16 above it. */
#include "kernels/simd.h"

typedef __m512 vf;
enum { VL = 16 };

GM_INLINE __mmask16 v_mask(int64_t n) { return (__mmask16)((1u << n) - 1u); }
GM_INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
GM_INLINE vf v_set1(float s) { return _mm512_set1_ps(s); }
GM_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
GM_INLINE void v_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
GM_INLINE void v_stream(float *p, vf v) { _mm512_stream_ps(p, v); }
GM_INLINE void v_streamed(void) { _mm_sfence(); }
GM_INLINE vf v_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_mask(n), p); }
GM_INLINE void v_store_n(float *p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, v_mask(n), v); }
GM_INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
GM_INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
GM_INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
GM_INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
GM_INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
GM_INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
GM_INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
GM_INLINE vf v_abs(vf a) { return _mm512_abs_ps(a); }
GM_INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
GM_INLINE vf v_below_zero(vf x, vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b, a);
}
GM_INLINE vf v_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
GM_INLINE vf v_pow2(vf x) { return _mm512_scalef_ps(_mm512_set1_ps(1.0f), x); }
GM_INLINE vf v_even_pairs(vf a, vf b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
GM_INLINE vf v_odd_pairs(vf a, vf b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
/* Squares of 4 are turned within the quarters of 4 rows, then a square of quarters. (Zips across whole vectors take 1.6 times
 * as long on some processors.) */
GM_INLINE void v_turn(vf row[VL]) {
    vf quarter[VL];
#pragma GCC unroll 4
    for (int i = 0; i < VL; i += 4) {
        vf a = _mm512_unpacklo_ps(row[i], row[i + 1]), b = _mm512_unpackhi_ps(row[i], row[i + 1]);
        vf c = _mm512_unpacklo_ps(row[i + 2], row[i + 3]), d = _mm512_unpackhi_ps(row[i + 2], row[i + 3]);
        quarter[i] = v_even_pairs(a, c), quarter[i + 1] = v_odd_pairs(a, c);
        quarter[i + 2] = v_even_pairs(b, d), quarter[i + 3] = v_odd_pairs(b, d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* quarters 0 and 2 of one and of the other, or 1 and 3 */
        vf a = _mm512_shuffle_f32x4(quarter[i], quarter[i + 4], 0x88);
        vf b = _mm512_shuffle_f32x4(quarter[i], quarter[i + 4], 0xDD);
        vf c = _mm512_shuffle_f32x4(quarter[i + 8], quarter[i + 12], 0x88);
        vf d = _mm512_shuffle_f32x4(quarter[i + 8], quarter[i + 12], 0xDD);
        row[i] = _mm512_shuffle_f32x4(a, c, 0x88), row[i + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
        row[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88), row[i + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
}
GM_INLINE float v_sum(vf v) { return _mm512_reduce_add_ps(v); }
GM_INLINE float v_peak(vf v) { return _mm512_reduce_max_ps(v); }

GM_INLINE vf v_load_bf16(const void *p, int64_t n) {
    __m256i halves = _mm256_maskz_loadu_epi16(n >= VL ? 0xFFFF : v_mask(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
GM_INLINE void v_store_halves(void *p, __m256i halves, int64_t n) {
    _mm256_mask_storeu_epi16(p, n >= VL ? 0xFFFF : v_mask(n), halves);
}
GM_INLINE __m256i v_rounded_halves(vf v) {
    __m512i bits = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    __m512i rounded = _mm512_mask_or_epi32(nearest, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
GM_INLINE void v_store_bf16(void *p, vf v, int64_t n) { v_store_halves(p, v_rounded_halves(v), n); }
GM_INLINE void v_stream_bf16(void *p, vf v) { _mm256_stream_si256(p, v_rounded_halves(v)); }
