/* The transforms of winograd.h against their definitions, in every set of kernels and with every buffer between guards.
 *
 * The list makes the cases: a kernel without a function of its name here does not compile. */
#include "kernels/winograd.h"

#include <stddef.h>

#include "variants.h"

static const int64_t WIDTHS[] = {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100};

enum { MOST = 4, SPARE = 5 /* floats between points that belong to none */ };

/* ---- Along one axis ---- */

static void differenced(int size, const double *d, double *point) {
    point[0] = size == 2 ? d[0] : d[0] - d[size - 2];
    point[1] = size == 2 ? d[1] : d[size - 1] - d[1];
    point[2] = size == 3 ? d[1] : (d[1] + d[2]) / 2;
    point[3] = (d[2] - d[1]) / 2;
}

static void spread(int size, const double *m, double *d) {
    d[0] = m[0];
    d[1] = size == 3 ? m[2] - m[0] - m[1] : (m[2] - m[3]) / 2 - m[1];
    if (size == 4) d[2] = (m[2] + m[3]) / 2 - m[0];
    d[size - 1] = m[1];
}

/* A polynomial of `size` coefficients at 0, infinity, 1 and -1. */
static void evaluated(int size, const double *c, double *point) {
    point[0] = c[0], point[1] = c[size - 1], point[2] = point[3] = 0;
    for (int k = 0; k < size; k++) point[2] += c[k], point[3] += k % 2 ? -c[k] : c[k];
}

static void folded(int size, const double *m, double *c) {
    for (int k = 0; k < size; k++) c[k] = m[2] + (k % 2 ? -m[3] : m[3]);
    c[0] += m[0], c[size - 1] += m[1];
}

typedef void (*axis)(int size, const double *in, double *out);

/* Both axes, of values in rows of MOST. */
static void square(axis along, int rows, int columns, const double in[MOST * MOST], double out[MOST * MOST]) {
    double half[MOST * MOST] = {0};
    for (int j = 0; j < MOST; j++) {
        double column[MOST], made[MOST] = {0};
        for (int i = 0; i < MOST; i++) column[i] = in[i * MOST + j];
        along(rows, column, made);
        for (int i = 0; i < MOST; i++) half[i * MOST + j] = made[i];
    }
    for (int i = 0; i < MOST; i++) along(columns, half + i * MOST, out + i * MOST);
}

/* ---- The kernels ---- */

/* What a kernel reads or writes: arrays (i, j) of n values, listed, or points in one buffer that ends with the last. */
typedef struct side {
    int rows, columns;
    check_buffer array[MOST * MOST], points;
    float *list[MOST * MOST];
} side;

static gm_square square_of(int rows, int columns, int row_points, int column_points, int64_t n) {
    return (gm_square){rows, columns, row_points, column_points, column_points * (n + SPARE) + 1, n + SPARE};
}

static side listed(int rows, int columns, int64_t n, gm_random *random) {
    side s = {.rows = rows, .columns = columns};
    for (int k = 0; k < rows * columns; k++) s.array[k] = check_normal(n, random), s.list[k] = s.array[k].values;
    return s;
}

static side at_points(const gm_square *of, int64_t n, gm_random *random) {
    side s = {.rows = of->row_points, .columns = of->column_points};
    s.points = check_normal((s.rows - 1) * of->row_step + (s.columns - 1) * of->step + n, random);
    for (int k = 0; k < s.rows * s.columns; k++)
        s.list[k] = s.points.values + k / s.columns * of->row_step + k % s.columns * of->step;
    return s;
}

static void values_at(const side *s, int64_t at, double values[MOST * MOST]) {
    for (int k = 0; k < MOST * MOST; k++) values[k] = 0;
    for (int k = 0; k < s->rows * s->columns; k++)
        values[k / s->columns * MOST + k % s->columns] = (double)s->list[k][at];
}

static void free_side(side *s, const char *name) {
    for (int k = 0; k < MOST * MOST; k++)
        if (s->array[k].values) check_guards(&s->array[k], name), check_free(&s->array[k]);
    if (s->points.values) check_guards(&s->points, name), check_free(&s->points);
}

/* A kernel's call, from one side to the other. */
typedef void (*call)(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to);

/* Holds its values against the axis', `added` or not to what was there. */
static void try_square(const gm_kernels *k, call run, axis along, bool to_points, bool added, gm_square of, int64_t n,
                       const char *name) {
    gm_random random = {.seed = (uint64_t)n, .stream = 9};
    side list = listed(of.rows, of.columns, n, &random), points = at_points(&of, n, &random);
    side *from = to_points ? &list : &points, *to = to_points ? &points : &list;
    double was[MOST * MOST], in[MOST * MOST], wanted[MOST * MOST], got[MOST * MOST];
    check_buffer before = check_floats(n * MOST * MOST);
    for (int t = 0; t < to->rows * to->columns; t++)
        for (int64_t i = 0; i < n; i++) before.values[t * n + i] = to->list[t][i];
    run(k, &of, n, from, to);
    for (int64_t i = 0; i < n; i++) {
        values_at(from, i, in), values_at(to, i, got);
        square(along, of.rows, of.columns, in, wanted);
        for (int t = 0; t < to->rows * to->columns; t++) {
            int at = t / to->columns * MOST + t % to->columns;
            was[at] = added ? (double)before.values[t * n + i] : 0;
            check_near(got[at], wanted[at] + was[at], 1e-5, name, i);
        }
    }
    check_free(&before), free_side(&list, name), free_side(&points, name);
}

/* Windows of every size, which have as many points. */
static void try_windows(const gm_kernels *k, call run, axis along, bool to_points, bool added, int64_t n,
                        const char *name) {
    for (int rows = 2; rows <= 4; rows++)
        for (int columns = 2; columns <= 4; columns++)
            try_square(k, run, along, to_points, added, square_of(rows, columns, rows, columns, n), n, name);
}

