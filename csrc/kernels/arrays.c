/* Each array function is a context, a task that runs a kernel on one piece, and a call that starts the tasks. */
#include "kernels/arrays.h"

#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/table.h"

enum { PIECE = 16384, MOST_PARTIALS = 256 };

/* n elements in pieces of `size`, the last one shorter. */
typedef struct cut {
    int64_t n, size;
} cut;

static int64_t cut_count(cut c) { return (c.n + c.size - 1) / c.size; }
static int64_t cut_start(cut c, int64_t index) { return index * c.size; }
static int64_t cut_length(cut c, int64_t index) {
    int64_t left = c.n - index * c.size;
    return left < c.size ? left : c.size;
}

static cut cut_evenly(int64_t n) { return (cut){n, PIECE}; }

/* At most MOST_PARTIALS pieces, so that their sums fit on the stack. */
static cut cut_for_sums(int64_t n) {
    int64_t pieces = (n + PIECE - 1) / PIECE;
    int64_t times = (pieces + MOST_PARTIALS - 1) / MOST_PARTIALS;
    return (cut){n, PIECE * (times ? times : 1)};
}

/* ---- Maps ---- */

typedef struct map_call {
    cut cut;
    gm_activation act;
    const float *x, *y;
    float *out;
} map_call;

static void activate_piece(void *context, int64_t index) {
    const map_call *call = context;
    int64_t at = cut_start(call->cut, index);
    gm_kernels_active()->activate(call->act, cut_length(call->cut, index), call->x + at, call->out + at);
}

void gm_activate(gm_activation act, int64_t n, const float *x, float *y) {
    map_call call = {cut_evenly(n), act, x, NULL, y};
    gm_parallel_for(cut_count(call.cut), activate_piece, &call);
}

static void activate_backward_piece(void *context, int64_t index) {
    const map_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    gm_kernels_active()->activate_backward(call->act, length, call->y + at, call->x + at, call->out + at);
}

void gm_activate_backward(gm_activation act, int64_t n, const float *y, const float *dy, float *dx) {
    map_call call = {cut_evenly(n), act, dy, y, dx};
    gm_parallel_for(cut_count(call.cut), activate_backward_piece, &call);
}

/* ---- Sums over everything ---- */

typedef double (*loss_kernel)(int64_t n, const float *x, const float *t, float scale, float *dx);

typedef struct loss_call {
    cut cut;
    loss_kernel kernel;
    const float *x, *t;
    float scale;
    float *dx;
    double partial[MOST_PARTIALS];
} loss_call;

static void loss_piece(void *context, int64_t index) {
    loss_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    call->partial[index] = call->kernel(length, call->x + at, call->t + at, call->scale, call->dx + at);
}

static double run_loss(loss_call *call) {
    double total = 0;
    gm_parallel_for(cut_count(call->cut), loss_piece, call);
    for (int64_t i = 0; i < cut_count(call->cut); i++) total += call->partial[i];
    return total;
}

double gm_cross_entropy(int64_t n, const float *x, const float *t, float scale, float *dx) {
    loss_call call = {.cut = cut_for_sums(n), .x = x, .t = t, .scale = scale, .dx = dx};
    call.kernel = gm_kernels_active()->cross_entropy;
    return run_loss(&call);
}

double gm_squared_error(int64_t n, const float *x, const float *t, float scale, float *dx) {
    loss_call call = {.cut = cut_for_sums(n), .x = x, .t = t, .scale = scale, .dx = dx};
    call.kernel = gm_kernels_active()->squared_error;
    return run_loss(&call);
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
    cut cut;
    const float *x;
    float partial[MOST_PARTIALS];
} peak_call;

static void peak_piece(void *context, int64_t index) {
    peak_call *call = context;
    call->partial[index] =
        gm_kernels_active()->peak(cut_length(call->cut, index), call->x + cut_start(call->cut, index));
}

float gm_peak(int64_t n, const float *x) {
    peak_call call = {.cut = cut_for_sums(n), .x = x};
    gm_parallel_for(cut_count(call.cut), peak_piece, &call);
    float largest = 0;
    for (int64_t i = 0; i < cut_count(call.cut); i++)
        if (call.partial[i] > largest) largest = call.partial[i];
    return largest;
}

/* ---- Dropout ---- */

typedef struct dropout_call {
    cut cut;
    const gm_random *random;
    uint32_t threshold;
    float scale;
    const float *x;
    uint8_t *keep;
    float *y;
} dropout_call;

static void dropout_piece(void *context, int64_t index) {
    const dropout_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    gm_random random = *call->random;
    random.offset += (uint64_t)at / 4; /* four words a block; a piece is a whole number of groups */
    gm_kernels_active()->dropout(&random, call->threshold, call->scale, length, call->x + at, call->keep + at,
                                 call->y + at);
}

void gm_dropout(const gm_random *random, float rate, int64_t n, const float *x, uint8_t *keep, float *y) {
    dropout_call call = {cut_evenly(n), random, (uint32_t)((double)rate * 0x1p32), 1.0f / (1.0f - rate), x, keep, y};
    gm_parallel_for(cut_count(call.cut), dropout_piece, &call);
}

static void dropout_backward_piece(void *context, int64_t index) {
    const dropout_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    gm_kernels_active()->dropout_backward(call->scale, length, call->keep + at, call->x + at, call->y + at);
}

void gm_dropout_backward(float rate, int64_t n, const uint8_t *keep, const float *dy, float *dx) {
    /* The mask is only read: the cast lets both directions share one context. */
    dropout_call call = {cut_evenly(n), NULL, 0, 1.0f / (1.0f - rate), dy, (uint8_t *)(uintptr_t)keep, dx};
    gm_parallel_for(cut_count(call.cut), dropout_backward_piece, &call);
}

/* ---- Copies and averages ---- */

typedef struct weights_call {
    cut cut;
    float number;
    const float *from;
    float *to;
} weights_call;

static void clip_piece(void *context, int64_t index) {
    const weights_call *call = context;
    gm_kernels_active()->clip(call->number, cut_length(call->cut, index), call->to + cut_start(call->cut, index));
}

void gm_clip(float bound, int64_t n, float *x) {
    weights_call call = {cut_evenly(n), bound, NULL, x};
    gm_parallel_for(cut_count(call.cut), clip_piece, &call);
}

static void copy_piece(void *context, int64_t index) {
    const weights_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    memcpy(call->to + at, call->from + at, (size_t)length * sizeof *call->to);
}

void gm_copy(int64_t n, const float *x, float *y) {
    weights_call call = {cut_evenly(n), 0.0f, x, y};
    gm_parallel_for(cut_count(call.cut), copy_piece, &call);
}

static void moving_average_piece(void *context, int64_t index) {
    const weights_call *call = context;
    int64_t at = cut_start(call->cut, index), length = cut_length(call->cut, index);
    gm_kernels_active()->moving_average(call->number, length, call->from + at, call->to + at);
}

void gm_moving_average(float decay, int64_t n, const float *x, float *mean) {
    weights_call call = {cut_evenly(n), decay, x, mean};
    gm_parallel_for(cut_count(call.cut), moving_average_piece, &call);
}
