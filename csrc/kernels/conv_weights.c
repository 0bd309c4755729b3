/* Weight gradients of convolutions:
 *
 *     dw[r, s, c, k] = sum over images and positions of x[.., p*sh + r - top, q*sw + s - left, c] * dy[.., p, q, k]
 *
 * Some channels times a panel of k are a register tile that sweeps over a rectangle of places: for many channels all
 * places of one tap (r, s), so that its sums go to dw once; else, for a kernel row r and a range of output columns that
 * see the same taps, (s, c) as the one contiguous run of the image that it is, as in conv_gather.c. Images, or rows of large
 * maps, are taken in chunks that keep both sides in the L2; each chunk's sums start at zero, which keeps long sums accurate:
 * equal terms are all rounded the same way, and 20,000 of them lose 1e-4 of their sum, in chunks of 512 less than 1e-5. On
 * large maps the images are split into a fixed number of parts with a buffer each, added up in order, so that each part is
 * read once; on small maps, where the weights are the larger side, the weights are shared out instead.
 *
 * The sweeps of a chunk ask for what the next one reads, each for its share and row by row: beyond the caches they waited
 * nearly as long as they computed. (3 x 3, 32 channels to 32: from 64 x 64 with strides of 2 1.3 times as fast, at 28 x 28 1.1
 * times; where all is in the caches as fast as before.)
 *
 * An image in pairs is read as it is, where the map has few channels; elsewhere conv_bf16.c makes floats or pairs of it.
 *
 * Where tiles multiply blocks, the pairs of images come turned, as conv_bf16.c makes them: x (H, W, C, parts, pairs) and dy
 * (P, Q, parts, pairs, K). The pairs of a place are then a row of a sweep, and it is rows of the map that are taken in chunks
 * and split. */
#include "kernels/conv_gather.h"

#include <stdbool.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"

enum {
    CHUNK_FLOATS = 192 * 1024,
    CHUNK_PLACES = 512,
    MOST_SPLITS = 16,
    SPLIT_FLOATS = 2 << 20,
    RUN_PART = 240,
    WIDE_MAP = 16
};

/* What the next chunk will read of x and of dy, to be asked for by the sweeps of this one. */
typedef struct ahead {
    const float *at[2];
    int64_t lines[2]; /* still to be asked for */
    int64_t all;      /* lines there were */
    int64_t places;   /* of all sweeps together, about */
} ahead;

typedef struct weight_gradient {
    const gm_kernels *kernels;
    const gm_conv *g;
    int64_t N, splits, row_parts, run_parts, column_parts;
    bool by_tap;  /* each tap's places all at once, so that its sums are added to dw once */
    bool swapped; /* few map channels: their values are the broadcast side, results (K, R*S*C) */
    bool turned;  /* x and dy are */
    bool add;     /* to what is in dw */
    bool fresh;   /* a task's own: the sums are the first */
    int64_t row;  /* pairs of a place then, of all parts */
    const float *x, *dy;
    float *parts, *dw;
    ahead next; /* a task's own */
} weight_gradient;

/* What the work is split by: images, or rows of the map. */
static int64_t slices(const weight_gradient *op) { return op->turned ? op->g->P : op->N; }

/* Images and rows of the map. */
typedef struct chunk {
    int64_t images, rows;
} chunk;

static chunk chunk_of(const weight_gradient *op) {
    const gm_conv *g = op->g;
    int64_t images = op->turned ? op->N : 1; /* at least */
    int64_t places = g->Q * images, floats = (g->stride_h * g->W * g->C + g->Q * g->K) * (op->turned ? op->row : 1);
    int64_t rows = max_of(1, min_of(CHUNK_FLOATS / floats, CHUNK_PLACES / places));
    if (op->turned || rows < g->P) return (chunk){images, min_of(rows, g->P)};
    return (chunk){rows / g->P, g->P};
}

