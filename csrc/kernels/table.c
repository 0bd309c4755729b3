#include "kernels/table.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernels/isa.h"

static bool (*const OVERLAYS[GM_ISA_COUNT])(gm_kernels *) = {
    [GM_ISA_PORTABLE] = gm_kernels_overlay_portable,
    [GM_ISA_AVX2] = gm_kernels_overlay_avx2,
    [GM_ISA_AVX512] = gm_kernels_overlay_avx512,
    [GM_ISA_NEON] = gm_kernels_overlay_neon,
};

static gm_kernels tables[GM_ISA_COUNT];
static bool available[GM_ISA_COUNT];
static gm_kernels pairs; /* of GM_ISA_AVX512 */
static bool pairs_available;
static gm_isa active;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
    gm_isa best = gm_cpu_isa(), cap = best;
    const char *name = getenv("GENMODELS_ISA");
    if (name && gm_isa_of_name(name) < best) cap = gm_isa_of_name(name);
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (isa > (int)best || !OVERLAYS[isa]) continue;
        (void)gm_kernels_overlay_portable(&tables[isa]);
        available[isa] = OVERLAYS[isa](&tables[isa]);
        if (isa <= (int)cap && available[isa]) active = (gm_isa)isa;
    }
    pairs = tables[GM_ISA_AVX512];
    pairs_available = available[GM_ISA_AVX512] && gm_cpu_has_bf16() && gm_kernels_overlay_avx512_bf16(&pairs);
}

gm_isa gm_kernels_isa(void) {
    (void)pthread_once(&once, fill_tables);
    return active;
}

const gm_kernels *gm_kernels_active(void) { return &tables[gm_kernels_isa()]; }

const gm_kernels *gm_kernels_for(gm_precision operands) {
    if (operands != GM_BF16_PAIRS) return gm_kernels_active();
    return gm_kernels_isa() == GM_ISA_AVX512 && pairs_available ? &pairs : NULL;
}

const gm_kernels *gm_kernels_of(gm_isa isa) {
    (void)pthread_once(&once, fill_tables);
    return isa < GM_ISA_COUNT && available[isa] ? &tables[isa] : NULL;
}

gm_status gm_kernels_select(gm_isa isa, gm_error *error) {
    GM_REQUIRE(gm_kernels_of(isa), error, GM_VALUE_ERROR, "instruction set %s is not available here, the best is %s",
               gm_isa_name(isa), gm_isa_name(gm_cpu_isa()));
    active = isa;
    return GM_OK;
}
