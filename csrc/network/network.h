/* An ordered list of layers on one parameter arena, one gradient arena and one activation plan. */
#ifndef GM_NETWORK_NETWORK_H
#define GM_NETWORK_NETWORK_H

#include "layers/layer.h"
#include "network/optimizer.h"

typedef struct gm_network gm_network;

enum { GM_STREAMS = 1 << 24 }; /* their number and a layer's share the 64 bits of a random stream with what it is for */

/* Builds, plans for no batch yet, and initialises the weights from `seed` and `stream` (tells the networks of one
 * model apart, below GM_STREAMS). `count` may be 0: the identity. */
gm_status gm_network_create(const gm_layer_config *configs, int count, const gm_shape *input, uint64_t seed,
                            uint64_t stream, gm_network **network, gm_error *error);
void gm_network_free(gm_network *network);

int gm_network_layer_count(const gm_network *network);
const gm_layer *gm_network_layer(const gm_network *network, int index);
const gm_shape *gm_network_input_shape(const gm_network *network);
const gm_shape *gm_network_output_shape(const gm_network *network);
/* The activation of the last layer but views, GM_LINEAR when it is none. */
gm_activation gm_network_last_activation(const gm_network *network);

/* The trainable parameters in layer order, without gaps, and their gradients: (gm_network_trainable). They never
 * move while the network lives. The others lie behind them: (gm_network_buffers) floats. Once somebody has asked for the
 * gradients, every backward pass writes them there; before, see GM_UPDATE_NEXT. */
int64_t gm_network_trainable(const gm_network *network);
int64_t gm_network_buffers(const gm_network *network);
float *gm_network_parameters(gm_network *network);
float *gm_network_gradients(gm_network *network);

/* Makes room for batches of N; a smaller or equal batch later costs no allocation. On failure nothing changes. */
gm_status gm_network_reserve(gm_network *network, int64_t N, gm_error *error);
int64_t gm_network_plan_bytes(const gm_network *network);

/* Counts what overwrites or replaces the plan: forward and backward passes, new plans. A backward pass may follow a training
 * forward while it stays. */
uint64_t gm_network_uses(const gm_network *network);

/* A buffer (capacity, input shape) to assemble inputs in. Moves with gm_network_reserve. */
float *gm_network_input(gm_network *network);

enum {
    GM_TRAINING = 1,   /* batch statistics, dropout, and keep what backward needs */
    GM_NO_LAST_ACT = 2 /* leave out gm_network_last_activation: logits */
};
/* x (N, in) -> (N, out), valid until the next forward. N <= capacity. x must stay for backward. */
float *gm_network_forward(gm_network *network, int64_t N, const float *x, unsigned flags);
/* What the last forward gave layer `index`, as its x_pairs says: (N, its input). Valid until the next pass. Not of a layer
 * that computes a batch normalisation before it, or of what lies between them. */
const float *gm_network_layer_input(const gm_network *network, int index);

enum {
    GM_WANT_INPUT = 1,      /* the gradient of the input */
    GM_WANT_PARAMETERS = 2, /* the gradients of the parameters, in place of those that are there */
    GM_ADD = 4,             /* ... added to those that are there */
    GM_UPDATE_NEXT = 8      /* with GM_WANT_PARAMETERS: no other pass will add to them; some need not be written */
};
/* After gm_network_forward(GM_TRAINING) of the same N, and once, as it overwrites what that left: dy (N, out), overwritten, ->
 * the input gradient (N, in), valid until the next pass, or NULL when not wanted. dy may lie in the forward's output where the
 * last activation was left out or there is none: what others let through is read from there. Gradients gathered over several
 * passes are set by the first and added to by the others. */
float *gm_network_backward(gm_network *network, int64_t N, float *dy, unsigned wants);

/* Prepares for gm_network_tangent: from now on a backward pass keeps its signals. GM_VALUE_ERROR, for `purpose`, names
 * the first layer that is neither linear nor linear on either side of kinks. Drops the plan; the next reserve makes it
 * anew. */
gm_status gm_network_keep_signals(gm_network *network, const char *purpose, gm_error *error);

/* After a forward and a backward with GM_WANT_INPUT of the same N, whose dy still stands: adds to the gradients of the
 * parameters the derivative of <t, input gradient>, for a direction t (N, in) that is held constant.
 *
 * Why this is one more forward pass: with F = sum of <dy, output>, the input gradient is dF/dx, so <t, dF/dx> is the
 * derivative of F along t. Where every layer is linear between kinks, moving the input along t moves the activations
 * by their tangents and leaves the backward signals as they are, so a weight's part in it is the product of the
 * tangent that enters its layer and the signal that left it. Biases have none. */
void gm_network_tangent(gm_network *network, int64_t N, const float *t);

/* Takes over the moving statistics of the last training forward, with no other call that moves or overwrites its plan
 * between. Apart from the forward, so that a step that fails changes nothing. */
void gm_network_commit(gm_network *network);

/* Notes the moving statistics and the clock, for gm_network_restore to put back: before the passes of an update that may turn
 * out to have failed. */
void gm_network_note(gm_network *network);
void gm_network_restore(gm_network *network);

/* The largest |gradient|, or a bound of it that GM_MAX_GRADIENT bounds; infinity when one is not finite. */
float gm_network_gradient_peak(gm_network *network);

/* One step of the optimizer of all its trainable parameters. Every |gradient| <= GM_MAX_GRADIENT. */
void gm_network_update(gm_network *network, gm_optimizer *optimizer);

/* How many of N samples inference puts through at a time: 128 at most, or more where the weights, all of which every pass
 * reads, outweigh the outputs of so many. */
int64_t gm_network_piece(const gm_network *network, int64_t N);

/* Inference of any number of samples in such pieces, or those of the plan's batch: x (N, in) -> y (N, out). */
gm_status gm_network_predict(gm_network *network, int64_t N, const float *x, float *y, gm_error *error);

/* What a layer's passes have cost since the network was made. A layer that is part of another's pass (a view, an
 * activation that the product before it applies, a batch normalisation that the convolution behind it computes) costs
 * nothing of its own. */
typedef enum gm_pass_kind { GM_FORWARD_PASS, GM_BACKWARD_PASS, GM_TANGENT_PASS, GM_PASS_KINDS } gm_pass_kind;
typedef struct gm_meter {
    int64_t passes, samples;
    double products; /* multiplications of all samples, where the layer counts them */
    double seconds;
} gm_meter;
const gm_meter *gm_network_meter(const gm_network *network, int index, gm_pass_kind kind);

/* Training forwards so far: the offset of the dropout streams. Saved and restored with the weights. */
uint64_t gm_network_clock(const gm_network *network);
void gm_network_set_clock(gm_network *network, uint64_t clock);

#endif
