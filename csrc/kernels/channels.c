/* Sums and maps by channel. The sums of a piece go to its own row of the workspace; the rows are then added in order,
 * and the columns that belong to one channel are folded together. */
#include <string.h>

#include "base/parallel.h"
#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/bfloat.h"
#include "kernels/streams.h"
#include "kernels/table.h"

enum { PIECE = 16384, FEWEST_ROWS = 16, MOST_PIECES = 64, NARROW = 64 };

/* Few enough pieces that their sums stay small beside the array, however wide its rows are. */
static int64_t smallest_piece(int64_t width) { return max_of(PIECE, FEWEST_ROWS * width); }

/* Narrow rows are taken together: several, and so many that they are whole vectors. */
static int64_t rows_together(int64_t C) {
    int64_t whole = 1;
    while (C * whole % GM_LINE_FLOATS != 0) whole *= 2;
    return C < NARROW ? round_up(NARROW / C, whole) : 1;
}

gm_channels gm_channels_of(int64_t rows, int64_t C) {
    gm_channels channels = {.C = C, .repeat = rows_together(C), .n = rows * C};
    channels.width = C * channels.repeat;
    int64_t piece = max_of(smallest_piece(channels.width), channels.n / MOST_PIECES + 1);
    channels.piece = round_up(piece, channels.width);
    channels.pieces = ceil_div(channels.n, channels.piece);
    return channels;
}

int64_t gm_channels_workspace(int64_t rows, int64_t C) {
    /* More rows may mean fewer pieces, once these grow; this bound only rises. */
    gm_channels channels = gm_channels_of(rows, C);
    int64_t pieces = channels.n / smallest_piece(channels.width) + 1;
    int64_t doubles = min_of(pieces, MOST_PIECES) * 2 * channels.width;
    return doubles * GM_DOUBLE_FLOATS;
}

/* ---- Sums ---- */

typedef struct sum_call {
    const gm_channels *channels;
    const float *x, *dy, *center;
    double *partial; /* (pieces, 2, width) */
} sum_call;

/* Those of the piece that begins at `at`. */
static double *sums_of(const sum_call *call, int64_t at) {
    return call->partial + at / call->channels->piece * 2 * call->channels->width;
}

static void moments_piece(void *context, int64_t at, int64_t n) {
    const sum_call *call = context;
    int64_t W = call->channels->width;
    double *sums = sums_of(call, at);
    bool in_pairs = call->channels->in_pairs.x;
    gm_kernels_active()->channel_moments(n, W, in_pairs, call->x + gm_words(at, in_pairs), sums, sums + W);
}

static void products_piece(void *context, int64_t at, int64_t n) {
    const sum_call *call = context;
    int64_t W = call->channels->width;
    double *sums = sums_of(call, at);
    gm_in_pairs in_pairs = call->channels->in_pairs;
    gm_kernels_active()->channel_products(n, W, in_pairs, call->dy + gm_words(at, in_pairs.y),
                                          call->x + gm_words(at, in_pairs.x), call->center, sums, sums + W);
}

static void sums_piece(void *context, int64_t at, int64_t n) {
    const sum_call *call = context;
    int64_t W = call->channels->width;
    bool in_pairs = call->channels->in_pairs.y;
    gm_kernels_active()->channel_sums(n, W, in_pairs, call->dy + gm_words(at, in_pairs), sums_of(call, at));
}

/* The totals of the channels, of half 0 or 1 of each piece's sums, in place of the first piece's: those of the columns, and
 * then of the columns of a channel. */
static const double *totals_of(const sum_call *call, int half) {
    const gm_channels *channels = call->channels;
    int64_t W = channels->width, C = channels->C;
    double *totals = call->partial + half * W, *sums = totals;
    for (int64_t piece = 1; piece < channels->pieces; piece++) {
        sums += 2 * W;
        for (int64_t w = 0; w < W; w++) totals[w] += sums[w];
    }
    for (int64_t r = 1; r < channels->repeat; r++)
        for (int64_t c = 0; c < C; c++) totals[c] += totals[r * C + c];
    return totals;
}

