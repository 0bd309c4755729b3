/* Convolutions by fewer products than the definition takes (winograd.h), cut into strands and squares (conv_squares.h).
 * Forward,
 *
 *     the windows of the squares are differenced          U[points]: squares x depth, the channels of all strands
 *     the taps are evaluated, once                        V[points]: depth x outputs
 *     for each point a product                            M[points] = U V
 *     and the squares of outputs are folded from them;
 *
 * and the adjoint is the same turned round, strand by strand:
 *
 *     the squares are evaluated                           U[points]: squares x channels of the map
 *     for each point a product                            M[points] = U V
 *     and spread over the windows of the strand, which overlap.
 *
 * (The adjoint is also a convolution of the map for each phase. Of an image that is larger than its map's stride says that
 * has more squares: it took 1.4 to 3 times as long on layers of kernels of twice their stride.)
 *
 * A task does all of that for a block of squares small enough that U and M stay in the L2; V comes from the L3. In the
 * adjoint it has whole images, to add to, block after block, and as many strands at a time as have their V in the L3; of few
 * images each phase is a task. An image is cut into blocks the same way in any batch, so that its bits are the same. */
#include "kernels/conv_winograd.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_gather.h"
#include "kernels/conv_squares.h"
#include "kernels/epilogue.h"

enum {
    SLOTS = 8,               /* most threads that work on blocks at a time */
    SLOT_FLOATS = 176 << 10, /* U and M of a block, about: 704 KB */
    LEAST_BLOCK = 12,        /* squares: one tile */
    MOST_BLOCK = 96,
    V_FLOATS = 1 << 20, /* of the strands at a time, or those of one: 4 MB (all 19 MB of a layer: 1.2 times slower) */
    STRIP = 16          /* channels whose weights are evaluated at a time */
};

typedef struct winograd {
    const gm_kernels *kernels;
    const grid *of;
    bool adjoint;
    int64_t N;
    int64_t in, out;     /* channels */
    int64_t w_in, w_out; /* weight at tap * C * K + in * w_in + out * w_out */
    const float *x, *w;
    float *y;
    gm_epilogue epilogue;
    int64_t depth, panels;         /* of the products */
    int64_t point_floats;          /* of V, of one product */
    int64_t points, block;         /* of the largest squares; most squares of a block */
    int64_t blocks;                /* forward: of all squares */
    int64_t groups, parts;         /* adjoint: of the images, of the strands at work */
    bool apart;                    /* strands of an image are different tasks */
    int64_t first_strand, strands; /* at work */
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

/* Strands of the adjoint at a time. */
static int64_t strands_of_v(int64_t points, int64_t depth, int64_t outputs, int64_t all) {
    return max_of(1, min_of(all, V_FLOATS / v_floats(points, depth, outputs)));
}

static gm_panel panel_at(const winograd *op, int64_t index) { return gm_panel_at(&op->kernels->tile, op->out, index); }

/* Outputs that a block's M has side by side: all, or a panel of one strand. */
static int64_t outputs_of_block(const winograd *op) { return op->adjoint ? GM_WIDEST_PANEL : op->out; }

static int64_t m_row(const winograd *op) { return operand_row(outputs_of_block(op)); }

static float *slot(const winograd *op) {
    return op->slots + gm_parallel_slot() * slot_floats(op->points, op->depth, outputs_of_block(op));
}

/* ---- V ---- */

/* The weights of a strip of channels and a panel of outputs, outputs innermost and zeros behind the last. */
typedef struct taps {
    int64_t count;
    float at[MOST_PLACES][STRIP][GM_WIDEST_PANEL];
} taps;

static void gather_taps(const winograd *op, int64_t strand, int64_t c0, int64_t channels, gm_panel outputs, taps *to) {
    int64_t tap[MOST_PLACES];
    to->count = list_taps(op->of, strand, tap);
    for (int64_t t = 0; t < to->count; t++) {
        const float *from = op->w + tap[t] * op->in * op->out + c0 * op->w_in + outputs.first * op->w_out;
        gm_conv_pack_tap(&(gm_tap){from, op->w_in, op->w_out}, channels, outputs, to->at[t][0], GM_WIDEST_PANEL);
    }
}

/* A panel of V at the first of the points of a strand at work, its own ones or all strands'. */
static float *v_panel(const winograd *op, int64_t strand, gm_panel outputs) {
    int64_t before = op->adjoint ? (strand - op->first_strand) * op->points * op->point_floats : 0;
    return op->v + before + outputs.first * op->depth;
}

static void evaluate_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t strips = ceil_div(op->in, STRIP), strip = index % strips, panel = index / strips / op->strands;
    int64_t strand = op->first_strand + index / strips % op->strands;
    int64_t c0 = strip * STRIP, channels = min_of(STRIP, op->in - c0), before = op->adjoint ? 0 : strand * op->in;
    gm_panel outputs = panel_at(op, panel);
    taps gathered;
    gather_taps(op, strand, c0, channels, outputs, &gathered);
    float *to = v_panel(op, strand, outputs) + (before + c0) * outputs.width;
    gm_square square = transform_of_taps(op->of, strand, op->point_floats);
    for (int64_t c = 0; c < channels; c++, to += outputs.width) {
        const float *of_channel[MOST_PLACES];
        for (int64_t t = 0; t < gathered.count; t++) of_channel[t] = gathered.at[t][c];
        op->kernels->winograd_evaluate(&square, outputs.width, of_channel, to);
    }
}

