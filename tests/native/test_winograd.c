/* The transforms of winograd.h against their definitions, in every set of kernels and with every buffer between guards.
 *
 * The list makes the cases: a kernel without a function of its name here does not compile. */
#include "kernels/winograd.h"

#include <stddef.h>

#include "variants.h"

static const int64_t WIDTHS[] = {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100};

enum { MOST = 4, SPARE = 5 /* floats between points that belong to none */ };

/* ---- Along one axis, of a square of `size` ---- */

static void differenced(int size, const double *d, double *point) {
    point[0] = d[0] - d[size - 1];
    point[1] = size == 2 ? d[1] : (d[1] + d[2]) / 2;
    point[2] = d[size] - d[1];
    point[3] = (d[2] - d[1]) / 2;
}

static void expanded(int size, const double *y, double *point) {
    point[0] = y[0];
    point[1] = size == 2 ? y[0] + y[1] : y[0] + y[1] + y[2];
    point[2] = y[size - 1];
    point[3] = y[0] - y[1] + y[2];
}

static void expanded_taps(int size, const double *g, double *point) {
    (void)size;
    point[0] = g[0], point[1] = g[0] + g[1], point[2] = g[1], point[3] = g[0] - g[1];
}

static void folded(int size, const double *m, double *y) {
    double more = size == 2 ? 0 : m[3];
    y[0] = m[0] + m[1] + more;
    y[1] = m[1] - more;
    y[size - 1] = m[1] + more + m[2];
}

static void folded_taps(int size, const double *m, double *g) {
    double more = size == 2 ? 0 : m[3];
    g[0] = m[0] + m[1] + more, g[1] = m[1] - more + m[2];
}

