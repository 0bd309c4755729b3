/* What all forms of the convolutions share: how outputs, taps and inputs lie along one axis. */
#ifndef GM_KERNELS_CONV_AXIS_H
#define GM_KERNELS_CONV_AXIS_H

#include "base/sizes.h"
#include "kernels/bfloat.h"
#include "kernels/conv.h"

/* Enough pieces to share out; a constant, never the number of threads. */
enum { WANTED_TASKS = 16 };

/* Of the operands. */
static inline int64_t parts_of(const gm_conv *g) { return g->precision == GM_HIGH_PAIRS ? GM_BF16_MOST_PARTS : 1; }

static inline int64_t weight_count(const gm_conv *g) { return g->R * g->S * g->C * g->K; }

/* Output j (0..count-1) sits at start + j * out_step and reads input j * step - pad + t for taps t in 0..taps-1;
 * tap t is kernel index first_tap + t * tap_step. */
typedef struct axis {
    int64_t taps, step, pad, in_size, count, start, out_step, first_tap, tap_step;
    bool bordered; /* zeros lie around the input, as far as taps reach: none is left out */
} axis;

static inline axis forward_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t in_size, int64_t out_size) {
    return (axis){kernel, stride, pad, in_size, out_size, 0, 1, 0, 1, false};
}

/* Phase `phase` of the adjoint: image positions phase, phase + stride, ... gather from the map. */
static inline axis adjoint_axis(int64_t phase, int64_t kernel, int64_t stride, int64_t pad, int64_t image_size,
                                int64_t map_size) {
    int64_t first = (phase + pad) % stride, base = (phase + pad) / stride;
    int64_t taps = first < kernel ? ceil_div(kernel - first, stride) : 0;
    return (axis){taps,
                  1,
                  taps - 1 - base,
                  map_size,
                  image_size > phase ? ceil_div(image_size - phase, stride) : 0,
                  phase,
                  stride,
                  first + stride * (taps - 1),
                  -stride,
                  false};
}

static inline int64_t input_of(const axis *x, int64_t j) { return j * x->step - x->pad; }
static inline int64_t tap_begin(const axis *x, int64_t j) {
    return x->bordered ? 0 : min_of(x->taps, max_of(0, -input_of(x, j)));
}
static inline int64_t tap_end(const axis *x, int64_t j) {
    return x->bordered ? x->taps : max_of(tap_begin(x, j), min_of(x->taps, x->in_size - input_of(x, j)));
}

/* The outputs begin..end-1, those whose tap t lies inside the input. */
typedef struct outputs {
    int64_t begin, end;
} outputs;

static inline outputs outputs_of_tap(const axis *x, int64_t t) {
    int64_t begin = min_of(x->count, ceil_div(max_of(0, x->pad - t), x->step));
    int64_t end = min_of(x->count, ceil_div(max_of(0, x->in_size + x->pad - t), x->step));
    return (outputs){begin, max_of(begin, end)};
}

/* The first j' > j whose taps differ from j's. */
static inline int64_t same_taps_until(const axis *x, int64_t j) {
    int64_t next = j + 1;
    while (next < x->count && tap_begin(x, next) == tap_begin(x, j) && tap_end(x, next) == tap_end(x, j)) next++;
    return next;
}

#endif