static void evaluate_weights(winograd *op) {
    gm_parallel_for(op->panels * op->strands * ceil_div(op->in, STRIP), evaluate_task, op);
}

/* ---- M = U V ---- */

/* One point of some squares of a block: the sum over these runs of the depth, times a panel of V. */
static void multiply(const winograd *op, int64_t point, range of, const float *u, const gm_run *run, int64_t runs,
                     gm_panel panel, const float *v, const float *bias, float *m) {
    int64_t u_step = operand_row(op->depth), m_step = m_row(op), count = of.end - of.begin;
    int64_t tiles = ceil_div(count, gm_tile_rows(&op->kernels->tile, panel.columns));
    gm_tile_end end = {.bias = bias, .slope = 1.0f};
    u += (point * op->block + of.begin) * u_step, m += (point * op->block + of.begin) * m_step;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = count * t / tiles, rows = count * (t + 1) / tiles - first;
        gm_rows tile_rows = {.count = rows, .a_stride = u_step, .out_stride = m_step, .sets = 1};
        op->kernels->rows_tile(&tile_rows, panel.columns, runs, run, u + first * u_step, v + point * op->point_floats,
                               (gm_low_parts){0}, &end, m + first * m_step);
    }
}

/* ---- Forward ---- */

static void difference_windows(const winograd *op, const squares *list, float *u) {
    int64_t row = operand_row(op->depth), pixel[MOST_PIXELS];
    const float *window[MOST_PIXELS];
    for (int64_t s = 0; s < op->strands; s++)
        for (int64_t k = 0; k < list->count; k++) {
            gm_square square = transform_of_window(op->of, s, list->at[k], op->block * row);
            int64_t count = list_window(op->of, s, list->at[k], pixel);
            list_values(count, pixel, op->x, op->in, op->zeros, window);
            op->kernels->winograd_difference(&square, op->in, window, u + k * row + s * op->in);
        }
}

/* The depth of a point of squares of a size: the channels of the strands that have it. */
static int64_t list_runs(const winograd *op, strands_of_size at, gm_run run[MOST_STRANDS]) {
    int64_t across = op->of->columns.strands;
    if (at.columns == 0) return 0;
    if (at.columns == across) {
        run[0] = (gm_run){0, 0, at.rows * across * op->in};
        return at.rows > 0;
    }
    for (int64_t i = 0; i < at.rows; i++)
        run[i] = (gm_run){i * across * op->in, i * across * op->in, at.columns * op->in};
    return at.rows;
}

