/* The bodies of the kernels in layernorm.h, after elementwise_body.h. Included once by each isa_*.c. */
#include <math.h>

#include "kernels/layernorm.h"

/* Two sums over a row, kept in lanes that the compiler turns into vectors. */
enum { SUM_LANES = 16 };
typedef struct lane_sums {
    double first[SUM_LANES], second[SUM_LANES];
} lane_sums;

GM_INLINE double lane_total(const double lanes[SUM_LANES]) {
    double total = 0;
    for (int lane = 0; lane < SUM_LANES; lane++) total += lanes[lane];
    return total;
}

GM_INLINE void add_moments(lane_sums *sums, int64_t n, const float *x) {
    for (int64_t lane = 0; lane < n; lane++) {
        double value = (double)x[lane];
        sums->first[lane] += value;
        sums->second[lane] += value * value;
    }
}

GM_INLINE void add_products(lane_sums *sums, int64_t n, const double *statistics, const float *gamma, const float *x,
                            const float *dy) {
    for (int64_t lane = 0; lane < n; lane++) {
        double d = (double)dy[lane] * (double)gamma[lane];
        sums->first[lane] += d;
        sums->second[lane] += d * (((double)x[lane] - statistics[0]) * statistics[1]);
    }
}

/* A double in two floats: taken away one after the other, little is lost where the difference is small. */
typedef struct two_parts {
    vf large, small;
} two_parts;

GM_INLINE two_parts in_two(double value) {
    float large = (float)value;
    return (two_parts){v_set1(large), v_set1((float)(value - (double)large))};
}

GM_INLINE vf v_sub_parts(vf x, two_parts parts) { return v_sub(v_sub(x, parts.large), parts.small); }

static void normalise_rows(int64_t rows, int64_t C, double epsilon, const float *x, const float *gamma,
                           const float *beta, double *statistics, float *y) {
    const double count = (double)C;
    for (int64_t row = 0; row < rows; row++, x += C, y += C, statistics += 2) {
        lane_sums sums = {0};
        int64_t whole = C / SUM_LANES * SUM_LANES;
        for (int64_t i = 0; i < whole; i += SUM_LANES) add_moments(&sums, SUM_LANES, x + i);
        add_moments(&sums, C - whole, x + whole);
        double mean = lane_total(sums.first) / count, variance = lane_total(sums.second) / count - mean * mean;
        if (variance < 0) variance = 0; /* rounding; a NaN stays */
        statistics[0] = mean;
        statistics[1] = 1 / sqrt(variance + epsilon);
        const two_parts center = in_two(mean);
        const vf inverse = v_set1((float)statistics[1]);
        for (int64_t i = 0; i < C; i += VL) {
            vf normal = v_mul(v_sub_parts(v_take(x + i, C - i), center), inverse);
            v_put(y + i, v_fma(normal, v_take(gamma + i, C - i), v_take(beta + i, C - i)), C - i);
        }
    }
}

static void normalise_rows_backward(int64_t rows, int64_t C, const double *statistics, const float *gamma,
                                    const float *x, float *dy, float *dx) {
    const double count = (double)C;
    for (int64_t row = 0; row < rows; row++, x += C, dy += C, statistics += 2) {
        lane_sums sums = {0};
        int64_t whole = C / SUM_LANES * SUM_LANES;
        for (int64_t i = 0; i < whole; i += SUM_LANES)
            add_products(&sums, SUM_LANES, statistics, gamma + i, x + i, dy + i);
        add_products(&sums, C - whole, statistics, gamma + whole, x + whole, dy + whole);
        const two_parts center = in_two(statistics[0]), mean = in_two(lane_total(sums.first) / count);
        const vf inverse = v_set1((float)statistics[1]), slope = v_set1((float)(-lane_total(sums.second) / count));
        for (int64_t i = 0; i < C; i += VL) {
            vf d = v_take(dy + i, C - i);
            vf normal = v_mul(v_sub_parts(v_take(x + i, C - i), center), inverse);
            vf rest = v_fma(normal, slope, v_sub_parts(v_mul(d, v_take(gamma + i, C - i)), mean));
            v_put(dy + i, v_mul(d, normal), C - i);
            if (dx) v_put(dx + i, v_mul(rest, inverse), C - i);
        }
        if (dx) dx += C;
    }
}
