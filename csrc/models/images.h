/* Images as callers hand them over, and their way into a network's input buffer and out of one that draws. */
#ifndef GM_MODELS_IMAGES_H
#define GM_MODELS_IMAGES_H

#include "network/network.h"

/* Pixels (N, H, W, C), C order: uint8 0..255, or float32: of callers in [0, 1], of generators in their own
 * range. Exactly one pointer is set. */
typedef struct gm_images {
    int64_t N;
    const uint8_t *bytes;
    const float *floats;
} gm_images;

/* Whether inside a model pixels are 2 * pixel - 1, signed, and not in [0, 1]: where its network that draws ends in Tanh. */
bool gm_images_are_signed(const gm_network *drawing);

/* Images start..start+N-1, signed or as they are, followed by `classes` one-hot channels when classes > 0:
 * out (N, H, W, C + classes). labels (images->N) or NULL. */
void gm_images_load(const gm_images *images, int64_t start, int64_t N, const gm_shape *shape, const int64_t *labels,
                    int64_t classes, bool signed_pixels, float *out);

/* n pixels of a network, signed or not, to [0, 1]. */
void gm_images_store(int64_t n, const float *drawn, bool signed_pixels, float *images);

/* Float pixels must be finite and within 1e-6 of [0, 1]: GM_VALUE_ERROR names the first that is not. */
gm_status gm_images_check(const gm_images *images, const gm_shape *shape, gm_error *error);

/* Labels (N) must be in 0..classes-1: GM_VALUE_ERROR names the first that is not. */
gm_status gm_labels_check(int64_t N, const int64_t *labels, int64_t classes, gm_error *error);

#endif
