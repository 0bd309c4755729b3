/* Convolutions of few filters after a batch normalisation, with an image that is nowhere written.
 *
 * Such a layer computes little and moves much: an image and its gradient, written, and read again two and three times, as the
 * normalisation needs its sums first. Both are made again instead: forward band by band in the L2, backward in registers, from
 * x and the map's small signal. (3 x 3, strides of 2, 64 x 64 x 32 to 1 channel: the two layers' passes in half the time, whole
 * steps of `vae-32` 1.14 times as fast and in three quarters of the memory.)
 *
 * A row of places that lie a stride apart sees the same taps; those on padding too, as the signal of an image is first copied
 * to where it has a border of zeros. Products are of floats in every precision, of operands rounded to bfloat16 in that. */
#include "kernels/conv_normalised.h"

#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_gather.h"
#include "kernels/table.h"

enum {
    MOST_STRIDE = 4,
    MOST_TAPS = 18,        /* of a place, channels of the map counted: more take as long as memory does */
    FEWEST = 16,           /* channels */
    LEAST_IMAGE = 1 << 15, /* floats: batches of smaller images may stay in the caches */
    BAND = 1 << 16,        /* floats: 256 KB */
};

/* ---- What taps places see ---- */

/* Places (row + i * stride_h, column + j * stride_w). */
typedef struct phase {
    axis rows, columns;
    int64_t first, taps; /* where its taps lie among all of them, and how many; channels of the map counted */
} phase;

typedef struct places {
    const gm_conv *g;
    gm_border border;
    int64_t row, signal; /* floats of a row and of an image's signal, with borders */
    phase phases[MOST_STRIDE * MOST_STRIDE];
    int64_t offset[MOST_STRIDE * MOST_STRIDE * MOST_TAPS]; /* of each tap from the first one of row 0 */
} places;

static int64_t taps_of_place(const gm_conv *g) {
    return ceil_div(g->R, g->stride_h) * ceil_div(g->S, g->stride_w) * g->K;
}

bool gm_conv_normalised_pays(const gm_conv *g) {
    bool few = g->K <= GM_DOT_COLUMNS && taps_of_place(g) <= MOST_TAPS;
    bool strides = g->stride_h <= MOST_STRIDE && g->stride_w <= MOST_STRIDE;
    bool inside = g->pad_top < g->R && (g->P - 1) * g->stride_h - g->pad_top < g->H; /* some row of every output's */
    return few && strides && inside && g->C >= FEWEST && g->H * g->W * g->C >= LEAST_IMAGE;
}

static void add_phase(places *of, int64_t row, int64_t column, int64_t first) {
    const gm_conv *g = of->g;
    phase *ph = &of->phases[row * g->stride_w + column];
    ph->rows = adjoint_axis(row, g->R, g->stride_h, g->pad_top, g->H, g->P);
    ph->columns = adjoint_axis(column, g->S, g->stride_w, g->pad_left, g->W, g->Q);
    ph->first = first;
    ph->taps = ph->rows.taps * ph->columns.taps * g->K;
    int64_t top = of->border.rows - ph->rows.pad, left = of->border.columns - ph->columns.pad;
    for (int64_t t = 0; t < ph->taps; t++) {
        int64_t tap = t / g->K, y = top + tap / ph->columns.taps, x = left + tap % ph->columns.taps;
        of->offset[first + t] = y * of->row + x * g->K + t % g->K;
    }
}

static places places_of(const gm_conv *g) {
    places of = {.g = g, .border = gm_conv_gather_border(g, true)};
    of.row = (g->Q + 2 * of.border.columns) * g->K;
    of.signal = (g->P + 2 * of.border.rows) * of.row;
    for (int64_t row = 0, first = 0; row < g->stride_h; row++)
        for (int64_t column = 0; column < g->stride_w; column++) {
            add_phase(&of, row, column, first);
            first += of.phases[row * g->stride_w + column].taps;
        }
    return of;
}

/* Where tap t of a phase has its weight of channel 0 in (R, S, C, K); the others lie K apart. */
static int64_t weight_of(const gm_conv *g, const phase *ph, int64_t t) {
    int64_t tap = t / g->K, r = ph->rows.first_tap + tap / ph->columns.taps * ph->rows.tap_step;
    int64_t s = ph->columns.first_tap + tap % ph->columns.taps * ph->columns.tap_step;
    return (r * g->S + s) * g->C * g->K + t % g->K;
}

