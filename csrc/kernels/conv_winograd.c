/* Convolutions whose kernel is twice their stride, by nine products where the definition takes sixteen (winograd.h).
 *
 * Such a kernel has two taps along each axis for every phase (row mod stride, column mod stride) of the image. Forward,
 * an output is a sum over all phases of the image, each seen through 2 x 2 taps of its own: the phases lie one behind
 * the other along the depth of one product. The adjoint makes each phase of the image by itself, of 2 x 2 taps on the
 * map. So, for a square of 2 x 2 outputs,
 *
 *     its windows of 3 x 3 inputs are differenced         U[9]: squares x depth
 *     the weights are expanded, once                      V[9]: depth x outputs
 *     nine products                                       M[9] = U V
 *     and the squares of outputs are folded from them.
 *
 * A task does all of that for a block of squares small enough that U and M stay in the L2; V comes from the L3. The
 * gradient of the weights is the same turned round: expanded map gradients times differenced windows, folded at last. It
 * keeps nine sums for four taps, phase by phase.
 *
 * Padding costs what pixels cost here, and odd sizes a row of squares half used, so small maps gain less: 1.2 to 1.5
 * times from 4 x 4 to 16 x 16. */
#include "kernels/conv_winograd.h"

#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/epilogue.h"

enum {
    POINTS = 9,              /* products of a square */
    SLOTS = 8,               /* most threads that work on blocks at a time */
    SLOT_FLOATS = 176 << 10, /* U and M of a block, about: 704 KB */
    LEAST_BLOCK = 12,        /* squares: one tile */
    MOST_BLOCK = 96,
    LEAST_CHANNELS = 16,
    SPARE = 16,   /* floats behind each row of U, Y and M, so that rows do not fill one set of the cache */
    STRIP = 16,   /* channels whose weights are expanded at a time */
    CHUNK = 256,  /* squares whose products are summed before they are added, in weight gradients */
    GATHERED = 8, /* squares a task transforms there */
};

/* One phase along one axis. Output j, at start + j * out_step, is the sum over a = 0, 1 of tap first_tap + a * tap_step
 * times input step * (j + a) + shift. */
typedef struct strand {
    int64_t step, shift, in_size, first_tap, tap_step, start, out_step, count;
} strand;

static strand forward_strand(int64_t phase, int64_t stride, int64_t pad, int64_t in_size, int64_t out_size) {
    return (strand){stride, phase - pad, in_size, phase, stride, 0, 1, out_size};
}

static strand adjoint_strand(int64_t phase, int64_t stride, int64_t pad, int64_t image_size, int64_t map_size) {
    axis x = adjoint_axis(phase, 2 * stride, stride, pad, image_size, map_size);
    return (strand){1, -x.pad, map_size, x.first_tap, x.tap_step, x.start, x.out_step, x.count};
}

static int64_t squares_along(const strand *x) { return ceil_div(x->count, 2); }

/* Of an array (N, rows, columns, channels): where it begins, and its sizes. */
typedef struct images {
    int64_t rows, columns, channels;
} images;

static int64_t at_pixel(const images *of, int64_t n, int64_t row, int64_t column) {
    return ((n * of->rows + row) * of->columns + column) * of->channels;
}

/* ---- Windows ---- */

/* Number `index` of the squares of a pair of strands: its image and first output along each axis. */
typedef struct square {
    int64_t n, i, j;
} square;

static square square_of(const strand *rows, const strand *columns, int64_t index) {
    int64_t across = squares_along(columns), all = squares_along(rows) * across;
    return (square){index / all, 2 * (index % all / across), 2 * (index % across)};
}

/* The 3 x 3 inputs of a square; `zeros` for those on padding. */
static void list_window(const strand *rows, const strand *columns, square at, const images *of, const float *x,
                        const float *zeros, const float *window[9]) {
    for (int64_t a = 0; a < 3; a++)
        for (int64_t b = 0; b < 3; b++) {
            int64_t row = rows->step * (at.i + a) + rows->shift, column = columns->step * (at.j + b) + columns->shift;
            bool inside = row >= 0 && row < rows->in_size && column >= 0 && column < columns->in_size;
            window[3 * a + b] = inside ? x + at_pixel(of, at.n, row, column) : zeros;
        }
}

