/* A convolution whose image is made by a batch normalisation and nowhere written, against the same with that image and its
 * gradient in arrays: the products of conv_normalised.h, and networks that join the two layers against networks that end
 * between them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/conv_normalised.h"
#include "kernels/table.h"
#include "network/network.h"
#include "variants.h"

/* ---- The products ---- */

enum { CENTER, SCALE, SHIFT, A, B, C_TERM, VECTORS };

typedef struct problem {
    gm_conv g;
    int64_t N;
    gm_channels channels;
    gm_normalised image;
    gm_activation gate;
    check_buffer floats, x, dy, w, vector[VECTORS];
    char name[150];
} problem;

static int64_t image_size(const gm_conv *g) { return g->H * g->W * g->C; }
static int64_t map_size(const gm_conv *g) { return g->P * g->Q * g->K; }
static int64_t weight_count(const gm_conv *g) { return g->R * g->S * g->C * g->K; }

static gm_activation random_act(gm_random *random) {
    static const gm_activation acts[] = {{GM_LINEAR, 0}, {GM_LEAKY_RELU, 0}, {GM_LEAKY_RELU, 0.3f}};
    return acts[check_between(random, 0, 2)];
}

/* Of a kernel no smaller than the stride or smaller, padded or not, with rows and columns that no tap sees or with none. */
static gm_conv random_geometry(gm_random *random, bool large) {
    gm_conv g = {.C = large ? 32 : check_between(random, 1, 40), .K = check_between(random, 1, 4)};
    do {
        g.R = check_between(random, 1, 4), g.S = check_between(random, 1, 4);
        g.stride_h = check_between(random, 1, 4), g.stride_w = check_between(random, 1, 4);
    } while (ceil_div(g.R, g.stride_h) * ceil_div(g.S, g.stride_w) * g.K > 18);
    g.H = large ? 70 : check_between(random, g.R, 12), g.W = large ? 64 : check_between(random, g.S, 12);
    g.pad_top = check_between(random, 0, g.R - 1), g.pad_left = check_between(random, 0, g.S - 1);
    g.P = (g.H + g.pad_top - g.R) / g.stride_h + 1 + check_between(random, 0, 1);
    g.Q = (g.W + g.pad_left - g.S) / g.stride_w + 1;
    if ((g.P - 1) * g.stride_h - g.pad_top >= g.H) g.P--;
    return g;
}

static problem make_problem(gm_random *random, gm_precision precision, bool large) {
    problem p = {.g = random_geometry(random, large), .N = large ? 3 : check_between(random, 1, 19)};
    gm_conv *g = &p.g;
    g->precision = precision;
    bool pairs = precision == GM_BF16 && gm_conv_takes_pairs(g);
    p.image.in_pairs = pairs && gm_channels_pair(g->C) && check_between(random, 0, 1);
    g->image_pairs = pairs && gm_channels_pair(g->C) && check_between(random, 0, 1);
    p.channels = gm_channels_of(p.N * g->H * g->W, g->C);
    p.floats = check_normal(p.N * image_size(g), random);
    const gm_kernels *plain = gm_kernels_of(GM_ISA_PORTABLE);
    if (p.image.in_pairs) plain->bf16_round(p.floats.count, p.floats.values, p.floats.values);
    p.x = p.image.in_pairs ? check_floats(p.floats.count / 2) : check_copy(&p.floats);
    if (p.image.in_pairs) plain->bf16_pair_neighbours(GM_BF16_ROUNDED, p.floats.count, p.floats.values, p.x.values);
    p.dy = check_normal(p.N * map_size(g), random), p.w = check_normal(weight_count(g), random);
    for (int i = 0; i < VECTORS; i++) {
        p.vector[i] = check_normal(p.channels.width, random);
        gm_channels_repeat(&p.channels, p.vector[i].values);
    }
    p.image.act = random_act(random), p.gate = random_act(random);
    snprintf(p.name, sizeof p.name, "%d images %dx%dx%d, map %dx%dx%d, kernel %dx%d, strides %d %d, pad %d %d, %s%s%s",
             (int)p.N, (int)g->H, (int)g->W, (int)g->C, (int)g->P, (int)g->Q, (int)g->K, (int)g->R, (int)g->S,
             (int)g->stride_h, (int)g->stride_w, (int)g->pad_top, (int)g->pad_left,
             precision == GM_BF16   ? "bf16"
             : precision == GM_HIGH ? "high"
                                    : "float32",
             p.image.in_pairs ? ", x in pairs" : "", g->image_pairs ? ", image in pairs" : "");
    return p;
}

