/* Threads behind one header.
 *
 * gm_parallel_for runs `task(context, 0..count-1)`, each index exactly once, on up to gm_num_threads() threads of a
 * pool of our own, and returns when all are done. Each thread begins with a share of neighbouring indices, the same in
 * every job of as many, so jobs over the same images do well to number them alike. But which thread runs which index is
 * not fixed: a task writes only to places that belong to its index, and sums over indices are then added in a fixed
 * order by the caller. That is what makes results independent of the number of threads.
 *
 * A call made while another thread has the pool, or from inside a task, runs serially in the caller. After fork()
 * the child has no workers; it starts its own on first use. */
#ifndef GM_BASE_PARALLEL_H
#define GM_BASE_PARALLEL_H

#include <stdint.h>

typedef void (*gm_task)(void *context, int64_t index);

#define GM_MAX_THREADS 256

void gm_parallel_for(int64_t count, gm_task task, void *context);

/* The same over n elements in pieces of `size`, the last one shorter: `task(context, first, count)` for each of them. The size is
 * never to depend on the number of threads, where sums do on the size. */
typedef void (*gm_piece_task)(void *context, int64_t first, int64_t count);
void gm_parallel_pieces(int64_t n, int64_t size, gm_piece_task task, void *context);

/* gm_parallel_for on at most `slots` threads. While its task runs, gm_parallel_slot() is a number below `slots` that no other
 * thread of the call has: a place for scratch that stays in one processor's cache. */
void gm_parallel_for_slots(int64_t count, int slots, gm_task task, void *context);
int gm_parallel_slot(void);

/* The same of two kinds of tasks, `first` of one and then `second` of the other: every thread begins with a share of each kind,
 * and comes to the second when none of the first is left. */
void gm_parallel_for_both(int64_t first, int64_t second, int slots, gm_task task, void *context);

/* So many slots, unless their scratch is large. */
enum { GM_SLOTS = 16 };

/* The slots of a job of so many multiplications, `most` or one: to share out few takes longer. (Steps of an LSTM of 19 units:
 * 1.3 times as fast.) */
static inline int gm_slots_for(int64_t multiplications, int most) {
    enum { FEW = 32 << 10 };
    return multiplications < FEW ? 1 : most;
}

/* The most in use, 1..GM_MAX_THREADS: fewer where the system gives fewer. Starts at GENMODELS_NUM_THREADS or the number of
 * processors this process may use. */
int gm_num_threads(void);
void gm_set_num_threads(int threads);

#endif
