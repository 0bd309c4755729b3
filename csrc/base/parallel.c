/* A pool of sleeping workers and one job at a time.
 *
 * Why not OpenMP: libgomp's child of a fork hangs in its first parallel region, its barriers are invisible to the
 * thread sanitizer, and two callers at once each get a team of their own. Here a second caller simply runs serially,
 * which is safe because no result depends on who runs what.
 *
 * A job is published as one atomic word, the ticket: a serial number and how many helpers are welcome, none once all
 * indices are taken. A worker that sees a new ticket and is among the welcome enters, takes indices until none is left,
 * and leaves; the caller does the same and waits for those inside alone. One that comes late, because its processor was
 * asleep or busy, is not missed: the caller has taken its share too. Both sides spin briefly before they sleep, since
 * jobs of one training step follow each other within microseconds; but they let other threads go first, or a busy
 * machine would wait for those who wait.
 *
 * Linux likes to wake a worker on the processor of who wakes it, where the two would take turns for milliseconds while
 * another one is idle: jobs of 2 us took 11. So workers are kept from the processor that the caller is on, and from another
 * one when it has moved.
 *
 * Indices are handed out in equal shares of neighbours, the first to the caller, the next to the first helper. So the
 * images that a thread wrote in one job it reads in the next, from caches that are its own: whole steps are up to 1.12
 * times as fast as with one counter for all, which dealt them out in turn. A thread that has done with its share goes on
 * with what is left of the others. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sizes.h"

/* How a thread computes with floats: how it rounds, and whether denormal numbers count as zeros. On x86-64 one register holds
 * that; fenv.h would see to the old unit too, which takes half a microsecond a job. */
#ifdef __x86_64__
typedef unsigned int float_mode;
static float_mode get_float_mode(void) { return __builtin_ia32_stmxcsr(); }
static void set_float_mode(const float_mode *mode) { __builtin_ia32_ldmxcsr(*mode); }
#else
typedef fenv_t float_mode;
static float_mode get_float_mode(void) {
    float_mode mode;
    (void)fegetenv(&mode);
    return mode;
}
static void set_float_mode(const float_mode *mode) { (void)fesetenv(mode); }
#endif

enum { SPINS = 4000, YIELD_EVERY = 16, HELPER_BITS = 16, WELCOME = (1 << HELPER_BITS) - 1, KINDS = 2 };

/* Of the indices of a job, those that one thread takes first; on a cache line of its own. */
typedef struct share {
    _Alignas(GM_LINE_FLOATS * sizeof(float)) atomic_llong next; /* to be handed out */
    int64_t end;
} share;

typedef struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    int workers; /* started so far; what follows up to `serial` is touched by the owner of `busy` alone */
    pthread_t thread[GM_MAX_THREADS];
    int processor, cleared;           /* the caller's, and how many workers are kept from it */
    unsigned long cleared_in, serial; /* the job in which that was seen to; how many there were */
    atomic_bool refused;              /* the system gave no more of them, and gm_set_num_threads has not asked anew */
    atomic_bool busy;                 /* somebody owns the pool */
    atomic_ulong ticket;              /* serial << HELPER_BITS | helpers that are welcome */
    atomic_int inside;                /* helpers that look at what follows */
    gm_task task;
    void *context;
    float_mode mode; /* the caller's, which another library may change at any time */
    int threads;     /* the caller and the helpers */
    share shares[KINDS][GM_MAX_THREADS];
} pool;

static pool the_pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int thread_limit;
static _Thread_local bool inside_task;
static _Thread_local int slot;

/* While spinning for the i-th time: now and then another thread that waits for this processor goes first, perhaps the one
 * that is waited for. */
static void relax(int i) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
    if (i % YIELD_EVERY == YIELD_EVERY - 1) (void)sched_yield();
}

/* The parent's workers do not exist in the child. */
static void forget_workers(void) {
    the_pool =
        (pool){.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
}

static int default_threads(void) {
    const char *text = getenv("GENMODELS_NUM_THREADS");
    bool digits = text && text[strspn(text, "0123456789")] == '\0'; /* strtol would take a sign and blanks too */
    long asked = digits ? strtol(text, NULL, 10) : 0;
    if (asked >= 1 && asked <= GM_MAX_THREADS) return (int)asked;
    long usable = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) usable = CPU_COUNT(&set);
#endif
    return usable < 1 ? 1 : usable > GM_MAX_THREADS ? GM_MAX_THREADS : (int)usable;
}

static void initialise(void) {
    atomic_store(&thread_limit, default_threads());
    (void)pthread_atfork(NULL, NULL, forget_workers);
}

int gm_num_threads(void) {
    (void)pthread_once(&once, initialise);
    return atomic_load(&thread_limit);
}

void gm_set_num_threads(int threads) {
    (void)pthread_once(&once, initialise);
    atomic_store(&the_pool.refused, false);
    atomic_store(&thread_limit, threads < 1 ? 1 : threads > GM_MAX_THREADS ? GM_MAX_THREADS : threads);
}

/* What is left of a share. It is looked at first: threads that find nothing need not take its line from each other. */
static void take_share(pool *p, share *from) {
    while (atomic_load_explicit(&from->next, memory_order_relaxed) < from->end) {
        int64_t index = (int64_t)atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
        if (index < from->end) p->task(p->context, index);
    }
}

/* The thread's own share, then what is left of the others; kind by kind. */
static void take_indices(pool *p) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < p->threads; i++) take_share(p, &p->shares[kind][(slot + i) % p->threads]);
}

