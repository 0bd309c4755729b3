/* Convolutions of operands made of bfloat16, by those of other operands.
 *
 * Where an instruction multiplies pairs, neighbours along what is summed over become pairs first: channels of the input
 * forward, channels of the map in the input gradient, and, since the weights' gradient sums over places, the same place
 * of two images there. A pair is as large as a float, so what is left is the same convolution with half the channels, or
 * half the images, for the tiles that take pairs; with GM_HIGH, of high parts and of low ones. Where tiles multiply blocks,
 * the weights' gradient wants the pairs of a place side by side, see conv_weights.c: they are turned here once, not in the
 * tile of every tap again. Forward and input gradient go over the images in chunks, so that what is made is multiplied
 * before it leaves the caches: of wide maps a task makes and multiplies a few images, in a place of its thread's own; of
 * narrow ones, whose tiles want many images, all threads make a chunk and multiply it.
 *
 * Elsewhere, and where blocks do not pay, the values stay floats, rounded or as they are, and what is left is the convolution
 * as it was.
 *
 * An array in pairs is ready for a product that sums over its channels, and half as long to read for any other. */
#include "kernels/conv_bf16.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_gather.h"
#include "kernels/table.h"

enum {
    PIECE = 8192,
    MOVED_PIECE = 256,        /* of 16 rows: 16 KB, in the L1 */
    CHUNK_FLOATS = 256 << 10, /* made at a time, by a thread on its own or by all: 1 MB */
    FEW_USES = 4              /* of a value in pairs that make a copy in floats a waste */
};

static int64_t pairs_of(int64_t n) { return ceil_div(n, 2); }

/* ---- Operands ---- */

/* How an array (rows, n) is made:
 *   AS_IT_IS, ROUNDED   (rows, n)
 *   FLOATS              (rows, n), of an array in pairs
 *   ALONG               neighbours along n in pairs, (rows, pairs)
 *   BORDERED            the same of sets that are images, rows their places, with a border of zeros around each
 *   ACROSS              rows in pairs, (pairs, n)
 *   TURNED              rows in pairs, (n, pairs), the pairs in whole blocks with zeros behind
 *   PLACED              the same with groups of neighbours kept together: (n / group, pairs, group)
 * Of several parts, in planes one behind the other; TURNED and PLACED with a place's parts together: (n, parts, pairs). */
typedef enum direction { AS_IT_IS, ROUNDED, FLOATS, ALONG, BORDERED, ACROSS, TURNED, PLACED } direction;
typedef struct operand {
    const float *from;
    bool in_pairs; /* `from` */
    direction made;
    int64_t sets, rows, n; /* so many such arrays */
    int64_t group;
    int64_t width; /* of images: places in a row */
    gm_border border;
    const gm_bf16_parts *parts; /* of pairs */
    float *to;
} operand;

enum { BLOCK = GM_LINE_FLOATS }; /* pairs */

/* Where places are moved about. */
static bool moves(const operand *o) { return o->made == TURNED || o->made == PLACED; }

/* Where nothing is to be made. */
static bool is_ready(const operand *o) { return o->made == AS_IT_IS || (o->made == ALONG && o->in_pairs); }

/* Rows in pairs, or alone. */
static int64_t made_rows(const operand *o) {
    if (moves(o)) return round_up(pairs_of(o->rows), BLOCK);
    if (o->made == BORDERED) return (o->rows / o->width + 2 * o->border.rows) * (o->width + 2 * o->border.columns);
    return o->made == ACROSS ? pairs_of(o->rows) : o->rows;
}

/* Floats or pairs of a row. */
static int64_t made_n(const operand *o) { return o->made == ALONG || o->made == BORDERED ? pairs_of(o->n) : o->n; }

static int64_t part_count(const operand *o) { return o->parts ? o->parts->count : 1; }

static int64_t plane_floats(const operand *o) { return o->sets * made_rows(o) * made_n(o); }

