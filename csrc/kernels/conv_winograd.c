/* Convolutions whose kernel is twice their stride, by fewer products than the definition takes (winograd.h).
 *
 * Such a kernel has two taps along each axis for every phase (row mod stride, column mod stride) of the image. So, for
 * squares of the map (conv_squares.h), forward,
 *
 *     their windows of the image are differenced          U[points]: squares x depth, the channels of all phases
 *     the weights are expanded, once                      V[points]: depth x outputs
 *     for each point a product                            M[points] = U V
 *     and the squares of outputs are folded from them;
 *
 * and the adjoint is the same turned round, phase by phase:
 *
 *     the squares are expanded                            U[points]: squares x channels of the map
 *     for each point a product                            M[points] = U V
 *     and spread over the windows of the phase, which overlap.
 *
 * (The adjoint is also a convolution of the map for each phase. Of an image that is larger than its map's stride says that has
 * more squares: it was 1.4 to 3 times slower on layers of `wgan-32`.)
 *
 * A task does all of that for a block of squares small enough that U and M stay in the L2; V comes from the L3. In the adjoint
 * it has whole images, to add to, block after block, and as many phases at a time as have their V in the L3; of few images each
 * phase is a task. An image is cut into blocks the same way in any batch, so that its bits are the same. */
#include "kernels/conv_winograd.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_squares.h"
#include "kernels/epilogue.h"

enum {
    SLOTS = 8,               /* most threads that work on blocks at a time */
    SLOT_FLOATS = 288 << 10, /* U and M of a block, about: 1.1 MB */
    LEAST_BLOCK = 12,        /* squares: one tile */
    MOST_BLOCK = 96,
    V_FLOATS = 1 << 20, /* of the phases at a time, or those of one: 4 MB (all 19 MB of a layer: 1.2 times slower) */
    LEAST_CHANNELS = 16,
    STRIP = 16 /* channels whose weights are expanded at a time */
};

typedef struct winograd {
    const gm_kernels *kernels;
    const gm_conv *g;
    bool adjoint;
    int64_t N;
    int64_t in, out;     /* channels */
    int64_t w_in, w_out; /* weight at tap * C * K + in * w_in + out * w_out */
    const float *x, *w;
    float *y;
    gm_epilogue epilogue;
    int64_t depth, panels; /* of the products */
    int64_t point_floats;  /* of V, of one product */
    int64_t points;
    int64_t block;               /* most squares of one */
    int64_t blocks;              /* forward: of all squares */
    int64_t groups, parts;       /* adjoint: of the images, of the phases at work */
    int64_t first_phase, phases; /* at work */
    float *v, *zeros, *slots;
} winograd;

static int64_t most_in_block(int64_t points, int64_t depth, int64_t outputs) {
    int64_t most = SLOT_FLOATS / (points * (operand_row(depth) + operand_row(outputs))) / LEAST_BLOCK * LEAST_BLOCK;
    return max_of(LEAST_BLOCK, min_of(MOST_BLOCK, most));
}

/* U and M, and in the adjoint what nobody wants: a panel of outputs on padding. */
static int64_t slot_floats(int64_t points, int64_t depth, int64_t outputs) {
    int64_t rows = points * most_in_block(points, depth, outputs);
    return rows * (operand_row(depth) + operand_row(outputs)) + GM_WIDEST_PANEL;
}

static int64_t v_floats(int64_t points, int64_t depth, int64_t outputs) {
    return points * depth * round_up(outputs, GM_WIDEST_PANEL);
}

/* Phases of the adjoint at a time. */
static int64_t phases_of_v(int64_t points, int64_t depth, int64_t outputs, int64_t all) {
    return max_of(1, min_of(all, V_FLOATS / v_floats(points, depth, outputs)));
}

static gm_panel panel_at(const winograd *op, int64_t index) { return gm_panel_at(&op->kernels->tile, op->out, index); }

/* Outputs that a block's M has side by side: all, or a panel of one phase. */
static int64_t outputs_of_block(const winograd *op) { return op->adjoint ? GM_WIDEST_PANEL : op->out; }

static int64_t m_row(const winograd *op) { return operand_row(outputs_of_block(op)); }

static float *slot(const winograd *op) {
    return op->slots + gm_parallel_slot() * slot_floats(op->points, op->depth, outputs_of_block(op));
}

/* ---- V ---- */

