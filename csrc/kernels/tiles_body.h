/* The register tiles. Included once per instruction set, after its simd_*.h and with TILE_ROWS and TILE_VECTORS defined.
 *
 * Every tile keeps its sums in registers: TILE_ROWS x 2 vectors, or, with TILE_VECTORS = 4, half as many rows of 3 or 4;
 * which the compiler can only do when both numbers are constants, so each tile is an inlined template and a switch over
 * its sizes. Each sum runs over its terms in one order, whatever the size of the tile it stands in: a row's bits do not
 * depend on its neighbours. */

#include <string.h>

#include "kernels/leaky_body.h"
#include "kernels/tile_end_body.h"

enum { PANEL = TILE_VECTORS * VL, WIDE_ROWS = TILE_ROWS / 2, DOT_ROWS = TILE_ROWS / 2 };

static const gm_tile_sizes tile_sizes = {
    .vector = VL,
    .panel = PANEL,
    .rows = TILE_ROWS,
    .wide_rows = WIDE_ROWS,
    .dot_rows = DOT_ROWS,
};

/* The lines that are met at the end of a tile are asked for at the beginning: rows of `out` lie apart, and where sums
 * are short nobody else foresees them (a layer with 64 x 64 x 32 outputs: 1.1 times as fast; weight gradients of wide
 * layers 1.06 times). Not inlined: it would be half of the code of every tile; and compilers would leave out calls of a
 * function that, as they see it, does nothing. */
static __attribute__((noinline)) void ask_for_rows(int64_t rows, int64_t vectors, bool pairs, const float *out,
                                                   int64_t out_stride) {
    for (int64_t m = 0; m < rows; m++)
        for (int64_t v = 0; v < vectors; v++) __builtin_prefetch(out + gm_words(m * out_stride + v * VL, pairs), 1);
    __asm__ volatile("");
}

/* And so are those of the gate: a second pass over what was just written would wait for its stores (2 times). What is streamed
 * needs no line. */
static __attribute__((noinline)) void ask_for_outputs(int64_t rows, int64_t vectors, const gm_tile_end *end,
                                                      const float *out, int64_t out_stride) {
    if (end->gate) ask_for_rows(rows, vectors, end->pairs, end->gate, out_stride);
    if (!end->streams) ask_for_rows(rows, vectors, end->pairs, out, out_stride);
}

/* The rows ahead are asked for run by run, and without the neighbours that their taps reach to: processors drop what they are
 * asked for all at once, and their own foresight sees no sequence in what is left. (Strides of 2, images beyond the caches:
 * 1.3 to 1.7 times as fast; asked for at the beginning of a tile 1.1 to 1.5 times, and with the neighbours down to 0.4 on the
 * layers that gain nothing.) */
GM_INLINE void ask_for_run(const float *ahead, int64_t floats) {
    for (int64_t i = 0; i < floats; i += GM_LINE_FLOATS) __builtin_prefetch(ahead + i);
}

/* Outputs without a term: rows of the bias, or of zeros, ended. */
static __attribute__((noinline)) void end_no_sums(int64_t rows, int64_t columns, const gm_tile_end *end, float *out,
                                                  int64_t out_stride) {
    float row[PANEL] = {0};
    if (end->bias) memcpy(row, end->bias, (size_t)columns * sizeof *row);
    end_rows(rows, columns, row, 0, NULL, end, end->gate, out, out_stride);
}

/* M rows times V vectors of a panel, one run or more, none of them empty: else compilers keep the sums in memory too, to have
 * them there if there is no term. Whole vectors end in registers as well. (Sums of 64 terms: 1.04 to 1.08 times as fast, and
 * three quarters of the code.) */
GM_INLINE void rows_template(const int M, const int V, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                             int64_t a_stride, int64_t ahead, const float *panel, const gm_tile_end *end, float *out,
                             int64_t out_stride) {
    const int64_t asked = ahead ? M * a_stride : 0;
    const gm_run *last = run + runs;
    vf sum[TILE_ROWS][TILE_VECTORS];
    ask_for_outputs(M, V, end, out, out_stride);
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) sum[m][v] = end->bias ? v_load(end->bias + v * VL) : v_zero();
    do {
        const float *at = a + run->a, *b = panel + run->b * V * VL, *stop = at + run->length;
        ask_for_run(at + ahead, asked);
        do {
            vf right[TILE_VECTORS];
            for (int v = 0; v < V; v++) right[v] = v_load(b + v * VL);
            for (int m = 0; m < M; m++) {
                vf left = v_set1(at[m * a_stride]);
                for (int v = 0; v < V; v++) sum[m][v] = v_fma(left, right[v], sum[m][v]);
            }
            at++, b += V * VL;
        } while (at < stop);
    } while (++run < last);
    if (end->pairs || end->streams || columns < V * VL) {
        float sums[TILE_ROWS * TILE_VECTORS * VL];
#pragma GCC unroll 16
        for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++) v_store(sums + (m * V + v) * VL, sum[m][v]);
        end_rows(M, columns, sums, V * VL, NULL, end, end->gate, out, out_stride);
        return;
    }
    if (end->slope != 1.0f) {
        const vf slope = v_set1(end->slope);
#pragma GCC unroll 16
        for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++) sum[m][v] = v_leaky(slope, sum[m][v]);
    }
    if (end->gate) {
        const vf closed = v_set1(end->gate_slope);
#pragma GCC unroll 16
        for (int m = 0; m < M; m++)
            for (int v = 0; v < V; v++)
                sum[m][v] = v_leaky_backward(closed, v_load(end->gate + m * out_stride + v * VL), sum[m][v]);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) v_store(out + m * out_stride + v * VL, sum[m][v]);
}

