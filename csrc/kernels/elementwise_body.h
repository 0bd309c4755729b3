/* The bodies of the kernels in elementwise.h, over the names of simd.h. Included once by each isa_*.c.
 *
 * Every loop treats its tail with the same operations as the rest (v_take, v_put), so an element gets the same bits
 * wherever it stands. v_min and v_max return their second operand when one is a NaN: the data goes there. */
#include <float.h>
#include <math.h>

#include "kernels/elementwise.h"
#include "kernels/leaky_body.h"

/* The next VL floats at p, or the `left` that remain. */
GM_INLINE vf v_take(const float *p, int64_t left) { return left >= VL ? v_load(p) : v_load_n(p, left); }
GM_INLINE void v_put(float *p, vf v, int64_t left) {
    if (left >= VL)
        v_store(p, v);
    else
        v_store_n(p, v, left);
}

/* ---- Elementary functions ---- */

/* x = n ln 2 + r with |r| <= ln 2 / 2: returns e^r - 1 by its Taylor series to r^7 (remainder below 6e-9). */
GM_INLINE vf v_exp_reduced(vf x, vf *n) {
    *n = v_round(v_mul(x, v_set1(1.44269504f)));
    /* ln 2 in two parts; n times the first is exact. */
    vf r = v_fma(*n, v_set1(-0.693359375f), x);
    r = v_fma(*n, v_set1(2.12194440e-4f), r);
    vf p = v_set1(1.0f / 5040);
    p = v_fma(p, r, v_set1(1.0f / 720));
    p = v_fma(p, r, v_set1(1.0f / 120));
    p = v_fma(p, r, v_set1(1.0f / 24));
    p = v_fma(p, r, v_set1(1.0f / 6));
    p = v_fma(p, r, v_set1(0.5f));
    return v_fma(v_mul(p, r), r, r);
}

/* e^x; infinity above 88.7, 0 far below. The power of two goes in two halves, so that neither leaves its range. */
GM_INLINE vf v_exp(vf x) {
    x = v_max(v_set1(-120.0f), v_min(v_set1(120.0f), x));
    vf n, q = v_exp_reduced(x, &n);
    vf half = v_round(v_mul(n, v_set1(0.5f)));
    return v_mul(v_mul(v_add(q, v_set1(1.0f)), v_pow2(half)), v_pow2(v_sub(n, half)));
}

/* tanh |x| = -e / (2 + e) with e = exp(-2 |x|) - 1, which keeps its relative precision near 0. */
GM_INLINE vf v_tanh(vf x) {
    vf y = v_max(v_set1(-40.0f), v_mul(v_set1(-2.0f), v_abs(x)));
    vf n, q = v_exp_reduced(y, &n), power = v_pow2(n);
    vf e = v_fma(power, q, v_sub(power, v_set1(1.0f)));
    vf positive = v_div(v_sub(v_zero(), e), v_add(v_set1(2.0f), e));
    return v_below_zero(x, v_sub(v_zero(), positive), positive);
}

GM_INLINE vf v_sigmoid(vf x) { return v_div(v_set1(1.0f), v_add(v_set1(1.0f), v_exp(v_sub(v_zero(), x)))); }

/* log(1 + u), 0 <= u <= 1: 2 atanh(s) with s = u / (2 + u) <= 1/3, its series to s^15. */
GM_INLINE vf v_log1p(vf u) {
    vf s = v_div(u, v_add(v_set1(2.0f), u)), z = v_mul(s, s);
    vf p = v_set1(2.0f / 15);
    p = v_fma(p, z, v_set1(2.0f / 13));
    p = v_fma(p, z, v_set1(2.0f / 11));
    p = v_fma(p, z, v_set1(2.0f / 9));
    p = v_fma(p, z, v_set1(2.0f / 7));
    p = v_fma(p, z, v_set1(2.0f / 5));
    p = v_fma(p, z, v_set1(2.0f / 3));
    p = v_fma(p, z, v_set1(2.0f));
    return v_mul(p, s);
}

/* ---- Activations ---- */

/* `kind` is a constant where these are used, so the switch costs nothing. */
GM_INLINE vf v_activate(gm_activation_kind kind, vf slope, vf x) {
    switch (kind) {
    case GM_LEAKY_RELU: return v_leaky(slope, x);
    case GM_TANH: return v_tanh(x);
    case GM_SIGMOID: return v_sigmoid(x);
    case GM_LINEAR: break;
    }
    return x;
}

