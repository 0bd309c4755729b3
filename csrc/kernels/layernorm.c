#include "kernels/layernorm.h"

#include <stddef.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/table.h"

enum { PIECE = 16384 }; /* floats in a piece, about */

typedef struct norm_call {
    int64_t C;
    double epsilon;
    const float *x, *gamma, *beta;
    double *statistics; /* written forward, read backward */
    gm_activation act;
    float *y, *dy, *dx;
} norm_call;

static void normalise_piece(void *context, int64_t first, int64_t rows) {
    const norm_call *call = context;
    const gm_kernels *kernels = gm_kernels_active();
    int64_t at = first * call->C;
    kernels->normalise_rows(rows, call->C, call->epsilon, call->x + at, call->gamma, call->beta,
                            call->statistics + 2 * first, call->y + at);
    if (call->act.kind != GM_LINEAR) kernels->activate(call->act, rows * call->C, call->y + at, call->y + at);
}

static void backward_piece(void *context, int64_t first, int64_t rows) {
    const norm_call *call = context;
    const gm_kernels *kernels = gm_kernels_active();
    int64_t at = first * call->C;
    float *dx = call->dx ? call->dx + at : NULL;
    kernels->normalise_rows_backward(rows, call->C, call->statistics + 2 * first, call->gamma, call->x + at,
                                     call->dy + at, dx);
    if (dx && call->act.kind != GM_LINEAR) kernels->activate_backward(call->act, rows * call->C, call->x + at, dx, dx);
}

static void run(int64_t rows, norm_call *call, gm_piece_task task) {
    gm_parallel_pieces(rows, max_of(1, PIECE / call->C), task, call);
}

void gm_normalise_rows(int64_t rows, int64_t C, double epsilon, const float *x, const float *gamma, const float *beta,
                       gm_activation act, double *statistics, float *y) {
    norm_call call = {
        .C = C, .epsilon = epsilon, .x = x, .gamma = gamma, .beta = beta, .statistics = statistics, .act = act, .y = y};
    run(rows, &call, normalise_piece);
}

void gm_normalise_rows_backward(int64_t rows, int64_t C, const double *statistics, const float *gamma, const float *x,
                                gm_activation gate, float *dy, float *dx) {
    /* The statistics are only read: the cast lets both directions share one context. */
    norm_call call = {
        .C = C, .x = x, .gamma = gamma, .statistics = (double *)(uintptr_t)statistics, .act = gate, .dy = dy, .dx = dx};
    run(rows, &call, backward_piece);
}
