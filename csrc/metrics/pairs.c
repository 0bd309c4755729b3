#include "metrics/pairs.h"

#include "base/parallel.h"
#include "base/shape.h"
#include "base/sizes.h"
#include "kernels/table.h"

enum {
    BLOCK_ROWS = 32,               /* rows that share a panel while it is in the cache */
    MOST_TILE = 16 * GM_PAIR_ROWS, /* values in the widest tile */
};

static void pack(const gm_pairs *pairs, const double *y) {
    for (int64_t c = 0; c < pairs->C; c++, y += pairs->D) {
        double *to = pairs->panels + c / pairs->width * pairs->width * pairs->D + c % pairs->width;
        for (int64_t d = 0; d < pairs->D; d++) to[d * pairs->width] = y[d];
    }
}

gm_status gm_pairs_create(int64_t R, int64_t C, int64_t D, const double *x, const double *y, gm_pairs *pairs,
                          gm_error *error) {
    int64_t width = gm_kernels_active()->tile.vector, size;
    *pairs = (gm_pairs){.R = R, .C = C, .D = D, .x = x, .width = width};
    int64_t columns = round_up(C, width);
    GM_TRY(gm_size_multiply(columns, D, &size, "packed features", error));
    GM_TRY(gm_size_multiply(size, (int64_t)sizeof(double), &size, "packed features", error));
    gm_arena measured = gm_arena_measuring();
    (void)gm_arena_bytes(&measured, size);
    GM_TRY(gm_arena_create(&measured, &pairs->memory, "packed features", error));
    pairs->panels = gm_arena_doubles(&pairs->memory, columns * D);
    pack(pairs, y);
    return GM_OK;
}

void gm_pairs_free(gm_pairs *pairs) { gm_arena_free(&pairs->memory); }

typedef struct visit {
    const gm_pairs *pairs;
    gm_pair_value value;
    int64_t first;
    gm_pair_visitor visitor;
    void *context;
} visit;

/* Rows r..r+rows-1 beside one panel. */
static void visit_tile(const visit *call, int64_t r, int64_t rows, int64_t c) {
    const gm_kernels *kernels = gm_kernels_active();
    const gm_pairs *pairs = call->pairs;
    double value[MOST_TILE];
    (call->value == GM_PRODUCT ? kernels->product_tile : kernels->distance_tile)(
        rows, pairs->D, pairs->x + r * pairs->D, pairs->panels + c * pairs->D, value);
    gm_pair_tile tile = {r, rows, c, min_of(pairs->width, pairs->C - c), pairs->width, value};
    call->visitor(call->context, &tile);
}

static void visit_block(void *context, int64_t at, int64_t rows) {
    const visit *call = context;
    int64_t begin = call->first + at, end = begin + rows;
    for (int64_t c = 0; c < call->pairs->C; c += call->pairs->width)
        for (int64_t r = begin; r < end; r += GM_PAIR_ROWS) visit_tile(call, r, min_of(GM_PAIR_ROWS, end - r), c);
}

void gm_pairs_visit(const gm_pairs *pairs, gm_pair_value value, int64_t first, int64_t last, gm_pair_visitor visitor,
                    void *context) {
    visit call = {pairs, value, first, visitor, context};
    gm_parallel_pieces(last - first, BLOCK_ROWS, visit_block, &call);
}
