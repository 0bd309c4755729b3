/* Tiles of numbers that belong to pairs of rows, in double: what distances and kernels between samples are made of.
 *
 * Rows lie one behind the other, (rows, D); columns in a panel (D, width) of `vector` columns, the table's tile.vector.
 * A sum runs over its D terms in their order, each product rounded: the same bits on every instruction set. */
#ifndef GM_KERNELS_PAIRS_H
#define GM_KERNELS_PAIRS_H

#include <stdint.h>

enum { GM_PAIR_ROWS = 4 }; /* most rows of a tile */

#define GM_PAIR_KERNELS(X)                                                                                             \
    /* out (rows, width) = sum over d of row[d] * column[d]; 1 <= rows <= GM_PAIR_ROWS. */                             \
    X(void, product_tile, (int64_t rows, int64_t D, const double *x, const double *panel, double *out))                \
    /* out (rows, width) = sum over d of (row[d] - column[d])^2. */                                                    \
    X(void, distance_tile, (int64_t rows, int64_t D, const double *x, const double *panel, double *out))

#endif