/* The pointers of the image, whose problem is not to be moved any more. */
static void link(problem *p) {
    p->image.x = p->x.values;
    p->image.center = p->vector[CENTER].values, p->image.scale = p->vector[SCALE].values;
    p->image.shift = p->vector[SHIFT].values;
}

static void free_problem(problem *p) {
    check_free(&p->floats), check_free(&p->x), check_free(&p->dy), check_free(&p->w);
    for (int i = 0; i < VECTORS; i++) check_free(&p->vector[i]);
}

/* What the calls make. */
typedef struct results {
    check_buffer y, dw, dx; /* dx: as floats */
    double sums[2][40];
} results;

static results make_results(const problem *p) {
    results r = {
        check_floats(p->N * map_size(&p->g)), check_floats(weight_count(&p->g)), check_copy(&p->floats), {{0}}};
    return r;
}

static void free_results(results *r) { check_free(&r->y), check_free(&r->dw), check_free(&r->dx); }

static gm_channel_terms terms_of(const problem *p) {
    return (gm_channel_terms){p->vector[CENTER].values, p->vector[A].values, p->vector[B].values,
                              p->vector[C_TERM].values};
}

/* With a workspace of exactly the promised size, and dx in place of x. */
static results run(const problem *p, bool add) {
    results r = make_results(p);
    check_buffer own = check_floats(round_up(gm_conv_normalised_workspace(&p->g, p->N), GM_LINE_FLOATS));
    check_buffer x = check_copy(&p->x);
    gm_normalised image = p->image;
    image.x = x.values;
    gm_epilogue epilogue = {.act = {GM_TANH, 0}};
    gm_channel_terms terms = terms_of(p);
    gm_conv_normalised_forward(&p->g, p->N, &image, p->w.values, r.y.values, &epilogue, own.values);
    for (int64_t i = 0; i < r.dw.count; i++) r.dw.values[i] = 1;
    gm_conv_normalised_sums(&p->g, p->N, &image, p->dy.values, p->w.values, r.sums[0], r.sums[1], add, r.dw.values,
                            own.values);
    gm_conv_normalised_blend(&p->g, p->N, &image, p->dy.values, p->w.values, &terms, p->gate, x.values, own.values);
    if (image.in_pairs)
        gm_kernels_of(GM_ISA_PORTABLE)->bf16_floats(r.dx.count, x.values, r.dx.values);
    else
        memcpy(r.dx.values, x.values, (size_t)r.dx.count * sizeof(float));
    check_free(&own), check_free(&x);
    return r;
}

/* By arrays of floats for the image and its gradient. In bf16 operands are rounded beforehand. */
static results run_apart(const problem *p, bool add) {
    results r = make_results(p);
    gm_conv g = p->g;
    g.precision = GM_FLOAT32, g.image_pairs = false;
    check_buffer own = check_floats(round_up(gm_conv_workspace(&g, p->N), GM_LINE_FLOATS));
    check_buffer sums = check_floats(gm_channels_workspace(p->channels.n / p->channels.C, p->channels.C));
    check_buffer image = check_floats(p->floats.count), rounded, d = check_floats(p->floats.count);
    check_buffer dy = check_copy(&p->dy), w = check_copy(&p->w);
    gm_channel_affine(&p->channels, p->floats.values, p->image.center, p->image.scale, p->image.shift, p->image.act,
                      image.values);
    rounded = check_copy(&image);
    if (p->g.precision == GM_BF16) {
        const gm_kernels *plain = gm_kernels_of(GM_ISA_PORTABLE);
        plain->bf16_round(image.count, image.values, rounded.values);
        plain->bf16_round(dy.count, dy.values, dy.values), plain->bf16_round(w.count, w.values, w.values);
    }
    gm_epilogue epilogue = {.act = {GM_TANH, 0}}, gated = {.gate = image.values, .gate_act = p->image.act};
    gm_channel_terms terms = terms_of(p);
    gm_conv_forward(&g, p->N, rounded.values, w.values, r.y.values, &epilogue, own.values);
    for (int64_t i = 0; i < r.dw.count; i++) r.dw.values[i] = 1;
    gm_conv_backward_weights(&g, p->N, rounded.values, dy.values, add, r.dw.values, own.values);
    gm_conv_backward_data(&g, p->N, dy.values, w.values, d.values, &gated, own.values);
    gm_channel_products(&p->channels, d.values, p->floats.values, p->image.center, r.sums[0], r.sums[1], sums.values);
    gm_channel_blend(&p->channels, d.values, p->floats.values, &terms, p->gate, r.dx.values);
    check_free(&own), check_free(&sums), check_free(&image), check_free(&rounded), check_free(&d);
    check_free(&dy), check_free(&w);
    return r;
}

