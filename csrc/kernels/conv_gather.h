/* The products of conv.h for any geometry: two of them as gathers, the weights' gradient as sweeps. */
#ifndef GM_KERNELS_CONV_GATHER_H
#define GM_KERNELS_CONV_GATHER_H

#include "kernels/conv.h"
#include "kernels/tiles.h"

/* conv_gather.c: forward or, `adjoint`, the input gradient. */
int64_t gm_conv_gather_workspace(const gm_conv *g);
void gm_conv_gather(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                    const gm_epilogue *epilogue, float *workspace);

/* As gm_conv_gates_in_place, of these. */
bool gm_conv_gather_gates_in_tile(const gm_conv *g, bool adjoint, gm_activation gate);

/* The same of many batches with one w. `pack` needs that workspace; then, any
 * number of times, from several threads at once, x (N, in) -> y (N, out). With a border each of x's images has so many rows
 * and columns of zeros on every side: then all outputs of a row are alike, and tiles are cut from whole rows. */
typedef struct gm_border {
    int64_t rows, columns;
} gm_border;

gm_border gm_conv_gather_border(const gm_conv *g, bool adjoint);
void gm_conv_gather_pack(const gm_conv *g, bool adjoint, const float *w, float *packed);
void gm_conv_gather_packed(const gm_conv *g, bool adjoint, int64_t N, const float *x, const gm_border *border, float *y,
                           const gm_epilogue *epilogue, float *packed);

/* The weights of a tap: that of channel c and output k at at[c * in + k * out]. Packed, (channels, row): a panel of outputs,
 * zeros behind the last one. */
typedef struct gm_tap {
    const float *at;
    int64_t in, out;
} gm_tap;
void gm_conv_pack_tap(const gm_tap *tap, int64_t channels, gm_panel outputs, float *to, int64_t row);

/* conv_weights.c; as in conv.h. */
int64_t gm_conv_sweep_workspace(const gm_conv *g);
void gm_conv_sweep_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                           float *workspace);

#endif