/* Cache lines of their own. */
static int64_t made_floats(const operand *o) {
    return is_ready(o) ? 0 : round_up(part_count(o) * plane_floats(o), GM_LINE_FLOATS);
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
    const float *lane[BLOCK];
    for (int64_t t = 0; t < BLOCK; t++) lane[t] = made[t];
    for (int64_t part = 0; part < part_count(o); part++) {
        for (int64_t t = 0; t < BLOCK; t++) make_pairs(o, 0, o->parts->part[part], row + t, at, n, made[t]);
        int64_t first = part * rows + row;
        if (o->made == TURNED)
            gm_kernels_active()->turn(BLOCK, n, lane, o->to + at * step + first, step);
        else
            for (int64_t t = 0; t < BLOCK; t++)
                put_groups(made[t], at, n, o->group, o->to + (first + t) * o->group, step * o->group);
    }
}

/* The part of an image with its border. */
static void make_image(const operand *o, int64_t image, int64_t part) {
    int64_t n = made_n(o), width = o->width + 2 * o->border.columns, side = o->border.columns * n;
    int64_t height = o->rows / o->width, ends = o->border.rows * width * n;
    /* Channels that fill their pairs make one run of a row. */
    int64_t run = o->n % 2 ? o->n : o->width * o->n, runs = o->width * o->n / run;
    const float *from = o->from + image * o->rows * o->n;
    float *to = o->to + part * plane_floats(o) + image * made_rows(o) * n;
    memset(to, 0, (size_t)ends * sizeof *to);
    to += ends;
    for (int64_t row = 0; row < height; row++) {
        memset(to, 0, (size_t)side * sizeof *to);
        to += side;
        for (int64_t i = 0; i < runs; i++, from += run, to += pairs_of(run))
            gm_kernels_for(GM_BF16_PAIRS)->bf16_pair_neighbours(o->parts->part[part], run, from, to);
        memset(to, 0, (size_t)side * sizeof *to);
        to += side;
    }
    memset(to, 0, (size_t)ends * sizeof *to);
}

static void make_image_task(void *context, int64_t index) {
    const operand *o = context;
    make_image(o, index / part_count(o), index % part_count(o));
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
    if (o.made == BORDERED)
        gm_parallel_for(o.sets * part_count(&o), make_image_task, &o);
    else
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

/* Multiplications for each value that is made of images and maps. The same for any number of them, as must be what follows
 * from it: else an image's results would depend on the batch around it. */
static double uses_of_made(const plan *of) {
    const gm_conv *g = &of->g;
    const operand *left = &of->left, *right = &of->right;
    double products = (double)(of->N * g->P * g->Q * g->R * g->S) * (double)(g->C * g->K), values = 0;
    if (!is_ready(left)) values += (double)(left->sets * left->rows * left->n);
    if (moves(right)) values += (double)(right->sets * right->rows * right->n);
    return values > 0 ? products / values : INFINITY;
}

/* Whether blocks pay, of products whose operands are to be made in such directions. Forward and input gradients sum over
 * `channels`; of an odd number each place is made on its own, which takes long if they are few. In weights' gradients these
 * are the columns. Where there are three products in place of one, neither side may be few, channels are to fill a block, and
 * the operands, which could stay as they are, are to be used often enough; the more if they are moved about. (35 layers were
 * measured.) */
static bool blocks_pay(const plan *of, int64_t channels) {
    enum { USES = 48, USES_MOVED = 192 };
    bool moved = moves(&of->left), few = min_of(of->g.C, of->g.K) <= GM_DOT_COLUMNS;
    if (of->g.precision == GM_HIGH)
        return !few && channels >= (moved ? BLOCK : 2 * BLOCK) && uses_of_made(of) >= (moved ? USES_MOVED : USES);
    return moved ? channels >= BLOCK : channels >= 2 * BLOCK || (channels > GM_DOT_COLUMNS && channels % 2 == 0);
}

static direction alone(const operand *o, gm_precision wanted) {
    if (o->in_pairs) return FLOATS;
    return wanted == GM_HIGH ? AS_IT_IS : ROUNDED;
}

/* Both operands in pairs along these directions, where there are `summed` neighbours and blocks, if these are what is
 * multiplied, pay; or alone. */
static bool make_in_pairs(plan *of, int64_t summed, int64_t channels, direction left, direction right) {
    gm_precision wanted = of->g.precision;
    const gm_bf16_parts *parts = summed > 1 ? gm_kernels_parts(wanted) : NULL;
    of->left.made = left;
    of->right.made = right;
    if (parts && gm_kernels_for(GM_BF16_PAIRS)->tile.blocks && !blocks_pay(of, channels)) parts = NULL;
    if (!parts) {
        of->left.made = alone(&of->left, wanted);
        of->right.made = alone(&of->right, wanted);
    }
    of->left.parts = of->right.parts = parts;
    of->g.precision = !parts ? GM_FLOAT32 : wanted == GM_HIGH ? GM_HIGH_PAIRS : GM_BF16_PAIRS;
    return parts != NULL;
}

/* Whether whole rows of outputs, so wide, fill blocks well enough: then images are made with a border. */
static direction along(const operand *o, int64_t width) {
    const gm_kernels *kernels = gm_kernels_for(GM_BF16_PAIRS);
    bool fills = 4 * width >= 3 * BLOCK * ceil_div(width, BLOCK);
    return kernels && kernels->tile.blocks && fills && !o->in_pairs ? BORDERED : ALONG;
}

static plan plan_forward(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.in_pairs = g->image_pairs, .sets = N, .rows = g->H * g->W, .n = g->C, .width = g->W};
    p.right = (operand){.sets = g->R * g->S, .rows = g->C, .n = g->K};
    p.g.image_pairs = false;
    p.left.border = gm_conv_gather_border(g, false);
    if (make_in_pairs(&p, g->C, g->C, along(&p.left, g->Q), ACROSS)) p.g.C = pairs_of(g->C);
    return p;
}

