/* The three products of a convolution against the sums that define them, in float64, over random geometries, of operands
 * as they are and rounded to bfloat16, in arrays of floats and in pairs. */
#include "kernels/conv.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "check.h"
#include "kernels/conv_taps.h"
#include "kernels/conv_winograd.h"
#include "kernels/streams.h"
#include "kernels/table.h"

typedef struct problem {
    gm_conv g;
    int64_t N;
    int64_t images, maps, weights; /* floats of each */
    check_buffer image, map, w;    /* random contents */
    check_buffer seen[3];          /* the same as the product is to see them */
    gm_epilogue to_map, to_image;
    check_buffer map_bias, map_gate, image_bias, image_gate;
    bool over_gates; /* outputs lie where their gates do, where that may be */
    char text[200];
} problem;

static int laid_over; /* outputs that did */

/* A sum and the sum of its terms' sizes, which bounds its rounding error. */
typedef struct sums {
    double *value, *size;
    int64_t *terms;
} sums;

static sums make_sums(int64_t count) {
    size_t n = (size_t)count;
    return (sums){calloc(n, sizeof(double)), calloc(n, sizeof(double)), calloc(n, sizeof(int64_t))};
}

static void free_sums(sums *s) { free(s->value), free(s->size), free(s->terms); }

/* The definition is most of the work, and nothing to be watched for data races. */
#define UNWATCHED __attribute__((no_sanitize_thread))

UNWATCHED static void add_term(sums *s, int64_t i, float a, float b) {
    double term = (double)a * (double)b;
    s->value[i] += term;
    s->size[i] += fabs(term);
    s->terms[i]++;
}

/* Calls `visit(context, image index, map index, weight index)` for every product in the definition. */
typedef void (*visitor)(const problem *p, sums *s, int64_t image, int64_t map, int64_t w);
UNWATCHED static void each_product(const problem *p, sums *s, visitor visit) {
    const gm_conv *g = &p->g;
    for (int64_t n = 0; n < p->N; n++)
        for (int64_t at_map = 0; at_map < g->P * g->Q; at_map++)
            for (int64_t tap = 0; tap < g->R * g->S; tap++) {
                int64_t row = at_map / g->Q * g->stride_h + tap / g->S - g->pad_top;
                int64_t column = at_map % g->Q * g->stride_w + tap % g->S - g->pad_left;
                if (row < 0 || row >= g->H || column < 0 || column >= g->W) continue;
                for (int64_t c = 0; c < g->C; c++)
                    for (int64_t k = 0; k < g->K; k++)
                        visit(p, s, ((n * g->H + row) * g->W + column) * g->C + c,
                              (n * g->P * g->Q + at_map) * g->K + k, (tap * g->C + c) * g->K + k);
            }
}

static float rounded(float value) {
    int exponent;
    (void)frexpf(value, &exponent);
    return ldexpf(nearbyintf(ldexpf(value, 8 - exponent)), exponent - 8); /* 8 bits, ties to even */
}

enum { IMAGE, MAP, W };

static void make_seen(problem *p, bool as_bf16) {
    const check_buffer *of[] = {&p->image, &p->map, &p->w};
    for (int k = 0; k < 3; k++) {
        p->seen[k] = check_copy(of[k]);
        for (int64_t i = 0; as_bf16 && i < of[k]->count; i++) p->seen[k].values[i] = rounded(of[k]->values[i]);
    }
}

UNWATCHED static void visit_forward(const problem *p, sums *s, int64_t image, int64_t map, int64_t w) {
    add_term(s, map, p->seen[IMAGE].values[image], p->seen[W].values[w]);
}
UNWATCHED static void visit_data(const problem *p, sums *s, int64_t image, int64_t map, int64_t w) {
    add_term(s, image, p->seen[MAP].values[map], p->seen[W].values[w]);
}
UNWATCHED static void visit_weights(const problem *p, sums *s, int64_t image, int64_t map, int64_t w) {
    add_term(s, w, p->seen[IMAGE].values[image], p->seen[MAP].values[map]);
}

/* Of a product of values made of two of bfloat16 each: three of 2^-16 at most, two rounded and one left out, which in a
 * sum partly cancel; of long sums 3e-6 of the terms' sizes. */