/* ---- Forward and adjoint ---- */

typedef struct winograd {
    const gm_kernels *kernels;
    const gm_conv *g;
    bool adjoint;
    int64_t N;
    images in, out;
    int64_t w_in, w_out; /* weight at ((r * S + s) * C * K + in * w_in + out * w_out */
    const float *x, *w;
    float *y;
    gm_epilogue epilogue;
    int64_t phase_rows, phase_columns; /* of the input, summed over */
    int64_t out_row, out_column;       /* the phase of the output at work */
    int64_t depth, panels, squares, blocks, block;
    float *v, *zeros, *slots;
} winograd;

static strand rows_of(const winograd *op, int64_t phase) {
    const gm_conv *g = op->g;
    return op->adjoint ? adjoint_strand(op->out_row, g->stride_h, g->pad_top, g->H, g->P)
                       : forward_strand(phase, g->stride_h, g->pad_top, g->H, g->P);
}

static strand columns_of(const winograd *op, int64_t phase) {
    const gm_conv *g = op->g;
    return op->adjoint ? adjoint_strand(op->out_column, g->stride_w, g->pad_left, g->W, g->Q)
                       : forward_strand(phase, g->stride_w, g->pad_left, g->W, g->Q);
}

static int64_t u_row(int64_t depth) { return depth + SPARE; }

static int64_t most_in_block(int64_t depth, int64_t outputs) {
    int64_t most = SLOT_FLOATS / (POINTS * (u_row(depth) + u_row(outputs))) / LEAST_BLOCK * LEAST_BLOCK;
    return max_of(LEAST_BLOCK, min_of(MOST_BLOCK, most));
}

static int64_t slot_floats(int64_t depth, int64_t outputs) {
    return POINTS * most_in_block(depth, outputs) * (u_row(depth) + u_row(outputs)) + outputs;
}

static int64_t v_floats(int64_t depth, int64_t outputs) { return POINTS * depth * round_up(outputs, GM_WIDEST_PANEL); }

/* The weights of a strip of channels and a panel of outputs, outputs innermost and zeros behind the last: [tap][c][k]. */
static void gather_taps(const winograd *op, const strand *rows, const strand *columns, int64_t c0, int64_t channels,
                        gm_panel outputs, float taps[4][STRIP][GM_WIDEST_PANEL]) {
    const gm_conv *g = op->g;
    for (int64_t t = 0; t < 4; t++) {
        int64_t r = rows->first_tap + t / 2 * rows->tap_step, s = columns->first_tap + t % 2 * columns->tap_step;
        const float *from = op->w + (r * g->S + s) * g->C * g->K + c0 * op->w_in + outputs.first * op->w_out;
        for (int64_t k = 0; k < outputs.columns; k++)
            for (int64_t c = 0; c < channels; c++) taps[t][c][k] = from[c * op->w_in + k * op->w_out];
        for (int64_t k = outputs.columns; k < outputs.width; k++)
            for (int64_t c = 0; c < channels; c++) taps[t][c][k] = 0.0f;
    }
}

static int64_t packed_outputs(const winograd *op) {
    gm_panel last = gm_panel_at(&op->kernels->tile, op->out.channels, op->panels - 1);
    return last.first + last.width;
}

static void expand_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t strips = ceil_div(op->in.channels, STRIP), phases = op->phase_rows * op->phase_columns;
    int64_t strip = index % strips, phase = index / strips % phases, panel = index / strips / phases;
    int64_t c0 = strip * STRIP, channels = min_of(STRIP, op->in.channels - c0);
    gm_panel outputs = gm_panel_at(&op->kernels->tile, op->out.channels, panel);
    strand rows = rows_of(op, phase / op->phase_columns), columns = columns_of(op, phase % op->phase_columns);
    float taps[4][STRIP][GM_WIDEST_PANEL];
    gather_taps(op, &rows, &columns, c0, channels, outputs, taps);
    float *to = op->v + outputs.first * op->depth + (phase * op->in.channels + c0) * outputs.width;
    for (int64_t c = 0; c < channels; c++, to += outputs.width) {
        const float *square[4] = {taps[0][c], taps[1][c], taps[2][c], taps[3][c]};
        op->kernels->winograd_expand(outputs.width, square, to, op->depth * packed_outputs(op));
    }
}

