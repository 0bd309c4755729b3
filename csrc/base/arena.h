/* One allocation per kind of memory; everything inside is a view.
 *
 * A plan is a function that takes pieces from an arena. It is run twice: on a measuring arena, which only adds up,
 * and on a placed one, which hands out addresses. Running the same function both times keeps sizes and places from
 * drifting apart. Pieces start on 64-byte boundaries; under AddressSanitizer the gaps between them are poisoned, so
 * an overrun inside the arena is seen. */
#ifndef GM_BASE_ARENA_H
#define GM_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct gm_arena {
    unsigned char *memory; /* NULL while measuring */
    int64_t capacity;      /* bytes behind `memory` */
    int64_t used;          /* bytes taken so far */
    void *block;           /* what to free */
} gm_arena;

/* An arena that measures. */
static inline gm_arena gm_arena_measuring(void) { return (gm_arena){0, 0, 0, NULL}; }

/* Allocates what `measured` added up, zero-filled, as a fresh arena ready to place. */
gm_status gm_arena_create(const gm_arena *measured, gm_arena *arena, const char *what, gm_error *error);

void gm_arena_free(gm_arena *arena);

/* The next `count` floats (doubles, bytes), 64-byte aligned; NULL while measuring. `count` is bounded by GM_MAX_ELEMENTS. */
float *gm_arena_floats(gm_arena *arena, int64_t count);
double *gm_arena_doubles(gm_arena *arena, int64_t count);
unsigned char *gm_arena_bytes(gm_arena *arena, int64_t count);

#endif
