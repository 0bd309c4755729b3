/* What follows a finished sum on its way to memory, in every product. */
#ifndef GM_KERNELS_EPILOGUE_H
#define GM_KERNELS_EPILOGUE_H

#include <stdint.h>

#include "kernels/conv.h"
#include "kernels/table.h"

/* The activation and the gate of n values from value `at` of `out` on, to which the bias was added already. */
static inline void gm_end_values(const gm_kernels *kernels, const gm_epilogue *e, int64_t at, int64_t n, float *out) {
    if (e->act.kind != GM_LINEAR) kernels->activate(e->act, n, out + at, out + at);
    if (e->gate) kernels->activate_backward(e->gate_act, n, e->gate + at, out + at, out + at);
}

/* The same of rows of n values, `stride` apart; those without gaps as one, as they may be of one value. */
static inline void gm_end_rows(const gm_kernels *kernels, const gm_epilogue *e, int64_t at, int64_t rows,
                               int64_t stride, int64_t n, float *out) {
    if (e->act.kind == GM_LINEAR && !e->gate) return;
    if (stride == n) n *= rows, rows = 1;
    for (int64_t m = 0; m < rows; m++) gm_end_values(kernels, e, at + m * stride, n, out);
}

#endif