/* dy times the derivative, told from the output y. At y = 0 it is the slope, as PyTorch has it. */
GM_INLINE vf v_activate_backward(gm_activation_kind kind, vf slope, vf y, vf dy) {
    switch (kind) {
    case GM_LEAKY_RELU: return v_leaky_backward(slope, y, dy);
    case GM_TANH: return v_mul(dy, v_mul(v_sub(v_set1(1.0f), y), v_add(v_set1(1.0f), y)));
    case GM_SIGMOID: return v_mul(dy, v_mul(y, v_sub(v_set1(1.0f), y)));
    case GM_LINEAR: break;
    }
    return dy;
}

GM_INLINE void activate_as(gm_activation_kind kind, float slope, int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += VL) v_put(y + i, v_activate(kind, v_set1(slope), v_take(x + i, n - i)), n - i);
}

GM_INLINE void activate_backward_as(gm_activation_kind kind, float slope, int64_t n, const float *y, const float *dy,
                                    float *dx) {
    for (int64_t i = 0; i < n; i += VL) {
        vf d = v_activate_backward(kind, v_set1(slope), v_take(y + i, n - i), v_take(dy + i, n - i));
        v_put(dx + i, d, n - i);
    }
}

static void activate(gm_activation act, int64_t n, const float *x, float *y) {
    switch (act.kind) {
    case GM_LEAKY_RELU: activate_as(GM_LEAKY_RELU, act.slope, n, x, y); break;
    case GM_TANH: activate_as(GM_TANH, 0, n, x, y); break;
    case GM_SIGMOID: activate_as(GM_SIGMOID, 0, n, x, y); break;
    case GM_LINEAR: activate_as(GM_LINEAR, 0, n, x, y); break;
    }
}

static void activate_backward(gm_activation act, int64_t n, const float *y, const float *dy, float *dx) {
    switch (act.kind) {
    case GM_LEAKY_RELU: activate_backward_as(GM_LEAKY_RELU, act.slope, n, y, dy, dx); break;
    case GM_TANH: activate_backward_as(GM_TANH, 0, n, y, dy, dx); break;
    case GM_SIGMOID: activate_backward_as(GM_SIGMOID, 0, n, y, dy, dx); break;
    case GM_LINEAR: activate_backward_as(GM_LINEAR, 0, n, y, dy, dx); break;
    }
}

/* ---- Losses ---- */

enum { SUM_BLOCK = 16 }; /* vectors added in float32 before their sum goes to the double */

/* max(x, 0) - x t + log(1 + exp(-|x|)), which no x overflows; the derivative is sigmoid(x) - t. */
GM_INLINE vf v_cross_entropy(vf x, vf t, vf *derivative) {
    vf one = v_set1(1.0f), e = v_exp(v_sub(v_zero(), v_abs(x)));
    vf sigmoid = v_div(v_below_zero(x, e, one), v_add(one, e));
    *derivative = v_sub(sigmoid, t);
    return v_add(v_sub(v_max(v_zero(), x), v_mul(x, t)), v_log1p(e));
}

static double cross_entropy(int64_t n, const float *x, const float *t, float scale, float *dx) {
    double total = 0;
    for (int64_t block = 0; block < n; block += SUM_BLOCK * VL) {
        int64_t end = n - block < SUM_BLOCK * VL ? n : block + SUM_BLOCK * VL;
        vf sum = v_zero();
        for (int64_t i = block; i < end; i += VL) {
            vf derivative, loss = v_cross_entropy(v_take(x + i, n - i), v_take(t + i, n - i), &derivative);
            v_put(dx + i, v_mul(derivative, v_set1(scale)), n - i);
            if (n - i < VL) { /* the zeros behind the tail have a loss of log 2 each: leave them out */
                float part[VL];
                v_store(part, loss);
                loss = v_load_n(part, n - i);
            }
            sum = v_add(sum, loss);
        }
        total += (double)v_sum(sum);
    }
    return total;
}