/* ---- Backward ---- */

typedef struct backward_call {
    places places;
    int64_t N, parts;
    const gm_normalised *image;
    const float *dy;
    bool rounded; /* operands, to bfloat16 */
    float *w;     /* (taps, C) */
    float *own;   /* of each thread: a signal, and a row's dw */
    double *sums; /* (parts, 2, C) */
    float *dw;    /* (parts, taps, C) or NULL */
    const gm_channel_terms *terms;
    float gate_slope;
    float *dx;
} backward_call;

static int64_t lines(int64_t floats) { return round_up(floats, GM_LINE_FLOATS); }
static int64_t own_floats(const places *of) { return lines(of->signal) + lines(MOST_TAPS * of->g->C); }

/* Places what the call needs in the workspace, or measures: its floats. */
static int64_t lay_out(backward_call *call, bool weights, float *workspace) {
    const gm_conv *g = call->places.g;
    int64_t sums = lines(call->parts * 2 * g->C * GM_DOUBLE_FLOATS);
    int64_t w = lines(weight_count(g)), own = min_of(call->N, GM_SLOTS) * own_floats(&call->places);
    int64_t dw = weights ? lines(call->parts * weight_count(g)) : 0;
    if (workspace) {
        call->sums = (double *)(void *)workspace;
        call->w = workspace + sums;
        call->own = call->w + w;
        call->dw = weights ? call->own + own : NULL;
    }
    return sums + w + own + dw;
}

static backward_call call_of(const gm_conv *g, int64_t N, const gm_normalised *image, const float *dy) {
    return (backward_call){.places = places_of(g),
                           .N = N,
                           .parts = min_of(N, WANTED_TASKS),
                           .image = image,
                           .dy = dy,
                           .rounded = g->precision == GM_BF16};
}

static void round_operand(const backward_call *call, int64_t n, float *values) {
    if (call->rounded) gm_kernels_active()->bf16_round(n, values, values);
}

/* (R, S, C, K) -> (taps, C), phase by phase. */
static void pack_weights(const backward_call *call, const float *w) {
    const gm_conv *g = call->places.g;
    for (int64_t i = 0; i < g->stride_h * g->stride_w; i++) {
        const phase *ph = &call->places.phases[i];
        for (int64_t t = 0; t < ph->taps; t++)
            for (int64_t c = 0; c < g->C; c++) call->w[(ph->first + t) * g->C + c] = w[weight_of(g, ph, t) + c * g->K];
    }
    round_operand(call, weight_count(g), call->w);
}

/* The signal of image n, within a border of zeros. */
static const float *bordered_signal(const backward_call *call, int64_t n) {
    const places *at = &call->places;
    const gm_conv *g = at->g;
    float *signal = call->own + gm_parallel_slot() * own_floats(at);
    memset(signal, 0, (size_t)at->signal * sizeof *signal);
    for (int64_t p = 0; p < g->P; p++) {
        float *row = signal + (p + at->border.rows) * at->row + at->border.columns * g->K;
        memcpy(row, call->dy + (n * g->P + p) * g->Q * g->K, (size_t)(g->Q * g->K) * sizeof *row);
    }
    round_operand(call, at->signal, signal);
    return signal;
}

/* Those of row h of image n that belong to a phase. */
static gm_normalised_row row_of(const backward_call *call, const phase *ph, int64_t n, int64_t h, const float *signal) {
    const gm_conv *g = call->places.g;
    const gm_normalised *image = call->image;
    int64_t first = ((n * g->H + h) * g->W + ph->columns.start) * g->C;
    return (gm_normalised_row){.count = ph->columns.count,
                               .channels = g->C,
                               .x = image->x + gm_words(first, image->in_pairs),
                               .x_step = g->stride_w * g->C,
                               .ahead = g->W * g->C,
                               .signal = signal + h / g->stride_h * call->places.row,
                               .signal_step = g->K,
                               .taps = ph->taps,
                               .offset = call->places.offset + ph->first,
                               .w = call->w + ph->first * g->C,
                               .center = image->center,
                               .scale = image->scale,
                               .shift = image->shift,
                               .slope = gm_slope_of(image->act),
                               .in_pairs = image->in_pairs,
                               .rounded = call->rounded};
}

