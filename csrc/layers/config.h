/* What a user asks of a layer: the C form of one of the frozen dataclasses in genmodels/layers.py. */
#ifndef GM_LAYERS_CONFIG_H
#define GM_LAYERS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/shape.h"
#include "kernels/precision.h"

typedef enum gm_padding { GM_PADDING_VALID, GM_PADDING_SAME, GM_PADDING_EXPLICIT } gm_padding;

typedef enum gm_initializer {
    GM_INIT_ZEROS,
    GM_INIT_ONES,
    GM_INIT_GLOROT_UNIFORM,
    GM_INIT_HE_NORMAL,
    GM_INIT_ORTHOGONAL,  /* fan_in rows, no more than columns */
    GM_INIT_FORGET_GATE, /* of an LSTM's bias: 1 in the second quarter, else 0 */
} gm_initializer;

/* Fields a layer does not use stay zero. */
typedef struct gm_layer_config {
    const char *kind;       /* "Dense", "Conv2D", ...: the class's name; gm_layer_create looks it up */
    int64_t units;          /* Dense, LSTM */
    int64_t filters;        /* Conv2D, Conv2DTranspose */
    int64_t kernel_size[2]; /* rows, columns; of the pools pool_size */
    int64_t strides[2];
    gm_padding padding;
    int64_t pad[2];            /* of GM_PADDING_EXPLICIT, symmetric: rows, columns */
    int64_t output_padding[2]; /* Conv2DTranspose */
    bool use_bias;
    bool spectral_norm; /* Dense and the convolutions: the kernel is divided by its largest singular value */
    gm_initializer kernel_initializer;
    float negative_slope;   /* LeakyReLU */
    float rate;             /* Dropout */
    float momentum;         /* BatchNorm: the weight of the new value */
    float epsilon;          /* BatchNorm, LayerNorm */
    int64_t size[2];        /* UpSampling2D */
    bool return_sequences;  /* LSTM: every step's output, not the last one's alone */
    gm_shape shape;         /* Reshape */
    gm_precision precision; /* of products: any but pairs */
} gm_layer_config;

#endif
