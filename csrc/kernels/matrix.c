/* Products of matrices in blocks that stay in the caches.
 *
 * Both sides are packed: a into tiles of a few rows, b into panels of a few vectors, each contiguous along the depth. In
 * place their rows may be pages apart, or at distances that fill one set of the cache only. What is met by few others, or
 * has its rows close together, is read where it is.
 *
 * The side with fewer lanes (rows of a, columns of b) is packed for all. Of the other each task packs what it multiplies:
 * weights of a wide layer (157 MB in one of the reference models) come from memory once, to the cache where they are used.
 *
 *     for a stretch of the shared side's lanes
 *         for some blocks of the depth     a round: packed for all, they stay in the L3
 *             tasks: for each block        so long that a tile stays in the L1, a panel in the L2
 *                        pack some groups of the other side and multiply them with the whole stretch;
 *                    then, while others still multiply, pack for the next round
 *
 * Every block's sums start at zero; the first are `out`, or added to the bias, and the others added to it in the order of the
 * blocks, so that long sums lose little. The epilogue follows the last block, while the values are in the cache. Which side is
 * shared changes no bit. */
#include "kernels/matrix.h"

#include <string.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/epilogue.h"
#include "kernels/turn.h"

enum {
    DEPTH = GM_TAKEN_BATCH, /* of a block: a tile of 12 rows is 24 KB, a panel of 64 columns 128 KB */
    STRETCH = 1024,         /* lanes of the shared side: 2 MB a block */
    SHARED = 512 << 10,     /* floats of a round, or those of one block: 2 MB */
    OWN = 64 << 10,         /* floats that a task packs, or those of one group: 256 KB */
    TASKS = 16,             /* at least, where there are so many groups */
    FEW = 36,   /* lanes: what meets no more is not worth packing (1.2 times as fast in place, with 12 lanes 3 times) */
    NEAR = 256, /* floats, 1 KB: rows no further apart use all sets of the caches, and several share a page */
    TAKEN = 512,   /* columns of the rows that are taken: with those of a tile 64 KB, and long enough to be foreseen */
    MOST_UNIT = 16 /* no block of any instruction set is longer along the depth */
};

/* A matrix of the product, or part of it: groups of lanes (rows of a: tiles, columns of b: panels). A packed group is
 * contiguous with its lanes side by side, depth after depth; zeros or copies of the last lane behind it. Operands of bfloat16
 * are rounded on the way; where an instruction multiplies pairs, two values along the depth become one, and the depth is
 * gone through once for each part of the operands. Where it multiplies whole blocks, each part fills such, with zeros behind
 * it, and a tile's lanes lie one after the other. */
typedef struct side {
    const gm_kernels *kernels;
    bool rounded;               /* floats are */
    const gm_bf16_parts *parts; /* of pairs; NULL: floats */
    const float *from;
    int64_t lanes, values;         /* of this part */
    int64_t depth;                 /* values, or pairs of them for each part */
    int64_t lane_step, depth_step; /* in `from` */
    bool is_a;                     /* groups are tiles, all of one width; else panels */
    int64_t begin, end;            /* the groups in use */
    float *packed;                 /* where these are; NULL: read in place, where lanes are neighbours */
} side;

typedef struct plan {
    const gm_matrix_product *product;
    const gm_kernels *kernels;
    side shared, own;             /* whole */
    int64_t values, blocks;       /* of a block along the depth; blocks */
    int64_t round_blocks, rounds; /* blocks of a round, rounds along the depth */
    int64_t tasks;                /* of a round, that multiply */
    int64_t block_floats;         /* of the shared side, packed */
    int64_t slot_floats;
    float *buffers[2], *slots; /* where rounds are packed, in turn, and where threads pack; NULL: read in place */
} plan;

/* A round that is multiplied while the next one is packed; numbered stretch by stretch. */
typedef struct round {
    const plan *of;
    int64_t index; /* -1: before the first */
} round;

/* ---- Packing ---- */

static int64_t values_each(const side *at) { return at->parts ? 2 : 1; }

static int64_t part_count(const side *at) { return at->parts ? at->parts->count : 1; }

static bool in_blocks(const side *at) { return at->kernels->tile.blocks; }

/* The values along the depth that can stand alone. */
static int64_t unit_of(const side *at) { return values_each(at) * (in_blocks(at) ? at->kernels->tile.vector : 1); }

/* What a part, or all there is, takes of the depth. */
static int64_t part_depth(const side *at) {
    return ceil_div(at->values, unit_of(at)) * (unit_of(at) / values_each(at));
}

