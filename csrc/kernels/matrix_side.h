/* One matrix of a product: its groups, how these are packed, and what is asked for before it is. */
#ifndef GM_KERNELS_MATRIX_SIDE_H
#define GM_KERNELS_MATRIX_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sizes.h"
#include "kernels/table.h"

/* A matrix of the product, or part of it: groups of lanes (rows of a: tiles, columns of b: panels). A packed group is
 * contiguous with its lanes side by side, depth after depth; zeros or copies of the last lane behind it. Operands of bfloat16
 * are rounded on the way; where an instruction multiplies pairs, two values along the depth become one, and the depth is
 * gone through once for each part of the operands. Where it multiplies whole blocks, each part fills such, with zeros behind
 * it, and a tile's lanes lie one after the other. */
typedef struct gm_side {
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
} gm_side;

static inline int64_t gm_side_values_each(const gm_side *at) { return at->parts ? 2 : 1; }

static inline int64_t gm_side_part_count(const gm_side *at) { return at->parts ? at->parts->count : 1; }

/* Floats that are packed as they are. */
static inline bool gm_side_is_plain(const gm_side *at) { return !at->rounded && !at->parts; }

static inline bool gm_side_in_blocks(const gm_side *at) { return at->kernels->tile.blocks; }

/* The values along the depth that can stand alone. */
static inline int64_t gm_side_unit(const gm_side *at) {
    return gm_side_values_each(at) * (gm_side_in_blocks(at) ? at->kernels->tile.vector : 1);
}

/* What a part, or all there is, takes of the depth. */
static inline int64_t gm_side_part_depth(const gm_side *at) {
    return ceil_div(at->values, gm_side_unit(at)) * (gm_side_unit(at) / gm_side_values_each(at));
}

static inline int64_t gm_side_group_count(const gm_side *at) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    return at->is_a ? ceil_div(at->lanes, tile->rows) : gm_panel_count(tile, at->lanes);
}

static inline gm_panel gm_side_group(const gm_side *at, int64_t index) {
    const gm_tile_sizes *tile = &at->kernels->tile;
    if (!at->is_a) return gm_panel_at(tile, at->lanes, index);
    return (gm_panel){index * tile->rows, min_of(tile->rows, at->lanes - index * tile->rows), tile->rows};
}

/* The part of a side with these lanes, at these places along its depth. */
static inline gm_side gm_side_part(const gm_side *whole, int64_t lane, int64_t lanes, int64_t value, int64_t values) {
    gm_side part = *whole;
    part.from += lane * part.lane_step + value * part.depth_step;
    part.lanes = min_of(lanes, whole->lanes - lane);
    part.values = min_of(values, whole->values - value);
    part.depth = gm_side_part_count(&part) * gm_side_part_depth(&part);
    part.end = gm_side_group_count(&part);
    return part;
}

/* ---- Packing ---- */

/* The groups in use are packed in so many tasks, each of which may run on any thread. */
int64_t gm_side_pack_tasks(const gm_side *at);
void gm_side_pack(const gm_side *at, int64_t task);

/* Where a group is to be read; how far apart its depths are, its lanes, and its parts. */
typedef struct gm_packed_group {
    const float *at;
    int64_t depth_step, lane_step, low;
} gm_packed_group;

gm_packed_group gm_side_packed_group(const gm_side *at, gm_panel group);

/* ---- Asking for what comes next ---- */

enum { GM_ASKED = GM_LINE_FLOATS }; /* values along the depth: a sweep asks each time it has gone so far */

/* What a task packs next: depths or lanes, whichever lie apart in memory. Each sweep asks for some of them. (All at the
 * beginning, or a tile's share before the tile, gains nothing: processors wait where they are asked for more than they
 * can note down.) */
typedef struct gm_ahead {
    const float *at;
    int64_t left, each, step;                   /* so many of them, of which a sweep has so many, so far apart */
    int64_t times, lines, line_step, next_step; /* as gm_asked has them */
} gm_ahead;

/* A part, in this many sweeps, each of which asks `times` times. */
gm_ahead gm_ahead_in(const gm_side *part, int64_t sweeps, int64_t times);

/* The next sweep's share. */
gm_asked gm_ask(gm_ahead *next);

#endif
