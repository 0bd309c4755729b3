/* Products of matrices in blocks that stay in the caches.
 *
 * Both sides are packed: a into tiles of a few rows, b into panels of a few vectors, each contiguous along the depth. In
 * place their rows may be pages apart, or at distances that fill one set of the cache only. What is met by few others, has
 * its rows close together, is one row, or is made of whole lines, is read where it is.
 *
 * The side with fewer lanes (rows of a, columns of b) is packed for all. Of the other each task packs what it multiplies:
 * weights of a wide layer (157 MB in one of the reference models) come from memory once, to the cache where they are used.
 *
 *     for a stretch of the shared side's lanes
 *         for some blocks of the depth     a round: packed for all, they stay in the L3
 *             tasks: for each block        so long that a tile stays in the L1, a panel in the L2
 *                        for some groups of the other side
 *                            pack them and multiply them with the whole stretch, while the next come to the cache;
 *                    then, while others still multiply, pack for the next round
 *
 * A thread begins a round with its share of either, and so with the part of `out` that it had before. (Wide layers: 1.0 to 1.08
 * times as fast as with one count of all, in which the first threads had what there is to multiply.)
 *
 * Every block's sums start at zero; the first are `out`, or added to the bias, and the others added to it in the order of the
 * blocks, so that long sums lose little. The epilogue follows the last block, while the values are in the cache. Which side is
 * shared changes no bit. */
#include "kernels/matrix.h"

#include <string.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/epilogue.h"
#include "kernels/matrix_side.h"
#include "kernels/streams.h"

enum {
    DEPTH = GM_TAKEN_BATCH, /* of a block: a tile of 12 rows is 24 KB, a panel of 64 columns 128 KB */
    STRETCH = 1024,         /* lanes of the shared side: 2 MB a block */
    SHARED = 512 << 10,     /* floats of a round, or those of one block: 2 MB */
    OWN = 64 << 10,         /* floats that a task packs at a time, or those of one group: 256 KB */
    LEAST_TASKS = 16,       /* of a round, where there are so many groups */
    MOST_TASKS = 64,        /* so that most groups are asked for by the task that packs them */
    FEW = 36,   /* lanes: what meets no more is not worth packing (1.2 times as fast in place, with 12 lanes 3 times) */
    NEAR = 256, /* floats, 1 KB: rows no further apart use all sets of the caches, and several share a page */
    SETS = 512, /* floats, 2 KB: rows such distances apart use a 32nd of the sets or less */
    TAKEN = 512, /* columns of the rows that are taken: with those of a tile 64 KB, and long enough to be foreseen */
    MOST_ASKED = 1 + GM_BESIDE,
    MOST_UNIT = 16 /* no block of any instruction set is longer along the depth */
};

typedef struct plan {
    const gm_matrix_product *product;
    const gm_kernels *kernels;
    gm_side shared, own;          /* whole */
    int64_t values, blocks;       /* of a block along the depth; blocks */
    int64_t round_blocks, rounds; /* blocks of a round, rounds along the depth */
    int64_t all_rounds;           /* over all stretches */
    int64_t tasks;                /* of a round, that multiply */
    int64_t portion;              /* groups of the own side that a task packs at a time */
    int64_t block_floats;         /* of the shared side, packed */
    int64_t slot_floats;
    float *buffers[2], *slots; /* where rounds are packed, in turn, and where threads pack; NULL: read in place */
} plan;

/* A round that is multiplied while the next one is packed; numbered stretch by stretch. */
typedef struct round {
    const plan *of;
    int64_t index; /* -1: before the first */
} round;

/* ---- Multiplying ---- */

static void begin_rows(const plan *at, int64_t rows, int64_t column, int64_t columns, float *out) {
    const float *bias = at->product->epilogue.bias + column;
    for (int64_t m = 0; m < rows; m++, out += at->product->columns) memcpy(out, bias, (size_t)columns * sizeof *out);
}