/* The split of the work depends on the shape alone, so the order of the sums does too. */
static void plan_weight_gradient(weight_gradient *op) {
    const gm_conv *g = op->g;
    bool large_map = g->P * g->Q >= 16;
    const gm_tile_sizes *tile = &op->kernels->tile;
    op->turned = tile->blocks;
    op->row = op->N * parts_of(g);
    op->by_tap = g->C >= (large_map && g->Q >= WIDE_MAP && !op->turned ? 4 * tile->rows : tile->rows);
    op->swapped = g->K <= GM_DOT_COLUMNS && !op->turned;
    int64_t panels = gm_panel_count(tile, g->K);
    int64_t most_splits = min_of(min_of(MOST_SPLITS, slices(op)), SPLIT_FLOATS / weight_count(g));
    op->splits = large_map ? max_of(1, most_splits) : 1;
    op->row_parts = op->splits * 2 >= WANTED_TASKS ? 1 : g->R;
    int64_t tasks = op->splits * op->row_parts;
    op->column_parts = large_map ? min_of(panels, ceil_div(WANTED_TASKS, tasks)) : panels;
    op->run_parts = large_map ? 1 : ceil_div(g->S * g->C, RUN_PART);
}

/* Whether the tiles' sums go to dw itself, with no buffers to add up after. */
static bool is_direct(const weight_gradient *op) { return op->splits == 1 && !op->swapped; }

/* How what the sums go to begins: as dw is, to which they are added; with zeros; or with the sums of the first chunk,
 * where it has one for each value (small maps of many channels 1.2 to 1.3 times as fast). */
typedef enum beginning { AS_IT_IS, ZEROS, FIRST_SUMS } beginning;

static beginning beginning_of(const weight_gradient *op) {
    if (is_direct(op) && op->add) return AS_IT_IS;
    return op->by_tap && !op->swapped ? FIRST_SUMS : ZEROS;
}

static float *part_of(const weight_gradient *op, int64_t split) {
    return is_direct(op) ? op->dw : op->parts + split * weight_count(op->g);
}

static void swap_sizes(int64_t *a, int64_t *b) {
    int64_t kept = *a;
    *a = *b;
    *b = kept;
}

/* The sweep with its innermost loop not too short: at the edges of small maps there are one or two columns, and a loop
 * over one place costs as much to enter as to run. */
static gm_sweep long_inside(gm_sweep sweep) {
    enum { SHORT = 4 };
    if (sweep.J < SHORT && sweep.I > sweep.J) {
        swap_sizes(&sweep.J, &sweep.I);
        swap_sizes(&sweep.x_j, &sweep.x_i);
        swap_sizes(&sweep.y_j, &sweep.y_i);
    }
    if (sweep.J < SHORT && sweep.N > sweep.J) {
        swap_sizes(&sweep.J, &sweep.N);
        swap_sizes(&sweep.x_j, &sweep.x_n);
        swap_sizes(&sweep.y_j, &sweep.y_n);
    }
    return sweep;
}

/* A sweep's share of what the next chunk will read, by its places. */
static gm_asked ask(ahead *next, const gm_sweep *sweep) {
    const int64_t rows = sweep->N * sweep->I, of = next->lines[0] > 0 ? 0 : 1;
    if (next->lines[of] == 0) return (gm_asked){0}; /* all is asked for, or nothing is to be */
    gm_asked share = {.at = next->at[of], .line_step = GM_LINE_FLOATS, .times = rows};
    share.lines = min_of(ceil_div(next->all * sweep->J, next->places), ceil_div(next->lines[of], rows));
    share.step = share.lines * GM_LINE_FLOATS;
    int64_t lines = min_of(share.lines * rows, next->lines[of]);
    next->at[of] += lines * GM_LINE_FLOATS;
    next->lines[of] -= lines;
    return share;
}

/* Of so many values of a run, with so many columns. */
static int64_t tile_count(const weight_gradient *op, int64_t run, int64_t columns) {
    return ceil_div(run, gm_tile_rows(&op->kernels->tile, columns));
}

