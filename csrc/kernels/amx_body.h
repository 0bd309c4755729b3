/* Register tiles over pairs of bfloat16, by a unit that multiplies whole blocks of them. Included after simd_*.h and the
 * unit's operations:
 *
 *   unit_begin(rows)            blocks 0 to 4 have so many rows, the others 16; every row is 16 words (floats or pairs).
 *                               Costs as much as a dozen products, and nothing where it is so already
 *   unit_clear(i)
 *   unit_load(i, p, stride)     row r from p + r * stride
 *   unit_store(i, p, stride)
 *   unit_multiply(i, j, k)      block i [m][n] += sum over t and both halves of block j [m][t] * block k [t][n]
 *   unit_end()
 *
 * A tile is one block of rows times up to four of columns: their sums are blocks 0 to 3, the left operand is block 4, and
 * the right ones pass through 5, 6 and 7. All are read in place: left ones from the image, without a buffer of patches, or
 * from places side by side; right ones from a packed panel, or from y. What is shorter than a block is copied into one with
 * zeros behind, as what lies there may be anything, a NaN too. */
#include <string.h>

#include "kernels/leaky_body.h"

enum { BLOCK = 16, MOST_BLOCKS = 4, WIDTH = MOST_BLOCKS * BLOCK };

typedef struct amx_buffer {
    float left[BLOCK * BLOCK], right[BLOCK * WIDTH];
} __attribute__((aligned(64))) amx_buffer;

/* The blocks' sums += left times right, a step of 16 pairs. */
GM_INLINE void step(const int blocks, const float *left, int64_t left_stride, const float *right,
                    int64_t right_stride) {
    unit_load(4, left, left_stride);
    unit_load(5, right, right_stride);
    unit_multiply(0, 4, 5);
    if (blocks > 1) {
        unit_load(6, right + BLOCK, right_stride);
        unit_multiply(1, 4, 6);
    }
    if (blocks > 2) {
        unit_load(7, right + 2 * BLOCK, right_stride);
        unit_multiply(2, 4, 7);
    }
    if (blocks > 3) {
        unit_load(5, right + 3 * BLOCK, right_stride);
        unit_multiply(3, 4, 5);
    }
}

GM_INLINE void clear_sums(void) {
    unit_clear(0);
    unit_clear(1);
    unit_clear(2);
    unit_clear(3);
}

GM_INLINE void store_sums(const int blocks, float *to) {
    unit_store(0, to, WIDTH);
    if (blocks > 1) unit_store(1, to + BLOCK, WIDTH);
    if (blocks > 2) unit_store(2, to + 2 * BLOCK, WIDTH);
    if (blocks > 3) unit_store(3, to + 3 * BLOCK, WIDTH);
}

/* The first of `length` < 16 pairs of each row, with zeros behind. */
GM_INLINE void fill_left(amx_buffer *to, int64_t rows, int64_t length, const float *left, int64_t stride) {
    for (int64_t m = 0; m < rows; m++) {
        memset(to->left + m * BLOCK, 0, BLOCK * sizeof *to->left);
        memcpy(to->left + m * BLOCK, left + m * stride, (size_t)length * sizeof *left);
    }
}

/* The first columns of `length` rows, with zeros behind and below. */
GM_INLINE void fill_right(amx_buffer *to, int64_t length, int64_t columns, int64_t width, const float *right,
                          int64_t stride) {
    memset(to->right, 0, (size_t)(BLOCK * width) * sizeof *right);
    for (int64_t t = 0; t < length; t++)
        memcpy(to->right + t * width, right + t * stride, (size_t)columns * sizeof *right);
}

/* How many of the columns from c on a vector takes. */
GM_INLINE int64_t left_of(int64_t columns, int64_t c) {
    int64_t left = columns > c ? columns - c : 0;
    return left < VL ? left : VL;
}

