#define _GNU_SOURCE /* mmap, sysconf */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1); /* also from a thread or a forked child, without running anybody's exit handlers */
}

int check_main(int argc, char **argv, const check_case *cases, int count) {
    for (int i = 0; argc == 2 && i < count; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    fprintf(stderr, "usage: %s CASE; there is no case %s\n", argv[0], argc == 2 ? argv[1] : "named");
    return 2;
}

check_buffer check_bytes(int64_t count) {
    int64_t page = sysconf(_SC_PAGESIZE);
    int64_t inner = (count + 255) / page * page + page; /* at least 1 guard byte in front, mostly many more */
    check_buffer buffer = {.count = count, .bytes = inner + 2 * page};
    buffer.memory = mmap(NULL, (size_t)buffer.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buffer.memory != MAP_FAILED, "cannot map %lld bytes", (long long)buffer.bytes);
    memset(buffer.memory, 0xff, (size_t)buffer.bytes);
    mprotect(buffer.memory, (size_t)page, PROT_NONE);
    mprotect(buffer.memory + page + inner, (size_t)page, PROT_NONE);
    buffer.values = (float *)(void *)(buffer.memory + page + inner - count);
    return buffer;
}

check_buffer check_floats(int64_t count) {
    check_buffer buffer = check_bytes(count * (int64_t)sizeof(float));
    buffer.count = count;
    return buffer;
}

void check_guards(const check_buffer *buffer, const char *name) {
    const unsigned char *end = (const unsigned char *)buffer->values;
    for (const unsigned char *p = buffer->memory + sysconf(_SC_PAGESIZE); p < end; p++)
        CHECK(*p == 0xff, "%s: the byte %d before the buffer was overwritten", name, (int)(end - p));
}

void check_free(check_buffer *buffer) {
    check_guards(buffer, "freed buffer");
    munmap(buffer->memory, (size_t)buffer->bytes);
    buffer->values = NULL;
}

check_buffer check_normal(int64_t count, gm_random *random) {
    check_buffer buffer = check_floats(count);
    gm_random_normal(random, count, buffer.values);
    return buffer;
}

check_buffer check_copy(const check_buffer *other) {
    check_buffer buffer = check_floats(other->count);
    memcpy(buffer.values, other->values, (size_t)other->count * sizeof(float));
    return buffer;
}

int64_t check_between(gm_random *random, int64_t low, int64_t high) {
    uint32_t word;
    gm_random_bits(random, 1, &word);
    return low + (int64_t)(word % (uint64_t)(high - low + 1));
}

void check_succeed(gm_status status, const gm_error *error) { CHECK(status == GM_OK, "%s", error->message); }

double check_act(gm_activation a, double x) {
    switch (a.kind) {
    case GM_LEAKY_RELU: return x < 0 ? (double)a.slope * x : x;
    case GM_TANH: return tanh(x);
    case GM_SIGMOID: return 1 / (1 + exp(-x));
    case GM_LINEAR: break;
    }
    return x;
}

double check_act_slope(gm_activation a, double y) {
    switch (a.kind) {
    case GM_LEAKY_RELU: return y > 0 ? 1 : (double)a.slope;
    case GM_TANH: return 1 - y * y;
    case GM_SIGMOID: return y * (1 - y);
    case GM_LINEAR: break;
    }
    return 1;
}

void check_near(double got, double wanted, double bound, const char *name, int64_t index) {
    CHECK(fabs(got - wanted) <= bound, "%s[%lld] is %.9g, must be %.9g within %.2g", name, (long long)index, got,
          wanted, bound);
}
