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
 * while one packed panel after the other is multiplied with it. Weight gradients are in conv_weights.c. */
#include "kernels/conv_gather.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/epilogue.h"

enum {
    BAND_FLOATS = 24 * 1024,  /* input floats in a band: 96 KB, of an L2 of 1 or 2 MB */
    PANEL_FLOATS = 64 * 1024, /* of a panel: 256 KB, which stay in the L2 beside a band */
    PAGE_FLOATS = 1024,
    L1_FLOATS = 8 * 1024 /* packed weights that stay in the L1 beside the images: 32 KB */
};

typedef struct phase {
    axis rows, columns;
    int64_t depth; /* what is packed for a channel: parts * taps * channels */
    float *packed; /* its weights */
} phase;

typedef struct gather {
    const gm_kernels *kernels;
    gm_tile_sizes tile;
    int64_t N, in_channels, out_channels, panels;
    int64_t in_row, in_image, out_row, out_image; /* strides in values */
    int64_t kernel_columns, w_tap, w_in, w_out;   /* weight at (r*kernel_columns + s)*w_tap + in*w_in + out*w_out */
    int64_t parts, x_plane, w_plane;              /* of the operands; how far apart these are */
    bool dot;                                     /* vectors along the sums: weights packed as (out, depth) */
    int64_t row_phases, column_phases;
    int64_t group, groups, bands; /* images a group, groups, output rows a phase at most */
    int64_t panel_parts;
    const gm_conv *g;
    bool adjoint, bordered; /* images of x have a border */
    const float *x, *w;
    float *y, *packed;
    bool y_pairs; /* y and the gate are arrays in pairs */
    gm_epilogue epilogue;
    float slope;        /* the activation as the tile applies it; 1: not at all */
    bool gates_in_tile; /* so the gate too */
    gm_epilogue rest;   /* what the tile leaves */
    bool streams;       /* the tile leaves nothing, which would have to read again what it wrote */
} gather;

/* The axis of phase `index`: rows or columns. */
static axis axis_of(const gather *op, bool rows, int64_t index) {
    const gm_conv *g = op->g;
    axis at;
    if (rows)
        at = op->adjoint ? adjoint_axis(index, g->R, g->stride_h, g->pad_top, g->H, g->P)
                         : forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P);
    else
        at = op->adjoint ? adjoint_axis(index, g->S, g->stride_w, g->pad_left, g->W, g->Q)
                         : forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    at.bordered = op->bordered;
    return at;
}

static gm_panel panel_at(const gather *op, int64_t index) { return gm_panel_at(&op->tile, op->out_channels, index); }

static int64_t packed_columns(const gather *op) {
    gm_panel last = panel_at(op, op->panels - 1);
    return op->dot ? op->out_channels : last.first + last.width;
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
    ph.depth = op->parts * ph.rows.taps * ph.columns.taps * op->in_channels;
    int64_t before = taps_before(op, true, row) * op->g->S + ph.rows.taps * taps_before(op, false, column);
    ph.packed = op->packed + op->parts * before * op->in_channels * packed_columns(op);
    return ph;
}

/* Where a tap lies in a part of the weights. */
static const float *tap_at(const gather *op, const phase *ph, int64_t part, int64_t ty, int64_t tx) {
    int64_t r = ph->rows.first_tap + ty * ph->rows.tap_step, s = ph->columns.first_tap + tx * ph->columns.tap_step;
    return op->w + part * op->w_plane + (r * op->kernel_columns + s) * op->w_tap;
}

void gm_conv_pack_tap(const gm_tap *tap, int64_t channels, gm_panel outputs, float *to, int64_t row) {
    if (tap->in == 1) {
        const float *of_output[GM_WIDEST_PANEL];
        for (int64_t k = 0; k < outputs.columns; k++) of_output[k] = tap->at + k * tap->out;
        gm_kernels_active()->turn(outputs.columns, channels, of_output, to, row);
    } else {
        for (int64_t c = 0; c < channels; c++)
            for (int64_t k = 0; k < outputs.columns; k++) to[c * row + k] = tap->at[c * tap->in + k * tap->out];
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t k = outputs.columns; k < outputs.width; k++) to[c * row + k] = 0.0f;
}

