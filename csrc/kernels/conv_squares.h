/* How conv_winograd.c cuts a convolution whose kernel is twice its stride: the map into squares of 2 or 3 places along each
 * axis, as few as make it up. Each sees a window of the image for each phase (row mod stride, column mod stride), one pixel of
 * the phase larger than itself, through the 2 x 2 taps of that phase. Every pixel belongs to one phase; windows of neighbours
 * overlap by one. */
#ifndef GM_KERNELS_CONV_SQUARES_H
#define GM_KERNELS_CONV_SQUARES_H

#include "base/sizes.h"
#include "kernels/conv.h"
#include "kernels/winograd.h"

enum {
    SPARE = 16, /* floats behind each row of the products' operands, so that rows do not fill one set of the cache */
    MOST_SQUARES = 256,
    MOST_PLACES = 9,
    MOST_PIXELS = 16,
    OUTSIDE = -1
};

static inline int64_t operand_row(int64_t values) { return values + SPARE; }

/* ---- Phases ---- */

static inline int64_t phase_count(const gm_conv *g) { return g->stride_h * g->stride_w; }

/* Row and column of phase `index`. */
typedef struct phase {
    int64_t row, column;
} phase;

static inline phase phase_at(const gm_conv *g, int64_t index) {
    return (phase){index / g->stride_w, index % g->stride_w};
}

/* The kernel's tap 0..3 of a phase. */
static inline int64_t tap_of(const gm_conv *g, phase of, int64_t tap) {
    return (of.row + tap / 2 * g->stride_h) * g->S + of.column + tap % 2 * g->stride_w;
}

/* ---- Squares ---- */

/* An axis of the map, of 2 places or more, cut: pieces of 3 places, then those of 2. */
typedef struct pieces {
    int64_t count, threes;
} pieces;

static inline pieces pieces_of(int64_t places) {
    int64_t count = ceil_div(places, 3);
    return (pieces){count, places - 2 * count};
}

static inline int64_t points_of(pieces along) { return along.threes ? 4 : 3; }

/* Points of all squares: those of the largest. */
static inline int64_t point_count(const gm_conv *g) { return points_of(pieces_of(g->P)) * points_of(pieces_of(g->Q)); }

static inline int64_t squares_of_image(const gm_conv *g) { return pieces_of(g->P).count * pieces_of(g->Q).count; }

/* Products of all squares of an image, for each phase and pair of channels: a piece takes one more than its places. */
static inline int64_t products_of_image(const gm_conv *g) {
    return (g->P + pieces_of(g->P).count) * (g->Q + pieces_of(g->Q).count);
}

/* Image, first place on the map, and places along the axes. */
typedef struct square {
    int64_t n, i, j;
    int rows, columns;
} square;

static inline int64_t piece_begin(pieces along, int64_t index) { return 2 * index + min_of(index, along.threes); }

/* Number `index` of all, image by image. */
static inline square square_at(const gm_conv *g, int64_t index) {
    pieces down = pieces_of(g->P), across = pieces_of(g->Q);
    int64_t row = index / across.count % down.count, column = index % across.count;
    return (square){index / across.count / down.count, piece_begin(down, row), piece_begin(across, column),
                    row < down.threes ? 3 : 2, column < across.threes ? 3 : 2};
}

/* How the transforms see it, with points `step` apart. */
static inline gm_square transform_of(const gm_conv *g, square at, int64_t step) {
    return (gm_square){at.rows, at.columns, points_of(pieces_of(g->Q)) * step, step};
}

/* The same, of what has all points: taps. */
static inline gm_square transform_of_taps(const gm_conv *g, int64_t step) {
    pieces down = pieces_of(g->P), across = pieces_of(g->Q);
    return (gm_square){down.threes ? 3 : 2, across.threes ? 3 : 2, points_of(across) * step, step};
}

/* Some squares, ordered by size: of 3 x 2, 3 x 3, 2 x 3 and 2 x 2 places. So those that have a point are neighbours. */
typedef struct squares {
    int64_t count;
    int64_t begin[4]; /* of each size */
    square at[MOST_SQUARES];
} squares;

static inline int size_order(square of) { return of.rows == 3 ? of.columns == 3 : of.columns == 3 ? 2 : 3; }

static inline void list_squares(const gm_conv *g, int64_t first, int64_t count, squares *list) {
    int64_t next[4] = {0};
    for (int64_t k = 0; k < count; k++)
        for (int size = size_order(square_at(g, first + k)) + 1; size < 4; size++) next[size]++;
    list->count = count;
    for (int size = 0; size < 4; size++) list->begin[size] = next[size];
    for (int64_t k = 0; k < count; k++) {
        square at = square_at(g, first + k);
        list->at[next[size_order(at)]++] = at;
    }
}

/* Those that have point `index`. */
typedef struct range {
    int64_t begin, end;
} range;

static inline range squares_at_point(const gm_conv *g, const squares *list, int64_t index) {
    int64_t across = points_of(pieces_of(g->Q));
    bool of_3_rows = index / across == 3, of_3_columns = index % across == 3;
    return (range){of_3_columns ? list->begin[1] : 0, of_3_rows      ? list->begin[2]
                                                      : of_3_columns ? list->begin[3]
                                                                     : list->count};
}

/* ---- Places and pixels ---- */

/* Its places of the map, as indices of an array (N, P, Q). */
static inline void list_places(const gm_conv *g, square at, int64_t place[MOST_PLACES]) {
    for (int64_t a = 0; a < at.rows; a++)
        for (int64_t b = 0; b < at.columns; b++) *place++ = (at.n * g->P + at.i + a) * g->Q + at.j + b;
}

/* Its window of a phase, as indices of an array (N, H, W); OUTSIDE on padding. */
static inline void list_window(const gm_conv *g, phase of, square at, int64_t pixel[MOST_PIXELS]) {
    for (int64_t a = 0; a <= at.rows; a++)
        for (int64_t b = 0; b <= at.columns; b++) {
            int64_t row = g->stride_h * (at.i + a) + of.row - g->pad_top;
            int64_t column = g->stride_w * (at.j + b) + of.column - g->pad_left;
            bool inside = row >= 0 && row < g->H && column >= 0 && column < g->W;
            *pixel++ = inside ? (at.n * g->H + row) * g->W + column : OUTSIDE;
        }
}

static inline int64_t places_in(square at) { return at.rows * at.columns; }
static inline int64_t pixels_in(square at) { return (at.rows + 1) * (at.columns + 1); }

/* The values of places or pixels, to be read or written; `outside` for what lies there. */
static inline void list_values(int64_t count, const int64_t *index, const float *array, int64_t channels,
                               const float *outside, const float **values) {
    for (int64_t k = 0; k < count; k++) values[k] = index[k] == OUTSIDE ? outside : array + index[k] * channels;
}

static inline void list_targets(int64_t count, const int64_t *index, float *array, int64_t channels, float *outside,
                                float **values) {
    for (int64_t k = 0; k < count; k++) values[k] = index[k] == OUTSIDE ? outside : array + index[k] * channels;
}

#endif
