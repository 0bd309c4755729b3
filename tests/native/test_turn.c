/* The kernels of turn.h in every set: all they are to write, and nothing between the rows or behind them.
 *
 * The list makes the cases: a kernel without a function of its name here does not compile. */
#include "kernels/turn.h"

#include <stddef.h>

#include "base/sizes.h"
#include "kernels/recurrent.h"
#include "variants.h"

static const int64_t LENGTHS[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100};

enum { MOST_LANES = 2 * GM_LINE_FLOATS + 1 };

/* Rows end where the next begins, or before. */
static void turn(const gm_kernels *k, int64_t lanes, int64_t length, int64_t step) {
    gm_random random = {.seed = (uint64_t)lanes, .stream = (uint64_t)length};
    check_buffer lane[MOST_LANES], out = check_floats((length - 1) * step + lanes);
    const float *from[MOST_LANES];
    for (int64_t l = 0; l < lanes; l++) lane[l] = check_normal(length, &random), from[l] = lane[l].values;
    for (int64_t i = 0; i < (length - 1) * step + lanes; i++) out.values[i] = 7;
    k->turn(lanes, length, from, out.values, step);
    for (int64_t i = 0; i < (length - 1) * step + lanes; i++) {
        int64_t row = i / step, l = i % step;
        check_near((double)out.values[i], l < lanes ? (double)from[l][row] : 7, 0, "turned", i);
    }
    check_guards(&out, "turned");
    for (int64_t l = 0; l < lanes; l++) check_free(&lane[l]);
    check_free(&out);
}

static void each_size(void (*run)(const gm_kernels *k, int64_t lanes, int64_t length, int64_t step)) {
    for (int i = 0; i < (int)(sizeof LENGTHS / sizeof *LENGTHS); i++)
        for (int64_t lanes = 1; lanes <= MOST_LANES; lanes++)
            EACH_VARIANT(k) run(k, lanes, LENGTHS[i], lanes), run(k, lanes, LENGTHS[i], lanes + 3);
}

TEST(every_turn_kernel) {
#define RUN(type, name, parameters) each_size(name);
    GM_TURN_KERNELS(RUN)
#undef RUN
}

/* Of samples and steps, and of a matrix (C = 1), which is turned. */
static void exchange(int64_t A, int64_t B, int64_t C) {
    gm_random random = {.seed = (uint64_t)A, .stream = (uint64_t)B};
    check_buffer x = check_normal(A * B * C, &random), y = check_floats(A * B * C);
    gm_exchange_axes(A, B, C, x.values, y.values);
    for (int64_t i = 0; i < A * B * C; i++) {
        int64_t c = i % C, b = i / C % B, a = i / C / B;
        check_near((double)y.values[(b * A + a) * C + c], (double)x.values[i], 0, "exchanged", i);
    }
    check_guards(&y, "exchanged");
    check_free(&x), check_free(&y);
}

TEST(axes_are_exchanged) {
    for (int64_t C = 1; C <= 3; C++)
        for (int a = 0; a < (int)(sizeof LENGTHS / sizeof *LENGTHS); a++)
            for (int b = 0; b < (int)(sizeof LENGTHS / sizeof *LENGTHS); b++) exchange(LENGTHS[a], LENGTHS[b], C);
}

MAIN(CASE(every_turn_kernel), CASE(axes_are_exchanged))
