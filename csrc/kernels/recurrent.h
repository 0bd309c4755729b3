/* The cell of a long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
 *     i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o),   g = tanh(z_g),   z = x W + h_before R + b
 *     c = f * c_before + i * g,   h = o * tanh(c)
 * The gates lie side by side in this order: i, f, g, o. N samples, U units; one time step a call. */
#ifndef GM_KERNELS_RECURRENT_H
#define GM_KERNELS_RECURRENT_H

#include <stdint.h>

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

/* The same for all samples, on all threads. */
void gm_lstm_cell(const gm_lstm_step *step, int64_t N, int64_t U);
void gm_lstm_cell_backward(const gm_lstm_step *step, int64_t N, int64_t U);

/* y (B, A, C) = x (A, B, C) with the first two axes exchanged: samples and steps, or the two of a matrix. */
void gm_exchange_axes(int64_t A, int64_t B, int64_t C, const float *x, float *y);

#endif
