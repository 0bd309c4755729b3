/* Input gradients to few channels, of operands rounded to bfloat16, where blocks of these are multiplied. */
#ifndef GM_KERNELS_CONV_COLUMNS_H
#define GM_KERNELS_CONV_COLUMNS_H

#include <stdbool.h>

#include "kernels/conv.h"

/* Whether they are faster so; what follows is for such geometries, as in conv.h. */
bool gm_conv_columns_pay(const gm_conv *g);
int64_t gm_conv_columns_workspace(const gm_conv *g, int64_t N);
void gm_conv_columns_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                   const gm_epilogue *epilogue, float *workspace);

#endif
