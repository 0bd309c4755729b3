#include "base/cpu.h"

#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <stdint.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const NAMES[GM_ISA_COUNT] = {"portable", "avx2", "avx512", "amx", "neon"};

#if defined(__x86_64__) && !defined(GM_EMULATED)
/* Whether the processor has AMX for bfloat16, and the operating system keeps its registers and lets this process use them:
 * Linux does on request. */
static bool has_amx(void) {
#ifdef __linux__
    enum { TILE = 1 << 24, BF16 = 1 << 22, OSXSAVE = 1 << 27, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    const uint64_t kept = 3ull << 17; /* tile configuration and data */
    uint32_t a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & TILE) || !(d & BF16)) return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (((((uint64_t)high << 32) | low) & kept) != kept) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}
#endif

gm_isa gm_cpu_isa(void) {
#if defined(GM_EMULATED)
    return GM_ISA_AMX; /* on any machine, see kernels/isa_emulated.c */
#elif defined(__x86_64__) || defined(__i386__)
    /* The builtins ask the operating system too: registers it does not save count as absent. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return GM_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return GM_ISA_AVX2;
#ifdef __x86_64__
    if (gm_cpu_has_bf16() && has_amx()) return GM_ISA_AMX;
#endif
    return GM_ISA_AVX512;
#elif defined(__aarch64__)
    return GM_ISA_NEON; /* part of the architecture */
#else
    return GM_ISA_PORTABLE;
#endif
}

bool gm_cpu_has_bf16(void) {
#if defined(GM_EMULATED)
    return true;
#elif defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 10)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16");
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
