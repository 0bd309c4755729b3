/* Register tiles over pairs of bfloat16, by a unit that multiplies whole blocks of them. Included after simd_*.h and the
 * unit's operations:
 *
 *   unit_begin(first, second)   every block has 16 rows of 16 words (floats or pairs), but 0, 1 and 4 `first` rows, and 2, 3
 *                               and 5, unless it is 0, `second`. Costs as much as a dozen products, and nothing where it is so
 *   unit_clear(i)
 *   unit_load(i, p, stride)     row r from p + r * stride
 *   unit_store(i, p, stride)
 *   unit_multiply(i, j, k)      block i [m][n] += sum over t and both halves of block j [m][t] * block k [t][n]
 *   unit_end()
 *
 * A tile is up to two blocks of rows times two of columns: their sums are blocks 0 to 3, the left operands 4 and 5, the right
 * ones 6 and 7. Where the processor's other thread is busy, a block takes almost as long to load as to multiply: two by two
 * load one for each product, and three products of two parts each load two for three. All are read in place: left ones from
 * the image, without a buffer of patches, or from places side by side; right ones from a packed panel, or from y. What is
 * shorter than a block is copied into one with zeros behind, as what lies there may be anything, a NaN too. */
#include <string.h>

#include "kernels/leaky_body.h"
#include "kernels/tile_end_body.h"

enum { BLOCK = 16, SIDE = 2 * BLOCK };

/* A step's operands with zeros behind, both parts, and the sums. */
typedef struct amx_buffer {
    float left[2][SIDE * BLOCK], right[2][BLOCK * SIDE], sums[SIDE * SIDE];
} __attribute__((aligned(64))) amx_buffer;

/* Sizes of a tile that are constants: blocks of rows and columns, and whether operands have two parts. */
#define SIZES const int down, const int across, const bool both

/* A left operand in place: its rows so far apart, those of the second block so far behind the first's. */
typedef struct amx_left {
    int64_t stride, second;
} amx_left;

GM_INLINE void load_left(SIZES, const float *from, amx_left at) {
    (void)across, (void)both;
    unit_load(4, from, at.stride);
    if (down > 1) unit_load(5, from + at.second, at.stride);
}

GM_INLINE void load_right(SIZES, const float *from, int64_t stride) {
    (void)down, (void)both;
    unit_load(6, from, stride);
    if (across > 1) unit_load(7, from + BLOCK, stride);
}

GM_INLINE void multiply_blocks(SIZES) {
    (void)both;
    unit_multiply(0, 4, 6);
    if (across > 1) unit_multiply(1, 4, 7);
    if (down > 1) unit_multiply(2, 5, 6);
    if (down > 1 && across > 1) unit_multiply(3, 5, 7);
}

/* The sums += left times right, a step of 16 pairs. */
GM_INLINE void step(SIZES, const float *left, amx_left at, const float *right, int64_t right_stride, gm_low_parts low) {
    load_right(down, across, both, right, right_stride);
    if (both) {
        load_left(down, across, both, left + low.left, at);
        multiply_blocks(down, across, both);
    }
    load_left(down, across, both, left, at);
    multiply_blocks(down, across, both);
    if (!both) return;
    load_right(down, across, both, right + low.right, right_stride);
    multiply_blocks(down, across, both);
}

GM_INLINE void clear_sums(void) {
    unit_clear(0);
    unit_clear(1);
    unit_clear(2);
    unit_clear(3);
}

GM_INLINE void store_sums(SIZES, float *to) {
    (void)both;
    unit_store(0, to, SIDE);
    if (across > 1) unit_store(1, to + BLOCK, SIDE);
    if (down > 1) unit_store(2, to + BLOCK * SIDE, SIDE);
    if (down > 1 && across > 1) unit_store(3, to + BLOCK * SIDE + BLOCK, SIDE);
}

