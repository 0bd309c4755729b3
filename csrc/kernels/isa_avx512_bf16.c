/* The register tiles over pairs of bfloat16 (bfloat.h), by the instruction that multiplies two pairs and adds both products
 * to a float: tiles_body.h as it stands, each step of a sum being two terms. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 10)
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))),        \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#endif

#include "kernels/simd_avx512.h"

GM_INLINE vf v_fma_pairs(vf a, vf b, vf c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
#define v_fma v_fma_pairs

enum { TILE_ROWS = 12, TILE_VECTORS = 4 }; /* as in isa_avx512.c */

#include "kernels/tiles_body.h"

#undef v_fma

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
#undef GM_ASSIGN
    return true;
}
#else
bool gm_kernels_overlay_avx512_bf16(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
