/* The pointwise activations, by name: shared by the layers and by the epilogues of the products. */
#ifndef GM_KERNELS_ACTIVATION_H
#define GM_KERNELS_ACTIVATION_H

#include <stdbool.h>

typedef enum gm_activation_kind { GM_LINEAR, GM_LEAKY_RELU, GM_TANH, GM_SIGMOID } gm_activation_kind;

/* y = x for x >= 0, slope * x below (ReLU is slope 0); or tanh; or the logistic function. */
typedef struct gm_activation {
    gm_activation_kind kind;
    float slope; /* >= 0, of GM_LEAKY_RELU */
} gm_activation;

/* What a kernel does that knows slopes alone, the one below zero; and whether that leaves the activation to be done. */
static inline float gm_slope_of(gm_activation act) { return act.kind == GM_LEAKY_RELU ? act.slope : 1.0f; }
static inline bool gm_is_curved(gm_activation act) { return act.kind == GM_TANH || act.kind == GM_SIGMOID; }

#endif
