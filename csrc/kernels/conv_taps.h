/* Input gradients to few channels, as products of matrices and their sums. */
#ifndef GM_KERNELS_CONV_TAPS_H
#define GM_KERNELS_CONV_TAPS_H

#include <stdbool.h>

#include "kernels/conv.h"

/* Whether they are faster so; what follows is for such geometries, as in conv.h. */
bool gm_conv_taps_pay(const gm_conv *g);
int64_t gm_conv_taps_workspace(const gm_conv *g, int64_t N);
void gm_conv_taps(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx, const gm_epilogue *epilogue,
                  float *workspace);

#endif
