/* Networks of wide layers: updates by gradients that are kept as their factors have the bits of those that are written, and
 * whoever asks finds them; pieces of inference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "check.h"
#include "kernels/conv.h"
#include "kernels/table.h"
#include "network/network.h"

enum { IN = 260, WIDE = 4100, OUT = 3, N = 5, STEPS = 3 };

#define DENSE(u)                                                                                                       \
    { .kind = "Dense", .units = (u), .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM }

/* The kernels of the first two layers are kept; between them and behind them are gradients that are written. */
static const gm_layer_config LAYERS[] = {
    DENSE(WIDE), {.kind = "LeakyReLU", .negative_slope = 0.2f}, DENSE(IN), {.kind = "Tanh"}, DENSE(OUT)};

static gm_network *make_network(gm_precision precision) {
    enum { COUNT = sizeof LAYERS / sizeof *LAYERS };
    gm_layer_config layers[COUNT];
    gm_error error = {0};
    gm_network *network;
    const gm_shape input = {1, {IN}};
    memcpy(layers, LAYERS, sizeof layers);
    for (int i = 0; i < COUNT; i++) layers[i].precision = precision;
    check_succeed(gm_network_create(layers, COUNT, &input, 3, 0, &network, &error), &error);
    check_succeed(gm_network_reserve(network, N, &error), &error);
    return network;
}

static gm_optimizer *make_optimizer(gm_optimizer_kind kind, const gm_network *network) {
    gm_error error = {0};
    gm_optimizer *optimizer;
    const gm_optimizer_config config = {kind, 1e-3f, 0.9f, 0.999f, 0.9f, 0.5f, 1e-7f};
    check_succeed(gm_optimizer_create(&config, gm_network_trainable(network), &optimizer, &error), &error);
    return optimizer;
}

/* A forward and a backward pass of `count` samples; the signal that goes in backward has this size. */
static void pass(gm_network *network, int64_t count, float size, unsigned wants) {
    gm_random random = {.seed = 4, .stream = 1};
    check_buffer x = check_normal(count * IN, &random), dy = check_normal(count * OUT, &random);
    for (int64_t i = 0; i < dy.count; i++) dy.values[i] *= size;
    gm_network_forward(network, count, x.values, GM_TRAINING);
    gm_network_backward(network, count, dy.values, wants);
    check_free(&x);
    check_free(&dy);
}

static const unsigned update_next = GM_WANT_INPUT | GM_WANT_PARAMETERS | GM_UPDATE_NEXT;

static check_buffer copy_of(const float *values, int64_t count) {
    check_buffer copy = check_floats(count);
    memcpy(copy.values, values, (size_t)count * sizeof *values);
    return copy;
}

/* The parameters after a few steps with full and short batches. */
static check_buffer train(gm_optimizer_kind kind, gm_precision precision, bool shown) {
    gm_network *network = make_network(precision);
    gm_optimizer *optimizer = make_optimizer(kind, network);
    if (shown) gm_network_gradients(network);
    for (int i = 0; i < STEPS; i++) {
        pass(network, i % 2 ? N - 2 : N, 1.0f, update_next);
        CHECK(gm_network_gradient_peak(network) <= GM_MAX_GRADIENT, "step %d", i);
        gm_network_update(network, optimizer);
    }
    check_buffer parameters = copy_of(gm_network_parameters(network), gm_network_trainable(network));
    gm_optimizer_free(optimizer);
    gm_network_free(network);
    return parameters;
}

static bool same_bits(const check_buffer *a, const float *b) {
    return memcmp(a->values, b, (size_t)a->count * sizeof *b) == 0;
}

TEST(updates_have_the_bits_of_written_gradients) {
    static const gm_optimizer_kind kinds[] = {GM_ADAM, GM_RMSPROP, GM_SGD};
    static const gm_precision precisions[] = {GM_FLOAT32, GM_BF16, GM_HIGH};
    for (int k = 0; k < 3; k++) {
        check_buffer written = train(kinds[k], precisions[k], true);
        for (int threads = 1; threads <= 3; threads++) {
            gm_set_num_threads(threads);
            check_buffer kept = train(kinds[k], precisions[k], false);
            CHECK(same_bits(&kept, written.values), "optimizer %d, %d threads", k, threads);
            check_free(&kept);
        }
        check_free(&written);
    }
}

/* Where the gradient of a layer's kernel would be written. */
static const float *written_kernel(const gm_network *network, int layer) {
    return gm_network_layer(network, layer)->parameter[0].gradient;
}