/* Kernel row r, taps and channels k0..k1-1 of its run, at output rows p0.., columns q0.., as tiles. */
static void sweep_block(weight_gradient *op, const gm_sweep *sweep, const float *x, const float *dy, float *out,
                        int64_t run, int64_t columns) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t K = op->g->K;
    if (op->swapped) {
        gm_sweep other = {.N = sweep->N,
                          .I = sweep->I,
                          .J = sweep->J,
                          .x_n = sweep->y_n,
                          .x_i = sweep->y_i,
                          .x_j = sweep->y_j,
                          .x_m = 1,
                          .y_n = sweep->x_n,
                          .y_i = sweep->x_i,
                          .y_j = sweep->x_j,
                          .y_pairs = op->g->image_pairs};
        int64_t stride = weight_count(op->g) / K;
        for (int64_t t = 0; t < gm_panel_count(tile, run); t++) {
            gm_panel panel = gm_panel_at(tile, run, t);
            const float *at = x + gm_words(panel.first, other.y_pairs);
            op->kernels->outer_tile(columns, panel.columns, &other, dy, at, out + panel.first, stride);
        }
        return;
    }
    int64_t tiles = tile_count(op, run, columns);
    gm_asked next;
    gm_sweep asking = *sweep;
    asking.asked = &next, asking.asks = 1;
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = run * t / tiles, m = run * (t + 1) / tiles - first;
        next = ask(&op->next, sweep);
        op->kernels->outer_tile(m, columns, &asking, x + first * sweep->x_m, dy, out + first * K, K);
    }
}

/* Kernel row r and columns s0..s1-1 of it, all valid at output rows p0..p1-1 and columns q0..q1-1, of images n0..n1-1. */
typedef struct rectangle {
    int64_t r, n0, n1, p0, p1, q0, q1;
} rectangle;

/* The rectangle's places, as x and dy hold them. */
static gm_sweep sweep_of(const weight_gradient *op, const rectangle *at) {
    const gm_conv *g = op->g;
    int64_t row = op->row, C = g->C, K = g->K, rows = at->p1 - at->p0, columns = at->q1 - at->q0;
    if (op->turned)
        return (gm_sweep){.N = rows,
                          .I = columns,
                          .J = op->N,
                          .x_n = g->stride_h * g->W * C * row,
                          .x_i = g->stride_w * C * row,
                          .x_j = 1,
                          .x_m = row,
                          .y_n = g->Q * row * K,
                          .y_i = row * K,
                          .y_j = K,
                          .low = {op->row - op->N, (op->row - op->N) * K}};
    gm_sweep by_images = {.N = at->n1 - at->n0,
                          .I = rows,
                          .J = columns,
                          .x_n = g->H * g->W * C,
                          .x_i = g->stride_h * g->W * C,
                          .x_j = g->stride_w * C,
                          .x_m = 1,
                          .y_n = g->P * g->Q * K,
                          .y_i = g->Q * K,
                          .y_j = K};
    return long_inside(by_images);
}

/* The values k0..k1-1 of the run (s, c) of kernel row r. */
static void clear_values(const weight_gradient *op, int64_t r, int64_t k0, int64_t k1, gm_panel panel, float *out) {
    const gm_conv *g = op->g;
    for (int64_t k = k0; k < k1; k++)
        memset(out + (r * g->S * g->C + k) * g->K + panel.first, 0, (size_t)panel.columns * sizeof *out);
}

