#include "kernels/recurrent.h"

#include <stddef.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/conv_gather.h"
#include "kernels/latent.h"
#include "kernels/table.h"

enum {
    PIECE = 2048,           /* units in a piece, about: each costs several exponentials */
    TURNED = GM_LINE_FLOATS /* rows that are turned together */
};

typedef struct cell_call {
    const gm_lstm_step *step;
    void (*kernel)(const gm_lstm_step *step, int64_t first, int64_t last, int64_t U);
    int64_t U;
} cell_call;

static void cell_piece(void *context, int64_t first, int64_t samples) {
    const cell_call *call = context;
    call->kernel(call->step, first, first + samples, call->U);
}

static void run(int64_t N, cell_call *call) { gm_parallel_pieces(N, max_of(1, PIECE / call->U), cell_piece, call); }

void gm_lstm_cell(const gm_lstm_step *step, int64_t N, int64_t U) {
    run(N, &(cell_call){step, gm_kernels_active()->lstm_cell, U});
}

void gm_lstm_cell_backward(const gm_lstm_step *step, int64_t N, int64_t U) {
    run(N, &(cell_call){step, gm_kernels_active()->lstm_cell_backward, U});
}

typedef struct exchange_call {
    int64_t A, B, C;
    const float *x;
    float *y;
} exchange_call;

static void exchange_task(void *context, int64_t b) {
    const exchange_call *call = context;
    int64_t C = call->C;
    gm_copy_rows(call->A, C, call->x + b * C, call->B * C, call->y + b * call->A * C, C);
}

static void turn_piece(void *context, int64_t first, int64_t rows) {
    const exchange_call *call = context;
    const float *row[TURNED];
    for (int64_t i = 0; i < rows; i++) row[i] = call->x + (first + i) * call->B;
    gm_kernels_active()->turn(rows, call->B, row, call->y + first, call->A);
}

void gm_exchange_axes(int64_t A, int64_t B, int64_t C, const float *x, float *y) {
    exchange_call call = {A, B, C, x, y};
    if (C == 1)
        gm_parallel_pieces(A, TURNED, turn_piece, &call);
    else
        gm_parallel_for(B, exchange_task, &call);
}

/* ---- The product of each step ---- */

/* Whether its operands are floats as they are. */
static bool is_plain(const gm_recurrent *g) {
    return g->forward.precision != GM_BF16 && !gm_kernels_parts(g->forward.precision);
}

gm_recurrent gm_recurrent_of(int64_t U, gm_precision precision) {
    gm_recurrent g = {gm_conv_of_pixels(U, 4 * U), gm_conv_of_pixels(4 * U, U)};
    g.forward.precision = g.back.precision = precision;
    return g;
}

int64_t gm_recurrent_ready_floats(const gm_recurrent *g) { return gm_conv_gather_workspace(&g->forward); }

int64_t gm_recurrent_workspace(const gm_recurrent *g, int64_t N) {
    return is_plain(g) ? 0 : max_of(gm_conv_workspace(&g->forward, N), gm_conv_workspace(&g->back, N));
}

void gm_recurrent_make_ready(const gm_recurrent *g, bool back, const float *kernel, float *ready) {
    int64_t U = g->back.K;
    if (is_plain(g))
        gm_conv_gather_pack(&g->forward, back, kernel, ready);
    else if (back)
        gm_exchange_axes(U, 4 * U, 1, kernel, ready);
    else
        gm_copy(4 * U * U, kernel, ready);
}

void gm_recurrent_multiply(const gm_recurrent *g, bool back, int64_t N, const float *x, float *ready, float *y,
                           float *workspace) {
    static const gm_epilogue none;
    if (is_plain(g))
        gm_conv_gather_packed(&g->forward, back, N, x, NULL, y, &none, ready);
    else
        gm_conv_forward(back ? &g->back : &g->forward, N, x, ready, y, NULL, workspace);
}
