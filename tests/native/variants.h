/* The tables of kernels that this machine can run. */
#ifndef VARIANTS_H
#define VARIANTS_H

#include "check.h"
#include "kernels/table.h"

/* Runs what follows once for each of them, the portable one included; `k` is the table. */
#define EACH_VARIANT(k)                                                                                                \
    for (int isa = 0; isa < GM_ISA_COUNT; isa++)                                                                       \
        for (const gm_kernels *k = gm_kernels_of((gm_isa)isa); k; k = NULL)

#endif