/* The same values, all of taps that are valid there. */
static void accumulate(weight_gradient *op, const rectangle *at, int64_t k0, int64_t k1, gm_panel panel, float *out) {
    const gm_conv *g = op->g;
    if (at->p0 >= at->p1 || at->q0 >= at->q1) {
        if (op->fresh) clear_values(op, at->r, k0, k1, panel, out);
        return;
    }
    if (k0 >= k1) return;
    gm_sweep sweep = sweep_of(op, at);
    sweep.fresh = op->fresh;
    int64_t x_row = at->p0 * g->stride_h - g->pad_top + at->r, x_column = at->q0 * g->stride_w - g->pad_left;
    int64_t x_value = (x_row * g->W + x_column) * g->C + k0, y_place = at->p0 * g->Q + at->q0, first = at->n0;
    const float *x = op->x + gm_words(x_value * sweep.x_m + first * g->H * g->W * g->C, g->image_pairs);
    const float *dy = op->dy + (op->turned ? y_place * op->row : y_place + first * g->P * g->Q) * g->K + panel.first;
    int64_t value = at->r * g->S * g->C + k0;
    sweep_block(op, &sweep, x, dy, op->swapped ? out + value : out + value * g->K + panel.first, k1 - k0,
                panel.columns);
}

/* Kernel row r, for run values k0..k1-1 and a panel of map channels, over the images and rows of `of`. */
static void accumulate_row(weight_gradient *op, int64_t r, const rectangle *of, int64_t k0, int64_t k1, gm_panel panel,
                           float *out) {
    const gm_conv *g = op->g;
    axis rows = forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P);
    axis across = forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    outputs inside = outputs_of_tap(&rows, r);
    rectangle at = *of;
    at.r = r, at.p0 = max_of(of->p0, inside.begin), at.p1 = min_of(of->p1, inside.end);
    if (op->by_tap) {
        for (int64_t s = k0 / g->C; s * g->C < k1; s++) {
            inside = outputs_of_tap(&across, s);
            at.q0 = inside.begin, at.q1 = inside.end;
            accumulate(op, &at, max_of(k0, s * g->C), min_of(k1, (s + 1) * g->C), panel, out);
        }
        return;
    }
    for (at.q0 = 0; at.q0 < g->Q; at.q0 = at.q1) { /* by columns that see the same taps, all of these together */
        at.q1 = same_taps_until(&across, at.q0);
        int64_t from = max_of(k0, tap_begin(&across, at.q0) * g->C), to = min_of(k1, tap_end(&across, at.q0) * g->C);
        accumulate(op, &at, from, to, panel, out);
    }
}

/* Where a part of a run begins: at a whole pair, if there are any. */
static int64_t run_at(const weight_gradient *op, int64_t part) {
    int64_t at = op->g->S * op->g->C * part / op->run_parts;
    return op->g->image_pairs ? at / 2 * 2 : at;
}

/* The images and rows of `all`, chunk by chunk. */
static rectangle chunk_at(const weight_gradient *op, const rectangle *all, int64_t n, int64_t p) {
    chunk size = chunk_of(op);
    return (rectangle){.n0 = n, .n1 = min_of(all->n1, n + size.images), .p0 = p, .p1 = min_of(all->p1, p + size.rows)};
}

static rectangle chunk_after(const weight_gradient *op, const rectangle *all, const rectangle *at) {
    return at->p1 < all->p1 ? chunk_at(op, all, at->n0, at->p1) : chunk_at(op, all, at->n1, all->p0);
}

/* All that the next chunk will read; nothing behind the last one, nor where a map of few channels leaves so little to compute
 * that images come as fast as memory gives them. */
static ahead ahead_of(const weight_gradient *op, const rectangle *next, int64_t sweeps) {
    const gm_conv *g = op->g;
    if (op->turned || op->swapped || next->n0 >= next->n1) return (ahead){0};
    int64_t rows = (next->n1 - next->n0 - 1) * g->P + next->p1 - next->p0, x_row = g->W * g->C, y_row = g->Q * g->K;
    int64_t x = (next->n0 * g->H + min_of(next->p0 * g->stride_h, g->H)) * x_row,
            y = (next->n0 * g->P + next->p0) * y_row;
    ahead found = {.at = {op->x + x, op->dy + y},
                   .lines = {rows * g->stride_h * x_row / GM_LINE_FLOATS, rows * y_row / GM_LINE_FLOATS}};
    found.all = found.lines[0] + found.lines[1];
    found.places = max_of(1, sweeps * rows * g->Q);
    return found;
}

