/* The three products of a convolution against the sums that define them, in float64: a random problem of a geometry, and what
 * holds a product of it against its sums. For the tests that include it. */
#ifndef CONV_PROBLEM_H
#define CONV_PROBLEM_H

#include "kernels/conv.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "check.h"
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
    bool by_squares; /* as conv_winograd.c multiplies, whether it pays or not */
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

typedef void (*product)(const problem *p, float *out, float *workspace);
static void weights_added(const problem *p, float *out, float *workspace);

static int64_t workspace_of(const problem *p, product compute) {
    if (!p->by_squares) return gm_conv_workspace(&p->g, p->N);
    return compute == weights_added ? gm_conv_winograd_weights_workspace(&p->g) : gm_conv_winograd_workspace(&p->g);
}

/* Runs the same product with one thread, and with more than there are slots past the caches and over its gate: the same bits.
 * Workspace of exactly the promised size. */
static check_buffer run(const problem *p, const char *name, int64_t count, product compute) {
    check_buffer first = {0}, workspace = check_floats(workspace_of(p, compute));
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
    if (!p->over_gates || p->by_squares || !e.gate || !straight || !gm_conv_gates_in_place(&p->g, adjoint, e.gate_act))
        return e;
    memcpy(out, e.gate, (size_t)words * sizeof *out);
    e.gate = out;
    laid_over++;
    return e;
}
static void forward(const problem *p, float *out, float *workspace) {
    gm_epilogue e = epilogue_of(p, false, out);
    if (p->by_squares)
        gm_conv_winograd(&p->g, false, p->N, p->image.values, p->w.values, out, &e, workspace);
    else
        gm_conv_forward(&p->g, p->N, p->image.values, p->w.values, out, &e, workspace);
}
static void data(const problem *p, float *out, float *workspace) {
    gm_epilogue e = epilogue_of(p, true, out);
    if (p->by_squares)
        gm_conv_winograd(&p->g, true, p->N, p->map.values, p->w.values, out, &e, workspace);
    else
        gm_conv_backward_data(&p->g, p->N, p->map.values, p->w.values, out, &e, workspace);
}

/* Of the gradient of the weights, which is added to what is there, or takes its place. */
static const float THERE = 0.25f;
static void weights_of(const problem *p, bool add, float *out, float *workspace) {
    for (int64_t i = 0; i < p->weights; i++) out[i] = THERE;
    if (p->by_squares)
        gm_conv_winograd_weights(&p->g, p->N, p->image.values, p->map.values, out, workspace);
    else
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

static void try_geometry_by(void (*try_all)(problem *), gm_conv g, int64_t N, gm_random *random) {
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
    try_all(&p);
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

#endif
