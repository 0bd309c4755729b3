#include "metrics/neighbours.h"

#include "base/sizes.h"
#include "metrics/pairs.h"

enum { WAVE_ROWS = 1024 }; /* rows whose nearest neighbours are held at a time */

/* The k smallest distances so far of each row of a wave, as heaps: the largest of them first. */
typedef struct nearest {
    int64_t k, first; /* first: the wave's first row */
    int64_t *held;    /* (WAVE_ROWS) how many there are, at most k */
    double *heap;     /* (WAVE_ROWS, k) */
} nearest;

static void sift_up(double *heap, int64_t i, double value) {
    for (; i > 0 && heap[(i - 1) / 2] < value; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

/* `value` takes the place of the largest. */
static void sift_down(double *heap, int64_t k, double value) {
    int64_t i = 0;
    for (int64_t child = 1; child < k; child = 2 * i + 1) {
        if (child + 1 < k && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= value) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
}

static void keep_nearest(void *context, const gm_pair_tile *tile) {
    const nearest *found = context;
    for (int64_t m = 0; m < tile->rows; m++) {
        int64_t row = tile->r + m - found->first, *held = found->held + row;
        double *heap = found->heap + row * found->k;
        const double *value = tile->value + m * tile->width;
        for (int64_t j = 0; j < tile->columns; j++) {
            if (tile->c + j == tile->r + m) continue; /* itself */
            if (*held < found->k)
                sift_up(heap, (*held)++, value[j]);
            else if (value[j] < heap[0])
                sift_down(heap, found->k, value[j]);
        }
    }
}

static void place_nearest(gm_arena *arena, nearest *found, int64_t rows) {
    found->held = (int64_t *)(void *)gm_arena_bytes(arena, rows * (int64_t)sizeof(int64_t));
    found->heap = gm_arena_doubles(arena, rows * found->k);
}

static void find_radii(const gm_pairs *pairs, nearest *found, int64_t rows, double *radius) {
    for (int64_t first = 0; first < pairs->R; first += rows) {
        int64_t last = min_of(first + rows, pairs->R);
        found->first = first;
        for (int64_t i = 0; i < rows; i++) found->held[i] = 0;
        gm_pairs_visit(pairs, GM_SQUARED_DISTANCE, first, last, keep_nearest, found);
        for (int64_t r = first; r < last; r++) radius[r] = found->heap[(r - first) * found->k];
    }
}

gm_status gm_neighbour_radii(int64_t N, int64_t D, int64_t k, const double *x, double *radius, gm_error *error) {
    GM_REQUIRE(k >= 1 && k < N, error, GM_VALUE_ERROR,
               "k is %lld, must be at least 1 and below the number of samples, %lld", (long long)k, (long long)N);
    gm_pairs pairs;
    GM_TRY(gm_pairs_create(N, N, D, x, x, &pairs, error));
    int64_t rows = min_of(N, WAVE_ROWS);
    nearest found = {.k = k};
    gm_arena arena = gm_arena_measuring();
    place_nearest(&arena, &found, rows);
    gm_status status = gm_arena_create(&arena, &arena, "nearest neighbours", error);
    if (status == GM_OK) {
        place_nearest(&arena, &found, rows);
        find_radii(&pairs, &found, rows, radius);
        gm_arena_free(&arena);
    }
    gm_pairs_free(&pairs);
    return status;
}

typedef struct counting {
    const double *x_radius, *y_radius;
    int64_t *own, *other;
} counting;

static void count_within(void *context, const gm_pair_tile *tile) {
    const counting *call = context;
    for (int64_t m = 0; m < tile->rows; m++) {
        const double *value = tile->value + m * tile->width, *y_radius = call->y_radius + tile->c;
        double x_radius = call->x_radius[tile->r + m];
        int64_t own = 0, other = 0;
        for (int64_t j = 0; j < tile->columns; j++) {
            own += value[j] <= x_radius;
            other += value[j] <= y_radius[j];
        }
        call->own[tile->r + m] += own;
        call->other[tile->r + m] += other;
    }
}

gm_status gm_neighbour_counts(int64_t R, int64_t C, int64_t D, const double *x, const double *y, const double *x_radius,
                              const double *y_radius, int64_t *own, int64_t *other, gm_error *error) {
    gm_pairs pairs;
    GM_TRY(gm_pairs_create(R, C, D, x, y, &pairs, error));
    for (int64_t r = 0; r < R; r++) own[r] = other[r] = 0;
    counting call = {x_radius, y_radius, own, other};
    gm_pairs_visit(&pairs, GM_SQUARED_DISTANCE, 0, R, count_within, &call);
    gm_pairs_free(&pairs);
    return GM_OK;
}
