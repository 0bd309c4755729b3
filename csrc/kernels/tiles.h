/* The register tiles that every product is made of.
 *
 *   rows_tile   a few output rows times a panel of output channels: A read in place from the image (broadcast),
 *               B packed into panels. Forward passes, input gradients, transposed convolutions, dense layers.
 *   dot_tile    the same for few output channels: both sides read along the sum, vectors added up at the end.
 *   outer_tile  sums of outer products of two places that sweep over positions and images: weight gradients. */
#ifndef GM_KERNELS_TILES_H
#define GM_KERNELS_TILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sizes.h"
#include "kernels/bfloat.h"

enum {
    GM_DOT_COLUMNS = 4,
    GM_WIDEST_PANEL = 64, /* most columns of a panel, and */
    GM_TALLEST_TILE = 32  /* most rows of a tile, with any instruction set */
};

typedef struct gm_tile_sizes {
    int64_t vector;    /* floats in a vector */
    int64_t panel;     /* most columns (vector side) of a rows_tile or outer_tile: two vectors or more */
    int64_t rows;      /* most rows (broadcast side) of theirs, up to two vectors wide */
    int64_t wide_rows; /* most rows of wider ones */
    int64_t dot_rows;  /* most rows of a dot_tile */
    bool blocks;       /* of pairs: whole blocks are multiplied, so fast that three products take less time than one of
                        * floats; but few channels fill no block, and an outer_tile's x is to be turned, see gm_sweep */
} gm_tile_sizes;

static inline int64_t gm_tile_rows(const gm_tile_sizes *tile, int64_t columns) {
    return columns > 2 * tile->vector ? tile->wide_rows : tile->rows;
}

/* Columns cut into panels: whole vectors, shared out so that none is thin. Only the last may hold more than its columns. */
typedef struct gm_panel {
    int64_t first, columns;
    int64_t width; /* of its vectors */
} gm_panel;

static inline int64_t gm_panel_count(const gm_tile_sizes *tile, int64_t columns) {
    return ceil_div(columns, tile->panel);
}

static inline gm_panel gm_panel_at(const gm_tile_sizes *tile, int64_t columns, int64_t index) {
    int64_t vectors = ceil_div(columns, tile->vector), panels = gm_panel_count(tile, columns);
    int64_t first = vectors * index / panels * tile->vector;
    int64_t width = vectors * (index + 1) / panels * tile->vector - first;
    return (gm_panel){first, min_of(columns - first, width), width};
}

/* One contiguous piece of a sum: `length` values from A at a + row * stride, against B from its row b on. */
typedef struct gm_run {
    int64_t a, b, length;
} gm_run;

/* Of operands in pairs of two parts: how far behind the high ones their low ones are. Zeros: there is one part. */
typedef struct gm_low_parts {
    int64_t left, right;
} gm_low_parts;

/* The rows of a tile: so many, so far apart in A and in `out`. Where tiles multiply `blocks`, perhaps as many again: those of
 * another set, so far behind the first. Each set of two then has a block at most, which rows alone might leave half empty. */
typedef struct gm_rows {
    int64_t count, a_stride, out_stride;
    int64_t sets, a_set, out_set; /* 1 or 2 of them */
    int64_t ahead; /* how far behind them in A rows are that another tile reads soon; 0: none are known */
} gm_rows;

/* What is read soon: `times` times so many lines, so far apart, and each time a step further. */
typedef struct gm_asked {
    const float *at;
    int64_t lines, line_step, step, times;
} gm_asked;

/* A rectangle of places: image n, row i, column j at x + n*x_n + i*x_i + j*x_j, and likewise y. The values of a place are
 * neighbours; but of x they are x_m apart, and x_j is 1, where the tiles multiply `blocks`. */
typedef struct gm_sweep {
    int64_t N, I, J;
    int64_t x_n, x_i, x_j;
    int64_t y_n, y_i, y_j;
    int64_t x_m;
    gm_low_parts low;
    bool y_pairs; /* y is an array in pairs, its strides in values: of tiles of floats, up to GM_DOT_COLUMNS rows */
    bool fresh;   /* the sums are written, not added, to what may be anything */
    const gm_asked *asked; /* (asks): what is asked for meanwhile, once for each n and i */
    int64_t asks;
} gm_sweep;

/* What follows a sum, as far as a tile does it: a bias, NULL or in whole vectors; leaky(v) = v < 0 ? slope * v : v; and,
 * unless the gate is NULL, the derivative of another one by its outputs y: v * (y > 0 ? 1 : gate_slope). */
typedef struct gm_tile_end {
    const float *bias;
    float slope;
    const float *gate; /* laid out as `out` is */
    float gate_slope;
    bool streams; /* `out`, in rows of whole vectors, goes past the caches (streams.h) */
    bool pairs;   /* `out` and the gate are arrays in pairs: out_stride and out_set are in values */
} gm_tile_end;

#define GM_TILE_KERNELS(X)                                                                                               \
    /* out[m, c] = end(sum over runs of a[m*a_stride + run.a + t] * panel[(run.b + t) * width + c]),                   \
     * m < rows, c < columns; width: columns in whole vectors. */ \
    X(void, rows_tile,                                                                                                   \
      (const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a, const float *panel,        \
       gm_low_parts low, const gm_tile_end *end, float *out))                                                            \
    /* The same with b (columns, b_stride) unpacked, columns <= GM_DOT_COLUMNS, a bias and a slope. */                   \
    X(void, dot_tile,                                                                                                    \
      (const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a, const float *b,            \
       int64_t b_stride, const float *bias, float slope, float *out))                                                    \
    /* out[m * out_stride + c] += (or =) sum over the sweep of x[place][m] * y[place][c]. */                             \
    X(void, outer_tile,                                                                                                  \
      (int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x, const float *y, float *out,                 \
       int64_t out_stride))                                                                                              \
    /* After the last tile of a task: what was streamed is there for all, and a unit that tiles have set up given up. */ \
    X(void, tiles_end, (void))

#endif