static bool are_same(strands_of_size a, strands_of_size b) { return a.rows == b.rows && a.columns == b.columns; }

/* A point and a panel: squares of neighbouring sizes of the same depth at a time. */
static void multiply_sizes(const winograd *op, const squares *list, int64_t point, const float *u, gm_panel panel,
                           const float *bias, float *m) {
    gm_run run[MOST_STRANDS];
    for (int size = 0, end; size < SIZES; size = end) {
        strands_of_size at = strands_of(op->of, size, point);
        for (end = size + 1; end < SIZES && are_same(strands_of(op->of, end, point), at);) end++;
        int64_t runs = list_runs(op, at, run);
        range of = {list->begin[size], list->begin[end]};
        if (runs) multiply(op, point, of, u, run, runs, panel, v_panel(op, 0, panel), bias, m + panel.first);
    }
}

/* That of 1 along both axes, which all squares have, is part of all outputs, so the bias goes there. */
static bool takes_bias(const winograd *op, int64_t point) {
    enum { ONE = 2 };
    int64_t across = most_points(&op->of->columns);
    return op->epilogue.bias && point / across == ONE && point % across == ONE;
}

static void multiply_outputs(const winograd *op, const squares *list, const float *u, float *m) {
    for (int64_t point = 0; point < op->points; point++)
        for (int64_t index = 0; index < op->panels; index++) {
            gm_panel panel = panel_at(op, index);
            float bias[GM_WIDEST_PANEL] = {0};
            bool biased = takes_bias(op, point);
            if (biased) memcpy(bias, op->epilogue.bias + panel.first, (size_t)panel.columns * sizeof *bias);
            multiply_sizes(op, list, point, u, panel, biased ? bias : NULL, m);
        }
}

static void fold_squares(const winograd *op, const squares *list, const float *m) {
    int64_t place[MOST_PLACES];
    float *to[MOST_PLACES];
    for (int64_t k = 0; k < list->count; k++, m += m_row(op)) {
        gm_square square = transform_of_places(op->of, list->at[k], op->block * m_row(op));
        int64_t count = list_places(op->of, list->at[k], place);
        list_targets(count, place, op->y, op->out, NULL, to);
        op->kernels->winograd_fold(&square, op->out, m, false, to);
        for (int64_t t = 0; t < count; t++)
            gm_end_values(op->kernels, &op->epilogue, place[t] * op->out, op->out, op->y);
    }
}

static void block_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t all = op->N * squares_of_image(op->of), first = all * index / op->blocks;
    float *u = slot(op), *m = u + op->points * op->block * operand_row(op->depth);
    squares list;
    list_squares(op->of, first, all * (index + 1) / op->blocks - first, &list);
    difference_windows(op, &list, u);
    multiply_outputs(op, &list, u, m);
    fold_squares(op, &list, m);
}

static void run_forward(winograd *op) {
    int64_t all = op->N * squares_of_image(op->of);
    op->blocks = max_of(ceil_div(all, op->block), min_of(WANTED_TASKS, ceil_div(all, LEAST_BLOCK)));
    op->blocks = min_of(all, round_up(op->blocks, 4)); /* as many for each of 2 or 4 threads */
    op->strands = strand_count(op->of);
    evaluate_weights(op);
    gm_parallel_for_slots(op->blocks, SLOTS, block_task, op);
}

/* ---- Adjoint ---- */

/* What a task makes: images first..end-1, by way of strands begin..stop-1. */
typedef struct share {
    int64_t first, end, begin, stop;
} share;

static share share_of(const winograd *op, int64_t task) {
    int64_t group = task / op->parts, part = task % op->parts;
    return (share){op->N * group / op->groups, op->N * (group + 1) / op->groups,
                   op->first_strand + op->strands * part / op->parts,
                   op->first_strand + op->strands * (part + 1) / op->parts};
}

