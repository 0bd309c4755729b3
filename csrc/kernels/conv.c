/* Which form of a convolution is computed how: the one place that chooses, by the geometry alone.
 *
 *   conv_taps.c       to one channel or few, input gradient
 *   matrix.c          an output that sees one place of the image, or all of it: dense layers, kernels of 1 x 1
 *   conv_winograd.c   kernels and maps of which fewer products pay for their transforms
 *   conv_gather.c     any other, forward and input gradient
 *   conv_weights.c    any other, gradient of the weights
 *   conv_bf16.c       of operands still to be made of bfloat16: does that, and comes back here with the convolution left
 *
 * Products of matrices make their operands themselves, while they pack them. */
#include "kernels/conv.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/conv_axis.h"
#include "kernels/conv_bf16.h"
#include "kernels/conv_gather.h"
#include "kernels/conv_taps.h"
#include "kernels/conv_winograd.h"
#include "kernels/matrix.h"
#include "kernels/table.h"
#include "kernels/tiles.h"

typedef enum form { MATRIX, BFLOAT, WINOGRAD, ANY } form;

static int64_t depth_of(const gm_conv *g) { return g->R * g->S * g->C; }

/* Whether x is a matrix (rows, depth) and w one of (depth, K). Few channels are better off without packing, and so are the
 * places of a map where w stays in the caches. (Floats of 64 to 128 channels, 50,000 places: 1.05 to 1.4 times as fast, the
 * weights' gradient 1.3 to 2.) */
static bool is_matrix(const gm_conv *g) {
    enum { LEAST = 64 << 10 };
    bool everywhere = g->R == 1 && g->S == 1 && g->stride_h == 1 && g->stride_w == 1 && g->P == g->H && g->Q == g->W;
    bool whole = g->P == 1 && g->Q == 1 && g->R == g->H && g->S == g->W;
    bool padded = g->pad_top || g->pad_left, many = g->K > GM_DOT_COLUMNS && depth_of(g) > GM_DOT_COLUMNS;
    bool small = g->precision == GM_FLOAT32 && depth_of(g) * g->K < LEAST;
    return many && !padded && (whole || (everywhere && !small));
}

static form form_where(const gm_conv *g, bool squares_pay) {
    if (g->precision >= GM_BF16_PAIRS || ((g->image_pairs || g->map_pairs) && g->precision != GM_BF16)) return ANY;
    if (is_matrix(g) && !g->image_pairs && !g->map_pairs) return MATRIX;
    if (g->precision == GM_BF16 || gm_kernels_parts(g->precision)) return BFLOAT;
    return squares_pay ? WINOGRAD : ANY;
}

/* Of products with the weights, and of the weights' gradient. */
static form form_of(const gm_conv *g) { return form_where(g, gm_conv_winograd_pays(g)); }
static form form_of_weights(const gm_conv *g) { return form_where(g, gm_conv_winograd_weights_pay(g)); }

bool gm_conv_takes_pairs(const gm_conv *g) { return g->precision == GM_BF16 && form_of(g) == BFLOAT; }
bool gm_channels_pair(int64_t channels) { return channels % 2 == 0 && channels > GM_DOT_COLUMNS; }

/* ---- As products of matrices ---- */

static int64_t rows_of(const gm_conv *g, int64_t N) { return N * g->P * g->Q; }

static gm_matrix rows_by(const float *at, int64_t width) { return (gm_matrix){at, width, 1}; }
static gm_matrix transposed(gm_matrix m) { return (gm_matrix){m.at, m.column, m.row}; }

static void matrix_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y,
                           const gm_epilogue *epilogue, float *workspace) {
    gm_matrix_product product = {.rows = rows_of(g, N), .columns = g->K, .depth = depth_of(g)};
    product.precision = g->precision;
    product.a = rows_by(x, depth_of(g));
    product.b = rows_by(w, g->K);
    product.out = y;
    product.epilogue = *epilogue;
    gm_matrix_multiply(&product, workspace);
}

/* Columns are channels of each of the places of the kernel: the channels' bias, once for each place. */
static gm_epilogue epilogue_of_columns(const gm_conv *g, const gm_epilogue *of_channels, float *bias) {
    gm_epilogue e = *of_channels;
    if (!e.bias || depth_of(g) == g->C) return e;
    for (int64_t i = 0; i < depth_of(g); i++) bias[i] = e.bias[i % g->C];
    e.bias = bias;
    return e;
}

