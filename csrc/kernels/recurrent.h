/* The cell of a long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
 *     i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o),   g = tanh(z_g),   z = x W + h_before R + b
 *     c = f * c_before + i * g,   h = o * tanh(c)
 * The gates lie side by side in this order: i, f, g, o. N samples, U units; one time step a call. */
#ifndef GM_KERNELS_RECURRENT_H
#define GM_KERNELS_RECURRENT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/conv.h"

/* Where one step finds and leaves its arrays, (N, U) each but the gates. */
typedef struct gm_lstm_step {
    const float *before;    /* c_before; NULL at the first step: zeros */
    const float *recurrent; /* (N, 4U) h_before R, forward alone; NULL at the first step: zeros */
    float *gates;           /* (N, 4U) forward: x W + b, becomes i, f, g, o; backward: only read */
    float *c, *h;           /* forward: written; backward: c is only read */
    const float *dy;        /* backward: the gradient of h from outside the layer; NULL: zeros */
    const float *dh;        /* backward: the gradient of h from the next step */
    float *dc;              /* backward: the gradient of c from the next step, becomes that of c_before */
    float *dz;              /* (N, 4U) backward: the gradient of z, written */
} gm_lstm_step;

/* Kernels on the samples first..last-1. */
#define GM_RECURRENT_KERNELS(X)                                                                                        \
    X(void, lstm_cell, (const gm_lstm_step *step, int64_t first, int64_t last, int64_t U))                             \
    X(void, lstm_cell_backward, (const gm_lstm_step *step, int64_t first, int64_t last, int64_t U))

/* ---- On all threads ---- */

/* The same for all samples. */
void gm_lstm_cell(const gm_lstm_step *step, int64_t N, int64_t U);
void gm_lstm_cell_backward(const gm_lstm_step *step, int64_t N, int64_t U);

/* The product of each step: (N, U) times the recurrent kernel, (U, 4U), or `back`, (N, 4U) times that turned. The kernel is
 * made ready once for all steps: packed, or of operands that are made in every product, turned. (Passes of the
 * layer 1.0 to 1.2 times as fast forward, 1.1 to 1.9 times backward.) */
typedef struct gm_recurrent {
    gm_conv forward, back; /* U -> 4U, 4U -> U */
} gm_recurrent;

gm_recurrent gm_recurrent_of(int64_t U, gm_precision precision);
/* Floats of a kernel that is ready, and of workspace of a product. */
int64_t gm_recurrent_ready_floats(const gm_recurrent *g);
int64_t gm_recurrent_workspace(const gm_recurrent *g, int64_t N);
void gm_recurrent_make_ready(const gm_recurrent *g, bool back, const float *kernel, float *ready);
void gm_recurrent_multiply(const gm_recurrent *g, bool back, int64_t N, const float *x, float *ready, float *y,
                           float *workspace);

/* y (B, A, C) = x (A, B, C) with the first two axes exchanged: samples and steps, or the two of a matrix. */
void gm_exchange_axes(int64_t A, int64_t B, int64_t C, const float *x, float *y);

#endif
