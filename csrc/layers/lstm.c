/* Long short-term memory over T steps of F features: (T, F) -> (T, U), or (U), the last step's alone. The cell is in
 * kernels/recurrent.h; zero initial state; gates i, f, g, o side by side in the kernels (F, 4U), (U, 4U) and the bias.
 *
 * Inside, time comes before the samples: a step's rows then lie together, and whatever does not wait for the step
 * before is one product over all T * N rows: the input's part of the gates, the input gradient, both weight gradients.
 * Only the recurrent part is a product a step. */
#include <string.h>

#include "base/sizes.h"
#include "kernels/arrays.h"
#include "kernels/recurrent.h"
#include "layers/ops.h"

enum { KERNEL, RECURRENT_KERNEL, BIAS };

/* The sizes, N samples among them, and the product of each step. */
typedef struct sizes {
    int64_t N, T, F, U;
    gm_recurrent recurrent; /* the input's product, F -> 4U, is layer->conv */
} sizes;

static sizes sizes_of(const gm_layer *layer, int64_t N) {
    int64_t U = layer->config.units;
    return (sizes){N, layer->in.dim[0], layer->in.dim[1], U, gm_recurrent_of(U, layer->config.precision)};
}

/* What a training forward keeps. */
typedef struct memory {
    float *x;     /* (T, N, F) */
    float *gates; /* (T, N, 4U) */
    float *c, *h; /* (T, N, U) */
} memory;

static memory memory_in(float *saved, const sizes *s) {
    int64_t rows = s->T * s->N;
    memory m = {.x = saved, .gates = saved + rows * s->F};
    m.c = m.gates + rows * 4 * s->U;
    m.h = m.c + rows * s->U;
    return m;
}

static int64_t saved(const gm_layer *layer, int64_t N) {
    sizes s = sizes_of(layer, N);
    return s.T * N * (s.F + 6 * s.U);
}

/* The places of a call's scratch. The products' comes first: it may hold doubles. */
typedef struct scratch {
    float *product;
    float *kernel;  /* the recurrent one, ready; on whole lines, as the product's workspace is */
    float *dz;      /* (T, N, 4U) backward; forward its first step holds h_before R */
    float *rows;    /* (T, N, U) dy, later (T, N, F) dx */
    float *dh, *dc; /* (N, U) */
} scratch;

static int64_t product_workspace(const gm_layer *layer, const sizes *s) {
    int64_t sums = gm_channels_workspace(s->T * s->N, 4 * s->U);
    int64_t input = gm_conv_workspace(&layer->conv, s->T * s->N), step = gm_recurrent_workspace(&s->recurrent, s->N);
    int64_t gradient = gm_conv_workspace(&s->recurrent.forward, s->T * s->N);
    return round_up(max_of(max_of(sums, input), max_of(step, gradient)), GM_LINE_FLOATS);
}

static scratch scratch_in(float *workspace, const gm_layer *layer, const sizes *s) {
    int64_t rows = s->T * s->N;
    scratch w = {.product = workspace, .kernel = workspace + product_workspace(layer, s)};
    w.dz = w.kernel + gm_recurrent_ready_floats(&s->recurrent);
    w.rows = w.dz + rows * 4 * s->U;
    w.dh = w.rows + rows * max_of(s->F, s->U);
    w.dc = w.dh + s->N * s->U;
    return w;
}

static int64_t workspace(const gm_layer *layer, int64_t N) {
    sizes s = sizes_of(layer, N);
    int64_t rows = s.T * N * (4 * s.U + max_of(s.F, s.U)), states = 2 * N * s.U;
    return product_workspace(layer, &s) + rows + states + gm_recurrent_ready_floats(&s.recurrent);
}

static int64_t products(const gm_layer *layer) {
    sizes s = sizes_of(layer, 1);
    return (s.T * s.F + (s.T - 1) * s.U) * 4 * s.U; /* the first step's state is zero */
}

static gm_status resolve(gm_layer *layer, gm_error *error) {
    int64_t units = layer->config.units, gates;
    char text[GM_SHAPE_TEXT];
    GM_REQUIRE(layer->in.rank == 2, error, GM_VALUE_ERROR,
               GM_LAYER "input %s must have 2 dimensions: steps, features (add Reshape((steps, features)) before it)",
               GM_LAYER_ARGUMENTS(layer), gm_shape_text(&layer->in, text));
    GM_REQUIRE(units >= 1, error, GM_VALUE_ERROR, GM_LAYER "units is %" PRId64 ", must be at least 1",
               GM_LAYER_ARGUMENTS(layer), units);
    GM_TRY(gm_size_multiply(units, 4, &gates, layer->ops->name, error));
    int64_t steps = layer->in.dim[0], features = layer->in.dim[1];
    layer->out = layer->config.return_sequences ? (gm_shape){2, {steps, units}} : (gm_shape){1, {units}};
    layer->conv = gm_conv_of_pixels(features, gates);
    GM_TRY(gm_layer_add_parameter(layer, "kernel", (gm_shape){2, {features, gates}}, true, GM_INIT_GLOROT_UNIFORM,
                                  features, gates, error));
    GM_TRY(gm_layer_add_parameter(layer, "recurrent_kernel", (gm_shape){2, {units, gates}}, true, GM_INIT_ORTHOGONAL,
                                  units, gates, error));
    return gm_layer_add_parameter(layer, "bias", (gm_shape){1, {gates}}, true, GM_INIT_FORGET_GATE, 0, 0, error);
}

