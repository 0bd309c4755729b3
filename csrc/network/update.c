/* Gradients on their way into the parameters.
 *
 * That of a wide dense layer's kernel is x^T dy, of N rows each, and may have a hundred times as many values as these. Written,
 * it would be read twice: to see that it is finite, and by the optimizer; more than half of all that an update moves. So a
 * backward pass with GM_UPDATE_NEXT keeps x and dy, the factors, and the update uses their product block by block while it is
 * in a cache. The bits are the same. Whoever asks for the gradients finds them written, from then on always. */
#include <math.h>
#include <stddef.h>

#include "base/clock.h"
#include "kernels/arrays.h"
#include "network/state.h"

enum {
    KERNEL = 0,
    WIDE = 1 << 20, /* values: 4 MB, which stay in no cache of a core */
    AS_MANY = 2     /* times the values of the factors: less would not pay for copying them */
};

bool gm_factors_may_be(const gm_layer *layer) {
    return layer->ops->leaves_kernel && layer->ops->leaves_kernel(layer) && layer->parameter[KERNEL].count >= WIDE;
}

gm_factors gm_factors_lay_out(const gm_layer *layer, int64_t N, gm_arena *arena) {
    if (!gm_factors_may_be(layer)) return (gm_factors){0, NULL, NULL};
    float *x = gm_arena_floats(arena, N * layer->in_size);
    return (gm_factors){0, x, gm_arena_floats(arena, N * layer->out_size)};
}

/* Keeps x (N, in): its memory, where that is an output of the plan, whose layer gets ours in exchange; else a copy. */
static void keep_input(gm_network *network, int index, int64_t N, const float *x) {
    gm_place *places = network->plan.places;
    float **ours = &places[index].factors.x;
    for (int i = 0; i < index; i++) {
        if (places[i].y != x) continue;
        float *theirs = places[i].y;
        places[i].y = *ours;
        *ours = theirs;
        return;
    }
    gm_copy(N * network->nodes[index].layer.in_size, x, *ours);
}

bool gm_factors_keep(gm_network *network, int index, int64_t N, const float *x, const float *dy) {
    const gm_layer *layer = &network->nodes[index].layer;
    gm_factors *factors = &network->plan.places[index].factors;
    int64_t values = N * (layer->in_size + layer->out_size);
    if (!factors->x || N > GM_TAKEN_BATCH || layer->parameter[KERNEL].count / AS_MANY < values) return false;
    keep_input(network, index, N, x);
    gm_copy(N * layer->out_size, dy, factors->dy);
    factors->N = N;
    return true;
}

/* ---- Gradients that somebody looks at ---- */

static gm_factors *factors_of(const gm_network *network, int index) { return &network->plan.places[index].factors; }

static bool is_kept(const gm_network *network, int index) {
    return network->plan.places && factors_of(network, index)->N;
}

static void write_gradient(gm_network *network, int index) {
    const gm_layer *layer = &network->nodes[index].layer;
    gm_factors *factors = factors_of(network, index);
    gm_conv_backward_weights(&layer->conv, factors->N, factors->x, factors->dy, false,
                             layer->parameter[KERNEL].gradient, network->plan.workspace);
    factors->N = 0;
}

void gm_network_write_gradients(gm_network *network) {
    for (int i = 0; i < network->count; i++)
        if (is_kept(network, i)) write_gradient(network, i);
}

float *gm_network_gradients(gm_network *network) {
    gm_network_write_gradients(network);
    network->shows_gradients = true;
    return network->gradients;
}

/* ---- The update ---- */

/* Where the kernel of layer `index` begins among the parameters. */
static int64_t first_of(const gm_network *network, int index) {
    return network->nodes[index].layer.parameter[KERNEL].value - network->parameters;
}

/* Parameters in a row: a kernel whose gradient is kept as factors, or all up to the next one. */
typedef struct stretch {
    int64_t first, count;
    int kept; /* the kernel's layer, or GM_NONE: the gradients are written */
} stretch;

/* That which begins at parameter `first`; empty behind the last one. */
static stretch stretch_from(const gm_network *network, int64_t first) {
    for (int i = 0; i < network->count; i++) {
        int64_t kernel = is_kept(network, i) ? first_of(network, i) : -1;
        if (kernel == first) return (stretch){first, network->nodes[i].layer.parameter[KERNEL].count, i};
        if (kernel > first) return (stretch){first, kernel - first, GM_NONE};
    }
    return (stretch){first, network->trainable - first, GM_NONE};
}

/* No |gradient| exceeds it, however its sum was rounded; not a number where a factor is not finite. */
static double bound_of(const gm_network *network, int index) {
    const gm_layer *layer = &network->nodes[index].layer;
    const gm_factors *factors = factors_of(network, index);
    double x = (double)gm_peak(factors->N * layer->in_size, factors->x);
    double dy = (double)gm_peak(factors->N * layer->out_size, factors->dy);
    return 1.1 * (double)factors->N * x * dy;
}

static float written_peak(const gm_network *network, const stretch *of) {
    return gm_peak(of->count, network->gradients + of->first);
}

static float kept_peak(gm_network *network, const stretch *of) {
    double bound = bound_of(network, of->kept);
    if (bound <= (double)GM_MAX_GRADIENT) return (float)bound;
    write_gradient(network, of->kept);
    return written_peak(network, of);
}

float gm_network_gradient_peak(gm_network *network) {
    float peak = 0;
    for (stretch s = stretch_from(network, 0); s.count; s = stretch_from(network, s.first + s.count))
        peak = fmaxf(peak, s.kept == GM_NONE ? written_peak(network, &s) : kept_peak(network, &s));
    return peak;
}

typedef struct row_update {
    const gm_optimizer *optimizer;
    int64_t first, width;
    float *parameters;
} row_update;

static void move_row(void *context, int64_t row, int64_t column, int64_t columns, const float *values) {
    const row_update *update = context;
    int64_t first = update->first + row * update->width + column;
    gm_optimizer_move(update->optimizer, first, columns, values, update->parameters + first);
}

static void move_by_factors(gm_network *network, int index, gm_optimizer *optimizer) {
    gm_node *n = &network->nodes[index];
    const gm_factors *factors = factors_of(network, index);
    row_update update = {optimizer, first_of(network, index), n->layer.out_size, network->parameters};
    gm_taker taker = {move_row, &update, {network->parameters + update.first}};
    for (int slot = 0; slot < gm_optimizer_slot_count(optimizer); slot++)
        taker.beside[1 + slot] = gm_optimizer_slot(optimizer, slot) + update.first;
    double start = gm_clock_seconds();
    gm_conv_take_weights(&n->layer.conv, factors->N, factors->x, factors->dy, &taker, network->plan.workspace);
    gm_meter *meter = &n->meters[GM_BACKWARD_PASS]; /* which has counted the pass itself */
    meter->products += (double)(factors->N * n->layer.ops->products(&n->layer));
    meter->seconds += gm_clock_seconds() - start;
}

void gm_network_update(gm_network *network, gm_optimizer *optimizer) {
    gm_optimizer_begin(optimizer);
    for (stretch s = stretch_from(network, 0); s.count; s = stretch_from(network, s.first + s.count))
        if (s.kept == GM_NONE)
            gm_optimizer_move_many(optimizer, s.first, s.count, network->gradients + s.first,
                                   network->parameters + s.first);
        else
            move_by_factors(network, s.kept, optimizer);
}
