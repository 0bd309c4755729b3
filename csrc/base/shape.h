/* Shapes without the batch axis, and arithmetic on sizes that cannot wrap round. */
#ifndef GM_BASE_SHAPE_H
#define GM_BASE_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define GM_MAX_RANK 4
/* No tensor, parameter block or activation plan may hold more elements: 2^40 floats are 4 TiB. */
#define GM_MAX_ELEMENTS ((int64_t)1 << 40)

typedef struct gm_shape {
    int rank;                 /* 0..GM_MAX_RANK; 0 is a scalar */
    int64_t dim[GM_MAX_RANK]; /* each >= 1 */
} gm_shape;

/* *product = a * b; GM_OVERFLOW_ERROR when it exceeds GM_MAX_ELEMENTS. `what` names the thing in the message. */
gm_status gm_size_multiply(int64_t a, int64_t b, int64_t *product, const char *what, gm_error *error);

/* *size = product of the dimensions, checked: every dimension >= 1, no overflow. */
gm_status gm_shape_size(const gm_shape *shape, int64_t *size, const char *what, gm_error *error);

/* The last dimension, that of the channels; 1 of a scalar. */
int64_t gm_shape_channels(const gm_shape *shape);

bool gm_shape_equal(const gm_shape *a, const gm_shape *b);

/* Writes "(28, 28, 1)" and returns `text`. */
#define GM_SHAPE_TEXT 96
const char *gm_shape_text(const gm_shape *shape, char text[GM_SHAPE_TEXT]);

#endif
