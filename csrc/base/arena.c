#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "base/arena.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/sizes.h"

#if defined(__SANITIZE_ADDRESS__)
#define GM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GM_ASAN 1
#endif
#endif
#ifdef GM_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum {
    ALIGNMENT = 64,     /* a cache line, and the widest vector */
    HUGE_PAGE = 2 << 20 /* x86-64's; elsewhere only an alignment */
};

/* Huge pages for arenas of many: tiles that read one pixel of a dozen images miss the TLB less. 4 % of a step. Zeros of
 * calloc, which for large blocks are pages that take no memory until somebody writes there: gradients that are never written,
 * being kept as their factors, cost nothing. */
static unsigned char *allocate(int64_t bytes, void **block) {
    bool large = bytes >= 4 * HUGE_PAGE;
    uintptr_t alignment = large ? HUGE_PAGE : ALIGNMENT;
    *block = calloc(1, (size_t)bytes + alignment);
    if (!*block) return NULL;
    unsigned char *memory = (unsigned char *)*block + (alignment - (uintptr_t)*block % alignment) % alignment;
#ifdef MADV_HUGEPAGE
    if (large) (void)madvise(memory, (size_t)bytes, MADV_HUGEPAGE); /* a wish: refusal is fine */
#endif
    return memory;
}

gm_status gm_arena_create(const gm_arena *measured, gm_arena *arena, const char *what, gm_error *error) {
    int64_t bytes = measured->used ? measured->used : ALIGNMENT;
    void *block;
    unsigned char *memory = allocate(bytes, &block);
    if (!memory) return gm_error_set(error, GM_MEMORY_ERROR, "%s: cannot allocate %" PRId64 " bytes", what, bytes);
    ASAN_POISON_MEMORY_REGION(memory, (size_t)bytes);
    *arena = (gm_arena){memory, bytes, 0, block};
    return GM_OK;
}

void gm_arena_free(gm_arena *arena) {
    if (arena->memory) ASAN_UNPOISON_MEMORY_REGION(arena->memory, (size_t)arena->capacity);
    free(arena->block);
    *arena = gm_arena_measuring();
}

unsigned char *gm_arena_bytes(gm_arena *arena, int64_t count) {
    unsigned char *piece = arena->memory ? arena->memory + arena->used : NULL;
    /* One spare line behind each piece: between two full pieces there is always a gap to poison. */
    arena->used += round_up(count, ALIGNMENT) + ALIGNMENT;
    if (piece) ASAN_UNPOISON_MEMORY_REGION(piece, (size_t)count);
    return piece;
}

float *gm_arena_floats(gm_arena *arena, int64_t count) {
    return (float *)(void *)gm_arena_bytes(arena, count * (int64_t)sizeof(float));
}

double *gm_arena_doubles(gm_arena *arena, int64_t count) {
    return (double *)(void *)gm_arena_bytes(arena, count * (int64_t)sizeof(double));
}