/* ---- Forward ---- */

static gm_lstm_step step_of(const memory *m, const sizes *s, int64_t t) {
    int64_t at = t * s->N * s->U;
    return (gm_lstm_step){
        .before = t ? m->c + at - s->N * s->U : NULL, .gates = m->gates + 4 * at, .c = m->c + at, .h = m->h + at};
}

static void forward(gm_layer *layer, const gm_pass *pass) {
    const gm_parameter *p = layer->parameter;
    sizes s = sizes_of(layer, pass->N);
    memory m = memory_in(pass->saved, &s);
    scratch w = scratch_in(pass->workspace, layer, &s);
    gm_epilogue bias = {.bias = p[BIAS].value};
    gm_exchange_axes(s.N, s.T, s.F, pass->x, m.x);
    gm_conv_forward(&layer->conv, s.T * s.N, m.x, p[KERNEL].value, m.gates, &bias, w.product);
    if (s.T > 1) gm_recurrent_make_ready(&s.recurrent, false, p[RECURRENT_KERNEL].value, w.kernel);
    for (int64_t t = 0; t < s.T; t++) {
        gm_lstm_step step = step_of(&m, &s, t);
        if (t) {
            const float *h_before = step.h - s.N * s.U;
            gm_recurrent_multiply(&s.recurrent, false, s.N, h_before, w.kernel, w.dz, w.product);
            step.recurrent = w.dz;
        }
        gm_lstm_cell(&step, s.N, s.U);
    }
    if (layer->config.return_sequences)
        gm_exchange_axes(s.T, s.N, s.U, m.h, pass->y);
    else
        memcpy(pass->y, m.h + (s.T - 1) * s.N * s.U, (size_t)(s.N * s.U) * sizeof(float));
}

/* ---- Backward ---- */

/* The gradient of the output: of every step's h in w->rows, or of the last one's in w->dh. */
static void start_backward(const gm_layer *layer, const gm_pass *pass, const sizes *s, const scratch *w) {
    size_t state = (size_t)(s->N * s->U) * sizeof(float);
    memset(w->dc, 0, state);
    if (layer->config.return_sequences) {
        memset(w->dh, 0, state);
        gm_exchange_axes(s->N, s->T, s->U, pass->dy, w->rows);
    } else {
        memcpy(w->dh, pass->dy, state);
    }
}

/* Through time: w->dz, the gradients of all steps' gates before their activations. */
static void backward_steps(const gm_layer *layer, const memory *m, const sizes *s, const scratch *w) {
    const float *kernel = layer->parameter[RECURRENT_KERNEL].value;
    if (s->T > 1) gm_recurrent_make_ready(&s->recurrent, true, kernel, w->kernel);
    for (int64_t t = s->T - 1; t >= 0; t--) {
        int64_t at = t * s->N * s->U;
        gm_lstm_step step = step_of(m, s, t);
        step.dy = layer->config.return_sequences ? w->rows + at : NULL;
        step.dh = w->dh;
        step.dc = w->dc;
        step.dz = w->dz + 4 * at;
        gm_lstm_cell_backward(&step, s->N, s->U);
        if (t) gm_recurrent_multiply(&s->recurrent, true, s->N, step.dz, w->kernel, w->dh, w->product);
    }
}

/* Each weight's gradient is one sum over all steps and samples; h of a step meets dz of the next. */
static void backward_weights(gm_layer *layer, const memory *m, const sizes *s, const scratch *w) {
    const gm_parameter *p = layer->parameter;
    gm_channels channels = gm_channels_of(s->T * s->N, 4 * s->U);
    gm_add_channel_sums(&channels, w->dz, p[BIAS].gradient, w->product);
    gm_conv_backward_weights(&layer->conv, s->T * s->N, m->x, w->dz, true, p[KERNEL].gradient, w->product);
    if (s->T > 1)
        gm_conv_backward_weights(&s->recurrent.forward, (s->T - 1) * s->N, m->h, w->dz + s->N * 4 * s->U, true,
                                 p[RECURRENT_KERNEL].gradient, w->product);
}

static void backward(gm_layer *layer, const gm_pass *pass) {
    sizes s = sizes_of(layer, pass->N);
    memory m = memory_in(pass->saved, &s);
    scratch w = scratch_in(pass->workspace, layer, &s);
    start_backward(layer, pass, &s, &w);
    backward_steps(layer, &m, &s, &w);
    if (!pass->frozen) backward_weights(layer, &m, &s, &w);
    if (!pass->dx) return;
    gm_conv_backward_data(&layer->conv, s.T * s.N, w.dz, layer->parameter[KERNEL].value, w.rows, NULL, w.product);
    gm_exchange_axes(s.T, s.N, s.F, w.rows, pass->dx);
}

const gm_layer_ops gm_lstm_ops = {
    .name = "LSTM",
    .resolve = resolve,
    .saved = saved,
    .workspace = workspace,
    .products = products,
    .forward = forward,
    .backward = backward,
};
