/* 2-D convolution, its two gradients, and through them transposed convolution and dense layers. NHWC, float32 but for arrays
 * in pairs.
 *
 * One geometry ties an image (the large side) to a map (the small side):
 *     map[n, p, q, k] = sum over r, s, c of image[n, p*stride_h + r - pad_top, q*stride_w + s - pad_left, c] * w[r, s, c, k]
 * - gm_conv_forward            is that sum;
 * - gm_conv_backward_data      is its adjoint, map to image: the input gradient, and a transposed convolution's forward;
 * - gm_conv_backward_weights   is the gradient of w.
 * A transposed convolution with geometry g is backward_data forwards and forward backwards; its kernel (kh, kw, out, in)
 * is w with c = out and k = in. A dense layer is H = W = P = Q = R = S = 1. */
#ifndef GM_KERNELS_CONV_H
#define GM_KERNELS_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/activation.h"
#include "kernels/precision.h"

/* The tallest kernel: a bound on the runs of a sum, which are listed on the stack. */
#define GM_MAX_KERNEL 64

typedef struct gm_conv {
    int64_t H, W, C; /* image rows, columns, channels */
    int64_t P, Q, K; /* map rows, columns, channels */
    int64_t R, S;    /* kernel rows, columns */
    int64_t stride_h, stride_w;
    int64_t pad_top, pad_left; /* zeros before the first row and column; those behind follow from P, Q */
    gm_precision precision;    /* of x, w and dy; results and sums are float32 */
    /* The array of the image, x or dx, or of the map, y or dy, is in pairs (bfloat.h), and so is the gate of what is stored
     * there, whose epilogue has no other activations than GM_LEAKY_RELU. */
    bool image_pairs, map_pairs;
} gm_conv;

/* A dense layer, C values to K, as such a geometry. */
static inline gm_conv gm_conv_of_pixels(int64_t C, int64_t K) {
    return (gm_conv){.H = 1, .W = 1, .C = C, .P = 1, .Q = 1, .K = K, .R = 1, .S = 1, .stride_h = 1, .stride_w = 1};
}

/* What is done to a finished output value before it is stored: out = gate' * act(sum + bias). */
typedef struct gm_epilogue {
    const float *bias; /* (output channels) or NULL */
    gm_activation act; /* applied after the bias */
    const float *gate; /* same shape as the output, or NULL: the OUTPUT y of an activation, by whose derivative the */
    gm_activation gate_act; /* ... value is multiplied: the backward pass of the layer before, for free */
    bool streams;           /* gm_streams() of the output, for products that can */
} gm_epilogue;

/* Who uses a matrix that is nowhere written: `take` gets `values` (columns) of row `row`, from `column` on. It is called from
 * any thread, once for each element, while the values are in that one's cache; and what it reads at the same place of arrays
 * laid out as the matrix would be is asked for before. */
enum { GM_BESIDE = 3 };
typedef struct gm_taker {
    void (*take)(void *context, int64_t row, int64_t column, int64_t columns, const float *values);
    void *context;
    const float *beside[GM_BESIDE]; /* NULL: no more of them */
} gm_taker;

/* Multiplications of one sample in any of the three calls: of taps that lie inside the image, not on padding. */
int64_t gm_conv_products(const gm_conv *g);

/* Whether its arrays may be in pairs, those of so many channels. */
bool gm_conv_takes_pairs(const gm_conv *g);
bool gm_channels_pair(int64_t channels);

/* Floats of workspace that any of the three calls on this geometry needs for batches of N, or fewer. */
int64_t gm_conv_workspace(const gm_conv *g, int64_t N);

/* x (N,H,W,C), w (R,S,C,K) -> y (N,P,Q,K). `epilogue` may be NULL. Reads of padding are zeros and cost nothing. */
void gm_conv_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y, const gm_epilogue *epilogue,
                     float *workspace);

/* dy (N,P,Q,K), w (R,S,C,K) -> dx (N,H,W,C), overwritten. */
void gm_conv_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                           const gm_epilogue *epilogue, float *workspace);

/* Whether gm_conv_forward or, `adjoint`, gm_conv_backward_data reads this activation's gate of a value just before it stores
 * that value, once: then the output may be the gate. */
bool gm_conv_gates_in_place(const gm_conv *g, bool adjoint, gm_activation gate);

/* x (N,H,W,C), dy (N,P,Q,K): dw (R,S,C,K) = gradient, or with `add` += gradient. */
void gm_conv_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                              float *workspace);

/* The same bits, nowhere written: the taker gets them, as rows (R*S*C) of K values. For batches of at most GM_TAKEN_BATCH, and
 * where gm_conv_gives_weights(). */
#define GM_TAKEN_BATCH 512
bool gm_conv_gives_weights(const gm_conv *g);
void gm_conv_take_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, const gm_taker *taker,
                          float *workspace);

#endif