TEST(gradients_are_kept_where_that_pays) {
    gm_network *network = make_network(GM_FLOAT32);
    pass(network, N, 1.0f, update_next);
    CHECK(written_kernel(network, 0)[0] == 0 && written_kernel(network, 2)[0] == 0, "wide ones are written");
    CHECK(written_kernel(network, 4)[0] != 0, "a narrow one is not");
    pass(network, N, 1.0f, GM_WANT_PARAMETERS);
    CHECK(written_kernel(network, 0)[0] != 0, "without an update next they are not");
    gm_network_free(network);
}

/* Whenever they are asked for: also after the next forward pass, after a larger reserve, and added to. */
TEST(gradients_are_there_when_asked_for) {
    gm_error error = {0};
    gm_network *written = make_network(GM_FLOAT32), *kept = make_network(GM_FLOAT32);
    gm_network_gradients(written);
    pass(written, N, 1.0f, update_next);
    pass(kept, N, 1.0f, update_next);
    check_buffer once = copy_of(gm_network_gradients(written), gm_network_trainable(written));
    check_buffer x = check_floats(2 * N * IN);
    memset(x.values, 0, (size_t)x.count * sizeof(float));
    gm_network_forward(kept, N, x.values, 0);
    check_succeed(gm_network_reserve(kept, 2 * N, &error), &error);
    gm_network_forward(kept, 2 * N, x.values, 0);
    CHECK(same_bits(&once, gm_network_gradients(kept)), "a forward pass and a larger plan lose them");
    gm_network_free(kept);

    kept = make_network(GM_FLOAT32);
    pass(kept, N, 1.0f, update_next);
    pass(written, N, 1.0f, GM_WANT_PARAMETERS | GM_ADD);
    pass(kept, N, 1.0f, GM_WANT_PARAMETERS | GM_ADD);
    check_buffer twice = copy_of(gm_network_gradients(written), gm_network_trainable(written));
    CHECK(same_bits(&twice, gm_network_gradients(kept)), "what is added to them is lost");
    CHECK(!same_bits(&once, twice.values), "adding changed nothing");
    check_buffer *all[] = {&once, &twice, &x};
    for (int i = 0; i < 3; i++) check_free(all[i]);
    gm_network_free(kept);
    gm_network_free(written);
}

/* Where the bound says nothing they are looked at: large ones, and such as are no numbers. */
TEST(peak) {
    static const float sizes[] = {1.0f, 3e16f, 1e25f, INFINITY, NAN};
    for (int i = 0; i < 5; i++) {
        gm_network *written = make_network(GM_FLOAT32), *kept = make_network(GM_FLOAT32);
        gm_network_gradients(written);
        pass(written, N, sizes[i], update_next);
        pass(kept, N, sizes[i], update_next);
        float exact = gm_network_gradient_peak(written), peak = gm_network_gradient_peak(kept);
        bool passes = exact <= GM_MAX_GRADIENT;
        CHECK(passes == (i < 2), "size %g: peak %g", (double)sizes[i], (double)exact);
        CHECK(passes ? peak >= exact && peak <= GM_MAX_GRADIENT : peak == exact, "size %g: %g for %g", (double)sizes[i],
              (double)peak, (double)exact);
        gm_network_free(written);
        gm_network_free(kept);
    }
}

TEST(inference_goes_in_pieces_by_the_weights) {
    static const gm_layer_config narrow[] = {DENSE(40)};
    const gm_shape input = {1, {IN}};
    gm_error error = {0};
    gm_network *wide = make_network(GM_FLOAT32), *other;
    check_succeed(gm_network_create(narrow, 1, &input, 3, 0, &other, &error), &error);
    int64_t outputs = WIDE + IN + OUT + 1;
    CHECK(gm_network_piece(wide, 1000) == gm_network_trainable(wide) / outputs, "%d",
          (int)gm_network_piece(wide, 1000));
    CHECK(gm_network_piece(wide, 7) == 7 && gm_network_piece(other, 7) == 7, "fewer than a piece");
    CHECK(gm_network_piece(other, 1000) >= 128 && gm_network_piece(other, 1000) <= 512, "bounds");
    gm_network_free(wide);
    gm_network_free(other);
}

/* ---- Weights' gradients that are taken ---- */

typedef struct matrix {
    float *values;
    int64_t columns;
} matrix;

static void put_row(void *context, int64_t row, int64_t column, int64_t columns, const float *values) {
    const matrix *out = context;
    for (int64_t i = 0; i < columns; i++) {
        float *to = out->values + row * out->columns + column + i;
        CHECK(isnan(*to), "row %d, column %d twice", (int)row, (int)(column + i));
        *to = values[i];
    }
}

