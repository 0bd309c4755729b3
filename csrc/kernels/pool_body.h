/* The bodies of the kernels in pool.h: loops over channels that the compiler turns into vectors. Included once by each
 * isa_*.c. */
#include "kernels/pool.h"

static void window_max(const gm_window *window, const float *restrict x, float *restrict y, int32_t *restrict at) {
    const int64_t C = window->C;
    for (int64_t c = 0; c < C; c++) y[c] = x[c], at[c] = (int32_t)window->first;
    for (int64_t i = 0; i < window->rows; i++)
        for (int64_t j = 0; j < window->columns; j++) {
            int32_t number = (int32_t)(window->first + i * window->width + j);
            const float *pixel = x + (i * window->width + j) * C;
            for (int64_t c = 0; c < C; c++) {
                /* Greater, or the first NaN. */
                bool more = !(pixel[c] <= y[c]) & (y[c] == y[c]);
                y[c] = more ? pixel[c] : y[c];
                at[c] = more ? number : at[c];
            }
        }
}

static void window_max_backward(const gm_window *window, const int32_t *restrict at, const float *restrict dy,
                                float *restrict dx) {
    const int64_t C = window->C;
    for (int64_t i = 0; i < window->rows; i++)
        for (int64_t j = 0; j < window->columns; j++) {
            int32_t number = (int32_t)(window->first + i * window->width + j);
            float *pixel = dx + (i * window->width + j) * C;
            for (int64_t c = 0; c < C; c++) pixel[c] += at[c] == number ? dy[c] : 0.0f;
        }
}

static void window_sum(const gm_window *window, double scale, const float *restrict x, float *restrict y) {
    enum { BLOCK = 64 }; /* channels whose sums are kept at once */
    const int64_t C = window->C;
    for (int64_t start = 0; start < C; start += BLOCK) {
        double sum[BLOCK] = {0};
        int64_t length = C - start < BLOCK ? C - start : BLOCK;
        for (int64_t i = 0; i < window->rows; i++)
            for (int64_t j = 0; j < window->columns; j++) {
                const float *pixel = x + (i * window->width + j) * C + start;
                for (int64_t c = 0; c < length; c++) sum[c] += (double)pixel[c];
            }
        for (int64_t c = 0; c < length; c++) y[start + c] = (float)(scale * sum[c]);
    }
}

static void window_add(const gm_window *window, float scale, const float *restrict dy, float *restrict dx) {
    const int64_t C = window->C;
    for (int64_t i = 0; i < window->rows; i++)
        for (int64_t j = 0; j < window->columns; j++) {
            float *pixel = dx + (i * window->width + j) * C;
            for (int64_t c = 0; c < C; c++) pixel[c] += scale * dy[c];
        }
}
