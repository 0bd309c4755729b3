/* Convolutions of operands made of bfloat16, by those of other operands.
 *
 * Where an instruction multiplies pairs, neighbours along what is summed over become pairs first: channels of the input
 * forward, channels of the map in the input gradient, and, since the weights' gradient sums over places, the same place
 * of two images there. A pair is as large as a float, so what is left is the same convolution with half the channels, or
 * half the images, for the tiles that take pairs; with GM_HIGH, of high parts and of low ones. Where tiles multiply blocks,
 * the weights' gradient wants the pairs of a place side by side, see conv_weights.c: they are turned here once, not in the
 * tile of every tap again. Forward and input gradient go over the images in chunks, so that what is made is multiplied
 * before it leaves the caches (1.1 to 1.2 times as fast).
 *
 * Elsewhere, and where a single channel would leave half of each pair empty or few channels most of a block, the values stay
 * floats, rounded or as they are, and what is left is the convolution as it was.
 *
 * An array in pairs is ready for a product that sums over its channels, and half as long to read for any other. */
#include "kernels/conv_bf16.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/table.h"
#include "kernels/turn.h"

enum {
    PIECE = 8192,
    MOVED_PIECE = 256,        /* of 16 rows: 16 KB, in the L1 */
    CHUNK_FLOATS = 256 << 10, /* made at a time: 1 MB, half of it for each of two L2 */
    WHOLE_TILE = 32,          /* rows of any instruction set's */
    FEW_USES = 4,             /* of a value in pairs that make a copy in floats a waste */
    LINE = 16                 /* floats in a cache line */
};

static int64_t pairs_of(int64_t n) { return ceil_div(n, 2); }

/* ---- Operands ---- */

/* How an array (rows, n) is made:
 *   AS_IT_IS, ROUNDED   (rows, n)
 *   FLOATS              (rows, n), of an array in pairs
 *   ALONG               neighbours along n in pairs, (rows, pairs)
 *   ACROSS              rows in pairs, (pairs, n)
 *   TURNED              rows in pairs, (n, pairs), the pairs in whole blocks with zeros behind
 *   PLACED              the same with groups of neighbours kept together: (n / group, pairs, group)
 * Of several parts, in planes one behind the other; TURNED and PLACED with a place's parts together: (n, parts, pairs). */
typedef enum direction { AS_IT_IS, ROUNDED, FLOATS, ALONG, ACROSS, TURNED, PLACED } direction;
typedef struct operand {
    const float *from;
    bool in_pairs; /* `from` */
    direction made;
    int64_t sets, rows, n; /* so many such arrays */
    int64_t group;
    const gm_bf16_parts *parts; /* of pairs */
    float *to;
} operand;

enum { BLOCK = GM_TURNED_ROWS }; /* pairs */

/* Where places are moved about. */
static bool moves(const operand *o) { return o->made == TURNED || o->made == PLACED; }

/* Where nothing is to be made. */
static bool is_ready(const operand *o) { return o->made == AS_IT_IS || (o->made == ALONG && o->in_pairs); }

/* Rows in pairs, or alone. */
static int64_t made_rows(const operand *o) {
    if (moves(o)) return ceil_div(pairs_of(o->rows), BLOCK) * BLOCK;
    return o->made == ACROSS ? pairs_of(o->rows) : o->rows;
}

/* Floats or pairs of a row. */
static int64_t made_n(const operand *o) { return o->made == ALONG ? pairs_of(o->n) : o->n; }

static int64_t part_count(const operand *o) { return o->parts ? o->parts->count : 1; }

static int64_t plane_floats(const operand *o) { return o->sets * made_rows(o) * made_n(o); }

/* Cache lines of their own. */
static int64_t made_floats(const operand *o) {
    return is_ready(o) ? 0 : ceil_div(part_count(o) * plane_floats(o), LINE) * LINE;
}

/* Rows without an empty half at their ends are as good as one. */
static operand joined(operand o) {
    if (o.made == ROUNDED || o.made == FLOATS || (o.made == ALONG && o.n % 2 == 0)) {
        o.n *= o.sets * o.rows;
        o.sets = o.rows = 1;
    }
    return o;
}

