/* Shapes, sizes, errors and the arena. */
#define _GNU_SOURCE /* mincore */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/shape.h"
#include "check.h"
#include "network/network.h"

TEST(error_is_filled) {
    gm_error error = {0};
    gm_status status = gm_error_set(&error, GM_VALUE_ERROR, "units is %d, must be at least %d", 0, 1);
    CHECK(status == GM_VALUE_ERROR && error.status == GM_VALUE_ERROR, "status %d", (int)status);
    CHECK(strcmp(error.message, "units is 0, must be at least 1") == 0, "%s", error.message);
    CHECK(gm_error_set(NULL, GM_MEMORY_ERROR, "nobody asks") == GM_MEMORY_ERROR, "without an error to fill");
}

TEST(long_error_is_cut) {
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    gm_error error;
    (void)gm_error_set(&error, GM_VALUE_ERROR, "%s", text);
    CHECK(strlen(error.message) == sizeof error.message - 1, "%d characters", (int)strlen(error.message));
}

TEST(sizes_do_not_wrap) {
    int64_t product = -1;
    gm_error error;
    CHECK(gm_size_multiply((int64_t)1 << 20, (int64_t)1 << 20, &product, "x", &error) == GM_OK, "2^40 is allowed");
    CHECK(product == GM_MAX_ELEMENTS, "%lld", (long long)product);
    product = -1;
    CHECK(gm_size_multiply(((int64_t)1 << 20) + 1, (int64_t)1 << 20, &product, "x", &error) == GM_OVERFLOW_ERROR,
          "over");
    CHECK(gm_size_multiply(INT64_MAX, INT64_MAX, &product, "x", &error) == GM_OVERFLOW_ERROR, "far over");
    CHECK(gm_size_multiply((int64_t)1 << 32, (int64_t)1 << 32, &product, "x", &error) == GM_OVERFLOW_ERROR,
          "wraps to 0");
    CHECK(gm_size_multiply(-1, 5, &product, "x", &error) == GM_VALUE_ERROR, "negative");
    CHECK(product == -1, "a refused product was written: %lld", (long long)product);
    CHECK(gm_size_multiply(0, INT64_MAX, &product, "x", &error) == GM_OK && product == 0, "zero");
}

TEST(shapes) {
    gm_error error;
    int64_t size;
    gm_shape images = {3, {28, 28, 1}}, scalar = {0, {0}}, empty = {2, {3, 0}}, huge = {4, {1 << 20, 1 << 20, 2, 1}};
    CHECK(gm_shape_size(&images, &size, "x", &error) == GM_OK && size == 784, "%lld", (long long)size);
    CHECK(gm_shape_size(&scalar, &size, "x", &error) == GM_OK && size == 1, "scalar");
    CHECK(gm_shape_size(&empty, &size, "x", &error) == GM_VALUE_ERROR, "dimension 0");
    CHECK(gm_shape_size(&huge, &size, "the weights", &error) == GM_OVERFLOW_ERROR, "2^41");
    CHECK(strstr(error.message, "the weights"), "the message does not name the thing: %s", error.message);
    gm_shape deep = {GM_MAX_RANK + 1, {1, 1, 1, 1}}, other = {3, {28, 1, 28}};
    CHECK(gm_shape_size(&deep, &size, "x", &error) == GM_VALUE_ERROR, "rank");
    CHECK(gm_shape_equal(&images, &images) && !gm_shape_equal(&images, &other), "equality");
}

TEST(shape_text) {
    char text[GM_SHAPE_TEXT];
    gm_shape three = {3, {28, 28, 1}}, one = {1, {5}}, none = {0, {0}};
    gm_shape longest = {4, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};
    CHECK(strcmp(gm_shape_text(&three, text), "(28, 28, 1)") == 0, "%s", text);
    CHECK(strcmp(gm_shape_text(&one, text), "(5,)") == 0, "%s", text);
    CHECK(strcmp(gm_shape_text(&none, text), "()") == 0, "%s", text);
    CHECK(strlen(gm_shape_text(&longest, text)) == 4 * 19 + 3 * 2 + 2, "%s", text);
}

/* A plan as networks make them; returns the pieces it got. */
static void plan(gm_arena *arena, unsigned char *piece[6]) {
    piece[0] = (unsigned char *)gm_arena_floats(arena, 1);
    piece[1] = gm_arena_bytes(arena, 64);
    piece[2] = gm_arena_bytes(arena, 65);
    piece[3] = (unsigned char *)gm_arena_floats(arena, 1000);
    piece[4] = gm_arena_bytes(arena, 0);
    piece[5] = (unsigned char *)gm_arena_floats(arena, 17);
}

static const size_t plan_bytes[6] = {4, 64, 65, 4000, 0, 68};

