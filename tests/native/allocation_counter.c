/* Counts large allocations of a process it is preloaded into (LD_PRELOAD): malloc, calloc, realloc, the aligned kinds
 * and anonymous mmap of at least COUNTED_BYTES, from any thread. What the C library asks for inside itself is not
 * seen, so nothing is counted twice. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

enum { COUNTED_BYTES = 16384, EARLY_BYTES = 65536 };

static atomic_long counted;

/* How many so far. */
long allocation_count(void);
long allocation_count(void) { return atomic_load(&counted); }

static void count(size_t bytes) {
    if (bytes >= COUNTED_BYTES) atomic_fetch_add(&counted, 1);
}

/* The C library's own function of this name. */
#define NEXT(pointer, name)                                                                                            \
    if (!(pointer)) *(void **)&(pointer) = dlsym(RTLD_NEXT, name)

/* dlsym itself may allocate before the first look-up is done: it gets some of this, which is never given back. */
static _Alignas(64) unsigned char early[EARLY_BYTES];
static atomic_size_t early_used;

static void *early_memory(size_t bytes) {
    size_t place = atomic_fetch_add(&early_used, (bytes + 63) & ~(size_t)63);
    return place + bytes <= EARLY_BYTES ? early + place : NULL;
}

static int is_early(const void *p) {
    return (const unsigned char *)p >= early && (const unsigned char *)p < early + EARLY_BYTES;
}

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static _Thread_local int looking_up;

void *malloc(size_t bytes) {
    if (!next_malloc) {
        if (looking_up) return early_memory(bytes);
        looking_up = 1;
        NEXT(next_malloc, "malloc");
        looking_up = 0;
    }
    count(bytes);
    return next_malloc(bytes);
}

void *calloc(size_t n, size_t size) {
    if (!next_calloc) {
        if (looking_up) return early_memory(n * size);
        looking_up = 1;
        NEXT(next_calloc, "calloc");
        looking_up = 0;
    }
    count(size && n > (size_t)-1 / size ? 0 : n * size);
    return next_calloc(n, size);
}

void *realloc(void *p, size_t bytes) {
    if (is_early(p)) {
        void *moved = malloc(bytes);
        size_t rest = (size_t)(early + EARLY_BYTES - (unsigned char *)p);
        if (moved) memcpy(moved, p, bytes < rest ? bytes : rest);
        return moved;
    }
    NEXT(next_realloc, "realloc");
    count(bytes);
    return next_realloc(p, bytes);
}

void free(void *p) {
    if (is_early(p)) return;
    NEXT(next_free, "free");
    next_free(p);
}

void *memalign(size_t alignment, size_t bytes) {
    static void *(*next)(size_t, size_t);
    NEXT(next, "memalign");
    count(bytes);
    return next(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    static void *(*next)(size_t, size_t);
    NEXT(next, "aligned_alloc");
    count(bytes);
    return next(alignment, bytes);
}

int posix_memalign(void **p, size_t alignment, size_t bytes) {
    static int (*next)(void **, size_t, size_t);
    NEXT(next, "posix_memalign");
    count(bytes);
    return next(p, alignment, bytes);
}

void *valloc(size_t bytes) {
    static void *(*next)(size_t);
    NEXT(next, "valloc");
    count(bytes);
    return next(bytes);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset) {
    static void *(*next)(void *, size_t, int, int, int, off_t);
    NEXT(next, "mmap");
    if (flags & MAP_ANONYMOUS) count(bytes);
    return next(address, bytes, protection, flags, file, offset);
}

/* What programs with 64-bit file offsets call. */
void *mmap64(void *address, size_t bytes, int protection, int flags, int file, off_t offset) {
    return mmap(address, bytes, protection, flags, file, offset);
}