/* A task makes a piece of some rows: of a block of pairs where places are moved about, else of about as many as are one
 * piece together. */
static int64_t piece(const operand *o) { return moves(o) ? MOVED_PIECE : PIECE; }
static int64_t rows_a_task(const operand *o) { return moves(o) ? BLOCK : max_of(1, PIECE / o->n); }

/* The part's pair of rows number `row`, of `count` places from `at` on; zeros behind the last. */
static void make_pairs(const operand *o, int64_t set, gm_bf16_part part, int64_t row, int64_t at, int64_t count,
                       float *to) {
    const gm_kernels *kernels = gm_kernels_for(GM_BF16_PAIRS);
    const float *from = o->from + gm_words((set * o->rows + 2 * row) * o->n + at, o->in_pairs);
    const float *next = 2 * row + 1 < o->rows ? from + gm_words(o->n, o->in_pairs) : NULL;
    if (2 * row >= o->rows)
        memset(to, 0, (size_t)count * sizeof *to);
    else if (o->in_pairs)
        kernels->bf16_pair_values(count, from, next, to);
    else
        kernels->bf16_pair(part, count, from, next, to);
}

/* A piece of a row that stays where it is, in all planes. */
static void make_row(const operand *o, int64_t set, int64_t row, int64_t at, int64_t n) {
    int64_t index = set * made_rows(o) + row;
    const float *from = o->from + gm_words(index * o->n + at, o->in_pairs);
    float *to = o->to + index * made_n(o);
    for (int64_t part = 0; part < part_count(o); part++, to += plane_floats(o)) {
        if (o->made == ROUNDED)
            gm_kernels_active()->bf16_round(n, from, to + at);
        else if (o->made == FLOATS)
            gm_kernels_active()->bf16_floats(n, from, to + at);
        else if (o->made == ALONG)
            gm_kernels_for(GM_BF16_PAIRS)->bf16_pair_neighbours(o->parts->part[part], n, from, to + at / 2);
        else
            make_pairs(o, set, o->parts->part[part], row, at, n, to + at);
    }
}

/* The groups of a row, of which `made` are `count` values from `at` on -> to one place after the other, `step` apart. */
static void put_groups(const float *made, int64_t at, int64_t count, int64_t group, float *to, int64_t step) {
    for (int64_t i = 0, run; i < count; i += run) {
        int64_t place = (at + i) / group, k = (at + i) % group;
        run = min_of(group - k, count - i);
        memcpy(to + place * step + k, made + i, (size_t)run * sizeof *to);
    }
}

/* The same piece of a block of pairs, moved. */
static void move_block(const operand *o, int64_t row, int64_t at, int64_t n) {
    int64_t rows = made_rows(o), step = part_count(o) * rows;
    float made[BLOCK][MOVED_PIECE];
    for (int64_t part = 0; part < part_count(o); part++) {
        for (int64_t t = 0; t < BLOCK; t++) make_pairs(o, 0, o->parts->part[part], row + t, at, n, made[t]);
        int64_t first = part * rows + row;
        if (o->made == TURNED)
            gm_turn_rows(made[0], MOVED_PIECE, n, o->to + at * step + first, step);
        else
            for (int64_t t = 0; t < BLOCK; t++)
                put_groups(made[t], at, n, o->group, o->to + (first + t) * o->group, step * o->group);
    }
}

static void make_task(void *context, int64_t index) {
    const operand *o = context;
    int64_t pieces = ceil_div(o->n, piece(o)), parts = ceil_div(made_rows(o), rows_a_task(o));
    int64_t at = index % pieces * piece(o), n = min_of(piece(o), o->n - at);
    int64_t first = index / pieces % parts * rows_a_task(o), set = index / pieces / parts;
    if (moves(o)) {
        move_block(o, first, at, n);
        return;
    }
    for (int64_t row = first; row < min_of(made_rows(o), first + rows_a_task(o)); row++) make_row(o, set, row, at, n);
}

