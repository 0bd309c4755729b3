/* The kernel bodies compiled for AVX2. Headers are chosen by this file, not by __AVX2__: inside a target pragma gcc
 * defines that and clang does not. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__x86_64__) && !defined(GM_EMULATED)
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "kernels/simd_avx2.h"

enum {
    TILE_ROWS = 6,
    TILE_VECTORS = 2
}; /* 6 x 2 sums, 2 of the packed side and 1 of the other fill 15 of 16 registers */

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

bool gm_kernels_overlay_avx2(gm_kernels *table) { return overlay(table); }
#else
bool gm_kernels_overlay_avx2(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
