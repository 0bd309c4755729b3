/* The gradient of the weights that conv_winograd.c multiplies with, by as few products: for each phase, expanded map gradients
 * times differenced windows. Sums over all squares are kept for each point, and folded into four taps at last; of as many phases
 * at a time as have them in the L3, for which a map gradient then is expanded once. */
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_squares.h"
#include "kernels/conv_winograd.h"
#include "kernels/table.h"

enum {
    CHUNK = MOST_SQUARES, /* whose products are summed before they are added */
    GATHERED = 8,         /* squares a task transforms */
    SUMS = 1 << 20        /* floats of the phases at a time, or those of one: 4 MB */
};

typedef struct taps_gradient {
    const gm_kernels *kernels;
    const gm_conv *g;
    int64_t N;
    const float *x, *dy;
    float *dw;
    int64_t first_phase, phases; /* whose sums are kept */
    int64_t phase;               /* at work, as are these squares: */
    squares list;
    bool fresh; /* the first of all */
    int64_t points, row_parts;
    float *zeros, *u, *y; /* u (points, CHUNK, C + SPARE), y (points, CHUNK, K + SPARE) */
    float *sums;          /* (phases, points, C, K) */
} taps_gradient;

static float *sums_of(const taps_gradient *op, int64_t phase, int64_t point) {
    return op->sums + ((phase - op->first_phase) * op->points + point) * op->g->C * op->g->K;
}

static void expand_piece(void *context, int64_t begin, int64_t count) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    int64_t place[MOST_PLACES], row = operand_row(g->K);
    const float *outputs[MOST_PLACES];
    for (int64_t k = begin; k < begin + count; k++) {
        gm_square square = transform_of(g, op->list.at[k], CHUNK * row);
        list_places(g, op->list.at[k], place);
        list_values(places_in(op->list.at[k]), place, op->dy, g->K, NULL, outputs);
        op->kernels->winograd_expand(&square, g->K, outputs, op->y + k * row);
    }
}

static void difference_piece(void *context, int64_t begin, int64_t count) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    int64_t pixel[MOST_PIXELS], row = operand_row(g->C);
    const float *window[MOST_PIXELS];
    for (int64_t k = begin; k < begin + count; k++) {
        gm_square square = transform_of(g, op->list.at[k], CHUNK * row);
        list_window(g, phase_at(g, op->phase), op->list.at[k], pixel);
        list_values(pixels_in(op->list.at[k]), pixel, op->x, g->C, op->zeros, window);
        op->kernels->winograd_difference(&square, g->C, window, op->u + k * row);
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
    range of = squares_at_point(g, &op->list, point);
    gm_sweep sweep = {.N = 1, .I = 1, .J = of.end - of.begin, .x_j = operand_row(g->C), .y_j = operand_row(g->K)};
    sweep.fresh = op->fresh;
    const float *u = op->u + (point * CHUNK + of.begin) * sweep.x_j;
    const float *y = op->y + (point * CHUNK + of.begin) * sweep.y_j;
    for (int64_t t = tiles * part / op->row_parts; t < tiles * (part + 1) / op->row_parts; t++) {
        int64_t c = g->C * t / tiles, m = g->C * (t + 1) / tiles - c;
        for (int64_t k = 0; k < gm_panel_count(tile, g->K); k++) {
            gm_panel panel = gm_panel_at(tile, g->K, k);
            op->kernels->outer_tile(m, panel.columns, &sweep, u + c, y + panel.first,
                                    sums_of(op, op->phase, point) + c * g->K + panel.first, g->K);
        }
    }
}

/* The taps of a phase, of one channel of the image. */
static void fold_task(void *context, int64_t index) {
    const taps_gradient *op = context;
    const gm_conv *g = op->g;
    int64_t phase = op->first_phase + index / g->C, channel = index % g->C;
    float *to[4];
    for (int64_t t = 0; t < 4; t++) to[t] = op->dw + (tap_of(g, phase_at(g, phase), t) * g->C + channel) * g->K;
    gm_square all = transform_of_taps(g, g->C * g->K);
    op->kernels->winograd_fold_taps(&all, g->K, sums_of(op, phase, 0) + channel * g->K, to);
}

static void sum_phases(taps_gradient *op) {
    int64_t all = op->N * squares_of_image(op->g);
    for (int64_t first = 0; first < all; first += CHUNK) {
        list_squares(op->g, first, min_of(CHUNK, all - first), &op->list);
        op->fresh = first == 0;
        gm_parallel_pieces(op->list.count, GATHERED, expand_piece, op);
        for (op->phase = op->first_phase; op->phase < op->first_phase + op->phases; op->phase++) {
            gm_parallel_pieces(op->list.count, GATHERED, difference_piece, op);
            gm_parallel_for(op->points * op->row_parts, sum_task, op);
        }
    }
    gm_parallel_for(op->phases * op->g->C, fold_task, op);
}

static int64_t most_phases(const gm_conv *g) {
    return max_of(1, min_of(phase_count(g), SUMS / (point_count(g) * g->C * g->K)));
}

void gm_conv_winograd_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw,
                              float *workspace) {
    taps_gradient op = {.kernels = gm_kernels_active(), .g = g, .N = N, .x = x, .dy = dy, .dw = dw, .zeros = workspace};
    op.points = point_count(g);
    op.u = op.zeros + g->C;
    op.y = op.u + op.points * CHUNK * operand_row(g->C);
    op.sums = op.y + op.points * CHUNK * operand_row(g->K);
    op.row_parts = min_of(4, row_tiles(&op));
    memset(op.zeros, 0, (size_t)g->C * sizeof *op.zeros);
    for (; op.first_phase < phase_count(g); op.first_phase += op.phases) {
        op.phases = min_of(most_phases(g), phase_count(g) - op.first_phase);
        sum_phases(&op);
    }
}

int64_t gm_conv_winograd_weights_workspace(const gm_conv *g) {
    int64_t sums = most_phases(g) * g->C * g->K;
    return g->C + point_count(g) * (CHUNK * (operand_row(g->C) + operand_row(g->K)) + sums);
}
