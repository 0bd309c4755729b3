/* A network: its weights, its life, and its passes over the places that plan.c gives.
 *
 * Weights: one arena; trainable parameters first and without gaps, the others behind; gradients at the same offsets. */
#include "network/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "layers/normalised_conv.h"
#include "network/initialize.h"

enum { LEAST_PIECE = 128, MOST_PIECE = 512 };

/* ---- Structure ---- */

static gm_status create_layers(gm_network *network, const gm_layer_config *configs, gm_error *error) {
    gm_shape shape = network->input;
    network->first = network->count;
    for (int i = 0; i < network->count; i++) {
        gm_layer *layer = &network->nodes[i].layer;
        GM_TRY(gm_layer_create(&configs[i], (uint64_t)i, &shape, layer, error));
        shape = layer->out;
        if (layer->parameter_count && network->first == network->count) network->first = i;
    }
    network->output = shape;
    return GM_OK;
}

/* ---- Weights ---- */

static gm_status count_weights(gm_network *network, gm_error *error) {
    for (int i = 0; i < network->count; i++)
        for (int k = 0; k < network->nodes[i].layer.parameter_count; k++) {
            const gm_parameter *p = &network->nodes[i].layer.parameter[k];
            *(p->trainable ? &network->trainable : &network->buffers) += p->count;
            GM_REQUIRE(network->trainable + network->buffers <= GM_MAX_ELEMENTS, error, GM_OVERFLOW_ERROR,
                       "network: more than %" PRId64 " parameters", GM_MAX_ELEMENTS);
        }
    return GM_OK;
}

/* Floats before the parameters, with which the largest begins a line: so do its rows, if they are whole lines, and matrix.c
 * need not pack them. */
static int64_t lead(const gm_network *network) {
    int64_t largest = 0, at = 0, offset = 0;
    for (int i = 0; i < network->count; i++)
        for (int k = 0; k < network->nodes[i].layer.parameter_count; k++) {
            const gm_parameter *p = &network->nodes[i].layer.parameter[k];
            if (!p->trainable) continue;
            if (p->count > largest) largest = p->count, at = offset;
            offset += p->count;
        }
    return round_up(at, GM_LINE_FLOATS) - at;
}

static void lay_out_weights(gm_network *network, gm_arena *arena) {
    int64_t before = lead(network);
    float *parameters = gm_arena_floats(arena, before + network->trainable + network->buffers);
    network->parameters = parameters ? parameters + before : NULL;
    network->gradients = gm_arena_floats(arena, network->trainable);
    network->noted = gm_arena_floats(arena, network->buffers);
}

static void place_weights(gm_network *network) {
    int64_t trainable = 0, buffer = network->trainable;
    for (int i = 0; i < network->count; i++)
        for (int k = 0; k < network->nodes[i].layer.parameter_count; k++) {
            gm_parameter *p = &network->nodes[i].layer.parameter[k];
            int64_t *offset = p->trainable ? &trainable : &buffer;
            p->value = network->parameters + *offset;
            p->gradient = p->trainable ? network->gradients + *offset : NULL;
            *offset += p->count;
        }
}

static gm_status create_weights(gm_network *network, gm_error *error) {
    GM_TRY(count_weights(network, error));
    gm_arena measured = gm_arena_measuring();
    lay_out_weights(network, &measured);
    GM_TRY(gm_arena_create(&measured, &network->weights, "network parameters", error));
    lay_out_weights(network, &network->weights);
    place_weights(network);
    for (int i = 0; i < network->count; i++)
        gm_layer_initialize(&network->nodes[i].layer, network->seed, network->stream);
    return GM_OK;
}

/* ---- Life ---- */

gm_status gm_network_create(const gm_layer_config *configs, int count, const gm_shape *input, uint64_t seed,
                            uint64_t stream, gm_network **network, gm_error *error) {
    GM_REQUIRE(count >= 0, error, GM_VALUE_ERROR, "network: %d layers", count);
    GM_REQUIRE(stream < GM_STREAMS, error, GM_VALUE_ERROR, "network: stream is %" PRIu64 ", must be below %d", stream,
               GM_STREAMS);
    gm_network *n = calloc(1, sizeof *n + (size_t)count * sizeof n->nodes[0]);
    GM_REQUIRE(n, error, GM_MEMORY_ERROR, "network: cannot allocate %d layers", count);
    n->count = count;
    n->input = *input;
    n->seed = seed;
    n->stream = (uint32_t)stream;
    gm_status status = gm_shape_size(input, &n->input_size, "input_shape", error);
    if (status == GM_OK) status = create_layers(n, configs, error);
    if (status == GM_OK) status = create_weights(n, error);
    if (status != GM_OK) {
        gm_network_free(n);
        return status;
    }
    gm_network_fuse(n);
    gm_network_choose_storage(n);
    *network = n;
    return GM_OK;
}

