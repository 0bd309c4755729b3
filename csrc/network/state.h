/* What a network is made of, for the files of this folder. */
#ifndef GM_NETWORK_STATE_H
#define GM_NETWORK_STATE_H

#include <stddef.h>

#include "base/arena.h"
#include "network/network.h"

enum { GM_NONE = -1 };

typedef struct gm_node {
    gm_layer layer;
    int applied;    /* index of the activation this layer applies for a later one, or GM_NONE */
    int applied_by; /* of an activation: index of the layer that applies it, or GM_NONE */
    int gate;       /* index of the activation whose derivative this layer applies to its dx, or GM_NONE */
    bool gated;     /* of an activation: some layer has it as its gate */
    bool centred;   /* a layer that centres its dx reads this one's output as it is, channel by channel */
    int made;       /* index of the batch normalisation that this layer computes with itself, or GM_NONE */
    int made_by;    /* of a batch normalisation: index of the layer that computes it, or GM_NONE */
    const float *x; /* input and output of the last forward */
    float *y;
    float *dy; /* of a layer with a backward pass: its signal of the last one */
    gm_meter meters[GM_PASS_KINDS];
} gm_node;

/* The gradient of a wide dense layer's kernel, see update.c. */
typedef struct gm_factors {
    int64_t N;     /* samples; 0: the gradient is written */
    float *x, *dy; /* (capacity, in), (capacity, out); NULL: there are none */
} gm_factors;

typedef struct gm_place {
    float *y, *saved, *dx;           /* NULL where the layer has none; dx may lie where outputs no longer needed do */
    float *workspace[GM_PASS_KINDS]; /* where nothing lies that the pass needs, or one still to come */
    gm_factors factors;
} gm_place;

typedef struct gm_plan {
    gm_arena arena;
    int64_t capacity;  /* samples */
    gm_place *places;  /* (count) */
    float *input;      /* (capacity, in) */
    float *workspace;  /* of what may come at any time: where nothing else lies */
    float *tangent[2]; /* (capacity, the largest input or output of a layer), where signals are kept */
} gm_plan;

struct gm_network {
    int count;
    int first; /* the first layer with parameters: nobody needs gradients below it */
    bool keeps_signals;
    bool shows_gradients; /* somebody may look at them at any time */
    gm_shape input, output;
    int64_t input_size, trainable, buffers;
    float *parameters, *gradients;
    float *noted; /* (buffers), and the clock: gm_network_note */
    uint64_t noted_clock;
    gm_arena weights;
    gm_plan plan;
    uint64_t seed, clock;
    uint64_t uses; /* gm_network_uses */
    uint32_t stream;
    unsigned flags; /* of the last forward */
    gm_node nodes[];
};

static inline bool gm_node_is_activation(const gm_node *n) { return n->layer.ops->activation != NULL; }
static inline gm_activation gm_node_activation(const gm_node *n) { return n->layer.ops->activation(&n->layer); }

/* Activation `index`, GM_LINEAR for GM_NONE. */
static inline gm_activation gm_network_activation(const gm_network *network, int index) {
    return index == GM_NONE ? (gm_activation){GM_LINEAR, 0} : gm_node_activation(&network->nodes[index]);
}

/* Whether it writes an output; else that is the memory of a layer before it. */
static inline bool gm_node_owns_output(const gm_node *n) {
    return !n->layer.ops->is_view && n->applied_by == GM_NONE && n->made_by == GM_NONE;
}

/* The first of the layers whose backward passes are that of layer `index`. */
static inline int gm_network_first_of(const gm_network *network, int index) {
    return network->nodes[index].made == GM_NONE ? index : network->nodes[index].made;
}

/* The last layer before `index` that is not a view, or GM_NONE. */
int gm_network_before_views(const gm_network *network, int index);

/* The layer that reads what layer `index` stores, as its x; the count of layers for none. */
int gm_network_reader(const gm_network *network, int index);

/* Whether layer `index`'s input gradient takes the place of its output's. */
bool gm_network_works_in_place(const gm_network *network, int index);

/* structure.c: which layer applies which activation, and which are computed as one; what is stored in pairs. */
void gm_network_fuse(gm_network *network);
void gm_network_choose_storage(gm_network *network);

/* update.c: whether this layer's gradient may come to be kept as factors; a place for them, if so; keeps them, where that
 * pays, in place of a gradient still to be made; writes all gradients that are kept so. */
bool gm_factors_may_be(const gm_layer *layer);
gm_factors gm_factors_lay_out(const gm_layer *layer, int64_t N, gm_arena *arena);
bool gm_factors_keep(gm_network *network, int index, int64_t N, const float *x, const float *dy);
void gm_network_write_gradients(gm_network *network);

#endif