static int64_t pixels_of_image(const winograd *op) { return op->of->g->H * op->of->g->W; }

/* Images begin as the bias, or zeros, to which all strands are added. */
static void start_images(void *context, int64_t first, int64_t count) {
    const winograd *op = context;
    int64_t pixels = count * pixels_of_image(op);
    float *at = op->y + first * pixels_of_image(op) * op->out;
    if (!op->epilogue.bias) memset(at, 0, (size_t)(pixels * op->out) * sizeof *at);
    for (int64_t i = 0; op->epilogue.bias && i < pixels; i++, at += op->out)
        memcpy(at, op->epilogue.bias, (size_t)op->out * sizeof *at);
}

static void end_images(void *context, int64_t first, int64_t count) {
    const winograd *op = context;
    int64_t pixels = pixels_of_image(op);
    gm_end_rows(op->kernels, &op->epilogue, first * pixels * op->out, count * pixels, op->out, op->out, op->y);
}

static void evaluate_squares(const winograd *op, const squares *list, float *u) {
    int64_t row = operand_row(op->depth), place[MOST_PLACES];
    const float *values[MOST_PLACES];
    for (int64_t k = 0; k < list->count; k++) {
        gm_square square = transform_of_places(op->of, list->at[k], op->block * row);
        list_values(list_places(op->of, list->at[k], place), place, op->x, op->in, NULL, values);
        op->kernels->winograd_evaluate(&square, op->in, values, u + k * row);
    }
}

static void spread_windows(const winograd *op, const squares *list, int64_t strand, gm_panel panel, const float *m,
                           float *nowhere) {
    int64_t pixel[MOST_PIXELS];
    float *to[MOST_PIXELS];
    for (int64_t k = 0; k < list->count; k++) {
        gm_square square = transform_of_window(op->of, strand, list->at[k], op->block * m_row(op));
        int64_t count = list_window(op->of, strand, list->at[k], pixel);
        list_targets(count, pixel, op->y + panel.first, op->out, nowhere, to);
        op->kernels->winograd_spread(&square, panel.columns, m + k * m_row(op), to);
    }
}

/* Squares first..first+count-1, through strands begin..stop-1. */
static void add_block(const winograd *op, const share *of, int64_t first, int64_t count) {
    float *u = slot(op), *m = u + op->points * op->block * operand_row(op->depth);
    float *nowhere = m + op->points * op->block * m_row(op);
    const gm_run run = {0, 0, op->depth};
    squares list;
    list_squares(op->of, first, count, &list);
    evaluate_squares(op, &list, u);
    memset(nowhere, 0, GM_WIDEST_PANEL * sizeof *nowhere);
    for (int64_t s = of->begin; s < of->stop; s++)
        for (int64_t index = 0; index < op->panels; index++) {
            gm_panel panel = panel_at(op, index);
            for (int64_t point = 0; point < op->points; point++)
                multiply(op, point, squares_at_point(op->of, &list, s, point), u, &run, 1, panel, v_panel(op, s, panel),
                         NULL, m);
            spread_windows(op, &list, s, panel, m, nowhere);
        }
}

/* Images in one block, or blocks of one image. */
static int64_t images_of_block(const winograd *op) { return max_of(1, op->block / squares_of_image(op->of)); }

static void share_task(void *context, int64_t index) {
    const winograd *op = context;
    share of = share_of(op, index);
    int64_t each = squares_of_image(op->of), images = images_of_block(op), blocks = ceil_div(images * each, op->block);
    if (!op->apart && of.begin == 0) start_images(context, of.first, of.end - of.first);
    for (int64_t n = of.first; n < of.end; n += images) {
        int64_t first = n * each, count = min_of(images, of.end - n) * each;
        for (int64_t i = 0; i < blocks; i++)
            add_block(op, &of, first + count * i / blocks, count * (i + 1) / blocks - count * i / blocks);
    }
    if (!op->apart && of.stop == strand_count(op->of)) end_images(context, of.first, of.end - of.first);
}

