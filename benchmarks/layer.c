/* Times one layer, or the machine's limit, as often as it is asked to: a line in, a line of JSON out.
 *
 *     make build/layer && build/layer 2     on two threads
 *
 *     limit
 *     Conv2D N H W C filters kernel stride padding
 *     Conv2DTranspose N H W C filters kernel stride padding
 *     Dense N inputs units
 *     LSTM N steps inputs units
 *     BatchNorm N H W C
 *
 * The answer holds medians, in seconds, of the forward pass in training mode, of the input's gradient alone and of the
 * weights' gradients alone. A layer is a network of its own, with a bias where layers have one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "limit.h"
#include "network/network.h"
#include "values.h"

enum { MOST_REPEATS = 25, LEAST_REPEATS = 3, LIMITS = 9, MOST_NUMBERS = 8 };
static const double ENOUGH_SECONDS = 0.03;

typedef enum pass { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, PASSES } pass;

typedef struct request {
    char kind[32];
    int64_t number[MOST_NUMBERS];
} request;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* ---- What is asked ---- */

static bool read_request(const char *line, request *r) {
    int at = 0, length;
    if (sscanf(line, "%31s%n", r->kind, &at) != 1) return false;
    for (int i = 0; i < MOST_NUMBERS; i++, at += length) {
        length = 0;
        r->number[i] = 0;
        if (sscanf(line + at, "%" SCNd64 "%n", &r->number[i], &length) != 1) length = 0;
    }
    return true;
}

static gm_layer_config config_of(const request *r) {
    const int64_t *n = r->number;
    gm_layer_config config = {.kind = r->kind, .use_bias = true, .kernel_initializer = GM_INIT_GLOROT_UNIFORM};
    if (strncmp(r->kind, "Conv2D", 6) == 0) {
        config.filters = n[4];
        config.kernel_size[0] = config.kernel_size[1] = n[5];
        config.strides[0] = config.strides[1] = n[6];
        config.padding = GM_PADDING_EXPLICIT;
        config.pad[0] = config.pad[1] = n[7];
    } else if (strcmp(r->kind, "Dense") == 0) {
        config.units = n[2];
    } else if (strcmp(r->kind, "LSTM") == 0) {
        config.units = n[3];
        config.return_sequences = true;
    } else {
        config.momentum = 0.1f;
        config.epsilon = 1e-5f;
    }
    return config;
}

static gm_shape shape_of(const request *r) {
    const int64_t *n = r->number;
    if (strcmp(r->kind, "Dense") == 0) return (gm_shape){1, {n[1]}};
    if (strcmp(r->kind, "LSTM") == 0) return (gm_shape){2, {n[1], n[2]}};
    return (gm_shape){3, {n[1], n[2], n[3]}};
}

/* ---- What is measured ---- */

typedef struct subject {
    gm_network *network;
    int64_t N, in, out;
    float *x, *dy, *own; /* (N, in), (N, out) twice: a backward pass overwrites what it is given */
} subject;

static double time_forward(subject *s) {
    double start = gm_clock_seconds();
    gm_network_forward(s->network, s->N, s->x, GM_TRAINING);
    return gm_clock_seconds() - start;
}

static double time_backward(subject *s, unsigned wants) {
    memcpy(s->own, s->dy, (size_t)(s->N * s->out) * sizeof *s->own);
    double start = gm_clock_seconds();
    gm_network_backward(s->network, s->N, s->own, wants);
    return gm_clock_seconds() - start;
}

static void measure(subject *s, double medians[PASSES]) {
    double seconds[PASSES][MOST_REPEATS], sum = 0;
    int count = 0;
    for (int repeat = -1; repeat < LEAST_REPEATS || (repeat < MOST_REPEATS && sum < ENOUGH_SECONDS); repeat++) {
        int k = repeat < 0 ? 0 : repeat; /* the first is a warm-up */
        seconds[FORWARD][k] = time_forward(s);
        seconds[INPUT_GRADIENT][k] = time_backward(s, GM_WANT_INPUT);
        time_forward(s);
        seconds[WEIGHT_GRADIENT][k] = time_backward(s, GM_WANT_PARAMETERS);
        count = k + 1;
        for (int p = 0; repeat >= 0 && p < PASSES; p++) sum += seconds[p][k];
    }
    for (int p = 0; p < PASSES; p++) medians[p] = median(seconds[p], count);
}

static int64_t size_of(const gm_shape *shape) {
    int64_t size = 1;
    for (int i = 0; i < shape->rank; i++) size *= shape->dim[i];
    return size;
}

static gm_status answer_layer(const request *r, gm_error *error) {
    gm_layer_config config = config_of(r);
    gm_shape shape = shape_of(r);
    subject s = {.N = r->number[0], .in = size_of(&shape)};
    GM_TRY(gm_network_create(&config, 1, &shape, 0, 0, &s.network, error));
    gm_status status = gm_network_reserve(s.network, s.N, error);
    if (status == GM_OK) {
        double medians[PASSES];
        s.out = size_of(gm_network_output_shape(s.network));
        s.x = values(s.N * s.in), s.dy = values(s.N * s.out), s.own = values(s.N * s.out);
        measure(&s, medians);
        printf("{\"forward\": %.9f, \"input_gradient\": %.9f, \"weight_gradient\": %.9f}\n", medians[FORWARD],
               medians[INPUT_GRADIENT], medians[WEIGHT_GRADIENT]);
        free(s.x), free(s.dy), free(s.own);
    }
    gm_network_free(s.network);
    return status;
}

static void answer_limit(void) {
    double rates[LIMITS];
    for (int i = 0; i < LIMITS; i++) rates[i] = limit();
    printf("{\"gflops\": %.2f}\n", median(rates, LIMITS) * 1e-9);
}

int main(int count, char **arguments) {
    gm_set_num_threads(count > 1 ? atoi(arguments[1]) : 2);
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        request r;
        gm_error error = {0};
        if (!read_request(line, &r)) continue;
        if (strcmp(r.kind, "limit") == 0)
            answer_limit();
        else if (answer_layer(&r, &error) != GM_OK)
            printf("{\"error\": \"%s\"}\n", error.message);
        fflush(stdout);
    }
    return 0;
}
