/* What AVX-512 bf16 adds to simd_avx512.h. Included after it, by files whose target has that. */
GM_INLINE void v_store_bf16_by_instruction(void *p, vf v, int64_t n) {
    v_store_halves(p, (__m256i)_mm512_cvtneps_pbh(v), n);
}
GM_INLINE void v_stream_bf16_by_instruction(void *p, vf v) { _mm256_stream_si256(p, (__m256i)_mm512_cvtneps_pbh(v)); }