static double term_error(double terms) { return terms < 256 ? 2 * 3 * 0x1p-16 / sqrt(fmax(terms, 1)) : 3e-6; }

/* Holds `got` (count, channels innermost) against the sums with the epilogue applied. Nothing in it is steeper than 2. What
 * was stored in pairs is rounded. */
static void compare(const problem *p, const char *name, const check_buffer *got, const sums *s, int64_t channels,
                    const gm_epilogue *e, double added, bool pairs) {
    char where[300];
    static const char *const names[] = {[GM_FLOAT32] = "float32", [GM_BF16] = "bf16", [GM_HIGH] = "high"};
    const char *precision = p->g.image_pairs || p->g.map_pairs ? "bf16 in pairs" : names[p->g.precision];
    (void)snprintf(where, sizeof where, "%s, %s, %s, %s", name, gm_isa_name(gm_kernels_isa()), precision, p->text);
    for (int64_t i = 0; i < got->count; i++) {
        double bias = e && e->bias ? (double)e->bias[i % channels] : added;
        double wanted = check_act(e ? e->act : (gm_activation){0}, s->value[i] + bias);
        if (e && e->gate) wanted *= check_act_slope(e->gate_act, (double)e->gate[i]);
        double terms = (double)s->terms[i];
        double bound = (16 + 2 * sqrt(terms)) * (double)FLT_EPSILON * (s->size[i] + fabs(bias) + 0.5);
        if (p->g.precision == GM_HIGH) bound += term_error(terms) * s->size[i];
        if (pairs) bound += 0x1.02p-8 * fabs(wanted);
        check_near((double)got->values[i], wanted, bound, where, i);
    }
    check_guards(got, where);
}

/* Past the caches, where that can be, and over the gates. */
static problem streamed(const problem *p, const float *out) {
    problem other = *p;
    other.to_map.streams = gm_in_lines(out, gm_words(p->g.K, p->g.map_pairs));
    other.to_image.streams = gm_in_lines(out, gm_words(p->g.C, p->g.image_pairs));
    other.over_gates = true;
    return other;
}

/* Runs the same product with one thread, and with more than there are slots past the caches and over its gate: the same bits.
 * Workspace of exactly the promised size. */
typedef void (*product)(const problem *p, float *out, float *workspace);
static check_buffer run(const problem *p, const char *name, int64_t count, product compute) {
    check_buffer first = {0}, workspace = check_floats(gm_conv_workspace(&p->g, p->N));
    for (int threads = 1; threads <= GM_SLOTS + 1; threads += GM_SLOTS) {
        gm_set_num_threads(threads);
        check_buffer out = check_floats(count);
        problem as = threads == 1 ? *p : streamed(p, out.values);
        compute(&as, out.values, workspace.values);
        if (threads == 1) {
            first = out;
            continue;
        }
        CHECK(memcmp(first.values, out.values, (size_t)count * sizeof(float)) == 0,
              "%s: %d threads change the bits, %s", name, threads, p->text);
        check_free(&out);
    }
    check_guards(&workspace, name);
    check_free(&workspace);
    return first;
}

static gm_epilogue epilogue_of(const problem *p, bool adjoint, float *out) {
    gm_epilogue e = adjoint ? p->to_image : p->to_map;
    int64_t words = adjoint ? gm_words(p->images, p->g.image_pairs) : gm_words(p->maps, p->g.map_pairs);
    bool straight = e.act.kind <= GM_LEAKY_RELU;
    if (!p->over_gates || !e.gate || !straight || !gm_conv_gates_in_place(&p->g, adjoint, e.gate_act)) return e;
    memcpy(out, e.gate, (size_t)words * sizeof *out);
    e.gate = out;
    laid_over++;
    return e;
}
static void forward(const problem *p, float *out, float *workspace) {
    gm_epilogue e = epilogue_of(p, false, out);
    gm_conv_forward(&p->g, p->N, p->image.values, p->w.values, out, &e, workspace);
}
static void data(const problem *p, float *out, float *workspace) {
    gm_epilogue e = epilogue_of(p, true, out);
    gm_conv_backward_data(&p->g, p->N, p->map.values, p->w.values, out, &e, workspace);
}