/* One block of the depth, of some groups of each side. */
typedef struct block {
    const gm_side *a, *b;
    int64_t row0, column0; /* of the sides' first lanes */
    bool first, last;      /* along the depth */
    gm_ahead *next;        /* to be asked for */
} block;

/* What a sweep asks for, of so many rows and a panel: its share of what the task packs next, and what the taker reads beside
 * these values. (Steps of wide layers: 1.01 to 1.07 times as fast, as the optimizer then waits for no memory.) */
static int64_t list_asked(const plan *at, const block *of, int64_t row, int64_t rows, gm_panel panel,
                          gm_asked asked[MOST_ASKED]) {
    const gm_taker *taker = at->product->taker;
    int64_t width = at->product->columns, first = (of->row0 + row) * width + of->column0 + panel.first, count = 0;
    asked[count] = gm_ask(of->next);
    if (asked[count].times) count++;
    for (int i = 0; taker && i < GM_BESIDE && taker->beside[i]; i++)
        asked[count++] = (gm_asked){.at = taker->beside[i] + first,
                                    .lines = ceil_div(panel.columns, GM_LINE_FLOATS),
                                    .line_step = GM_LINE_FLOATS,
                                    .step = width,
                                    .times = rows};
    return count;
}

/* Makes the places of a sweep along the depth rows of them, for each of which it asks; not where blocks are multiplied, which
 * ask for nothing. */
static void split(const block *of, gm_sweep *sweep) {
    if (of->a->values % GM_ASKED != 0 || gm_side_in_blocks(of->a)) return;
    sweep->I = of->a->values / GM_ASKED, sweep->J /= sweep->I;
    sweep->x_i = sweep->J * sweep->x_j, sweep->y_i = sweep->J * sweep->y_j;
}

/* A tile of a times a panel of b, into rows of `out` so far apart, in as many pieces as the panel's width asks for. */
static void multiply_groups(const plan *at, const block *of, gm_panel tile, gm_panel panel, float *out,
                            int64_t stride) {
    int64_t most = gm_tile_rows(&at->kernels->tile, panel.columns);
    gm_packed_group x = gm_side_packed_group(of->a, tile), y = gm_side_packed_group(of->b, panel);
    gm_sweep sweep = {.N = 1,
                      .I = 1,
                      .J = gm_side_part_depth(of->a),
                      .x_j = x.depth_step,
                      .x_m = x.lane_step,
                      .y_j = y.depth_step,
                      .low = {x.low, y.low}};
    bool begins = of->first && !at->product->add;
    if (begins && at->product->epilogue.bias)
        begin_rows(at, tile.columns, of->column0 + panel.first, panel.columns, out);
    sweep.fresh = begins && !at->product->epilogue.bias;
    for (int64_t row = 0; row < tile.columns; row += most) {
        gm_asked asked[MOST_ASKED];
        gm_sweep now = sweep;
        int64_t rows = min_of(most, tile.columns - row);
        now.asked = asked, now.asks = list_asked(at, of, tile.first + row, rows, panel, asked);
        if (now.asks) split(of, &now);
        at->kernels->outer_tile(rows, panel.columns, &now, x.at + row * x.lane_step, y.at, out + row * stride, stride);
    }
    if (of->last && !at->product->taker)
        gm_end_rows(at->kernels, &at->product->epilogue, out - at->product->out, tile.columns, stride, panel.columns,
                    at->product->out);
}

/* Panels that all stay in the L2. */
static bool is_small(const gm_side *columns) { return columns->lanes * columns->depth <= OWN; }

static void write_groups(const plan *at, const block *of, int64_t tile_index, int64_t panel_index) {
    gm_panel tile = gm_side_group(of->a, tile_index), panel = gm_side_group(of->b, panel_index);
    int64_t stride = at->product->columns, row = of->row0 + tile.first, column = of->column0 + panel.first;
    multiply_groups(at, of, tile, panel, at->product->out + row * stride + column, stride);
}