/* The first of `length` < 16 pairs of each row of a block, with zeros behind. */
GM_INLINE void fill_left(int64_t rows, int64_t length, const float *left, int64_t stride, float *to) {
    for (int64_t m = 0; m < rows; m++) {
        memset(to + m * BLOCK, 0, BLOCK * sizeof *to);
        memcpy(to + m * BLOCK, left + m * stride, (size_t)length * sizeof *left);
    }
}

/* The first columns of `length` rows, with zeros behind and below. */
GM_INLINE void fill_right(int64_t length, int64_t columns, const float *right, int64_t stride, float *to) {
    memset(to, 0, BLOCK * SIDE * sizeof *to);
    for (int64_t t = 0; t < length; t++) memcpy(to + t * SIDE, right + t * stride, (size_t)columns * sizeof *right);
}

/* A step of `length` pairs: of so many rows in each block, and `columns` of the right operand to be read. */
GM_INLINE void short_step(SIZES, const int64_t rows[2], int64_t columns, int64_t length, const float *left, amx_left at,
                          const float *right, int64_t right_stride, gm_low_parts low, amx_buffer *buffer) {
    for (int part = 0; part < (both ? 2 : 1); part++) {
        for (int block = 0; block < down; block++)
            fill_left(rows[block], length, left + part * low.left + block * at.second, at.stride,
                      buffer->left[part] + block * BLOCK * BLOCK);
        fill_right(length, columns, right + part * low.right, right_stride, buffer->right[part]);
    }
    const amx_left blocks = {BLOCK, BLOCK * BLOCK};
    gm_low_parts behind = {SIDE * BLOCK, BLOCK * SIDE};
    step(down, across, both, buffer->left[0], blocks, buffer->right[0], SIDE, behind);
}

/* How many of the columns from c on a vector takes. */
GM_INLINE int64_t left_of(int64_t columns, int64_t c) {
    int64_t left = columns > c ? columns - c : 0;
    return left < VL ? left : VL;
}

/* The lines that a block's end reads and writes are asked for as in tiles_body.h. */
GM_INLINE void ask_for_end(int64_t rows, int64_t columns, const gm_tile_end *end, const float *gate, const float *out,
                           int64_t out_stride) {
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c += BLOCK) {
            int64_t at = gm_words(m * out_stride + c, end->pairs);
            if (gate) __builtin_prefetch(gate + at);
            if (!end->streams) __builtin_prefetch(out + at, 1);
        }
}

GM_INLINE void amx_rows(SIZES, const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                        const float *panel, gm_low_parts low, const gm_tile_end *end, float *out) {
    const int64_t width = across * BLOCK, stride = rows->out_stride;
    const bool apart = rows->sets > 1;
    const int64_t in[2] = {apart || rows->count < BLOCK ? rows->count : BLOCK, down == 1 ? 0
                                                                               : apart   ? rows->count
                                                                                         : rows->count - BLOCK};
    const amx_left at = {rows->a_stride, apart ? rows->a_set : BLOCK * rows->a_stride};
    const int64_t behind = gm_words(apart ? rows->out_set : BLOCK * stride, end->pairs); /* the second block's output */
    const float *gate = end->gate;
    amx_buffer buffer;
    unit_begin(in[0], in[1]);
    clear_sums();
    for (int block = 0; block < down; block++)
        ask_for_end(in[block], width, end, gate ? gate + block * behind : NULL, out + block * behind, stride);
    for (const gm_run *last = run + runs; run < last; run++) {
        const float *left = a + run->a, *right = panel + run->b * width;
        int64_t whole = run->length / BLOCK * BLOCK, rest = run->length - whole;
        for (int64_t t = 0; t < whole; t += BLOCK)
            step(down, across, both, left + t, at, right + t * width, width, low);
        if (rest)
            short_step(down, across, both, in, width, rest, left + whole, at, right + whole * width, width, low,
                       &buffer);
    }
    store_sums(down, across, both, buffer.sums);
    for (int block = 0; block < down; block++)
        end_rows(in[block], columns, buffer.sums + block * BLOCK * SIDE, SIDE, end->bias, end,
                 gate ? gate + block * behind : NULL, out + block * behind, stride);
}

