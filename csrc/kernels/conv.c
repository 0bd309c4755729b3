/* Convolutions lowered onto register tiles, with no patch buffer between.
 *
 * Forward and input gradient are one algorithm, the gathering product. In NHWC the taps of one kernel row that fall
 * inside the image are one contiguous run of (taps * channels) floats, in the image and, packed in the same order, in
 * the weights. So an output value is a sum over at most R runs; taps that fall on padding are simply not in the list.
 * The input gradient of a stride-s convolution is s * s such gathers of stride 1, one for each output phase (row mod s,
 * column mod s) with the taps of that phase in falling order: it multiplies no inserted zeros.
 *
 * A tile is a few output values times a panel of output channels. All its rows must share one list of runs, so they
 * lie either along an output row, over positions whose taps are the same (memory is then read and written in order:
 * 1.2 to 1.9 times faster where the sums are short), or over the images of the batch at one position (edges, small
 * maps). Either way each value is summed in the same order, so results do not depend on the batch around it.
 *
 * The work is cut into bands (a group of images, an output row of one row phase) whose input stays in the L2 cache
 * while one packed panel after the other is multiplied with it. */
#include "kernels/conv.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/parallel.h"
#include "kernels/table.h"

enum {
    BAND_FLOATS = 192 * 1024, /* input floats in a band: 768 KB of the 2 MB L2 */
    L1_FLOATS = 8 * 1024,     /* packed weights that stay in the L1 beside the images: 32 KB */
    WANTED_TASKS = 16         /* enough pieces to share out; a constant, never the number of threads */
};

static int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* ---- one axis of a gather ------------------------------------------------------------------------------------- */

/* Output j (0..count-1) sits at start + j * out_step and reads input j * step - pad + t for taps t in 0..taps-1;
 * tap t is kernel index first_tap + t * tap_step. */
typedef struct axis {
    int64_t taps, step, pad, in_size, count, start, out_step, first_tap, tap_step;
} axis;

static axis forward_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t in_size, int64_t out_size) {
    return (axis){kernel, stride, pad, in_size, out_size, 0, 1, 0, 1};
}

/* Phase `phase` of the adjoint: image positions phase, phase + stride, ... gather from the map. */
static axis adjoint_axis(int64_t phase, int64_t kernel, int64_t stride, int64_t pad, int64_t image_size,
                         int64_t map_size) {
    int64_t first = (phase + pad) % stride, base = (phase + pad) / stride;
    int64_t taps = first < kernel ? ceil_div(kernel - first, stride) : 0;
    return (axis){taps,
                  1,
                  taps - 1 - base,
                  map_size,
                  image_size > phase ? ceil_div(image_size - phase, stride) : 0,
                  phase,
                  stride,
                  first + stride * (taps - 1),
                  -stride};
}

static int64_t input_of(const axis *x, int64_t j) { return j * x->step - x->pad; }
static int64_t tap_begin(const axis *x, int64_t j) { return min_of(x->taps, max_of(0, -input_of(x, j))); }
static int64_t tap_end(const axis *x, int64_t j) {
    return max_of(tap_begin(x, j), min_of(x->taps, x->in_size - input_of(x, j)));
}

/* The first j' > j whose taps differ from j's. */
static int64_t same_taps_until(const axis *x, int64_t j) {
    int64_t next = j + 1;
    while (next < x->count && tap_begin(x, next) == tap_begin(x, j) && tap_end(x, next) == tap_end(x, j)) next++;
    return next;
}

/* ---- the gathering product ------------------------------------------------------------------------------------ */

typedef struct phase {
    axis rows, columns;
    int64_t depth;       /* length of the sum: taps * channels */
    const float *packed; /* its weights */
} phase;

typedef struct gather {
    const gm_kernels *kernels;
    int64_t N, in_channels, out_channels, panels;
    int64_t in_row, in_image, out_row, out_image; /* strides in floats */
    int64_t kernel_columns, w_tap, w_in, w_out;   /* weight at (r*kernel_columns + s)*w_tap + in*w_in + out*w_out */
    bool dot;                                     /* few output channels: weights packed as (out, depth) */
    int64_t row_phases, column_phases;
    int64_t group, groups, bands; /* images a group, groups, output rows a phase at most */
    int64_t panel_parts;
    const gm_conv *g;
    bool adjoint;
    const float *x, *w;
    float *y, *packed;
    gm_epilogue epilogue;
    float slope; /* the activation as the tile applies it; 1: not at all */
} gather;