/* The larger side outermost; but over small panels rows of `out` are written whole. */
static void write_block(const plan *at, const block *of) {
    bool by_tiles = at->shared.is_a || is_small(of->b);
    const gm_side *outer = by_tiles ? of->a : of->b, *inner = by_tiles ? of->b : of->a;
    for (int64_t i = outer->begin; i < outer->end; i++)
        for (int64_t j = inner->begin; j < inner->end; j++) write_groups(at, of, by_tiles ? i : j, by_tiles ? j : i);
}

/* A tile's rows in the panels begin..end-1. */
static void take_rows(const plan *at, const block *of, int64_t tile_index, int64_t begin, int64_t end) {
    const gm_taker *taker = at->product->taker;
    float rows[GM_TALLEST_TILE * TAKEN];
    gm_panel tile = gm_side_group(of->a, tile_index);
    int64_t first = gm_side_group(of->b, begin).first, columns = 0;
    for (int64_t j = begin; j < end; j++) {
        gm_panel panel = gm_side_group(of->b, j);
        multiply_groups(at, of, tile, panel, rows + panel.first - first, TAKEN);
        columns = panel.first + panel.columns - first;
    }
    for (int64_t m = 0; m < tile.columns; m++)
        taker->take(taker->context, of->row0 + tile.first + m, of->column0 + first, columns, rows + m * TAKEN);
}

static void take_block(const plan *at, const block *of) {
    const int64_t panels = TAKEN / at->kernels->tile.panel;
    for (int64_t j = of->b->begin; j < of->b->end; j += panels)
        for (int64_t i = of->a->begin; i < of->a->end; i++) take_rows(at, of, i, j, min_of(of->b->end, j + panels));
}

/* ---- Rounds ---- */

static int64_t first_lane(const plan *at, int64_t round) { return round / at->rounds * STRETCH; }
static int64_t first_block(const plan *at, int64_t round) { return round % at->rounds * at->round_blocks; }

/* The round's stretch of the shared side, in its block i. */
static gm_side shared_part(const plan *at, int64_t round, int64_t i) {
    int64_t value = (first_block(at, round) + i) * at->values;
    gm_side part = gm_side_part(&at->shared, first_lane(at, round), STRETCH, value, at->values);
    float *buffer = at->buffers[round % 2];
    part.packed = buffer ? buffer + i * at->block_floats : NULL;
    return part;
}

/* What a task multiplies in a round are steps: portions of its groups, each in all blocks. */
typedef struct steps {
    int64_t begin, end; /* groups */
    int64_t blocks, count;
} steps;

static steps steps_of(const plan *at, int64_t round, int64_t task) {
    int64_t groups = gm_side_group_count(&at->own);
    steps made = {.begin = groups * task / at->tasks, .end = groups * (task + 1) / at->tasks};
    made.blocks = min_of(at->round_blocks, at->blocks - first_block(at, round));
    made.count = ceil_div(made.end - made.begin, at->portion) * made.blocks;
    return made;
}

static gm_side own_part(const plan *at, int64_t round, const steps *of, int64_t step) {
    int64_t value = (first_block(at, round) + step % of->blocks) * at->values;
    gm_side part = gm_side_part(&at->own, 0, at->own.lanes, value, at->values);
    part.begin = of->begin + step / of->blocks * at->portion;
    part.end = min_of(of->end, part.begin + at->portion);
    part.packed = at->slots ? at->slots + gm_parallel_slot() * at->slot_floats : NULL;
    return part;
}

/* What a task packs after a step: for the next one, or for its first in the next round. */
static gm_ahead ahead_after(const plan *at, int64_t round, const steps *of, int64_t step, int64_t sweeps) {
    int64_t values = shared_part(at, round, step % of->blocks).values;
    if (++step == of->count) round++, step = 0;
    if (round == at->all_rounds || gm_side_in_blocks(&at->own) || values % GM_ASKED != 0) return (gm_ahead){0};
    gm_side next = own_part(at, round, of, step);
    return gm_ahead_in(&next, sweeps, values / GM_ASKED);
}