static void compare_arrays(const check_buffer *got, const check_buffer *wanted, double relative, double absolute,
                           const char *name) {
    for (int64_t i = 0; i < wanted->count; i++) {
        double value = (double)wanted->values[i];
        check_near((double)got->values[i], value, absolute + relative * fabs(value), name, i);
    }
}

/* Within the roundings of sums of so many terms; of bfloat16, those of what is stored, and of operands that float's last bit
 * rounds to one side or the other. */
static void compare(const problem *p, const results *got, const results *wanted) {
    bool bfloat = p->g.precision == GM_BF16;
    double places = (double)(p->N * p->g.P * p->g.Q), pixels = (double)(p->N * p->g.H * p->g.W);
    compare_arrays(&got->y, &wanted->y, 0, bfloat ? 2e-2 : 1e-4, p->name);
    compare_arrays(&got->dw, &wanted->dw, 1e-5, (bfloat ? 5e-4 : 2e-6) * places + 1e-3, p->name);
    compare_arrays(&got->dx, &wanted->dx, p->image.in_pairs ? 0x1p-8 : 1e-5, 2e-4, p->name);
    for (int half = 0; half < 2; half++)
        for (int64_t c = 0; c < p->g.C; c++)
            check_near(got->sums[half][c], wanted->sums[half][c], 1e-5 * pixels + 1e-3, p->name, c);
}

static bool same_bits(const results *a, const results *b) {
    return memcmp(a->y.values, b->y.values, (size_t)a->y.count * 4) == 0 &&
           memcmp(a->dw.values, b->dw.values, (size_t)a->dw.count * 4) == 0 &&
           memcmp(a->dx.values, b->dx.values, (size_t)a->dx.count * 4) == 0 &&
           memcmp(a->sums, b->sums, sizeof a->sums) == 0;
}

static void try_problem(gm_random *random, gm_precision precision, bool large) {
    enum { MANY = GM_SLOTS + 1 };
    problem p = make_problem(random, precision, large);
    link(&p);
    bool add = check_between(random, 0, 1);
    results wanted = run_apart(&p, add);
    gm_set_num_threads(1);
    results got = run(&p, add);
    compare(&p, &got, &wanted);
    for (int threads = 2; threads <= MANY; threads += MANY - 2) {
        gm_set_num_threads(threads);
        results other = run(&p, add);
        CHECK(same_bits(&got, &other), "%d threads: %s", threads, p.name);
        free_results(&other);
    }
    free_results(&got), free_results(&wanted), free_problem(&p);
}

static void try_problems(int count, bool large) {
    gm_random random = {.seed = 11, .stream = large};
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (!gm_kernels_of((gm_isa)isa)) continue;
        CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
        for (int i = 0; i < count; i++)
            for (int precision = GM_FLOAT32; precision <= GM_HIGH; precision++)
                try_problem(&random, (gm_precision)precision, large);
    }
}

TEST(products) { try_problems(60, false); }
TEST(products_in_bands) { try_problems(2, true); }

/* ---- Networks ---- */

/* The normalisation first or behind a layer, by whose activation it gates; with an activation behind it or none. */
enum { N = 3, ROWS = 32, COLUMNS = 64, CHANNELS = 16, MOST = 5 };
static const gm_shape INPUT = {3, {ROWS, COLUMNS, CHANNELS}};