static void difference_windows(const winograd *op, int64_t first, int64_t count, float *u) {
    for (int64_t row = 0; row < op->phase_rows; row++)
        for (int64_t column = 0; column < op->phase_columns; column++) {
            strand rows = rows_of(op, row), columns = columns_of(op, column);
            float *to = u + (row * op->phase_columns + column) * op->in.channels;
            for (int64_t t = 0; t < count; t++, to += u_row(op->depth)) {
                const float *window[9];
                list_window(&rows, &columns, square_of(&rows, &columns, first + t), &op->in, op->x, op->zeros, window);
                op->kernels->winograd_difference(op->in.channels, window, to, op->block * u_row(op->depth));
            }
        }
}

/* M = U V. The middle one of the nine is part of all four outputs, so the bias goes there. */
static void multiply(const winograd *op, int64_t count, const float *u, float *m) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t u_step = u_row(op->depth), m_step = u_row(op->out.channels), v_step = op->depth * packed_outputs(op);
    gm_run run = {0, 0, op->depth};
    for (int64_t point = 0; point < POINTS; point++)
        for (int64_t index = 0; index < op->panels; index++) {
            gm_panel panel = gm_panel_at(tile, op->out.channels, index);
            int64_t tiles = ceil_div(count, gm_tile_rows(tile, panel.columns));
            float bias[GM_WIDEST_PANEL] = {0};
            bool biased = point == POINTS / 2 && op->epilogue.bias;
            for (int64_t k = 0; biased && k < panel.columns; k++) bias[k] = op->epilogue.bias[panel.first + k];
            gm_tile_end end = {.bias = biased ? bias : NULL, .slope = 1.0f};
            const float *v = op->v + point * v_step + panel.first * op->depth;
            for (int64_t t = 0; t < tiles; t++) {
                int64_t first = count * t / tiles, rows = count * (t + 1) / tiles - first;
                gm_rows tile_rows = {.count = rows, .a_stride = u_step, .out_stride = m_step, .sets = 1};
                op->kernels->rows_tile(&tile_rows, panel.columns, 1, &run, u + (point * op->block + first) * u_step, v,
                                       (gm_low_parts){0}, &end, m + (point * op->block + first) * m_step + panel.first);
            }
        }
}

static void fold_squares(const winograd *op, int64_t first, int64_t count, const float *m, float *nowhere) {
    strand rows = rows_of(op, 0), columns = columns_of(op, 0);
    int64_t step = u_row(op->out.channels);
    for (int64_t t = 0; t < count; t++, m += step) {
        square at = square_of(&rows, &columns, first + t);
        float *to[4];
        for (int64_t k = 0; k < 4; k++) {
            int64_t i = at.i + k / 2, j = at.j + k % 2;
            bool inside = i < rows.count && j < columns.count;
            int64_t pixel =
                at_pixel(&op->out, at.n, rows.start + i * rows.out_step, columns.start + j * columns.out_step);
            to[k] = inside ? op->y + pixel : nowhere;
        }
        op->kernels->winograd_fold(op->out.channels, m, op->block * step, false, to);
        for (int64_t k = 0; k < 4; k++)
            if (to[k] != nowhere) gm_end_values(op->kernels, &op->epilogue, to[k] - op->y, op->out.channels, op->y);
    }
}

static void block_task(void *context, int64_t index) {
    const winograd *op = context;
    int64_t first = op->squares * index / op->blocks, count = op->squares * (index + 1) / op->blocks - first;
    float *u = op->slots + gm_parallel_slot() * slot_floats(op->depth, op->out.channels);
    float *m = u + POINTS * op->block * u_row(op->depth), *nowhere = m + POINTS * op->block * u_row(op->out.channels);
    difference_windows(op, first, count, u);
    multiply(op, count, u, m);
    fold_squares(op, first, count, m, nowhere);
}

