/* How conv_winograd.c cuts a convolution: the kernel into strands, the map into squares.
 *
 * Along an axis a strand is 1 to 3 neighbouring taps of one phase (row or column of the image, mod stride), all phases' taps
 * cut as evenly as can be; and a piece of the map is 1 to 3 places. Through a strand a piece sees a window of the phase, one
 * pixel less than both together, of at most 4. So the largest strands and the largest pieces are 2 and 3, or 3 and 2; others
 * are one smaller. A square is a piece of the rows and one of the columns, and a strand is one of each. */
#ifndef GM_KERNELS_CONV_SQUARES_H
#define GM_KERNELS_CONV_SQUARES_H

#include "base/sizes.h"
#include "kernels/conv.h"
#include "kernels/winograd.h"

enum {
    SPARE = 16, /* floats behind each row of the products' operands, so that rows do not fill one set of the cache */
    WINDOW = 4, /* most values along it */
    STRAND = 3,
    MOST_STRANDS = 6, /* along an axis */
    MOST_SQUARES = 128,
    MOST_PLACES = 9,
    MOST_PIXELS = 16,
    OUTSIDE = -1
};

static inline int64_t operand_row(int64_t values) { return values + SPARE; }

/* ---- An axis ---- */

/* Taps phase + (first + t) * stride of the kernel, t < taps. */
typedef struct strand {
    int64_t phase, first, taps;
} strand;

typedef struct cut {
    int64_t stride, pad, map;
    strand strand[MOST_STRANDS];         /* larger ones first */
    int64_t strands, large, taps;        /* of them; larger ones; taps of these */
    int64_t pieces, long_pieces, places; /* of the map; longer ones, which come first; places of these */
} cut;

static inline int64_t taps_of_phase(int64_t kernel, int64_t stride, int64_t phase) {
    return phase < kernel ? ceil_div(kernel - phase, stride) : 0;
}

/* Appends the strands of so many taps. */
static inline void list_strands(cut *along, int64_t kernel, int64_t taps) {
    for (int64_t phase = 0; phase < along->stride; phase++) {
        int64_t all = taps_of_phase(kernel, along->stride, phase), count = ceil_div(all, STRAND);
        for (int64_t i = 0; i < count; i++) {
            int64_t first = all * i / count, size = all * (i + 1) / count - first;
            if (size == taps) along->strand[along->strands++] = (strand){phase, first, taps};
        }
    }
}

/* False for what cannot be cut so, or gains nothing: no two taps of a phase, or too many. */
static inline bool cut_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t map, cut *along) {
    int64_t strands = 0, taps = 0;
    for (int64_t phase = 0; phase < stride; phase++) {
        int64_t all = taps_of_phase(kernel, stride, phase), count = ceil_div(all, STRAND);
        if (all < 1) return false;
        strands += count;
        taps = max_of(taps, ceil_div(all, count));
    }
    if (strands > MOST_STRANDS || taps < 2) return false;
    *along = (cut){.stride = stride, .pad = pad, .map = map, .taps = taps, .places = WINDOW + 1 - taps};
    list_strands(along, kernel, taps);
    along->large = along->strands;
    list_strands(along, kernel, taps - 1);
    along->pieces = ceil_div(map, along->places);
    along->long_pieces = map - along->pieces * (along->places - 1);
    return along->strands == strands && along->long_pieces >= 0;
}

static inline int64_t piece_begin(const cut *along, int64_t piece) {
    return piece * (along->places - 1) + min_of(piece, along->long_pieces);
}
static inline int piece_places(const cut *along, int64_t piece) {
    return (int)along->places - (piece >= along->long_pieces);
}

static inline int window_of(int64_t places, int64_t taps) { return (int)(places + taps - 1); }

/* The points of the longest piece that there is, through a strand, or through all. */
static inline int points_of(const cut *along, int64_t taps) { return window_of(piece_places(along, 0), taps); }
static inline int most_points(const cut *along) { return points_of(along, along->taps); }

