/* Adam, RMSprop and SGD as flat loops over an arena of parameters. */
#ifndef GM_NETWORK_OPTIMIZER_H
#define GM_NETWORK_OPTIMIZER_H

#include <stdint.h>

#include "base/error.h"

typedef enum gm_optimizer_kind { GM_ADAM, GM_RMSPROP, GM_SGD } gm_optimizer_kind;

/* Bounds, checked on creation, that keep the state of finite gradients finite; a parameter stops at the largest float.
 * 0 <= learning_rate <= 1e6; 0 <= beta1, beta2, rho, momentum < 1; 1e-30 <= epsilon <= 1e6. */
typedef struct gm_optimizer_config {
    gm_optimizer_kind kind;
    float learning_rate, beta1, beta2, rho, momentum, epsilon;
} gm_optimizer_config;

/* A gradient above this is treated as divergence: its square would overflow. */
#define GM_MAX_GRADIENT 1e18f

typedef struct gm_optimizer gm_optimizer;

gm_status gm_optimizer_create(const gm_optimizer_config *config, int64_t count, gm_optimizer **optimizer,
                              gm_error *error);
void gm_optimizer_free(gm_optimizer *optimizer);

/* A step begins; then every parameter moves once, in any order and from any thread: p (count) are those from `first` on, g
 * (count) their gradients, every |g| <= GM_MAX_GRADIENT. The second is for long stretches: it uses all threads. */
void gm_optimizer_begin(gm_optimizer *optimizer);
void gm_optimizer_move(const gm_optimizer *optimizer, int64_t first, int64_t count, const float *g, float *p);
void gm_optimizer_move_many(const gm_optimizer *optimizer, int64_t first, int64_t count, const float *g, float *p);

gm_status gm_optimizer_set_learning_rate(gm_optimizer *optimizer, float learning_rate, gm_error *error);

/* State, for saving: `slots` arrays (count) named "m", "v" (Adam), "v", "b" (RMSprop), "b" (SGD); and the step. */
int gm_optimizer_slot_count(const gm_optimizer *optimizer);
const char *gm_optimizer_slot_name(const gm_optimizer *optimizer, int slot);
float *gm_optimizer_slot(gm_optimizer *optimizer, int slot);
uint64_t gm_optimizer_steps(const gm_optimizer *optimizer);
void gm_optimizer_set_steps(gm_optimizer *optimizer, uint64_t steps);

#endif
