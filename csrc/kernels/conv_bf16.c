/* Convolutions of operands made of bfloat16, by those of other operands.
 *
 * Where an instruction multiplies pairs, neighbours along what is summed over become pairs first: channels of the input
 * forward, channels of the map in the input gradient, and, since the weights' gradient sums over places, the same place
 * of two images there. A pair is as large as a float, so what is left is the same convolution with half the channels, or
 * half the images, for the tiles that take pairs; or as many of them for each term, where a product is the sum of several.
 * Elsewhere, and where a single channel would leave half of each pair empty, the values stay floats, rounded or as they
 * are, and what is left is the convolution as it was. */
#include "kernels/conv_bf16.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"

enum { PIECE = 8192, LINE = 16 /* floats in a cache line */ };

static int64_t pairs_of(int64_t n) { return ceil_div(n, 2); }

/* ---- Operands ---- */

/* An array (groups, rows, n): as it is or rounded, or with neighbours along n or along the rows in pairs, once for each
 * term: (groups, rows, terms, pairs) or (groups, terms, pairs, n). */
typedef enum direction { AS_IT_IS, ROUNDED, ALONG, ACROSS } direction;
typedef struct operand {
    const float *from;
    direction made;
    int64_t groups, rows, n;
    int64_t terms;
    const gm_bf16_part *parts; /* of the terms */
    float *to;
} operand;

/* Rows in pairs, or alone. */
static int64_t paired_rows(const operand *o) { return o->made == ACROSS ? pairs_of(o->rows) : o->rows; }

/* Floats or pairs of a row's term. */
static int64_t made_n(const operand *o) { return o->made == ALONG ? pairs_of(o->n) : o->n; }

/* Cache lines of their own. */
static int64_t made_floats(const operand *o) {
    if (o->made == AS_IT_IS) return 0;
    return ceil_div(o->groups * o->terms * paired_rows(o) * made_n(o), LINE) * LINE;
}

/* Rows without an empty half at their ends are as good as one. */
static operand joined(operand o) {
    if (o.made == ROUNDED || (o.made == ALONG && o.terms == 1 && o.n % 2 == 0)) {
        o.n *= o.groups * o.rows;
        o.groups = o.rows = 1;
    }
    return o;
}

/* Number `index` of the pieces of the rows made, term after term. */
static void make_task(void *context, int64_t index) {
    const operand *o = context;
    const gm_kernels *kernels = gm_kernels_active();
    int64_t pieces = ceil_div(o->n, PIECE), rows = paired_rows(o);
    int64_t at = index % pieces * PIECE, row = index / pieces % rows, term = index / pieces / rows % o->terms;
    int64_t group = index / pieces / rows / o->terms, n = min_of(PIECE, o->n - at);
    if (o->made == ACROSS) {
        const float *from = o->from + (group * o->rows + 2 * row) * o->n + at;
        const float *next = 2 * row + 1 < o->rows ? from + o->n : NULL;
        kernels->bf16_pair(o->parts[term], n, from, next, o->to + ((group * o->terms + term) * rows + row) * o->n + at);
        return;
    }
    const float *from = o->from + (group * rows + row) * o->n + at;
    float *to = o->to + ((group * rows + row) * o->terms + term) * made_n(o);
    if (o->made == ALONG)
        kernels->bf16_pair_neighbours(o->parts[term], n, from, to + at / 2);
    else
        kernels->bf16_round(n, from, to + at);
}

static const float *make(operand o, const float *from, float *to) {
    if (o.made == AS_IT_IS) return from;
    o = joined(o);
    o.from = from;
    o.to = to;
    gm_parallel_for(o.groups * o.terms * paired_rows(&o) * ceil_div(o.n, PIECE), make_task, &o);
    return to;
}

/* ---- The products ---- */

/* A product: both operands, and the one that is left when they are made. */
typedef struct plan {
    operand left, right;
    gm_conv g;
    int64_t N;
} plan;

/* With both operands alone, or, where `summed` neighbours are worth it, in pairs along these directions; returns the
 * terms of the product then, 0 otherwise. */
static int64_t choose(plan *of, int64_t summed, direction left, direction right) {
    const gm_bf16_terms *terms = summed > 1 ? gm_kernels_terms(of->g.precision) : NULL;
    direction alone = of->g.precision == GM_HIGH ? AS_IT_IS : ROUNDED;
    of->left.made = terms ? left : alone;
    of->right.made = terms ? right : alone;
    of->left.terms = of->right.terms = terms ? terms->count : 1;
    if (terms) of->left.parts = terms->left, of->right.parts = terms->right;
    of->g.precision = terms ? GM_BF16_PAIRS : GM_FLOAT32;
    return terms ? terms->count : 0;
}

static plan plan_forward(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.groups = 1, .rows = N * g->H * g->W, .n = g->C};
    p.right = (operand){.groups = g->R * g->S, .rows = g->C, .n = g->K};
    int64_t terms = choose(&p, g->C, ALONG, ACROSS);
    if (terms) p.g.C = terms * pairs_of(g->C);
    return p;
}

static plan plan_backward_data(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.groups = 1, .rows = N * g->P * g->Q, .n = g->K};
    p.right = (operand){.groups = 1, .rows = g->R * g->S * g->C, .n = g->K};
    int64_t terms = choose(&p, g->K, ALONG, ALONG);
    if (terms) p.g.K = terms * pairs_of(g->K);
    return p;
}

static plan plan_backward_weights(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.groups = 1, .rows = N, .n = g->H * g->W * g->C};
    p.right = (operand){.groups = 1, .rows = N, .n = g->P * g->Q * g->K};
    int64_t terms = choose(&p, N, ACROSS, ACROSS);
    if (terms) p.N = terms * pairs_of(N);
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