/* Weights (part, tap row, tap column, in, out) -> panels of (depth, width). */
static void pack_panel(const gather *op, const phase *ph, gm_panel panel, float *to) {
    for (int64_t part = 0; part < op->parts; part++)
        for (int64_t ty = 0; ty < ph->rows.taps; ty++)
            for (int64_t tx = 0; tx < ph->columns.taps; tx++) {
                gm_tap tap = {tap_at(op, ph, part, ty, tx) + panel.first * op->w_out, op->w_in, op->w_out};
                gm_conv_pack_tap(&tap, op->in_channels, panel, to, panel.width);
                to += op->in_channels * panel.width;
            }
}

static void pack_dot(const gather *op, const phase *ph, float *to) {
    for (int64_t k = 0; k < op->out_channels; k++)
        for (int64_t ty = 0; ty < ph->rows.taps; ty++)
            for (int64_t tx = 0; tx < ph->columns.taps; tx++) {
                const float *tap = tap_at(op, ph, 0, ty, tx) + k * op->w_out;
                for (int64_t c = 0; c < op->in_channels; c++) *to++ = tap[c * op->w_in];
            }
}

static void pack_task(void *context, int64_t index) {
    const gather *op = context;
    phase ph = phase_of(op, index / op->panels);
    gm_panel panel = panel_at(op, index % op->panels);
    if (op->dot)
        pack_dot(op, &ph, ph.packed);
    else
        pack_panel(op, &ph, panel, ph.packed + panel.first * ph.depth);
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

/* Most rows of a tile of the first panel; the others are about as wide. */
static int64_t most_rows(const gather *op) {
    const gm_tile_sizes *tile = &op->tile;
    return op->dot ? tile->dot_rows : gm_tile_rows(tile, panel_at(op, 0).columns);
}

/* Outputs from value `out` of y on, in tiles of these rows. */
static void multiply(const gather *op, const phase *ph, gm_panel panel, int64_t runs, const gm_run *run,
                     const gm_rows *rows, const float *a, int64_t out) {
    const gm_tile_sizes *tile = &op->tile;
    int64_t most = op->dot ? tile->dot_rows : gm_tile_rows(tile, panel.columns), tiles = ceil_div(rows->count, most);
    float bias[GM_WIDEST_PANEL] = {0}; /* the last panel's bias, whole */
    const float *at_bias = op->epilogue.bias ? op->epilogue.bias + panel.first : NULL;
    if (at_bias && panel.columns < panel.width && !op->dot) {
        for (int64_t k = 0; k < panel.columns; k++) bias[k] = at_bias[k];
        at_bias = bias;
    }
    const float *packed = ph->packed + panel.first * ph->depth;
    gm_low_parts low = {0};
    if (op->parts > 1) low = (gm_low_parts){op->x_plane, ph->depth / op->parts * panel.width};
    gm_tile_end end = {.bias = at_bias,
                       .slope = op->slope,
                       .gate_slope = op->epilogue.gate_act.slope,
                       .streams = op->streams,
                       .pairs = op->y_pairs};
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = rows->count * t / tiles; /* even tiles: no thin last one */
        gm_rows in = *rows;
        in.count = rows->count * (t + 1) / tiles - first;
        const float *left = a + first * in.a_stride;
        int64_t at = gm_words(out + panel.first + first * in.out_stride, op->y_pairs);
        float *to = op->y + at;
        if (op->gates_in_tile) end.gate = op->epilogue.gate + at;
        if (op->dot)
            op->kernels->dot_tile(&in, panel.columns, runs, run, left, packed, ph->depth, at_bias, op->slope, to);
        else
            op->kernels->rows_tile(&in, panel.columns, runs, run, left, packed, low, &end, to);
    }
    for (int64_t set = 0; set < rows->sets; set++) { /* what the tiles leave, while it is in the L1 */
        int64_t at = gm_words(out + panel.first + set * rows->out_set, op->y_pairs);
        gm_end_rows(op->kernels, &op->rest, at, rows->count, rows->out_stride, panel.columns, op->y);
    }
}

