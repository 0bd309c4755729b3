#define _GNU_SOURCE /* fork, alarm, waitpid */
#include "base/parallel.h"

#include <dirent.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { MOST = 1000 };

typedef struct tally {
    int calls[MOST]; /* a task writes to its own index alone */
} tally;

static void count_one(void *context, int64_t index) { ((tally *)context)->calls[index]++; }

/* Of which so many are of the second kind. */
static void each_once_of(int64_t count, int64_t second) {
    tally seen = {{0}};
    gm_parallel_for_both(count - second, second, GM_MAX_THREADS, count_one, &seen);
    for (int64_t i = 0; i < MOST; i++)
        CHECK(seen.calls[i] == (i < count), "%d threads, %lld indices: index %lld ran %d times", gm_num_threads(),
              (long long)count, (long long)i, seen.calls[i]);
}

static void each_once(int64_t count) { each_once_of(count, 0); }

static const int thread_counts[] = {1, 2, 3, 7};

TEST(each_index_once) {
    static const int64_t counts[] = {0, 1, 2, 3, 7, 8, 97, MOST};
    for (int t = 0; t < 4; t++) {
        gm_set_num_threads(thread_counts[t]);
        CHECK(gm_num_threads() == thread_counts[t], "asked for %d, have %d", thread_counts[t], gm_num_threads());
        for (int repeat = 0; repeat < 50; repeat++)
            for (int c = 0; c < 8; c++) each_once_of(counts[c], counts[c] * (repeat % 5) / 4);
    }
}

enum { PIECE = 7 };

static void count_piece(void *context, int64_t first, int64_t count) {
    CHECK(first % PIECE == 0 && count >= 1 && count <= PIECE, "a piece of %lld at %lld", (long long)count,
          (long long)first);
    for (int64_t i = first; i < first + count; i++) count_one(context, i);
}

TEST(each_element_in_one_piece) {
    static const int64_t lengths[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, MOST - 1, MOST};
    for (int t = 0; t < 4; t++) {
        gm_set_num_threads(thread_counts[t]);
        for (int l = 0; l < 8; l++) {
            tally seen = {{0}};
            gm_parallel_pieces(lengths[l], PIECE, count_piece, &seen);
            for (int64_t i = 0; i < MOST; i++)
                CHECK(seen.calls[i] == (i < lengths[l]), "%lld of %lld: %d times", (long long)i, (long long)lengths[l],
                      seen.calls[i]);
        }
    }
}

TEST(thread_count_is_bounded) {
    gm_set_num_threads(0);
    CHECK(gm_num_threads() >= 1, "%d threads", gm_num_threads());
    gm_set_num_threads(GM_MAX_THREADS + 1);
    CHECK(gm_num_threads() <= GM_MAX_THREADS, "%d threads", gm_num_threads());
}

/* The first task waits for all others, those of its own share too. */
typedef struct wait_for_others {
    atomic_int done;
    bool in_vain;
} wait_for_others;

static void wait_if_first(void *context, int64_t index) {
    enum { TRIES = 10000 }; /* of a millisecond */
    wait_for_others *all = context;
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; index == 0 && atomic_load(&all->done) < MOST - 1; i++) {
        if (i == TRIES) {
            all->in_vain = true;
            return;
        }
        nanosleep(&pause, NULL);
    }
    atomic_fetch_add(&all->done, 1);
}

TEST(the_share_of_a_slow_thread_is_done_by_others) {
    for (int t = 1; t < 4; t++) {
        gm_set_num_threads(thread_counts[t]);
        wait_for_others all = {0};
        gm_parallel_for(MOST, wait_if_first, &all);
        CHECK(!all.in_vain, "%d threads: %d of %d tasks while the first waited", thread_counts[t], all.done, MOST - 1);
    }
}

/* Runs a job of which the caller does one index and a worker all others. */
static void run_on_a_worker(gm_task task, void *context) {
    gm_set_num_threads(2);
    gm_parallel_for(MOST, task, context);
}

/* What the floating-point environment makes of numbers: whether denormal ones are zeros, and how sums are rounded. */
static int environment(void) {
    volatile float least = 0x1p-126f, half = 0.5f, one = 1, bit = 0x1p-30f;
    return (least * half == 0) | (one + bit > 1) << 1;
}

typedef struct environments {
    wait_for_others all;
    int seen[MOST];
} environments;

static void note_environment(void *context, int64_t index) {
    environments *notes = context;
    notes->seen[index] = environment();
    wait_if_first(&notes->all, index);
}

static void each_in_the_environment_of_the_caller(void) {
    environments notes = {0};
    run_on_a_worker(note_environment, &notes);
    for (int i = 0; i < MOST; i++)
        CHECK(notes.seen[i] == environment(), "index %d: %d, the caller %d", i, notes.seen[i], environment());
}