/* The axis of phase `index`: rows or columns. */
static axis axis_of(const gather *op, bool rows, int64_t index) {
    const gm_conv *g = op->g;
    if (rows)
        return op->adjoint ? adjoint_axis(index, g->R, g->stride_h, g->pad_top, g->H, g->P)
                           : forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P);
    return op->adjoint ? adjoint_axis(index, g->S, g->stride_w, g->pad_left, g->W, g->Q)
                       : forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
}

static int64_t packed_columns(const gather *op) {
    return op->dot ? op->out_channels : op->panels * op->kernels->tile.panel;
}

/* Taps of the phases before `index`. Every kernel row (column) belongs to one phase, so all have R (S) together. */
static int64_t taps_before(const gather *op, bool rows, int64_t index) {
    int64_t taps = 0;
    for (int64_t i = 0; i < index; i++) taps += axis_of(op, rows, i).taps;
    return taps;
}

static phase phase_of(const gather *op, int64_t index) {
    int64_t row = index / op->column_phases, column = index % op->column_phases;
    phase ph = {axis_of(op, true, row), axis_of(op, false, column), 0, NULL};
    ph.depth = ph.rows.taps * ph.columns.taps * op->in_channels;
    int64_t before = taps_before(op, true, row) * op->g->S + ph.rows.taps * taps_before(op, false, column);
    ph.packed = op->packed + before * op->in_channels * packed_columns(op);
    return ph;
}

/* Weights (tap row, tap column, in, out) -> panels of (depth, panel width), zeros behind the last channel. */
static void pack_panel(const gather *op, const phase *ph, int64_t panel, float *to) {
    int64_t width = op->kernels->tile.panel, first = panel * width, columns = min_of(width, op->out_channels - first);
    for (int64_t ty = 0; ty < ph->rows.taps; ty++)
        for (int64_t tx = 0; tx < ph->columns.taps; tx++) {
            int64_t r = ph->rows.first_tap + ty * ph->rows.tap_step,
                    s = ph->columns.first_tap + tx * ph->columns.tap_step;
            const float *tap = op->w + (r * op->kernel_columns + s) * op->w_tap + first * op->w_out;
            for (int64_t c = 0; c < op->in_channels; c++, tap += op->w_in, to += width) {
                for (int64_t k = 0; k < columns; k++) to[k] = tap[k * op->w_out];
                for (int64_t k = columns; k < width; k++) to[k] = 0.0f;
            }
        }
}

static void pack_dot(const gather *op, const phase *ph, float *to) {
    for (int64_t k = 0; k < op->out_channels; k++)
        for (int64_t ty = 0; ty < ph->rows.taps; ty++)
            for (int64_t tx = 0; tx < ph->columns.taps; tx++) {
                int64_t r = ph->rows.first_tap + ty * ph->rows.tap_step;
                int64_t s = ph->columns.first_tap + tx * ph->columns.tap_step;
                const float *tap = op->w + (r * op->kernel_columns + s) * op->w_tap + k * op->w_out;
                for (int64_t c = 0; c < op->in_channels; c++) *to++ = tap[c * op->w_in];
            }
}

static void pack_task(void *context, int64_t index) {
    const gather *op = context;
    phase ph = phase_of(op, index / op->panels);
    int64_t panel = index % op->panels;
    if (op->dot)
        pack_dot(op, &ph, (float *)ph.packed);
    else
        pack_panel(op, &ph, panel, (float *)ph.packed + panel * ph.depth * op->kernels->tile.panel);
}

/* The runs of output position (i, j): where its taps lie in the image and in the packed weights. */
static int64_t list_runs(const gather *op, const phase *ph, int64_t i, int64_t j, gm_run runs[GM_MAX_KERNEL]) {
    int64_t x0 = tap_begin(&ph->columns, j), x1 = tap_end(&ph->columns, j), count = 0;
    if (x0 == x1) return 0;
    for (int64_t t = tap_begin(&ph->rows, i); t < tap_end(&ph->rows, i); t++)
        runs[count++] = (gm_run){
            .a = (input_of(&ph->rows, i) + t) * op->in_row + (input_of(&ph->columns, j) + x0) * op->in_channels,
            .b = (t * ph->columns.taps + x0) * op->in_channels,
            .length = (x1 - x0) * op->in_channels,
        };
    return count;
}

