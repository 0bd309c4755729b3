#include "models/codes.h"

#include <stddef.h>

#include "base/sizes.h"
#include "kernels/latent.h"
#include "models/images.h"

void gm_codes_of_prior(int64_t N, int64_t L, const uint64_t *seed, gm_random *stream, float *z) {
    gm_random seeded = {seed ? *seed : 0, GM_STREAM_SAMPLE, 0};
    gm_random_normal(seed ? &seeded : stream, N * L, z);
}

/* L + classes. */
static int64_t input_length(const gm_network *network) { return gm_network_input_shape(network)->dim[0]; }

void gm_codes_place_labels(gm_network *network, int64_t N, const int64_t *labels, int64_t classes) {
    int64_t length = input_length(network);
    if (classes) gm_one_hot_rows(N, classes, labels, length - classes, gm_network_input(network), length);
}

void gm_codes_place(gm_network *network, int64_t N, const float *z, const int64_t *labels, int64_t classes) {
    int64_t length = input_length(network), L = length - classes;
    gm_copy_rows(N, L, z, L, gm_network_input(network), length);
    gm_codes_place_labels(network, N, labels, classes);
}

gm_status gm_codes_draw(gm_network *network, int64_t N, const float *z, const int64_t *labels, int64_t classes,
                        float *images, gm_error *error) {
    int64_t L = input_length(network) - classes, size;
    if (N < 1) return GM_OK;
    GM_TRY(gm_shape_size(gm_network_output_shape(network), &size, "image", error));
    int64_t most = gm_network_piece(network, N);
    GM_TRY(gm_network_reserve(network, most, error));
    for (int64_t start = 0; start < N; start += most) {
        int64_t piece = min_of(most, N - start);
        gm_codes_place(network, piece, z + start * L, labels ? labels + start : NULL, classes);
        const float *drawn = gm_network_forward(network, piece, gm_network_input(network), 0);
        gm_images_store(piece * size, drawn, gm_images_are_signed(network), images + start * size);
    }
    return GM_OK;
}