void gm_network_free(gm_network *network) {
    if (!network) return;
    gm_arena_free(&network->plan.arena);
    gm_arena_free(&network->weights);
    free(network);
}

/* ---- Passes ---- */

/* Whether layer i is the last activation, views behind it or not, and this forward leaves it out. */
static bool left_out(const gm_network *network, int i) {
    return (network->flags & GM_NO_LAST_ACT) && i == gm_network_before_views(network, network->count) &&
           gm_node_is_activation(&network->nodes[i]);
}

/* Dropout's blocks of one forward: a batch has at most 2^40 elements, so 2^38 blocks of four words. The clock's
 * upper bits, which have no place above them, stand above the layer's index, 2^16 of them. */
static gm_random random_of(const gm_network *network, const gm_layer *layer) {
    uint64_t stream =
        GM_STREAM_DROPOUT | (uint64_t)network->stream << 8 | layer->index << 32 | network->clock >> 26 << 48;
    return (gm_random){network->seed, stream, network->clock << 38};
}

static gm_pass pass_of(const gm_network *network, int i, int64_t N, gm_pass_kind kind) {
    const gm_node *n = &network->nodes[i];
    const gm_place *place = &network->plan.places[i];
    return (gm_pass){.N = N,
                     .training = (network->flags & GM_TRAINING) != 0,
                     .x = n->x,
                     .y = n->y,
                     .saved = place->saved,
                     .workspace = place->workspace[kind],
                     .random = random_of(network, &n->layer)};
}

/* A pass of node i over N samples ends that began at `start`; it was worth `products` forward products. */
static void note_pass(gm_network *network, int i, gm_pass_kind kind, int64_t N, int products, double start) {
    gm_node *n = &network->nodes[i];
    gm_meter *meter = &n->meters[kind];
    meter->passes++;
    meter->samples += N;
    if (n->layer.ops->products) meter->products += (double)(products * N) * (double)n->layer.ops->products(&n->layer);
    meter->seconds += gm_clock_seconds() - start;
}

static gm_pass forward_pass(const gm_network *network, int i, int64_t N) {
    const gm_node *n = &network->nodes[i];
    gm_pass pass = pass_of(network, i, N, GM_FORWARD_PASS);
    if (n->applied != GM_NONE && !left_out(network, n->applied))
        pass.act = gm_node_activation(&network->nodes[n->applied]);
    return pass;
}

static void forward_layer(gm_network *network, int i, int64_t N, const float *x) {
    gm_node *n = &network->nodes[i];
    n->x = x;
    bool is_identity = n->layer.ops->only_training && !(network->flags & GM_TRAINING);
    if (!gm_node_owns_output(n) || left_out(network, i) || is_identity) {
        n->y = (float *)(uintptr_t)x; /* the same memory; written by nobody but its owner */
        return;
    }
    n->y = network->plan.places[i].y;
    gm_pass pass = forward_pass(network, i, N);
    double start = gm_clock_seconds();
    if (n->made == GM_NONE) {
        n->layer.ops->forward(&n->layer, &pass);
    } else {
        gm_pass norm = forward_pass(network, n->made, N);
        gm_normalised_conv_forward(&network->nodes[n->made].layer, &norm, &n->layer, &pass);
    }
    note_pass(network, i, GM_FORWARD_PASS, N, 1, start);
}

float *gm_network_forward(gm_network *network, int64_t N, const float *x, unsigned flags) {
    network->flags = flags;
    network->uses++;
    for (int i = 0; i < network->count; i++) {
        forward_layer(network, i, N, x);
        x = network->nodes[i].y;
    }
    if (flags & GM_TRAINING) network->clock++;
    return (float *)(uintptr_t)x;
}