/* What the tile itself does not do, while its output is still in the L1 cache. */
static void finish_rows(const gather *op, int64_t rows, int64_t columns, float *out, int64_t stride) {
    const gm_epilogue *e = &op->epilogue;
    bool curved = e->act.kind == GM_TANH || e->act.kind == GM_SIGMOID;
    for (int64_t m = 0; m < rows && (curved || e->gate); m++) {
        float *row = out + m * stride;
        if (curved) op->kernels->activate(e->act, columns, row, row);
        if (e->gate) op->kernels->activate_backward(e->gate_act, columns, e->gate + (row - op->y), row, row);
    }
}

/* `rows` outputs in steps of a_stride and out_stride, in tiles. */
static void multiply(const gather *op, const phase *ph, int64_t panel, int64_t runs, const gm_run *run, int64_t rows,
                     const float *a, int64_t a_stride, float *out, int64_t out_stride) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t channel = panel * tile->panel, columns = min_of(tile->panel, op->out_channels - channel);
    int64_t most = op->dot ? tile->dot_rows : tile->rows, tiles = ceil_div(rows, most);
    float bias[64] = {0}; /* the last panel's bias, whole */
    const float *at_bias = op->epilogue.bias ? op->epilogue.bias + channel : NULL;
    if (at_bias && columns < tile->panel && !op->dot) {
        for (int64_t k = 0; k < columns; k++) bias[k] = at_bias[k];
        at_bias = bias;
    }
    const float *packed = op->dot ? ph->packed : ph->packed + channel * ph->depth;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = rows * t / tiles, m = rows * (t + 1) / tiles - first; /* even tiles: no thin last one */
        const float *left = a + first * a_stride;
        float *to = out + channel + first * out_stride;
        if (op->dot)
            op->kernels->dot_tile(m, columns, runs, run, left, a_stride, packed, ph->depth, at_bias, op->slope, to,
                                  out_stride);
        else
            op->kernels->rows_tile(m, columns, runs, run, left, a_stride, packed, at_bias, op->slope, to, out_stride);
        finish_rows(op, m, columns, to, out_stride);
    }
}

/* Whether n images of `width` positions with equal taps make tiles along the row: unless those would be much thinner. */
static bool along_row(const gather *op, int64_t width, int64_t n) {
    int64_t most = op->dot ? op->kernels->tile.dot_rows : op->kernels->tile.rows;
    return 4 * n * ceil_div(width, most) <= 5 * width * ceil_div(n, most);
}

/* Consecutive panels of output channels, and consecutive images. */
typedef struct block {
    int64_t panel0, panel1, n0, n1;
} block;

/* One output row of one phase. */
static void gather_row(const gather *op, const phase *ph, int64_t i, const block *of) {
    gm_run runs[GM_MAX_KERNEL];
    const axis *columns = &ph->columns;
    int64_t images = of->n1 - of->n0;
    const float *x = op->x + of->n0 * op->in_image;
    float *out_row = op->y + of->n0 * op->out_image + (ph->rows.start + i * ph->rows.out_step) * op->out_row;
    for (int64_t j = 0, next; j < columns->count; j = next) {
        int64_t count = list_runs(op, ph, i, j, runs);
        float *out = out_row + (columns->start + j * columns->out_step) * op->out_channels;
        next = same_taps_until(columns, j);
        if (!along_row(op, next - j, images)) {
            for (int64_t panel = of->panel0; panel < of->panel1; panel++)
                multiply(op, ph, panel, count, runs, images, x, op->in_image, out, op->out_image);
            next = j + 1;
            continue;
        }
        for (int64_t n = 0; n < images; n++)
            for (int64_t panel = of->panel0; panel < of->panel1; panel++)
                multiply(op, ph, panel, count, runs, next - j, x + n * op->in_image, columns->step * op->in_channels,
                         out + n * op->out_image, columns->out_step * op->out_channels);
    }
}

/* One band: both read the same input rows, so the column phases follow each other. Panels that fit the L1 together
 * are taken together, which writes the output in order; larger ones one by one, which reads each from the L2. */
