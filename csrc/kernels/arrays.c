/* Each array function is a context, a task that runs a kernel on one piece, and a call that starts the tasks. */
#include "kernels/arrays.h"

#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/table.h"

enum { PIECE = 16384, MOST_PARTIALS = 256 };

/* The size of pieces of n elements, at most MOST_PARTIALS of them, so that their sums fit on the stack. */
static int64_t piece_for_sums(int64_t n) { return PIECE * max_of(1, ceil_div(ceil_div(n, PIECE), MOST_PARTIALS)); }

/* ---- Maps ---- */

typedef struct map_call {
    gm_activation act;
    const float *x, *y;
    float *out;
} map_call;

static void activate_piece(void *context, int64_t at, int64_t n) {
    const map_call *call = context;
    gm_kernels_active()->activate(call->act, n, call->x + at, call->out + at);
}

void gm_activate(gm_activation act, int64_t n, const float *x, float *y) {
    map_call call = {act, x, NULL, y};
    gm_parallel_pieces(n, PIECE, activate_piece, &call);
}

static void activate_backward_piece(void *context, int64_t at, int64_t n) {
    const map_call *call = context;
    gm_kernels_active()->activate_backward(call->act, n, call->y + at, call->x + at, call->out + at);
}

void gm_activate_backward(gm_activation act, int64_t n, const float *y, const float *dy, float *dx) {
    map_call call = {act, dy, y, dx};
    gm_parallel_pieces(n, PIECE, activate_backward_piece, &call);
}

/* ---- Sums over everything ---- */

typedef double (*loss_kernel)(int64_t n, const float *x, const float *t, float scale, float *dx);

typedef struct loss_call {
    int64_t piece;
    loss_kernel kernel;
    const float *x, *t;
    float scale;
    float *dx;
    double partial[MOST_PARTIALS];
} loss_call;

static void loss_piece(void *context, int64_t at, int64_t n) {
    loss_call *call = context;
    call->partial[at / call->piece] = call->kernel(n, call->x + at, call->t + at, call->scale, call->dx + at);
}

static double run_loss(int64_t n, loss_call *call) {
    double total = 0;
    gm_parallel_pieces(n, call->piece, loss_piece, call);
    for (int64_t i = 0; i < ceil_div(n, call->piece); i++) total += call->partial[i];
    return total;
}

double gm_cross_entropy(int64_t n, const float *x, const float *t, float scale, float *dx) {
    loss_call call = {.piece = piece_for_sums(n), .x = x, .t = t, .scale = scale, .dx = dx};
    call.kernel = gm_kernels_active()->cross_entropy;
    return run_loss(n, &call);
}

double gm_squared_error(int64_t n, const float *x, const float *t, float scale, float *dx) {
    loss_call call = {.piece = piece_for_sums(n), .x = x, .t = t, .scale = scale, .dx = dx};
    call.kernel = gm_kernels_active()->squared_error;
    return run_loss(n, &call);
}

typedef struct loss_rows_call {
    loss_kernel kernel;
    int64_t n, start, repeat;
    float *x;
    const float *t;
    double *sums;
} loss_rows_call;

static void loss_row(void *context, int64_t index) {
    const loss_rows_call *call = context;
    float *x = call->x + index * call->n;
    const float *t = call->t + (call->start + index) / call->repeat * call->n;
    call->sums[index] = call->kernel(call->n, x, t, 1.0f, x);
}

void gm_cross_entropy_rows(int64_t N, int64_t n, float *x, const float *t, int64_t start, int64_t repeat,
                           double *sums) {
    loss_rows_call call = {gm_kernels_active()->cross_entropy, n, start, repeat, x, t, sums};
    gm_parallel_for(N, loss_row, &call);
}

void gm_squared_error_rows(int64_t N, int64_t n, float *x, const float *t, int64_t start, int64_t repeat,
                           double *sums) {
    loss_rows_call call = {gm_kernels_active()->squared_error, n, start, repeat, x, t, sums};
    gm_parallel_for(N, loss_row, &call);
}

typedef struct peak_call {
    int64_t piece;
    const float *x;
    float partial[MOST_PARTIALS];
} peak_call;

static void peak_piece(void *context, int64_t at, int64_t n) {
    peak_call *call = context;
    call->partial[at / call->piece] = gm_kernels_active()->peak(n, call->x + at);
}

float gm_peak(int64_t n, const float *x) {
    peak_call call = {.piece = piece_for_sums(n), .x = x};
    gm_parallel_pieces(n, call.piece, peak_piece, &call);
    float largest = 0;
    for (int64_t i = 0; i < ceil_div(n, call.piece); i++)
        if (call.partial[i] > largest) largest = call.partial[i];
    return largest;
}

/* ---- Dropout ---- */

typedef struct dropout_call {
    const gm_random *random;
    uint32_t threshold;
    float scale;
    const float *x;
    uint8_t *keep;
    float *y;
} dropout_call;

static void dropout_piece(void *context, int64_t at, int64_t n) {
    const dropout_call *call = context;
    gm_random random = *call->random;
    random.offset += (uint64_t)at / 4; /* four words a block; a piece is a whole number of groups */
    gm_kernels_active()->dropout(&random, call->threshold, call->scale, n, call->x + at, call->keep + at, call->y + at);
}

void gm_dropout(const gm_random *random, float rate, int64_t n, const float *x, uint8_t *keep, float *y) {
    dropout_call call = {random, (uint32_t)((double)rate * 0x1p32), 1.0f / (1.0f - rate), x, keep, y};
    gm_parallel_pieces(n, PIECE, dropout_piece, &call);
}

static void dropout_backward_piece(void *context, int64_t at, int64_t n) {
    const dropout_call *call = context;
    gm_kernels_active()->dropout_backward(call->scale, n, call->keep + at, call->x + at, call->y + at);
}

void gm_dropout_backward(float rate, int64_t n, const uint8_t *keep, const float *dy, float *dx) {
    /* The mask is only read: the cast lets both directions share one context. */
    dropout_call call = {NULL, 0, 1.0f / (1.0f - rate), dy, (uint8_t *)(uintptr_t)keep, dx};
    gm_parallel_pieces(n, PIECE, dropout_backward_piece, &call);
}

/* ---- Copies and averages ---- */

typedef struct weights_call {
    float number;
    const float *from;
    float *to;
} weights_call;

static void clip_piece(void *context, int64_t at, int64_t n) {
    const weights_call *call = context;
    gm_kernels_active()->clip(call->number, n, call->to + at);
}

void gm_clip(float bound, int64_t n, float *x) {
    weights_call call = {bound, NULL, x};
    gm_parallel_pieces(n, PIECE, clip_piece, &call);
}

static void copy_piece(void *context, int64_t at, int64_t n) {
    const weights_call *call = context;
    memcpy(call->to + at, call->from + at, (size_t)n * sizeof *call->to);
}

void gm_copy(int64_t n, const float *x, float *y) {
    weights_call call = {0.0f, x, y};
    gm_parallel_pieces(n, PIECE, copy_piece, &call);
}

static void moving_average_piece(void *context, int64_t at, int64_t n) {
    const weights_call *call = context;
    gm_kernels_active()->moving_average(call->number, n, call->from + at, call->to + at);
}

void gm_moving_average(float decay, int64_t n, const float *x, float *mean) {
    weights_call call = {decay, x, mean};
    gm_parallel_pieces(n, PIECE, moving_average_piece, &call);
}