static const float *make(operand o, const float *from, float *to) {
    if (is_ready(&o)) return from;
    o = joined(o);
    o.from = from;
    o.to = to;
    gm_parallel_for(o.sets * ceil_div(made_rows(&o), rows_a_task(&o)) * ceil_div(o.n, piece(&o)), make_task, &o);
    return to;
}

/* ---- The products ---- */

/* A product: both operands, and the one that is left when they are made. */
typedef struct plan {
    operand left, right;
    gm_conv g;
    int64_t N;
} plan;

/* Whether blocks pay: the channels along their sides are not few, and, as three products take three times as long, neither
 * are the others (with one channel and GM_BF16 still 1.2 to 1.4 times as fast). */
static bool fills_blocks(const gm_conv *g, int64_t channels) {
    int64_t least = g->precision == GM_HIGH ? min_of(g->C, g->K) : channels;
    return least > GM_DOT_COLUMNS;
}

static direction alone(const operand *o, gm_precision wanted) {
    if (o->in_pairs) return FLOATS;
    return wanted == GM_HIGH ? AS_IT_IS : ROUNDED;
}

/* Both operands in pairs along these directions, where there are `summed` neighbours and enough channels; or alone. */
static bool make_in_pairs(plan *of, int64_t summed, int64_t channels, direction left, direction right) {
    gm_precision wanted = of->g.precision;
    const gm_bf16_parts *parts = summed > 1 ? gm_kernels_parts(wanted) : NULL;
    bool blocks = parts && gm_kernels_for(GM_BF16_PAIRS)->tile.blocks;
    if (blocks && !fills_blocks(&of->g, channels)) parts = NULL;
    of->left.made = parts ? left : alone(&of->left, wanted);
    of->right.made = parts ? right : alone(&of->right, wanted);
    of->left.parts = of->right.parts = parts;
    of->g.precision = !parts ? GM_FLOAT32 : wanted == GM_HIGH ? GM_HIGH_PAIRS : GM_BF16_PAIRS;
    return parts != NULL;
}

static plan plan_forward(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.in_pairs = g->image_pairs, .sets = 1, .rows = N * g->H * g->W, .n = g->C};
    p.right = (operand){.sets = g->R * g->S, .rows = g->C, .n = g->K};
    p.g.image_pairs = false;
    if (make_in_pairs(&p, g->C, g->C, ALONG, ACROSS)) p.g.C = pairs_of(g->C);
    return p;
}

static plan plan_backward_data(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.in_pairs = g->map_pairs, .sets = 1, .rows = N * g->P * g->Q, .n = g->K};
    p.right = (operand){.sets = 1, .rows = g->R * g->S * g->C, .n = g->K};
    p.g.map_pairs = false;
    if (make_in_pairs(&p, g->K, g->K, ALONG, ALONG)) p.g.K = pairs_of(g->K);
    return p;
}

static plan plan_backward_weights(const gm_conv *g, int64_t N) {
    const gm_kernels *kernels = gm_kernels_for(GM_BF16_PAIRS);
    bool blocks = kernels && kernels->tile.blocks;
    plan p = {.g = *g, .N = N};
    p.left = (operand){.in_pairs = g->image_pairs, .sets = 1, .rows = N, .n = g->H * g->W * g->C};
    p.right = (operand){.in_pairs = g->map_pairs, .sets = 1, .rows = N, .n = g->P * g->Q * g->K, .group = g->K};
    p.g.map_pairs = false;
    if (make_in_pairs(&p, N, g->K, blocks ? TURNED : ACROSS, blocks ? PLACED : ACROSS)) p.N = made_rows(&p.left);
    bool few_uses = g->R * g->S <= FEW_USES * g->stride_h * g->stride_w; /* each converts the value */
    bool read_as_it_is = p.left.made == FLOATS && g->K <= GM_DOT_COLUMNS && few_uses;
    if (read_as_it_is) p.left.made = AS_IT_IS;
    p.g.image_pairs = read_as_it_is;
    return p;
}

