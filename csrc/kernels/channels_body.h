/* The bodies of the channel kernels in elementwise.h, of arrays of floats and in pairs. Included by elementwise_body.h. */
#include <stddef.h>

#include "kernels/bfloat.h"
#include "kernels/elementwise.h"

/* The next VL values from value i on, or the `left` that remain. */
GM_INLINE vf v_take_value(const bool pairs, const float *x, int64_t i, int64_t left) {
    return pairs ? v_load_bf16(gm_value_of(x, i), left < VL ? left : VL) : v_take(x + i, left);
}
GM_INLINE void v_put_value(const bool pairs, bool streams, float *x, int64_t i, vf v, int64_t left) {
    if (streams && pairs)
        v_stream_bf16(gm_value_to(x, i), v);
    else if (streams)
        v_stream(x + i, v);
    else if (pairs)
        v_store_bf16(gm_value_to(x, i), v, left < VL ? left : VL);
    else
        v_put(x + i, v, left);
}

/* Calls a template with what is in pairs as constants. */
#define EACH_STORAGE(CALL)                                                                                             \
    switch (in_pairs.x * 2 + in_pairs.y) {                                                                             \
    case 0: CALL(false, false); break;                                                                                 \
    case 1: CALL(false, true); break;                                                                                  \
    case 2: CALL(true, false); break;                                                                                  \
    case 3: CALL(true, true); break;                                                                                   \
    }

/* Sums run in double: the square of a float is exact there, so variances by sums of squares lose nothing that
 * matters even where the mean is thousands of standard deviations. Of values in pairs, which have eight bits, few rows are
 * summed in floats first (4 times as fast). */
enum { FEW_ROWS = 32 };

static void channel_sums_of_floats(int64_t n, int64_t W, const float *restrict x, double *restrict sum) {
    for (int64_t row = 0; row < n; row += W, x += W) {
        int64_t width = n - row < W ? n - row : W;
        for (int64_t w = 0; w < width; w++) sum[w] += (double)x[w];
    }
}

static void channel_moments_of_floats(int64_t n, int64_t W, const float *restrict x, double *restrict sum,
                                      double *restrict squares) {
    for (int64_t row = 0; row < n; row += W, x += W) {
        int64_t width = n - row < W ? n - row : W;
        for (int64_t w = 0; w < width; w++) {
            double value = (double)x[w];
            sum[w] += value;
            squares[w] += value * value;
        }
    }
}

static void channel_products_of_floats(int64_t n, int64_t W, const float *restrict dy, const float *restrict x,
                                       const float *restrict center, double *restrict sum, double *restrict products) {
    for (int64_t row = 0; row < n; row += W, x += W, dy += W) {
        int64_t width = n - row < W ? n - row : W;
        for (int64_t w = 0; w < width; w++) {
            sum[w] += (double)dy[w];
            products[w] += (double)dy[w] * ((double)x[w] - (double)center[w]);
        }
    }
}

GM_INLINE void add_vector(vf v, int64_t left, double *sum) {
    float values[VL];
    v_store(values, v);
    for (int64_t i = 0; i < VL && i < left; i++) sum[i] += (double)values[i];
}

/* What sum_rows adds up: the values of x; these and their squares; or the values of dy, and their products with those of x
 * less center. */
typedef enum summed { VALUES, SQUARES, PRODUCTS } summed;

/* Of the columns of a vector. */
typedef struct row_sums {
    vf first, second;
} row_sums;

GM_INLINE row_sums add_row(const summed what, const bool x_pairs, const bool y_pairs, row_sums s, int64_t i,
                           int64_t left, const float *dy, const float *x, const float *center) {
    vf value = v_take_value(x_pairs, x, i, left);
    if (what == SQUARES) s.second = v_fma(value, value, s.second);
    if (what == PRODUCTS) {
        vf d = v_sub(value, v_take(center, left));
        value = v_take_value(y_pairs, dy, i, left);
        s.second = v_fma(value, d, s.second);
    }
    s.first = v_add(s.first, value);
    return s;
}

/* The columns from w on of the rows from value `at` on, up to value `end`. In two sums, so that one waits less for itself. */
GM_INLINE void few_rows(const summed what, const bool x_pairs, const bool y_pairs, int64_t at, int64_t end, int64_t W,
                        int64_t w, const float *dy, const float *x, const float *center, double *sum, double *second) {
    row_sums even = {v_zero(), v_zero()}, odd = even;
    int64_t i = at + w, columns = W - w;
    if (columns >= VL)
        for (; i + W + VL <= end; i += 2 * W) {
            even = add_row(what, x_pairs, y_pairs, even, i, VL, dy, x, center + w);
            odd = add_row(what, x_pairs, y_pairs, odd, i + W, VL, dy, x, center + w);
        }
    for (; i < end; i += W) {
        int64_t left = columns < end - i ? columns : end - i;
        even = add_row(what, x_pairs, y_pairs, even, i, left, dy, x, center + w);
    }
    add_vector(v_add(even.first, odd.first), columns, sum + w);
    if (what != VALUES) add_vector(v_add(even.second, odd.second), columns, second + w);
}

GM_INLINE void sum_rows(const summed what, const bool x_pairs, const bool y_pairs, int64_t n, int64_t W,
                        const float *dy, const float *x, const float *center, double *sum, double *second) {
    for (int64_t at = 0; at < n; at += FEW_ROWS * W) {
        int64_t end = n - at < FEW_ROWS * W ? n : at + FEW_ROWS * W;
        for (int64_t w = 0; w < W; w += VL) few_rows(what, x_pairs, y_pairs, at, end, W, w, dy, x, center, sum, second);
    }
}