/* Whether n images of `width` positions with equal taps make tiles along the row: unless those would be much thinner. */
static bool along_row(const gather *op, int64_t width, int64_t n) {
    if (op->bordered) return true;
    int64_t most = most_rows(op);
    return 4 * n * ceil_div(width, most) <= 5 * width * ceil_div(n, most);
}

/* Consecutive panels of output channels, and consecutive images. */
typedef struct block {
    int64_t panel0, panel1, n0, n1;
    bool fresh; /* a band is read for the first time, in places of whole lines */
} block;

/* How far behind a tile's rows are that another reads soon: those of the next images; or, in the last one, where places
 * are seen one by one, the next 6 KB (7 x 7, 28 x 28 x 128 to 1 channel, which is such products of an image, see
 * conv_taps.h: 1.9 times as fast). */
static int64_t ahead_of(const gather *op, const phase *ph, const block *of, const gm_rows *rows, int64_t next) {
    enum { SOON = 1536 };
    if (!of->fresh) return 0;
    if (next < of->n1) return rows->sets * op->in_image;
    return ph->rows.taps * ph->columns.taps == 1 ? round_up(SOON, most_rows(op) * rows->a_stride) : 0;
}

/* One output row of one phase. */
static void gather_row(const gather *op, const phase *ph, int64_t i, const block *of) {
    gm_run runs[GM_MAX_KERNEL];
    const axis *columns = &ph->columns;
    int64_t images = of->n1 - of->n0;
    const float *x = op->x + of->n0 * op->in_image;
    int64_t out_row = of->n0 * op->out_image + (ph->rows.start + i * ph->rows.out_step) * op->out_row;
    for (int64_t j = 0, next; j < columns->count; j = next) {
        int64_t count = list_runs(op, ph, i, j, runs);
        int64_t out = out_row + (columns->start + j * columns->out_step) * op->out_channels;
        next = same_taps_until(columns, j);
        if (!along_row(op, next - j, images)) {
            gm_rows rows = {.count = images, .a_stride = op->in_image, .out_stride = op->out_image, .sets = 1};
            for (int64_t panel = of->panel0; panel < of->panel1; panel++)
                multiply(op, ph, panel_at(op, panel), count, runs, &rows, x, out);
            next = j + 1;
            continue;
        }
        /* Two images, a block each, where these are of the same taps because of their borders. */
        int64_t together = op->bordered && !op->dot && next - j <= op->tile.vector ? 2 : 1;
        for (int64_t n = 0; n < images; n += together) {
            gm_rows rows = {.count = next - j,
                            .a_stride = columns->step * op->in_channels,
                            .out_stride = columns->out_step * op->out_channels,
                            .sets = min_of(together, images - n),
                            .a_set = op->in_image,
                            .out_set = op->out_image};
            rows.ahead = ahead_of(op, ph, of, &rows, of->n0 + n + together);
            for (int64_t panel = of->panel0; panel < of->panel1; panel++, rows.ahead = 0)
                multiply(op, ph, panel_at(op, panel), count, runs, &rows, x + n * op->in_image,
                         out + n * op->out_image);
        }
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
        if (i >= ph.rows.count) break;
        int64_t together = max_of(1, L1_FLOATS / max_of(1, ph.depth * panel_at(op, 0).width));
        for (int64_t panel = first; panel < last; panel += together) {
            bool fresh = column_phase == 0 && panel == first && op->in_channels >= GM_LINE_FLOATS;
            gather_row(op, &ph, i, &(block){panel, min_of(last, panel + together), n0, n1, fresh});
        }
    }
    op->kernels->tiles_end();
}