/* Calls `use` for the rows of places of image n. */
typedef void (*use_row)(const backward_call *call, const phase *ph, const gm_normalised_row *row, int64_t part);

static void each_row(const backward_call *call, int64_t n, use_row use, int64_t part) {
    const gm_conv *g = call->places.g;
    const float *signal = bordered_signal(call, n);
    for (int64_t h = 0; h < g->H; h++)
        for (int64_t column = 0; column < min_of(g->stride_w, g->W); column++) {
            const phase *ph = &call->places.phases[h % g->stride_h * g->stride_w + column];
            gm_normalised_row row = row_of(call, ph, n, h, signal);
            use(call, ph, &row, part);
        }
}

static void sum_row(const backward_call *call, const phase *ph, const gm_normalised_row *row, int64_t part) {
    const int64_t C = row->channels, values = ph->taps * C;
    double *sums = call->sums + part * 2 * C;
    float *own = NULL;
    if (call->dw) own = call->own + gm_parallel_slot() * own_floats(&call->places) + lines(call->places.signal);
    gm_kernels_active()->normalised_sums(row, sums, sums + C, own);
    if (!call->dw) return;
    float *to = call->dw + part * weight_count(call->places.g) + ph->first * C;
    for (int64_t i = 0; i < values; i++) to[i] += own[i];
}

static void sums_task(void *context, int64_t part) {
    const backward_call *call = context;
    const int64_t C = call->places.g->C, count = weight_count(call->places.g);
    memset(call->sums + part * 2 * C, 0, (size_t)(2 * C) * sizeof *call->sums);
    if (call->dw) memset(call->dw + part * count, 0, (size_t)count * sizeof *call->dw);
    for (int64_t n = call->N * part / call->parts; n < call->N * (part + 1) / call->parts; n++)
        each_row(call, n, sum_row, part);
}

/* The parts' sums, in their order: totals (C) of half 0 or 1. */
static void add_sums(const backward_call *call, int half, double *totals) {
    const int64_t C = call->places.g->C;
    for (int64_t c = 0; c < C; c++) {
        totals[c] = 0;
        for (int64_t part = 0; part < call->parts; part++) totals[c] += call->sums[(part * 2 + half) * C + c];
    }
}

/* The same of the weights' gradients, (taps, C) -> (R, S, C, K). */
static void add_parts(const backward_call *call, bool add, float *dw) {
    const gm_conv *g = call->places.g;
    for (int64_t i = 0; i < g->stride_h * g->stride_w; i++) {
        const phase *ph = &call->places.phases[i];
        for (int64_t t = 0; t < ph->taps; t++)
            for (int64_t c = 0; c < g->C; c++) {
                const float *from = call->dw + (ph->first + t) * g->C + c;
                float *to = dw + weight_of(g, ph, t) + c * g->K, sum = 0;
                for (int64_t part = 0; part < call->parts; part++) sum += from[part * weight_count(g)];
                *to = add ? *to + sum : sum;
            }
    }
}

void gm_conv_normalised_sums(const gm_conv *g, int64_t N, const gm_normalised *image, const float *dy, const float *w,
                             double *first, double *second, bool add, float *dw, float *workspace) {
    backward_call call = call_of(g, N, image, dy);
    lay_out(&call, dw != NULL, workspace);
    pack_weights(&call, w);
    gm_parallel_for_slots(call.parts, GM_SLOTS, sums_task, &call);
    add_sums(&call, 0, first);
    add_sums(&call, 1, second);
    if (dw) add_parts(&call, add, dw);
}

static void blend_row(const backward_call *call, const phase *ph, const gm_normalised_row *row, int64_t part) {
    (void)ph, (void)part;
    const gm_channel_terms *terms = call->terms;
    float *dx = call->dx + (row->x - call->image->x);
    gm_kernels_active()->normalised_blend(row, terms->a, terms->b, terms->c, call->gate_slope, dx);
}

static void blend_task(void *context, int64_t n) { each_row(context, n, blend_row, 0); }

