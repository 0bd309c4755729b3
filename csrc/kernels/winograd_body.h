/* The bodies of the kernels in winograd.h. Included once by each isa_*.c, after its simd_*.h. */
#include "kernels/winograd.h"

enum { MOST_POINTS = 4 };

/* ---- Along one axis ---- */

GM_INLINE vf halved(vf x) { return v_mul(v_set1(0.5f), x); }

GM_INLINE void difference_axis(const int size, const vf *d, vf *point) {
    point[0] = size == 2 ? d[0] : v_sub(d[0], d[size - 2]);
    point[1] = size == 2 ? d[1] : v_sub(d[size - 1], d[1]);
    if (size > 2) point[2] = size == 3 ? d[1] : halved(v_add(d[1], d[2]));
    if (size > 3) point[3] = halved(v_sub(d[2], d[1]));
}

GM_INLINE void spread_axis(const int size, const vf *point, vf *d) {
    d[0] = point[0];
    if (size == 3) d[1] = v_sub(point[2], v_add(point[0], point[1]));
    if (size == 4) {
        d[1] = v_sub(halved(v_sub(point[2], point[3])), point[1]);
        d[2] = v_sub(halved(v_add(point[2], point[3])), point[0]);
    }
    d[size - 1] = point[1];
}

GM_INLINE void evaluate_axis(const int size, const vf *c, vf *point) {
    vf even = size == 3 ? v_add(c[0], c[2]) : c[0];
    point[0] = c[0];
    point[1] = c[size - 1];
    point[2] = size == 1 ? even : v_add(even, c[1]);
    point[3] = size == 1 ? even : v_sub(even, c[1]);
}

GM_INLINE void fold_axis(const int size, const vf *point, vf *c) {
    vf even = v_add(point[2], point[3]);
    c[0] = v_add(point[0], even);
    if (size > 1) c[1] = v_sub(point[2], point[3]);
    if (size > 2) c[2] = even;
    c[size - 1] = v_add(c[size - 1], point[1]);
}

/* ---- Along both ---- */

#define LOAD(p) (rest ? v_load_n(p, n - at) : v_load(p))
#define STORE(p, v) (rest ? v_store_n(p, v, n - at) : v_store(p, v))

/* `axis` on one vector, from R x S arrays to as many points as the template knows, or back: FROM says what array (i, j)
 * holds, TO where its value goes. */
#define ONE_VECTOR(axis, ins, outs, FROM, TO)                                                                          \
    vf half[MOST_POINTS][MOST_POINTS];                                                                                 \
    for (int j = 0; j < ins(S); j++) {                                                                                 \
        vf in[MOST_POINTS], out[MOST_POINTS];                                                                          \
        for (int i = 0; i < ins(R); i++) in[i] = FROM(i, j, ins(S));                                                   \
        axis(R, in, out);                                                                                              \
        for (int i = 0; i < outs(R); i++) half[i][j] = out[i];                                                         \
    }                                                                                                                  \
    for (int i = 0; i < outs(R); i++) {                                                                                \
        vf out[MOST_POINTS];                                                                                           \
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

#define SAME(size) (size)
#define ALL(size) MOST_POINTS
#define LISTED(i, j, across) (list[(i) * (across) + (j)] + at)
#define AT_POINT(i, j) (points + (i)*of->row_step + (j)*of->step + at)
#define HAS_POINT(i, j) ((i) < of->row_points && (j) < of->column_points)

#define FROM_LIST(i, j, across) LOAD(LISTED(i, j, across))
#define FROM_POINT(i, j, across) LOAD(AT_POINT(i, j))
#define FROM_ANY_POINT(i, j, across) (HAS_POINT(i, j) ? LOAD(AT_POINT(i, j)) : v_zero())
#define TO_POINT(i, j, across, v) STORE(AT_POINT(i, j), v)
#define TO_ANY_POINT(i, j, across, v)                                                                                  \
    if (HAS_POINT(i, j)) STORE(AT_POINT(i, j), v)
#define ADD_TO_LIST(i, j, across, v) STORE(LISTED(i, j, across), v_add(LOAD(LISTED(i, j, across)), v))
#define TO_LIST(i, j, across, v) STORE(LISTED(i, j, across), add ? v_add(LOAD(LISTED(i, j, across)), v) : (v))

GM_INLINE void difference_template(const int R, const int S, const gm_square *of, int64_t n, const float *const *list,
                                   float *points){EACH_VECTOR(difference_axis, SAME, SAME, FROM_LIST, TO_POINT)}

GM_INLINE void spread_template(const int R, const int S, const gm_square *of, int64_t n, const float *points,
                               float *const *list){EACH_VECTOR(spread_axis, SAME, SAME, FROM_POINT, ADD_TO_LIST)}

GM_INLINE void evaluate_template(const int R, const int S, const gm_square *of, int64_t n, const float *const *list,
                                 float *points){EACH_VECTOR(evaluate_axis, SAME, ALL, FROM_LIST, TO_ANY_POINT)}

GM_INLINE void fold_template(const int R, const int S, const gm_square *of, int64_t n, const float *points, int add,
                             float *const *list) {
    EACH_VECTOR(fold_axis, ALL, SAME, FROM_ANY_POINT, TO_LIST)
}

/* Calls a template with rows and columns as constants, `low` to low + 2. */
#define EACH_COLUMNS(template, rows, low, ...)                                                                         \
    switch (of->columns) {                                                                                             \
    case (low): template(rows, low, of, __VA_ARGS__); break;                                                           \
    case (low) + 1: template(rows, (low) + 1, of, __VA_ARGS__); break;                                                 \
    default: template(rows, (low) + 2, of, __VA_ARGS__); break;                                                        \
    }
#define EACH_SIZE(template, low, ...)                                                                                  \
    switch (of->rows) {                                                                                                \
    case (low): EACH_COLUMNS(template, low, low, __VA_ARGS__) break;                                                   \
    case (low) + 1: EACH_COLUMNS(template, (low) + 1, low, __VA_ARGS__) break;                                         \
    default: EACH_COLUMNS(template, (low) + 2, low, __VA_ARGS__) break;                                                \
    }

static void winograd_difference(const gm_square *of, int64_t n, const float *const *d, float *points) {
    EACH_SIZE(difference_template, 2, n, d, points)
}

static void winograd_spread(const gm_square *of, int64_t n, const float *points, float *const *d) {
    EACH_SIZE(spread_template, 2, n, points, d)
}

static void winograd_evaluate(const gm_square *of, int64_t n, const float *const *c, float *points) {
    EACH_SIZE(evaluate_template, 1, n, c, points)
}

static void winograd_fold(const gm_square *of, int64_t n, const float *points, int add, float *const *c) {
    EACH_SIZE(fold_template, 1, n, points, add, c)
}

#undef EACH_SIZE
#undef EACH_COLUMNS
#undef TO_LIST
#undef ADD_TO_LIST
#undef TO_ANY_POINT
#undef TO_POINT
#undef FROM_ANY_POINT
#undef FROM_POINT
#undef FROM_LIST
#undef HAS_POINT
#undef AT_POINT
#undef LISTED
#undef ALL
#undef SAME
#undef EACH_VECTOR
#undef ONE_VECTOR
#undef STORE
#undef LOAD
