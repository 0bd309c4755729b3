#include "network/initialize.h"

#include <math.h>

/* Glorot and Bengio 2010: uniform in +-sqrt(6 / (fan_in + fan_out)). */
static void glorot_uniform(gm_parameter *p, gm_random *random) {
    double limit = sqrt(6.0 / ((double)p->fan_in + (double)p->fan_out));
    gm_random_uniform(random, p->count, p->value);
    for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)((2.0 * (double)p->value[i] - 1.0) * limit);
}

/* He et al. 2015: normal of variance 2 / fan_in. */
static void he_normal(gm_parameter *p, gm_random *random) {
    double deviation = sqrt(2.0 / (double)p->fan_in);
    gm_random_normal(random, p->count, p->value);
    for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)((double)p->value[i] * deviation);
}

/* Every direction alike. */
static void unit_normal(gm_parameter *p, gm_random *random) {
    double square = 0;
    gm_random_normal(random, p->count, p->value);
    for (int64_t i = 0; i < p->count; i++) square += (double)p->value[i] * (double)p->value[i];
    for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)((double)p->value[i] / sqrt(square));
}

static void constant(gm_parameter *p, float value) {
    for (int64_t i = 0; i < p->count; i++) p->value[i] = value;
}

void gm_layer_initialize(gm_layer *layer, uint64_t seed, uint32_t stream) {
    gm_random random = {seed, GM_STREAM_INIT | (uint64_t)stream << 8 | layer->index << 32, 0};
    for (int k = 0; k < layer->parameter_count; k++) {
        gm_parameter *p = &layer->parameter[k];
        switch (p->initializer) {
        case GM_INIT_ZEROS: constant(p, 0.0f); break;
        case GM_INIT_ONES: constant(p, 1.0f); break;
        case GM_INIT_GLOROT_UNIFORM: glorot_uniform(p, &random); break;
        case GM_INIT_HE_NORMAL: he_normal(p, &random); break;
        case GM_INIT_UNIT_NORMAL: unit_normal(p, &random); break;
        }
    }
}