/* Outputs or taps of every size, with every number of points. */
static void try_values(const gm_kernels *k, call run, axis along, bool to_points, bool added, int64_t n,
                       const char *name) {
    for (int size = 0; size < 81; size++) {
        int rows = 1 + size % 3, columns = 1 + size / 3 % 3, row_points = 2 + size / 9 % 3,
            column_points = 2 + size / 27;
        try_square(k, run, along, to_points, added, square_of(rows, columns, row_points, column_points, n), n, name);
    }
}

static const float *const *sources(const side *s) { return (const float *const *)s->list; }

static void difference(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to) {
    k->winograd_difference(of, n, sources(from), to->points.values);
}
static void spread_over(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to) {
    k->winograd_spread(of, n, from->points.values, to->list);
}
static void evaluate(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to) {
    k->winograd_evaluate(of, n, sources(from), to->points.values);
}
static void fold(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to) {
    k->winograd_fold(of, n, from->points.values, false, to->list);
}
static void fold_more(const gm_kernels *k, const gm_square *of, int64_t n, const side *from, side *to) {
    k->winograd_fold(of, n, from->points.values, true, to->list);
}

static void winograd_difference(const gm_kernels *k, int64_t n) {
    try_windows(k, difference, differenced, true, false, n, "difference");
}
static void winograd_spread(const gm_kernels *k, int64_t n) {
    try_windows(k, spread_over, spread, false, true, n, "spread");
}
static void winograd_evaluate(const gm_kernels *k, int64_t n) {
    try_values(k, evaluate, evaluated, true, false, n, "evaluate");
}
static void winograd_fold(const gm_kernels *k, int64_t n) {
    try_values(k, fold, folded, false, false, n, "fold");
    try_values(k, fold_more, folded, false, true, n, "fold, added");
}

static void each_width(void (*run)(const gm_kernels *k, int64_t n)) {
    for (int i = 0; i < (int)(sizeof WIDTHS / sizeof *WIDTHS); i++) EACH_VARIANT(k) run(k, WIDTHS[i]);
}

TEST(every_winograd_kernel) {
#define RUN(type, name, parameters) each_width(name);
    GM_WINOGRAD_KERNELS(RUN)
#undef RUN
}

/* ---- What they are for ---- */

static void random_values(int rows, int columns, gm_random *random, double out[MOST * MOST]) {
    check_buffer values = check_normal(MOST * MOST, random);
    for (int k = 0; k < MOST * MOST; k++) out[k] = k / MOST < rows && k % MOST < columns ? (double)values.values[k] : 0;
    check_free(&values);
}

/* a times b, at the points that there are. */
static void multiply(const double a[MOST * MOST], const double b[MOST * MOST], int rows, int columns,
                     double out[MOST * MOST]) {
    for (int k = 0; k < MOST * MOST; k++) out[k] = k / MOST < rows && k % MOST < columns ? a[k] * b[k] : 0;
}

static void compare(const double got[MOST * MOST], const double wanted[MOST * MOST], int rows, int columns,
                    const char *name) {
    for (int k = 0; k < MOST * MOST; k++)
        if (k / MOST < rows && k % MOST < columns) check_near(got[k], wanted[k], 1e-12, name, k);
}

/* y[i] = sum over taps of d[i + tap] g[tap], of M outputs and R taps along each axis; each of the three is made from the other
 * two. */
static void try_convolution(int m, int r, int across_m, int across_r) {
    gm_random random = {.seed = (uint64_t)(m * 4 + r), .stream = 9};
    int rows = m + r - 1, columns = across_m + across_r - 1;
    double d[MOST * MOST], g[MOST * MOST], y[MOST * MOST], at_d[MOST * MOST], at_g[MOST * MOST], at_y[MOST * MOST];
    double outputs[MOST * MOST] = {0}, taps[MOST * MOST] = {0}, window[MOST * MOST] = {0};
    random_values(rows, columns, &random, d);
    random_values(r, across_r, &random, g);
    random_values(m, across_m, &random, y);
    for (int at = 0; at < m * across_m; at++)
        for (int tap = 0; tap < r * across_r; tap++) {
            int of_y = at / across_m * MOST + at % across_m, of_g = tap / across_r * MOST + tap % across_r;
            outputs[of_y] += d[of_y + of_g] * g[of_g];
            taps[of_g] += d[of_y + of_g] * y[of_y];
            window[of_y + of_g] += y[of_y] * g[of_g];
        }
    square(differenced, rows, columns, d, at_d);
    square(evaluated, r, across_r, g, at_g);
    square(evaluated, m, across_m, y, at_y);
    double products[MOST * MOST], made[MOST * MOST];
    multiply(at_d, at_g, rows, columns, products);
    square(folded, m, across_m, products, made);
    compare(made, outputs, m, across_m, "outputs");
    multiply(at_d, at_y, rows, columns, products);
    square(folded, r, across_r, products, made);
    compare(made, taps, r, across_r, "taps");
    multiply(at_y, at_g, rows, columns, products);
    square(spread, rows, columns, products, made);
    compare(made, window, rows, columns, "window");
}

TEST(products_at_points_are_a_convolution) {
    static const int sizes[][2] = {{1, 2}, {1, 3}, {2, 1}, {2, 2}, {2, 3}, {3, 1}, {3, 2}};
    const int count = (int)(sizeof sizes / sizeof *sizes);
    for (int i = 0; i < count * count; i++) {
        const int *down = sizes[i / count], *across = sizes[i % count];
        try_convolution(down[0], down[1], across[0], across[1]);
    }
}

MAIN(CASE(every_winograd_kernel), CASE(products_at_points_are_a_convolution))
