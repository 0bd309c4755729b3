/* Convolutions of operands rounded to bfloat16, made of those of other operands.
 *
 * Where an instruction multiplies pairs, neighbours along what is summed over become pairs first: channels of the input
 * forward, channels of the map in the input gradient, and, since the weights' gradient sums over places, the same place
 * of two images there. A pair is as large as a float, so what is left is the same convolution with half the channels, or
 * half the images, for the tiles that take pairs. Elsewhere, and where a single channel would leave half of each pair
 * empty, the rounded values stay floats, and what is left is the convolution as it was. */
#include "kernels/conv_bf16.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"

enum { PIECE = 8192, LINE = 16 /* floats in a cache line */ };

static bool in_pairs(int64_t summed) { return summed > 1 && gm_kernels_for(GM_BF16_PAIRS); }

static int64_t pairs_of(int64_t n) { return ceil_div(n, 2); }

/* ---- Operands ---- */

/* An array (groups, rows, n), rounded: as it is, or with neighbours along n or along the rows in pairs. */
typedef enum direction { ALONE, ALONG, ACROSS } direction;
typedef struct operand {
    const float *from;
    direction pairs;
    int64_t groups, rows, n;
    float *to;
} operand;

/* Of the array made, rows of as many floats or pairs. */
static int64_t made_rows(const operand *o) { return o->groups * (o->pairs == ACROSS ? pairs_of(o->rows) : o->rows); }
static int64_t made_n(const operand *o) { return o->pairs == ALONG ? pairs_of(o->n) : o->n; }

/* Cache lines of their own. */
static int64_t made_floats(const operand *o) { return ceil_div(made_rows(o) * made_n(o), LINE) * LINE; }

/* Rows without an empty half at their ends are as good as one. */
static operand joined(operand o) {
    if (o.pairs != ACROSS && (o.pairs == ALONE || o.n % 2 == 0)) {
        o.n *= o.groups * o.rows;
        o.groups = o.rows = 1;
    }
    return o;
}

/* Number `index` of the pieces of the rows made. */
static void round_task(void *context, int64_t index) {
    const operand *o = context;
    const gm_kernels *kernels = gm_kernels_active();
    int64_t pieces = ceil_div(o->n, PIECE), row = index / pieces, at = index % pieces * PIECE;
    int64_t n = min_of(PIECE, o->n - at), half = pairs_of(o->rows);
    if (o->pairs == ACROSS) {
        int64_t first = row % half * 2;
        const float *from = o->from + (row / half * o->rows + first) * o->n + at;
        kernels->bf16_pair(n, from, first + 1 < o->rows ? from + o->n : NULL, o->to + row * o->n + at);
    } else if (o->pairs == ALONG) {
        kernels->bf16_pair_neighbours(n, o->from + row * o->n + at, o->to + row * made_n(o) + at / 2);
    } else {
        kernels->bf16_round(n, o->from + row * o->n + at, o->to + row * o->n + at);
    }
}

static const float *make(operand o, const float *from, float *to) {
    o = joined(o);
    o.from = from;
    o.to = to;
    gm_parallel_for(made_rows(&o) * ceil_div(o.n, PIECE), round_task, &o);
    return to;
}

/* ---- The products ---- */

/* A product: both operands, and the one that is left when they are made. */
typedef struct plan {
    operand left, right;
    gm_conv g;
    int64_t N;
} plan;

static void set_precision(plan *of, bool pairs) { of->g.precision = pairs ? GM_BF16_PAIRS : GM_FLOAT32; }

static plan plan_forward(const gm_conv *g, int64_t N) {
    bool pairs = in_pairs(g->C);
    plan p = {.g = *g, .N = N};
    p.left = (operand){.pairs = pairs ? ALONG : ALONE, .groups = 1, .rows = N * g->H * g->W, .n = g->C};
    p.right = (operand){.pairs = pairs ? ACROSS : ALONE, .groups = g->R * g->S, .rows = g->C, .n = g->K};
    set_precision(&p, pairs);
    if (pairs) p.g.C = pairs_of(g->C);
    return p;
}

static plan plan_backward_data(const gm_conv *g, int64_t N) {
    bool pairs = in_pairs(g->K);
    plan p = {.g = *g, .N = N};
    p.left = (operand){.pairs = pairs ? ALONG : ALONE, .groups = 1, .rows = N * g->P * g->Q, .n = g->K};
    p.right = (operand){.pairs = p.left.pairs, .groups = 1, .rows = g->R * g->S * g->C, .n = g->K};
    set_precision(&p, pairs);
    if (pairs) p.g.K = pairs_of(g->K);
    return p;
}

static plan plan_backward_weights(const gm_conv *g, int64_t N) {
    bool pairs = in_pairs(N);
    plan p = {.g = *g, .N = pairs ? pairs_of(N) : N};
    p.left = (operand){.pairs = pairs ? ACROSS : ALONE, .groups = 1, .rows = N, .n = g->H * g->W * g->C};
    p.right = (operand){.pairs = p.left.pairs, .groups = 1, .rows = N, .n = g->P * g->Q * g->K};
    set_precision(&p, pairs);
    return p;
}

void gm_conv_bf16_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y,
                          const gm_epilogue *epilogue, float *workspace) {
    plan p = plan_forward(g, N);
    float *right = workspace + made_floats(&p.left), *rest = right + made_floats(&p.right);
    gm_conv_forward(&p.g, p.N, make(p.left, x, workspace), make(p.right, w, right), y, epilogue, rest);
}

void gm_conv_bf16_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                const gm_epilogue *epilogue, float *workspace) {
    plan p = plan_backward_data(g, N);
    float *right = workspace + made_floats(&p.left), *rest = right + made_floats(&p.right);
    gm_conv_backward_data(&p.g, p.N, make(p.left, dy, workspace), make(p.right, w, right), dx, epilogue, rest);
}

void gm_conv_bf16_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                                   float *workspace) {
    plan p = plan_backward_weights(g, N);
    float *right = workspace + made_floats(&p.left), *rest = right + made_floats(&p.right);
    gm_conv_backward_weights(&p.g, p.N, make(p.left, x, workspace), make(p.right, dy, right), add, dw, rest);
}

static int64_t workspace_of(plan p) {
    return made_floats(&p.left) + made_floats(&p.right) + gm_conv_workspace(&p.g, p.N);
}

int64_t gm_conv_bf16_workspace(const gm_conv *g, int64_t N) {
    int64_t data = max_of(workspace_of(plan_forward(g, N)), workspace_of(plan_backward_data(g, N)));
    return max_of(data, workspace_of(plan_backward_weights(g, N)));
}
