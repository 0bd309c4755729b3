/* Every register tile of every instruction set against the sums that define it, in float64.
 *
 * The list GM_TILE_KERNELS makes the cases: a kernel without a `try_` function here does not compile. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "variants.h"

/* Runs of lengths round the vector's, with gaps between them. Returns the floats a row of A must have. */
enum { RUNS = 3 };
static int64_t make_runs(gm_run run[RUNS], int64_t vector, int64_t extra) {
    const int64_t length[RUNS] = {vector - 1 > 0 ? vector - 1 : 1, 1 + extra, vector + 1};
    int64_t a = 0, b = 0;
    for (int i = 0; i < RUNS; i++) {
        run[i] = (gm_run){a, b, length[i]};
        a += length[i] + 2;
        b += length[i] + (i == 0);
    }
    return a - 2; /* the last run ends the buffer */
}

static int64_t runs_depth(const gm_run run[RUNS]) { return run[RUNS - 1].b + run[RUNS - 1].length; }

/* One value of a gathering tile. `b_step` is the distance of two terms of B. */
static void check_gathered(const char *name, float got, const gm_run run[RUNS], const float *a, const float *b,
                           int64_t b_step, const float *bias, float slope, double gate, int64_t index) {
    double sum = bias ? (double)*bias : 0, size = fabs(sum), terms = 1;
    for (int i = 0; i < RUNS; i++)
        for (int64_t t = 0; t < run[i].length; t++, terms++) {
            double term = (double)a[run[i].a + t] * (double)b[(run[i].b + t) * b_step];
            sum += term, size += fabs(term);
        }
    double wanted = gate * (sum < 0 ? (double)slope * sum : sum);
    check_near((double)got, wanted, (4 + sqrt(terms)) * (double)FLT_EPSILON * size, name, index);
}

static void rows_case(const gm_kernels *k, int64_t rows, int64_t columns, int64_t extra, bool with_bias, bool gated,
                      float slope) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + columns), .stream = (uint64_t)extra};
    gm_run run[RUNS];
    int64_t a_row = make_runs(run, k->tile.vector, extra),
            width = (columns + k->tile.vector - 1) / k->tile.vector * k->tile.vector, out_stride = columns + 3;
    check_buffer a = check_normal((rows - 1) * (a_row + 5) + a_row, &random);
    check_buffer b = check_normal(runs_depth(run) * width, &random), bias = check_normal(width, &random);
    check_buffer out = check_floats((rows - 1) * out_stride + columns), untouched = check_copy(&out);
    gm_tile_end end = {.bias = with_bias ? bias.values : NULL, .slope = slope, .gate_slope = 0.25f};
    check_buffer gate = check_normal(out.count, &random);
    if (gated) end.gate = gate.values;
    gm_rows in = {.count = rows, .a_stride = a_row + 5, .out_stride = out_stride, .sets = 1};
    k->rows_tile(&in, columns, RUNS, run, a.values, b.values, (gm_low_parts){0}, &end, out.values);
    for (int64_t i = 0; i < out.count; i++) {
        int64_t m = i / out_stride, c = i % out_stride;
        if (c < columns)
            check_gathered("rows_tile", out.values[i], run, a.values + m * (a_row + 5), b.values + c, width,
                           with_bias ? bias.values + c : NULL, slope, gated && gate.values[i] <= 0 ? 0.25 : 1, i);
        else
            CHECK(memcmp(out.values + i, untouched.values + i, sizeof(float)) == 0, "wrote between rows, at %d",
                  (int)i);
    }
    check_buffer *all[] = {&a, &b, &bias, &gate, &out, &untouched};
    for (int i = 0; i < 6; i++) check_free(all[i]);
}

/* Rows without a term are those of the bias, ended. */
static void no_runs_case(const gm_kernels *k, int64_t rows, int64_t columns, bool with_bias, bool gated) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + columns), .stream = 3};
    int64_t width = round_up(columns, k->tile.vector), stride = columns + 3;
    check_buffer bias = check_normal(width, &random), gate = check_normal(rows * stride, &random);
    check_buffer out = check_floats((rows - 1) * stride + columns), untouched = check_copy(&out);
    gm_tile_end end = {.bias = with_bias ? bias.values : NULL, .slope = 0.2f, .gate_slope = 0.25f};
    if (gated) end.gate = gate.values;
    gm_rows in = {.count = rows, .a_stride = 1, .out_stride = stride, .sets = 1};
    k->rows_tile(&in, columns, 0, NULL, bias.values, bias.values, (gm_low_parts){0}, &end, out.values);
    for (int64_t i = 0; i < out.count; i++) {
        int64_t c = i % stride;
        float sum = with_bias && c < columns ? bias.values[c] : 0.0f, value = sum < 0 ? 0.2f * sum : sum;
        float wanted = gated && gate.values[i] <= 0 ? 0.25f * value : value;
        if (c >= columns) wanted = untouched.values[i];
        CHECK(memcmp(out.values + i, &wanted, sizeof wanted) == 0, "rows_tile without runs, at %d", (int)i);
    }
    check_buffer *all[] = {&bias, &gate, &out, &untouched};
    for (int i = 0; i < 4; i++) check_free(all[i]);
}

static void try_rows_tile(void) {
    EACH_VARIANT(k)
    for (int64_t columns = 1; columns <= k->tile.panel; columns++)
        for (int64_t rows = 1; rows <= gm_tile_rows(&k->tile, columns); rows++)
            for (int64_t extra = 0; extra <= 97; extra += 97)
                for (int gated = 0; gated < 2; gated++) {
                    no_runs_case(k, rows, columns, extra, gated);
                    rows_case(k, rows, columns, extra, (rows + columns) % 2, gated, columns % 3 ? 0.3f : 1.0f);
                }
}

