#include "models/classifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sizes.h"
#include "kernels/softmax.h"
#include "models/checks.h"

enum { PIECE = 128 }; /* images at a time where any number may come */

struct gm_classifier {
    gm_classifier_config config;
    gm_network *network; /* the caller's */
    gm_optimizer *optimizer;
    int last; /* index of the layer whose input are the features and whose output the logits */
};

/* ---- Creation ---- */

static gm_status check_config(const gm_classifier_config *config, gm_error *error) {
    GM_TRY(gm_check_image_model("classifier", &config->image, config->num_classes, error));
    GM_REQUIRE(config->num_classes >= 2, error, GM_VALUE_ERROR,
               "classifier: num_classes is %" PRId64 ", must be at least 2", config->num_classes);
    return GM_OK;
}

static gm_status check_network(const gm_classifier_config *config, const gm_network *network, gm_error *error) {
    int count = gm_network_layer_count(network);
    gm_shape logits = {1, {config->num_classes}};
    GM_TRY(gm_check_shape("classifier: the network's input", gm_network_input_shape(network), &config->image, error));
    const char *last = count ? gm_network_layer(network, count - 1)->ops->name : "missing";
    GM_REQUIRE(strcmp(last, "Dense") == 0, error, GM_VALUE_ERROR,
               "classifier: the last layer must be Dense(%" PRId64 "), whose outputs are the logits; it is %s",
               config->num_classes, last);
    return gm_check_shape("classifier: the network's output", gm_network_output_shape(network), &logits, error);
}

gm_status gm_classifier_create(const gm_classifier_config *config, gm_network *network, gm_classifier **classifier,
                               gm_error *error) {
    GM_TRY(check_config(config, error));
    GM_TRY(check_network(config, network, error));
    gm_classifier *c = calloc(1, sizeof *c);
    GM_REQUIRE(c, error, GM_MEMORY_ERROR, "classifier: cannot allocate the model");
    c->config = *config;
    c->network = network;
    c->last = gm_network_layer_count(network) - 1;
    gm_status status = gm_optimizer_create(&config->optimizer, gm_network_trainable(network), &c->optimizer, error);
    if (status != GM_OK) {
        gm_classifier_free(c);
        return status;
    }
    *classifier = c;
    return GM_OK;
}

void gm_classifier_free(gm_classifier *classifier) {
    if (!classifier) return;
    gm_optimizer_free(classifier->optimizer);
    free(classifier);
}

int64_t gm_classifier_feature_count(const gm_classifier *classifier) {
    return gm_network_layer(classifier->network, classifier->last)->in_size;
}

gm_optimizer *gm_classifier_optimizer(gm_classifier *classifier) { return classifier->optimizer; }

/* ---- Passes ---- */

/* Images start..start+N-1 -> logits (N, K), the network's own. */
static float *forward_piece(gm_classifier *classifier, const gm_images *x, int64_t start, int64_t N, unsigned flags) {
    float *input = gm_network_input(classifier->network);
    gm_images_load(x, start, N, &classifier->config.image, NULL, 0, false, input);
    return gm_network_forward(classifier->network, N, input, flags);
}

/* The sums over images start..start+N-1, whose logits become `scale` times their gradient. */
static gm_classifier_losses loss_of_piece(const gm_classifier *classifier, int64_t N, float *logits,
                                          const int64_t *labels, double scale) {
    int64_t correct;
    double loss = gm_softmax_cross_entropy(N, classifier->config.num_classes, logits, labels, scale, logits, &correct);
    return (gm_classifier_losses){.loss = loss, .accuracy = (double)correct};
}

/* ---- The training step ---- */

static gm_status check_finite(const gm_classifier *classifier, double loss, gm_error *error) {
    uint64_t step = gm_optimizer_steps(classifier->optimizer) + 1;
    GM_REQUIRE(isfinite(loss), error, GM_NONFINITE_ERROR,
               "classifier: training diverged: at step %" PRIu64 " the loss is %g; the weights are those of the step "
               "before; try a lower learning rate",
               step, gm_printed(loss));
    return gm_check_gradients("classifier", classifier->network, "network", step, error);
}

