#include "kernels/matrix_side.h"

#include <string.h>

static float *packed_at(const gm_side *at, gm_panel group) {
    return at->packed + (group.first - gm_side_group(at, at->begin).first) * at->depth;
}

gm_packed_group gm_side_packed_group(const gm_side *at, gm_panel group) {
    int64_t low = gm_side_part_count(at) > 1 ? gm_side_part_depth(at) : 0;
    if (!at->packed) return (gm_packed_group){at->from + group.first, at->depth_step, 1, 0};
    if (gm_side_in_blocks(at) && at->is_a) return (gm_packed_group){packed_at(at, group), 1, at->depth, low};
    return (gm_packed_group){packed_at(at, group), group.width, 1, low * group.width};
}

enum { STRIP = GM_LINE_FLOATS, ROWS_A_TASK = GM_LINE_FLOATS };

/* The lines of some floats, which may begin within one. Rows may lie pages apart: nobody else foresees them (1.2 times). */
static inline void ask_for(const float *from, int64_t count) {
    for (int64_t i = 0; i < count; i += GM_LINE_FLOATS) __builtin_prefetch(from + i);
    __builtin_prefetch(from + count - 1);
}

/* `count` lanes from `lane` on, at depth d, as they are packed where that is not as they are. */
static void make_row(const gm_side *at, int64_t d, int64_t lane, int64_t count, float *to) {
    int64_t each = gm_side_part_depth(at), value = d % each * gm_side_values_each(at);
    const float *row = at->from + value * at->depth_step + lane;
    const float *next = value + 1 < at->values ? row + at->depth_step : NULL;
    for (int64_t v = 0; v < gm_side_values_each(at); v++)
        ask_for(row + (gm_side_values_each(at) * ROWS_A_TASK + v) * at->depth_step, count);
    if (value >= at->values)
        memset(to, 0, (size_t)count * sizeof *to);
    else if (at->parts)
        at->kernels->bf16_pair(at->parts->part[d / each], count, row, next, to);
    else
        at->kernels->bf16_round(count, row, to);
}

/* The same of the others. Groups are short: a call of memcpy each costs as much as they do. */
static void copy_row(const gm_side *at, int64_t d, int64_t lane, int64_t count, float *to) {
    const float *row = at->from + d * at->depth_step + lane;
    int64_t i = 0;
    ask_for(row + ROWS_A_TASK * at->depth_step, count);
    for (; i + 4 <= count; i += 4) memcpy(to + i, row + i, 4 * sizeof *to);
    for (; i < count; i++) to[i] = row[i];
}

/* Lanes that are neighbours in memory: a few rows a task, group after group. */
static void copy_rows(const gm_side *at, int64_t task) {
    int64_t begin = task * ROWS_A_TASK, end = min_of(at->depth, begin + ROWS_A_TASK);
    for (int64_t g = at->begin; g < at->end; g++) {
        gm_panel group = gm_side_group(at, g);
        float *to = packed_at(at, group) + begin * group.width;
        for (int64_t d = begin; d < end; d++, to += group.width) {
            (gm_side_is_plain(at) ? copy_row : make_row)(at, d, group.first, group.columns, to);
            for (int64_t i = group.columns; i < group.width; i++) to[i] = 0.0f;
        }
    }
}

/* Such lanes, one after the other: the rows of some groups at a time, and then squares. */
static void turn_rows(const gm_side *at, int64_t task) {
    enum { LANES = 256 };
    float made[ROWS_A_TASK][LANES];
    const float *row[ROWS_A_TASK];
    int64_t begin = task * ROWS_A_TASK, width = gm_side_group(at, at->begin).width;
    int64_t last = min_of(at->lanes, at->end * width);
    for (int64_t lane = at->begin * width; lane < last && begin < at->depth; lane += LANES) {
        int64_t count = min_of(LANES, last - lane);
        float *to = at->packed + (lane - at->begin * width) * at->depth + begin;
        for (int64_t d = 0; d < ROWS_A_TASK; d++) make_row(at, begin + d, lane, count, made[d]), row[d] = made[d];
        at->kernels->turn(ROWS_A_TASK, count, row, to, at->depth);
    }
}

/* The strip of a lane's part that begins with packed value d. The one after the next is asked for: the next would come late
 * (wide layers 1.06 to 1.12 times). */
