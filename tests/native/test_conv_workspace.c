/* A workspace holds what smaller sizes need: of a plan for 64 images, the last batch of an epoch may use 41. */
#include <stddef.h>

#include "check.h"
#include "kernels/conv.h"
#include "kernels/matrix.h"
#include "kernels/table.h"

static void try_batches(const gm_conv *g) {
    int64_t most = 0;
    for (int64_t N = 1; N <= 150; N++) {
        int64_t floats = gm_conv_workspace(g, N);
        CHECK(floats >= most, "%s, precision %d, pairs %d %d, image %dx%dx%d, map %dx%dx%d, kernel %dx%d: %d images",
              gm_isa_name(gm_kernels_isa()), (int)g->precision, g->image_pairs, g->map_pairs, (int)g->H, (int)g->W,
              (int)g->C, (int)g->P, (int)g->Q, (int)g->K, (int)g->R, (int)g->S, (int)N);
        most = floats;
    }
}

/* As they are stored: the arrays of either side, or both, in pairs. */
static void try_forms(gm_conv g) {
    for (int precision = GM_FLOAT32; precision <= GM_HIGH; precision++)
        for (int form = 0; form < 4; form++) {
            g.precision = (gm_precision)precision;
            g.image_pairs = g.map_pairs = false;
            bool image = form & 1, map = form & 2, takes = gm_conv_takes_pairs(&g);
            if ((image && !(takes && gm_channels_pair(g.C))) || (map && !(takes && gm_channels_pair(g.K)))) continue;
            g.image_pairs = image, g.map_pairs = map;
            try_batches(&g);
        }
}

static gm_conv random_geometry(gm_random *random, int64_t most_channels) {
    gm_conv g = {.H = check_between(random, 1, 32), .W = check_between(random, 1, 32)};
    g.C = check_between(random, 1, most_channels), g.K = check_between(random, 1, most_channels);
    g.R = check_between(random, 1, 7), g.S = check_between(random, 1, 7);
    g.stride_h = check_between(random, 1, 3), g.stride_w = check_between(random, 1, 3);
    g.pad_top = (g.R - 1) / 2, g.pad_left = (g.S - 1) / 2;
    g.P = (g.H - 1) / g.stride_h + 1, g.Q = (g.W - 1) / g.stride_w + 1;
    return g;
}

TEST(smaller_batches) {
    gm_random random = {.seed = 1, .stream = 1};
    for (int i = 0; i < 400; i++) {
        gm_conv g = random_geometry(&random, i % 3 ? 70 : 6);
        for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
            if (!gm_kernels_of((gm_isa)isa)) continue;
            CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
            try_forms(g);
        }
    }
}

/* Sides without bound ask for what the largest products do, and these for no less than smaller ones. */
TEST(sides_without_bound) {
    static const int64_t others[] = {1, 36, 64, 300, 448, 1024, 5000};
    enum { OTHERS = sizeof others / sizeof *others, LARGEST = 1 << 24 };
    for (int i = 0; i < OTHERS * OTHERS; i++) {
        int64_t a = others[i / OTHERS], b = others[i % OTHERS], rows = 0, depth = 0;
        for (int64_t size = 1; size <= LARGEST; size += 1 + size / 3) {
            int64_t as_rows = gm_matrix_workspace(size, a, b), as_depth = gm_matrix_workspace(a, b, size);
            CHECK(as_rows >= rows && as_depth >= depth, "%d beside %d and %d", (int)size, (int)a, (int)b);
            rows = as_rows, depth = as_depth;
        }
        CHECK(gm_matrix_workspace(INT64_MAX, a, b) == rows, "rows beside %d and %d", (int)a, (int)b);
        CHECK(gm_matrix_workspace(a, b, INT64_MAX) == depth, "depth of %d by %d", (int)a, (int)b);
    }
}

MAIN(CASE(smaller_batches), CASE(sides_without_bound))
