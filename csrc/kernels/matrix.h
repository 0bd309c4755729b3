/* Products of matrices: what dense layers are, and convolutions that see one place at a time. */
#ifndef GM_KERNELS_MATRIX_H
#define GM_KERNELS_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv.h"

/* Element (i, j) is at[i * row + j * column]. */
typedef struct gm_matrix {
    const float *at;
    int64_t row, column;
} gm_matrix;

/* out (rows, columns), its rows without gaps, = a (rows, depth) b (depth, columns) through the epilogue;
 * or, `add`, out += a b; or nothing, but the taker gets the rows of a b: of a depth of at most GM_TAKEN_BATCH. A row's values
 * do not depend on how many others there are. */
typedef struct gm_matrix_product {
    int64_t rows, columns, depth;
    gm_matrix a, b;
    gm_precision precision; /* of a and b; not pairs */
    float *out;
    bool add;
    gm_epilogue epilogue;
    const gm_taker *taker; /* NULL: out */
} gm_matrix_product;

/* Floats of workspace of a product of at most these sizes; bounded, however large they are. */
int64_t gm_matrix_workspace(int64_t rows, int64_t columns, int64_t depth);

void gm_matrix_multiply(const gm_matrix_product *product, float *workspace);

#endif
