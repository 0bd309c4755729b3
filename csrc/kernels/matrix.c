/* Products of matrices in blocks that stay in the caches.
 *
 * Both sides are packed: a into tiles of a few rows, b into panels of a few vectors, each contiguous along the depth. In
 * place their rows may be pages apart, or at distances that fill one set of the cache only; and weights of a wide layer
 * (157 MB in one of the reference models) are read from memory once, not once for every group of samples.
 *
 *     for a stretch of columns         whose packed block of b stays in the L3
 *         for a block of the depth     so long that a tile and the panels of a task stay in L1 and L2
 *             for a stretch of rows
 *                 pack; then tasks of some tiles times some panels add the block's products to `out`
 *
 * Every block's sums start at zero and are added in the order of the blocks, so that long sums lose little; the
 * epilogue follows the last block, while the rows are in the cache. */
#include "kernels/matrix.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"
#include "kernels/turn.h"

enum {
    DEPTH = 512,    /* of a block: a tile of 12 rows is 24 KB, a panel of 64 columns 128 KB */
    COLUMNS = 2048, /* of a stretch: 4 MB packed */
    ROWS = 1024,    /* of a stretch: 2 MB packed */
    PANELS = 4,     /* of a task, at most: 512 KB */
    TASKS = 32,     /* at least, where there are so many tiles and panels */
    WIDEST = 64     /* no tile or panel of any instruction set is wider */
};

/* Part of a matrix, and where it is packed: groups of lanes (rows of a: tiles, columns of b: panels), each group contiguous
 * with its lanes side by side, depth after depth; zeros or copies of the last lane behind it. Operands of bfloat16 are
 * rounded on the way; where an instruction multiplies pairs, two values along the depth become one, and the depth is gone
 * through once for each term of the product. */
typedef struct side {
    const gm_kernels *kernels;
    bool rounded;              /* floats are */
    int64_t terms;             /* of pairs; 0: floats */
    const gm_bf16_part *parts; /* of the terms */
    const float *from;
    int64_t lanes, values;         /* of this part */
    int64_t depth;                 /* values, or pairs of them for each term */
    int64_t lane_step, depth_step; /* in `from` */
    bool is_a;                     /* groups are tiles, all of one width; else panels */
    int64_t groups;
    float *packed;
} side;

typedef struct block {
    const gm_matrix_product *product;
    const gm_kernels *kernels;
    int64_t row0, column0; /* of this part of the product */
    side a, b;
    int64_t row_parts, column_parts; /* of the block: tasks */
    bool first, last;                /* along the depth */
} block;

/* ---- Packing ---- */

static int64_t values_each(const side *at) { return at->terms ? 2 : 1; }

/* The part of the depth that a term, or all of it, takes. */
static int64_t term_depth(const side *at) { return ceil_div(at->values, values_each(at)); }

static int64_t group_count(const side *at) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    return at->is_a ? ceil_div(at->lanes, tile->rows) : gm_panel_count(tile, at->lanes);
}

static gm_panel group_at(const side *at, int64_t index) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    if (!at->is_a) return gm_panel_at(tile, at->lanes, index);
    return (gm_panel){index * tile->rows, min_of(tile->rows, at->lanes - index * tile->rows), tile->rows};
}

/* Lanes that are neighbours in memory: whole rows are read in order, a few of them a task. */
enum { ROWS_A_TASK = 16 };

static void copy_rows(const side *at, int64_t task) {
    int64_t end = min_of(at->depth, (task + 1) * ROWS_A_TASK);
    for (int64_t d = task * ROWS_A_TASK; d < end; d++) {
        int64_t value = d % term_depth(at) * values_each(at);
        const float *row = at->from + value * at->depth_step;
        const float *next = value + 1 < at->values ? row + at->depth_step : NULL;
        for (int64_t g = 0; g < at->groups; g++) {
            gm_panel group = group_at(at, g);
            float *to = at->packed + group.first * at->depth + d * group.width;
            int64_t lane = group.first, count = group.columns;
            if (at->terms)
                at->kernels->bf16_pair(at->parts[d / term_depth(at)], count, row + lane, next ? next + lane : NULL, to);
            else if (at->rounded)
                at->kernels->bf16_round(count, row + lane, to);
            else
                memcpy(to, row + lane, (size_t)count * sizeof *to);
            for (; count < group.width; count++) to[count] = 0.0f;
        }
    }
}

