/* What the native tests share: cases run by name, checks that say what was found, and buffers between guards.
 *
 * A test program runs the case its argument names and exits with 0 (passed), 1 (a check failed) or 2 (no such case);
 * a read or write outside a buffer ends it by a signal. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "kernels/activation.h"

#define TEST(name) static void name(void)

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                   \
    } while (0)

/* Prints where, what and the printf-style explanation, and ends the program with 1. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

typedef struct check_case {
    const char *name;
    void (*run)(void);
} check_case;
#define CASE(name)                                                                                                     \
    { #name, name }

/* The body of main. */
int check_main(int argc, char **argv, const check_case *cases, int count);
#define MAIN(...)                                                                                                      \
    int main(int argc, char **argv) {                                                                                  \
        static const check_case cases[] = {__VA_ARGS__};                                                               \
        return check_main(argc, argv, cases, (int)(sizeof cases / sizeof *cases));                                     \
    }

/* `count` floats that end where an unreadable page begins; the bytes before them are 0xff (a NaN, when read) and
 * check_guards holds that they stay so. The floats start as NaN too: what a kernel must write, it must write. */
typedef struct check_buffer {
    float *values;
    int64_t count;
    unsigned char *memory; /* the mapping: guard page, pages in use, guard page */
    int64_t bytes;
} check_buffer;

check_buffer check_floats(int64_t count);
check_buffer check_bytes(int64_t count); /* the same for `count` bytes: read `values` as unsigned char */
void check_guards(const check_buffer *buffer, const char *name);
void check_free(check_buffer *buffer);

/* `count` normal numbers, and a copy of another buffer. */
check_buffer check_normal(int64_t count, gm_random *random);
check_buffer check_copy(const check_buffer *other);

/* low..high, both included. */
int64_t check_between(gm_random *random, int64_t low, int64_t high);

void check_succeed(gm_status status, const gm_error *error);

/* An activation, and its derivative by its output. */
double check_act(gm_activation a, double x);
double check_act_slope(gm_activation a, double y);

/* |got - wanted| <= bound, and got is a number. */
void check_near(double got, double wanted, double bound, const char *name, int64_t index);

#endif
