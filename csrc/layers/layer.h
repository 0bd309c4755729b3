/* A layer: shape rule, parameters, forward, backward, side by side in one file each.
 *
 * A layer owns no memory. `resolve` turns configuration and input shape into sizes and a list of parameters; the
 * network then gives every parameter its place in the arenas, and each pass the buffers it may use. */
#ifndef GM_LAYERS_LAYER_H
#define GM_LAYERS_LAYER_H

#include <inttypes.h>

#include "base/random.h"
#include "kernels/conv.h"
#include "layers/config.h"

enum { GM_MAX_LAYER_PARAMETERS = 4 };

typedef struct gm_parameter {
    const char *name; /* "kernel", "bias", "gamma", ... */
    gm_shape shape;
    int64_t count;
    bool trainable;
    gm_initializer initializer;
    int64_t fan_in, fan_out;
    float *value;    /* (shape) in the network's parameter arena */
    float *gradient; /* (shape) in the gradient arena; NULL when not trainable */
} gm_parameter;

typedef struct gm_layer_ops gm_layer_ops;

typedef struct gm_layer {
    const gm_layer_ops *ops;
    gm_layer_config config;
    gm_shape in, out;          /* without the batch axis */
    int64_t in_size, out_size; /* floats a sample */
    gm_conv conv;              /* geometry, of Dense and the convolutions */
    int parameter_count;
    gm_parameter parameter[GM_MAX_LAYER_PARAMETERS];
    uint64_t index;        /* place in its network: names the random stream */
    bool x_pairs, y_pairs; /* its input and that one's gradient, its output and that one's, are in pairs (bfloat.h) */
} gm_layer;

/* What one call on one batch sees. N samples; every array is (N, ...), and x, dx and the gate, or y and dy, may be in pairs. */
typedef struct gm_pass {
    int64_t N;
    bool training;
    const float *x; /* (N, in): the same in forward and backward */
    float *y;       /* (N, out): output; backward not to be read, as dx may lie there */
    float *dy;      /* (N, out): backward only, may be overwritten */
    float *dx;      /* (N, in): backward only, NULL when nobody wants it; set, not added to; see in_place, dx_over_x */
    float *saved;   /* kept from a training forward to its backward; 64-byte aligned, as is workspace */
    float *workspace;       /* scratch within one call */
    gm_activation act;      /* the next layer's activation, applied by this one's forward (GM_LINEAR: none) */
    const float *gate;      /* backward: multiply dx by gate_act' at output value gate (= x); NULL: do not */
    gm_activation gate_act; /* GM_LINEAR where there is no gate */
    bool frozen;            /* backward: leave the parameters' gradients alone, only dx is wanted */
    bool sets_gradients;    /* backward: set the parameters' gradients, whatever is there, in place of adding to them */
    bool leaves_kernel;     /* backward: leave the first parameter's gradient alone */
    bool centred;           /* backward: dy is from a batch normalisation; its values of a channel add up to nothing */
    gm_random random;       /* this layer's stream for this step */
} gm_pass;

struct gm_layer_ops {
    const char *name;
    /* From layer->config and layer->in: sets out, conv and the parameters; refuses what does not fit. */
    gm_status (*resolve)(gm_layer *layer, gm_error *error);
    /* Floats of `saved` and `workspace` for batches up to N; NULL: none. */
    int64_t (*saved)(const gm_layer *layer, int64_t N);
    int64_t (*workspace)(const gm_layer *layer, int64_t N);
    /* Multiplications of a sample in a forward pass, those on padding left out; NULL: a layer that is no product. The
     * weights' gradients take as many, and so does the input's. */
    int64_t (*products)(const gm_layer *layer);
    void (*forward)(gm_layer *layer, const gm_pass *pass);
    /* Adds to the parameters' gradients, or where the pass says so sets them, unless frozen; sets dx. NULL: an activation, whose
     * derivative the network applies itself, or has applied as a gate. */
    void (*backward)(gm_layer *layer, const gm_pass *pass);
    /* Of a layer that is linear, or linear on either side of kinks: pushes a direction forward. x (N, in) is a
     * direction of the last training forward's input, y (N, out) becomes the output's, by the same masks (saved; or
     * gate, of an activation its own output). Without biases. Adds to the gradients of the parameters what the pair
     * (x, dy) gives, dy (N, out) being the last backward's signal at the output. NULL: the layer is none of these. */
    void (*tangent)(gm_layer *layer, const gm_pass *pass);
    /* Whether x and y may be in pairs, with GM_LEAKY_RELU as the one act and gate; NULL: no. */
    bool (*takes_pairs)(const gm_layer *layer);
    /* Whether it honours pass->leaves_kernel, of a kernel (in, out) whose gradient is gm_conv_take_weights of x and dy; NULL:
     * no. */
    bool (*leaves_kernel)(const gm_layer *layer);
    /* Whether dx may be x, with this activation's derivative as the gate or (GM_LINEAR) none: x is read before dx is written, or
     * as the gate of the very value. NULL: no. */
    bool (*dx_over_x)(const gm_layer *layer, gm_activation gate);
    /* Takes over what a training forward left in `saved` for good (moving statistics); NULL: nothing. */
    void (*commit)(gm_layer *layer, const gm_pass *pass);
    /* The activation, of activation layers: lets the layer before apply it. NULL for others. */
    gm_activation (*activation)(const gm_layer *layer);
    bool is_view;        /* output is the input in another shape: Flatten, Reshape; has no passes */
    bool sets_gradients; /* honours pass->sets_gradients: saves large kernels a pass over memory; others get zeros */
    bool only_training;  /* output is the input, but for training */
    bool centres_dx;     /* each channel of dx adds up to nothing: what shifts all its inputs changes no output */
    bool applies_act;    /* honours pass->act in forward and pass->gate in backward */
    bool in_place;       /* dx may be dy, where both are stored alike */
};

/* How messages begin: "layer 3 (Conv2D): ". */
#define GM_LAYER "layer %" PRIu64 " (%s): "
#define GM_LAYER_ARGUMENTS(layer) (layer)->index, (layer)->ops->name

/* Fills `layer` from its configuration for this input; messages name the layer as "layer 3 (Conv2D)". */
gm_status gm_layer_create(const gm_layer_config *config, uint64_t index, const gm_shape *input, gm_layer *layer,
                          gm_error *error);

/* Appends a parameter in `resolve`. */
gm_status gm_layer_add_parameter(gm_layer *layer, const char *name, gm_shape shape, bool trainable,
                                 gm_initializer initializer, int64_t fan_in, int64_t fan_out, gm_error *error);

#endif