enum { STRIP = 16 }; /* floats that share a cache line */

/* The strip of a lane's term that begins with packed value d: where it is, or in `made`. */
static const float *strip_of(const side *at, int64_t lane, int64_t term, int64_t d, float made[STRIP]) {
    int64_t first = d * values_each(at);
    const float *from = at->from + lane * at->lane_step + first;
    __builtin_prefetch(from + STRIP * values_each(at));
    if (at->terms)
        at->kernels->bf16_pair_neighbours(at->parts[term], min_of(2 * STRIP, at->values - first), from, made);
    else if (at->rounded)
        at->kernels->bf16_round(min_of(STRIP, at->values - first), from, made);
    else
        return from;
    return made;
}

/* One term of a group, or all of it. */
static void turn_term(const side *at, gm_panel group, int64_t term) {
    int64_t first = group.first, last = first + group.columns - 1, depth = term_depth(at);
    float made[4][STRIP];
    for (int64_t d = 0; d < depth; d += STRIP) {
        float *to = at->packed + first * at->depth + (term * depth + d) * group.width;
        int64_t length = min_of(STRIP, depth - d);
        for (int64_t l = 0; l < group.width; l += 4) {
            const float *lane[4];
            int64_t lanes = min_of(4, group.width - l), k = 0;
            for (int64_t i = 0; i < lanes; i++) lane[i] = strip_of(at, min_of(first + l + i, last), term, d, made[i]);
            for (; lanes == 4 && k + 4 <= length; k += 4) gm_turn(lane, k, to + l, group.width);
            for (; k < length; k++)
                for (int64_t i = 0; i < lanes; i++) to[k * group.width + l + i] = lane[i][k];
        }
    }
}

/* Lanes that are contiguous along the depth, a group a task: squares, and what these leave one by one. */
static void turn_lanes(const side *at, int64_t index) {
    for (int64_t term = 0; term < max_of(1, at->terms); term++) turn_term(at, group_at(at, index), term);
}

static int64_t pack_tasks(const side *at) { return at->lane_step == 1 ? ceil_div(at->depth, ROWS_A_TASK) : at->groups; }

static void pack(const side *at, int64_t task) {
    if (at->lane_step == 1)
        copy_rows(at, task);
    else
        turn_lanes(at, task);
}

static void pack_task(void *context, int64_t index) {
    const block *at = context;
    int64_t of_b = pack_tasks(&at->b);
    if (index < of_b)
        pack(&at->b, index);
    else
        pack(&at->a, index - of_b);
}

/* ---- Multiplying ---- */

static void begin_rows(const block *at, int64_t rows, int64_t column, int64_t columns, float *out) {
    const gm_epilogue *epilogue = at->product->epilogue;
    const float *bias = epilogue && epilogue->bias ? epilogue->bias + column : NULL;
    for (int64_t m = 0; m < rows; m++, out += at->product->columns) {
        if (bias)
            memcpy(out, bias, (size_t)columns * sizeof *out);
        else
            memset(out, 0, (size_t)columns * sizeof *out);
    }
}

static void finish_rows(const block *at, int64_t rows, int64_t columns, float *out) {
    const gm_epilogue *e = at->product->epilogue;
    for (int64_t m = 0; m < rows; m++, out += at->product->columns) {
        if (e->act.kind != GM_LINEAR) at->kernels->activate(e->act, columns, out, out);
        if (e->gate) at->kernels->activate_backward(e->gate_act, columns, e->gate + (out - at->product->out), out, out);
    }
}

/* A tile of a times a panel of b, in as many pieces as the panel's width asks for. */
static void multiply_tile(const block *at, gm_panel tile, gm_panel panel, float *out) {
    int64_t most = gm_tile_rows(&at->kernels->tile, panel.columns), stride = at->product->columns;
    gm_sweep sweep = {.N = 1, .I = 1, .J = at->a.depth, .x_j = tile.width, .y_j = panel.width};
    const float *x = at->a.packed + tile.first * at->a.depth, *y = at->b.packed + panel.first * at->b.depth;
    for (int64_t row = 0; row < tile.columns; row += most)
        at->kernels->outer_tile(min_of(most, tile.columns - row), panel.columns, &sweep, x + row, y,
                                out + row * stride + panel.first, stride);
}

