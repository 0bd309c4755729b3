/* The plan of a network: where what its passes write lies, for the largest batch.
 *
 * Each layer has an output and what it saves for backward. Three kinds of layers have no output of their own: views (Flatten,
 * Reshape); an activation that the product before it, perhaps through views, applies in its epilogue; and a batch
 * normalisation that the convolution behind it computes with itself. Backward, the activation's derivative is applied by the
 * layer after it while it stores its input gradient (a gate), or else in place.
 *
 * A layer's input gradient lies where outputs do that its backward pass and those still to come do not read: on its own
 * input's place where it can, on those behind it, or on its output's gradient, so that a step needs little more memory than
 * its outputs. (In place of two buffers of the widest layer's: a third less of `vae-32` and `cgan-keras`.) Its workspace lies
 * behind what its pass reads and writes, where outputs do that are still to be made or no longer needed. (In place of one for
 * all layers: a tenth less of `wgan-32`.) A network that keeps its backward signals, for a tangent pass, gives each of them
 * and the workspace places of their own.
 *
 * In bf16 what one convolution or batch normalisation hands to the next, and the gradient it gets back, is stored in pairs
 * (kernels/bfloat.h): half the memory to move, and for most products no rounding that they would not do themselves. */
#include "base/sizes.h"
#include "kernels/bfloat.h"
#include "layers/normalised_conv.h"
#include "network/state.h"

/* Floats of an array of N samples, and a line between it and the next: arrays a power of two apart would share sets of the
 * caches. */
static int64_t array_floats(int64_t N, int64_t size, bool pairs) {
    return round_up(N * gm_words(size, pairs), GM_LINE_FLOATS) + GM_LINE_FLOATS;
}
static int64_t x_floats(const gm_node *n, int64_t N) { return array_floats(N, n->layer.in_size, n->layer.x_pairs); }
static int64_t y_floats(const gm_node *n, int64_t N) { return array_floats(N, n->layer.out_size, n->layer.y_pairs); }

/* The first of the layers that may be the one whose output is the network's: the last that has an output of its own and is no
 * activation, which a forward may leave out. */
static int first_of_last(const gm_network *network) {
    int i = network->count - 1;
    while (i > 0 && (!gm_node_owns_output(&network->nodes[i]) || gm_node_is_activation(&network->nodes[i]))) i--;
    return i;
}

/* Whether layer i's output stays as it is in a backward pass: it is the network's, in which its losses may be made, or of
 * those that a wide layer keeps. */
static bool stays(const gm_network *network, int i) {
    int reader = gm_network_reader(network, i);
    return i >= first_of_last(network) || (reader < network->count && gm_factors_may_be(&network->nodes[reader].layer));
}

/* Whether layer i's input gradient may lie where its input does: an output of this network that does not stay, and whose
 * derivative, if it is an activation's, the layer applies itself; as a normalisation that is computed with it does. */
static bool may_lie_over_x(const gm_network *network, int i) {
    const gm_node *n = &network->nodes[gm_network_first_of(network, i)];
    int before = gm_network_before_views(network, gm_network_first_of(network, i));
    if (before == GM_NONE || gm_factors_may_be(&n->layer)) return false;
    if (gm_node_is_activation(&network->nodes[before]) && n->gate == GM_NONE) return false;
    if (n->made_by != GM_NONE) return true;
    if (!n->layer.ops->dx_over_x) return false;
    return n->layer.ops->dx_over_x(&n->layer, gm_network_activation(network, n->gate));
}

static int64_t workspace_floats(const gm_network *network, int i, int64_t N) {
    const gm_node *n = &network->nodes[i];
    if (n->made_by != GM_NONE || !n->layer.ops->workspace) return 0;
    if (n->made == GM_NONE) return n->layer.ops->workspace(&n->layer, N);
    return gm_normalised_conv_workspace(&network->nodes[n->made].layer, &n->layer, N);
}

/* Where the arrays of N samples lie in one piece of memory, by their first floats. */
typedef struct layout {
    const gm_network *network;
    int64_t N;
    gm_plan *plan; /* NULL: measured */
    float *memory;
    int64_t end; /* floats that all of them take */
} layout;

static float *take(layout *l, int64_t begin, int64_t floats) {
    l->end = max_of(l->end, begin + floats);
    return l->plan ? l->memory + begin : NULL;
}

static void place_workspace(layout *l, int i, gm_pass_kind kind, int64_t begin) {
    if (l->network->keeps_signals) return; /* in which all share one: place_shared */
    float *at = take(l, begin, workspace_floats(l->network, i, l->N));
    if (l->plan) l->plan->places[i].workspace[kind] = at;
}

/* Places the outputs that stay, or the others with the workspaces of forward passes, one behind the other in layer order, from
 * `at` on; where the outputs end. A workspace lies where outputs still to be made do. */
static int64_t place_outputs(layout *l, bool staying, int64_t at) {
    for (int i = 0; i < l->network->count; i++) {
        const gm_node *n = &l->network->nodes[i];
        if (gm_node_owns_output(n) && stays(l->network, i) == staying) {
            int64_t floats = y_floats(n, l->N);
            float *y = take(l, at, floats);
            if (l->plan) l->plan->places[i].y = y;
            at += floats;
        }
        if (!staying) place_workspace(l, i, GM_FORWARD_PASS, at);
    }
    return at;
}

