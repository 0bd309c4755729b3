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

static double inner_product(int64_t n, const float *a, const float *b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Saxe et al. 2014: orthonormal rows, uniformly distributed, by Gram and Schmidt's process on normal ones. With no more
 * rows than columns these are seldom nearly dependent; one of no length, which no other row minds, would stay zero. */
static void orthogonal(gm_parameter *p, gm_random *random) {
    int64_t rows = p->fan_in, columns = p->count / rows;
    gm_random_normal(random, p->count, p->value);
    for (int64_t i = 0; i < rows; i++) {
        float *row = p->value + i * columns;
        for (int64_t j = 0; j < i; j++) {
            const float *other = p->value + j * columns;
            float part = (float)inner_product(columns, row, other);
            for (int64_t k = 0; k < columns; k++) row[k] -= part * other[k];
        }
        double length = sqrt(inner_product(columns, row, row));
        for (int64_t k = 0; k < columns && length > 0; k++) row[k] = (float)((double)row[k] / length);
    }
}

/* Jozefowicz et al. 2015: a memory that starts by remembering. */
static void forget_gate(gm_parameter *p) {
    int64_t units = p->count / 4;
    for (int64_t i = 0; i < p->count; i++) p->value[i] = i / units == 1 ? 1.0f : 0.0f;
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
        case GM_INIT_ORTHOGONAL: orthogonal(p, &random); break;
        case GM_INIT_FORGET_GATE: forget_gate(p); break;
        }
    }
}