/* Of the gradient of the weights, which is added to what is there, or takes its place. */
static const float THERE = 0.25f;
static void weights_of(const problem *p, bool add, float *out, float *workspace) {
    for (int64_t i = 0; i < p->weights; i++) out[i] = THERE;
    gm_conv_backward_weights(&p->g, p->N, p->image.values, p->map.values, add, out, workspace);
}
static void weights(const problem *p, float *out, float *workspace) { weights_of(p, false, out, workspace); }
static void weights_added(const problem *p, float *out, float *workspace) { weights_of(p, true, out, workspace); }

static const struct {
    const char *name;
    product compute;
    visitor visit; /* NULL: the sums are those of the product before */
} products[] = {{"forward", forward, visit_forward},
                {"data", data, visit_data},
                {"weights", weights, visit_weights},
                {"weights added", weights_added, NULL}};
enum { PRODUCTS = sizeof products / sizeof *products };

/* ---- Arrays in pairs ---- */

static check_buffer in_pairs(const check_buffer *floats) {
    check_buffer pairs = check_floats((floats->count + 1) / 2);
    gm_kernels_active()->bf16_pair_neighbours(GM_BF16_ROUNDED, floats->count, floats->values, pairs.values);
    return pairs;
}

/* What epilogues of arrays in pairs may have. */
static void straighten(gm_epilogue *e) {
    if (e->act.kind > GM_LEAKY_RELU) e->act = (gm_activation){GM_LEAKY_RELU, 0.3f};
    if (e->gate_act.kind > GM_LEAKY_RELU) e->gate_act = (gm_activation){GM_LEAKY_RELU, 0.1f};
}

/* The problem as it is, but for its epilogues, and as it is stored: the arrays of either side, or both, in pairs. */
typedef struct form {
    problem plain, stored;
    check_buffer pairs[4];
} form;

/* Of one side alone that of the images where their number is odd, that of the maps elsewhere: it is the same code. */
static bool has_form(const problem *p, bool image, bool map) {
    if (!image && !map) return true;
    if (image != map && image != p->N % 2) return false;
    return gm_conv_takes_pairs(&p->g) && (!image || gm_channels_pair(p->g.C)) && (!map || gm_channels_pair(p->g.K));
}

static form make_form(const problem *p, bool image, bool map) {
    form f = {.plain = *p,
              .pairs = {in_pairs(&p->image), in_pairs(&p->map), in_pairs(&p->image_gate), in_pairs(&p->map_gate)}};
    if (image || map) straighten(&f.plain.to_map), straighten(&f.plain.to_image);
    f.plain.g.image_pairs = image;
    f.plain.g.map_pairs = map;
    f.stored = f.plain;
    if (image) f.stored.image = f.pairs[0];
    if (map) f.stored.map = f.pairs[1];
    if (image && f.plain.to_image.gate) f.stored.to_image.gate = f.pairs[2].values;
    if (map && f.plain.to_map.gate) f.stored.to_map.gate = f.pairs[3].values;
    return f;
}

static void free_form(form *f) {
    for (int k = 0; k < 4; k++) check_free(&f->pairs[k]);
}

/* ---- One problem ---- */

/* The product of what the form stores, as floats. */
static check_buffer run_form(const form *f, int i, int64_t count, bool pairs) {
    check_buffer got = run(&f->stored, products[i].name, gm_words(count, pairs), products[i].compute);
    if (!pairs) return got;
    check_buffer floats = check_floats(count);
    gm_kernels_active()->bf16_floats(count, got.values, floats.values);
    check_guards(&got, products[i].name);
    check_free(&got);
    return floats;
}

/* Data races are between tasks, which are the same for all sets, and portable kernels are the same on any machine, which for
 * 64-bit ARM may be an emulated one: there the best set is enough, where all would take minutes. */
static bool is_tried(gm_isa isa) {
#if defined(__SANITIZE_THREAD__) || defined(__aarch64__)
    return isa == gm_kernels_isa();
#else
    return gm_kernels_of(isa) != NULL;
#endif
}