gm_status gm_classifier_train_step(gm_classifier *classifier, const gm_images *x, const int64_t *labels,
                                   gm_classifier_losses *losses, gm_error *error) {
    gm_network *network = classifier->network;
    double N = (double)x->N;
    GM_TRY(gm_check_images("classifier", x, &classifier->config.image, labels, classifier->config.num_classes, error));
    GM_TRY(gm_network_reserve(network, x->N, error));
    gm_network_note(network);
    float *logits = forward_piece(classifier, x, 0, x->N, GM_TRAINING);
    gm_classifier_losses sums = loss_of_piece(classifier, x->N, logits, labels, 1.0 / N);
    *losses = (gm_classifier_losses){.loss = sums.loss / N, .accuracy = sums.accuracy / N};
    gm_network_backward(network, x->N, logits, GM_WANT_PARAMETERS | GM_UPDATE_NEXT);
    gm_status status = check_finite(classifier, losses->loss, error);
    if (status != GM_OK) {
        gm_network_restore(network);
        return status;
    }
    gm_network_commit(network);
    gm_network_update(network, classifier->optimizer);
    return GM_OK;
}

/* ---- Inference ---- */

static gm_status reserve_piece(gm_classifier *classifier, int64_t N, gm_error *error) {
    return gm_network_reserve(classifier->network, min_of(N, PIECE), error);
}

gm_status gm_classifier_evaluate(gm_classifier *classifier, const gm_images *x, const int64_t *labels,
                                 gm_classifier_losses *losses, gm_error *error) {
    GM_TRY(gm_check_images("classifier", x, &classifier->config.image, labels, classifier->config.num_classes, error));
    GM_TRY(reserve_piece(classifier, x->N, error));
    gm_classifier_losses sums = {0, 0};
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        float *logits = forward_piece(classifier, x, start, N, 0);
        gm_classifier_losses piece = loss_of_piece(classifier, N, logits, labels + start, 1.0);
        sums.loss += piece.loss;
        sums.accuracy += piece.accuracy;
    }
    *losses = (gm_classifier_losses){.loss = sums.loss / (double)x->N, .accuracy = sums.accuracy / (double)x->N};
    return GM_OK;
}

/* The input of layer `layer` for every image, or the network's output where there is no such layer: (N, size). */
static gm_status collect(gm_classifier *classifier, const gm_images *x, int layer, int64_t size, float *out,
                         gm_error *error) {
    GM_TRY(gm_check_images("classifier", x, &classifier->config.image, NULL, 0, error));
    GM_TRY(reserve_piece(classifier, x->N, error));
    for (int64_t start = 0; start < x->N; start += PIECE) {
        int64_t N = min_of(PIECE, x->N - start);
        const float *logits = forward_piece(classifier, x, start, N, 0);
        const float *from = layer > classifier->last ? logits : gm_network_layer_input(classifier->network, layer);
        memcpy(out + start * size, from, (size_t)(N * size) * sizeof(float));
    }
    return GM_OK;
}

gm_status gm_classifier_logits(gm_classifier *classifier, const gm_images *x, float *logits, gm_error *error) {
    return collect(classifier, x, classifier->last + 1, classifier->config.num_classes, logits, error);
}

gm_status gm_classifier_probabilities(gm_classifier *classifier, const gm_images *x, float *probabilities,
                                      gm_error *error) {
    GM_TRY(gm_classifier_logits(classifier, x, probabilities, error));
    gm_softmax(x->N, classifier->config.num_classes, probabilities, probabilities);
    return GM_OK;
}

gm_status gm_classifier_features(gm_classifier *classifier, const gm_images *x, float *features, gm_error *error) {
    return collect(classifier, x, classifier->last, gm_classifier_feature_count(classifier), features, error);
}
