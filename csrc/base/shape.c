#include "base/shape.h"

#include <inttypes.h>
#include <stdio.h>

gm_status gm_size_multiply(int64_t a, int64_t b, int64_t *product, const char *what, gm_error *error) {
    GM_REQUIRE(a >= 0 && b >= 0, error, GM_VALUE_ERROR, "%s: negative size (%" PRId64 " x %" PRId64 ")", what, a, b);
    GM_REQUIRE(b == 0 || a <= GM_MAX_ELEMENTS / b, error, GM_OVERFLOW_ERROR,
               "%s: %" PRId64 " x %" PRId64 " elements exceed the limit of %" PRId64, what, a, b, GM_MAX_ELEMENTS);
    *product = a * b;
    return GM_OK;
}

gm_status gm_shape_size(const gm_shape *shape, int64_t *size, const char *what, gm_error *error) {
    GM_REQUIRE(shape->rank >= 0 && shape->rank <= GM_MAX_RANK, error, GM_VALUE_ERROR,
               "%s: %d dimensions, at most %d are supported", what, shape->rank, GM_MAX_RANK);
    int64_t product = 1;
    for (int i = 0; i < shape->rank; i++) {
        GM_REQUIRE(shape->dim[i] >= 1, error, GM_VALUE_ERROR, "%s: dimension %d is %" PRId64 ", must be at least 1",
                   what, i, shape->dim[i]);
        GM_TRY(gm_size_multiply(product, shape->dim[i], &product, what, error));
    }
    *size = product;
    return GM_OK;
}

int64_t gm_shape_channels(const gm_shape *shape) { return shape->rank ? shape->dim[shape->rank - 1] : 1; }

bool gm_shape_equal(const gm_shape *a, const gm_shape *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *gm_shape_text(const gm_shape *shape, char text[GM_SHAPE_TEXT]) {
    int used = snprintf(text, GM_SHAPE_TEXT, "(");
    for (int i = 0; i < shape->rank && used > 0 && used < GM_SHAPE_TEXT; i++)
        used += snprintf(text + used, (size_t)(GM_SHAPE_TEXT - used), "%s%" PRId64, i ? ", " : "", shape->dim[i]);
    if (used > 0 && used < GM_SHAPE_TEXT)
        (void)snprintf(text + used, (size_t)(GM_SHAPE_TEXT - used), shape->rank == 1 ? ",)" : ")");
    return text;
}
