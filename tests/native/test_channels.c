/* Sums and maps by channel of arrays in pairs against those of the same values in floats, by every instruction set: each of
 * both arrays in pairs or not, narrow rows and wide ones, odd numbers of vectors, few rows and many. */
#include <math.h>
#include <string.h>

#include "kernels/arrays.h"
#include "kernels/streams.h"
#include "kernels/table.h"
#include "variants.h"

/* An array in both forms. */
typedef struct array {
    check_buffer floats, pairs;
} array;

static array make_array(int64_t n, gm_random *random) {
    array a = {check_normal(n, random), check_floats(n / 2)};
    const gm_kernels *plain = gm_kernels_of(GM_ISA_PORTABLE);
    plain->bf16_round(n, a.floats.values, a.floats.values);
    plain->bf16_pair_neighbours(GM_BF16_ROUNDED, n, a.floats.values, a.pairs.values);
    return a;
}

static void free_array(array *a) { check_free(&a->floats), check_free(&a->pairs); }

static const float *stored(const array *a, bool pairs) { return pairs ? a->pairs.values : a->floats.values; }

/* The same values, from where they are stored. */
static void as_floats(bool pairs, int64_t n, const check_buffer *from, float *to) {
    if (pairs)
        gm_kernels_of(GM_ISA_PORTABLE)->bf16_floats(n, from->values, to);
    else
        memcpy(to, from->values, (size_t)n * sizeof *to);
}

typedef struct problem {
    gm_channels channels;
    array x, dy;
    check_buffer vector[4]; /* (width) */
    check_buffer workspace;
    const char *name;
} problem;

enum { WIDEST = 1100 };
typedef struct sums {
    double first[WIDEST], second[WIDEST];
} sums;

/* Long sums of normal numbers: bounded by their terms. */
static void compare_sums(const problem *p, const sums *got, const sums *wanted) {
    double rows = (double)(p->channels.n / p->channels.C);
    for (int64_t c = 0; c < p->channels.C; c++) {
        check_near(got->first[c], wanted->first[c], 1e-6 * rows, p->name, c);
        check_near(got->second[c], wanted->second[c], 2e-6 * rows, p->name, c);
    }
    check_guards(&p->workspace, p->name);
}

static void try_moments(problem *p, gm_in_pairs in_pairs) {
    sums wanted, got;
    p->channels.in_pairs = (gm_in_pairs){false, false};
    gm_channel_moments(&p->channels, p->x.floats.values, wanted.first, wanted.second, p->workspace.values);
    p->channels.in_pairs = in_pairs;
    gm_channel_moments(&p->channels, stored(&p->x, in_pairs.x), got.first, got.second, p->workspace.values);
    compare_sums(p, &got, &wanted);
}

static void try_products(problem *p, gm_in_pairs in_pairs) {
    sums wanted, got;
    const float *center = p->vector[0].values;
    p->channels.in_pairs = (gm_in_pairs){false, false};
    gm_channel_products(&p->channels, p->dy.floats.values, p->x.floats.values, center, wanted.first, wanted.second,
                        p->workspace.values);
    p->channels.in_pairs = in_pairs;
    gm_channel_products(&p->channels, stored(&p->dy, in_pairs.y), stored(&p->x, in_pairs.x), center, got.first,
                        got.second, p->workspace.values);
    compare_sums(p, &got, &wanted);
}

static void try_sums(problem *p, gm_in_pairs in_pairs) {
    float wanted[WIDEST], got[WIDEST];
    for (int64_t c = 0; c < p->channels.C; c++) wanted[c] = got[c] = 0.5f;
    p->channels.in_pairs = (gm_in_pairs){false, false};
    gm_add_channel_sums(&p->channels, p->dy.floats.values, wanted, p->workspace.values);
    p->channels.in_pairs = in_pairs;
    gm_add_channel_sums(&p->channels, stored(&p->dy, in_pairs.y), got, p->workspace.values);
    double rows = (double)(p->channels.n / p->channels.C);
    for (int64_t c = 0; c < p->channels.C; c++)
        check_near((double)got[c], (double)wanted[c], 1e-6 * rows + 1e-6 * fabs((double)wanted[c]), p->name, c);
}

/* `got` as stored; one that is rounded may be off by half of its last bit. */
static void compare_values(const problem *p, bool pairs, const check_buffer *got, const check_buffer *wanted) {
    int64_t n = p->channels.n;
    check_buffer floats = check_floats(n);
    as_floats(pairs, n, got, floats.values);
    for (int64_t i = 0; i < n; i++) {
        double value = (double)wanted->values[i], bound = 1e-5 + 1e-5 * fabs(value);
        check_near((double)floats.values[i], value, bound + (pairs ? 0x1.02p-8 * fabs(value) : 0), p->name, i);
    }
    check_guards(got, p->name);
    check_free(&floats);
}

/* Past the caches, where that can be: the same bits. */
static void try_streamed(const problem *p, gm_in_pairs in_pairs, gm_activation act, const check_buffer *wanted) {
    int64_t n = p->channels.n, width = p->channels.width;
    check_buffer got = check_floats(wanted->count);
    const check_buffer *v = p->vector;
    if (n % width == 0 && gm_in_lines(got.values, gm_words(width, in_pairs.y))) {
        gm_kernels_active()->channel_affine(n, width, in_pairs, stored(&p->x, in_pairs.x), v[0].values, v[1].values,
                                            v[2].values, gm_slope_of(act), true, got.values);
        CHECK(memcmp(got.values, wanted->values, (size_t)got.count * sizeof(float)) == 0, "%s streamed", p->name);
    }
    check_free(&got);
}

