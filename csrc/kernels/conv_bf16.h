/* The products of conv.h of operands made of bfloat16. */
#ifndef GM_KERNELS_CONV_BF16_H
#define GM_KERNELS_CONV_BF16_H

#include "kernels/conv.h"

/* As in conv.h, for geometries of precision GM_BF16 or GM_HIGH; but the workspace grows with the batch. */
int64_t gm_conv_bf16_workspace(const gm_conv *g, int64_t N);
void gm_conv_bf16(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                  const gm_epilogue *epilogue, float *workspace);
bool gm_conv_bf16_gates_in_place(const gm_conv *g, bool adjoint, gm_activation gate);
void gm_conv_bf16_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                          float *workspace);

#endif
