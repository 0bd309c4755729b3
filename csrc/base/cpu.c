#include "base/cpu.h"

#include <string.h>

static const char *const NAMES[GM_ISA_COUNT] = {"portable", "avx2", "avx512", "amx", "neon"};

gm_isa gm_cpu_isa(void) {
#if defined(__x86_64__) || defined(__i386__)
    /* The builtins ask the operating system too: registers it does not save count as absent. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return GM_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return GM_ISA_AVX2;
    return GM_ISA_AVX512;
#elif defined(__aarch64__)
    return GM_ISA_NEON; /* part of the architecture */
#else
    return GM_ISA_PORTABLE;
#endif
}

bool gm_cpu_has_bf16(void) {
#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 10)
    return gm_cpu_isa() >= GM_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

const char *gm_isa_name(gm_isa isa) { return isa < GM_ISA_COUNT ? NAMES[isa] : "unknown"; }

gm_isa gm_isa_of_name(const char *name) {
    int isa = 0;
    while (isa < GM_ISA_COUNT && strcmp(NAMES[isa], name) != 0) isa++;
    return (gm_isa)isa;
}