/* A row of places, side by side in x. */
GM_INLINE void amx_row(SIZES, const int64_t rows[2], int64_t columns, const gm_sweep *sweep, const float *x,
                       const float *y, amx_buffer *buffer) {
    const int64_t width = across * BLOCK;
    const bool whole = columns == width || sweep->y_j == width; /* a panel holds more than its columns */
    const amx_left at = {sweep->x_m, BLOCK * sweep->x_m};
    for (int64_t j = 0; j < sweep->J; j += BLOCK) {
        int64_t length = sweep->J - j < BLOCK ? sweep->J - j : BLOCK;
        const float *right = y + j * sweep->y_j;
        if (whole && length == BLOCK)
            step(down, across, both, x + j, at, right, sweep->y_j, sweep->low);
        else
            short_step(down, across, both, rows, columns, length, x + j, at, right, sweep->y_j, sweep->low, buffer);
    }
}

GM_INLINE void amx_outer(SIZES, int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x, const float *y,
                         float *out, int64_t out_stride) {
    const int64_t in[2] = {rows < BLOCK ? rows : BLOCK, down == 1 ? 0 : rows - BLOCK};
    amx_buffer buffer;
    unit_begin(in[0], in[1]);
    clear_sums();
    for (int64_t n = 0; n < sweep->N; n++)
        for (int64_t i = 0; i < sweep->I; i++)
            amx_row(down, across, both, in, columns, sweep, x + n * sweep->x_n + i * sweep->x_i,
                    y + n * sweep->y_n + i * sweep->y_i, &buffer);
    store_sums(down, across, both, buffer.sums);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c += VL) {
            int64_t n = left_of(columns, c);
            float *to = out + m * out_stride + c;
            vf sum = v_load(buffer.sums + m * SIDE + c);
            v_store_n(to, sweep->fresh ? sum : v_add(v_load_n(to, n), sum), n);
        }
}

/* Calls a template with its sizes as constants. */
#define EACH_SIZE(CALL, tall, both)                                                                                    \
    switch ((tall)*2 + (columns > BLOCK)) {                                                                            \
    case 0: CALL(1, 1, both); break;                                                                                   \
    case 1: CALL(1, 2, both); break;                                                                                   \
    case 2: CALL(2, 1, both); break;                                                                                   \
    case 3: CALL(2, 2, both); break;                                                                                   \
    }
#define EACH_TEMPLATE(CALL, tall, two)                                                                                 \
    if (two) {                                                                                                         \
        EACH_SIZE(CALL, tall, true)                                                                                    \
    } else {                                                                                                           \
        EACH_SIZE(CALL, tall, false)                                                                                   \
    }

static void amx_rows_tile(const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                          const float *panel, gm_low_parts low, const gm_tile_end *end, float *out) {
#define ROWS(down, across, both) amx_rows(down, across, both, rows, columns, runs, run, a, panel, low, end, out)
    EACH_TEMPLATE(ROWS, rows->sets > 1 || rows->count > BLOCK, low.left)
#undef ROWS
}

static void amx_outer_tile(int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x, const float *y,
                           float *out, int64_t out_stride) {
#define OUTER(down, across, both) amx_outer(down, across, both, rows, columns, sweep, x, y, out, out_stride)
    EACH_TEMPLATE(OUTER, rows > BLOCK, sweep->low.left)
#undef OUTER
}

#undef EACH_TEMPLATE
#undef EACH_SIZE
#undef SIZES

static void amx_tiles_end(void) {
    unit_end();
    v_streamed();
}

/* Over a table that multiplies pairs already. */
static void amx_overlay(gm_kernels *table) {
    table->tile.vector = BLOCK;
    table->tile.panel = table->tile.rows = table->tile.wide_rows = SIDE;
    table->tile.blocks = true;
    table->rows_tile = amx_rows_tile;
    table->outer_tile = amx_outer_tile;
    table->tiles_end = amx_tiles_end;
}
