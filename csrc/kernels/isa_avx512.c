/* The kernel bodies compiled for AVX-512. Headers are chosen by this file, not by __AVX512F__: inside a target pragma gcc
 * defines that and clang does not. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__x86_64__) && !defined(GM_EMULATED)
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))),                   \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "kernels/simd_avx512.h"

/* 12 x 2 or 6 x 4 sums, 2 or 4 of the packed side and 1 of the other fill 27 or 29 of 32 registers. The wide form takes
 * 10 loads for 24 products, the other 14: where two of each are done in a cycle, it is 1.1 to 1.2 times as fast. */
enum { TILE_ROWS = 12, TILE_VECTORS = 4 };

#include "kernels/bfloat_body.h"
#include "kernels/elementwise_body.h"
#include "kernels/layernorm_body.h"
#include "kernels/normalised_body.h"
#include "kernels/pairs_body.h"
#include "kernels/pool_body.h"
#include "kernels/recurrent_body.h"
#include "kernels/tiles_body.h"
#include "kernels/turn_body.h"
#include "kernels/winograd_body.h"

#include "kernels/overlay_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

bool gm_kernels_overlay_avx512(gm_kernels *table) { return overlay(table); }
#else
bool gm_kernels_overlay_avx512(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