static void try_affine(problem *p, gm_in_pairs in_pairs, gm_activation act) {
    int64_t n = p->channels.n;
    check_buffer wanted = check_floats(n), got = check_floats(gm_words(n, in_pairs.y));
    const check_buffer *v = p->vector;
    p->channels.in_pairs = (gm_in_pairs){false, false};
    gm_channel_affine(&p->channels, p->x.floats.values, v[0].values, v[1].values, v[2].values, act, wanted.values);
    p->channels.in_pairs = in_pairs;
    gm_channel_affine(&p->channels, stored(&p->x, in_pairs.x), v[0].values, v[1].values, v[2].values, act, got.values);
    compare_values(p, in_pairs.y, &got, &wanted);
    try_streamed(p, in_pairs, act, &got);
    check_free(&wanted), check_free(&got);
}

/* dx apart, and where both are stored alike in the place of dy. */
static void try_blend(problem *p, gm_in_pairs in_pairs, gm_activation gate) {
    int64_t n = p->channels.n, words = gm_words(n, in_pairs.x);
    check_buffer wanted = check_floats(n), got = check_floats(words);
    const gm_channel_terms terms = {p->vector[0].values, p->vector[1].values, p->vector[2].values, p->vector[3].values};
    p->channels.in_pairs = (gm_in_pairs){false, false};
    gm_channel_blend(&p->channels, p->dy.floats.values, p->x.floats.values, &terms, gate, wanted.values);
    p->channels.in_pairs = in_pairs;
    const float *x = stored(&p->x, in_pairs.x), *dy = stored(&p->dy, in_pairs.y);
    gm_channel_blend(&p->channels, dy, x, &terms, gate, got.values);
    compare_values(p, in_pairs.x, &got, &wanted);
    if (in_pairs.x == in_pairs.y) {
        check_buffer place = check_floats(words);
        memcpy(place.values, dy, (size_t)words * sizeof *dy);
        gm_channel_blend(&p->channels, place.values, x, &terms, gate, place.values);
        CHECK(memcmp(place.values, got.values, (size_t)words * sizeof *dy) == 0, "%s in place", p->name);
        check_free(&place);
    }
    check_free(&wanted), check_free(&got);
}

static void try_sizes(int64_t rows, int64_t C, gm_random *random) {
    problem p = {
        .channels = gm_channels_of(rows, C), .x = make_array(rows * C, random), .dy = make_array(rows * C, random)};
    for (int i = 0; i < 4; i++) {
        p.vector[i] = check_normal(p.channels.width, random);
        gm_channels_repeat(&p.channels, p.vector[i].values);
    }
    p.workspace = check_floats(gm_channels_workspace(rows, C));
    static const gm_activation acts[] = {{GM_LINEAR, 0}, {GM_LEAKY_RELU, 0}, {GM_LEAKY_RELU, 0.2f}};
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (!gm_kernels_of((gm_isa)isa)) continue;
        CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
        p.name = gm_isa_name((gm_isa)isa);
        for (int form = 0; form < 4; form++) {
            gm_in_pairs in_pairs = {form & 1, form & 2};
            try_moments(&p, in_pairs);
            try_products(&p, in_pairs);
            try_sums(&p, in_pairs);
            for (int i = 0; i < 3; i++) {
                try_affine(&p, in_pairs, acts[i]);
                try_blend(&p, in_pairs, acts[i]);
            }
        }
    }
    free_array(&p.x), free_array(&p.dy), check_free(&p.workspace);
    for (int i = 0; i < 4; i++) check_free(&p.vector[i]);
}

TEST(in_pairs) {
    static const int64_t channels[] = {2, 6, 8, 32, 34, 64, 66, 130, 1026};
    static const int64_t rows[] = {1, 2, 33, 700};
    gm_random random = {.seed = 11, .stream = 1};
    for (int i = 0; i < (int)(sizeof channels / sizeof *channels); i++)
        for (int k = 0; k < (int)(sizeof rows / sizeof *rows); k++) try_sizes(rows[k], channels[i], &random);
}

/* So large that they go past the caches, where rows are whole lines: the bits of the kernel that does not, and nothing behind
 * the end of what begins with a line. */
TEST(large_arrays) {
    enum { LINE = 16, LARGE = 2 << 20 };
    gm_random random = {.seed = 12, .stream = 1};
    for (int64_t C = LINE / 2; C <= 2 * LINE; C += LINE / 2) {
        gm_channels channels = gm_channels_of(LARGE / C + 1, C);
        int64_t n = channels.n;
        check_buffer x = check_normal(n, &random), got = check_floats((n + LINE - 1) / LINE * LINE), v[3];
        check_buffer wanted = check_copy(&got);
        for (int i = 0; i < 3; i++) {
            v[i] = check_normal(channels.width, &random);
            gm_channels_repeat(&channels, v[i].values);
        }
        gm_kernels_active()->channel_affine(n, channels.width, channels.in_pairs, x.values, v[0].values, v[1].values,
                                            v[2].values, 0.2f, false, wanted.values);
        gm_activation act = {GM_LEAKY_RELU, 0.2f};
        gm_channel_affine(&channels, x.values, v[0].values, v[1].values, v[2].values, act, got.values);
        CHECK(memcmp(got.values, wanted.values, (size_t)got.count * sizeof(float)) == 0, "%d channels", (int)C);
        check_buffer *all[] = {&x, &wanted, &got, &v[0], &v[1], &v[2]};
        for (int i = 0; i < 6; i++) check_free(all[i]);
    }
}

MAIN(CASE(in_pairs), CASE(large_arrays))
