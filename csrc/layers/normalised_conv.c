#include "layers/normalised_conv.h"

#include <stddef.h>

#include "base/sizes.h"
#include "kernels/conv_normalised.h"
#include "layers/batchnorm.h"
#include "layers/ops.h"
#include "layers/product.h"

bool gm_normalised_conv_pays(const gm_layer *norm, gm_activation act, gm_activation gate, const gm_layer *conv) {
    bool kinds = norm->ops == &gm_batch_norm_ops && conv->ops == &gm_conv2d_ops;
    bool kinked =
        (act.kind == GM_LINEAR || act.kind == GM_LEAKY_RELU) && (gate.kind == GM_LINEAR || gate.kind == GM_LEAKY_RELU);
    return kinds && kinked && gm_conv_normalised_pays(&conv->conv);
}

static int64_t norm_workspace(const gm_layer *norm, int64_t N) {
    return round_up(gm_batch_norm_workspace(norm, N), GM_LINE_FLOATS);
}

int64_t gm_normalised_conv_workspace(const gm_layer *norm, const gm_layer *conv, int64_t N) {
    gm_conv g = gm_product_geometry(conv);
    int64_t alone = gm_product_workspace(conv, N), together = gm_conv_normalised_workspace(&g, N);
    return norm_workspace(norm, N) + max_of(alone, together);
}

/* What both of them need in a pass. */
typedef struct joined {
    gm_pass norm_pass, pass; /* with a workspace each */
    gm_batch_norm norm;
    gm_normalised image; /* once the normalisation is known */
    gm_conv g;
} joined;

static joined join(const gm_layer *norm, const gm_pass *norm_pass, const gm_layer *conv, const gm_pass *pass) {
    joined of = {.norm_pass = *norm_pass, .pass = *pass, .g = gm_product_geometry(conv)};
    of.norm_pass.workspace = pass->workspace;
    of.pass.workspace = pass->workspace + norm_workspace(norm, pass->N);
    of.norm = gm_batch_norm_begin(norm, &of.norm_pass);
    of.image = (gm_normalised){.x = norm_pass->x,
                               .in_pairs = norm->x_pairs,
                               .center = of.norm.center,
                               .scale = of.norm.scale,
                               .shift = of.norm.shift,
                               .act = norm_pass->act};
    return of;
}

void gm_normalised_conv_forward(gm_layer *norm, const gm_pass *norm_pass, gm_layer *conv, const gm_pass *pass) {
    joined of = join(norm, norm_pass, conv, pass);
    gm_batch_norm_measure(norm, &of.norm_pass, &of.norm);
    gm_epilogue epilogue = gm_product_epilogue(conv, pass);
    gm_conv_normalised_forward(&of.g, pass->N, &of.image, gm_product_new_kernel(conv, pass), pass->y, &epilogue,
                               of.pass.workspace);
}

/* The sums that the normalisation needs, and the gradients of the convolution, on the way. */
static void gather(joined *of, gm_layer *conv, const float *kernel) {
    const gm_pass *pass = &of->pass;
    gm_kernel_gradient to = {NULL, false};
    if (!pass->frozen) {
        gm_product_backward_bias(conv, pass);
        to = gm_product_begin_gradient(conv, pass);
    }
    gm_conv_normalised_sums(&of->g, pass->N, &of->image, pass->dy, kernel, of->norm.first, of->norm.second, to.add,
                            to.at, pass->workspace);
    if (!pass->frozen) gm_product_end_gradient(conv, pass);
}

void gm_normalised_conv_backward(gm_layer *norm, const gm_pass *norm_pass, gm_layer *conv, const gm_pass *pass) {
    joined of = join(norm, norm_pass, conv, pass);
    const float *kernel = gm_product_kernel(conv, pass);
    gm_batch_norm_recall(norm, &of.norm_pass, &of.norm);
    gather(&of, conv, kernel);
    gm_batch_norm_derive(norm, &of.norm_pass, &of.norm);
    if (!pass->dx) return;
    gm_channel_terms terms = {of.norm.center, of.norm.a, of.norm.b, of.norm.c};
    gm_conv_normalised_blend(&of.g, pass->N, &of.image, pass->dy, kernel, &terms, norm_pass->gate_act, pass->dx,
                             of.pass.workspace);
}