/* How many images share a band: as many as keep its input in the L2, in whole tiles, and leave work for every thread. */
static void plan_gather(gather *op) {
    axis rows = axis_of(op, true, 0);
    int64_t tile = op->tile.rows, band = max_of(1, min_of(rows.taps, rows.in_size) * op->in_row);
    op->bands = rows.count;
    op->group = max_of(tile, BAND_FLOATS / band / tile * tile);
    int64_t others = op->bands * op->row_phases;
    while (op->group > tile && ceil_div(op->N, op->group) * others < WANTED_TASKS) op->group -= tile;
    op->groups = ceil_div(op->N, op->group);
    int64_t tasks = op->groups * others;
    op->panel_parts = tasks >= WANTED_TASKS ? 1 : min_of(op->panels, ceil_div(4 * WANTED_TASKS, tasks));
}

/* Wide panels, unless they are so deep that they crowd the L2. Images whole pages apart want wide ones all the same: the
 * many rows of a narrow tile would fall into one set of the L1. */
static gm_tile_sizes tile_for(const gather *op) {
    gm_tile_sizes tile = op->kernels->tile;
    int64_t depth = op->parts * op->in_channels * axis_of(op, true, 0).taps * axis_of(op, false, 0).taps;
    if (depth * tile.panel > PANEL_FLOATS && op->in_image % PAGE_FLOATS != 0) tile.panel = 2 * tile.vector;
    return tile;
}

/* Forward from image to map or, adjoint, from map to image; but for the arrays. */
static gather gather_of(const gm_conv *g, bool adjoint, int64_t N) {
    int64_t image_row = g->W * g->C, map_row = g->Q * g->K, image = g->H * image_row, map = g->P * map_row;
    return (gather){.g = g,
                    .adjoint = adjoint,
                    .N = N,
                    .in_channels = adjoint ? g->K : g->C,
                    .out_channels = adjoint ? g->C : g->K,
                    .in_row = adjoint ? map_row : image_row,
                    .in_image = adjoint ? map : image,
                    .out_row = adjoint ? image_row : map_row,
                    .out_image = adjoint ? image : map,
                    .kernel_columns = g->S,
                    .w_tap = g->C * g->K,
                    .w_in = adjoint ? 1 : g->K,
                    .w_out = adjoint ? g->K : 1,
                    .row_phases = adjoint ? g->stride_h : 1,
                    .column_phases = adjoint ? g->stride_w : 1};
}

/* Few output channels: whether vectors along the sums, each of which is added up at its end, take less time than vectors of
 * channels, of which they fill but a part. (3 x 3, 2 or 4 channels to 3: 1.3 to 1.8 times as fast by channels, 1 x 1, 8 to 4:
 * 2 times; 5 x 5, 4 to 1: 1.6 times along the sums.) */
static bool dots_pay(const gather *op) {
    enum { DOT_STEP = 5, CHANNEL_STEP = 3 }; /* what a step costs, in proportion */
    if (op->out_channels > GM_DOT_COLUMNS || op->parts > 1) return false;
    if (op->g->precision >= GM_BF16_PAIRS) return true; /* others would have too few columns to fill a block */
    int64_t vector = op->tile.vector, adding_up = vector / 2;
    int64_t runs = ceil_div(op->g->R, op->row_phases);
    int64_t run = ceil_div(op->g->S, op->column_phases) * op->in_channels;
    int64_t dots = op->out_channels * (runs * ceil_div(run, vector) + adding_up);
    return DOT_STEP * dots <= CHANNEL_STEP * runs * run;
}

/* What follows from the geometry, the same for any N. */
static void plan_panels(gather *op) {
    op->kernels = gm_kernels_for(op->g->precision);
    op->parts = parts_of(op->g);
    op->tile = tile_for(op);
    op->dot = dots_pay(op);
    op->panels = gm_panel_count(&op->tile, op->out_channels);
    op->w_plane = op->g->R * op->g->S * op->g->C * op->g->K;
}

