/* What AVX-512 and AMX do with pairs of bfloat16, without their instructions, so that all that is built on them is tested
 * on any machine: in the build with GM_EMULATED (GENMODELS_BUILD=emulated), whose kernels are portable but for these. Slow. */
#include "kernels/isa.h"

#ifdef GM_EMULATED
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/simd_portable.h"

GM_INLINE float half_of(float pair, int second) {
    uint32_t bits;
    float value;
    memcpy(&bits, &pair, sizeof bits);
    bits = second ? bits & 0xFFFF0000u : bits << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

GM_INLINE float add_products(float a, float b, float sum) {
    return half_of(a, 1) * half_of(b, 1) + (half_of(a, 0) * half_of(b, 0) + sum);
}

GM_INLINE vf v_fma_pairs(vf a, vf b, vf c) {
    for (int i = 0; i < VL; i++) c[i] = add_products(a[i], b[i], c[i]);
    return c;
}

#define v_fma v_fma_pairs

enum { TILE_ROWS = 6, TILE_VECTORS = 2 };

#include "kernels/tiles_body.h"

#undef v_fma

enum { UNIT_BLOCKS = 8, UNIT_ROWS = 16 };

static _Thread_local float unit[UNIT_BLOCKS][UNIT_ROWS][UNIT_ROWS];
static _Thread_local int64_t unit_rows[2]; /* of the first and the second block down */

static void unit_begin(int64_t first, int64_t second) { unit_rows[0] = first, unit_rows[1] = second; }
static void unit_end(void) { unit_rows[0] = unit_rows[1] = 0; }

static int64_t rows_of(int block) {
    if (block == 0 || block == 1 || block == 4) return unit_rows[0];
    return block == 2 || block == 3 || block == 5 ? unit_rows[1] : UNIT_ROWS;
}

static void unit_clear(int block) { memset(unit[block], 0, sizeof unit[block]); }

static void unit_load(int block, const float *from, int64_t stride) {
    for (int64_t r = 0; r < rows_of(block); r++) memcpy(unit[block][r], from + r * stride, sizeof unit[block][r]);
}

static void unit_store(int block, float *to, int64_t stride) {
    for (int64_t r = 0; r < rows_of(block); r++) memcpy(to + r * stride, unit[block][r], sizeof unit[block][r]);
}

static void unit_multiply(int to, int left, int right) {
    for (int64_t m = 0; m < rows_of(to); m++)
        for (int t = 0; t < UNIT_ROWS; t++)
            for (int n = 0; n < UNIT_ROWS; n++)
                unit[to][m][n] = add_products(unit[left][m][t], unit[right][t][n], unit[to][m][n]);
}

#include "kernels/amx_body.h"

bool gm_kernels_overlay_emulated_bf16(gm_kernels *table) {
    table->tile = tile_sizes;
#define GM_ASSIGN(type, name, parameters) table->name = name;
    GM_TILE_KERNELS(GM_ASSIGN)
#undef GM_ASSIGN
    return true;
}

bool gm_kernels_overlay_emulated_amx(gm_kernels *table) {
    (void)gm_kernels_overlay_emulated_bf16(table);
    amx_overlay(table);
    return true;
}
#endif
