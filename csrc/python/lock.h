/* One lock an object, held while the core computes without the GIL.
 *
 * Order: take the lock (letting go of the GIL while waiting), let go of the GIL, compute, take the GIL back, unlock.
 * A thread that waits for a lock never holds the GIL, and a thread that waits for the GIL with a lock in hand will get
 * it, so the two cannot deadlock. Functions named *_lock_held expect the lock.
 *
 * After fork() a lock may be held by a thread that the child does not have, and that would never let go of it: the child's
 * first caller takes it over. */
#ifndef GM_PYTHON_LOCK_H
#define GM_PYTHON_LOCK_H

#include <Python.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

typedef struct gmpy_mutex {
    PyThread_type_lock lock;
    pid_t owner; /* the process of the last thread that took it; under the GIL */
} gmpy_mutex;

static inline void gmpy_lock(gmpy_mutex *mutex) {
    bool taken = PyThread_acquire_lock(mutex->lock, NOWAIT_LOCK), left_behind = !taken && mutex->owner != getpid();
    if (!taken && !left_behind) {
        Py_BEGIN_ALLOW_THREADS(void) PyThread_acquire_lock(mutex->lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    mutex->owner = getpid();
}

static inline void gmpy_unlock(gmpy_mutex *mutex) { PyThread_release_lock(mutex->lock); }

#endif
