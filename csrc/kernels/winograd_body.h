/* The bodies of the kernels in winograd.h. Included once by each isa_*.c, after its simd_*.h. */
#include "kernels/winograd.h"

/* n values in vectors, the last one shorter: BODY sees `at`, LOAD and STORE. */
#define IN_VECTORS(BODY)                                                                                               \
    int64_t at = 0;                                                                                                    \
    for (; at + VL <= n; at += VL) {                                                                                   \
        BODY(v_load, v_store)                                                                                          \
    }                                                                                                                  \
    if (at < n) {                                                                                                      \
        BODY(load_rest, store_rest)                                                                                    \
    }
#define load_rest(p) v_load_n(p, n - at)
#define store_rest(p, v) v_store_n(p, v, n - at)

static void winograd_difference(int64_t n, const float *const d[9], float *out, int64_t step) {
#define BODY(LOAD, STORE)                                                                                              \
    vf row[3][3];                                                                                                      \
    for (int j = 0; j < 3; j++) {                                                                                      \
        vf middle = LOAD(d[3 + j] + at);                                                                               \
        row[0][j] = v_sub(LOAD(d[j] + at), middle);                                                                    \
        row[1][j] = middle;                                                                                            \
        row[2][j] = v_sub(LOAD(d[6 + j] + at), middle);                                                                \
    }                                                                                                                  \
    for (int i = 0; i < 3; i++) {                                                                                      \
        float *to = out + 3 * i * step + at;                                                                           \
        STORE(to, v_sub(row[i][0], row[i][1]));                                                                        \
        STORE(to + step, row[i][1]);                                                                                   \
        STORE(to + 2 * step, v_sub(row[i][2], row[i][1]));                                                             \
    }
    IN_VECTORS(BODY)
#undef BODY
}

static void winograd_expand(int64_t n, const float *const g[4], float *out, int64_t step) {
#define BODY(LOAD, STORE)                                                                                              \
    vf row[3][2];                                                                                                      \
    for (int j = 0; j < 2; j++) {                                                                                      \
        row[0][j] = LOAD(g[j] + at);                                                                                   \
        row[2][j] = LOAD(g[2 + j] + at);                                                                               \
        row[1][j] = v_add(row[0][j], row[2][j]);                                                                       \
    }                                                                                                                  \
    for (int i = 0; i < 3; i++) {                                                                                      \
        float *to = out + 3 * i * step + at;                                                                           \
        STORE(to, row[i][0]);                                                                                          \
        STORE(to + step, v_add(row[i][0], row[i][1]));                                                                 \
        STORE(to + 2 * step, row[i][1]);                                                                               \
    }
    IN_VECTORS(BODY)
#undef BODY
}

static void winograd_fold(int64_t n, const float *m, int64_t step, int add, float *const y[4]) {
#define BODY(LOAD, STORE)                                                                                              \
    vf row[2][3];                                                                                                      \
    for (int j = 0; j < 3; j++) {                                                                                      \
        const float *from = m + j * step + at;                                                                         \
        vf middle = LOAD(from + 3 * step);                                                                             \
        row[0][j] = v_add(LOAD(from), middle);                                                                         \
        row[1][j] = v_add(middle, LOAD(from + 6 * step));                                                              \
    }                                                                                                                  \
    for (int i = 0; i < 2; i++) {                                                                                      \
        vf first = v_add(row[i][0], row[i][1]), second = v_add(row[i][1], row[i][2]);                                  \
        float *to = y[2 * i] + at, *beside = y[2 * i + 1] + at;                                                        \
        STORE(to, add ? v_add(LOAD(to), first) : first);                                                               \
        STORE(beside, add ? v_add(LOAD(beside), second) : second);                                                     \
    }
    IN_VECTORS(BODY)
#undef BODY
}

#undef store_rest
#undef load_rest
#undef IN_VECTORS