static void matrix_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                 const gm_epilogue *epilogue, float *workspace) {
    gm_matrix_product product = {.rows = rows_of(g, N), .columns = depth_of(g), .depth = g->K};
    product.precision = g->precision;
    product.a = rows_by(dy, g->K);
    product.b = transposed(rows_by(w, g->K));
    product.out = dx;
    product.epilogue = epilogue_of_columns(g, epilogue, workspace);
    gm_matrix_multiply(&product, workspace + depth_of(g));
}

static gm_matrix_product weights_product(const gm_conv *g, int64_t N, const float *x, const float *dy) {
    gm_matrix_product product = {.rows = depth_of(g), .columns = g->K, .depth = rows_of(g, N)};
    product.precision = g->precision;
    product.a = transposed(rows_by(x, depth_of(g)));
    product.b = rows_by(dy, g->K);
    return product;
}

static void matrix_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                                    float *workspace) {
    gm_matrix_product product = weights_product(g, N, x, dy);
    product.out = dw;
    product.add = add;
    gm_matrix_multiply(&product, workspace);
}

/* A bias of every column, and the product: any of the three sides may be the depth; the rows are without bound. */
static int64_t matrix_workspace(const gm_conv *g) {
    int64_t depth = depth_of(g), wide = max_of(depth, g->K);
    return depth + max_of(gm_matrix_workspace(INT64_MAX, wide, wide), gm_matrix_workspace(depth, g->K, INT64_MAX));
}

/* ---- Sides exchanged ---- */

/* With strides of 1 the image sees the map as the map sees the image, but for the kernel, which is turned by half a circle.
 * What an image of many channels and a map of few are to each other is faster the other way about. */
static bool is_exchangeable(const gm_conv *g) {
    bool strided = g->stride_h > 1 || g->stride_w > 1;
    return !strided && g->pad_top < g->R && g->pad_left < g->S && g->precision < GM_BF16_PAIRS;
}

static gm_conv exchanged(const gm_conv *g) {
    gm_conv other = *g;
    other.H = g->P, other.W = g->Q, other.C = g->K;
    other.P = g->H, other.Q = g->W, other.K = g->C;
    other.pad_top = g->R - 1 - g->pad_top, other.pad_left = g->S - 1 - g->pad_left;
    other.image_pairs = g->map_pairs, other.map_pairs = g->image_pairs;
    return other;
}

/* The kernel of g, to be that of the other: (R, S, C, K) -> (R, S, K, C), its last tap first. */
static void turn_kernel(const gm_conv *g, const float *w, bool add, float *to) {
    const int64_t taps = g->R * g->S, C = g->C, K = g->K;
    for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t k = 0; k < K; k++)
            for (int64_t c = 0; c < C; c++) {
                float value = w[((taps - 1 - tap) * C + c) * K + k];
                float *at = to + (tap * K + k) * C + c;
                *at = add ? *at + value : value;
            }
}

static bool forward_is_exchanged(const gm_conv *g) {
    gm_conv other = exchanged(g);
    return is_exchangeable(g) && gm_conv_taps_pay(&other);
}

static void exchanged_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y,
                              const gm_epilogue *epilogue, float *workspace) {
    gm_conv other = exchanged(g);
    turn_kernel(g, w, false, workspace);
    gm_conv_taps(&other, N, x, workspace, y, epilogue, workspace + depth_of(g) * g->K);
}

/* The channels of a row of the kernel then are neighbours, and meet many of the map at once. (A layer of 128 channels to 1,
 * 7 x 7: 1.5 times, in bf16 2.3.) */
static bool weights_are_exchanged(const gm_conv *g) {
    enum { MANY = 16 };
    return is_exchangeable(g) && g->K <= GM_DOT_COLUMNS && g->C >= MANY && g->R * g->S > 1;
}

static void exchanged_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add,
                                       float *dw, float *workspace) {
    gm_conv other = exchanged(g);
    gm_conv_backward_weights(&other, N, dy, x, false, workspace, workspace + depth_of(g) * g->K);
    turn_kernel(&other, workspace, add, dw);
}

/* The kernel of the other, and what the other needs for any of its products. */
static int64_t exchanged_workspace(const gm_conv *g, int64_t N) {
    gm_conv other = exchanged(g);
    return depth_of(g) * g->K + gm_conv_workspace(&other, N);
}

/* ---- The three products ---- */