/* The derivative of activation i, in place, unless a later layer's gate has seen to it. */
static void backward_activation(gm_network *network, int i, int64_t N, float *dy) {
    const gm_node *n = &network->nodes[i];
    if (n->gated || left_out(network, i)) return;
    double start = gm_clock_seconds();
    gm_activate_backward(gm_node_activation(n), N * n->layer.out_size, n->y, dy, dy);
    note_pass(network, i, GM_BACKWARD_PASS, N, 0, start);
}

/* Before a pass that adds to them. */
static void clear_gradients(const gm_layer *layer) {
    for (int k = 0; k < layer->parameter_count; k++) {
        const gm_parameter *p = &layer->parameter[k];
        if (p->trainable) memset(p->gradient, 0, (size_t)p->count * sizeof *p->gradient);
    }
}

/* Whether the gradient of layer i's kernel is kept as its factors. */
static bool keeps_factors(gm_network *network, int i, int64_t N, const float *dy, unsigned wants) {
    network->plan.places[i].factors.N = 0;
    bool wanted = (wants & GM_UPDATE_NEXT) && !network->shows_gradients;
    return wanted && gm_factors_keep(network, i, N, network->nodes[i].x, dy);
}

/* Layer i's, whose parameters' gradients are zeros if it does not set them. */
static gm_pass backward_pass(gm_network *network, int i, int64_t N, unsigned wants) {
    const gm_node *n = &network->nodes[i];
    gm_pass pass = pass_of(network, i, N, GM_BACKWARD_PASS);
    pass.act = gm_network_activation(network, n->applied);
    pass.frozen = !(wants & GM_WANT_PARAMETERS);
    pass.centred = n->centred;
    pass.sets_gradients = !(wants & GM_ADD) && n->layer.ops->sets_gradients;
    if (n->gate != GM_NONE) pass.gate = n->x;
    pass.gate_act = gm_network_activation(network, n->gate);
    if (!pass.frozen && !(wants & GM_ADD) && !pass.sets_gradients) clear_gradients(&n->layer);
    return pass;
}

static void backward_layer(gm_network *network, int i, int64_t N, float *dy, float *dx, unsigned wants) {
    gm_node *n = &network->nodes[i];
    double start = gm_clock_seconds();
    gm_pass pass = backward_pass(network, i, N, wants);
    pass.dy = n->dy = dy;
    pass.dx = dx;
    if (!pass.frozen) pass.leaves_kernel = keeps_factors(network, i, N, dy, wants);
    if (n->made == GM_NONE) {
        n->layer.ops->backward(&n->layer, &pass);
    } else {
        gm_pass norm = backward_pass(network, n->made, N, wants);
        gm_normalised_conv_backward(&network->nodes[n->made].layer, &norm, &n->layer, &pass);
    }
    note_pass(network, i, GM_BACKWARD_PASS, N, (dx != NULL) + (!pass.frozen && !pass.leaves_kernel), start);
}

float *gm_network_backward(gm_network *network, int64_t N, float *dy, unsigned wants) {
    bool want_input = wants & GM_WANT_INPUT;
    int lowest = want_input ? 0 : network->first;
    network->uses++;
    if (wants & GM_ADD) gm_network_write_gradients(network);
    for (int i = network->count - 1; i >= lowest; i--) {
        const gm_node *n = &network->nodes[i];
        if (n->layer.ops->is_view || n->made_by != GM_NONE) continue;
        if (gm_node_is_activation(n)) {
            backward_activation(network, i, N, dy);
            continue;
        }
        float *dx = gm_network_works_in_place(network, i) ? dy : network->plan.places[i].dx;
        if (!want_input && gm_network_first_of(network, i) == lowest) dx = NULL;
        backward_layer(network, i, N, dy, dx, wants);
        dy = dx;
    }
    return want_input ? dy : NULL;
}

gm_status gm_network_keep_signals(gm_network *network, const char *purpose, gm_error *error) {
    for (int i = 0; i < network->count; i++) {
        const gm_layer *layer = &network->nodes[i].layer;
        GM_REQUIRE(layer->ops->is_view || layer->ops->tangent, error, GM_VALUE_ERROR,
                   GM_LAYER
                   "cannot be part of %s, whose gradient is exact for layers that are linear or piecewise linear "
                   "and treat every sample by itself: leave it out",
                   GM_LAYER_ARGUMENTS(layer), purpose);
    }
    network->keeps_signals = true;
    gm_network_choose_storage(network);
    gm_network_write_gradients(network);
    gm_arena_free(&network->plan.arena);
    network->plan = (gm_plan){.capacity = 0};
    network->uses++;
    return GM_OK;
}

