/* The table of kernels: one entry a function, one column an instruction set.
 *
 * GM_KERNELS is the one list. It makes the struct, fills each set's table, and drives the test that holds every
 * variant against the portable one, so nobody adds a kernel without its test. The table starts portable and is
 * overlaid with what the CPU has: a missing fast kernel means a working slow one. GENMODELS_ISA chooses among those. */
#ifndef GM_KERNELS_TABLE_H
#define GM_KERNELS_TABLE_H

#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/bfloat.h"
#include "kernels/elementwise.h"
#include "kernels/layernorm.h"
#include "kernels/normalised.h"
#include "kernels/pairs.h"
#include "kernels/pool.h"
#include "kernels/precision.h"
#include "kernels/recurrent.h"
#include "kernels/tiles.h"
#include "kernels/turn.h"
#include "kernels/winograd.h"

/* X(return type, name, (parameters)) */
#define GM_KERNELS(X)                                                                                                  \
    GM_TILE_KERNELS(X)                                                                                                 \
    GM_BFLOAT_KERNELS(X)                                                                                               \
    GM_ELEMENTWISE_KERNELS(X)                                                                                          \
    GM_LAYERNORM_KERNELS(X)                                                                                            \
    GM_NORMALISED_KERNELS(X)                                                                                           \
    GM_PAIR_KERNELS(X)                                                                                                 \
    GM_POOL_KERNELS(X)                                                                                                 \
    GM_RECURRENT_KERNELS(X)                                                                                            \
    GM_TURN_KERNELS(X)                                                                                                 \
    GM_WINOGRAD_KERNELS(X)

typedef struct gm_kernels {
    gm_tile_sizes tile;
#define GM_MEMBER(type, name, parameters) type(*name) parameters;
    GM_KERNELS(GM_MEMBER)
#undef GM_MEMBER
} gm_kernels;

/* The table in use. Chosen once, on first use, from the CPU and GENMODELS_ISA. */
const gm_kernels *gm_kernels_active(void);

/* The table for products of these operands: the one in use; for pairs the same but for what multiplies and makes these, or
 * NULL where no instruction multiplies pairs. */
const gm_kernels *gm_kernels_for(gm_precision operands);

/* The parts of these operands in pairs; NULL where they are better multiplied as floats. */
const gm_bf16_parts *gm_kernels_parts(gm_precision operands);

/* Which set the table in use is. */
gm_isa gm_kernels_isa(void);

/* Puts the table of one set in use; GM_VALUE_ERROR when the machine lacks the set. Not while other threads compute. */
gm_status gm_kernels_select(gm_isa isa, gm_error *error);

/* The table of one set, or NULL when this build or this machine lacks it. For tests and benchmarks. */
const gm_kernels *gm_kernels_of(gm_isa isa);

#endif
