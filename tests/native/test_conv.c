/* The three products of a convolution against the sums that define them, in float64, over random geometries, of operands
 * as they are and rounded to bfloat16, in arrays of floats and in pairs. */
#include "conv_problem.h"
#include "kernels/conv_taps.h"

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

static void try_geometry(gm_conv g, int64_t N, gm_random *random) { try_geometry_by(try_products, g, N, random); }

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
     CASE(to_few_channels), CASE(stride_beyond_kernel), CASE(wide_products))
