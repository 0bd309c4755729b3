/* Input gradients to few channels, which are what a decoder's last transposed convolution is, by gradients to more.
 *
 * A block of sums has 16 columns, one a channel: of one channel it would be empty but for that. So the S taps of a kernel's
 * row become channels, of a kernel of one column: (R, S, C, K) is that of (R, 1, S * C, K) as it is. What this leaves at a
 * place of the map's row belongs to S places of the image's row, to which it is added. (A layer of 128 channels to 1, 7 x 7:
 * 1.8 times as fast as by vectors along its sums.) */
#include "kernels/conv_columns.h"

#include <stddef.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"

enum { CHUNK_FLOATS = 256 << 10 }; /* of sums at a time: 1 MB */

/* The convolution of one column. */
static gm_conv of_column(const gm_conv *g) {
    gm_conv column = *g;
    column.W = g->Q, column.C = g->S * g->C;
    column.S = 1, column.stride_w = 1, column.pad_left = 0;
    return column;
}

bool gm_conv_columns_pay(const gm_conv *g) {
    enum { BLOCK_VALUES = 32 }; /* of bfloat16, along the sum */
    bool blocks = g->precision == GM_BF16 && gm_kernels_parts(GM_BF16) && gm_kernels_for(GM_BF16_PAIRS)->tile.blocks;
    return blocks && g->C <= GM_DOT_COLUMNS && g->S > 1 && g->S * g->C > GM_DOT_COLUMNS && g->K >= BLOCK_VALUES;
}

static int64_t sums_of(const gm_conv *column) { return column->H * column->W * column->C; }

static int64_t images_a_chunk(const gm_conv *column, int64_t N) {
    return min_of(N, max_of(1, CHUNK_FLOATS / sums_of(column)));
}

/* Some images, and what their rows are added up from. */
typedef struct images {
    const gm_conv *g;
    const float *sums; /* (N, H, Q, S * C) */
    float *dx;
    const gm_epilogue *epilogue; /* of these images */
} images;

static void add_row(const gm_conv *g, const float *sums, const float *bias, float *row) {
    const int64_t place = g->S * g->C, step = g->stride_w * g->C;
    const axis across = forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    for (int64_t i = 0; i < g->W * g->C; i++) row[i] = bias ? bias[i % g->C] : 0.0f;
    for (int64_t s = 0; s < g->S; s++) {
        const outputs places = outputs_of_tap(&across, s);
        for (int64_t c = 0; c < g->C; c++) {
            const int64_t first = (s - g->pad_left) * g->C + c;
            const float *at = sums + s * g->C + c;
            for (int64_t q = places.begin; q < places.end; q++) row[first + q * step] += at[q * place];
        }
    }
}

static void row_task(void *context, int64_t index) {
    const images *of = context;
    const gm_conv *g = of->g;
    const gm_epilogue *e = of->epilogue;
    const gm_kernels *kernels = gm_kernels_active();
    const int64_t count = g->W * g->C;
    float *row = of->dx + index * count;
    add_row(g, of->sums + index * g->Q * g->S * g->C, e->bias, row);
    if (e->act.kind != GM_LINEAR) kernels->activate(e->act, count, row, row);
    if (e->gate) kernels->activate_backward(e->gate_act, count, e->gate + index * count, row, row);
}

void gm_conv_columns_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                   const gm_epilogue *epilogue, float *workspace) {
    const gm_conv column = of_column(g);
    const int64_t chunk = images_a_chunk(&column, N), image = g->H * g->W * g->C;
    const int64_t map = gm_words(g->P * g->Q * g->K, g->map_pairs);
    float *sums = workspace, *rest = workspace + chunk * sums_of(&column);
    for (int64_t n = 0; n < N; n += chunk) {
        int64_t count = min_of(chunk, N - n);
        gm_conv_backward_data(&column, count, dy + n * map, w, sums, NULL, rest);
        gm_epilogue end = epilogue ? *epilogue : (gm_epilogue){0};
        if (end.gate) end.gate += n * image;
        images of = {g, sums, dx + n * image, &end};
        gm_parallel_for(count * g->H, row_task, &of);
    }
}

int64_t gm_conv_columns_workspace(const gm_conv *g, int64_t N) {
    const gm_conv column = of_column(g);
    const int64_t chunk = images_a_chunk(&column, N);
    return chunk * sums_of(&column) + gm_conv_workspace(&column, chunk);
}