static int64_t group_count(const side *at) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    return at->is_a ? ceil_div(at->lanes, tile->rows) : gm_panel_count(tile, at->lanes);
}

static gm_panel group_at(const side *at, int64_t index) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    if (!at->is_a) return gm_panel_at(tile, at->lanes, index);
    return (gm_panel){index * tile->rows, min_of(tile->rows, at->lanes - index * tile->rows), tile->rows};
}

static float *packed_at(const side *at, gm_panel group) {
    return at->packed + (group.first - group_at(at, at->begin).first) * at->depth;
}

/* Where a group is to be read; how far apart its depths are, its lanes, and its parts. */
typedef struct packed_group {
    const float *at;
    int64_t depth_step, lane_step, low;
} packed_group;

static packed_group group_in(const side *at, gm_panel group) {
    int64_t low = part_count(at) > 1 ? part_depth(at) : 0;
    if (!at->packed) return (packed_group){at->from + group.first, at->depth_step, 1, 0};
    if (in_blocks(at) && at->is_a) return (packed_group){packed_at(at, group), 1, at->depth, low};
    return (packed_group){packed_at(at, group), group.width, 1, low * group.width};
}

enum { STRIP = GM_LINE_FLOATS, ROWS_A_TASK = GM_TURNED_ROWS };

/* `count` lanes from `lane` on, at depth d, as they are packed. */
static void make_row(const side *at, int64_t d, int64_t lane, int64_t count, float *to) {
    int64_t each = part_depth(at), value = d % each * values_each(at);
    const float *row = at->from + value * at->depth_step + lane;
    const float *next = value + 1 < at->values ? row + at->depth_step : NULL;
    for (int64_t i = 0; i < count; i += STRIP) /* rows may lie pages apart: nobody else foresees them (1.2 times) */
        for (int64_t v = 0; v < values_each(at); v++)
            __builtin_prefetch(row + (values_each(at) * ROWS_A_TASK + v) * at->depth_step + i);
    if (value >= at->values)
        memset(to, 0, (size_t)count * sizeof *to);
    else if (at->parts)
        at->kernels->bf16_pair(at->parts->part[d / each], count, row, next, to);
    else if (at->rounded)
        at->kernels->bf16_round(count, row, to);
    else
        memcpy(to, row, (size_t)count * sizeof *to);
}

/* Lanes that are neighbours in memory: a few rows a task, group after group. */
static void copy_rows(const side *at, int64_t task) {
    int64_t begin = task * ROWS_A_TASK, end = min_of(at->depth, begin + ROWS_A_TASK);
    for (int64_t g = at->begin; g < at->end; g++) {
        gm_panel group = group_at(at, g);
        float *to = packed_at(at, group) + begin * group.width;
        for (int64_t d = begin; d < end; d++, to += group.width) {
            make_row(at, d, group.first, group.columns, to);
            for (int64_t i = group.columns; i < group.width; i++) to[i] = 0.0f;
        }
    }
}

/* Such lanes, one after the other: the rows of some groups at a time, and then squares. */
static void turn_rows(const side *at, int64_t task) {
    enum { LANES = 256 };
    float made[ROWS_A_TASK][LANES];
    int64_t begin = task * ROWS_A_TASK, width = group_at(at, at->begin).width;
    int64_t last = min_of(at->lanes, at->end * width);
    for (int64_t lane = at->begin * width; lane < last && begin < at->depth; lane += LANES) {
        int64_t count = min_of(LANES, last - lane);
        float *to = at->packed + (lane - at->begin * width) * at->depth + begin;
        for (int64_t d = 0; d < ROWS_A_TASK; d++) make_row(at, begin + d, lane, count, made[d]);
        gm_turn_rows(made[0], LANES, count, to, at->depth);
    }
}

/* The strip of a lane's part that begins with packed value d: where it is, or in `made`. The one after the next is asked for:
 * the next would come late (wide layers 1.06 to 1.12 times). */
static const float *strip_of(const side *at, int64_t lane, int64_t part, int64_t d, float made[STRIP]) {
    int64_t first = d * values_each(at);
    const float *from = at->from + lane * at->lane_step + first;
    __builtin_prefetch(from + 2 * STRIP * values_each(at));
    int64_t values = max_of(0, min_of(values_each(at) * STRIP, at->values - first));
    if (values < values_each(at) * STRIP) memset(made, 0, STRIP * sizeof *made);
    if (at->parts)
        at->kernels->bf16_pair_neighbours(at->parts->part[part], values, from, made);
    else if (at->rounded)
        at->kernels->bf16_round(values, from, made);
    else
        return from;
    return made;
}