static void run_adjoint(winograd *op) {
    int64_t all = strand_count(op->of), most = strands_of_v(op->points, op->depth, op->out, all);
    op->groups = max_of(ceil_div(op->N, images_of_block(op)), min_of(WANTED_TASKS, op->N));
    op->groups = min_of(op->N, round_up(op->groups, 4));
    op->apart = op->groups < WANTED_TASKS && strands_are_phases(op->of) && most > 1;
    if (op->apart) gm_parallel_pieces(op->N, 1, start_images, op);
    for (; op->first_strand < all; op->first_strand += op->strands) {
        op->strands = min_of(most, all - op->first_strand);
        op->parts = op->apart ? op->strands : 1;
        evaluate_weights(op);
        gm_parallel_for_slots(op->groups * op->parts, SLOTS, share_task, op);
    }
    if (op->apart) gm_parallel_pieces(op->N, 1, end_images, op);
}

/* ---- Either ---- */

void gm_conv_winograd(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                      const gm_epilogue *epilogue, float *workspace) {
    grid of;
    if (!grid_of(g, &of)) return;
    winograd op = {.of = &of, .adjoint = adjoint, .N = N, .x = x, .w = w, .y = y, .epilogue = *epilogue};
    int64_t strands = strand_count(&of);
    op.kernels = gm_kernels_active();
    op.in = adjoint ? g->K : g->C, op.out = adjoint ? g->C : g->K;
    op.w_in = adjoint ? 1 : g->K, op.w_out = adjoint ? g->K : 1;
    op.depth = adjoint ? op.in : strands * op.in;
    op.panels = gm_panel_count(&op.kernels->tile, op.out);
    op.point_floats = op.depth * round_up(op.out, op.kernels->tile.vector);
    op.points = point_count(&of);
    op.block = most_in_block(op.points, op.depth, outputs_of_block(&op));
    op.zeros = workspace;
    op.v = op.zeros + op.in;
    op.slots = op.v + (adjoint ? strands_of_v(op.points, op.depth, op.out, strands) : 1) *
                          v_floats(op.points, op.depth, op.out);
    memset(op.zeros, 0, (size_t)op.in * sizeof *op.zeros);
    (adjoint ? run_adjoint : run_forward)(&op);
}

/* ---- What it takes, and where it pays ---- */

int64_t gm_conv_winograd_workspace(const gm_conv *g) {
    grid of;
    if (!grid_of(g, &of)) return 0;
    int64_t points = point_count(&of), strands = strand_count(&of), deep = strands * g->C;
    int64_t forward = v_floats(points, deep, g->K) + SLOTS * slot_floats(points, deep, g->K);
    int64_t adjoint = strands_of_v(points, g->K, g->C, strands) * v_floats(points, g->K, g->C) +
                      SLOTS * slot_floats(points, g->K, GM_WIDEST_PANEL);
    return max_of(g->C, g->K) + max_of(forward, adjoint);
}

bool gm_conv_winograd_fits(const gm_conv *g) {
    grid of;
    return grid_of(g, &of);
}

/* The definition's products for each one that is left, where the transforms cost as many as so many channels of the map do,
 * and of the image in all strands. (An estimate, from 33 layers of 16 to 256 channels.) */
static double saving(const gm_conv *g) {
    enum { TRANSFORM = 28 };
    grid of;
    if (!grid_of(g, &of)) return 0;
    double products = (double)(products_of_image(&of) * g->C * g->K);
    double transforms = TRANSFORM / (double)g->K + TRANSFORM / (double)(g->C * strand_count(&of));
    return (double)gm_conv_products(g) / (products * (1 + transforms));
}

/* Where less is saved, they are as fast as without or slower; weights' gradients, which lose more on small maps without, gain
 * sooner. */
bool gm_conv_winograd_pays(const gm_conv *g) { return saving(g) >= 1.08; }
bool gm_conv_winograd_weights_pay(const gm_conv *g) { return saving(g) >= 1; }