/* Calls a template with M = rows and V = vectors as constants. Sizes that no caller asks for are compiled as 1. */
#define FIT(size, most) ((size) <= (most) ? (size) : 1)
#define SIX_SIZES(CASE, V) CASE(1, V) CASE(2, V) CASE(3, V) CASE(4, V) CASE(5, V) CASE(6, V)
#define SIX_MORE(CASE, V) CASE(7, V) CASE(8, V) CASE(9, V) CASE(10, V) CASE(11, V) CASE(12, V)
#define EACH_NARROW_SIZE(CASE) SIX_SIZES(CASE, 1) SIX_MORE(CASE, 1) SIX_SIZES(CASE, 2) SIX_MORE(CASE, 2)
#define EACH_WIDE_SIZE(CASE) SIX_SIZES(CASE, 3) SIX_SIZES(CASE, 4)
#define CASE_OF(M, V) ((M)*8 + (V))
#define VECTORS_OF(columns) (((columns) + VL - 1) / VL)

static void rows_tile(const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                      const float *panel, gm_low_parts low, const gm_tile_end *end, float *out) {
    const int64_t a_stride = rows->a_stride, out_stride = rows->out_stride, ahead = rows->ahead;
    (void)low; /* two parts, and two sets of rows, are for blocks alone */
    if (runs == 0) {
        end_no_sums(rows->count, columns, end, out, out_stride);
        return;
    }
#define NARROW(M, V)                                                                                                   \
    case CASE_OF(M, V):                                                                                                \
        rows_template(FIT(M, TILE_ROWS), V, columns, runs, run, a, a_stride, ahead, panel, end, out, out_stride);      \
        break;
#define WIDE(M, V)                                                                                                     \
    case CASE_OF(M, V):                                                                                                \
        rows_template(FIT(M, WIDE_ROWS), FIT(V, TILE_VECTORS), columns, runs, run, a, a_stride, ahead, panel, end,     \
                      out, out_stride);                                                                                \
        break;
    switch (CASE_OF(rows->count, VECTORS_OF(columns))) { EACH_NARROW_SIZE(NARROW) EACH_WIDE_SIZE(WIDE) }
#undef WIDE
#undef NARROW
}

/* M rows times N columns, vectors along the sum; added up across the vector at the end. (The rows ahead: strides of 2, 3 x 3
 * to 1 or 3 channels, 1.2 to 1.6 times as fast.) */
GM_INLINE void dot_template(const int M, const int N, const gm_rows *rows, int64_t runs, const gm_run *run,
                            const float *a, const float *b, int64_t b_stride, const float *bias, float slope,
                            float *out) {
    const int64_t a_stride = rows->a_stride, ahead = rows->ahead, asked = ahead ? M * a_stride : 0;
    vf sum[DOT_ROWS][GM_DOT_COLUMNS];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) sum[m][n] = v_zero();
    for (const gm_run *end = run + runs; run < end; run++) {
        const float *left = a + run->a, *right = b + run->b;
        int64_t t = 0;
        ask_for_run(left + ahead, asked);
        for (; t + VL <= run->length; t += VL)
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++)
                    sum[m][n] = v_fma(v_load(left + m * a_stride + t), v_load(right + n * b_stride + t), sum[m][n]);
        if (t < run->length)
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++)
                    sum[m][n] = v_fma(v_load_n(left + m * a_stride + t, run->length - t),
                                      v_load_n(right + n * b_stride + t, run->length - t), sum[m][n]);
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float value = v_sum(sum[m][n]) + (bias ? bias[n] : 0.0f);
            out[m * rows->out_stride + n] = value < 0.0f ? value * slope : value;
        }
}

static void dot_tile(const gm_rows *rows, int64_t columns, int64_t runs, const gm_run *run, const float *a,
                     const float *b, int64_t b_stride, const float *bias, float slope, float *out) {
#define DOT_CASE(M, N)                                                                                                 \
    case M * 8 + N:                                                                                                    \
        dot_template(M <= DOT_ROWS ? M : 1, N, rows, runs, run, a, b, b_stride, bias, slope, out);                     \
        break;
#define DOT_ROW(M) DOT_CASE(M, 1) DOT_CASE(M, 2) DOT_CASE(M, 3) DOT_CASE(M, 4)
    switch (rows->count * 8 + columns) { DOT_ROW(1) DOT_ROW(2) DOT_ROW(3) DOT_ROW(4) DOT_ROW(5) DOT_ROW(6) }
#undef DOT_ROW
#undef DOT_CASE
}