static void make_strip(const gm_side *at, int64_t lane, int64_t part, int64_t d, float made[STRIP]) {
    int64_t each = gm_side_values_each(at), first = d * each;
    int64_t values = max_of(0, min_of(each * STRIP, at->values - first));
    const float *from = at->from + lane * at->lane_step + first;
    __builtin_prefetch(from + 2 * STRIP * each);
    if (values < each * STRIP) memset(made, 0, STRIP * sizeof *made);
    if (at->parts)
        at->kernels->bf16_pair_neighbours(at->parts->part[part], values, from, made);
    else
        at->kernels->bf16_round(values, from, made);
}

/* Some lanes of a part, or of all there is, whose values are not as they are packed. */
static void turn_strips(const gm_side *at, int64_t lanes, const int64_t *index, int64_t part, float *to,
                        int64_t width) {
    int64_t depth = gm_side_part_depth(at);
    float made[STRIP][STRIP];
    const float *lane[STRIP];
    for (int64_t i = 0; i < lanes; i++) lane[i] = made[i];
    for (int64_t d = 0; d < depth; d += STRIP) {
        for (int64_t i = 0; i < lanes; i++) make_strip(at, index[i], part, d, made[i]);
        at->kernels->turn(lanes, min_of(STRIP, depth - d), lane, to + d * width, width);
    }
}

/* Lanes that are contiguous along the depth, a group a task. */
static void turn_lanes(const gm_side *at, int64_t index) {
    gm_panel group = gm_side_group(at, index);
    int64_t last = group.first + group.columns - 1, depth = gm_side_part_depth(at);
    for (int64_t l = 0; l < group.width; l += STRIP) {
        int64_t lanes = min_of(STRIP, group.width - l), which[STRIP];
        const float *lane[STRIP];
        float *to = packed_at(at, group) + l;
        for (int64_t i = 0; i < lanes; i++) {
            which[i] = min_of(group.first + l + i, last);
            lane[i] = at->from + which[i] * at->lane_step;
        }
        if (gm_side_is_plain(at)) at->kernels->turn(lanes, depth, lane, to, group.width);
        for (int64_t part = 0; !gm_side_is_plain(at) && part < gm_side_part_count(at); part++)
            turn_strips(at, lanes, which, part, to + part * depth * group.width, group.width);
    }
}

/* Such lanes, one after the other. */
static void copy_lanes(const gm_side *at, int64_t index) {
    gm_panel group = gm_side_group(at, index);
    int64_t depth = gm_side_part_depth(at), made = ceil_div(at->values, gm_side_values_each(at));
    for (int64_t lane = 0; lane < group.columns; lane++)
        for (int64_t part = 0; part < at->parts->count; part++) {
            float *to = packed_at(at, group) + lane * at->depth + part * depth;
            at->kernels->bf16_pair_neighbours(at->parts->part[part], at->values,
                                              at->from + (group.first + lane) * at->lane_step, to);
            memset(to + made, 0, (size_t)(depth - made) * sizeof *to);
        }
}

int64_t gm_side_pack_tasks(const gm_side *at) {
    if (!at->packed || at->begin == at->end) return 0;
    return at->lane_step == 1 ? ceil_div(at->depth, ROWS_A_TASK) : at->end - at->begin;
}

void gm_side_pack(const gm_side *at, int64_t task) {
    bool by_lanes = gm_side_in_blocks(at) && at->is_a, rows = at->lane_step == 1;
    if (rows && by_lanes)
        turn_rows(at, task);
    else if (rows)
        copy_rows(at, task);
    else if (by_lanes)
        copy_lanes(at, at->begin + task);
    else
        turn_lanes(at, at->begin + task);
}

/* ---- Asking for what comes next ---- */

gm_ahead gm_ahead_in(const gm_side *part, int64_t sweeps, int64_t times) {
    gm_panel begin = gm_side_group(part, part->begin), last = gm_side_group(part, part->end - 1);
    int64_t lanes = last.first + last.columns - begin.first;
    gm_ahead made = {.at = part->from + begin.first * part->lane_step, .times = times};
    if (part->lane_step == 1) { /* a depth each time, which may begin within a line */
        made.left = part->values, made.each = times, made.step = part->depth_step;
        made.lines = ceil_div(lanes, GM_LINE_FLOATS) + 1, made.line_step = GM_LINE_FLOATS, made.next_step = made.step;
    } else { /* lanes along the depth, a line of each every time */
        made.left = lanes, made.each = ceil_div(lanes, sweeps), made.step = part->lane_step;
        made.lines = made.each, made.line_step = made.step, made.next_step = GM_LINE_FLOATS;
    }
    return made;
}

gm_asked gm_ask(gm_ahead *next) {
    if (next->left <= 0) return (gm_asked){0};
    gm_asked share = {next->at, next->lines, next->line_step, next->next_step, next->times};
    next->at += next->each * next->step, next->left -= next->each;
    return share;
}