static void share_out(pool *p, int kind, int64_t begin, int64_t count) {
    for (int i = 0; i < p->threads; i++) {
        share *of = &p->shares[kind][i];
        atomic_store_explicit(&of->next, begin + count * i / p->threads, memory_order_relaxed);
        of->end = begin + count * (i + 1) / p->threads;
    }
}

/* Waits until the ticket differs from `seen`. */
static unsigned long await_ticket(pool *p, unsigned long seen) {
    for (int i = 0; i < SPINS; i++) {
        unsigned long ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
        if (ticket != seen) return ticket;
        relax(i);
    }
    pthread_mutex_lock(&p->lock);
    unsigned long ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    while (ticket == seen) {
        pthread_cond_wait(&p->wake, &p->lock);
        ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
    pthread_mutex_unlock(&p->lock);
    return ticket;
}

static void leave(pool *p) {
    if (atomic_fetch_sub(&p->inside, 1) != 1) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->done);
    pthread_mutex_unlock(&p->lock);
}

/* Whether the job of this ticket still goes on; it then does until this thread leaves. */
static bool enter(pool *p, unsigned long ticket) {
    atomic_fetch_add(&p->inside, 1);
    if (atomic_load(&p->ticket) == ticket) return true;
    leave(p);
    return false;
}

static void *work(void *number) {
    unsigned long id = (unsigned long)(uintptr_t)number, seen = 0;
    inside_task = true;
    slot = (int)id + 1; /* the caller's is 0 */
    for (;;) {
        seen = await_ticket(&the_pool, seen);
        if (id >= (seen & WELCOME) || !enter(&the_pool, seen)) continue;
        set_float_mode(&the_pool.mode);
        take_indices(&the_pool);
        leave(&the_pool);
    }
    return NULL;
}

/* Starts workers until there are `wanted`; returns how many of these there are. */
static int start_workers(pool *p, int wanted) {
    if (p->workers >= wanted) return wanted;
    if (atomic_load_explicit(&p->refused, memory_order_relaxed)) return p->workers;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's business */
    for (; p->workers < wanted; p->workers++) {
        pthread_t *thread = &p->thread[p->workers];
        if (pthread_create(thread, NULL, work, (void *)(uintptr_t)p->workers) != 0) {
            atomic_store(&p->refused, true); /* asking costs as much as a job */
            break;
        }
        pthread_detach(*thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return p->workers;
}

/* Leaves the caller its processor: workers are to run on any other that they may use. Callers that take turns on several
 * processors do not move them every time: each is two calls of the system. */
static void clear_processor(pool *p) {
#ifdef __linux__
    enum { JOBS_APART = 100 };
    int callers = sched_getcpu();
    bool moved = callers != p->processor && p->serial - p->cleared_in >= JOBS_APART;
    if (!moved && p->workers == p->cleared) return;
    for (int i = 0; i < p->workers; i++) {
        cpu_set_t allowed;
        if (pthread_getaffinity_np(p->thread[i], sizeof allowed, &allowed) != 0) continue;
        if (i < p->cleared) CPU_SET((size_t)p->processor, &allowed);
        CPU_CLR((size_t)callers, &allowed);
        if (CPU_COUNT(&allowed) > 0) (void)pthread_setaffinity_np(p->thread[i], sizeof allowed, &allowed);
    }
    p->processor = callers;
    p->cleared = p->workers;
    p->cleared_in = p->serial;
#endif
}

static void open_job(pool *p, int helpers) {
    p->serial++;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->ticket, p->serial << HELPER_BITS | (unsigned long)helpers);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* Nobody enters any more; waits for those inside. */
static void close_job(pool *p) {
    atomic_store(&p->ticket, p->serial << HELPER_BITS);
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->inside) == 0) return;
        relax(i);
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->inside) != 0) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void run_serially(int64_t count, gm_task task, void *context) {
    int before = slot;
    slot = 0;
    for (int64_t i = 0; i < count; i++) task(context, i);
    slot = before;
}

int gm_parallel_slot(void) { return slot; }

void gm_parallel_for(int64_t count, gm_task task, void *context) {
    gm_parallel_for_slots(count, GM_MAX_THREADS, task, context);
}

typedef struct pieces {
    int64_t n, size;
    gm_piece_task task;
    void *context;
} pieces;

static void take_piece(void *context, int64_t index) {
    const pieces *of = context;
    int64_t first = index * of->size;
    of->task(of->context, first, min_of(of->size, of->n - first));
}

void gm_parallel_pieces(int64_t n, int64_t size, gm_piece_task task, void *context) {
    gm_parallel_for(ceil_div(n, size), take_piece, &(pieces){n, size, task, context});
}

void gm_parallel_for_slots(int64_t count, int slots, gm_task task, void *context) {
    gm_parallel_for_both(count, 0, slots, task, context);
}

void gm_parallel_for_both(int64_t first, int64_t second, int slots, gm_task task, void *context) {
    pool *p = &the_pool;
    int64_t count = first + second;
    int threads = gm_num_threads();
    if (threads > slots) threads = slots;
    if (threads > count) threads = (int)count;
    if (threads <= 1 || inside_task || atomic_exchange_explicit(&p->busy, true, memory_order_acquire)) {
        run_serially(count, task, context);
        return;
    }
    int helpers = start_workers(p, threads - 1);
    clear_processor(p);
    p->task = task;
    p->context = context;
    p->threads = 1 + helpers;
    p->mode = get_float_mode();
    share_out(p, 0, 0, first);
    share_out(p, 1, first, second);
    inside_task = true;
    if (helpers) open_job(p, helpers);
    take_indices(p);
    if (helpers) close_job(p);
    inside_task = false;
    atomic_store_explicit(&p->busy, false, memory_order_release);
}
