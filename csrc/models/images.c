#include "models/images.h"

#include <inttypes.h>

#include "base/parallel.h"
#include "kernels/table.h"

typedef struct load_call {
    const gm_images *images;
    int64_t start, pixels, C, classes; /* pixels of C values an image */
    const int64_t *labels;
    float scale, shift;
    float *out;
} load_call;

/* Without label channels an image is one long row. */
static void load_image(void *context, int64_t index) {
    const load_call *call = context;
    const gm_kernels *kernels = gm_kernels_active();
    int64_t rows = call->classes ? call->pixels : 1, C = call->classes ? call->C : call->pixels * call->C;
    int64_t stride = C + call->classes, from = (call->start + index) * call->pixels * call->C;
    float *out = call->out + index * rows * stride;
    if (call->images->bytes)
        kernels->load_bytes(rows, C, stride, call->images->bytes + from, call->scale, call->shift, out);
    else
        kernels->load_floats(rows, C, stride, call->images->floats + from, call->scale, call->shift, out);
    if (call->classes) kernels->load_one_hot(rows, call->classes, stride, call->labels[call->start + index], out + C);
}

bool gm_images_are_signed(const gm_network *drawing) { return gm_network_last_activation(drawing).kind == GM_TANH; }

static int64_t pixel_count(const gm_shape *shape) { return shape->dim[0] * shape->dim[1]; }

void gm_images_load(const gm_images *images, int64_t start, int64_t N, const gm_shape *shape, const int64_t *labels,
                    int64_t classes, bool signed_pixels, float *out) {
    load_call call = {images, start, pixel_count(shape), shape->dim[2], classes, labels, 1.0f, 0.0f, out};
    if (signed_pixels) call.scale = 2.0f, call.shift = -1.0f;
    gm_parallel_for(N, load_image, &call);
}

void gm_images_store(int64_t n, const float *drawn, bool signed_pixels, float *images) {
    float scale = signed_pixels ? 0.5f : 1.0f, shift = signed_pixels ? 0.5f : 0.0f;
    gm_kernels_active()->clamp_to_unit(n, drawn, scale, shift, images);
}

gm_status gm_images_check(const gm_images *images, const gm_shape *shape, gm_error *error) {
    GM_REQUIRE(shape->rank == 3, error, GM_VALUE_ERROR, "images: shape of %d axes, must be 3: height, width, channels",
               shape->rank);
    if (!images->floats) return GM_OK;
    const float low = -1e-6f, high = 1.0f + 1e-6f;
    int64_t size = pixel_count(shape) * shape->dim[2], n = images->N * size;
    int64_t at = gm_kernels_active()->first_outside(n, images->floats, low, high);
    if (at == n) return GM_OK;
    int64_t inside = at % size, C = shape->dim[2], W = shape->dim[1];
    float value = images->floats[at];
    const char *advice = value >= 2 && value <= 255 ? ": bytes are divided by 255, or given as uint8" : "";
    return gm_error_set(error, GM_VALUE_ERROR,
                        "images: pixel (%" PRId64 ", %" PRId64 ", %" PRId64 ") of image %" PRId64
                        " is %.7g, must be in [0, 1]%s",
                        inside / (W * C), inside / C % W, inside % C, at / size, (double)value, advice);
}

gm_status gm_labels_check(int64_t N, const int64_t *labels, int64_t classes, gm_error *error) {
    for (int64_t i = 0; i < N; i++)
        GM_REQUIRE(labels[i] >= 0 && labels[i] < classes, error, GM_VALUE_ERROR,
                   "labels: label %" PRId64 " of image %" PRId64 " must be in 0..%" PRId64, labels[i], i, classes - 1);
    return GM_OK;
}