static void weight_task(void *context, int64_t index) {
    weight_gradient own = *(const weight_gradient *)context, *op = &own;
    const gm_conv *g = op->g;
    int64_t column_part = index % op->column_parts, run_part = index / op->column_parts % op->run_parts;
    int64_t row_part = index / op->column_parts / op->run_parts % op->row_parts;
    int64_t split = index / op->column_parts / op->run_parts / op->row_parts;
    int64_t r0 = g->R * row_part / op->row_parts, r1 = g->R * (row_part + 1) / op->row_parts;
    int64_t k0 = run_at(op, run_part), k1 = run_at(op, run_part + 1);
    int64_t panels = gm_panel_count(&op->kernels->tile, g->K);
    int64_t c0 = panels * column_part / op->column_parts, c1 = panels * (column_part + 1) / op->column_parts;
    int64_t first = slices(op) * split / op->splits, last = slices(op) * (split + 1) / op->splits;
    rectangle all = {.n0 = first, .n1 = last, .p1 = g->P};
    if (op->turned) all = (rectangle){.n1 = op->N, .p0 = first, .p1 = last};
    int64_t columns = gm_panel_at(&op->kernels->tile, g->K, c0).columns; /* about the others' too */
    int64_t sweeps = (c1 - c0) * (r1 - r0) * tile_count(op, k1 - k0, columns);
    for (rectangle at = chunk_at(op, &all, all.n0, all.p0), next; at.n0 < all.n1; at = next) {
        next = chunk_after(op, &all, &at);
        op->next = ahead_of(op, &next, sweeps);
        op->fresh = beginning_of(op) == FIRST_SUMS && at.n0 == all.n0 && at.p0 == all.p0;
        for (int64_t c = c0; c < c1; c++)
            for (int64_t r = r0; r < r1; r++)
                accumulate_row(op, r, &at, k0, k1, gm_panel_at(&op->kernels->tile, g->K, c), part_of(op, split));
    }
    op->kernels->tiles_end();
}

enum { ADD_PIECE = 4096 };

static void clear_piece(void *context, int64_t first, int64_t count) {
    memset(part_of(context, 0) + first, 0, (size_t)count * sizeof(float));
}

/* dw = or += the splits' buffers, in their order. */
static void add_piece(void *context, int64_t first, int64_t length) {
    const weight_gradient *op = context;
    int64_t count = weight_count(op->g), K = op->g->K, rows = count / K;
    float sums[ADD_PIECE] = {0};
    for (int64_t split = 0; split < op->splits; split++) {
        const float *part = op->parts + split * count;
        if (op->swapped)
            for (int64_t i = 0; i < length; i++) sums[i] += part[(first + i) % K * rows + (first + i) / K];
        else
            for (int64_t i = 0; i < length; i++) sums[i] += part[first + i];
    }
    for (int64_t i = 0; i < length; i++) op->dw[first + i] = op->add ? op->dw[first + i] + sums[i] : sums[i];
}

void gm_conv_sweep_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                           float *workspace) {
    weight_gradient op = {.kernels = gm_kernels_for(g->precision),
                          .g = g,
                          .N = N,
                          .add = add,
                          .x = x,
                          .dy = dy,
                          .dw = dw,
                          .parts = workspace};
    plan_weight_gradient(&op);
    int64_t count = weight_count(g);
    if (beginning_of(&op) == ZEROS) gm_parallel_pieces(op.splits * count, ADD_PIECE, clear_piece, &op);
    gm_parallel_for(op.splits * op.row_parts * op.run_parts * op.column_parts, weight_task, &op);
    if (!is_direct(&op)) gm_parallel_pieces(count, ADD_PIECE, add_piece, &op);
}

int64_t gm_conv_sweep_workspace(const gm_conv *g) {
    weight_gradient op = {.kernels = gm_kernels_for(g->precision), .g = g, .N = MOST_SPLITS};
    plan_weight_gradient(&op);
    return op.splits * weight_count(g);
}