/* How many strands, the first ones, have this point of a piece of so many places. */
static inline int64_t strands_at_point(const cut *along, int64_t places, int64_t point) {
    if (window_of(places, along->taps - 1) > point) return along->strands;
    return window_of(places, along->taps) > point ? along->large : 0;
}

/* Products along the axis: the windows of all pieces through all strands. */
static inline int64_t products_along(const cut *along) {
    int64_t taps = along->strands * (along->taps - 1) + along->large;
    return along->strands * (along->map - along->pieces) + along->pieces * taps;
}

/* ---- Both axes ---- */

typedef struct grid {
    const gm_conv *g;
    cut rows, columns;
} grid;

static inline bool grid_of(const gm_conv *g, grid *made) {
    made->g = g;
    return cut_axis(g->R, g->stride_h, g->pad_top, g->P, &made->rows) &&
           cut_axis(g->S, g->stride_w, g->pad_left, g->Q, &made->columns);
}

static inline int64_t strand_count(const grid *of) { return of->rows.strands * of->columns.strands; }
static inline strand row_strand(const grid *of, int64_t index) { return of->rows.strand[index / of->columns.strands]; }
static inline strand column_strand(const grid *of, int64_t index) {
    return of->columns.strand[index % of->columns.strands];
}

/* Whether no two strands see the same pixels. */
static inline bool strands_are_phases(const grid *of) {
    return of->rows.strands == of->rows.stride && of->columns.strands == of->columns.stride;
}

/* The taps of a strand, as indices of the kernel; how many there are. */
static inline int64_t list_taps(const grid *of, int64_t index, int64_t tap[MOST_PLACES]) {
    strand down = row_strand(of, index), across = column_strand(of, index);
    for (int64_t a = 0; a < down.taps; a++)
        for (int64_t b = 0; b < across.taps; b++) {
            int64_t r = down.phase + (down.first + a) * of->rows.stride;
            *tap++ = r * of->g->S + across.phase + (across.first + b) * of->columns.stride;
        }
    return down.taps * across.taps;
}

static inline int64_t point_count(const grid *of) { return most_points(&of->rows) * most_points(&of->columns); }
static inline int64_t products_of_image(const grid *of) {
    return products_along(&of->rows) * products_along(&of->columns);
}

/* ---- Squares ---- */

/* Image, first place on the map, and places along the axes. */
typedef struct square {
    int64_t n, i, j;
    int rows, columns;
} square;

static inline int64_t squares_of_image(const grid *of) { return of->rows.pieces * of->columns.pieces; }

/* Number `index` of all, image by image. */
static inline square square_at(const grid *of, int64_t index) {
    int64_t across = of->columns.pieces, down = index / across % of->rows.pieces, column = index % across;
    return (square){index / squares_of_image(of), piece_begin(&of->rows, down), piece_begin(&of->columns, column),
                    piece_places(&of->rows, down), piece_places(&of->columns, column)};
}

/* What the transforms are to know: of values along the axes, that have so many points; these are `step` apart. */
static inline gm_square transform(const grid *of, int64_t rows, int64_t columns, int row_points, int column_points,
                                  int64_t step) {
    return (gm_square){(int)rows, (int)columns, row_points, column_points, most_points(&of->columns) * step, step};
}

/* Of a square's places, seen through any strand, of its window through one, and of the taps of that. */
static inline gm_square transform_of_places(const grid *of, square at, int64_t step) {
    return transform(of, at.rows, at.columns, window_of(at.rows, of->rows.taps),
                     window_of(at.columns, of->columns.taps), step);
}
static inline gm_square transform_of_window(const grid *of, int64_t index, square at, int64_t step) {
    int rows = window_of(at.rows, row_strand(of, index).taps);
    int columns = window_of(at.columns, column_strand(of, index).taps);
    return transform(of, rows, columns, rows, columns, step);
}
static inline gm_square transform_of_taps(const grid *of, int64_t index, int64_t step) {
    int64_t rows = row_strand(of, index).taps, columns = column_strand(of, index).taps;
    return transform(of, rows, columns, points_of(&of->rows, rows), points_of(&of->columns, columns), step);
}

