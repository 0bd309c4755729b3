/* The gradient of the weights that conv_winograd.c multiplies with, by as few products: for each strand, evaluated map
 * gradients times differenced windows. Sums over all squares are kept for each point, and folded into taps at last; of as
 * many strands at a time as have them in the L3, for which a map gradient then is evaluated once. */
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_squares.h"
#include "kernels/conv_winograd.h"
#include "kernels/table.h"

enum {
    CHUNK = MOST_SQUARES, /* whose products are summed before they are added */
    GATHERED = 8,         /* squares a task transforms */
    SUMS = 1 << 20        /* floats of the strands at a time, or those of one: 4 MB */
};

typedef struct taps_gradient {
    const gm_kernels *kernels;
    const grid *of;
    int64_t N, C, K;
    const float *x, *dy;
    float *dw;
    int64_t first_strand, strands; /* whose sums are kept */
    int64_t strand;                /* at work, as are these squares: */
    squares list;
    bool fresh; /* the first of all */
    int64_t points, row_parts;
    float *zeros, *u, *y; /* u (points, CHUNK, C + SPARE), y (points, CHUNK, K + SPARE) */
    float *sums;          /* (strands, points, C, K) */
} taps_gradient;

static float *sums_of(const taps_gradient *op, int64_t strand, int64_t point) {
    return op->sums + ((strand - op->first_strand) * op->points + point) * op->C * op->K;
}

static void evaluate_piece(void *context, int64_t begin, int64_t count) {
    const taps_gradient *op = context;
    int64_t place[MOST_PLACES], row = operand_row(op->K);
    const float *outputs[MOST_PLACES];
    for (int64_t k = begin; k < begin + count; k++) {
        gm_square square = transform_of_places(op->of, op->list.at[k], CHUNK * row);
        list_values(list_places(op->of, op->list.at[k], place), place, op->dy, op->K, NULL, outputs);
        op->kernels->winograd_evaluate(&square, op->K, outputs, op->y + k * row);
    }
}

static void difference_piece(void *context, int64_t begin, int64_t count) {
    const taps_gradient *op = context;
    int64_t pixel[MOST_PIXELS], row = operand_row(op->C);
    const float *window[MOST_PIXELS];
    for (int64_t k = begin; k < begin + count; k++) {
        gm_square square = transform_of_window(op->of, op->strand, op->list.at[k], CHUNK * row);
        int64_t pixels = list_window(op->of, op->strand, op->list.at[k], pixel);
        list_values(pixels, pixel, op->x, op->C, op->zeros, window);
        op->kernels->winograd_difference(&square, op->C, window, op->u + k * row);
    }
}

/* Of the channels, for panels of outputs up to the widest, the last. */
static int64_t row_tiles(const taps_gradient *op) {
    const gm_tile_sizes *tile = &op->kernels->tile;
    return ceil_div(op->C, gm_tile_rows(tile, gm_panel_at(tile, op->K, gm_panel_count(tile, op->K) - 1).columns));
}

static void sum_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    const gm_tile_sizes *tile = &op->kernels->tile;
    int64_t point = index / op->row_parts, part = index % op->row_parts, tiles = row_tiles(op);
    range of = squares_at_point(op->of, &op->list, op->strand, point);
    gm_sweep sweep = {.N = 1, .I = 1, .J = of.end - of.begin, .x_j = operand_row(op->C), .y_j = operand_row(op->K)};
    sweep.fresh = op->fresh;
    const float *u = op->u + (point * CHUNK + of.begin) * sweep.x_j;
    const float *y = op->y + (point * CHUNK + of.begin) * sweep.y_j;
    for (int64_t t = tiles * part / op->row_parts; t < tiles * (part + 1) / op->row_parts; t++) {
        int64_t c = op->C * t / tiles, m = op->C * (t + 1) / tiles - c;
        for (int64_t k = 0; k < gm_panel_count(tile, op->K); k++) {
            gm_panel panel = gm_panel_at(tile, op->K, k);
            op->kernels->outer_tile(m, panel.columns, &sweep, u + c, y + panel.first,
                                    sums_of(op, op->strand, point) + c * op->K + panel.first, op->K);
        }
    }
}

/* The taps of a strand, of one channel of the image. */
static void fold_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    int64_t strand = op->first_strand + index / op->C, channel = index % op->C, tap[MOST_PLACES];
    float *to[MOST_PLACES];
    int64_t count = list_taps(op->of, strand, tap);
    for (int64_t t = 0; t < count; t++) to[t] = op->dw + (tap[t] * op->C + channel) * op->K;
    gm_square square = transform_of_taps(op->of, strand, op->C * op->K);
    op->kernels->winograd_fold(&square, op->K, sums_of(op, strand, 0) + channel * op->K, true, to);
}

static void sum_strands(taps_gradient *op) {
    int64_t all = op->N * squares_of_image(op->of);
    for (int64_t first = 0; first < all; first += CHUNK) {
        list_squares(op->of, first, min_of(CHUNK, all - first), &op->list);
        op->fresh = first == 0;
        gm_parallel_pieces(op->list.count, GATHERED, evaluate_piece, op);
        for (op->strand = op->first_strand; op->strand < op->first_strand + op->strands; op->strand++) {
            gm_parallel_pieces(op->list.count, GATHERED, difference_piece, op);
            gm_parallel_for(op->points * op->row_parts, sum_task, op);
        }
    }
    gm_parallel_for(op->strands * op->C, fold_task, op);
}

static int64_t most_strands(const grid *of) {
    return max_of(1, min_of(strand_count(of), SUMS / (point_count(of) * of->g->C * of->g->K)));
}

void gm_conv_winograd_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw,
                              float *workspace) {
    grid of;
    if (!grid_of(g, &of)) return;
    taps_gradient op = {.of = &of, .N = N, .C = g->C, .K = g->K, .x = x, .dy = dy, .dw = dw, .zeros = workspace};
    op.kernels = gm_kernels_active();
    op.points = point_count(&of);
    op.u = op.zeros + g->C;
    op.y = op.u + op.points * CHUNK * operand_row(g->C);
    op.sums = op.y + op.points * CHUNK * operand_row(g->K);
    op.row_parts = min_of(4, row_tiles(&op));
    memset(op.zeros, 0, (size_t)g->C * sizeof *op.zeros);
    for (; op.first_strand < strand_count(&of); op.first_strand += op.strands) {
        op.strands = min_of(most_strands(&of), strand_count(&of) - op.first_strand);
        sum_strands(&op);
    }
}

int64_t gm_conv_winograd_weights_workspace(const gm_conv *g) {
    grid of;
    if (!grid_of(g, &of)) return 0;
    int64_t sums = most_strands(&of) * g->C * g->K;
    return g->C + point_count(&of) * (CHUNK * (operand_row(g->C) + operand_row(g->K)) + sums);
}