/* An activation needs its own output, wherever that was written. */
void gm_network_tangent(gm_network *network, int64_t N, const float *t) {
    int turn = 0;
    for (int i = 0; i < network->count; i++) {
        gm_node *n = &network->nodes[i];
        if (n->layer.ops->is_view) continue;
        gm_pass pass = pass_of(network, i, N, GM_TANGENT_PASS);
        pass.x = t;
        pass.gate = n->y;
        pass.y = network->plan.tangent[turn];
        pass.dy = n->dy;
        double start = gm_clock_seconds();
        n->layer.ops->tangent(&n->layer, &pass);
        note_pass(network, i, GM_TANGENT_PASS, N, 2, start);
        t = pass.y;
        turn = 1 - turn;
    }
}

void gm_network_commit(gm_network *network) {
    for (int i = 0; i < network->count; i++) {
        gm_layer *layer = &network->nodes[i].layer;
        gm_pass pass = {.saved = network->plan.places[i].saved};
        if (layer->ops->commit) layer->ops->commit(layer, &pass);
    }
}

static float *statistics(gm_network *network) { return network->parameters + network->trainable; }

void gm_network_note(gm_network *network) {
    memcpy(network->noted, statistics(network), (size_t)network->buffers * sizeof(float));
    network->noted_clock = network->clock;
}

void gm_network_restore(gm_network *network) {
    memcpy(statistics(network), network->noted, (size_t)network->buffers * sizeof(float));
    network->clock = network->noted_clock;
}

int64_t gm_network_piece(const gm_network *network, int64_t N) {
    int64_t outputs = 1;
    for (int i = 0; i < network->count; i++)
        if (gm_node_owns_output(&network->nodes[i])) outputs += network->nodes[i].layer.out_size;
    int64_t piece = network->trainable / outputs;
    return min_of(N, min_of(MOST_PIECE, max_of(LEAST_PIECE, piece)));
}

gm_status gm_network_predict(gm_network *network, int64_t N, const float *x, float *y, gm_error *error) {
    if (N <= 0) return GM_OK;
    GM_TRY(gm_network_reserve(network, gm_network_piece(network, N), error));
    int64_t output_size;
    GM_TRY(gm_shape_size(&network->output, &output_size, "network output", error));
    for (int64_t start = 0; start < N; start += network->plan.capacity) {
        int64_t piece = min_of(network->plan.capacity, N - start);
        const float *out = gm_network_forward(network, piece, x + start * network->input_size, 0);
        memcpy(y + start * output_size, out, (size_t)(piece * output_size) * sizeof(float));
    }
    return GM_OK;
}

/* ---- Looking in ---- */

int gm_network_layer_count(const gm_network *network) { return network->count; }
const gm_layer *gm_network_layer(const gm_network *network, int index) { return &network->nodes[index].layer; }
const gm_shape *gm_network_input_shape(const gm_network *network) { return &network->input; }
const gm_shape *gm_network_output_shape(const gm_network *network) { return &network->output; }

gm_activation gm_network_last_activation(const gm_network *network) {
    int last = gm_network_before_views(network, network->count);
    bool is_activation = last != GM_NONE && gm_node_is_activation(&network->nodes[last]);
    return gm_network_activation(network, is_activation ? last : GM_NONE);
}

int64_t gm_network_trainable(const gm_network *network) { return network->trainable; }
int64_t gm_network_buffers(const gm_network *network) { return network->buffers; }
float *gm_network_parameters(gm_network *network) { return network->parameters; }
int64_t gm_network_plan_bytes(const gm_network *network) { return network->plan.arena.capacity; }
uint64_t gm_network_uses(const gm_network *network) { return network->uses; }
float *gm_network_input(gm_network *network) { return network->plan.input; }
const gm_meter *gm_network_meter(const gm_network *network, int index, gm_pass_kind kind) {
    return &network->nodes[index].meters[kind];
}
const float *gm_network_layer_input(const gm_network *network, int index) { return network->nodes[index].x; }
uint64_t gm_network_clock(const gm_network *network) { return network->clock; }
void gm_network_set_clock(gm_network *network, uint64_t clock) { network->clock = clock; }