/* ---- Squares ordered by size ---- */

/* Long rows and short columns, long and long, short and long, short and short: those that have a point are neighbours. */
enum { SIZES = 4 };
typedef struct squares {
    int64_t count;
    int64_t begin[SIZES + 1]; /* of each size */
    square at[MOST_SQUARES];
} squares;

static inline bool rows_are_long(int size) { return size < 2; }
static inline bool columns_are_long(int size) { return size == 1 || size == 2; }

static inline int size_of(const grid *of, square at) {
    bool is_long = at.columns == of->columns.places;
    return at.rows == of->rows.places ? is_long : is_long ? 2 : 3;
}

static inline void list_squares(const grid *of, int64_t first, int64_t count, squares *list) {
    int64_t next[SIZES + 1] = {0};
    for (int64_t k = 0; k < count; k++)
        for (int size = size_of(of, square_at(of, first + k)) + 1; size <= SIZES; size++) next[size]++;
    list->count = count;
    for (int size = 0; size <= SIZES; size++) list->begin[size] = next[size];
    for (int64_t k = 0; k < count; k++) {
        square at = square_at(of, first + k);
        list->at[next[size_of(of, at)]++] = at;
    }
}

/* How many strands along each axis, the first ones, have point `index` of squares of a size. */
typedef struct strands_of_size {
    int64_t rows, columns;
} strands_of_size;

static inline strands_of_size strands_of(const grid *of, int size, int64_t index) {
    int64_t across = most_points(&of->columns);
    return (strands_of_size){
        strands_at_point(&of->rows, of->rows.places - !rows_are_long(size), index / across),
        strands_at_point(&of->columns, of->columns.places - !columns_are_long(size), index % across)};
}

typedef struct range {
    int64_t begin, end;
} range;

/* The squares that have point `index` through strand `s`. */
static inline range squares_at_point(const grid *of, const squares *list, int64_t s, int64_t index) {
    range found = {0, 0};
    for (int size = SIZES - 1; size >= 0; size--) {
        strands_of_size at = strands_of(of, size, index);
        if (s / of->columns.strands >= at.rows || s % of->columns.strands >= at.columns) continue;
        if (found.end == 0) found.end = list->begin[size + 1];
        found.begin = list->begin[size];
    }
    return found;
}

/* ---- Places and pixels ---- */

/* Its places of the map, as indices of an array (N, P, Q); how many there are. */
static inline int64_t list_places(const grid *of, square at, int64_t place[MOST_PLACES]) {
    for (int64_t a = 0; a < at.rows; a++)
        for (int64_t b = 0; b < at.columns; b++) *place++ = (at.n * of->g->P + at.i + a) * of->g->Q + at.j + b;
    return at.rows * at.columns;
}

static inline int64_t pixel_along(const cut *along, strand of, int64_t place) {
    return along->stride * (place + of.first) + of.phase - along->pad;
}

/* Its window through a strand, as indices of an array (N, H, W), OUTSIDE on padding; how many there are. */
static inline int64_t list_window(const grid *of, int64_t index, square at, int64_t pixel[MOST_PIXELS]) {
    strand down = row_strand(of, index), across = column_strand(of, index);
    int64_t rows = window_of(at.rows, down.taps), columns = window_of(at.columns, across.taps);
    for (int64_t a = 0; a < rows; a++)
        for (int64_t b = 0; b < columns; b++) {
            int64_t row = pixel_along(&of->rows, down, at.i + a), column = pixel_along(&of->columns, across, at.j + b);
            bool inside = row >= 0 && row < of->g->H && column >= 0 && column < of->g->W;
            *pixel++ = inside ? (at.n * of->g->H + row) * of->g->W + column : OUTSIDE;
        }
    return rows * columns;
}

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
