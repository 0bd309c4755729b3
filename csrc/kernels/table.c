#include "kernels/table.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernels/isa.h"

/* What each set is made of, and what it multiplies pairs with. */
#ifdef GM_EMULATED
static bool (*const OVERLAYS[GM_ISA_COUNT])(gm_kernels *) = {
    [GM_ISA_PORTABLE] = gm_kernels_overlay_portable,
    [GM_ISA_AVX512] = gm_kernels_overlay_portable,
    [GM_ISA_AMX] = gm_kernels_overlay_portable,
};
static bool (*const PAIR_OVERLAYS[GM_ISA_COUNT])(gm_kernels *) = {
    [GM_ISA_AVX512] = gm_kernels_overlay_emulated_bf16,
    [GM_ISA_AMX] = gm_kernels_overlay_emulated_amx,
};
#else
static bool (*const OVERLAYS[GM_ISA_COUNT])(gm_kernels *) = {
    [GM_ISA_PORTABLE] = gm_kernels_overlay_portable,
    [GM_ISA_AVX2] = gm_kernels_overlay_avx2,
    [GM_ISA_AVX512] = gm_kernels_overlay_avx512,
    [GM_ISA_AMX] = gm_kernels_overlay_avx512, /* AMX multiplies pairs alone */
    [GM_ISA_NEON] = gm_kernels_overlay_neon,
};

static bool (*const PAIR_OVERLAYS[GM_ISA_COUNT])(gm_kernels *) = {
    [GM_ISA_AVX512] = gm_kernels_overlay_avx512_bf16,
    [GM_ISA_AMX] = gm_kernels_overlay_amx,
};
#endif

static gm_kernels tables[GM_ISA_COUNT], pairs[GM_ISA_COUNT];
static bool available[GM_ISA_COUNT], pairs_available[GM_ISA_COUNT];
static gm_isa active;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
    gm_isa best = gm_cpu_isa();
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (isa > (int)best || !OVERLAYS[isa]) continue;
        (void)gm_kernels_overlay_portable(&tables[isa]);
        available[isa] = OVERLAYS[isa](&tables[isa]);
        if (available[isa]) active = (gm_isa)isa;
        pairs[isa] = tables[isa];
        pairs_available[isa] = available[isa] && PAIR_OVERLAYS[isa] && PAIR_OVERLAYS[isa](&pairs[isa]);
    }
    const char *name = getenv("GENMODELS_ISA");
    gm_isa asked = name ? gm_isa_of_name(name) : GM_ISA_COUNT;
    if (asked < GM_ISA_COUNT && available[asked]) active = asked;
}

gm_isa gm_kernels_isa(void) {
    (void)pthread_once(&once, fill_tables);
    return active;
}

const gm_kernels *gm_kernels_active(void) { return &tables[gm_kernels_isa()]; }

const gm_kernels *gm_kernels_for(gm_precision operands) {
    if (operands < GM_BF16_PAIRS) return gm_kernels_active();
    gm_isa isa = gm_kernels_isa();
    return pairs_available[isa] ? &pairs[isa] : NULL;
}

const gm_bf16_parts *gm_kernels_parts(gm_precision operands) {
    static const gm_bf16_parts rounded = {1, {GM_BF16_ROUNDED}}, high = {2, {GM_BF16_HIGH, GM_BF16_LOW}};
    const gm_kernels *kernels = gm_kernels_for(GM_BF16_PAIRS);
    if (!kernels) return NULL;
    if (operands == GM_HIGH) return kernels->tile.blocks ? &high : NULL;
    return operands == GM_BF16 ? &rounded : NULL;
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