static void multiply_task(const plan *at, int64_t round, int64_t task) {
    int64_t lane = first_lane(at, round);
    steps of = steps_of(at, round, task);
    for (int64_t step = 0; step < of.count; step++) {
        int64_t i = step % of.blocks, block_index = first_block(at, round) + i;
        gm_side shared = shared_part(at, round, i), own = own_part(at, round, &of, step);
        gm_ahead next = ahead_after(at, round, &of, step, (own.end - own.begin) * gm_side_group_count(&shared));
        for (int64_t k = 0; k < gm_side_pack_tasks(&own); k++) gm_side_pack(&own, k);
        block both = {&own, &shared, 0, lane, block_index == 0, block_index == at->blocks - 1, &next};
        if (shared.is_a) both.a = &shared, both.b = &own, both.row0 = lane, both.column0 = 0;
        (at->product->taker ? take_block : write_block)(at, &both);
    }
    at->kernels->tiles_end();
}

static void pack_task(const plan *at, int64_t round, int64_t task) {
    gm_side first = shared_part(at, round, 0); /* no other has more tasks */
    int64_t i = task / gm_side_pack_tasks(&first);
    if (first_block(at, round) + i >= at->blocks) return;
    gm_side part = shared_part(at, round, i);
    gm_side_pack(&part, task % gm_side_pack_tasks(&first));
}

static void round_task(void *context, int64_t index) {
    const round *at = context;
    int64_t multiplies = at->index < 0 ? 0 : at->of->tasks;
    if (index < multiplies)
        multiply_task(at->of, at->index, index);
    else
        pack_task(at->of, at->index + 1, index - multiplies);
}

/* ---- The plan ---- */

/* The length of pieces of `all` that are as equal as can be, multiples of `unit`, `most` at most. */
static int64_t even_piece(int64_t all, int64_t most, int64_t unit) {
    int64_t pieces = max_of(1, ceil_div(all, most));
    return ceil_div(all, pieces * unit) * unit;
}

/* Lanes of a stretch, with what its last group may hold besides. */
static int64_t stretch_lanes(int64_t all) { return round_up(min_of(STRETCH, all), GM_WIDEST_PANEL) + GM_WIDEST_PANEL; }

static int64_t slot_floats(int64_t depth) { return max_of(OWN, GM_WIDEST_PANEL * depth); }

/* Panels of whole lines that lie in many sets of the L2, into which they are asked for: to pack them would be to copy them.
 * (48 to 256 rows times 1,000 to 12,544 columns: 1.03 to 1.2 times as fast; in parts of lines, or with as many rows as
 * columns, no faster.) */
static bool is_in_lines(const gm_side *at) {
    return !at->is_a && gm_in_lines(at->from, at->depth_step) && at->depth_step % SETS != 0;
}

/* (A single lane, packed, would be one for each row of a tile: 14,022 inputs of one sample to 76 take 1.6 times as long.) */
static bool is_packed(const gm_side *at, const gm_side *other, bool shared) {
    bool as_they_are = (at->lane_step == 1 || at->lanes == 1) && gm_side_is_plain(at);
    bool far = at->depth_step > NEAR && other->lanes > FEW;
    return !as_they_are || (far && (shared || !is_in_lines(at)));
}

/* The side with fewer lanes; or small panels, where there are more tiles to share out. */
static bool shares_rows(const gm_side *rows, const gm_side *columns) {
    gm_side panels = gm_side_part(columns, 0, columns->lanes, 0, DEPTH);
    return rows->lanes < columns->lanes &&
           !(is_small(&panels) && gm_side_group_count(rows) > gm_side_group_count(columns));
}

