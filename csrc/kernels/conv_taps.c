/* Input gradients to few channels, which are what a decoder's last transposed convolution is, by a product of matrices.
 *
 * A tile has a vector of columns or more, one a channel: of one channel it would be empty but for that. So the taps of the
 * kernel become channels of a kernel of 1 x 1: (R, S, C, K) is that of (1, 1, R * S * C, K) as it is, and what this leaves at
 * a place of the map are the terms that the place adds to R * S places of the image. A thread makes those of an image, or of
 * some small ones, and adds them up while they are in its L2. (Against vectors along the sums, in float32 and bf16: 3 x 3,
 * 32 channels to 1, 1.3 and 1.5 times as fast; with strides of 2, 4 x 4 and 5 x 5, 2 and 2.5 to 3.) */
#include "kernels/conv_taps.h"

#include <stddef.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_bf16.h"
#include "kernels/conv_gather.h"
#include "kernels/epilogue.h"

enum {
    PLACES = 1024,     /* multiplied at a time, where images are small */
    TERMS = 128 << 10, /* most of an image: 512 KB */
    FEWEST = 16        /* channels to sum over */
};

static int64_t terms_of_place(const gm_conv *g) { return g->R * g->S * g->C; }
static int64_t terms_of_image(const gm_conv *g) { return g->P * g->Q * terms_of_place(g); }

bool gm_conv_taps_pay(const gm_conv *g) {
    if (g->precision >= GM_BF16_PAIRS || g->image_pairs || g->C > GM_DOT_COLUMNS || g->K < FEWEST) return false;
    bool most_count = terms_of_image(g) * g->K < 2 * gm_conv_products(g); /* and do not lie beside the image */
    return most_count && g->R * g->S > 1 && terms_of_place(g) > GM_DOT_COLUMNS && terms_of_image(g) <= TERMS;
}

/* A batch, some images a task, and where threads make their terms. */
typedef struct batch {
    const gm_conv *g;
    int64_t N, images;
    const float *dy, *w;
    float *dx;
    const gm_epilogue *epilogue;
    float *own;
    int64_t own_floats;
} batch;

static int64_t images_a_task(const gm_conv *g, int64_t N) {
    return max_of(1, min_of(PLACES / (g->P * g->Q), N / WANTED_TASKS));
}

/* The convolution that makes the terms, all places in a row. */
static gm_conv of_places(const gm_conv *g) {
    gm_conv places = gm_conv_of_pixels(terms_of_place(g), g->K);
    places.W = places.Q = g->P * g->Q;
    places.precision = g->precision, places.map_pairs = g->map_pairs;
    return places;
}

static void make_terms(const gm_conv *g, int64_t N, const float *dy, const float *w, float *terms, float *workspace) {
    const gm_conv places = of_places(g);
    const gm_epilogue none = {0};
    (g->precision == GM_FLOAT32 ? gm_conv_gather : gm_conv_bf16)(&places, true, N, dy, w, terms, &none, workspace);
}

static int64_t make_workspace(const gm_conv *g, int64_t N) {
    const gm_conv places = of_places(g);
    return g->precision == GM_FLOAT32 ? gm_conv_gather_workspace(&places) : gm_conv_bf16_workspace(&places, N);
}

/* Out of line, so that all that its loop needs stays in registers. */
static __attribute__((noinline)) void add_values(int64_t count, const float *from, int64_t from_step, float *to,
                                                 int64_t to_step) {
    for (int64_t i = 0; i < count; i++) to[i * to_step] += from[i * from_step];
}

/* The terms of a row of the map from a row of the kernel, (Q, ., S, C), to a row of the image. */
static void add_terms(const gm_conv *g, const axis *across, const float *terms, float *row) {
    const int64_t place = terms_of_place(g), step = g->stride_w * g->C;
    for (int64_t s = 0; s < g->S; s++) {
        const outputs places = outputs_of_tap(across, s);
        const float *from = terms + places.begin * place + s * g->C;
        float *to = row + places.begin * step + (s - g->pad_left) * g->C;
        for (int64_t c = 0; c < g->C; c++) add_values(places.end - places.begin, from + c, place, to + c, step);
    }
}

/* Row h of an image. */
static void add_row(const gm_conv *g, int64_t h, const float *terms, const float *bias, float *row) {
    const axis down = adjoint_axis(h % g->stride_h, g->R, g->stride_h, g->pad_top, g->H, g->P);
    const axis across = forward_axis(g->S, g->stride_w, g->pad_left, g->W, g->Q);
    const int64_t i = h / g->stride_h;
    for (int64_t k = 0; k < g->W * g->C; k++) row[k] = bias ? bias[k % g->C] : 0.0f;
    for (int64_t t = tap_begin(&down, i); t < tap_end(&down, i); t++) {
        int64_t p = input_of(&down, i) + t, r = down.first_tap + t * down.tap_step;
        add_terms(g, &across, terms + (p * g->Q * g->R + r) * g->S * g->C, row);
    }
}

static void add_image(const batch *all, int64_t n, const float *terms) {
    const gm_conv *g = all->g;
    const int64_t count = g->W * g->C;
    for (int64_t h = 0; h < g->H; h++) {
        int64_t at = (n * g->H + h) * count;
        add_row(g, h, terms, all->epilogue->bias, all->dx + at);
        gm_end_values(gm_kernels_active(), all->epilogue, at, count, all->dx);
    }
}

static int64_t terms_floats(const gm_conv *g, int64_t N) { return round_up(N * terms_of_image(g), GM_LINE_FLOATS); }

static void images_task(void *context, int64_t index) {
    const batch *all = context;
    const gm_conv *g = all->g;
    int64_t n = index * all->images, count = min_of(all->images, all->N - n);
    float *terms = all->own + gm_parallel_slot() * all->own_floats;
    make_terms(g, count, all->dy + n * gm_words(g->P * g->Q * g->K, g->map_pairs), all->w, terms,
               terms + terms_floats(g, all->images));
    for (int64_t i = 0; i < count; i++) add_image(all, n + i, terms + i * terms_of_image(g));
}

static int64_t own_floats(const gm_conv *g, int64_t images) {
    return terms_floats(g, images) + round_up(make_workspace(g, images), GM_LINE_FLOATS);
}

void gm_conv_taps(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx, const gm_epilogue *epilogue,
                  float *workspace) {
    batch all = {.g = g, .N = N, .images = images_a_task(g, N), .dy = dy, .w = w, .dx = dx, .own = workspace};
    all.epilogue = epilogue;
    all.own_floats = own_floats(g, all.images);
    gm_parallel_for_slots(ceil_div(N, all.images), GM_SLOTS, images_task, &all);
}

int64_t gm_conv_taps_workspace(const gm_conv *g, int64_t N) {
    int64_t images = images_a_task(g, N);
    return min_of(ceil_div(N, images), GM_SLOTS) * own_floats(g, images);
}
