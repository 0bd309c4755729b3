/* Preloaded into a process, counts the allocations of 16 KB or more. glibc only. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LARGE = 16 * 1024 };
#define PUBLIC __attribute__((visibility("default")))

PUBLIC atomic_long large_allocations;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void note(size_t bytes) {
    if (bytes >= LARGE) atomic_fetch_add(&large_allocations, 1);
}

PUBLIC void *malloc(size_t bytes) {
    note(bytes);
    return __libc_malloc(bytes);
}

PUBLIC void *calloc(size_t count, size_t bytes) {
    note(count * bytes);
    return __libc_calloc(count, bytes);
}

PUBLIC void *realloc(void *memory, size_t bytes) {
    note(bytes);
    return __libc_realloc(memory, bytes);
}

PUBLIC void *memalign(size_t alignment, size_t bytes) {
    note(bytes);
    return __libc_memalign(alignment, bytes);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

PUBLIC int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    *memory = memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

PUBLIC void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset) {
    if (flags & MAP_ANONYMOUS) note(bytes);
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}