/* One phase of the output. */
static void run_phase(winograd *op) {
    strand rows = rows_of(op, 0), columns = columns_of(op, 0);
    op->squares = op->N * squares_along(&rows) * squares_along(&columns);
    if (!op->squares) return;
    int64_t most = most_in_block(op->depth, op->out.channels);
    op->blocks = max_of(ceil_div(op->squares, most), min_of(WANTED_TASKS, ceil_div(op->squares, LEAST_BLOCK)));
    op->blocks = min_of(op->squares, round_up(op->blocks, 4)); /* as many for each of 2 or 4 threads */
    op->block = ceil_div(op->squares, op->blocks);
    gm_parallel_for(op->panels * op->phase_rows * op->phase_columns * ceil_div(op->in.channels, STRIP), expand_task,
                    op);
    gm_parallel_for_slots(op->blocks, SLOTS, block_task, op);
}

static void run(winograd *op, float *workspace) {
    op->kernels = gm_kernels_active();
    op->panels = gm_panel_count(&op->kernels->tile, op->out.channels);
    op->depth = op->phase_rows * op->phase_columns * op->in.channels;
    op->zeros = workspace;
    op->v = op->zeros + op->in.channels;
    op->slots = op->v + v_floats(op->depth, op->out.channels);
    memset(op->zeros, 0, (size_t)op->in.channels * sizeof *op->zeros);
    int64_t row_phases = op->adjoint ? op->g->stride_h : 1, column_phases = op->adjoint ? op->g->stride_w : 1;
    for (op->out_row = 0; op->out_row < row_phases; op->out_row++)
        for (op->out_column = 0; op->out_column < column_phases; op->out_column++) run_phase(op);
}

static images image_of(const gm_conv *g) { return (images){g->H, g->W, g->C}; }
static images map_of(const gm_conv *g) { return (images){g->P, g->Q, g->K}; }

void gm_conv_winograd(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                      const gm_epilogue *epilogue, float *workspace) {
    winograd op = {.g = g, .adjoint = adjoint, .N = N, .x = x, .w = w, .y = y, .epilogue = *epilogue};
    op.in = adjoint ? map_of(g) : image_of(g), op.out = adjoint ? image_of(g) : map_of(g);
    op.w_in = adjoint ? 1 : g->K, op.w_out = adjoint ? g->K : 1;
    op.phase_rows = adjoint ? 1 : g->stride_h, op.phase_columns = adjoint ? 1 : g->stride_w;
    run(&op, workspace);
}

/* ---- Weight gradients ---- */

typedef struct taps_gradient {
    const gm_kernels *kernels;
    const gm_conv *g;
    int64_t N;
    const float *x, *dy;
    float *dw;
    strand rows, columns; /* the phase at work */
    int64_t first, count; /* the squares at work */
    int64_t row_parts;
    float *zeros, *u, *y; /* u (9, CHUNK, C + SPARE), y (9, CHUNK, K + SPARE) */
    float *sums;          /* (9, C, K) */
} taps_gradient;

static void transform_piece(void *context, int64_t begin, int64_t count) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    images image = image_of(g), map = map_of(g);
    for (int64_t t = begin; t < begin + count; t++) {
        square at = square_of(&op->rows, &op->columns, op->first + t);
        const float *window[9], *outputs[4];
        list_window(&op->rows, &op->columns, at, &image, op->x, op->zeros, window);
        for (int64_t k = 0; k < 4; k++) {
            int64_t p = at.i + k / 2, q = at.j + k % 2;
            outputs[k] = p < g->P && q < g->Q ? op->dy + at_pixel(&map, at.n, p, q) : op->zeros;
        }
        op->kernels->winograd_difference(g->C, window, op->u + t * u_row(g->C), CHUNK * u_row(g->C));
        op->kernels->winograd_expand(g->K, outputs, op->y + t * u_row(g->K), CHUNK * u_row(g->K));
    }
}

/* Of the channels, for panels of outputs up to the widest, the last. */
static int64_t row_tiles(const taps_gradient *op) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    return ceil_div(op->g->C,
                    gm_tile_rows(tile, gm_panel_at(tile, op->g->K, gm_panel_count(tile, op->g->K) - 1).columns));
}

