/* To be compiled with -ffp-contract=fast, which makes fused multiply-adds of the loop; the core is not. */
#include "limit.h"

#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "kernels/table.h"

/* Tasks of about a millisecond, so many that a thread which loses its processor for a while does not hold up all. */
enum { STEPS = 200000, CHAINS = 12, TASKS_A_THREAD = 32 };

#if defined(__aarch64__)
#define HELD(value) "+w"(value) /* in a vector register, and as if it had changed */
#else
#define HELD(value) "+x"(value)
#endif

#define LOOP(vector)                                                                                                   \
    vector sum[CHAINS] = {{0}}, factor = {0}, term = {0};                                                              \
    factor += 0.999f, term += 0.001f;                                                                                  \
    for (int c = 0; c < CHAINS; c++) sum[c] += (float)c; /* equal chains would be computed once */                     \
    for (int i = 0; i < STEPS; i++) {                                                                                  \
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * factor + term;                                              \
        __asm__ volatile("" : HELD(factor), HELD(term));                                                               \
    }                                                                                                                  \
    for (int c = 1; c < CHAINS; c++) sum[0] += sum[c];                                                                 \
    memcpy(out, &sum[0], sizeof(float));

typedef float wide __attribute__((vector_size(64)));
typedef float half __attribute__((vector_size(32)));
typedef float narrow __attribute__((vector_size(16)));

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vl"))) static void multiply_add_wide(float *out) { LOOP(wide) }
__attribute__((target("avx2,fma"))) static void multiply_add_half(float *out) { LOOP(half) }
#endif
static void multiply_add_narrow(float *out) { LOOP(narrow) }

static void multiply_add(void *context, int64_t index) {
    float *out = (float *)context + index;
#if defined(__x86_64__)
    if (gm_kernels_isa() == GM_ISA_AVX512 || gm_kernels_isa() == GM_ISA_AMX) {
        multiply_add_wide(out);
        return;
    }
    if (gm_kernels_isa() == GM_ISA_AVX2) {
        multiply_add_half(out);
        return;
    }
#endif
    multiply_add_narrow(out);
}

double limit(void) {
    static float out[TASKS_A_THREAD * GM_MAX_THREADS];
    int64_t tasks = TASKS_A_THREAD * gm_num_threads(), width = gm_kernels_active()->tile.vector;
    double start = gm_clock_seconds();
    gm_parallel_for(tasks, multiply_add, out);
    return (double)(tasks * STEPS * CHAINS * width * 2) / (gm_clock_seconds() - start);
}