static void gather_task(void *context, int64_t index) {
    const gather *op = context;
    int64_t part = index % op->panel_parts, i = index / op->panel_parts % op->bands;
    int64_t row_phase = index / op->panel_parts / op->bands % op->row_phases;
    int64_t n0 = index / op->panel_parts / op->bands / op->row_phases * op->group, n1 = min_of(op->N, n0 + op->group);
    int64_t first = op->panels * part / op->panel_parts, last = op->panels * (part + 1) / op->panel_parts;
    for (int64_t column_phase = 0; column_phase < op->column_phases; column_phase++) {
        phase ph = phase_of(op, row_phase * op->column_phases + column_phase);
        if (i >= ph.rows.count) return;
        int64_t together = max_of(1, L1_FLOATS / max_of(1, ph.depth * op->kernels->tile.panel));
        for (int64_t panel = first; panel < last; panel += together)
            gather_row(op, &ph, i, &(block){panel, min_of(last, panel + together), n0, n1});
    }
}

/* How many images share a band: as many as keep its input in the L2, in whole tiles, and leave work for every thread. */
static void plan_gather(gather *op) {
    axis rows = axis_of(op, true, 0);
    int64_t tile = op->kernels->tile.rows, band = max_of(1, min_of(rows.taps, rows.in_size) * op->in_row);
    op->bands = rows.count;
    op->group = max_of(tile, BAND_FLOATS / band / tile * tile);
    int64_t others = op->bands * op->row_phases;
    while (op->group > tile && ceil_div(op->N, op->group) * others < WANTED_TASKS) op->group -= tile;
    op->groups = ceil_div(op->N, op->group);
    int64_t tasks = op->groups * others;
    op->panel_parts = tasks >= WANTED_TASKS ? 1 : min_of(op->panels, ceil_div(4 * WANTED_TASKS, tasks));
}

static void run_gather(gather *op, const gm_epilogue *epilogue) {
    op->kernels = gm_kernels_active();
    op->dot = op->out_channels <= GM_DOT_COLUMNS;
    op->panels = op->dot ? 1 : ceil_div(op->out_channels, op->kernels->tile.panel);
    if (epilogue) op->epilogue = *epilogue;
    op->slope = op->epilogue.act.kind == GM_LEAKY_RELU ? op->epilogue.act.slope : 1.0f;
    plan_gather(op);
    int64_t phases = op->row_phases * op->column_phases;
    gm_parallel_for(phases * op->panels, pack_task, op);
    gm_parallel_for(op->groups * op->row_phases * op->bands * op->panel_parts, gather_task, op);
}

void gm_conv_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y, const gm_epilogue *epilogue,
                     float *workspace) {
    gather op = {.g = g,
                 .adjoint = false,
                 .N = N,
                 .in_channels = g->C,
                 .out_channels = g->K,
                 .x = x,
                 .w = w,
                 .y = y,
                 .in_row = g->W * g->C,
                 .in_image = g->H * g->W * g->C,
                 .out_row = g->Q * g->K,
                 .out_image = g->P * g->Q * g->K,
                 .kernel_columns = g->S,
                 .w_tap = g->C * g->K,
                 .w_in = g->K,
                 .w_out = 1,
                 .row_phases = 1,
                 .column_phases = 1,
                 .packed = workspace};
    run_gather(&op, epilogue);
}

void gm_conv_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                           const gm_epilogue *epilogue, float *workspace) {
    gather op = {.g = g,
                 .adjoint = true,
                 .N = N,
                 .in_channels = g->K,
                 .out_channels = g->C,
                 .x = dy,
                 .w = w,
                 .y = dx,
                 .in_row = g->Q * g->K,
                 .in_image = g->P * g->Q * g->K,
                 .out_row = g->W * g->C,
                 .out_image = g->H * g->W * g->C,
                 .kernel_columns = g->S,
                 .w_tap = g->C * g->K,
                 .w_in = 1,
                 .w_out = g->K,
                 .row_phases = g->stride_h,
                 .column_phases = g->stride_w,
                 .packed = workspace};
    run_gather(&op, epilogue);
}

/* ---- weight gradients ------------------------------------------------------------------------------------------
 *
 * dw[r, s, c, k] = sum over images and positions of x[.., p*sh + r - top, q*sw + s - left, c] * dy[.., p, q, k].
 * For one kernel row r and a range of output columns q with the same valid taps, (s, c) is again one contiguous run:
 * blocks of it times panels of k are register tiles that sweep over a rectangle of places. Images are taken in chunks
 * that keep both sides in the L2; each chunk's sums start at zero, which keeps long sums accurate. On large maps the
 * images are split into a fixed number of parts with a buffer each, added up in order, so that each part is read once;
 * on small maps, where the weights are the larger side, the weights are shared out instead. */

