/* The bodies of the kernels in winograd.h. Included once by each isa_*.c, after its simd_*.h. */
#include "kernels/winograd.h"

/* ---- Along one axis, of a square of `size` ---- */

GM_INLINE vf halved(vf x) { return v_mul(v_set1(0.5f), x); }

GM_INLINE void difference_axis(const int size, const vf *d, vf *point) {
    const int last = size;
    point[0] = v_sub(d[0], d[size - 1]);
    point[1] = size == 2 ? d[1] : halved(v_add(d[1], d[2]));
    point[2] = v_sub(d[last], d[1]);
    if (size == 3) point[3] = halved(v_sub(d[2], d[1]));
}

GM_INLINE void expand_axis(const int size, const vf *y, vf *point) {
    vf ends = v_add(y[0], y[size - 1]);
    point[0] = y[0];
    point[1] = size == 2 ? ends : v_add(ends, y[1]);
    point[2] = y[size - 1];
    if (size == 3) point[3] = v_sub(ends, y[1]);
}

GM_INLINE void expand_taps_axis(const int size, const vf *g, vf *point) {
    point[0] = g[0];
    point[1] = v_add(g[0], g[1]);
    point[2] = g[1];
    if (size == 3) point[3] = v_sub(g[0], g[1]);
}

GM_INLINE void fold_axis(const int size, const vf *point, vf *y) {
    vf both = size == 2 ? point[1] : v_add(point[1], point[3]);
    y[0] = v_add(point[0], both);
    if (size == 3) y[1] = v_sub(point[1], point[3]);
    y[size - 1] = v_add(both, point[2]);
}

GM_INLINE void fold_taps_axis(const int size, const vf *point, vf *g) {
    g[0] = v_add(point[0], size == 2 ? point[1] : v_add(point[1], point[3]));
    g[1] = v_add(size == 2 ? point[1] : v_sub(point[1], point[3]), point[2]);
}

GM_INLINE void spread_axis(const int size, const vf *point, vf *d) {
    d[0] = point[0];
    if (size == 2) {
        d[1] = v_sub(point[1], v_add(point[0], point[2]));
    } else {
        d[1] = v_sub(halved(v_sub(point[1], point[3])), point[2]);
        d[2] = v_sub(halved(v_add(point[1], point[3])), point[0]);
    }
    d[size] = point[2];
}

/* ---- Along both ---- */

#define LOAD(p) (rest ? v_load_n(p, n - at) : v_load(p))
#define STORE(p, v) (rest ? v_store_n(p, v, n - at) : v_store(p, v))

/* `axis`, of `ins` arrays to `outs` along each axis, on one vector: FROM and TO say what the arrays (i, j) are. */
#define ONE_VECTOR(axis, ins, outs, FROM, TO)                                                                          \
    vf half[4][4];                                                                                                     \
    for (int j = 0; j < ins(S); j++) {                                                                                 \
        vf in[4], out[4];                                                                                              \
        for (int i = 0; i < ins(R); i++) in[i] = LOAD(FROM(i, j, ins(S)));                                             \
        axis(R, in, out);                                                                                              \
        for (int i = 0; i < outs(R); i++) half[i][j] = out[i];                                                         \
    }                                                                                                                  \
    for (int i = 0; i < outs(R); i++) {                                                                                \
        vf out[4];                                                                                                     \
        axis(S, half[i], out);                                                                                         \
        for (int j = 0; j < outs(S); j++) TO(i, j, outs(S), out[j]);                                                   \
    }

#define EACH_VECTOR(axis, ins, outs, FROM, TO)                                                                         \
    int64_t at = 0;                                                                                                    \
    for (; at + VL <= n; at += VL) {                                                                                   \
        const bool rest = false;                                                                                       \
        ONE_VECTOR(axis, ins, outs, FROM, TO)                                                                          \
    }                                                                                                                  \
    if (at < n) {                                                                                                      \
        const bool rest = true;                                                                                        \
        ONE_VECTOR(axis, ins, outs, FROM, TO)                                                                          \
    }

#define SIZE(size) (size)
#define MORE(size) ((size) + 1) /* of a window, or points */
#define TAPS(size) 2
#define LISTED(i, j, across) (list[(i) * (across) + (j)] + at)
#define AT_POINT(i, j, across) (points + (i)*of->row_step + (j)*of->step + at)
#define TO_POINT(i, j, across, v) STORE(AT_POINT(i, j, across), v)
#define TO_LIST(i, j, across, v) STORE(LISTED(i, j, across), v)
#define ADD_TO_LIST(i, j, across, v) STORE(LISTED(i, j, across), v_add(LOAD(LISTED(i, j, across)), v))

/* A kernel: the template of each of the four kinds of squares, and which it is. */
#define POINTS_OF(name, axis, ins)                                                                                     \
    GM_INLINE void name##_template(const int R, const int S, const gm_square *of, int64_t n, const float *const *list, \
                                   float *points) {                                                                    \
        EACH_VECTOR(axis, ins, MORE, LISTED, TO_POINT)                                                                 \
    }                                                                                                                  \
    static void name(const gm_square *of, int64_t n, const float *const *list, float *points) {                        \
        EACH_SQUARE(name##_template, of, n, list, points)                                                              \
    }
#define LIST_OF(name, axis, outs, TO)                                                                                  \
    GM_INLINE void name##_template(const int R, const int S, const gm_square *of, int64_t n, const float *points,      \
                                   float *const *list) {                                                               \
        EACH_VECTOR(axis, MORE, outs, AT_POINT, TO)                                                                    \
    }                                                                                                                  \
    static void name(const gm_square *of, int64_t n, const float *points, float *const *list) {                        \
        EACH_SQUARE(name##_template, of, n, points, list)                                                              \
    }
#define EACH_SQUARE(template, of, n, from, to)                                                                         \
    switch ((of)->rows * 4 + (of)->columns) {                                                                          \
    case 2 * 4 + 2: template(2, 2, of, n, from, to); break;                                                            \
    case 2 * 4 + 3: template(2, 3, of, n, from, to); break;                                                            \
    case 3 * 4 + 2: template(3, 2, of, n, from, to); break;                                                            \
    default: template(3, 3, of, n, from, to); break;                                                                   \
    }

POINTS_OF(winograd_difference, difference_axis, MORE)
POINTS_OF(winograd_expand, expand_axis, SIZE)
POINTS_OF(winograd_expand_taps, expand_taps_axis, TAPS)
LIST_OF(winograd_fold, fold_axis, SIZE, TO_LIST)
LIST_OF(winograd_fold_taps, fold_taps_axis, TAPS, ADD_TO_LIST)
LIST_OF(winograd_spread, spread_axis, MORE, ADD_TO_LIST)

#undef EACH_SQUARE
#undef LIST_OF
#undef POINTS_OF
#undef ADD_TO_LIST
#undef TO_LIST
#undef TO_POINT
#undef AT_POINT
#undef LISTED
#undef TAPS
#undef MORE
#undef SIZE
#undef EACH_VECTOR
#undef ONE_VECTOR
#undef STORE
#undef LOAD