static const gm_layer_config GROWING = {.kind = "Conv2D",
                                        .filters = CHANNELS,
                                        .kernel_size = {3, 3},
                                        .strides = {1, 1},
                                        .padding = GM_PADDING_SAME,
                                        .use_bias = true,
                                        .kernel_initializer = GM_INIT_HE_NORMAL};
static const gm_layer_config LEAKY = {.kind = "LeakyReLU", .negative_slope = 0.2f};
static const gm_layer_config NORMAL = {.kind = "BatchNorm", .momentum = 0.1f, .epsilon = 1e-3f};
static const gm_layer_config RELU = {.kind = "ReLU"};

static gm_layer_config last_convolution(bool spectral_norm) {
    return (gm_layer_config){.kind = "Conv2D",
                             .filters = 2,
                             .kernel_size = {3, 3},
                             .strides = {2, 2},
                             .padding = GM_PADDING_SAME,
                             .use_bias = true,
                             .spectral_norm = spectral_norm,
                             .kernel_initializer = GM_INIT_HE_NORMAL};
}

static gm_network *make_network(const gm_layer_config *layers, int count, const gm_shape *input, uint64_t stream) {
    gm_error error = {0};
    gm_network *network;
    check_succeed(gm_network_create(layers, count, input, 5, stream, &network, &error), &error);
    check_succeed(gm_network_reserve(network, N, &error), &error);
    return network;
}

/* The layers as one network, and cut before the convolution. */
typedef struct networks {
    gm_network *one, *first, *second;
    int norm, conv; /* their indices in the one */
} networks;

static void copy_weights(const networks *n) {
    for (int i = 0; i <= n->conv; i++) {
        const gm_layer *from = gm_network_layer(n->one, i);
        const gm_layer *to = i < n->conv ? gm_network_layer(n->first, i) : gm_network_layer(n->second, 0);
        for (int k = 0; k < from->parameter_count; k++)
            memcpy(to->parameter[k].value, from->parameter[k].value, (size_t)from->parameter[k].count * sizeof(float));
    }
}

static networks make_networks(bool behind_a_layer, bool active, bool spectral_norm) {
    gm_layer_config layers[MOST];
    networks n = {.norm = 0};
    int count = 0;
    if (behind_a_layer) layers[count++] = GROWING, layers[count++] = LEAKY;
    n.norm = count, layers[count++] = NORMAL;
    if (active) layers[count++] = RELU;
    n.conv = count, layers[count++] = last_convolution(spectral_norm);
    n.one = make_network(layers, count, &INPUT, 1);
    n.first = make_network(layers, n.conv, &INPUT, 2);
    n.second = make_network(layers + n.conv, 1, &INPUT, 3);
    for (int64_t c = 0; c < CHANNELS; c++) { /* other than the ones and zeros they begin as */
        const gm_layer *norm = gm_network_layer(n.one, n.norm);
        for (int k = 0; k < 4; k++) norm->parameter[k].value[c] += 0.05f * (float)(c % 7) - (k == 3 ? 0 : 0.15f);
    }
    copy_weights(&n);
    return n;
}

static void free_networks(networks *n) {
    gm_network_free(n->one), gm_network_free(n->first), gm_network_free(n->second);
}

static void near_arrays(int64_t n, const float *got, const float *wanted, double bound, const char *name) {
    float largest = gm_peak(n, wanted);
    for (int64_t i = 0; i < n; i++) check_near((double)got[i], (double)wanted[i], bound * (double)largest, name, i);
}

static void compare_gradients(const networks *n) {
    for (int i = 0; i <= n->conv; i++) {
        const gm_layer *one = gm_network_layer(n->one, i);
        const gm_layer *apart = i < n->conv ? gm_network_layer(n->first, i) : gm_network_layer(n->second, 0);
        for (int k = 0; k < one->parameter_count; k++)
            if (one->parameter[k].trainable)
                near_arrays(one->parameter[k].count, one->parameter[k].gradient, apart->parameter[k].gradient, 1e-4,
                            one->parameter[k].name);
    }
}

static const float *forward_apart(const networks *n, const float *x, unsigned flags) {
    return gm_network_forward(n->second, N, gm_network_forward(n->first, N, x, flags), flags);
}