/* Another library may change it at any time. */
TEST(workers_compute_in_the_environment_of_the_caller) {
    fenv_t usual;
    fegetenv(&usual);
    int before = environment();
    each_in_the_environment_of_the_caller();
    fesetround(FE_UPWARD);
#ifdef __x86_64__
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040); /* denormal numbers are zeros, read and written */
    CHECK((environment() ^ before) == 3, "the caller's environment is %d as before", before);
#endif
    CHECK(environment() != before, "the caller's environment is %d as before", before);
    each_in_the_environment_of_the_caller();
    fesetenv(&usual);
    each_in_the_environment_of_the_caller();
}

#ifdef __linux__
/* Threads of this process. */
static int count_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks, "no /proc");
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(tasks));) count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* The stack that new threads get: one of 2^48 bytes is more than there are addresses. */
static void set_stack(size_t bytes) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, bytes);
    CHECK(pthread_setattr_default_np(&attributes) == 0, "no stack of %zu bytes", bytes);
    pthread_attr_destroy(&attributes);
}
#endif

TEST(threads_that_were_refused_are_not_asked_for_in_every_job) {
#ifdef __linux__
    set_stack((size_t)1 << 48);
    int threads = count_threads();
    gm_set_num_threads(3);
    each_once(MOST);
    CHECK(count_threads() == threads, "%d threads, %d before", count_threads(), threads);
    set_stack((size_t)1 << 20);
    each_once(MOST);
    CHECK(count_threads() == threads, "%d threads, %d before", count_threads(), threads);
    gm_set_num_threads(3);
    each_once(MOST);
    CHECK(count_threads() == threads + 2, "%d threads, %d before", count_threads(), threads);
#endif
}

TEST(threads_that_share_one_processor_work) {
#ifdef __linux__
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0, "which processors are there?");
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0, "cannot stay on one processor");
    gm_set_num_threads(3); /* two workers, which start here and find no other */
    for (int repeat = 0; repeat < 50; repeat++) each_once(MOST);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0, "cannot use all processors again");
    for (int repeat = 0; repeat < 50; repeat++) each_once(MOST);
#endif
}

typedef struct nest {
    tally inner[8];
} nest;

static void start_inner(void *context, int64_t index) {
    gm_parallel_for(MOST, count_one, &((nest *)context)->inner[index]);
}

TEST(nested_calls) {
    nest *outer = calloc(1, sizeof *outer);
    gm_set_num_threads(3);
    gm_parallel_for(8, start_inner, outer);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < MOST; j++)
            CHECK(outer->inner[i].calls[j] == 1, "%d, %d: %d", i, j, outer->inner[i].calls[j]);
    free(outer);
}

static void *call_again_and_again(void *unused) {
    for (int repeat = 0; repeat < 300; repeat++) each_once(MOST);
    return unused;
}

TEST(two_callers_at_once) {
    gm_set_num_threads(2);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call_again_and_again, NULL) == 0, "cannot start a thread");
    (void)call_again_and_again(NULL);
    CHECK(pthread_join(other, NULL) == 0, "cannot join");
}

/* A child must do its work, and end: alarm() kills one that hangs. */
static void work_in_child(void) {
    pid_t child = fork();
    CHECK(child >= 0, "cannot fork");
    if (child == 0) {
        alarm(20);
        for (int repeat = 0; repeat < 20; repeat++) each_once(MOST);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child, "cannot wait");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x", (unsigned)status);
}

TEST(forked_child_works) {
    for (int t = 0; t < 4; t++) {
        gm_set_num_threads(thread_counts[t]);
        each_once(MOST); /* the workers of the parent exist, the child has none of them */
        work_in_child();
        each_once(MOST);
    }
}

typedef struct caller {
    atomic_int calls;
    atomic_bool stop;
} caller;

static void *call_until_stopped(void *argument) {
    caller *self = argument;
    while (!atomic_load(&self->stop)) {
        each_once(MOST);
        atomic_fetch_add(&self->calls, 1);
    }
    return NULL;
}

/* Every thread has started before the forks and ends after them: a thread that starts or ends may be inside the
 * allocator of the address sanitizer, whose locks a child inherits locked. */
TEST(fork_while_the_pool_is_busy) {
    gm_set_num_threads(2);
    each_once(MOST);
    caller busy = {0};
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call_until_stopped, &busy) == 0, "cannot start a thread");
    while (atomic_load(&busy.calls) == 0) continue;
    for (int i = 0; i < 5; i++) work_in_child();
    atomic_store(&busy.stop, true);
    CHECK(pthread_join(other, NULL) == 0, "cannot join");
    each_once(MOST);
}

MAIN(CASE(each_index_once), CASE(each_element_in_one_piece), CASE(thread_count_is_bounded),
     CASE(the_share_of_a_slow_thread_is_done_by_others), CASE(workers_compute_in_the_environment_of_the_caller),
     CASE(threads_that_were_refused_are_not_asked_for_in_every_job), CASE(threads_that_share_one_processor_work),
     CASE(nested_calls), CASE(two_callers_at_once), CASE(forked_child_works), CASE(fork_while_the_pool_is_busy))
