/* One lock an object, held while the core computes, by a thread that has let go of the GIL.
 *
 * Order: let go of the GIL, take the lock, compute, unlock, take the GIL back. A thread that waits for the GIL holds no lock,
 * so the two cannot deadlock, and one that never gets it back, since the interpreter is ending, leaves nobody waiting.
 * Functions named *_lock_held expect the lock.
 *
 * After fork() a lock may be held by a thread that the child does not have, and that would never let go of it: the child's
 * first caller makes it anew. */
#ifndef GM_PYTHON_LOCK_H
#define GM_PYTHON_LOCK_H

#include <Python.h>
#include <pthread.h>

typedef struct gmpy_mutex {
    pthread_mutex_t lock;
    unsigned long process; /* that the lock was made in: how many forks led to it */
} gmpy_mutex;

gmpy_mutex gmpy_mutex_new(void);
void gmpy_lock(gmpy_mutex *mutex);
void gmpy_unlock(gmpy_mutex *mutex);

/* Lets go of the GIL, locks, runs `statement`, comes back; the locks of whatever `taking` takes and `leaving` leaves. */
#define GMPY_BETWEEN(taking, statement, leaving)                                                                       \
    do {                                                                                                               \
        Py_BEGIN_ALLOW_THREADS taking;                                                                                 \
        statement;                                                                                                     \
        leaving;                                                                                                       \
        Py_END_ALLOW_THREADS                                                                                           \
    } while (0)

#define GMPY_LOCKED(mutex, statement) GMPY_BETWEEN(gmpy_lock(mutex), statement, gmpy_unlock(mutex))

#endif