/* The weights of a strip of channels and a panel of outputs, outputs innermost and zeros behind the last: [tap][c][k]. */
static void gather_taps(const winograd *op, phase of, int64_t c0, int64_t channels, gm_panel outputs,
                        float taps[4][STRIP][GM_WIDEST_PANEL]) {
    const gm_conv *g = op->g;
    for (int64_t t = 0; t < 4; t++) {
        const float *from = op->w + tap_of(g, of, t) * g->C * g->K + c0 * op->w_in + outputs.first * op->w_out;
        for (int64_t k = 0; k < outputs.columns; k++)
            for (int64_t c = 0; c < channels; c++) taps[t][c][k] = from[c * op->w_in + k * op->w_out];
        for (int64_t k = outputs.columns; k < outputs.width; k++)
            for (int64_t c = 0; c < channels; c++) taps[t][c][k] = 0.0f;
    }
}

/* A panel of V at the first of the points of a phase at work, its own ones or all phases'. */
static float *v_panel(const winograd *op, int64_t phase, gm_panel outputs) {
    int64_t before = op->adjoint ? (phase - op->first_phase) * op->points * op->point_floats : 0;
    return op->v + before + outputs.first * op->depth;
}

static void expand_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t strips = ceil_div(op->in, STRIP), strip = index % strips, panel = index / strips / op->phases;
    int64_t phase = op->first_phase + index / strips % op->phases;
    int64_t c0 = strip * STRIP, channels = min_of(STRIP, op->in - c0), before = op->adjoint ? 0 : phase * op->in;
    gm_panel outputs = panel_at(op, panel);
    float taps[4][STRIP][GM_WIDEST_PANEL];
    gather_taps(op, phase_at(op->g, phase), c0, channels, outputs, taps);
    float *to = v_panel(op, phase, outputs) + (before + c0) * outputs.width;
    gm_square all = transform_of_taps(op->g, op->point_floats);
    for (int64_t c = 0; c < channels; c++, to += outputs.width) {
        const float *of_channel[4] = {taps[0][c], taps[1][c], taps[2][c], taps[3][c]};
        op->kernels->winograd_expand_taps(&all, outputs.width, of_channel, to);
    }
}

static void expand_weights(winograd *op) {
    gm_parallel_for(op->panels * op->phases * ceil_div(op->in, STRIP), expand_task, op);
}

/* ---- M = U V ---- */

/* At a point: the squares that have it, times a panel of V. */
static void multiply(const winograd *op, const squares *list, int64_t point, const float *u, gm_panel panel,
                     const float *v, const float *bias, float *m) {
    range of = squares_at_point(op->g, list, point);
    int64_t u_step = operand_row(op->depth), m_step = m_row(op), count = of.end - of.begin;
    int64_t tiles = ceil_div(count, gm_tile_rows(&op->kernels->tile, panel.columns));
    gm_run run = {0, 0, op->depth};
    float whole_bias[GM_WIDEST_PANEL] = {0};
    if (bias) memcpy(whole_bias, bias + panel.first, (size_t)panel.columns * sizeof *bias);
    gm_tile_end end = {.bias = bias ? whole_bias : NULL, .slope = 1.0f};
    u += (point * op->block + of.begin) * u_step, m += (point * op->block + of.begin) * m_step;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = count * t / tiles, rows = count * (t + 1) / tiles - first;
        gm_rows tile_rows = {.count = rows, .a_stride = u_step, .out_stride = m_step, .sets = 1};
        op->kernels->rows_tile(&tile_rows, panel.columns, 1, &run, u + first * u_step, v + point * op->point_floats,
                               (gm_low_parts){0}, &end, m + first * m_step);
    }
}

/* ---- Forward ---- */

static void difference_windows(const winograd *op, const squares *list, float *u) {
    int64_t row = operand_row(op->depth), pixel[MOST_PIXELS];
    const float *window[MOST_PIXELS];
    for (int64_t p = 0; p < phase_count(op->g); p++)
        for (int64_t k = 0; k < list->count; k++) {
            gm_square square = transform_of(op->g, list->at[k], op->block * row);
            list_window(op->g, phase_at(op->g, p), list->at[k], pixel);
            list_values(pixels_in(list->at[k]), pixel, op->x, op->in, op->zeros, window);
            op->kernels->winograd_difference(&square, op->in, window, u + k * row + p * op->in);
        }
}

/* The point in the middle is part of all outputs, so the bias goes there. */
static void multiply_outputs(const winograd *op, const squares *list, const float *u, float *m) {
    int64_t middle = points_of(pieces_of(op->g->Q)) + 1;
    for (int64_t point = 0; point < op->points; point++)
        for (int64_t index = 0; index < op->panels; index++) {
            gm_panel panel = panel_at(op, index);
            const float *bias = point == middle ? op->epilogue.bias : NULL;
            multiply(op, list, point, u, panel, v_panel(op, 0, panel), bias, m + panel.first);
        }
}