TEST(arena_places_what_it_measured) {
    gm_error error;
    unsigned char *piece[6];
    gm_arena measured = gm_arena_measuring(), arena;
    plan(&measured, piece);
    for (int i = 0; i < 6; i++) CHECK(piece[i] == NULL, "piece %d while measuring", i);
    CHECK(gm_arena_create(&measured, &arena, "test", &error) == GM_OK, "%s", error.message);
    CHECK(arena.used == 0 && arena.capacity == measured.used, "a fresh arena");
    plan(&arena, piece);
    CHECK(arena.used == measured.used, "placed %lld of %lld", (long long)arena.used, (long long)measured.used);
    for (int i = 0; i < 6; i++) {
        CHECK((uintptr_t)piece[i] % 64 == 0, "piece %d is not aligned", i);
        CHECK(piece[i] + plan_bytes[i] <= arena.memory + arena.capacity, "piece %d runs out of the arena", i);
        if (i) CHECK(piece[i - 1] + plan_bytes[i - 1] <= piece[i], "pieces %d and %d overlap", i - 1, i);
        for (size_t j = 0; j < plan_bytes[i]; j++) CHECK(piece[i][j] == 0, "piece %d is not zero", i);
        memset(piece[i], 0xff, plan_bytes[i]);
    }
    gm_arena_free(&arena);
    CHECK(arena.memory == NULL && arena.used == 0, "after free");
    gm_arena_free(&arena);
}

enum { PART = 64 << 20 };

/* Of PART bytes, about, those in memory. */
static int64_t resident_bytes(unsigned char *part) {
    int64_t page = sysconf(_SC_PAGESIZE), pages = PART / page - 1, resident = 0;
    unsigned char *in_memory = malloc((size_t)pages), *first = part + (page - (intptr_t)part % page) % page;
    CHECK(mincore(first, (size_t)(pages * page), (void *)in_memory) == 0, "no figures of these pages");
    for (int64_t i = 0; i < pages; i++) resident += (in_memory[i] & 1) * page;
    free(in_memory);
    return resident;
}

/* Gradients that are never written cost nothing. (But under ThreadSanitizer, whose calloc writes its zeros.) */
TEST(arena_takes_memory_where_it_is_written) {
    enum { HUGE_PAGE = 2 << 20 };
#ifdef __SANITIZE_THREAD__
    const int64_t most = PART;
#else
    const int64_t most = HUGE_PAGE;
#endif
    gm_error error;
    gm_arena measured = gm_arena_measuring(), arena;
    for (int i = 0; i < 2; i++) (void)gm_arena_bytes(&measured, PART);
    CHECK(gm_arena_create(&measured, &arena, "test", &error) == GM_OK, "%s", error.message);
    unsigned char *part[] = {gm_arena_bytes(&arena, PART), gm_arena_bytes(&arena, PART)};
    memset(part[0], 1, PART);
    int64_t written = resident_bytes(part[0]), other = resident_bytes(part[1]);
    CHECK(written > PART - HUGE_PAGE, "%lld of %d bytes written", (long long)written, PART);
    CHECK(other <= most, "%lld bytes that nobody wrote", (long long)other);
    gm_arena_free(&arena);
}

TEST(arena_refuses_the_impossible) {
    gm_error error = {0};
    gm_arena measured = gm_arena_measuring(), arena = gm_arena_measuring();
    (void)gm_arena_bytes(&measured, INT64_MAX / 4);
    CHECK(gm_arena_create(&measured, &arena, "the plan", &error) == GM_MEMORY_ERROR, "an allocation of 2^61 bytes");
    CHECK(strstr(error.message, "the plan"), "%s", error.message);
    CHECK(arena.memory == NULL, "a failed arena was filled in");
}

/* What a layer keeps of a batch may be far more than the batch: an LSTM's gates. */
TEST(plans_beyond_the_limit_are_refused) {
    gm_error error = {0};
    gm_layer_config lstm = {.kind = "LSTM", .units = 64};
    gm_shape input = {2, {(int64_t)1 << 30, 1}};
    gm_network *network = NULL;
    CHECK(gm_network_create(&lstm, 1, &input, 0, 0, &network, &error) == GM_OK, "%s", error.message);
    CHECK(gm_network_reserve(network, 1 << 10, &error) == GM_OVERFLOW_ERROR, "2^40 steps: %s", error.message);
    CHECK(strstr(error.message, "LSTM"), "%s", error.message);
    CHECK(gm_network_plan_bytes(network) == 0, "a failed plan was taken over");
    gm_network_free(network);
}

MAIN(CASE(error_is_filled), CASE(long_error_is_cut), CASE(sizes_do_not_wrap), CASE(shapes), CASE(shape_text),
     CASE(arena_places_what_it_measured), CASE(arena_takes_memory_where_it_is_written),
     CASE(arena_refuses_the_impossible), CASE(plans_beyond_the_limit_are_refused))