/* Forward or, `adjoint`, the input gradient. */
static void multiply(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                     const gm_epilogue *epilogue, float *workspace) {
    switch (form_of(g)) {
    case MATRIX: (adjoint ? matrix_backward_data : matrix_forward)(g, N, x, w, y, epilogue, workspace); break;
    case BFLOAT: gm_conv_bf16(g, adjoint, N, x, w, y, epilogue, workspace); break;
    case WINOGRAD: gm_conv_winograd(g, adjoint, N, x, w, y, epilogue, workspace); break;
    case ANY: gm_conv_gather(g, adjoint, N, x, w, y, epilogue, workspace); break;
    }
}

static const gm_epilogue none;

void gm_conv_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y, const gm_epilogue *epilogue,
                     float *workspace) {
    if (!epilogue) epilogue = &none;
    if (forward_is_exchanged(g))
        exchanged_forward(g, N, x, w, y, epilogue, workspace);
    else
        multiply(g, false, N, x, w, y, epilogue, workspace);
}

void gm_conv_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                           const gm_epilogue *epilogue, float *workspace) {
    if (!epilogue) epilogue = &none;
    if (gm_conv_taps_pay(g))
        gm_conv_taps(g, N, dy, w, dx, epilogue, workspace);
    else
        multiply(g, true, N, dy, w, dx, epilogue, workspace);
}

void gm_conv_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                              float *workspace) {
    if (weights_are_exchanged(g)) {
        exchanged_backward_weights(g, N, x, dy, add, dw, workspace);
        return;
    }
    form form = form_of_weights(g);
    if (!add && form == WINOGRAD) memset(dw, 0, (size_t)(depth_of(g) * g->K) * sizeof *dw);
    switch (form) {
    case MATRIX: matrix_backward_weights(g, N, x, dy, add, dw, workspace); break;
    case BFLOAT: gm_conv_bf16_weights(g, N, x, dy, add, dw, workspace); break;
    case WINOGRAD: gm_conv_winograd_weights(g, N, x, dy, dw, workspace); break;
    case ANY: gm_conv_sweep_weights(g, N, x, dy, add, dw, workspace); break;
    }
}

bool gm_conv_gates_in_place(const gm_conv *g, bool adjoint, gm_activation gate) {
    if (adjoint ? gm_conv_taps_pay(g) : forward_is_exchanged(g)) return false;
    switch (form_of(g)) {
    case BFLOAT: return gm_conv_bf16_gates_in_place(g, adjoint, gate);
    case ANY: return gm_conv_gather_gates_in_tile(g, adjoint, gate);
    case MATRIX:
    case WINOGRAD: break; /* whose sums grow in the output */
    }
    return false;
}

bool gm_conv_gives_weights(const gm_conv *g) { return form_of(g) == MATRIX && g->P * g->Q == 1; }

void gm_conv_take_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, const gm_taker *taker,
                          float *workspace) {
    gm_matrix_product product = weights_product(g, N, x, dy);
    product.taker = taker;
    gm_matrix_multiply(&product, workspace);
}

static int64_t form_workspace(const gm_conv *g, int64_t N) {
    switch (form_of(g)) {
    case MATRIX: return matrix_workspace(g);
    case BFLOAT: return gm_conv_bf16_workspace(g, N);
    case WINOGRAD: return gm_conv_winograd_workspace(g);
    case ANY: return gm_conv_gather_workspace(g);
    }
    return 0;
}

static int64_t weights_workspace(const gm_conv *g) {
    switch (form_of_weights(g)) {
    case WINOGRAD: return gm_conv_winograd_weights_workspace(g);
    case ANY: return gm_conv_sweep_workspace(g);
    case MATRIX:
    case BFLOAT: break; /* of any product */
    }
    return 0;
}

int64_t gm_conv_workspace(const gm_conv *g, int64_t N) {
    int64_t floats = max_of(form_workspace(g, N), weights_workspace(g));
    if (gm_conv_taps_pay(g)) floats = max_of(floats, gm_conv_taps_workspace(g, N));
    if (forward_is_exchanged(g) || weights_are_exchanged(g)) floats = max_of(floats, exchanged_workspace(g, N));
    return floats;
}

/* Pairs of an output and a tap inside the image, along one axis. */
static int64_t true_taps(axis x) {
    int64_t taps = 0;
    for (int64_t j = 0; j < x.count; j++) taps += tap_end(&x, j) - tap_begin(&x, j);
    return taps;
}

int64_t gm_conv_products(const gm_conv *g) {
    int64_t rows = true_taps(forward_axis(g->R, g->stride_h, g->pad_top, g->H, g->P));
    int64_t columns = true_taps(forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q));
    return rows * columns * g->C * g->K;
}
