/* Codes, and the images that decoders and generators draw of them: z (N, L) and, of a model with classes, labels (N), which lie
 * one-hot behind the codes in the network's input, (N, L + classes). Without classes labels is NULL. */
#ifndef GM_MODELS_CODES_H
#define GM_MODELS_CODES_H

#include "base/random.h"
#include "network/network.h"

/* The stream of the latent noise of evaluations: apart from the training noise of the same seed. */
#define GM_STREAM_EVALUATE (GM_STREAM_NOISE | (uint64_t)1 << 32)

/* z of the prior: from `seed` alone, or (seed NULL) from the model's own stream, which advances. */
void gm_codes_of_prior(int64_t N, int64_t L, const uint64_t *seed, gm_random *stream, float *z);

/* Into the network's input buffer; the labels alone, behind codes that are there. */
void gm_codes_place(gm_network *network, int64_t N, const float *z, const int64_t *labels, int64_t classes);
void gm_codes_place_labels(gm_network *network, int64_t N, const int64_t *labels, int64_t classes);

/* images (N, H, W, C) in [0, 1], in inference mode; any N. */
gm_status gm_codes_draw(gm_network *network, int64_t N, const float *z, const int64_t *labels, int64_t classes,
                        float *images, gm_error *error);

#endif
