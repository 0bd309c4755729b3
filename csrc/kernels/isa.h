/* One source file an instruction set; each lays its kernels over a table, or says false where it is not built.
 * A new set is a simd_*.h, an isa_*.c and a line in table.c. */
#ifndef GM_KERNELS_ISA_H
#define GM_KERNELS_ISA_H

#include <stdbool.h>

#include "kernels/table.h"

bool gm_kernels_overlay_portable(gm_kernels *table);
bool gm_kernels_overlay_avx2(gm_kernels *table);
bool gm_kernels_overlay_avx512(gm_kernels *table);
bool gm_kernels_overlay_neon(gm_kernels *table);

/* What multiplies pairs of bfloat16 and what makes them, over a set's own kernels; false too where the machine has no
 * such instruction. */
bool gm_kernels_overlay_avx512_bf16(gm_kernels *table);
bool gm_kernels_overlay_amx(gm_kernels *table);

/* What these do, without their instructions: of the build `emulated` alone, whose machine has them always. */
bool gm_kernels_overlay_emulated_bf16(gm_kernels *table);
bool gm_kernels_overlay_emulated_amx(gm_kernels *table);

#endif
