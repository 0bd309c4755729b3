/* Arrays to measure with: some numbers, none of them extreme, from a cache line on, as the layers of a network have theirs. */
#ifndef BENCHMARKS_VALUES_H
#define BENCHMARKS_VALUES_H

#include <stdint.h>
#include <stdlib.h>

#include "base/sizes.h"

static inline float *values(int64_t count) {
    const size_t line = GM_LINE_FLOATS * sizeof(float);
    float *v = aligned_alloc(line, (size_t)round_up(count, GM_LINE_FLOATS) * sizeof *v);
    if (!v) exit(1);
    for (int64_t i = 0; i < count; i++) v[i] = (float)(i % 251) / 125.0f - 1.0f;
    return v;
}

#endif