/* One part of a group, or all of it. */
static void turn_part(const side *at, gm_panel group, int64_t part) {
    int64_t first = group.first, last = first + group.columns - 1, depth = part_depth(at);
    float made[4][STRIP];
    for (int64_t d = 0; d < depth; d += STRIP) {
        float *to = packed_at(at, group) + (part * depth + d) * group.width;
        int64_t length = min_of(STRIP, depth - d);
        for (int64_t l = 0; l < group.width; l += 4) {
            const float *lane[4];
            int64_t lanes = min_of(4, group.width - l), k = 0;
            for (int64_t i = 0; i < lanes; i++) lane[i] = strip_of(at, min_of(first + l + i, last), part, d, made[i]);
            for (; lanes == 4 && k + 4 <= length; k += 4) gm_turn(lane, k, to + l, group.width);
            for (; k < length; k++)
                for (int64_t i = 0; i < lanes; i++) to[k * group.width + l + i] = lane[i][k];
        }
    }
}

/* Lanes that are contiguous along the depth, a group a task: squares, and what these leave one by one. */
static void turn_lanes(const side *at, int64_t index) {
    for (int64_t part = 0; part < part_count(at); part++) turn_part(at, group_at(at, index), part);
}

/* Such lanes, one after the other. */
static void copy_lanes(const side *at, int64_t index) {
    gm_panel group = group_at(at, index);
    int64_t depth = part_depth(at), made = ceil_div(at->values, values_each(at));
    for (int64_t lane = 0; lane < group.columns; lane++)
        for (int64_t part = 0; part < at->parts->count; part++) {
            float *to = packed_at(at, group) + lane * at->depth + part * depth;
            at->kernels->bf16_pair_neighbours(at->parts->part[part], at->values,
                                              at->from + (group.first + lane) * at->lane_step, to);
            memset(to + made, 0, (size_t)(depth - made) * sizeof *to);
        }
}

static int64_t pack_tasks(const side *at) {
    if (!at->packed || at->begin == at->end) return 0;
    return at->lane_step == 1 ? ceil_div(at->depth, ROWS_A_TASK) : at->end - at->begin;
}

static void pack(const side *at, int64_t task) {
    bool by_lanes = in_blocks(at) && at->is_a, rows = at->lane_step == 1;
    if (rows && by_lanes)
        turn_rows(at, task);
    else if (rows)
        copy_rows(at, task);
    else if (by_lanes)
        copy_lanes(at, at->begin + task);
    else
        turn_lanes(at, at->begin + task);
}

/* ---- Multiplying ---- */

static void begin_rows(const plan *at, int64_t rows, int64_t column, int64_t columns, float *out) {
    const float *bias = at->product->epilogue.bias + column;
    for (int64_t m = 0; m < rows; m++, out += at->product->columns) memcpy(out, bias, (size_t)columns * sizeof *out);
}

static void finish_rows(const plan *at, int64_t rows, int64_t columns, float *out) {
    const gm_matrix_product *product = at->product;
    for (int64_t m = 0; m < rows; m++, out += product->columns)
        gm_end_values(at->kernels, &product->epilogue, out - product->out, columns, product->out);
}

/* One block of the depth, of some groups of each side. */
typedef struct block {
    const side *a, *b;
    int64_t row0, column0; /* of the sides' first lanes */
    bool first, last;      /* along the depth */
} block;

/* A tile of a times a panel of b, into rows of `out` so far apart, in as many pieces as the panel's width asks for. */
static void multiply_groups(const plan *at, const block *of, gm_panel tile, gm_panel panel, float *out,
                            int64_t stride) {
    int64_t most = gm_tile_rows(&at->kernels->tile, panel.columns);
    packed_group x = group_in(of->a, tile), y = group_in(of->b, panel);
    gm_sweep sweep = {.N = 1,
                      .I = 1,
                      .J = part_depth(of->a),
                      .x_j = x.depth_step,
                      .x_m = x.lane_step,
                      .y_j = y.depth_step,
                      .low = {x.low, y.low}};
    bool begins = of->first && !at->product->add;
    if (begins && at->product->epilogue.bias)
        begin_rows(at, tile.columns, of->column0 + panel.first, panel.columns, out);
    sweep.fresh = begins && !at->product->epilogue.bias;
    for (int64_t row = 0; row < tile.columns; row += most)
        at->kernels->outer_tile(min_of(most, tile.columns - row), panel.columns, &sweep, x.at + row * x.lane_step, y.at,
                                out + row * stride, stride);
    if (of->last && !at->product->take) finish_rows(at, tile.columns, panel.columns, out);
}

