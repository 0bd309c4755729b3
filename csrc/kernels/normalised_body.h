/* The bodies of the kernels in normalised.h. Included once by each isa_*.c, after elementwise_body.h. Places are taken
 * some together, which share the loads of the taps' weights; a vector's sums run in floats along the row, and join the others
 * in double (channels_body.h). */
#include "kernels/normalised.h"

enum { TOGETHER = 4 };

/* What a vector of channels is normalised by. */
typedef struct normalising {
    vf center, scale, shift, slope;
} normalising;

GM_INLINE normalising normalising_of(const gm_normalised_row *row, int64_t c, int64_t left) {
    return (normalising){v_take(row->center + c, left), v_take(row->scale + c, left), v_take(row->shift + c, left),
                         v_set1(row->slope)};
}

/* Of some places, a vector of channels. */
typedef struct made {
    vf x[TOGETHER], distance[TOGETHER], y[TOGETHER], dy[TOGETHER];
} made;

/* M places from place i on, from channel c on. */
GM_INLINE made make(const int M, const bool pairs, const gm_normalised_row *row, const normalising *by, int64_t i,
                    int64_t c, int64_t left) {
    const float *signal = row->signal + i * row->signal_step;
    made of;
    for (int m = 0; m < M; m++) of.dy[m] = v_zero();
    for (int64_t t = 0; t < row->taps; t++) {
        const float *at = signal + row->offset[t];
        vf w = v_take(row->w + t * row->channels + c, left);
        for (int m = 0; m < M; m++) of.dy[m] = v_fma(v_set1(at[m * row->signal_step]), w, of.dy[m]);
    }
    for (int m = 0; m < M; m++) {
        const int64_t at = (i + m) * row->x_step + c;
        __builtin_prefetch(row->x + gm_words(at + row->ahead, pairs));
        of.x[m] = v_take_value(pairs, row->x, at, left);
        of.distance[m] = v_sub(of.x[m], by->center);
        of.y[m] = v_leaky(by->slope, v_fma(of.distance[m], by->scale, by->shift));
        of.dy[m] = v_leaky_backward(by->slope, of.y[m], of.dy[m]);
    }
    return of;
}

GM_INLINE vf rounded(vf v) {
    char halves[2 * VL];
    v_store_bf16(halves, v, VL);
    return v_load_bf16(halves, VL);
}

/* dw = or += what M places from place i on give. */
GM_INLINE void add_weights(const int M, const gm_normalised_row *row, const made *of, int64_t i, int64_t c,
                           int64_t left, float *dw) {
    const float *signal = row->signal + i * row->signal_step;
    for (int64_t t = 0; t < row->taps; t++) {
        const float *at = signal + row->offset[t];
        float *to = dw + t * row->channels + c;
        vf sum = i == 0 ? v_zero() : v_take(to, left);
        for (int m = 0; m < M; m++) sum = v_fma(v_set1(at[m * row->signal_step]), of->y[m], sum);
        v_put(to, sum, left);
    }
}

GM_INLINE row_sums add_places(const int M, const bool pairs, const gm_normalised_row *row, const normalising *by,
                              row_sums sums, int64_t i, int64_t c, int64_t left, float *dw) {
    made of = make(M, pairs, row, by, i, c, left);
    for (int m = 0; m < M; m++) {
        sums.first = v_add(sums.first, of.dy[m]);
        sums.second = v_fma(of.dy[m], of.distance[m], sums.second);
        if (row->rounded) of.y[m] = rounded(of.y[m]);
    }
    if (dw) add_weights(M, row, &of, i, c, left, dw);
    return sums;
}

GM_INLINE void sums_template(const bool pairs, const gm_normalised_row *row, double *first, double *second, float *dw) {
    for (int64_t c = 0; c < row->channels; c += VL) {
        const int64_t left = row->channels - c;
        const normalising by = normalising_of(row, c, left);
        row_sums sums = {v_zero(), v_zero()};
        int64_t i = 0;
        for (; i + TOGETHER <= row->count; i += TOGETHER)
            sums = add_places(TOGETHER, pairs, row, &by, sums, i, c, left, dw);
        for (; i < row->count; i++) sums = add_places(1, pairs, row, &by, sums, i, c, left, dw);
        add_vector(sums.first, left, first + c);
        add_vector(sums.second, left, second + c);
    }
}

static void normalised_sums(const gm_normalised_row *row, double *first, double *second, float *dw) {
    if (row->in_pairs)
        sums_template(true, row, first, second, dw);
    else
        sums_template(false, row, first, second, dw);
}

/* The terms of a vector of channels. */
typedef struct blending {
    vf a, b, c, gate_slope;
} blending;

GM_INLINE void blend_places(const int M, const bool pairs, const gm_normalised_row *row, const normalising *by,
                            const blending *terms, int64_t i, int64_t c, int64_t left, float *dx) {
    made of = make(M, pairs, row, by, i, c, left);
    for (int m = 0; m < M; m++) {
        vf sum = v_fma(of.dy[m], terms->a, v_fma(of.distance[m], terms->b, terms->c));
        sum = v_leaky_backward(terms->gate_slope, of.x[m], sum);
        v_put_value(pairs, false, dx, (i + m) * row->x_step + c, sum, left);
    }
}

GM_INLINE void normalised_blend_template(const bool pairs, const gm_normalised_row *row, const float *a, const float *b,
                                         const float *c_terms, float gate_slope, float *dx) {
    for (int64_t c = 0; c < row->channels; c += VL) {
        const int64_t left = row->channels - c;
        const normalising by = normalising_of(row, c, left);
        const blending terms = {v_take(a + c, left), v_take(b + c, left), v_take(c_terms + c, left),
                                v_set1(gate_slope)};
        int64_t i = 0;
        for (; i + TOGETHER <= row->count; i += TOGETHER)
            blend_places(TOGETHER, pairs, row, &by, &terms, i, c, left, dx);
        for (; i < row->count; i++) blend_places(1, pairs, row, &by, &terms, i, c, left, dx);
    }
}

static void normalised_blend(const gm_normalised_row *row, const float *a, const float *b, const float *c,
                             float gate_slope, float *dx) {
    if (row->in_pairs)
        normalised_blend_template(true, row, a, b, c, gate_slope, dx);
    else
        normalised_blend_template(false, row, a, b, c, gate_slope, dx);
}
