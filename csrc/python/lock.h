/* One lock an object, held while the core computes without the GIL.
 *
 * Order: take the lock (letting go of the GIL while waiting), let go of the GIL, compute, take the GIL back, unlock.
 * A thread that waits for a lock never holds the GIL, and a thread that waits for the GIL with a lock in hand will get
 * it, so the two cannot deadlock. Functions named *_lock_held expect the lock. */
#ifndef GM_PYTHON_LOCK_H
#define GM_PYTHON_LOCK_H

#include <Python.h>

static inline void gmpy_lock(PyThread_type_lock lock) {
    if (PyThread_acquire_lock(lock, NOWAIT_LOCK)) return;
    Py_BEGIN_ALLOW_THREADS(void) PyThread_acquire_lock(lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
}

static inline void gmpy_unlock(PyThread_type_lock lock) { PyThread_release_lock(lock); }

#endif