/* Product i by every instruction set. */
static void try_form(const form *f, int i, const sums *s) {
    const problem *p = &f->plain;
    const int64_t count[] = {p->maps, p->images, p->weights, p->weights}, channels[] = {p->g.K, p->g.C, 1, 1};
    const bool pairs[] = {p->g.map_pairs, p->g.image_pairs, false, false};
    const gm_epilogue *epilogue[] = {&p->to_map, &p->to_image, NULL, NULL};
    const double there[] = {0, 0, 0, (double)THERE};
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (!is_tried((gm_isa)isa)) continue;
        CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
        check_buffer got = run_form(f, i, count[i], pairs[i]);
        compare(p, products[i].name, &got, s, channels[i], epilogue[i], there[i], pairs[i]);
        check_free(&got);
    }
}

enum { FORMS = 4 };

/* Product i of these precisions, to all of which the operands look alike. */
static void try_product(problem *p, int i, const sums *s, int count, const gm_precision precisions[]) {
    for (int k = 0; k < count; k++) {
        p->g.precision = precisions[k];
        for (int kind = 0; kind < FORMS; kind++) {
            if (!has_form(p, kind & 1, kind & 2)) continue;
            form f = make_form(p, kind & 1, kind & 2);
            try_form(&f, i, s);
            free_form(&f);
        }
    }
}

static void try_products(problem *p) {
    static const gm_precision exact[] = {GM_FLOAT32, GM_HIGH}, as_bf16[] = {GM_BF16};
    const int64_t sizes[] = {p->maps, p->images, p->weights};
    int exact_count = gm_kernels_parts(GM_HIGH) ? 2 : 1; /* high is float32 elsewhere: tests/test_precision.py */
    for (int kind = 0; kind < 2; kind++) {
        make_seen(p, kind);
        sums s = {0};
        for (int i = 0; i < PRODUCTS; i++) {
            if (products[i].visit) {
                free_sums(&s);
                s = make_sums(sizes[i]);
                each_product(p, &s, products[i].visit);
            }
            try_product(p, i, &s, kind ? 1 : exact_count, kind ? as_bf16 : exact);
        }
        free_sums(&s);
        for (int k = 0; k < 3; k++) check_free(&p->seen[k]);
    }
}

/* Bias, activation and gate, each there or not. */
static gm_epilogue random_epilogue(gm_random *random, int64_t channels, int64_t count, check_buffer *bias,
                                   check_buffer *gate) {
    *bias = check_normal(channels, random);
    *gate = check_normal(count, random);
    for (int64_t i = 0; i < count; i++) gate->values[i] = tanhf(gate->values[i]); /* an activation's outputs */
    gm_epilogue e = {.bias = check_between(random, 0, 1) ? bias->values : NULL};
    e.act = (gm_activation){(gm_activation_kind)check_between(random, 0, GM_SIGMOID),
                            0.2f * (float)check_between(random, 0, 2)};
    if (check_between(random, 0, 1)) {
        e.gate = gate->values;
        e.gate_act = (gm_activation){(gm_activation_kind)check_between(random, 0, GM_SIGMOID), 0.3f};
    }
    return e;
}

static void try_geometry(gm_conv g, int64_t N, gm_random *random) {
    problem p = {.g = g, .N = N, .images = N * g.H * g.W * g.C, .maps = N * g.P * g.Q * g.K};
    p.weights = g.R * g.S * g.C * g.K;
    (void)snprintf(p.text, sizeof p.text,
                   "N %d, image %dx%dx%d, map %dx%dx%d, kernel %dx%d, strides %dx%d, pads %d, %d", (int)N, (int)g.H,
                   (int)g.W, (int)g.C, (int)g.P, (int)g.Q, (int)g.K, (int)g.R, (int)g.S, (int)g.stride_h,
                   (int)g.stride_w, (int)g.pad_top, (int)g.pad_left);
    p.image = check_normal(p.images, random);
    p.map = check_normal(p.maps, random);
    p.w = check_normal(p.weights, random);
    p.to_map = random_epilogue(random, g.K, p.maps, &p.map_bias, &p.map_gate);
    p.to_image = random_epilogue(random, g.C, p.images, &p.image_bias, &p.image_gate);
    try_products(&p);
    check_buffer *all[] = {&p.image, &p.map, &p.w, &p.map_bias, &p.map_gate, &p.image_bias, &p.image_gate};
    for (int i = 0; i < 7; i++) check_free(all[i]);
}

