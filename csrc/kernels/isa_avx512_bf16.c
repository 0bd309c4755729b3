/* The register tiles over pairs of bfloat16 (bfloat.h), by the instruction that multiplies two pairs and adds both products
 * to a float: tiles_body.h as it stands, each step of a sum being two terms. And pairs made by the instruction that rounds:
 * it takes floats below 2^-126 for zeros, as do those that multiply. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__x86_64__) && !defined(GM_EMULATED) && (defined(__clang__) || __GNUC__ >= 10)
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))),        \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#endif

#include "kernels/simd_avx512.h"
#include "kernels/simd_avx512_bf16.h"

GM_INLINE vf v_fma_pairs(vf a, vf b, vf c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
#define v_fma v_fma_pairs
#define v_store_bf16 v_store_bf16_by_instruction
#define v_stream_bf16 v_stream_bf16_by_instruction

enum { TILE_ROWS = 12, TILE_VECTORS = 4 }; /* as in isa_avx512.c */

#include "kernels/tiles_body.h"

#undef v_fma

#include "kernels/bfloat_body.h"

/* Whether a float of these rounds to infinity, is one or no number: bfloat_body.h knows what becomes of its parts. */
GM_INLINE bool is_extreme(__m512 x) {
    __m512i size = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7FFFFFFF));
    return _mm512_cmpge_epi32_mask(size, _mm512_set1_epi32(0x7F7F8000)) != 0;
}

/* The floats rounded, as words. */
GM_INLINE __m512i rounded_words(__m512 x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }

/* What this part leaves to be rounded. */
GM_INLINE __m512 rest_of(const gm_bf16_part part, __m512 x) {
    if (part != GM_BF16_LOW) return x;
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(rounded_words(x), 16)));
}

GM_INLINE void fast_pairs(const gm_bf16_part part, int64_t n, const float *x, const float *y, float *out) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        __m512 first = v_load(x + i), second = y ? v_load(y + i) : v_zero();
        if (part != GM_BF16_ROUNDED && (is_extreme(first) || is_extreme(second))) {
            bf16_pair(part, VL, x + i, y ? y + i : NULL, out + i);
            continue;
        }
        __m512i lower = rounded_words(rest_of(part, first)), upper = rounded_words(rest_of(part, second));
        v_store(out + i, _mm512_castsi512_ps(_mm512_or_si512(lower, _mm512_slli_epi32(upper, 16))));
    }
    bf16_pair(part, n - i, x + i, y ? y + i : NULL, out + i);
}

GM_INLINE void fast_neighbours(const gm_bf16_part part, int64_t n, const float *x, float *out) {
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        __m512 first = v_load(x + i), second = v_load(x + i + VL);
        if (part != GM_BF16_ROUNDED && (is_extreme(first) || is_extreme(second)))
            bf16_pair_neighbours(part, 2 * VL, x + i, out + i / 2);
        else
            v_store(out + i / 2, (__m512)_mm512_cvtne2ps_pbh(rest_of(part, second), rest_of(part, first)));
    }
    bf16_pair_neighbours(part, n - i, x + i, out + i / 2);
}

static void pairs_by_instruction(gm_bf16_part part, int64_t n, const float *x, const float *y, float *out) {
    switch (part) {
    case GM_BF16_ROUNDED: fast_pairs(GM_BF16_ROUNDED, n, x, y, out); break;
    case GM_BF16_HIGH: fast_pairs(GM_BF16_HIGH, n, x, y, out); break;
    case GM_BF16_LOW: fast_pairs(GM_BF16_LOW, n, x, y, out); break;
    }
}

static void neighbours_by_instruction(gm_bf16_part part, int64_t n, const float *x, float *out) {
    switch (part) {
    case GM_BF16_ROUNDED: fast_neighbours(GM_BF16_ROUNDED, n, x, out); break;
    case GM_BF16_HIGH: fast_neighbours(GM_BF16_HIGH, n, x, out); break;
    case GM_BF16_LOW: fast_neighbours(GM_BF16_LOW, n, x, out); break;
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

bool gm_kernels_overlay_avx512_bf16(gm_kernels *table) {
    if (!gm_cpu_has_bf16()) return false;
    table->tile = tile_sizes;
#define GM_ASSIGN(type, name, parameters) table->name = name;
    GM_TILE_KERNELS(GM_ASSIGN)
    GM_BFLOAT_KERNELS(GM_ASSIGN)
#undef GM_ASSIGN
    table->bf16_pair = pairs_by_instruction;
    table->bf16_pair_neighbours = neighbours_by_instruction;
    return true;
}
#else
bool gm_kernels_overlay_avx512_bf16(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