GM_INLINE void amx_rows(const int blocks, int64_t rows, int64_t columns, int64_t runs, const gm_run *run,
                        const float *a, int64_t a_stride, const float *panel, const gm_tile_end *end, float *out,
                        int64_t out_stride) {
    const int64_t width = blocks * BLOCK;
    amx_buffer buffer;
    unit_begin(rows);
    clear_sums();
    for (const gm_run *last = run + runs; run < last; run++) {
        const float *left = a + run->a, *right = panel + run->b * width;
        int64_t whole = run->length / BLOCK * BLOCK, rest = run->length - whole;
        for (int64_t t = 0; t < whole; t += BLOCK) step(blocks, left + t, a_stride, right + t * width, width);
        if (rest) {
            fill_left(&buffer, rows, rest, left + whole, a_stride);
            fill_right(&buffer, rest, width, width, right + whole * width, width);
            step(blocks, buffer.left, BLOCK, buffer.right, width);
        }
    }
    store_sums(blocks, buffer.right);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c += VL) {
            int64_t n = left_of(columns, c);
            vf value = v_load(buffer.right + m * WIDTH + c);
            if (end->bias) value = v_add(value, v_load_n(end->bias + c, n));
            if (end->slope != 1.0f) value = v_leaky(v_set1(end->slope), value);
            if (end->gate) {
                vf y = v_load_n(end->gate + m * out_stride + c, n);
                value = v_leaky_backward(v_set1(end->gate_slope), y, value);
            }
            v_store_n(out + m * out_stride + c, value, n);
        }
}

/* A row of places, side by side in x. */
GM_INLINE void amx_row(const int blocks, int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x,
                       const float *y, amx_buffer *buffer) {
    const int64_t width = blocks * BLOCK;
    const bool whole = columns == width || sweep->y_j == width; /* a panel holds more than its columns */
    for (int64_t j = 0; j < sweep->J; j += BLOCK) {
        int64_t length = sweep->J - j < BLOCK ? sweep->J - j : BLOCK;
        const float *left = x + j, *right = y + j * sweep->y_j;
        int64_t left_stride = sweep->x_m, right_stride = sweep->y_j;
        if (length < BLOCK) {
            fill_left(buffer, rows, length, left, left_stride);
            left = buffer->left, left_stride = BLOCK;
        }
        if (length < BLOCK || !whole) {
            fill_right(buffer, length, columns, width, right, right_stride);
            right = buffer->right, right_stride = width;
        }
        step(blocks, left, left_stride, right, right_stride);
    }
}

GM_INLINE void amx_outer(const int blocks, int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x,
                         const float *y, float *out, int64_t out_stride) {
    amx_buffer buffer;
    unit_begin(rows);
    clear_sums();
    for (int64_t n = 0; n < sweep->N; n++)
        for (int64_t i = 0; i < sweep->I; i++)
            amx_row(blocks, rows, columns, sweep, x + n * sweep->x_n + i * sweep->x_i,
                    y + n * sweep->y_n + i * sweep->y_i, &buffer);
    store_sums(blocks, buffer.right);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c += VL) {
            int64_t n = left_of(columns, c);
            float *to = out + m * out_stride + c;
            v_store_n(to, v_add(v_load_n(to, n), v_load(buffer.right + m * WIDTH + c)), n);
        }
}

/* Calls a template with the number of blocks as a constant. */
#define EACH_WIDTH(CALL)                                                                                               \
    switch ((columns + BLOCK - 1) / BLOCK) {                                                                           \
    case 1: CALL(1); break;                                                                                            \
    case 2: CALL(2); break;                                                                                            \
    case 3: CALL(3); break;                                                                                            \
    case 4: CALL(4); break;                                                                                            \
    }

static void amx_rows_tile(int64_t rows, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                          int64_t a_stride, const float *panel, const gm_tile_end *end, float *out,
                          int64_t out_stride) {
#define ROWS(BLOCKS) amx_rows(BLOCKS, rows, columns, runs, run, a, a_stride, panel, end, out, out_stride)
    EACH_WIDTH(ROWS)
#undef ROWS
}

static void amx_outer_tile(int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x, const float *y,
                           float *out, int64_t out_stride) {
#define OUTER(BLOCKS) amx_outer(BLOCKS, rows, columns, sweep, x, y, out, out_stride)
    EACH_WIDTH(OUTER)
#undef OUTER
}

#undef EACH_WIDTH

static void amx_tiles_end(void) { unit_end(); }

/* Over a table that multiplies pairs already: few columns are left to its dot_tile. */
static void amx_overlay(gm_kernels *table) {
    table->tile.vector = BLOCK;
    table->tile.panel = WIDTH;
    table->tile.rows = table->tile.wide_rows = BLOCK;
    table->tile.blocks = true;
    table->rows_tile = amx_rows_tile;
    table->outer_tile = amx_outer_tile;
    table->tiles_end = amx_tiles_end;
}
