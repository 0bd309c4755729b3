/* The kernel bodies compiled for NEON, which every 64-bit ARM processor has. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"

#if defined(__aarch64__)
#include "kernels/simd_neon.h"

enum {
    TILE_ROWS = 12,
    TILE_VECTORS = 2
}; /* 12 x 2 sums, 2 of the packed side and 1 of the other fill 27 of 32 registers */

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

bool gm_kernels_overlay_neon(gm_kernels *table) { return overlay(table); }
#else
bool gm_kernels_overlay_neon(gm_kernels *table) {
    (void)table;
    return false;
}
#endif