static double squared_error(int64_t n, const float *x, const float *t, float scale, float *dx) {
    double total = 0;
    for (int64_t block = 0; block < n; block += SUM_BLOCK * VL) {
        int64_t end = n - block < SUM_BLOCK * VL ? n : block + SUM_BLOCK * VL;
        vf sum = v_zero();
        for (int64_t i = block; i < end; i += VL) {
            vf error = v_sub(v_take(x + i, n - i), v_take(t + i, n - i));
            v_put(dx + i, v_mul(error, v_set1(2.0f * scale)), n - i);
            sum = v_fma(error, error, sum);
        }
        total += (double)v_sum(sum);
    }
    return total;
}

/* ---- Ranges and pixels ---- */

static void clamp_to_unit(int64_t n, const float *x, float scale, float shift, float *y) {
    for (int64_t i = 0; i < n; i += VL) {
        vf v = v_fma(v_take(x + i, n - i), v_set1(scale), v_set1(shift));
        v_put(y + i, v_max(v_zero(), v_min(v_set1(1.0f), v)), n - i);
    }
}

static float peak(int64_t n, const float *x) {
    vf largest = v_zero(), poison = v_zero(); /* 0 * x is 0 for a finite x, NaN otherwise */
    for (int64_t i = 0; i < n; i += VL) {
        vf v = v_take(x + i, n - i);
        largest = v_max(largest, v_abs(v));
        poison = v_add(poison, v_mul(v, v_zero()));
    }
    return isfinite(v_sum(poison)) ? v_peak(largest) : INFINITY;
}

static int64_t first_outside(int64_t n, const float *x, float low, float high) {
    enum { BLOCK = 256 };
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t end = n - start < BLOCK ? n : start + BLOCK;
        int inside = 1;
        for (int64_t i = start; i < end; i++) inside &= (x[i] >= low) & (x[i] <= high);
        for (int64_t i = start; !inside && i < end; i++)
            if (!(x[i] >= low && x[i] <= high)) return i;
    }
    return n;
}

static void load_bytes(int64_t rows, int64_t C, int64_t stride, const uint8_t *restrict x, float scale, float shift,
                       float *restrict out) {
    for (int64_t row = 0; row < rows; row++, x += C, out += stride)
        for (int64_t c = 0; c < C; c++) out[c] = scale * ((float)x[c] / 255.0f) + shift;
}

static void load_floats(int64_t rows, int64_t C, int64_t stride, const float *restrict x, float scale, float shift,
                        float *restrict out) {
    for (int64_t row = 0; row < rows; row++, x += C, out += stride)
        for (int64_t c = 0; c < C; c++) out[c] = scale * x[c] + shift;
}

static void load_one_hot(int64_t rows, int64_t classes, int64_t stride, int64_t label, float *out) {
    for (int64_t row = 0; row < rows; row++, out += stride)
        for (int64_t k = 0; k < classes; k++) out[k] = k == label ? 1.0f : 0.0f;
}

#include "kernels/channels_body.h"

/* ---- Dropout ---- */

enum { LANES = GM_DROPOUT_GROUP / 4 };

/* Philox (base/random.c) on LANES consecutive blocks at once, in loops that the compiler turns into vectors:
 * word[4][LANES] of the blocks first, first + 1, ... */
GM_INLINE void philox_group(const gm_random *random, uint64_t first, uint32_t word[4][LANES]) {
    uint32_t *c0 = word[0], *c1 = word[1], *c2 = word[2], *c3 = word[3];
    for (int i = 0; i < LANES; i++) {
        c0[i] = (uint32_t)(first + (uint64_t)i);
        c1[i] = (uint32_t)((first + (uint64_t)i) >> 32);
        c2[i] = (uint32_t)random->stream;
        c3[i] = (uint32_t)(random->stream >> 32);
    }
    uint32_t k0 = (uint32_t)random->seed, k1 = (uint32_t)(random->seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
}

/* The dropped elements are multiplied by 0 and not set to it: a NaN stays a NaN. */
static void dropout_backward(float scale, int64_t n, const uint8_t *restrict keep, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (scale * (float)keep[i]);
}

static void dropout(const gm_random *random, uint32_t threshold, float scale, int64_t n, const float *x, uint8_t *keep,
                    float *y) {
    for (int64_t start = 0; start < n; start += GM_DROPOUT_GROUP) {
        uint32_t word[4][LANES];
        uint8_t drawn[GM_DROPOUT_GROUP];
        philox_group(random, random->offset + (uint64_t)start / 4, word);
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < LANES; i++) drawn[k * LANES + i] = word[k][i] >= threshold;
        int64_t length = n - start < GM_DROPOUT_GROUP ? n - start : GM_DROPOUT_GROUP;
        for (int64_t i = 0; i < length; i++) keep[start + i] = drawn[i];
    }
    dropout_backward(scale, n, keep, x, y);
}