static void plan_sides(plan *at) {
    const gm_matrix_product *product = at->product;
    const gm_matrix *a = &product->a, *b = &product->b;
    const gm_bf16_parts *parts = gm_kernels_parts(product->precision);
    at->kernels = gm_kernels_for(parts ? GM_BF16_PAIRS : product->precision);
    gm_side rows = {.kernels = at->kernels, .values = product->depth, .parts = parts};
    rows.rounded = product->precision == GM_BF16;
    gm_side columns = rows;
    rows.is_a = true;
    rows.from = a->at, rows.lanes = product->rows, rows.lane_step = a->row, rows.depth_step = a->column;
    columns.from = b->at, columns.lanes = product->columns, columns.lane_step = b->column, columns.depth_step = b->row;
    at->shared = columns, at->own = rows;
    if (shares_rows(&rows, &columns)) at->shared = rows, at->own = columns;
}

static void plan_blocks(plan *at, float *workspace) {
    const gm_side *shared = &at->shared, *own = &at->own;
    int64_t each = gm_side_values_each(shared), parts = gm_side_part_count(shared),
            unit = max_of(GM_ASKED, gm_side_unit(shared));
    at->values = even_piece(shared->values, DEPTH / parts * each / unit * unit, unit);
    at->blocks = ceil_div(shared->values, at->values);
    int64_t depth = at->values / each * parts;
    at->block_floats = depth * stretch_lanes(shared->lanes);
    at->round_blocks = min_of(at->blocks, max_of(1, SHARED / at->block_floats));
    at->rounds = ceil_div(at->blocks, at->round_blocks);
    at->all_rounds = ceil_div(shared->lanes, STRETCH) * at->rounds;
    at->slot_floats = slot_floats(depth);
    int64_t buffer = at->round_blocks * at->block_floats;
    if (is_packed(shared, own, true)) at->buffers[0] = workspace, at->buffers[1] = workspace + buffer;
    if (is_packed(own, shared, false)) at->slots = workspace + 2 * buffer;
    int64_t width = own->is_a ? at->kernels->tile.rows : at->kernels->tile.panel, groups = gm_side_group_count(own);
    at->portion = max_of(1, OWN / (width * depth));
    at->tasks = min_of(groups, max_of(LEAST_TASKS, min_of(MOST_TASKS, ceil_div(groups, at->portion))));
}

void gm_matrix_multiply(const gm_matrix_product *product, float *workspace) {
    plan made = {.product = product};
    plan_sides(&made);
    plan_blocks(&made, workspace);
    int slots = gm_slots_for(product->rows * product->columns * product->depth, GM_SLOTS);
    for (round at = {&made, -1}; at.index < made.all_rounds; at.index++) {
        int64_t multiplies = at.index < 0 ? 0 : made.tasks, packs = 0;
        if (at.index + 1 < made.all_rounds) {
            gm_side next = shared_part(&made, at.index + 1, 0);
            packs = made.round_blocks * gm_side_pack_tasks(&next);
        }
        gm_parallel_for_both(multiplies, packs, slots, round_task, &at);
    }
}

int64_t gm_matrix_workspace(int64_t rows, int64_t columns, int64_t depth) {
    depth = round_up(min_of(depth, SHARED), GM_ASKED); /* no round is deeper */
    int64_t floats = min_of(DEPTH, depth), lanes = stretch_lanes(min_of(rows, columns));
    int64_t pairs = ceil_div(floats, 2 * MOST_UNIT) * MOST_UNIT;
    int64_t packed = max_of(min_of(DEPTH, GM_BF16_MOST_PARTS * pairs), floats);
    int64_t round = max_of(packed * lanes, min_of(SHARED, GM_BF16_MOST_PARTS * depth * lanes));
    int64_t small = 2 * OWN + packed * 2 * GM_WIDEST_PANEL; /* panels that are shared though they have more lanes */
    return 2 * max_of(round, small) + GM_SLOTS * slot_floats(packed);
}