void gm_conv_normalised_blend(const gm_conv *g, int64_t N, const gm_normalised *image, const float *dy, const float *w,
                              const gm_channel_terms *terms, gm_activation gate, float *dx, float *workspace) {
    backward_call call = call_of(g, N, image, dy);
    lay_out(&call, false, workspace);
    call.terms = terms;
    call.gate_slope = gm_slope_of(gate);
    call.dx = dx;
    pack_weights(&call, w);
    gm_parallel_for_slots(N, GM_SLOTS, blend_task, &call);
}

/* ---- Forward ---- */

typedef struct forward_call {
    const gm_conv *g;
    const gm_normalised *image;
    int64_t width;       /* of the channel vectors, repeated */
    int64_t rows, bands; /* of the map: rows of a band, bands of an image */
    const float *w;
    float *y;
    gm_epilogue epilogue;
    float *own;
    int64_t own_floats;
} forward_call;

/* So many that the rows they see are about BAND. */
static int64_t rows_of_band(const gm_conv *g) {
    int64_t seen = BAND / (g->W * g->C);
    return min_of(g->P, max_of(1, (seen - g->R) / g->stride_h + 1));
}

/* Rows p0.. of the map, as the convolution of the image's rows h0.. that it sees. */
typedef struct band {
    gm_conv g;
    int64_t p0, h0;
} band;

static band band_at(const gm_conv *g, int64_t rows, int64_t index) {
    int64_t p0 = index * rows, p1 = min_of(g->P, p0 + rows), seen = p0 * g->stride_h - g->pad_top;
    int64_t h0 = max_of(0, seen), h1 = min_of(g->H, (p1 - 1) * g->stride_h - g->pad_top + g->R);
    band of = {*g, p0, h0};
    of.g.P = p1 - p0;
    of.g.H = h1 - h0;
    of.g.pad_top = h0 - seen;
    return of;
}

static int64_t made_floats(const band *of) { return lines(of->g.H * of->g.W * of->g.C); }

static int64_t bands_of_image(const gm_conv *g) { return ceil_div(g->P, rows_of_band(g)); }

static int64_t forward_floats(const gm_conv *g) {
    int64_t rows = rows_of_band(g), floats = 0;
    for (int64_t i = 0; i < bands_of_image(g); i++) {
        band of = band_at(g, rows, i);
        floats = max_of(floats, made_floats(&of) + lines(gm_conv_workspace(&of.g, 1)));
    }
    return floats;
}

static void band_task(void *context, int64_t index) {
    const forward_call *call = context;
    const gm_conv *g = call->g;
    const gm_normalised *image = call->image;
    int64_t n = index / call->bands;
    band of = band_at(g, call->rows, index % call->bands);
    int64_t first = (n * g->H + of.h0) * g->W * g->C, out = (n * g->P + of.p0) * g->Q * g->K;
    float *made = call->own + gm_parallel_slot() * call->own_floats;
    gm_kernels_active()->channel_affine(of.g.H * g->W * g->C, call->width,
                                        (gm_in_pairs){image->in_pairs, g->image_pairs},
                                        image->x + gm_words(first, image->in_pairs), image->center, image->scale,
                                        image->shift, gm_slope_of(image->act), false, made);
    gm_conv_forward(&of.g, 1, made, call->w, call->y + out, &call->epilogue, made + made_floats(&of));
}

void gm_conv_normalised_forward(const gm_conv *g, int64_t N, const gm_normalised *image, const float *w, float *y,
                                const gm_epilogue *epilogue, float *workspace) {
    forward_call call = {.g = g, .image = image, .w = w, .y = y, .epilogue = *epilogue, .own = workspace};
    call.width = gm_channels_of(N * g->H * g->W, g->C).width;
    call.rows = rows_of_band(g);
    call.bands = bands_of_image(g);
    call.own_floats = forward_floats(g);
    call.epilogue.streams = false; /* other than the whole output, a band is small */
    gm_parallel_for_slots(N * call.bands, GM_SLOTS, band_task, &call);
}

int64_t gm_conv_normalised_workspace(const gm_conv *g, int64_t N) {
    backward_call call = call_of(g, N, NULL, NULL);
    return max_of(lay_out(&call, true, NULL), min_of(N * bands_of_image(g), GM_SLOTS) * forward_floats(g));
}
