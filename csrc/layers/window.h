/* What the convolutions, the pools and UpSampling2D share: images, and windows that move over them. */
#ifndef GM_LAYERS_WINDOW_H
#define GM_LAYERS_WINDOW_H

#include "layers/layer.h"

/* An input of rank 3. */
gm_status gm_image_check(const gm_layer *layer, gm_error *error);

/* Besides, the window (the user's `name` for kernel_size) and strides 1 to `largest`, padding within its bounds. */
gm_status gm_window_check_sizes(const gm_layer *layer, const char *name, int64_t largest, gm_error *error);

/* Besides, what a convolution needs: filters, and a kernel its product can take. */
gm_status gm_window_check(const gm_layer *layer, gm_error *error);

/* One axis of a convolution, 0 rows and 1 columns: `in` places -> *out places, *before zeros ahead of the first. `in`
 * is the layer's own input, except where a transposed "same" layer asks about its output. */
gm_status gm_window_axis(const gm_layer *layer, int axis, int64_t in, int64_t *out, int64_t *before, gm_error *error);

/* A window that moves over the layer's input, to K channels: sets layer->conv, and layer->out, its map. */
gm_status gm_window_resolve(gm_layer *layer, int64_t K, gm_error *error);

#endif