/* One axis: size, kernel, stride and padding that give at least one output. `behind` is the padding after the end. */
static int64_t random_axis(gm_random *random, int64_t most, int64_t *size, int64_t *kernel, int64_t *stride,
                           int64_t *pad) {
    for (;;) {
        *size = check_between(random, 1, most);
        *kernel = check_between(random, 1, 7);
        *stride = check_between(random, 1, 3);
        *pad = check_between(random, 0, *kernel - 1);
        int64_t behind = check_between(random, 0, *kernel - 1), room = *size + *pad + behind - *kernel;
        if (room >= 0) return room / *stride + 1;
    }
}

static gm_conv random_geometry(gm_random *random, int64_t most_pixels, int64_t most_channels) {
    gm_conv g = {.C = check_between(random, 1, most_channels), .K = check_between(random, 1, most_channels)};
    g.P = random_axis(random, most_pixels, &g.H, &g.R, &g.stride_h, &g.pad_top);
    g.Q = random_axis(random, most_pixels, &g.W, &g.S, &g.stride_w, &g.pad_left);
    return g;
}

static void try_random(int count, uint64_t seed, int64_t most_pixels, int64_t most_channels, int64_t most_images) {
    gm_random random = {.seed = seed, .stream = 1};
    for (int i = 0; i < count; i++)
        try_geometry(random_geometry(&random, most_pixels, most_channels), check_between(&random, 1, most_images),
                     &random);
}

TEST(tiny_images) { try_random(150, 1, 5, 12, 6); }
TEST(few_channels) { try_random(60, 2, 14, 5, 9); }
TEST(many_channels) {
    try_random(25, 3, 9, 40, 5);
    CHECK(laid_over > 0, "no output was laid over its gate");
}
TEST(many_images) { try_random(25, 4, 6, 24, 33); }

/* Layers in batches of two sizes. */
static void try_layers(const gm_conv *layers, int count, uint64_t seed, int64_t small, int64_t large) {
    gm_random random = {.seed = seed, .stream = 1};
    for (int i = 0; i < count; i++) {
        try_geometry(layers[i], small, &random);
        try_geometry(layers[i], large, &random);
    }
}

/* The layers of the reference networks, a dense layer as a convolution of one pixel, and kernels as large as the image,
 * whose adjoint makes an image of one place. */
