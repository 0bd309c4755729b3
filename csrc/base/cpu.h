/* Which vector instructions this processor and this operating system allow. */
#ifndef GM_BASE_CPU_H
#define GM_BASE_CPU_H

#include <stdbool.h>

/* Rising order: a CPU that has one of them on x86-64 has those before it. NEON is apart. */
typedef enum gm_isa { GM_ISA_PORTABLE, GM_ISA_AVX2, GM_ISA_AVX512, GM_ISA_AMX, GM_ISA_NEON, GM_ISA_COUNT } gm_isa;

/* The best the machine has. */
gm_isa gm_cpu_isa(void);

/* Whether AVX-512, where it is the best or AMX is, has products of bfloat16. */
bool gm_cpu_has_bf16(void);

/* "portable", "avx2", "avx512", "amx", "neon". */
const char *gm_isa_name(gm_isa isa);

/* GM_ISA_COUNT when no instruction set has that name. */
gm_isa gm_isa_of_name(const char *name);

#endif