static void run_sums(sum_call *call, gm_piece_task task, double *first, double *second) {
    gm_parallel_pieces(call->channels->n, call->channels->piece, task, call);
    memcpy(first, totals_of(call, 0), (size_t)call->channels->C * sizeof *first);
    memcpy(second, totals_of(call, 1), (size_t)call->channels->C * sizeof *second);
}

void gm_channel_moments(const gm_channels *channels, const float *x, double *first, double *second, float *workspace) {
    sum_call call = {channels, x, NULL, NULL, (double *)(void *)workspace};
    run_sums(&call, moments_piece, first, second);
}

void gm_channel_products(const gm_channels *channels, const float *dy, const float *x, const float *center,
                         double *first, double *second, float *workspace) {
    sum_call call = {channels, x, dy, center, (double *)(void *)workspace};
    run_sums(&call, products_piece, first, second);
}

void gm_add_channel_sums(const gm_channels *channels, const float *dy, float *gradient, float *workspace) {
    sum_call call = {channels, NULL, dy, NULL, (double *)(void *)workspace};
    gm_parallel_pieces(channels->n, channels->piece, sums_piece, &call);
    const double *totals = totals_of(&call, 0);
    for (int64_t c = 0; c < channels->C; c++) gradient[c] = (float)((double)gradient[c] + totals[c]);
}

/* ---- Maps ---- */

void gm_channels_repeat(const gm_channels *channels, float *values) {
    for (int64_t r = 1; r < channels->repeat; r++)
        memcpy(values + r * channels->C, values, (size_t)channels->C * sizeof *values);
}

typedef struct map_call {
    const gm_channels *channels;
    const float *dy, *x;
    gm_channel_terms terms;
    gm_activation act;
    bool streams;
    float *out;
} map_call;

static void affine_piece(void *context, int64_t at, int64_t n) {
    const map_call *call = context;
    const gm_kernels *kernels = gm_kernels_active();
    gm_in_pairs in_pairs = call->channels->in_pairs;
    float *y = call->out + gm_words(at, in_pairs.y);
    kernels->channel_affine(n, call->channels->width, in_pairs, call->x + gm_words(at, in_pairs.x), call->terms.center,
                            call->terms.a, call->terms.b, gm_slope_of(call->act), call->streams, y);
    if (gm_is_curved(call->act)) kernels->activate(call->act, n, y, y);
}

void gm_channel_affine(const gm_channels *channels, const float *x, const float *center, const float *scale,
                       const float *shift, gm_activation act, float *y) {
    bool pairs = channels->in_pairs.y;
    bool streams =
        !gm_is_curved(act) && y != x && gm_streams(y, gm_words(channels->n, pairs), gm_words(channels->C, pairs));
    map_call call = {channels, NULL, x, {center, scale, shift, NULL}, act, streams, y};
    gm_parallel_pieces(channels->n, channels->piece, affine_piece, &call);
}

static void blend_piece(void *context, int64_t at, int64_t n) {
    const map_call *call = context;
    const gm_kernels *kernels = gm_kernels_active();
    const gm_channel_terms *terms = &call->terms;
    gm_in_pairs in_pairs = call->channels->in_pairs;
    const float *x = call->x + gm_words(at, in_pairs.x);
    float *dx = call->out + gm_words(at, in_pairs.x);
    kernels->channel_blend(n, call->channels->width, in_pairs, call->dy + gm_words(at, in_pairs.y), x, terms->center,
                           terms->a, terms->b, terms->c, gm_slope_of(call->act), dx);
    if (gm_is_curved(call->act)) kernels->activate_backward(call->act, n, x, dx, dx);
}

void gm_channel_blend(const gm_channels *channels, const float *dy, const float *x, const gm_channel_terms *terms,
                      gm_activation gate, float *dx) {
    map_call call = {channels, dy, x, *terms, gate, false, dx};
    gm_parallel_pieces(channels->n, channels->piece, blend_piece, &call);
}