static void sum_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t point = index / op->row_parts, part = index % op->row_parts, tiles = row_tiles(op);
    gm_sweep sweep = {.N = 1, .I = 1, .J = op->count, .x_j = u_row(g->C), .y_j = u_row(g->K)};
    const float *u = op->u + point * CHUNK * sweep.x_j, *y = op->y + point * CHUNK * sweep.y_j;
    for (int64_t t = tiles * part / op->row_parts; t < tiles * (part + 1) / op->row_parts; t++) {
        int64_t c = g->C * t / tiles, m = g->C * (t + 1) / tiles - c;
        for (int64_t k = 0; k < gm_panel_count(tile, g->K); k++) {
            gm_panel panel = gm_panel_at(tile, g->K, k);
            op->kernels->outer_tile(m, panel.columns, &sweep, u + c, y + panel.first,
                                    op->sums + (point * g->C + c) * g->K + panel.first, g->K);
        }
    }
}

static void clear_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    int64_t row = op->g->K;
    for (int64_t point = 0; point < POINTS; point++)
        memset(op->sums + (point * op->g->C + index) * row, 0, (size_t)row * sizeof *op->sums);
}

static void fold_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    float *to[4];
    for (int64_t t = 0; t < 4; t++) {
        int64_t r = op->rows.first_tap + t / 2 * op->rows.tap_step;
        int64_t s = op->columns.first_tap + t % 2 * op->columns.tap_step;
        to[t] = op->dw + ((r * g->S + s) * g->C + index) * g->K;
    }
    op->kernels->winograd_fold(g->K, op->sums + index * g->K, g->C * g->K, true, to);
}

void gm_conv_winograd_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw,
                              float *workspace) {
    int64_t widest = max_of(g->C, g->K);
    taps_gradient op = {.kernels = gm_kernels_active(), .g = g, .N = N, .x = x, .dy = dy, .dw = dw, .zeros = workspace};
    op.u = op.zeros + widest;
    op.y = op.u + POINTS * CHUNK * u_row(g->C);
    op.sums = op.y + POINTS * CHUNK * u_row(g->K);
    op.row_parts = min_of(4, row_tiles(&op));
    memset(op.zeros, 0, (size_t)widest * sizeof *op.zeros);
    for (int64_t phase = 0; phase < g->stride_h * g->stride_w; phase++) {
        op.rows = forward_strand(phase / g->stride_w, g->stride_h, g->pad_top, g->H, g->P);
        op.columns = forward_strand(phase % g->stride_w, g->stride_w, g->pad_left, g->W, g->Q);
        int64_t squares = N * squares_along(&op.rows) * squares_along(&op.columns);
        gm_parallel_for(g->C, clear_task, &op);
        for (op.first = 0; op.first < squares; op.first += CHUNK) {
            op.count = min_of(CHUNK, squares - op.first);
            gm_parallel_pieces(op.count, GATHERED, transform_piece, &op);
            gm_parallel_for(POINTS * op.row_parts, sum_task, &op);
        }
        gm_parallel_for(g->C, fold_task, &op);
    }
}

/* ---- What it takes, and where it pays ---- */

int64_t gm_conv_winograd_workspace(const gm_conv *g) {
    int64_t forward = g->stride_h * g->stride_w * g->C;
    int64_t there = v_floats(forward, g->K) + SLOTS * slot_floats(forward, g->K);
    int64_t back = v_floats(g->K, g->C) + SLOTS * slot_floats(g->K, g->C);
    int64_t weights = POINTS * (CHUNK * (u_row(g->C) + u_row(g->K)) + g->C * g->K);
    return max_of(g->C, g->K) + max_of(max_of(there, back), weights);
}

bool gm_conv_winograd_pays(const gm_conv *g) {
    if (g->R != 2 * g->stride_h || g->S != 2 * g->stride_w) return false;
    if (g->C < LEAST_CHANNELS || g->K < LEAST_CHANNELS) return false;
    int64_t phases = g->stride_h * g->stride_w, squares = ceil_div(g->P, 2) * ceil_div(g->Q, 2);
    int64_t products = POINTS * squares * phases * g->C * g->K;
    return products + products / 8 <= gm_conv_products(g); /* the transforms cost about an eighth */
}
