/* The bodies of the kernels in recurrent.h, after elementwise_body.h. Included once by each isa_*.c. */
#include "kernels/recurrent.h"

/* A vector of an array that may be missing: zeros then. */
GM_INLINE vf v_take_if(const float *p, int64_t at, int64_t left) { return p ? v_take(p + at, left) : v_zero(); }

/* Units k.. of sample n: `left` of them remain. */
GM_INLINE void lstm_units(const gm_lstm_step *step, int64_t n, int64_t U, int64_t k, int64_t left) {
    int64_t at = n * U + k, gate = n * 4 * U + k;
    float *gates = step->gates + gate;
    vf z[4];
    for (int64_t j = 0; j < 4; j++)
        z[j] = v_add(v_take(gates + j * U, left), v_take_if(step->recurrent, gate + j * U, left));
    vf i = v_sigmoid(z[0]), f = v_sigmoid(z[1]), g = v_tanh(z[2]), o = v_sigmoid(z[3]);
    vf c = v_fma(f, v_take_if(step->before, at, left), v_mul(i, g));
    v_put(gates, i, left);
    v_put(gates + U, f, left);
    v_put(gates + 2 * U, g, left);
    v_put(gates + 3 * U, o, left);
    v_put(step->c + at, c, left);
    v_put(step->h + at, v_mul(o, v_tanh(c)), left);
}

static void lstm_cell(const gm_lstm_step *step, int64_t first, int64_t last, int64_t U) {
    for (int64_t n = first; n < last; n++)
        for (int64_t k = 0; k < U; k += VL) lstm_units(step, n, U, k, U - k);
}

GM_INLINE void lstm_units_backward(const gm_lstm_step *step, int64_t n, int64_t U, int64_t k, int64_t left) {
    int64_t at = n * U + k, gate = n * 4 * U + k;
    const float *gates = step->gates + gate;
    float *dz = step->dz + gate;
    const vf unused = v_zero();
    vf i = v_take(gates, left), f = v_take(gates + U, left), g = v_take(gates + 2 * U, left);
    vf o = v_take(gates + 3 * U, left), t = v_tanh(v_take(step->c + at, left));
    vf dh = v_add(v_take(step->dh + at, left), v_take_if(step->dy, at, left));
    vf dc = v_add(v_take(step->dc + at, left), v_activate_backward(GM_TANH, unused, t, v_mul(dh, o)));
    vf df = v_mul(dc, v_take_if(step->before, at, left));
    v_put(dz, v_activate_backward(GM_SIGMOID, unused, i, v_mul(dc, g)), left);
    v_put(dz + U, v_activate_backward(GM_SIGMOID, unused, f, df), left);
    v_put(dz + 2 * U, v_activate_backward(GM_TANH, unused, g, v_mul(dc, i)), left);
    v_put(dz + 3 * U, v_activate_backward(GM_SIGMOID, unused, o, v_mul(dh, t)), left);
    v_put(step->dc + at, v_mul(dc, f), left);
}

static void lstm_cell_backward(const gm_lstm_step *step, int64_t first, int64_t last, int64_t U) {
    for (int64_t n = first; n < last; n++)
        for (int64_t k = 0; k < U; k += VL) lstm_units_backward(step, n, U, k, U - k);
}
