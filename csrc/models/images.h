/* Images as callers hand them over, and their way into a network's input buffer. */
#ifndef GM_MODELS_IMAGES_H
#define GM_MODELS_IMAGES_H

#include "base/shape.h"

/* Pixels (N, H, W, C), C order: uint8 0..255, or float32: of callers in [0, 1], of generators in their own
 * range. Exactly one pointer is set. */
typedef struct gm_images {
    int64_t N;
    const uint8_t *bytes;
    const float *floats;
} gm_images;

/* Images start..start+N-1 as scale * pixel + shift (pixel in [0, 1]), followed by `classes` one-hot channels when
 * classes > 0: out (N, H, W, C + classes). labels (images->N) or NULL. */
void gm_images_load(const gm_images *images, int64_t start, int64_t N, const gm_shape *shape, const int64_t *labels,
                    int64_t classes, float scale, float shift, float *out);

/* Float pixels must be finite and within 1e-6 of [0, 1]: GM_VALUE_ERROR names the first that is not. */
gm_status gm_images_check(const gm_images *images, const gm_shape *shape, gm_error *error);

/* Labels (N) must be in 0..classes-1: GM_VALUE_ERROR names the first that is not. */
gm_status gm_labels_check(int64_t N, const int64_t *labels, int64_t classes, gm_error *error);

#endif
