/* With g the gradient, p the parameters and t the step, from 1:
 *   Adam (Kingma and Ba 2015)   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g g;
 *                               p -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *   RMSprop (Hinton 2012)       v = rho v + (1 - rho) g g;  b = momentum b + g / (sqrt(v) + epsilon);  p -= rate * b
 *   SGD                         b = momentum b + g;  p -= rate * b */
#include "network/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "kernels/table.h"

enum { MOST_SLOTS = 2, PIECE = 16384 };

struct gm_optimizer {
    gm_optimizer_config config;
    int64_t count;
    uint64_t steps;
    gm_update step; /* the one that has begun last */
    gm_arena arena;
    float *slot[MOST_SLOTS];
};

static const char *const slot_names[][MOST_SLOTS] = {
    [GM_ADAM] = {"m", "v"}, [GM_RMSPROP] = {"v", "b"}, [GM_SGD] = {"b", NULL}};

static gm_status check_range(const char *name, float value, float low, float high, gm_error *error) {
    GM_REQUIRE(value >= low && value <= high, error, GM_VALUE_ERROR, "optimizer: %s is %g, must be %g to %g", name,
               (double)value, (double)low, (double)high);
    return GM_OK;
}

static gm_status check_fraction(const char *name, float value, gm_error *error) {
    GM_REQUIRE(value >= 0 && value < 1, error, GM_VALUE_ERROR, "optimizer: %s is %g, must be at least 0 and below 1",
               name, (double)value);
    return GM_OK;
}

static gm_status check_config(const gm_optimizer_config *config, gm_error *error) {
    GM_TRY(check_range("learning_rate", config->learning_rate, 0.0f, 1e6f, error));
    switch (config->kind) {
    case GM_ADAM:
        GM_TRY(check_fraction("beta1", config->beta1, error));
        GM_TRY(check_fraction("beta2", config->beta2, error));
        return check_range("epsilon", config->epsilon, 1e-30f, 1e6f, error);
    case GM_RMSPROP:
        GM_TRY(check_fraction("rho", config->rho, error));
        GM_TRY(check_fraction("momentum", config->momentum, error));
        return check_range("epsilon", config->epsilon, 1e-30f, 1e6f, error);
    case GM_SGD: return check_fraction("momentum", config->momentum, error);
    }
    return gm_error_set(error, GM_VALUE_ERROR, "optimizer: unknown kind %d", (int)config->kind);
}

static void lay_out(gm_optimizer *optimizer, gm_arena *arena) {
    for (int i = 0; i < gm_optimizer_slot_count(optimizer); i++)
        optimizer->slot[i] = gm_arena_floats(arena, optimizer->count);
}

gm_status gm_optimizer_create(const gm_optimizer_config *config, int64_t count, gm_optimizer **optimizer,
                              gm_error *error) {
    GM_TRY(check_config(config, error));
    gm_optimizer *o = calloc(1, sizeof *o);
    GM_REQUIRE(o, error, GM_MEMORY_ERROR, "optimizer: cannot allocate its state");
    o->config = *config;
    o->count = count;
    gm_arena measured = gm_arena_measuring();
    lay_out(o, &measured);
    gm_status status = gm_arena_create(&measured, &o->arena, "optimizer state", error);
    if (status != GM_OK) {
        gm_optimizer_free(o);
        return status;
    }
    lay_out(o, &o->arena);
    *optimizer = o;
    return GM_OK;
}

void gm_optimizer_free(gm_optimizer *optimizer) {
    if (!optimizer) return;
    gm_arena_free(&optimizer->arena);
    free(optimizer);
}

void gm_optimizer_begin(gm_optimizer *optimizer) {
    const gm_optimizer_config *config = &optimizer->config;
    if (optimizer->steps < UINT64_MAX) optimizer->steps++; /* from 0 the first step would be divided by 0 */
    double t = (double)optimizer->steps;
    optimizer->step = (gm_update){.learning_rate = config->learning_rate,
                                  .beta1 = config->beta1,
                                  .beta2 = config->beta2,
                                  .rho = config->rho,
                                  .momentum = config->momentum,
                                  .epsilon = config->epsilon};
    if (config->kind != GM_ADAM) return;
    optimizer->step.correction1 = (float)(1.0 / (1.0 - pow((double)config->beta1, t)));
    optimizer->step.correction2 = (float)(1.0 / (1.0 - pow((double)config->beta2, t)));
}

void gm_optimizer_move(const gm_optimizer *optimizer, int64_t first, int64_t count, const float *g, float *p) {
    const gm_kernels *kernels = gm_kernels_active();
    const gm_update *step = &optimizer->step;
    float *a = optimizer->slot[0] + first, *b = optimizer->slot[1] ? optimizer->slot[1] + first : NULL;
    switch (optimizer->config.kind) {
    case GM_ADAM: kernels->adam(step, count, g, p, a, b); break;
    case GM_RMSPROP: kernels->rmsprop(step, count, g, p, a, b); break;
    case GM_SGD: kernels->sgd(step, count, g, p, a); break;
    }
}

typedef struct move_call {
    const gm_optimizer *optimizer;
    int64_t first;
    const float *g;
    float *p;
} move_call;

static void move_piece(void *context, int64_t at, int64_t count) {
    const move_call *call = context;
    gm_optimizer_move(call->optimizer, call->first + at, count, call->g + at, call->p + at);
}

void gm_optimizer_move_many(const gm_optimizer *optimizer, int64_t first, int64_t count, const float *g, float *p) {
    gm_parallel_pieces(count, PIECE, move_piece, &(move_call){optimizer, first, g, p});
}

gm_status gm_optimizer_set_learning_rate(gm_optimizer *optimizer, float learning_rate, gm_error *error) {
    GM_TRY(check_range("learning_rate", learning_rate, 0.0f, 1e6f, error));
    optimizer->config.learning_rate = learning_rate;
    return GM_OK;
}

int gm_optimizer_slot_count(const gm_optimizer *optimizer) { return optimizer->config.kind == GM_SGD ? 1 : 2; }

const char *gm_optimizer_slot_name(const gm_optimizer *optimizer, int slot) {
    return slot_names[optimizer->config.kind][slot];
}

float *gm_optimizer_slot(gm_optimizer *optimizer, int slot) { return optimizer->slot[slot]; }
uint64_t gm_optimizer_steps(const gm_optimizer *optimizer) { return optimizer->steps; }
void gm_optimizer_set_steps(gm_optimizer *optimizer, uint64_t steps) { optimizer->steps = steps; }