static plan plan_backward_data(const gm_conv *g, int64_t N) {
    plan p = {.g = *g, .N = N};
    p.left = (operand){.in_pairs = g->map_pairs, .sets = N, .rows = g->P * g->Q, .n = g->K, .width = g->Q};
    p.right = (operand){.sets = 1, .rows = g->R * g->S * g->C, .n = g->K};
    p.g.map_pairs = false;
    p.left.border = gm_conv_gather_border(g, true);
    if (make_in_pairs(&p, g->K, g->K, along(&p.left, g->W / g->stride_w), ALONG)) p.g.K = pairs_of(g->K);
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

/* The same for any number of images, as what is made of them at a time must only grow with their number: a workspace holds
 * smaller batches too. */
static int64_t image_floats(const plan *p) { return part_count(&p->left) * plane_floats(&p->left) / p->N; }

/* Whether threads make and multiply images on their own, where there are enough for all. */
static bool makes_own(const plan *p) { return p->left.made == BORDERED && p->N >= WANTED_TASKS; }

/* How many images are made and multiplied at a time: what is made of them stays in the caches until then. Whole tiles: those
 * of whole rows may hold two images. */
static int64_t images_a_chunk(const plan *p) {
    int64_t images = max_of(1, CHUNK_FLOATS / image_floats(p)), tile = p->left.made == BORDERED ? 2 : GM_TALLEST_TILE;
    if (makes_own(p)) images = min_of(images, max_of(tile, p->N / WANTED_TASKS));
    if (is_ready(&p->left)) return p->N;
    return min_of(p->N, images > tile ? images / tile * tile : images);
}

static int64_t image_words(const gm_conv *g) { return gm_words(g->H * g->W * g->C, g->image_pairs); }
static int64_t map_words(const gm_conv *g) { return gm_words(g->P * g->Q * g->K, g->map_pairs); }

/* Forward or, adjoint, the input gradient of some images. */
typedef struct batch {
    const gm_conv *g;
    bool adjoint;
    int64_t N, chunk;
    const float *in;
    float *out;
    const gm_epilogue *epilogue;
    const float *right;
    float *packed; /* what `right` is packed to, or workspace */
    float *own;    /* where threads make their images, or all do */
    int64_t own_floats;
} batch;

static plan plan_of(const batch *all, int64_t N) {
    return (all->adjoint ? plan_backward_data : plan_forward)(all->g, N);
}

/* The chunk of images from n on, made at `made`. */
static void multiply_chunk(const batch *all, int64_t n, float *made) {
    const gm_conv *g = all->g;
    int64_t in = all->adjoint ? map_words(g) : image_words(g), out = all->adjoint ? image_words(g) : map_words(g);
    plan p = plan_of(all, min_of(all->chunk, all->N - n));
    gm_epilogue end = *all->epilogue;
    if (end.gate) end.gate += n * out;
    const float *left = make(p.left, all->in + n * in, made);
    float *to = all->out + n * out;
    if (p.left.parts)
        gm_conv_gather_packed(&p.g, all->adjoint, p.N, left, p.left.made == BORDERED ? &p.left.border : NULL, to, &end,
                              all->packed);
    else
        (all->adjoint ? gm_conv_backward_data : gm_conv_forward)(&p.g, p.N, left, all->right, to, &end, all->packed);
}

static void chunk_task(void *context, int64_t index) {
    const batch *all = context;
    multiply_chunk(all, index * all->chunk, all->own + gm_parallel_slot() * all->own_floats);
}

static int64_t slots_of(const plan *whole) { return makes_own(whole) ? GM_SLOTS : 1; }

static void multiply_batch(batch all, const float *w, float *workspace) {
    plan whole = plan_of(&all, all.N);
    all.chunk = images_a_chunk(&whole);
    plan first = plan_of(&all, all.chunk);
    all.own = workspace, all.own_floats = made_floats(&first.left);
    float *right = workspace + slots_of(&whole) * all.own_floats;
    all.packed = right + made_floats(&first.right);
    all.right = make(first.right, w, right);
    if (first.left.parts) gm_conv_gather_pack(&first.g, all.adjoint, all.right, all.packed);
    if (makes_own(&whole))
        gm_parallel_for_slots(ceil_div(all.N, all.chunk), GM_SLOTS, chunk_task, &all);
    else
        for (int64_t n = 0; n < all.N; n += all.chunk) multiply_chunk(&all, n, all.own);
}

static int64_t batch_workspace(const gm_conv *g, bool adjoint, int64_t N) {
    batch all = {.g = g, .adjoint = adjoint};
    plan whole = plan_of(&all, N), first = plan_of(&all, images_a_chunk(&whole));
    int64_t made = slots_of(&whole) * made_floats(&first.left) + made_floats(&first.right);
    return made + gm_conv_workspace(&first.g, first.N);
}

void gm_conv_bf16(const gm_conv *g, bool adjoint, int64_t N, const float *x, const float *w, float *y,
                  const gm_epilogue *epilogue, float *workspace) {
    batch all = {.g = g, .adjoint = adjoint, .N = N, .in = x, .out = y, .epilogue = epilogue};
    multiply_batch(all, w, workspace);
}

bool gm_conv_bf16_gates_in_place(const gm_conv *g, bool adjoint, gm_activation gate) {
    plan p = (adjoint ? plan_backward_data : plan_forward)(g, 1);
    return (p.left.parts ? gm_conv_gather_gates_in_tile : gm_conv_gates_in_place)(&p.g, adjoint, gate);
}

/* Images at a time of a weights' gradient: all where they are what the pairs are made of. */
static int64_t images_of_weights(const gm_conv *g, int64_t N) {
    plan whole = plan_backward_weights(g, N);
    return whole.left.parts ? N : images_a_chunk(&whole);
}

void gm_conv_bf16_weights(const gm_conv *g, int64_t N, const float *x, const float *dy, bool add, float *dw,
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

int64_t gm_conv_bf16_workspace(const gm_conv *g, int64_t N) {
    int64_t data = max_of(batch_workspace(g, false, N), batch_workspace(g, true, N));
    int64_t one = workspace_of(plan_backward_weights(g, 1)); /* of which there are no pairs */
    return max_of(max_of(data, one), workspace_of(plan_backward_weights(g, images_of_weights(g, N))));
}
