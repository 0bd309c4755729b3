#include "python/lock.h"

static unsigned long process;                             /* changes in the only thread of a new process */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER; /* of every mutex's `process` */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void enter_process(void) {
    guard = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    process++;
}

static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, enter_process); }

gmpy_mutex gmpy_mutex_new(void) {
    (void)pthread_once(&once, watch_forks);
    return (gmpy_mutex){PTHREAD_MUTEX_INITIALIZER, process};
}

void gmpy_lock(gmpy_mutex *mutex) {
    pthread_mutex_lock(&guard);
    if (mutex->process != process) *mutex = gmpy_mutex_new();
    pthread_mutex_unlock(&guard);
    pthread_mutex_lock(&mutex->lock);
}

void gmpy_unlock(gmpy_mutex *mutex) { pthread_mutex_unlock(&mutex->lock); }