/* ---- Optimizers ---- */

/* Parameters moved, and held to what float32 has: many of the farthest moves add up to more. */
GM_INLINE vf moved(vf p, vf move) { return v_max(v_set1(-FLT_MAX), v_min(v_set1(FLT_MAX), v_sub(p, move))); }

/* No farther than 1e30 times the rate: where the mean square has vanished and the mean has not, their quotient may leave
 * float32. */
static void adam(const gm_update *step, int64_t n, const float *g, float *p, float *m, float *v) {
    const vf beta1 = v_set1(step->beta1), rest1 = v_set1(1.0f - step->beta1);
    const vf beta2 = v_set1(step->beta2), rest2 = v_set1(1.0f - step->beta2);
    const vf rate = v_set1(step->learning_rate), epsilon = v_set1(step->epsilon);
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        vf gradient = v_take(g + i, left);
        vf first = v_fma(beta1, v_take(m + i, left), v_mul(rest1, gradient));
        vf second = v_fma(beta2, v_take(v + i, left), v_mul(rest2, v_mul(gradient, gradient)));
        vf root = v_add(v_sqrt(v_mul(second, v_set1(step->correction2))), epsilon);
        vf ratio = v_div(v_mul(first, v_set1(step->correction1)), root);
        vf move = v_mul(rate, v_max(v_set1(-1e30f), v_min(v_set1(1e30f), ratio)));
        v_put(m + i, first, left);
        v_put(v + i, second, left);
        v_put(p + i, moved(v_take(p + i, left), move), left);
    }
}

static void rmsprop(const gm_update *step, int64_t n, const float *g, float *p, float *v, float *b) {
    const vf rho = v_set1(step->rho), rest = v_set1(1.0f - step->rho), momentum = v_set1(step->momentum);
    const vf rate = v_set1(step->learning_rate), epsilon = v_set1(step->epsilon);
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        vf gradient = v_take(g + i, left);
        vf square = v_fma(rho, v_take(v + i, left), v_mul(rest, v_mul(gradient, gradient)));
        vf scaled = v_div(gradient, v_add(v_sqrt(square), epsilon));
        vf move = v_fma(momentum, v_take(b + i, left), scaled);
        v_put(v + i, square, left);
        v_put(b + i, move, left);
        v_put(p + i, moved(v_take(p + i, left), v_mul(rate, move)), left);
    }
}

static void sgd(const gm_update *step, int64_t n, const float *g, float *p, float *b) {
    const vf rate = v_set1(step->learning_rate), momentum = v_set1(step->momentum);
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        vf move = v_fma(momentum, v_take(b + i, left), v_take(g + i, left));
        v_put(b + i, move, left);
        v_put(p + i, moved(v_take(p + i, left), v_mul(rate, move)), left);
    }
}

/* ---- Weights and images in between ---- */

static void clip(float bound, int64_t n, float *x) {
    for (int64_t i = 0; i < n; i += VL)
        v_put(x + i, v_max(v_set1(-bound), v_min(v_set1(bound), v_take(x + i, n - i))), n - i);
}

static void moving_average(float decay, int64_t n, const float *x, float *mean) {
    const vf old = v_set1(decay), fresh = v_set1(1.0f - decay);
    for (int64_t i = 0; i < n; i += VL)
        v_put(mean + i, v_fma(old, v_take(mean + i, n - i), v_mul(fresh, v_take(x + i, n - i))), n - i);
}

static void interpolate(float e, int64_t n, const float *x, const float *y, float *out) {
    for (int64_t i = 0; i < n; i += VL) {
        vf from = v_take(y + i, n - i), way = v_sub(v_take(x + i, n - i), from);
        v_put(out + i, v_fma(v_set1(e), way, from), n - i);
    }
}