/* How far the taps of an axis reach beyond its input, on either side. */
static int64_t reach(const axis *x) {
    if (!x->count || !x->taps) return 0;
    int64_t last = input_of(x, x->count - 1) + x->taps;
    return max_of(0, max_of(-input_of(x, 0), last - x->in_size));
}

gm_border gm_conv_gather_border(const gm_conv *g, bool adjoint) {
    gather op = gather_of(g, adjoint, 1);
    gm_border border = {0, 0};
    for (int64_t i = 0; i < op.row_phases; i++) {
        axis rows = axis_of(&op, true, i);
        border.rows = max_of(border.rows, reach(&rows));
    }
    for (int64_t i = 0; i < op.column_phases; i++) {
        axis columns = axis_of(&op, false, i);
        border.columns = max_of(border.columns, reach(&columns));
    }
    return border;
}

void gm_conv_gather_pack(const gm_conv *g, bool adjoint, const float *w, float *packed) {
    gather op = gather_of(g, adjoint, 1);
    plan_panels(&op);
    op.w = w;
    op.packed = packed;
    gm_parallel_for(op.row_phases * op.column_phases * op.panels, pack_task, &op);
}

static bool tile_gates(const gather *op, gm_activation gate) { return gate.kind == GM_LEAKY_RELU && !op->dot; }

bool gm_conv_gather_gates_in_tile(const gm_conv *g, bool adjoint, gm_activation gate) {
    gather op = gather_of(g, adjoint, 1);
    plan_panels(&op);
    return tile_gates(&op, gate);
}

void gm_conv_gather_packed(const gm_conv *g, bool adjoint, int64_t N, const float *x, const gm_border *border, float *y,
                           const gm_epilogue *epilogue, float *packed) {
    gather op = gather_of(g, adjoint, N);
    plan_panels(&op);
    op.x = x;
    if (border) {
        int64_t rows = op.in_image / op.in_row;
        op.bordered = true;
        op.in_row += 2 * border->columns * op.in_channels;
        op.in_image = (rows + 2 * border->rows) * op.in_row;
        op.x += border->rows * op.in_row + border->columns * op.in_channels;
    }
    op.y = y;
    op.packed = packed;
    op.x_plane = op.N * op.in_image;
    op.y_pairs = op.adjoint ? op.g->image_pairs : op.g->map_pairs;
    op.epilogue = *epilogue;
    if (op.epilogue.gate_act.kind == GM_LINEAR) op.epilogue.gate = NULL; /* whose derivative is 1 */
    const gm_epilogue *e = &op.epilogue;
    op.slope = gm_slope_of(e->act);
    op.gates_in_tile = e->gate && !gm_is_curved(e->act) && tile_gates(&op, e->gate_act);
    op.rest = *e;
    if (!gm_is_curved(e->act)) op.rest.act.kind = GM_LINEAR;
    if (op.gates_in_tile) op.rest.gate = NULL;
    op.streams = e->streams && !op.dot && op.rest.act.kind == GM_LINEAR && !op.rest.gate;
    plan_gather(&op);
    int slots = gm_slots_for(N * g->P * g->Q * g->K * g->R * g->S * g->C, GM_MAX_THREADS);
    gm_parallel_for_slots(op.groups * op.row_phases * op.bands * op.panel_parts, slots, gather_task, &op);
}

void gm_conv_gather(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                    const gm_epilogue *epilogue, float *workspace) {
    gm_conv_gather_pack(g, adjoint, w, workspace);
    gm_conv_gather_packed(g, adjoint, N, x, NULL, y, epilogue, workspace);
}

int64_t gm_conv_gather_workspace(const gm_conv *g) {
    int64_t taps = parts_of(g) * g->R * g->S, depth_forward = taps * g->C, depth_backward = taps * g->K;
    int64_t forward = depth_forward * round_up(g->K, GM_WIDEST_PANEL);
    int64_t backward = depth_backward * round_up(g->C, GM_WIDEST_PANEL);
    return max_of(forward, backward);
}
