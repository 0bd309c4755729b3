/* The words for lengths: which is shorter, and how many pieces of one are in another. Of sizes that were checked (shape.h). */
#ifndef GM_BASE_SIZES_H
#define GM_BASE_SIZES_H

#include <stdint.h>

enum {
    GM_LINE_FLOATS = 16, /* of a cache line, which no two threads should write to */
    GM_DOUBLE_FLOATS = sizeof(double) / sizeof(float)
};

static inline int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

/* a, b >= 0: pieces of b that hold a; the length of these together. */
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

#endif
