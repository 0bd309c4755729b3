/* All pairs of the rows of two arrays, visited a tile at a time: no matrix of them is ever held.
 *
 * x (R, D) and y (C, D) in double, D features a sample. Blocks of rows of x are shared out to the threads; a block's
 * tiles come in the order of y, so what a visitor adds up row by row does not depend on the number of threads. */
#ifndef GM_METRICS_PAIRS_H
#define GM_METRICS_PAIRS_H

#include "base/arena.h"

typedef struct gm_pairs {
    int64_t R, C, D;
    const double *x;
    double *panels; /* (panels, D, width): y's rows in panels of `width` columns, zeros behind the last */
    int64_t width;
    gm_arena memory;
} gm_pairs;

/* Values of the pairs of x's rows r..r+rows-1 and y's rows c..c+columns-1: pair (m, j) at value[m * width + j]. */
typedef struct gm_pair_tile {
    int64_t r, rows, c, columns, width;
    const double *value;
} gm_pair_tile;

/* Called by several threads at once, but never for the same row. */
typedef void (*gm_pair_visitor)(void *context, const gm_pair_tile *tile);

typedef enum gm_pair_value { GM_PRODUCT, GM_SQUARED_DISTANCE } gm_pair_value;

/* Packs y; x is only looked at. R, C, D >= 1. */
gm_status gm_pairs_create(int64_t R, int64_t C, int64_t D, const double *x, const double *y, gm_pairs *pairs,
                          gm_error *error);
void gm_pairs_free(gm_pairs *pairs);

/* Visits the pairs of x's rows first..last-1. */
void gm_pairs_visit(const gm_pairs *pairs, gm_pair_value value, int64_t first, int64_t last, gm_pair_visitor visitor,
                    void *context);

#endif
