/* Status codes and the caller-owned error.
 *
 * A function that can fail returns a gm_status and fills the gm_error it is given: what, where, which value, which
 * bound. Kernels return void: everything they rely on was checked when the plan was made. Nothing here prints. */
#ifndef GM_BASE_ERROR_H
#define GM_BASE_ERROR_H

typedef enum gm_status {
    GM_OK = 0,
    GM_VALUE_ERROR,     /* a value or shape outside its bounds */
    GM_MEMORY_ERROR,    /* the system refused an allocation */
    GM_OVERFLOW_ERROR,  /* a size does not fit */
    GM_NONFINITE_ERROR, /* training met NaN or infinity */
} gm_status;

typedef struct gm_error {
    gm_status status;
    char message[480];
} gm_error;

/* Fills `error` (printf format) and returns `status`. `error` may be NULL. */
gm_status gm_error_set(gm_error *error, gm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The check, its code and its message on one line. */
#define GM_REQUIRE(condition, error, status, ...)                                                                      \
    do {                                                                                                               \
        if (!(condition)) return gm_error_set((error), (status), __VA_ARGS__);                                         \
    } while (0)

/* Hands a failure on to the caller. */
#define GM_TRY(call)                                                                                                   \
    do {                                                                                                               \
        gm_status gm_try_status = (call);                                                                              \
        if (gm_try_status != GM_OK) return gm_try_status;                                                              \
    } while (0)

#endif