static void multiply_task(void *context, int64_t index) {
    const block *at = context;
    const gm_matrix_product *product = at->product;
    const side *a = &at->a, *b = &at->b;
    int64_t row_part = index / at->column_parts, column_part = index % at->column_parts;
    int64_t tile0 = a->groups * row_part / at->row_parts, tile1 = a->groups * (row_part + 1) / at->row_parts;
    int64_t panel0 = b->groups * column_part / at->column_parts;
    int64_t panel1 = b->groups * (column_part + 1) / at->column_parts;
    int64_t from = group_at(b, panel0).first;
    gm_panel widest = group_at(b, panel1 - 1);
    int64_t columns = widest.first + widest.columns - from;
    for (int64_t t = tile0; t < tile1; t++) {
        gm_panel tile = group_at(a, t);
        float *out = product->out + (at->row0 + tile.first) * product->columns + at->column0;
        if (at->first && !product->add) begin_rows(at, tile.columns, at->column0 + from, columns, out + from);
        for (int64_t p = panel0; p < panel1; p++) multiply_tile(at, tile, group_at(b, p), out);
        if (at->last && product->epilogue) finish_rows(at, tile.columns, columns, out + from);
    }
}

static void run_block(block *at) {
    at->a.groups = group_count(&at->a);
    at->b.groups = group_count(&at->b);
    at->column_parts = ceil_div(at->b.groups, PANELS);
    at->row_parts = min_of(at->a.groups, ceil_div(TASKS, at->column_parts));
    at->column_parts = min_of(at->b.groups, max_of(at->column_parts, ceil_div(TASKS, at->row_parts)));
    gm_parallel_for(pack_tasks(&at->a) + pack_tasks(&at->b), pack_task, at);
    gm_parallel_for(at->row_parts * at->column_parts, multiply_task, at);
}

/* The length of pieces of `all` that are as equal as can be, multiples of `unit`, `most` at most. */
static int64_t even_piece(int64_t all, int64_t most, int64_t unit) {
    int64_t pieces = max_of(1, ceil_div(all, most));
    return ceil_div(all, pieces * unit) * unit;
}

void gm_matrix_multiply(const gm_matrix_product *product, float *workspace) {
    const gm_matrix *a = &product->a, *b = &product->b;
    const gm_bf16_terms *of_pairs = gm_kernels_terms(product->precision);
    const gm_kernels *kernels = gm_kernels_for(of_pairs ? GM_BF16_PAIRS : product->precision);
    side part = {.kernels = kernels, .terms = of_pairs ? of_pairs->count : 0, .rounded = product->precision == GM_BF16};
    block at = {.product = product, .kernels = kernels, .a = part, .b = part};
    at.a.is_a = true;
    at.a.lane_step = a->row, at.a.depth_step = a->column;
    at.b.lane_step = b->column, at.b.depth_step = b->row;
    if (of_pairs) at.a.parts = of_pairs->left, at.b.parts = of_pairs->right;
    int64_t each = values_each(&part), terms = max_of(1, part.terms);
    int64_t values = even_piece(product->depth, DEPTH / terms * each, each);
    at.b.packed = workspace;
    at.a.packed = workspace + values / each * terms * min_of(COLUMNS, ceil_div(product->columns, WIDEST) * WIDEST);
    for (at.column0 = 0; at.column0 < product->columns; at.column0 += COLUMNS)
        for (int64_t d = 0; d < product->depth; d += values)
            for (at.row0 = 0; at.row0 < product->rows; at.row0 += ROWS) {
                at.a.from = a->at + at.row0 * a->row + d * a->column;
                at.b.from = b->at + d * b->row + at.column0 * b->column;
                at.a.lanes = min_of(ROWS, product->rows - at.row0);
                at.b.lanes = min_of(COLUMNS, product->columns - at.column0);
                at.a.values = at.b.values = min_of(values, product->depth - d);
                at.a.depth = at.b.depth = terms * term_depth(&at.a);
                at.first = d == 0;
                at.last = d + values >= product->depth;
                run_block(&at);
            }
}

int64_t gm_matrix_workspace(int64_t rows, int64_t columns, int64_t depth) {
    int64_t packed = min_of(DEPTH, GM_BF16_MOST_TERMS * ceil_div(min_of(DEPTH, depth), 2));
    return max_of(packed, min_of(DEPTH, depth)) * (min_of(ROWS, rows) + min_of(COLUMNS, columns) + 2 * WIDEST);
}
