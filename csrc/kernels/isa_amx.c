/* The register tiles over pairs of bfloat16 by AMX (Intel, Architecture Instruction Set Extensions Programming Reference,
 * chapter 3): eight registers of 16 rows of 64 bytes. Setting them up takes 80 to 160 ns, as long as a dozen products; so they
 * stay as they are from one tile to the next and are given up at the end of a task, as the thread's other code may use
 * them. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__x86_64__) && !defined(GM_EMULATED) && (defined(__clang__) || __GNUC__ >= 11)
#include <immintrin.h>
#ifdef __clang__
#pragma clang attribute push(                                                                                          \
    __attribute__((target("amx-tile,amx-bf16,avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))),               \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("amx-tile,amx-bf16,avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "kernels/simd_avx512.h"
#include "kernels/simd_avx512_bf16.h"

/* The layout that LDTILECFG reads. */
typedef struct unit_shape {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) unit_shape;

enum { UNIT_BLOCKS = 8, UNIT_ROWS = 16, ROW_BYTES = 64 };

static _Thread_local int64_t unit_rows; /* of both blocks, as one number; 0: not set up */

GM_INLINE void unit_begin(int64_t first, int64_t second) {
    int64_t rows = first * (UNIT_ROWS + 1) + second;
    if (rows == unit_rows) return;
    unit_rows = rows;
    unit_shape shape = {.palette = 1};
    for (int i = 0; i < UNIT_BLOCKS; i++) {
        shape.row_bytes[i] = ROW_BYTES;
        shape.rows[i] = UNIT_ROWS;
    }
    shape.rows[0] = shape.rows[1] = shape.rows[4] = (uint8_t)first;
    if (second) shape.rows[2] = shape.rows[3] = shape.rows[5] = (uint8_t)second;
    __asm__ volatile("ldtilecfg %0" ::"m"(shape));
}

/* gcc's _tile_loadd does not say that it reads memory. */
GM_INLINE void unit_memory(void) { __asm__ volatile("" ::: "memory"); }

#define unit_clear(i) _tile_zero(i)
#define unit_load(i, p, stride)                                                                                        \
    do {                                                                                                               \
        unit_memory();                                                                                                 \
        _tile_loadd(i, p, (stride) * (int64_t)sizeof(float));                                                          \
    } while (0)
#define unit_store(i, p, stride) _tile_stored(i, p, (stride) * (int64_t)sizeof(float))
#define unit_multiply(i, j, k) _tile_dpbf16ps(i, j, k)
GM_INLINE void unit_end(void) {
    if (unit_rows) _tile_release();
    unit_rows = 0;
}

#define v_store_bf16 v_store_bf16_by_instruction
#define v_stream_bf16 v_stream_bf16_by_instruction

#include "kernels/amx_body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

bool gm_kernels_overlay_amx(gm_kernels *table) {
    if (!gm_kernels_overlay_avx512_bf16(table)) return false;
    amx_overlay(table);
    return true;
}
#else
bool gm_kernels_overlay_amx(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
