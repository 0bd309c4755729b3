/* AVX2 with FMA: 8 floats. Included after the target pragma, by isa_avx2.c alone. */
#include "kernels/simd.h"

typedef __m256 vf;
enum { VL = 8 };

GM_INLINE __m256i v_mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
GM_INLINE vf v_zero(void) { return _mm256_setzero_ps(); }
GM_INLINE vf v_set1(float s) { return _mm256_set1_ps(s); }
GM_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
GM_INLINE void v_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
GM_INLINE void v_stream(float *p, vf v) { _mm256_stream_ps(p, v); }
GM_INLINE void v_streamed(void) { _mm_sfence(); }
GM_INLINE vf v_load_n(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_mask(n)); }
GM_INLINE void v_store_n(float *p, vf v, int64_t n) { _mm256_maskstore_ps(p, v_mask(n), v); }
GM_INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
GM_INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
GM_INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
GM_INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
GM_INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
GM_INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
GM_INLINE vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
GM_INLINE vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
GM_INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
GM_INLINE vf v_below_zero(vf x, vf a, vf b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}
GM_INLINE vf v_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
GM_INLINE vf v_pow2(vf x) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
/* Squares of 4 are turned within the halves of 4 rows, then a square of halves. */
GM_INLINE void v_turn(vf row[VL]) {
    vf half[VL];
#pragma GCC unroll 2
    for (int i = 0; i < VL; i += 4) {
        vf a = _mm256_unpacklo_ps(row[i], row[i + 1]), b = _mm256_unpackhi_ps(row[i], row[i + 1]);
        vf c = _mm256_unpacklo_ps(row[i + 2], row[i + 3]), d = _mm256_unpackhi_ps(row[i + 2], row[i + 3]);
        half[i] = _mm256_shuffle_ps(a, c, 0x44), half[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
        half[i + 2] = _mm256_shuffle_ps(b, d, 0x44), half[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        row[i] = _mm256_permute2f128_ps(half[i], half[i + 4], 0x20);
        row[i + 4] = _mm256_permute2f128_ps(half[i], half[i + 4], 0x31);
    }
}
GM_INLINE float v_sum(vf v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
GM_INLINE float v_peak(vf v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#include "kernels/simd_bf16.h"