/* Places the input gradients and the workspaces of backward passes over outputs that end at `live`. When layer i's backward
 * pass has come, those of the layers below it are still to be read, and so is its output's gradient: if it is the caller's,
 * elsewhere or in an output that stays. */
static void place_gradients(layout *l, int64_t live) {
    int64_t dy_begin = 0, dy_end = 0;
    for (int i = l->network->count - 1; i >= 0; i--) {
        const gm_node *n = &l->network->nodes[i];
        if (gm_node_owns_output(n) && !stays(l->network, i)) live -= y_floats(n, l->N);
        if (n->layer.ops->is_view || gm_node_is_activation(n) || n->made_by != GM_NONE) continue;
        const gm_node *reads = &l->network->nodes[gm_network_first_of(l->network, i)];
        int64_t floats = x_floats(reads, l->N), begin = live, behind = max_of(live, dy_end);
        if (!gm_network_works_in_place(l->network, i)) {
            if (l->network->keeps_signals)
                begin = l->end;
            else if (may_lie_over_x(l->network, i))
                begin = live - floats;
            else if (begin < dy_end && begin + floats > dy_begin)
                begin = dy_end;
            float *dx = take(l, begin, floats);
            if (l->plan) l->plan->places[i].dx = dx;
            dy_begin = begin, dy_end = begin + floats;
        }
        place_workspace(l, i, GM_BACKWARD_PASS, max_of(behind, dy_end));
    }
}

/* Places behind all arrays the workspace of what may come at any time: an update by factors (update.c), and all passes of a
 * network that keeps its signals. */
static void place_shared(layout *l) {
    bool keeps_signals = l->network->keeps_signals;
    int64_t floats = 0;
    for (int i = 0; i < l->network->count; i++) {
        const gm_node *n = &l->network->nodes[i];
        if (keeps_signals || gm_factors_may_be(&n->layer))
            floats = max_of(floats, workspace_floats(l->network, i, l->N));
    }
    float *at = take(l, l->end, floats);
    if (!l->plan) return;
    l->plan->workspace = at;
    if (!keeps_signals) return;
    for (int i = 0; i < l->network->count; i++)
        for (int kind = 0; kind < GM_PASS_KINDS; kind++) l->plan->places[i].workspace[kind] = at;
}

/* Places outputs, input gradients and workspaces in the plan's `memory`, or measures; the floats they take together. Outputs
 * that stay lie first. */
static int64_t place_arrays(const gm_network *network, int64_t N, gm_plan *plan, float *memory) {
    layout l = {network, N, plan, memory, 0};
    int64_t live = place_outputs(&l, true, 0);
    live = place_outputs(&l, false, live);
    place_gradients(&l, live);
    place_shared(&l);
    return l.end;
}

/* Run on a measuring arena, then on a placed one: the sizes are checked the first time. */
static gm_status lay_out(const gm_network *network, int64_t N, gm_arena *arena, gm_plan *p, gm_error *error) {
    int64_t floats, widest = 0;
    p->capacity = N;
    p->places = (gm_place *)(void *)gm_arena_bytes(arena, network->count * (int64_t)sizeof(gm_place));
    GM_TRY(gm_size_multiply(N, network->input_size, &floats, "batch of inputs", error));
    p->input = gm_arena_floats(arena, floats);
    for (int i = 0; i < network->count; i++) {
        const gm_node *n = &network->nodes[i];
        const gm_layer_ops *ops = n->layer.ops;
        gm_place at = {.y = NULL};
        GM_TRY(gm_size_multiply(N, gm_words(n->layer.in_size, n->layer.x_pairs), &floats, ops->name, error));
        widest = max_of(widest, floats);
        GM_TRY(gm_size_multiply(N, gm_words(n->layer.out_size, n->layer.y_pairs), &floats, ops->name, error));
        widest = max_of(widest, floats);
        at.factors = gm_factors_lay_out(&n->layer, N, arena);
        if (ops->saved) {
            GM_TRY(gm_size_multiply(ops->saved(&n->layer, N), 1, &floats, ops->name, error));
            at.saved = gm_arena_floats(arena, floats);
        }
        GM_TRY(gm_size_multiply(workspace_floats(network, i, N), 1, &floats, "workspace of a layer", error));
        if (p->places) p->places[i] = at;
    }
    float *arrays = gm_arena_floats(arena, place_arrays(network, N, NULL, NULL));
    if (p->places) place_arrays(network, N, p, arrays);
    for (int i = 0; i < 2; i++) p->tangent[i] = network->keeps_signals ? gm_arena_floats(arena, widest) : NULL;
    return GM_OK;
}

gm_status gm_network_reserve(gm_network *network, int64_t N, gm_error *error) {
    if (N <= network->plan.capacity) return GM_OK;
    gm_arena measured = gm_arena_measuring();
    gm_plan p;
    GM_TRY(lay_out(network, N, &measured, &p, error));
    gm_arena arena;
    GM_TRY(gm_arena_create(&measured, &arena, "activations of a network", error));
    gm_status status = lay_out(network, N, &arena, &p, error);
    if (status != GM_OK) {
        gm_arena_free(&arena);
        return status;
    }
    p.arena = arena;
    gm_network_write_gradients(network);
    gm_arena_free(&network->plan.arena);
    network->plan = p;
    network->uses++;
    return GM_OK;
}