static const float *backward_apart(const networks *n, float *dy, unsigned wants) {
    float *between = gm_network_backward(n->second, N, dy, wants | GM_WANT_INPUT);
    return gm_network_backward(n->first, N, between, wants);
}

static int64_t output_size(const networks *n) { return N * gm_network_layer(n->one, n->conv)->out_size; }

/* A training pass of both, which may add to the gradients of the one before. */
static void try_pass(const networks *n, gm_random *random, unsigned wants) {
    check_buffer x = check_normal(N * ROWS * COLUMNS * CHANNELS, random), dy = check_normal(output_size(n), random);
    check_buffer other = check_copy(&dy);
    float *input = gm_network_input(n->one);
    memcpy(input, x.values, (size_t)x.count * sizeof(float));
    const float *y = gm_network_forward(n->one, N, input, GM_TRAINING);
    near_arrays(dy.count, y, forward_apart(n, x.values, GM_TRAINING), 1e-5, "output");
    const float *dx = gm_network_backward(n->one, N, dy.values, wants),
                *dx_apart = backward_apart(n, other.values, wants);
    CHECK((dx != NULL) == ((wants & GM_WANT_INPUT) != 0), "input gradient");
    if (dx) near_arrays(x.count, dx, dx_apart, 1e-4, "input gradient");
    CHECK(memcmp(input, x.values, (size_t)x.count * sizeof(float)) == 0, "the input was overwritten");
    compare_gradients(n);
    gm_network_commit(n->one), gm_network_commit(n->first), gm_network_commit(n->second);
    check_free(&x), check_free(&dy), check_free(&other);
}

static void try_networks(bool behind_a_layer, bool active, bool spectral_norm) {
    gm_random random = {.seed = 7, .stream = 4};
    networks n = make_networks(behind_a_layer, active, spectral_norm);
    gm_network_gradients(n.one), gm_network_gradients(n.first), gm_network_gradients(n.second);
    try_pass(&n, &random, GM_WANT_PARAMETERS | GM_WANT_INPUT);
    try_pass(&n, &random, GM_WANT_PARAMETERS);
    try_pass(&n, &random, GM_WANT_PARAMETERS | GM_ADD);
    try_pass(&n, &random, GM_WANT_INPUT); /* and the gradients as they were */
    check_buffer x =
        check_normal(N * ROWS * COLUMNS * CHANNELS, &random); /* by the moving statistics of these passes */
    const float *y = gm_network_forward(n.one, N, x.values, 0);
    near_arrays(output_size(&n), y, forward_apart(&n, x.values, 0), 1e-5, "inference");
    CHECK(gm_network_meter(n.one, n.norm, GM_FORWARD_PASS)->passes == 0, "the layers are not joined");
    CHECK(gm_network_meter(n.first, n.norm, GM_FORWARD_PASS)->passes == 5, "the others are");
    check_free(&x), free_networks(&n);
}

TEST(networks_that_join_them) {
    for (int i = 0; i < 8; i++) try_networks(i & 1, i & 2, i & 4);
}

/* Nothing between the layers takes memory, but for the bands of each thread. */
TEST(what_lies_between_has_no_place) {
    enum { MANY = 64, COUNT = 7 };
    const gm_layer_config layers[COUNT] = {GROWING, LEAKY, GROWING, LEAKY, NORMAL, RELU, last_convolution(false)};
    gm_network *all = make_network(layers, COUNT, &INPUT, 1), *part = make_network(layers, COUNT - 1, &INPUT, 1);
    gm_error error = {0};
    check_succeed(gm_network_reserve(all, MANY, &error), &error);
    check_succeed(gm_network_reserve(part, MANY, &error), &error);
    int64_t images = MANY * ROWS * COLUMNS * CHANNELS * (int64_t)sizeof(float);
    int64_t one = gm_network_plan_bytes(all), first = gm_network_plan_bytes(part);
    CHECK(one + images / 2 < first, "%d bytes for all, %d up to the activation", (int)one, (int)first);
    gm_network_free(all), gm_network_free(part);
}

MAIN(CASE(products), CASE(products_in_bands), CASE(networks_that_join_them), CASE(what_lies_between_has_no_place))