/* The next V vectors of y, `part` floats in the last one, VL: full. */
GM_INLINE void load_row(const int V, const bool pairs, int64_t part, const float *y, vf row[TILE_VECTORS]) {
    for (int v = 0; v < V; v++) {
        int64_t n = v < V - 1 ? VL : part;
        if (pairs)
            row[v] = v_load_bf16(gm_value_of(y, v * VL), n);
        else
            row[v] = n == VL ? v_load(y + v * VL) : v_load_n(y + v * VL, n);
    }
}

/* For the `time`-th time, from 0; into the L2, as it is more than the L1 holds. */
GM_INLINE void ask_in_sweep(const gm_sweep *sweep, int64_t time) {
    for (int64_t i = 0; i < sweep->asks; i++) {
        const gm_asked *of = sweep->asked + i;
        for (int64_t k = 0; k < of->lines && time < of->times; k++)
            __builtin_prefetch(of->at + time * of->step + k * of->line_step, 0, 2);
    }
}

/* M values of x times V vectors of y, summed over the places of the sweep, one or more (see rows_template). */
GM_INLINE void outer_template(const int M, const int V, const bool pairs, int64_t part, const gm_sweep *over,
                              const float *x, const float *y, float *out, int64_t out_stride) {
    /* A copy, which is no memory: gcc keeps the sums in registers where the last vector is a part (20 channels: 1.7 times as
     * fast), and sanitizers need not check it in every loop of every size. */
    const gm_sweep sweep = *over;
    vf sum[TILE_ROWS][TILE_VECTORS];
    for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) sum[m][v] = v_zero();
    const int64_t step = gm_words(sweep.y_j, pairs);
    int64_t n = 0, time = 0;
    do {
        int64_t i = 0;
        do {
            const float *left = x + n * sweep.x_n + i * sweep.x_i;
            const float *right = y + gm_words(n * sweep.y_n + i * sweep.y_i, pairs);
            ask_in_sweep(&sweep, time++);
            int64_t j = sweep.J;
            do {
                vf row[TILE_VECTORS];
                load_row(V, pairs, part, right, row);
                for (int m = 0; m < M; m++) {
                    vf value = v_set1(left[m]);
                    for (int v = 0; v < V; v++) sum[m][v] = v_fma(value, row[v], sum[m][v]);
                }
                left += sweep.x_j, right += step;
            } while (--j > 0);
        } while (++i < sweep.I);
    } while (++n < sweep.N);
#pragma GCC unroll 16 /* else gcc may leave this a loop, and then keeps the sums in memory: a third of the speed */
    for (int m = 0; m < M; m++, out += out_stride) {
        float *last = out + (V - 1) * VL;
        for (int v = 0; v < V - 1; v++)
            v_store(out + v * VL, sweep.fresh ? sum[m][v] : v_add(v_load(out + v * VL), sum[m][v]));
        v_store_n(last, sweep.fresh ? sum[m][V - 1] : v_add(v_load_n(last, part), sum[m][V - 1]), part);
    }
}

static void outer_tile(int64_t rows, int64_t columns, const gm_sweep *sweep, const float *x, const float *y, float *out,
                       int64_t out_stride) {
    int64_t vectors = VECTORS_OF(columns), part = columns - (vectors - 1) * VL;
    if (sweep->N < 1 || sweep->I < 1 || sweep->J < 1) {
        for (int64_t m = 0; m < rows && sweep->fresh; m++)
            memset(out + m * out_stride, 0, (size_t)columns * sizeof *out);
        return;
    }
    ask_for_rows(rows, vectors, false, out, out_stride);
#define EACH_END(M, V, pairs)                                                                                          \
    if (part == VL)                                                                                                    \
        outer_template(M, V, pairs, VL, sweep, x, y, out, out_stride);                                                 \
    else                                                                                                               \
        outer_template(M, V, pairs, part, sweep, x, y, out, out_stride);
#define OUTER(M, V)                                                                                                    \
    if ((M) <= GM_DOT_COLUMNS && sweep->y_pairs) {                                                                     \
        EACH_END(FIT(M, GM_DOT_COLUMNS), V, true)                                                                      \
    } else {                                                                                                           \
        EACH_END(M, V, false)                                                                                          \
    }
#define NARROW(M, V)                                                                                                   \
    case CASE_OF(M, V):                                                                                                \
        OUTER(FIT(M, TILE_ROWS), V)                                                                                    \
        break;
#define WIDE(M, V)                                                                                                     \
    case CASE_OF(M, V): OUTER(FIT(M, WIDE_ROWS), FIT(V, TILE_VECTORS)) break;
    switch (CASE_OF(rows, vectors)) { EACH_NARROW_SIZE(NARROW) EACH_WIDE_SIZE(WIDE) }
#undef WIDE
#undef NARROW
#undef OUTER
#undef EACH_END
}

static void tiles_end(void) { v_streamed(); }

#undef VECTORS_OF
#undef CASE_OF
#undef EACH_WIDE_SIZE
#undef EACH_NARROW_SIZE
#undef SIX_MORE
#undef SIX_SIZES
#undef FIT
