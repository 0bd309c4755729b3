/* The kernel bodies without intrinsics: what every other set must agree with, and what runs where none is there. */
#include <stdbool.h>
#include <stdint.h>

#include "kernels/isa.h"
#include "kernels/simd_portable.h"

enum { TILE_ROWS = 6, TILE_VECTORS = 2 }; /* 6 x 2 sums of the 16 registers that x86-64 has at the least */

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

bool gm_kernels_overlay_portable(gm_kernels *table) { return overlay(table); }
