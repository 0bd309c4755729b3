/* That a thread's AMX registers are given up at the end of what it computes. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "check.h"
#include "kernels/conv.h"
#include "kernels/table.h"

/* What other code of the thread would find in use. */
static bool amx_is_set_up(void) {
    uint8_t shape[64] = {0};
#if defined(__x86_64__) && !defined(GM_EMULATED) && (defined(__clang__) || __GNUC__ >= 11)
    if (gm_cpu_isa() == GM_ISA_AMX) __asm__ volatile("sttilecfg %0" : "=m"(shape));
#endif
    bool any = false;
    for (int i = 0; i < 64; i++) any = any || shape[i];
    return any;
}

TEST(unit_is_given_up) {
    static const gm_conv layers[] = {{8, 8, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1, GM_BF16, false, false},
                                     {1, 1, 64, 1, 1, 64, 1, 1, 1, 1, 0, 0, GM_BF16, false, false}};
    gm_random random = {.seed = 9, .stream = 1};
    const gm_kernels *pairs = gm_kernels_for(GM_BF16_PAIRS);
    int threads = gm_num_threads();
    gm_set_num_threads(1);
    for (int i = 0; i < 2 && pairs; i++) {
        const gm_conv *g = &layers[i];
        int64_t N = 32;
        check_buffer x = check_normal(N * g->H * g->W * g->C, &random),
                     y = check_normal(N * g->P * g->Q * g->K, &random);
        check_buffer w = check_normal(g->R * g->S * g->C * g->K, &random);
        check_buffer workspace = check_floats(gm_conv_workspace(g, N));
        gm_conv_forward(g, N, x.values, w.values, y.values, NULL, workspace.values);
        CHECK(!amx_is_set_up(), "layer %d, forward", i);
        gm_conv_backward_data(g, N, y.values, w.values, x.values, NULL, workspace.values);
        CHECK(!amx_is_set_up(), "layer %d, input gradient", i);
        gm_conv_backward_weights(g, N, x.values, y.values, false, w.values, workspace.values);
        CHECK(!amx_is_set_up(), "layer %d, weights' gradient", i);
        check_buffer *all[] = {&x, &y, &w, &workspace};
        for (int k = 0; k < 4; k++) check_free(all[k]);
    }
    gm_set_num_threads(threads);
}

MAIN(CASE(unit_is_given_up))