static void fold_squares(const winograd *op, const squares *list, const float *m) {
    int64_t place[MOST_PLACES];
    float *to[MOST_PLACES];
    for (int64_t k = 0; k < list->count; k++, m += m_row(op)) {
        gm_square square = transform_of(op->g, list->at[k], op->block * m_row(op));
        list_places(op->g, list->at[k], place);
        list_targets(places_in(list->at[k]), place, op->y, op->out, NULL, to);
        op->kernels->winograd_fold(&square, op->out, m, to);
        for (int64_t t = 0; t < places_in(list->at[k]); t++)
            gm_end_values(op->kernels, &op->epilogue, place[t] * op->out, op->out, op->y);
    }
}

static void block_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t all = op->N * squares_of_image(op->g), first = all * index / op->blocks;
    float *u = slot(op), *m = u + op->points * op->block * operand_row(op->depth);
    squares list;
    list_squares(op->g, first, all * (index + 1) / op->blocks - first, &list);
    difference_windows(op, &list, u);
    multiply_outputs(op, &list, u, m);
    fold_squares(op, &list, m);
}

static void run_forward(winograd *op) {
    int64_t all = op->N * squares_of_image(op->g);
    op->blocks = max_of(ceil_div(all, op->block), min_of(WANTED_TASKS, ceil_div(all, LEAST_BLOCK)));
    op->blocks = min_of(all, round_up(op->blocks, 4)); /* as many for each of 2 or 4 threads */
    op->phases = phase_count(op->g);
    expand_weights(op);
    gm_parallel_for_slots(op->blocks, SLOTS, block_task, op);
}

/* ---- Adjoint ---- */

/* What a task makes: images first..end-1, of them phases begin..stop-1. */
typedef struct share {
    int64_t first, end, begin, stop;
} share;

static share share_of(const winograd *op, int64_t task) {
    int64_t group = task / op->parts, part = task % op->parts;
    return (share){op->N * group / op->groups, op->N * (group + 1) / op->groups,
                   op->first_phase + op->phases * part / op->parts,
                   op->first_phase + op->phases * (part + 1) / op->parts};
}

/* A line of pixels of the share, so many channels apart from one to the next. */
typedef void (*line_task)(const winograd *op, int64_t pixels, int64_t stride, float *at);

static void start_line(const winograd *op, int64_t pixels, int64_t stride, float *at) {
    for (int64_t i = 0; i < pixels; i++, at += stride)
        if (op->epilogue.bias)
            memcpy(at, op->epilogue.bias, (size_t)op->out * sizeof *at);
        else
            memset(at, 0, (size_t)op->out * sizeof *at);
}

static void end_line(const winograd *op, int64_t pixels, int64_t stride, float *at) {
    gm_end_rows(op->kernels, &op->epilogue, at - op->y, pixels, stride, op->out, op->y);
}

static int64_t first_of_phase(int64_t phase, int64_t stride, int64_t pad) {
    return (phase + stride - pad % stride) % stride;
}

static void each_line(const winograd *op, const share *of, line_task task) {
    const gm_conv *g = op->g;
    bool all = of->stop - of->begin == phase_count(g);
    for (int64_t p = of->begin; p < (all ? of->begin + 1 : of->stop); p++) {
        phase at = phase_at(g, p);
        int64_t row0 = all ? 0 : first_of_phase(at.row, g->stride_h, g->pad_top), rows = all ? 1 : g->stride_h;
        int64_t column0 = all ? 0 : first_of_phase(at.column, g->stride_w, g->pad_left),
                columns = all ? 1 : g->stride_w;
        for (int64_t n = of->first; n < of->end; n++)
            for (int64_t row = row0; row < g->H; row += rows)
                if (column0 < g->W)
                    task(op, ceil_div(g->W - column0, columns), columns * op->out,
                         op->y + ((n * g->H + row) * g->W + column0) * op->out);
    }
}

static void expand_squares(const winograd *op, const squares *list, float *u) {
    int64_t row = operand_row(op->depth), place[MOST_PLACES];
    const float *values[MOST_PLACES];
    for (int64_t k = 0; k < list->count; k++) {
        gm_square square = transform_of(op->g, list->at[k], op->block * row);
        list_places(op->g, list->at[k], place);
        list_values(places_in(list->at[k]), place, op->x, op->in, NULL, values);
        op->kernels->winograd_expand(&square, op->in, values, u + k * row);
    }
}

static void spread_windows(const winograd *op, const squares *list, phase of, gm_panel panel, const float *m,
                           float *nowhere) {
    int64_t pixel[MOST_PIXELS];
    float *to[MOST_PIXELS];
    for (int64_t k = 0; k < list->count; k++) {
        gm_square square = transform_of(op->g, list->at[k], op->block * m_row(op));
        list_window(op->g, of, list->at[k], pixel);
        list_targets(pixels_in(list->at[k]), pixel, op->y + panel.first, op->out, nowhere, to);
        op->kernels->winograd_spread(&square, panel.columns, m + k * m_row(op), to);
    }
}