/* Panels that all stay in the L2. */
static bool is_small(const side *columns) { return columns->lanes * columns->depth <= OWN; }

static void write_groups(const plan *at, const block *of, int64_t tile_index, int64_t panel_index) {
    gm_panel tile = group_at(of->a, tile_index), panel = group_at(of->b, panel_index);
    int64_t stride = at->product->columns, row = of->row0 + tile.first, column = of->column0 + panel.first;
    multiply_groups(at, of, tile, panel, at->product->out + row * stride + column, stride);
}

/* The larger side outermost; but over small panels rows of `out` are written whole. */
static void write_block(const plan *at, const block *of) {
    bool by_tiles = at->shared.is_a || is_small(of->b);
    const side *outer = by_tiles ? of->a : of->b, *inner = by_tiles ? of->b : of->a;
    for (int64_t i = outer->begin; i < outer->end; i++)
        for (int64_t j = inner->begin; j < inner->end; j++) write_groups(at, of, by_tiles ? i : j, by_tiles ? j : i);
}

/* A tile's rows in the panels begin..end-1. */
static void take_rows(const plan *at, const block *of, int64_t tile_index, int64_t begin, int64_t end) {
    float rows[GM_TALLEST_TILE * TAKEN];
    gm_panel tile = group_at(of->a, tile_index);
    int64_t first = group_at(of->b, begin).first, columns = 0;
    for (int64_t j = begin; j < end; j++) {
        gm_panel panel = group_at(of->b, j);
        multiply_groups(at, of, tile, panel, rows + panel.first - first, TAKEN);
        columns = panel.first + panel.columns - first;
    }
    for (int64_t m = 0; m < tile.columns; m++)
        at->product->take(at->product->context, of->row0 + tile.first + m, of->column0 + first, columns,
                          rows + m * TAKEN);
}

static void take_block(const plan *at, const block *of) {
    const int64_t panels = TAKEN / at->kernels->tile.panel;
    for (int64_t j = of->b->begin; j < of->b->end; j += panels)
        for (int64_t i = of->a->begin; i < of->a->end; i++) take_rows(at, of, i, j, min_of(of->b->end, j + panels));
}

/* ---- Rounds ---- */

/* The part of a side with these lanes, at these places along its depth. */
static side part_of(const side *whole, int64_t lane, int64_t lanes, int64_t value, int64_t values) {
    side part = *whole;
    part.from += lane * part.lane_step + value * part.depth_step;
    part.lanes = min_of(lanes, whole->lanes - lane);
    part.values = min_of(values, whole->values - value);
    part.depth = part_count(&part) * part_depth(&part);
    part.end = group_count(&part);
    return part;
}

static int64_t first_lane(const plan *at, int64_t round) { return round / at->rounds * STRETCH; }
static int64_t first_block(const plan *at, int64_t round) { return round % at->rounds * at->round_blocks; }

/* The round's stretch of the shared side, in its block i. */
static side shared_part(const plan *at, int64_t round, int64_t i) {
    int64_t value = (first_block(at, round) + i) * at->values;
    side part = part_of(&at->shared, first_lane(at, round), STRETCH, value, at->values);
    float *buffer = at->buffers[round % 2];
    part.packed = buffer ? buffer + i * at->block_floats : NULL;
    return part;
}

static void multiply_task(const plan *at, int64_t round, int64_t task) {
    int64_t lane = first_lane(at, round), begin = first_block(at, round);
    int64_t end = min_of(at->blocks, begin + at->round_blocks), groups = group_count(&at->own);
    for (int64_t i = begin; i < end; i++) {
        side shared = shared_part(at, round, i - begin);
        side own = part_of(&at->own, 0, at->own.lanes, i * at->values, at->values);
        own.begin = groups * task / at->tasks, own.end = groups * (task + 1) / at->tasks;
        own.packed = at->slots ? at->slots + gm_parallel_slot() * at->slot_floats : NULL;
        for (int64_t k = 0; k < pack_tasks(&own); k++) pack(&own, k);
        block of = {&own, &shared, 0, lane, i == 0, i == at->blocks - 1};
        if (shared.is_a) of = (block){&shared, &own, lane, 0, i == 0, i == at->blocks - 1};
        (at->product->take ? take_block : write_block)(at, &of);
    }
    at->kernels->tiles_end();
}