/* How many images are made and multiplied at a time: what is made of them stays in the caches until then. Whole tiles. */
static int64_t images_a_chunk(const plan *p) {
    int64_t images = max_of(1, CHUNK_FLOATS / max_of(1, made_floats(&p->left) / p->N));
    if (is_ready(&p->left) || images >= p->N) return p->N;
    return images > WHOLE_TILE ? images / WHOLE_TILE * WHOLE_TILE : images;
}

typedef plan (*plan_for)(const gm_conv *g, int64_t N);
typedef void (*product_of)(const gm_conv *g, int64_t N, const float *left, const float *right, float *out,
                           const gm_epilogue *epilogue, float *workspace);

/* Forward or input gradient, chunk after chunk: images of so many words, in and out. */
static void multiply_chunks(plan_for plan_of, product_of product, const gm_conv *g, int64_t N, const float *in,
                            int64_t in_image, const float *w, float *out, int64_t out_image,
                            const gm_epilogue *epilogue, float *workspace) {
    plan whole = plan_of(g, N);
    int64_t chunk = images_a_chunk(&whole);
    plan first = plan_of(g, chunk);
    float *right = workspace + made_floats(&first.left), *rest = right + made_floats(&first.right);
    const float *weights = make(first.right, w, right);
    for (int64_t n = 0; n < N; n += chunk) {
        plan p = plan_of(g, min_of(chunk, N - n));
        gm_epilogue end = epilogue ? *epilogue : (gm_epilogue){0};
        if (end.gate) end.gate += n * out_image;
        product(&p.g, p.N, make(p.left, in + n * in_image, workspace), weights, out + n * out_image, &end, rest);
    }
}

static int64_t image_words(const gm_conv *g) { return gm_words(g->H * g->W * g->C, g->image_pairs); }
static int64_t map_words(const gm_conv *g) { return gm_words(g->P * g->Q * g->K, g->map_pairs); }

void gm_conv_bf16_forward(const gm_conv *g, int64_t N, const float *x, const float *w, float *y,
                          const gm_epilogue *epilogue, float *workspace) {
    multiply_chunks(plan_forward, gm_conv_forward, g, N, x, image_words(g), w, y, map_words(g), epilogue, workspace);
}

void gm_conv_bf16_backward_data(const gm_conv *g, int64_t N, const float *dy, const float *w, float *dx,
                                const gm_epilogue *epilogue, float *workspace) {
    multiply_chunks(plan_backward_data, gm_conv_backward_data, g, N, dy, map_words(g), w, dx, image_words(g), epilogue,
                    workspace);
}

/* Images at a time of a weights' gradient: all where they are what the pairs are made of. */
static int64_t images_of_weights(const gm_conv *g, int64_t N) {
    plan whole = plan_backward_weights(g, N);
    return whole.left.parts ? N : images_a_chunk(&whole);
}

void gm_conv_bf16_backward_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
                                   float *workspace) {
    int64_t chunk = images_of_weights(g, N);
    for (int64_t n = 0; n < N; n += chunk) {
        plan p = plan_backward_weights(g, min_of(chunk, N - n));
        float *right = workspace + made_floats(&p.left), *rest = right + made_floats(&p.right);
        const float *image = make(p.left, x + n * image_words(g), workspace);
        const float *map = make(p.right, dy + n * map_words(g), right);
        gm_conv_backward_weights(&p.g, p.N, image, map, add || n > 0, dw, rest);
    }
}

static int64_t workspace_of(plan p) {
    return made_floats(&p.left) + made_floats(&p.right) + gm_conv_workspace(&p.g, p.N);
}

static int64_t chunk_workspace(plan_for plan_of, const gm_conv *g, int64_t N) {
    plan whole = plan_of(g, N);
    return workspace_of(plan_of(g, images_a_chunk(&whole)));
}

int64_t gm_conv_bf16_workspace(const gm_conv *g, int64_t N) {
    int64_t data = max_of(chunk_workspace(plan_forward, g, N), chunk_workspace(plan_backward_data, g, N));
    return max_of(data, workspace_of(plan_backward_weights(g, images_of_weights(g, N))));
}