TEST(taken_rows_are_those_of_the_gradient) {
    static const int64_t sizes[][3] = {{1, 1500, 700}, {512, 70, 1100}, {300, 1100, 65}, {37, 600, 600}, {64, 5, 2000}};
    static const gm_precision precisions[] = {GM_FLOAT32, GM_BF16, GM_HIGH};
    gm_random random = {.seed = 5, .stream = 1};
    for (int i = 0; i < 5; i++)
        for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
            if (!gm_kernels_of((gm_isa)isa)) continue;
            CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
            int64_t batch = sizes[i][0], C = sizes[i][1], K = sizes[i][2];
            gm_conv g = gm_conv_of_pixels(C, K);
            g.precision = precisions[(i + isa) % 3];
            CHECK(gm_conv_gives_weights(&g), "%d to %d", (int)C, (int)K);
            check_buffer x = check_normal(batch * C, &random), dy = check_normal(batch * K, &random);
            check_buffer dw = check_floats(C * K), taken = check_floats(C * K);
            check_buffer workspace = check_floats(gm_conv_workspace(&g, batch));
            gm_conv_backward_weights(&g, batch, x.values, dy.values, false, dw.values, workspace.values);
            matrix out = {taken.values, K};
            gm_taker taker = {put_row, &out, {dw.values, taken.values}};
            gm_conv_take_weights(&g, batch, x.values, dy.values, &taker, workspace.values);
            CHECK(same_bits(&dw, taken.values), "%d x %d x %d, %s", (int)batch, (int)C, (int)K,
                  gm_isa_name((gm_isa)isa));
            check_guards(&workspace, "workspace");
            check_buffer *all[] = {&x, &dy, &dw, &taken, &workspace};
            for (int k = 0; k < 5; k++) check_free(all[k]);
        }
}

/* Kernels of whole lines are read in place where they begin with one, and packed elsewhere. */
TEST(where_a_kernel_begins_changes_no_bit) {
    enum { BATCH = 61, C = 700, K = 784 };
    gm_random random = {.seed = 6, .stream = 1};
    const gm_conv g = gm_conv_of_pixels(C, K);
    check_buffer x = check_normal(BATCH * C, &random), w = check_normal(C * K, &random),
                 moved = check_floats(C * K + 5);
    CHECK((uintptr_t)w.values % 64 == 0 && (uintptr_t)moved.values % 64 != 0, "both begin alike");
    memcpy(moved.values, w.values, (size_t)w.count * sizeof(float));
    for (int isa = 0; isa < GM_ISA_COUNT; isa++) {
        if (!gm_kernels_of((gm_isa)isa)) continue;
        CHECK(gm_kernels_select((gm_isa)isa, NULL) == GM_OK, "%s", gm_isa_name((gm_isa)isa));
        check_buffer y = check_floats(BATCH * K), packed = check_floats(BATCH * K);
        check_buffer workspace = check_floats(gm_conv_workspace(&g, BATCH));
        gm_conv_forward(&g, BATCH, x.values, w.values, y.values, NULL, workspace.values);
        gm_conv_forward(&g, BATCH, x.values, moved.values, packed.values, NULL, workspace.values);
        CHECK(same_bits(&y, packed.values), "%s", gm_isa_name((gm_isa)isa));
        check_buffer *all[] = {&y, &packed, &workspace};
        for (int k = 0; k < 3; k++) check_free(all[k]);
    }
    check_free(&x), check_free(&w), check_free(&moved);
}

/* And that of a network's largest layer does. */
TEST(the_largest_kernel_begins_with_a_line) {
    gm_network *network = make_network(GM_FLOAT32);
    const gm_parameter *first = &gm_network_layer(network, 0)->parameter[0];
    const gm_parameter *second = &gm_network_layer(network, 2)->parameter[0];
    CHECK(second->count == first->count && (uintptr_t)first->value % 64 == 0, "of two the first");
    gm_network_free(network);
    const gm_layer_config layers[] = {DENSE(3), DENSE(WIDE)};
    gm_error error = {0};
    check_succeed(gm_network_create(layers, 2, &(gm_shape){1, {OUT}}, 3, 0, &network, &error), &error);
    CHECK((uintptr_t)gm_network_layer(network, 1)->parameter[0].value % 64 == 0, "behind twelve others");
    CHECK((uintptr_t)gm_network_parameters(network) % 64 != 0, "these begin with a line too");
    gm_network_free(network);
}

MAIN(CASE(updates_have_the_bits_of_written_gradients), CASE(gradients_are_kept_where_that_pays),
     CASE(gradients_are_there_when_asked_for), CASE(peak), CASE(inference_goes_in_pieces_by_the_weights),
     CASE(taken_rows_are_those_of_the_gradient), CASE(where_a_kernel_begins_changes_no_bit),
     CASE(the_largest_kernel_begins_with_a_line))