enum { CHUNK_FLOATS = 192 * 1024, CHUNK_PLACES = 2048, MOST_SPLITS = 16, SPLIT_FLOATS = 2 << 20, RUN_PART = 240 };

typedef struct weight_gradient {
    const gm_kernels *kernels;
    const gm_conv *g;
    int64_t N, splits, row_parts, run_parts, column_parts;
    bool swapped; /* few map channels: their values are the broadcast side, results (K, R*S*C) */
    const float *x, *dy;
    float *parts, *dw;
} weight_gradient;

static int64_t weight_count(const gm_conv *g) { return g->R * g->S * g->C * g->K; }

/* The split of the work depends on the shape alone, so the order of the sums does too. */
static void plan_weight_gradient(weight_gradient *op) {
    const gm_conv *g = op->g;
    bool large_map = g->P * g->Q >= 16;
    op->swapped = g->K <= GM_DOT_COLUMNS;
    int64_t panels = op->swapped ? 1 : ceil_div(g->K, op->kernels->tile.outer_columns);
    int64_t most_splits = min_of(min_of(MOST_SPLITS, op->N), SPLIT_FLOATS / weight_count(g));
    op->splits = large_map ? max_of(1, most_splits) : 1;
    op->row_parts = op->splits * 2 >= WANTED_TASKS ? 1 : g->R;
    int64_t tasks = op->splits * op->row_parts;
    op->column_parts = large_map ? min_of(panels, ceil_div(WANTED_TASKS, tasks)) : panels;
    op->run_parts = large_map ? 1 : ceil_div(g->S * g->C, RUN_PART);
}

static float *part_of(const weight_gradient *op, int64_t split) {
    bool direct = op->splits == 1 && !op->swapped;
    return direct ? op->dw : op->parts + split * weight_count(op->g);
}

/* Kernel row r, taps and channels k0..k1-1 of its run, at output rows p0.., columns q0.., as tiles. */
static void sweep_block(const weight_gradient *op, const gm_sweep *sweep, const float *x, const float *dy, float *out,
                        int64_t run, int64_t columns) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t K = op->g->K;
    if (op->swapped) {
        gm_sweep other = {sweep->N,   sweep->I,   sweep->J,   sweep->y_n, sweep->y_i,
                          sweep->y_j, sweep->x_n, sweep->x_i, sweep->x_j};
        int64_t stride = weight_count(op->g) / K;
        for (int64_t t = 0; t < run; t += tile->outer_columns)
            op->kernels->outer_tile(columns, min_of(tile->outer_columns, run - t), &other, dy, x + t, out + t, stride);
        return;
    }
    int64_t tiles = ceil_div(run, tile->outer_rows);
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = run * t / tiles, m = run * (t + 1) / tiles - first;
        op->kernels->outer_tile(m, columns, sweep, x + first, dy, out + first * K, K);
    }
}

/* Kernel row r of the images n0..n1-1, for run values k0..k1-1 and map channels c0.. of one panel. */
static void accumulate_row(const weight_gradient *op, int64_t r, int64_t n0, int64_t n1, int64_t k0, int64_t k1,
                           int64_t c0, int64_t columns, float *out) {
    const gm_conv *g = op->g;
    axis rows = forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P);
    axis across = forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    int64_t p0 = 0, p1 = g->P;
    while (p0 < p1 && input_of(&rows, p0) + r < 0) p0++;
    while (p1 > p0 && input_of(&rows, p1 - 1) + r >= g->H) p1--;
    for (int64_t q = 0, next; q < g->Q; q = next) {
        next = same_taps_until(&across, q);
        int64_t from = max_of(k0, tap_begin(&across, q) * g->C), to = min_of(k1, tap_end(&across, q) * g->C);
        if (from >= to || p0 == p1) continue;
        gm_sweep sweep = {n1 - n0,
                          p1 - p0,
                          next - q,
                          g->H * g->W * g->C,
                          g->stride_h * g->W * g->C,
                          g->stride_w * g->C,
                          g->P * g->Q * g->K,
                          g->Q * g->K,
                          g->K};
        int64_t x_row = input_of(&rows, p0) + r, x_column = input_of(&across, q);
        const float *x = op->x + n0 * sweep.x_n + (x_row * g->W + x_column) * g->C + from;
        const float *dy = op->dy + n0 * sweep.y_n + p0 * sweep.y_i + q * sweep.y_j + c0;
        int64_t at = r * g->S * g->C + from;
        sweep_block(op, &sweep, x, dy, op->swapped ? out + at : out + at * g->K + c0, to - from, columns);
    }
}

