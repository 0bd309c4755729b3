/* Convolutions by fewer products, as conv_winograd.c cuts them, against the sums that define them. */
#include "conv_problem.h"

/* Values of squares, and taps, are made of each other's products: their errors are those of the largest sum. */
static void level(const sums *s, int64_t count) {
    double size = 0;
    int64_t terms = 0;
    for (int64_t i = 0; i < count; i++)
        size = fmax(size, s->size[i]), terms = terms > s->terms[i] ? terms : s->terms[i];
    for (int64_t i = 0; i < count; i++) s->size[i] = size, s->terms[i] = terms;
}

/* The same of float32 by squares, where the weights' gradient is always added. */
static void try_squares(problem *p) {
    static const gm_precision exact[] = {GM_FLOAT32};
    const struct {
        int product;
        int64_t size;
        visitor visit;
    } each[] = {{0, p->maps, visit_forward}, {1, p->images, visit_data}, {3, p->weights, visit_weights}};
    p->by_squares = true;
    make_seen(p, false);
    for (int i = 0; i < (int)(sizeof each / sizeof *each); i++) {
        sums s = make_sums(each[i].size);
        each_product(p, &s, each[i].visit);
        level(&s, each[i].size);
        try_product(p, each[i].product, &s, 1, exact);
        free_sums(&s);
    }
    for (int k = 0; k < 3; k++) check_free(&p->seen[k]);
}

/* Kernels that are cut into strands of 1 to 3 taps, and maps into squares of 1 to 3 places, whether that pays or not: random
 * ones, pixels that no tap reaches among them; more squares than a chunk of a weight gradient holds; images of more than one
 * block; and strands of which only some are multiplied at a time. */
TEST(by_squares) {
    gm_random random = {.seed = 7, .stream = 2};
    for (int found = 0; found < 40;) {
        gm_conv g = random_geometry(&random, found % 3 ? 9 : 17, found % 2 ? 8 : 40);
        int64_t N = check_between(&random, 1, 5);
        if (!gm_conv_winograd_fits(&g)) continue;
        g.H += check_between(&random, 0, 1), g.W += check_between(&random, 0, 1);
        try_geometry_by(try_squares, g, N, &random);
        found++;
    }
    gm_conv small = {8, 8, 5, 4, 4, 7, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false};
    try_geometry_by(try_squares, small, 150, &random);
    gm_conv large = {44, 41, 3, 44, 40, 5, 3, 2, 1, 1, 1, 0, GM_FLOAT32, false, false};
    try_geometry_by(try_squares, large, 3, &random);
    gm_conv by_phases = {37, 33, 5, 20, 18, 4, 5, 4, 2, 2, 2, 2, GM_FLOAT32, false, false};
    for (int64_t N = 1; N < 22; N += 20) try_geometry_by(try_squares, by_phases, N, &random);
    gm_conv in_turns = {10, 10, 128, 5, 5, 136, 4, 4, 2, 2, 1, 1, GM_FLOAT32, false, false};
    for (int64_t N = 1; N < 4; N++) try_geometry_by(try_squares, in_turns, N, &random);
}

/* Which kernels and maps it is for: channels enough, and squares that are not mostly padding. */
TEST(where_squares_pay) {
    static const struct {
        int64_t image, C, map, K, kernel, stride, pad;
        bool products, weights;
    } layers[] = {
        {28, 128, 14, 128, 4, 2, 1, true, true}, {14, 138, 7, 128, 4, 2, 1, true, true},
        {8, 256, 4, 512, 4, 2, 1, true, true},   {14, 64, 7, 128, 5, 2, 1, true, true},
        {14, 64, 14, 64, 5, 1, 2, true, true},   {16, 64, 16, 64, 3, 1, 1, true, true},
        {14, 32, 14, 64, 3, 1, 1, false, false}, {28, 16, 28, 16, 3, 1, 1, false, false},
        {47, 32, 24, 32, 3, 2, 1, false, false}, {4, 256, 2, 512, 5, 2, 1, false, false},
        {28, 128, 28, 1, 7, 1, 3, false, false}, {16, 64, 16, 64, 1, 1, 0, false, false},
        {1, 64, 1, 64, 1, 1, 0, false, false},   {6, 512, 1, 512, 6, 1, 0, false, false},
        {7, 128, 7, 256, 5, 1, 2, false, true},  {14, 64, 7, 128, 3, 2, 0, false, true},
    };
    for (int i = 0; i < (int)(sizeof layers / sizeof *layers); i++) {
        int64_t H = layers[i].image, P = layers[i].map, R = layers[i].kernel, s = layers[i].stride, pad = layers[i].pad;
        gm_conv g = {H, H, layers[i].C, P, P, layers[i].K, R, R, s, s, pad, pad, GM_FLOAT32, false, false};
        CHECK(gm_conv_winograd_pays(&g) == layers[i].products, "layer %d", i);
        CHECK(gm_conv_winograd_weights_pay(&g) == layers[i].weights, "layer %d: weights", i);
    }
}

/* An image is the same bits alone and in any place of a batch, as for all forms of a convolution but its sums over images. */
TEST(an_image_by_itself) {
    const gm_conv layers[] = {{33, 31, 64, 32, 30, 64, 2, 2, 1, 1, 0, 0, GM_FLOAT32, false, false},
                              {16, 12, 64, 16, 12, 72, 5, 5, 1, 1, 2, 2, GM_FLOAT32, false, false},
                              {15, 14, 96, 7, 7, 70, 5, 4, 2, 2, 1, 1, GM_FLOAT32, false, false}};
    enum { N = 21 };
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
        for (int64_t n = 0; n < N; n += 5) {
            gm_conv_forward(g, 1, x.values + n * image, w.values, one_y.values, NULL, workspace.values);
            gm_conv_backward_data(g, 1, y.values + n * map, w.values, one_x.values, NULL, workspace.values);
            CHECK(memcmp(one_y.values, all_y.values + n * map, (size_t)map * sizeof(float)) == 0, "layer %d: y", i);
            CHECK(memcmp(one_x.values, all_x.values + n * image, (size_t)image * sizeof(float)) == 0, "layer %d: dx",
                  i);
        }
        check_buffer *all[] = {&w, &workspace, &x, &y, &all_x, &all_y, &one_x, &one_y};
        for (int k = 0; k < (int)(sizeof all / sizeof *all); k++) check_guards(all[k], "array"), check_free(all[k]);
    }
}

MAIN(CASE(by_squares), CASE(where_squares_pay), CASE(an_image_by_itself))