static void spread(int size, const double *m, double *d) {
    double half = size == 2 ? 1 : 0.5, more = size == 2 ? 0 : m[3];
    d[0] = m[0];
    d[2] = half * (m[1] + more) - m[0];
    d[1] = half * (m[1] - more) - m[2] - (size == 2 ? m[0] : 0);
    d[size] = m[2];
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

static gm_square square_of(int rows, int columns, int64_t n) {
    return (gm_square){rows, columns, (columns + 1) * (n + SPARE) + 1, n + SPARE};
}

static side listed(int rows, int columns, int64_t n, gm_random *random) {
    side s = {.rows = rows, .columns = columns};
    for (int k = 0; k < rows * columns; k++) s.array[k] = check_normal(n, random), s.list[k] = s.array[k].values;
    return s;
}

static side at_points(const gm_square *of, int64_t n, gm_random *random) {
    side s = {.rows = of->rows + 1, .columns = of->columns + 1};
    s.points = check_normal(of->rows * of->row_step + of->columns * of->step + n, random);
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

static const float *const *sources(const side *s) { return (const float *const *)s->list; }

/* Runs a kernel from one side to the other and holds the values against the axes', `added` or not to what was there. */
#define TRY(name, along, added, FROM, TO, CALL)                                                                        \
    static void name(const gm_kernels *k, int64_t n) {                                                                 \
        gm_random random = {.seed = (uint64_t)n, .stream = 9};                                                         \
        for (int rows = 2; rows <= 3; rows++)                                                                          \
            for (int columns = 2; columns <= 3; columns++) {                                                           \
                gm_square of = square_of(rows, columns, n);                                                            \
                side from = FROM, to = TO, before = TO;                                                                \
                for (int t = 0; t < to.rows * to.columns; t++)                                                         \
                    for (int64_t i = 0; i < n; i++) before.list[t][i] = to.list[t][i];                                 \
                k->name CALL;                                                                                          \
                for (int64_t i = 0; i < n; i++) {                                                                      \
                    double in[MOST * MOST], was[MOST * MOST], got[MOST * MOST], wanted[MOST * MOST];                   \
                    values_at(&from, i, in), values_at(&before, i, was), values_at(&to, i, got);                       \
                    square(along, rows, columns, in, wanted);                                                          \
                    for (int t = 0; t < to.rows * to.columns; t++) {                                                   \
                        int at = t / to.columns * MOST + t % to.columns;                                               \
                        check_near(got[at], wanted[at] + ((added) ? was[at] : 0), 1e-5, #name, i);                     \
                    }                                                                                                  \
                }                                                                                                      \
                free_side(&from, #name), free_side(&to, #name), free_side(&before, #name);                             \
            }                                                                                                          \
    }
#define LISTED(rows, columns) listed(rows, columns, n, &random)
#define POINTS at_points(&of, n, &random)
#define TO_POINTS (&of, n, sources(&from), to.points.values)
#define TO_LIST (&of, n, from.points.values, to.list)

TRY(winograd_difference, differenced, false, LISTED(rows + 1, columns + 1), POINTS, TO_POINTS)
TRY(winograd_expand, expanded, false, LISTED(rows, columns), POINTS, TO_POINTS)
TRY(winograd_expand_taps, expanded_taps, false, LISTED(2, 2), POINTS, TO_POINTS)
TRY(winograd_fold, folded, false, POINTS, LISTED(rows, columns), TO_LIST)
TRY(winograd_fold_taps, folded_taps, true, POINTS, LISTED(2, 2), TO_LIST)
TRY(winograd_spread, spread, true, POINTS, LISTED(rows + 1, columns + 1), TO_LIST)

static void each_width(void (*run)(const gm_kernels *k, int64_t n)) {
    for (int i = 0; i < (int)(sizeof WIDTHS / sizeof *WIDTHS); i++) EACH_VARIANT(k) run(k, WIDTHS[i]);
}

TEST(every_winograd_kernel) {
#define RUN(type, name, parameters) each_width(name);
    GM_WINOGRAD_KERNELS(RUN)
#undef RUN
}

/* ---- What they are for ---- */

static void random_square(int rows, int columns, gm_random *random, double out[MOST * MOST]) {
    check_buffer values = check_normal(MOST * MOST, random);
    for (int k = 0; k < MOST * MOST; k++) out[k] = k / MOST < rows && k % MOST < columns ? (double)values.values[k] : 0;
    check_free(&values);
}

static void multiply(double a[MOST * MOST], const double b[MOST * MOST], int rows, int columns) {
    for (int k = 0; k < MOST * MOST; k++) a[k] = k / MOST <= rows && k % MOST <= columns ? a[k] * b[k] : 0;
}

/* The definition: y[i] = sum over 2 x 2 taps of d[i + tap] g[tap]. Each of the three is made from the other two. */
TEST(products_at_points_are_a_convolution) {
    gm_random random = {.seed = 3, .stream = 9};
    for (int rows = 2; rows <= 3; rows++)
        for (int columns = 2; columns <= 3; columns++) {
            double d[MOST * MOST], g[MOST * MOST], y[MOST * MOST];
            random_square(rows + 1, columns + 1, &random, d);
            random_square(2, 2, &random, g);
            random_square(rows, columns, &random, y);
            double of_d[MOST * MOST], of_g[MOST * MOST], of_y[MOST * MOST], forward[MOST * MOST] = {0};
            double weights[MOST * MOST] = {0}, data[MOST * MOST] = {0}, made[MOST * MOST];
            for (int at = 0; at < rows * columns; at++)
                for (int tap = 0; tap < 4; tap++) {
                    int i = at / columns, j = at % columns, r = tap / 2, s = tap % 2;
                    forward[i * MOST + j] += d[(i + r) * MOST + j + s] * g[r * MOST + s];
                    weights[r * MOST + s] += d[(i + r) * MOST + j + s] * y[i * MOST + j];
                    data[(i + r) * MOST + j + s] += y[i * MOST + j] * g[r * MOST + s];
                }
            square(differenced, rows, columns, d, of_d);
            square(expanded_taps, rows, columns, g, of_g);
            square(expanded, rows, columns, y, of_y);
            multiply(of_d, of_g, rows, columns);
            square(folded, rows, columns, of_d, made);
            for (int k = 0; k < MOST * MOST; k++)
                if (k / MOST < rows && k % MOST < columns) check_near(made[k], forward[k], 1e-12, "forward", k);
            multiply(of_g, of_y, rows, columns);
            square(spread, rows, columns, of_g, made);
            for (int k = 0; k < MOST * MOST; k++)
                if (k / MOST <= rows && k % MOST <= columns) check_near(made[k], data[k], 1e-12, "data", k);
            square(differenced, rows, columns, d, of_d);
            multiply(of_d, of_y, rows, columns);
            square(folded_taps, rows, columns, of_d, made);
            for (int k = 0; k < MOST * MOST; k++)
                if (k / MOST < 2 && k % MOST < 2) check_near(made[k], weights[k], 1e-12, "weights", k);
        }
}

MAIN(CASE(every_winograd_kernel), CASE(products_at_points_are_a_convolution))