static void weight_task(void *context, int64_t index) {
    const weight_gradient *op = context;
    const gm_conv *g = op->g;
    int64_t column_part = index % op->column_parts, run_part = index / op->column_parts % op->run_parts;
    int64_t row_part = index / op->column_parts / op->run_parts % op->row_parts;
    int64_t split = index / op->column_parts / op->run_parts / op->row_parts;
    int64_t r0 = g->R * row_part / op->row_parts, r1 = g->R * (row_part + 1) / op->row_parts;
    int64_t run = g->S * g->C, k0 = run * run_part / op->run_parts, k1 = run * (run_part + 1) / op->run_parts;
    int64_t panel = op->swapped ? GM_DOT_COLUMNS : op->kernels->tile.outer_columns, panels = ceil_div(g->K, panel);
    int64_t c0 = panels * column_part / op->column_parts, c1 = panels * (column_part + 1) / op->column_parts;
    int64_t first = op->N * split / op->splits, last = op->N * (split + 1) / op->splits;
    int64_t floats = g->H * g->W * g->C + g->P * g->Q * g->K;
    int64_t chunk = max_of(1, min_of(CHUNK_FLOATS / floats, CHUNK_PLACES / (g->P * g->Q)));
    for (int64_t n = first; n < last; n += chunk)
        for (int64_t c = c0; c < c1; c++)
            for (int64_t r = r0; r < r1; r++)
                accumulate_row(op, r, n, min_of(last, n + chunk), k0, k1, c * panel, min_of(panel, g->K - c * panel),
                               part_of(op, split));
}

enum { ADD_PIECE = 4096 };

static void clear_task(void *context, int64_t index) {
    const weight_gradient *op = context;
    int64_t total = op->splits * weight_count(op->g), end = min_of(total, (index + 1) * ADD_PIECE);
    for (int64_t i = index * ADD_PIECE; i < end; i++) op->parts[i] = 0.0f;
}

/* dw += the splits' buffers, in their order. */
static void add_task(void *context, int64_t index) {
    const weight_gradient *op = context;
    int64_t count = weight_count(op->g), K = op->g->K, rows = count / K, end = min_of(count, (index + 1) * ADD_PIECE);
    for (int64_t i = index * ADD_PIECE; i < end; i++) {
        int64_t at = op->swapped ? i % K * rows + i / K : i;
        float sum = 0.0f;
        for (int64_t split = 0; split < op->splits; split++) sum += op->parts[split * count + at];
        op->dw[i] += sum;
    }
}

void gm_conv_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw,
                              float *workspace) {
    weight_gradient op = {
        .kernels = gm_kernels_active(), .g = g, .N = N, .x = x, .dy = dy, .dw = dw, .parts = workspace};
    plan_weight_gradient(&op);
    int64_t count = weight_count(g);
    bool direct = op.splits == 1 && !op.swapped;
    if (!direct) gm_parallel_for(ceil_div(op.splits * count, ADD_PIECE), clear_task, &op);
    gm_parallel_for(op.splits * op.row_parts * op.run_parts * op.column_parts, weight_task, &op);
    if (!direct) gm_parallel_for(ceil_div(count, ADD_PIECE), add_task, &op);
}

int64_t gm_conv_workspace(const gm_conv *g) {
    int64_t widest = 64; /* no panel of any instruction set is wider */
    int64_t depth_forward = g->R * g->S * g->C, depth_backward = g->R * g->S * g->K;
    int64_t forward = depth_forward * ceil_div(g->K, widest) * widest;
    int64_t backward = depth_backward * ceil_div(g->C, widest) * widest;
    weight_gradient op = {.kernels = gm_kernels_active(), .g = g, .N = MOST_SPLITS};
    plan_weight_gradient(&op);
    return max_of(max_of(forward, backward), op.splits * weight_count(g));
}