static void dot_case(const gm_kernels *k, int64_t rows, int64_t columns, int64_t extra, bool with_bias, float slope) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + columns), .stream = (uint64_t)extra};
    gm_run run[RUNS];
    int64_t a_row = make_runs(run, k->tile.vector, extra), b_row = runs_depth(run), out_stride = columns + 2;
    check_buffer a = check_normal((rows - 1) * (a_row + 1) + a_row, &random),
                 b = check_normal(columns * b_row, &random);
    check_buffer bias = check_normal(columns, &random), out = check_floats((rows - 1) * out_stride + columns);
    const gm_rows in = {.count = rows, .a_stride = a_row + 1, .out_stride = out_stride, .sets = 1, .ahead = extra};
    k->dot_tile(&in, columns, RUNS, run, a.values, b.values, b_row, with_bias ? bias.values : NULL, slope, out.values);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t c = 0; c < columns; c++)
            check_gathered("dot_tile", out.values[m * out_stride + c], run, a.values + m * (a_row + 1),
                           b.values + c * b_row, 1, with_bias ? bias.values + c : NULL, slope, 1, m * columns + c);
    check_buffer *all[] = {&a, &b, &bias, &out};
    for (int i = 0; i < 4; i++) check_free(all[i]);
}

static void try_dot_tile(void) {
    EACH_VARIANT(k)
    for (int64_t rows = 1; rows <= k->tile.dot_rows; rows++)
        for (int64_t columns = 1; columns <= GM_DOT_COLUMNS; columns++)
            for (int64_t extra = 0; extra <= 97; extra++) dot_case(k, rows, columns, extra, extra % 2, 0.2f);
}

static void outer_case(const gm_kernels *k, int64_t rows, int64_t columns, gm_sweep sweep) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + columns), .stream = 9};
    int64_t N = sweep.N, I = sweep.I, J = sweep.J, stride = columns + 1;
    sweep.x_j = rows + 1, sweep.x_i = J * sweep.x_j + 2, sweep.x_n = I * sweep.x_i;
    sweep.y_j = columns, sweep.y_i = J * sweep.y_j + 3, sweep.y_n = I * sweep.y_i + 1;
    int64_t last_x = (N - 1) * sweep.x_n + (I - 1) * sweep.x_i + (J - 1) * sweep.x_j;
    int64_t last_y = (N - 1) * sweep.y_n + (I - 1) * sweep.y_i + (J - 1) * sweep.y_j;
    check_buffer x = check_normal(last_x + rows, &random), y = check_normal(last_y + columns, &random);
    check_buffer out = check_normal((rows - 1) * stride + columns, &random), before = check_copy(&out);
    const gm_asked asked[] = {{x.values, 2, 1, 3, N * I}, {out.values, 1, 0, stride, rows}};
    sweep.asked = asked, sweep.asks = 2;
    k->outer_tile(rows, columns, &sweep, x.values, y.values, out.values, stride);
    for (int64_t e = 0; e < out.count; e++) {
        double sum = (double)before.values[e], size = fabs(sum);
        for (int64_t place = 0; e % stride < columns && place < N * I * J; place++) {
            int64_t n = place / (I * J), i = place / J % I, j = place % J;
            double term = (double)x.values[n * sweep.x_n + i * sweep.x_i + j * sweep.x_j + e / stride] *
                          (double)y.values[n * sweep.y_n + i * sweep.y_i + j * sweep.y_j + e % stride];
            sum += term, size += fabs(term);
        }
        double bound = (4 + sqrt((double)(N * I * J))) * (double)FLT_EPSILON * size;
        check_near((double)out.values[e], sum, e % stride < columns ? bound : 0, "outer_tile", e);
    }
    check_buffer *all[] = {&x, &y, &out, &before};
    for (int i = 0; i < 4; i++) check_free(all[i]);
}

/* Sums over no places: zeros where they are the first, and else nothing. */
static void no_places_case(const gm_kernels *k, int64_t rows, int64_t columns, bool fresh) {
    gm_random random = {.seed = (uint64_t)(rows * 100 + columns), .stream = 2};
    int64_t stride = columns + 1;
    check_buffer out = check_normal((rows - 1) * stride + columns, &random), before = check_copy(&out);
    gm_sweep sweep = {.N = 1, .I = 1, .J = 0, .x_j = rows, .y_j = columns, .x_m = 1, .fresh = fresh};
    k->outer_tile(rows, columns, &sweep, before.values, before.values, out.values, stride);
    for (int64_t e = 0; e < out.count; e++) {
        float wanted = fresh && e % stride < columns ? 0.0f : before.values[e];
        CHECK(memcmp(out.values + e, &wanted, sizeof wanted) == 0, "outer_tile without places, at %d", (int)e);
    }
    check_free(&out);
    check_free(&before);
}

static void try_outer_tile(void) {
    EACH_VARIANT(k)
    for (int64_t columns = 1; columns <= k->tile.panel; columns++)
        for (int64_t rows = 1; rows <= gm_tile_rows(&k->tile, columns); rows++) {
            no_places_case(k, rows, columns, rows % 2);
            outer_case(k, rows, columns, (gm_sweep){.N = 1, .I = 1, .J = 1});
            outer_case(k, rows, columns, (gm_sweep){.N = 2, .I = 3, .J = 5});
        }
}

/* Also where nothing was begun. */
static void try_tiles_end(void) { EACH_VARIANT(k) k->tiles_end(); }

TEST(every_tile) {
#define RUN(type, name, parameters) try_##name();
    GM_TILE_KERNELS(RUN)
#undef RUN
}

MAIN(CASE(every_tile))