TEST(known_layers) {
    static const gm_conv layers[] = {
        {28, 28, 1, 14, 14, 32, 3, 3, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {14, 14, 32, 7, 7, 64, 3, 3, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {7, 7, 64, 7, 7, 64, 3, 3, 1, 1, 1, 1, GM_FLOAT32, false, false},
        {28, 28, 1, 28, 28, 32, 3, 3, 1, 1, 1, 1, GM_FLOAT32, false, false},
        {14, 14, 3, 7, 7, 20, 5, 5, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {8, 8, 17, 4, 4, 33, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {1, 1, 785, 1, 1, 33, 1, 1, 1, 1, 0, 0, GM_FLOAT32, false, false},
        {1, 1, 16, 1, 1, 1, 1, 1, 1, 1, 0, 0, GM_FLOAT32, false, false},
        {4, 4, 70, 1, 1, 100, 4, 4, 1, 1, 0, 0, GM_FLOAT32, false, false},
        {2, 3, 5, 1, 1, 40, 2, 3, 2, 1, 0, 0, GM_FLOAT32, false, false},
        {16, 16, 66, 8, 8, 1, 3, 3, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {9, 9, 34, 9, 9, 3, 5, 5, 1, 1, 2, 2, GM_FLOAT32, false, false},
        {6, 7, 18, 5, 6, 2, 3, 4, 1, 1, 1, 1, GM_FLOAT32, false, false},
        {5, 5, 16, 8, 8, 1, 2, 2, 1, 1, 2, 2, GM_FLOAT32, false, false},
    };
    try_layers(layers, (int)(sizeof layers / sizeof *layers), 5, 1, 9);
}

/* Rows of outputs that fill tiles, of one image or of two: of an odd number of images, fewer than there are tasks and more;
 * any padding, taps beyond it on one side alone, and enough channels to fill blocks. */
TEST(wide_maps) {
    static const gm_conv layers[] = {
        {5, 12, 34, 5, 12, 32, 3, 3, 1, 1, 1, 1, GM_FLOAT32, false, false},
        {4, 13, 32, 4, 13, 64, 5, 5, 1, 1, 2, 2, GM_FLOAT32, false, false},
        {9, 28, 32, 5, 14, 6, 3, 3, 2, 2, 1, 0, GM_FLOAT32, false, false},
        {3, 30, 7, 3, 30, 33, 3, 7, 1, 1, 0, 5, GM_FLOAT32, false, false},
        {6, 30, 6, 2, 15, 34, 2, 4, 3, 2, 0, 1, GM_FLOAT32, false, false},
    };
    try_layers(layers, (int)(sizeof layers / sizeof *layers), 10, 3, 17);
}

/* From many channels to few: image by image, some small ones at a time, a map of one place; and, strides of 1, forward. */
TEST(to_few_channels) {
    static const gm_conv layers[] = {
        {12, 14, 1, 12, 14, 34, 5, 5, 1, 1, 2, 2, GM_FLOAT32, false, false},
        {11, 13, 3, 6, 7, 32, 4, 5, 2, 2, 1, 2, GM_FLOAT32, false, false},
        {9, 12, 2, 3, 4, 19, 3, 2, 3, 3, 0, 0, GM_FLOAT32, false, false},
        {5, 5, 3, 1, 1, 40, 5, 4, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {6, 5, 2, 6, 8, 32, 3, 5, 1, 1, 1, 4, GM_FLOAT32, false, false},
        {40, 40, 4, 40, 40, 32, 1, 8, 1, 1, 0, 3, GM_FLOAT32, false, false},
    };
    const int count = (int)(sizeof layers / sizeof *layers);
    for (int i = 0; i < count; i++) CHECK(gm_conv_taps_pay(&layers[i]), "layer %d", i);
    try_layers(layers, count, 11, 4, 9);
    gm_random random = {.seed = 11, .stream = 2};
    try_geometry(layers[1], 70, &random);
    try_geometry(layers[3], 70, &random);
    gm_conv forward = {9, 10, 40, 9, 10, 2, 3, 7, 1, 1, 1, 3, GM_FLOAT32, false, false};
    for (int64_t N = 1; N < 20; N += 9) try_geometry(forward, N, &random);
}

/* A stride longer than the kernel: pixels that no output reads get a gradient of exactly zero. */
TEST(stride_beyond_kernel) {
    gm_random random = {.seed = 6, .stream = 1};
    gm_conv g = {.H = 8, .W = 9, .C = 5, .P = 3, .Q = 3, .K = 6, .R = 1, .S = 2, .stride_h = 3, .stride_w = 3};
    for (int64_t N = 1; N < 10; N += 4) try_geometry(g, N, &random);
}

/* Kernels of twice the stride, which are multiplied by fewer products: maps that are cut into squares of 2, of 3 and of both,
 * any padding, pixels that no tap reaches, channels about the vectors' widths, more squares than one block or one chunk of a
 * weight gradient holds, and images of more than one block. */
TEST(twice_the_stride) {
    static const gm_conv layers[] = {
        {8, 8, 16, 4, 4, 16, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {16, 16, 20, 8, 8, 33, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {18, 14, 17, 9, 7, 18, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {9, 12, 16, 9, 11, 40, 2, 2, 1, 1, 1, 0, GM_FLOAT32, false, false},
        {12, 9, 16, 5, 8, 16, 4, 2, 2, 1, 0, 0, GM_FLOAT32, false, false},
        {24, 18, 24, 8, 6, 16, 6, 6, 3, 3, 3, 2, GM_FLOAT32, false, false},
        {11, 10, 16, 4, 4, 18, 4, 4, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {6, 7, 17, 2, 2, 16, 4, 4, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {14, 10, 16, 7, 5, 65, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false},
        {8, 14, 70, 3, 6, 16, 4, 4, 2, 2, 0, 0, GM_FLOAT32, false, false},
        {18, 12, 16, 9, 5, 16, 4, 4, 2, 2, 2, 0, GM_FLOAT32, false, false},
    };
    const int count = (int)(sizeof layers / sizeof *layers);
    for (int i = 0; i < count; i++) CHECK(gm_conv_winograd_pays(&layers[i]), "layer %d", i);
    try_layers(layers, count, 7, 2, 9);
    gm_random random = {.seed = 7, .stream = 2};
    try_geometry(layers[0], 150, &random);
    gm_conv large = {33, 31, 16, 32, 30, 16, 2, 2, 1, 1, 0, 0, GM_FLOAT32, false, false};
    CHECK(gm_conv_winograd_pays(&large), "large");
    try_geometry(large, 3, &random);
}

/* An image is the same bits alone and in any place of a batch, as for all forms of a convolution but its sums over images. */
TEST(an_image_by_itself) {
    const gm_conv layers[] = {{33, 31, 16, 32, 30, 16, 2, 2, 1, 1, 0, 0, GM_FLOAT32, false, false},
                              {22, 14, 24, 10, 7, 40, 4, 4, 2, 2, 0, 1, GM_FLOAT32, false, false},
                              {10, 10, 24, 4, 4, 40, 4, 4, 2, 2, 0, 0, GM_FLOAT32, false, false}};
    enum { N = 37 };
    gm_random random = {.seed = 8, .stream = 2};
    for (int i = 0; i < (int)(sizeof layers / sizeof *layers); i++) {
        const gm_conv *g = &layers[i];
        int64_t image = g->H * g->W * g->C, map = g->P * g->Q * g->K;
        CHECK(gm_conv_winograd_pays(g), "layer %d", i);
        check_buffer w = check_normal(g->R * g->S * g->C * g->K, &random),
                     workspace = check_floats(gm_conv_workspace(g, N));
        check_buffer x = check_normal(N * image, &random), y = check_normal(N * map, &random);
        check_buffer all_x = check_floats(N * image), all_y = check_floats(N * map);
        check_buffer one_x = check_floats(image), one_y = check_floats(map);
        gm_conv_forward(g, N, x.values, w.values, all_y.values, NULL, workspace.values);
        gm_conv_backward_data(g, N, y.values, w.values, all_x.values, NULL, workspace.values);
        for (int64_t n = 0; n < N; n++) {
            gm_conv_forward(g, 1, x.values + n * image, w.values, one_y.values, NULL, workspace.values);
            gm_conv_backward_data(g, 1, y.values + n * map, w.values, one_x.values, NULL, workspace.values);
            CHECK(memcmp(one_y.values, all_y.values + n * map, (size_t)map * sizeof(float)) == 0, "layer %d, forward",
                  i);
            CHECK(memcmp(one_x.values, all_x.values + n * image, (size_t)image * sizeof(float)) == 0, "layer %d, data",
                  i);
        }
        check_buffer *all[] = {&w, &workspace, &x, &y, &all_x, &all_y, &one_x, &one_y};
        for (int k = 0; k < (int)(sizeof all / sizeof *all); k++) check_guards(all[k], "array"), check_free(all[k]);
    }
}

/* Dense layers and kernels of 1 x 1 of more lanes than one stretch or one block of the depth holds, with either side the
 * shared one, packed or read where it is. */
TEST(wide_products) {
    static const struct {
        int64_t side, C, K, N;
    } layers[] = {{1, 700, 300, 40}, {1, 300, 700, 37}, {1, 9, 1100, 1050}, {1, 1100, 9, 1050},  {1, 1030, 1040, 3},
                  {1, 520, 65, 12},  {12, 64, 64, 8},   {8, 48, 200, 9},    {1, 260, 300, 1024}, {1, 530, 784, 40}};
    gm_random random = {.seed = 8, .stream = 1};
    for (int i = 0; i < (int)(sizeof layers / sizeof *layers); i++) {
        int64_t side = layers[i].side;
        gm_conv g = {.H = side, .W = side, .P = side, .Q = side, .C = layers[i].C, .K = layers[i].K};
        g.R = g.S = g.stride_h = g.stride_w = 1;
        try_geometry(g, layers[i].N, &random);
    }
}

MAIN(CASE(tiny_images), CASE(few_channels), CASE(many_channels), CASE(many_images), CASE(known_layers), CASE(wide_maps),
     CASE(to_few_channels), CASE(stride_beyond_kernel), CASE(twice_the_stride), CASE(an_image_by_itself),
     CASE(wide_products))