static void pack_task(const plan *at, int64_t round, int64_t task) {
    side first = shared_part(at, round, 0); /* no other has more tasks */
    int64_t i = task / pack_tasks(&first);
    if (first_block(at, round) + i >= at->blocks) return;
    side part = shared_part(at, round, i);
    pack(&part, task % pack_tasks(&first));
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

static bool is_packed(const side *at, const side *other) {
    bool as_they_are = at->lane_step == 1 && !at->rounded && !at->parts;
    return !as_they_are || (at->depth_step > NEAR && other->lanes > FEW);
}

/* The side with fewer lanes; or small panels, where there are more tiles to share out. */
static bool shares_rows(const side *rows, const side *columns) {
    side panels = part_of(columns, 0, columns->lanes, 0, DEPTH);
    return rows->lanes < columns->lanes && !(is_small(&panels) && group_count(rows) > group_count(columns));
}

static void plan_sides(plan *at) {
    const gm_matrix_product *product = at->product;
    const gm_matrix *a = &product->a, *b = &product->b;
    const gm_bf16_parts *parts = gm_kernels_parts(product->precision);
    at->kernels = gm_kernels_for(parts ? GM_BF16_PAIRS : product->precision);
    side rows = {.kernels = at->kernels, .values = product->depth, .parts = parts};
    rows.rounded = product->precision == GM_BF16;
    side columns = rows;
    rows.is_a = true;
    rows.from = a->at, rows.lanes = product->rows, rows.lane_step = a->row, rows.depth_step = a->column;
    columns.from = b->at, columns.lanes = product->columns, columns.lane_step = b->column, columns.depth_step = b->row;
    at->shared = columns, at->own = rows;
    if (shares_rows(&rows, &columns)) at->shared = rows, at->own = columns;
}

static void plan_blocks(plan *at, float *workspace) {
    const side *shared = &at->shared, *own = &at->own;
    int64_t each = values_each(shared), parts = part_count(shared), unit = unit_of(shared);
    at->values = even_piece(shared->values, DEPTH / parts * each / unit * unit, unit);
    at->blocks = ceil_div(shared->values, at->values);
    int64_t depth = at->values / each * parts;
    at->block_floats = depth * stretch_lanes(shared->lanes);
    at->round_blocks = min_of(at->blocks, max_of(1, SHARED / at->block_floats));
    at->rounds = ceil_div(at->blocks, at->round_blocks);
    at->slot_floats = slot_floats(depth);
    int64_t buffer = at->round_blocks * at->block_floats;
    if (is_packed(shared, own)) at->buffers[0] = workspace, at->buffers[1] = workspace + buffer;
    if (is_packed(own, shared)) at->slots = workspace + 2 * buffer;
    int64_t width = own->is_a ? at->kernels->tile.rows : at->kernels->tile.panel, groups = group_count(own);
    int64_t most = max_of(1, OWN / (width * depth));
    at->tasks = min_of(groups, max_of(TASKS, ceil_div(groups, most)));
}

void gm_matrix_multiply(const gm_matrix_product *product, float *workspace) {
    plan made = {.product = product};
    plan_sides(&made);
    plan_blocks(&made, workspace);
    int64_t rounds = ceil_div(made.shared.lanes, STRETCH) * made.rounds;
    for (round at = {&made, -1}; at.index < rounds; at.index++) {
        int64_t tasks = at.index < 0 ? 0 : made.tasks;
        if (at.index + 1 < rounds) {
            side next = shared_part(&made, at.index + 1, 0);
            tasks += made.round_blocks * pack_tasks(&next);
        }
        gm_parallel_for_slots(tasks, GM_SLOTS, round_task, &at);
    }
}

int64_t gm_matrix_workspace(int64_t rows, int64_t columns, int64_t depth) {
    int64_t floats = min_of(DEPTH, depth), lanes = stretch_lanes(min_of(rows, columns));
    int64_t pairs = ceil_div(floats, 2 * MOST_UNIT) * MOST_UNIT;
    int64_t packed = max_of(min_of(DEPTH, GM_BF16_MOST_PARTS * pairs), floats);
    int64_t round = max_of(packed * lanes, min_of(SHARED, GM_BF16_MOST_PARTS * min_of(SHARED, depth) * lanes));
    int64_t small = 2 * OWN + packed * 2 * GM_WIDEST_PANEL; /* panels that are shared though they have more lanes */
    return 2 * max_of(round, small) + GM_SLOTS * slot_floats(packed);
}