static void channel_sums(int64_t n, int64_t W, bool x_in_pairs, const float *x, double *sum) {
    for (int64_t w = 0; w < W; w++) sum[w] = 0;
    if (x_in_pairs)
        sum_rows(VALUES, true, false, n, W, NULL, x, NULL, sum, NULL);
    else
        channel_sums_of_floats(n, W, x, sum);
}

static void channel_moments(int64_t n, int64_t W, bool x_in_pairs, const float *x, double *sum, double *squares) {
    for (int64_t w = 0; w < W; w++) sum[w] = squares[w] = 0;
    if (x_in_pairs)
        sum_rows(SQUARES, true, false, n, W, NULL, x, NULL, sum, squares);
    else
        channel_moments_of_floats(n, W, x, sum, squares);
}

static void channel_products(int64_t n, int64_t W, gm_in_pairs in_pairs, const float *dy, const float *x,
                             const float *center, double *sum, double *products) {
    for (int64_t w = 0; w < W; w++) sum[w] = products[w] = 0;
    if (!in_pairs.x && !in_pairs.y) {
        channel_products_of_floats(n, W, dy, x, center, sum, products);
        return;
    }
#define PRODUCTS_OF(x_pairs, y_pairs) sum_rows(PRODUCTS, x_pairs, y_pairs, n, W, dy, x, center, sum, products)
    EACH_STORAGE(PRODUCTS_OF)
#undef PRODUCTS_OF
}

/* What lies far ahead is asked for: taken band by band, an image is met at places that nobody else foresees (bands of 256 KB,
 * beyond the caches: with the convolution after each 1.3 times as fast; arrays as a whole as fast as without). */
enum { FAR_AHEAD = 2048 };

GM_INLINE void affine_step(const bool x_pairs, const bool y_pairs, int64_t i, int64_t left, const float *x,
                           const float *center, const float *scale, const float *shift, float slope, bool streams,
                           float *y) {
    __builtin_prefetch(x + gm_words(i, x_pairs) + FAR_AHEAD);
    vf d = v_sub(v_take_value(x_pairs, x, i, left), v_take(center, left));
    vf value = v_fma(d, v_take(scale, left), v_take(shift, left));
    v_put_value(y_pairs, streams, y, i, v_leaky(v_set1(slope), value), left);
}

GM_INLINE void affine_template(const bool x_pairs, const bool y_pairs, int64_t n, int64_t W, const float *x,
                               const float *center, const float *scale, const float *shift, float slope, bool streams,
                               float *y) {
    for (int64_t row = 0; row < n; row += W) {
        int64_t width = n - row < W ? n - row : W, w = 0;
        for (; w + VL <= width; w += VL)
            affine_step(x_pairs, y_pairs, row + w, VL, x, center + w, scale + w, shift + w, slope, streams, y);
        if (w < width)
            affine_step(x_pairs, y_pairs, row + w, width - w, x, center + w, scale + w, shift + w, slope, streams, y);
    }
}

static void channel_affine(int64_t n, int64_t W, gm_in_pairs in_pairs, const float *x, const float *center,
                           const float *scale, const float *shift, float slope, bool streams, float *y) {
#define AFFINE(x_pairs, y_pairs) affine_template(x_pairs, y_pairs, n, W, x, center, scale, shift, slope, streams, y)
    EACH_STORAGE(AFFINE)
#undef AFFINE
    if (streams) v_streamed();
}

GM_INLINE void blend_step(const bool x_pairs, const bool y_pairs, int64_t i, int64_t left, const float *dy,
                          const float *x, const float *center, const float *a, const float *b, const float *c,
                          float slope, float *dx) {
    vf value = v_take_value(x_pairs, x, i, left), signal = v_take_value(y_pairs, dy, i, left);
    vf d = v_sub(value, v_take(center, left));
    vf sum = v_fma(signal, v_take(a, left), v_fma(d, v_take(b, left), v_take(c, left)));
    v_put_value(x_pairs, false, dx, i, v_leaky_backward(v_set1(slope), value, sum), left);
}

GM_INLINE void blend_template(const bool x_pairs, const bool y_pairs, int64_t n, int64_t W, const float *dy,
                              const float *x, const float *center, const float *a, const float *b, const float *c,
                              float slope, float *dx) {
    for (int64_t row = 0; row < n; row += W) {
        int64_t width = n - row < W ? n - row : W, w = 0;
        for (; w + VL <= width; w += VL)
            blend_step(x_pairs, y_pairs, row + w, VL, dy, x, center + w, a + w, b + w, c + w, slope, dx);
        if (w < width)
            blend_step(x_pairs, y_pairs, row + w, width - w, dy, x, center + w, a + w, b + w, c + w, slope, dx);
    }
}

static void channel_blend(int64_t n, int64_t W, gm_in_pairs in_pairs, const float *dy, const float *x,
                          const float *center, const float *a, const float *b, const float *c, float slope, float *dx) {
#define BLEND(x_pairs, y_pairs) blend_template(x_pairs, y_pairs, n, W, dy, x, center, a, b, c, slope, dx)
    EACH_STORAGE(BLEND)
#undef BLEND
}

#undef EACH_STORAGE