/* Squares first..first+count-1, into phases begin..stop-1. */
static void add_block(const winograd *op, const share *of, int64_t first, int64_t count) {
    float *u = slot(op), *m = u + op->points * op->block * operand_row(op->depth);
    float *nowhere = m + op->points * op->block * m_row(op);
    squares list;
    list_squares(op->g, first, count, &list);
    expand_squares(op, &list, u);
    memset(nowhere, 0, GM_WIDEST_PANEL * sizeof *nowhere);
    for (int64_t p = of->begin; p < of->stop; p++)
        for (int64_t index = 0; index < op->panels; index++) {
            gm_panel panel = panel_at(op, index);
            for (int64_t point = 0; point < op->points; point++)
                multiply(op, &list, point, u, panel, v_panel(op, p, panel), NULL, m);
            spread_windows(op, &list, phase_at(op->g, p), panel, m, nowhere);
        }
}

/* Images in one block, or blocks of one image. */
static int64_t images_of_block(const winograd *op) { return max_of(1, op->block / squares_of_image(op->g)); }

static void share_task(void *context, int64_t index) {
    const winograd *op = context;
    share of = share_of(op, index);
    int64_t each = squares_of_image(op->g), images = images_of_block(op), blocks = ceil_div(images * each, op->block);
    each_line(op, &of, start_line);
    for (int64_t n = of.first; n < of.end; n += images) {
        int64_t first = n * each, count = min_of(images, of.end - n) * each;
        for (int64_t i = 0; i < blocks; i++)
            add_block(op, &of, first + count * i / blocks, count * (i + 1) / blocks - count * i / blocks);
    }
    each_line(op, &of, end_line);
}

static void run_adjoint(winograd *op) {
    op->groups = max_of(ceil_div(op->N, images_of_block(op)), min_of(WANTED_TASKS, op->N));
    op->groups = min_of(op->N, round_up(op->groups, 4));
    int64_t all = phase_count(op->g), most = phases_of_v(op->points, op->depth, op->out, all);
    for (; op->first_phase < all; op->first_phase += op->phases) {
        op->phases = min_of(most, all - op->first_phase);
        op->parts = op->groups < WANTED_TASKS ? op->phases : 1;
        expand_weights(op);
        gm_parallel_for_slots(op->groups * op->parts, SLOTS, share_task, op);
    }
}

/* ---- Either ---- */

void gm_conv_winograd(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                      const gm_epilogue *epilogue, float *workspace) {
    winograd op = {.g = g, .adjoint = adjoint, .N = N, .x = x, .w = w, .y = y, .epilogue = *epilogue};
    op.kernels = gm_kernels_active();
    op.in = adjoint ? g->K : g->C, op.out = adjoint ? g->C : g->K;
    op.w_in = adjoint ? 1 : g->K, op.w_out = adjoint ? g->K : 1;
    op.depth = adjoint ? op.in : phase_count(g) * op.in;
    op.panels = gm_panel_count(&op.kernels->tile, op.out);
    op.point_floats = op.depth * round_up(op.out, op.kernels->tile.vector);
    op.points = point_count(g);
    op.block = most_in_block(op.points, op.depth, outputs_of_block(&op));
    op.zeros = workspace;
    op.v = op.zeros + op.in;
    int64_t phases = adjoint ? phases_of_v(op.points, op.depth, op.out, phase_count(g)) : 1;
    op.slots = op.v + phases * v_floats(op.points, op.depth, op.out);
    memset(op.zeros, 0, (size_t)op.in * sizeof *op.zeros);
    (adjoint ? run_adjoint : run_forward)(&op);
}

/* ---- What it takes, and where it pays ---- */

int64_t gm_conv_winograd_workspace(const gm_conv *g) {
    int64_t points = point_count(g), deep = phase_count(g) * g->C;
    int64_t phases = phases_of_v(points, g->K, g->C, phase_count(g));
    int64_t forward = v_floats(points, deep, g->K) + SLOTS * slot_floats(points, deep, g->K);
    int64_t adjoint = phases * v_floats(points, g->K, g->C) + SLOTS * slot_floats(points, g->K, GM_WIDEST_PANEL);
    return max_of(max_of(g->C, g->K) + max_of(forward, adjoint), gm_conv_winograd_weights_workspace(g));
}

bool gm_conv_winograd_pays(const gm_conv *g) {
    if (g->R != 2 * g->stride_h || g->S != 2 * g->stride_w) return false;
    if (g->C < LEAST_CHANNELS || g->K < LEAST_CHANNELS || g->P < 2 || g->Q < 2) return false;
    int64_t products = products_of_image(g) * phase_count(g) * g->C * g->K;
    return products + products / 8 <= gm_conv_products(g); /* the transforms cost about an eighth */
}
