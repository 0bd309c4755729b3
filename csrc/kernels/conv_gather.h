/* The products of conv.h for any geometry: two of them as gathers, the weights' gradient as sweeps. */
#ifndef GM_KERNELS_CONV_GATHER_H
#define GM_KERNELS_CONV_GATHER_H

#include "kernels/conv.h"

/* conv_gather.c; as in conv.h. */
int64_t gm_conv_gather_workspace(const gm_conv *g);
void gm_conv_gather_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y,
                            const gm_epilogue *epilogue, float *workspace);
void gm_conv_gather_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                  const gm_epilogue *epilogue, float *workspace);

/* conv_weights.c; as in conv.h. */
int64_t gm_conv_sweep_workspace(const gm_conv *g);
void gm_conv_sweep_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, float *dw, float *workspace);

#endif
