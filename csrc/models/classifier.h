/* A classifier of images, trained by softmax cross-entropy: one network from image to a logit a class.
 *
 * The network ends in Dense(num_classes); what enters that layer are the features. It belongs to the caller and may be
 * used on its own between calls. */
#ifndef GM_MODELS_CLASSIFIER_H
#define GM_MODELS_CLASSIFIER_H

#include "models/images.h"
#include "network/network.h"
#include "network/optimizer.h"

typedef struct gm_classifier_config {
    gm_shape image;      /* (H, W, C) */
    int64_t num_classes; /* K >= 2 */
    gm_optimizer_config optimizer;
} gm_classifier_config;

/* loss: cross-entropy in nats, averaged over the images; accuracy: the part of them whose largest logit is right. */
typedef struct gm_classifier_losses {
    double loss, accuracy;
} gm_classifier_losses;

typedef struct gm_classifier gm_classifier;

/* Checks that the network fits the configuration. */
gm_status gm_classifier_create(const gm_classifier_config *config, gm_network *network, gm_classifier **classifier,
                               gm_error *error);
void gm_classifier_free(gm_classifier *classifier);

/* D: the floats of an image's features. */
int64_t gm_classifier_feature_count(const gm_classifier *classifier);

/* One optimizer step; labels (N). GM_NONFINITE_ERROR: the loss or a gradient is not finite (or a gradient exceeds
 * GM_MAX_GRADIENT); nothing was changed but the gradients. */
gm_status gm_classifier_train_step(gm_classifier *classifier, const gm_images *x, const int64_t *labels,
                                   gm_classifier_losses *losses, gm_error *error);

/* In inference mode, without a step; any N, here and below. */
gm_status gm_classifier_evaluate(gm_classifier *classifier, const gm_images *x, const int64_t *labels,
                                 gm_classifier_losses *losses, gm_error *error);

/* logits (N, K), probabilities (N, K) = softmax(logits), features (N, D). */
gm_status gm_classifier_logits(gm_classifier *classifier, const gm_images *x, float *logits, gm_error *error);
gm_status gm_classifier_probabilities(gm_classifier *classifier, const gm_images *x, float *probabilities,
                                      gm_error *error);
gm_status gm_classifier_features(gm_classifier *classifier, const gm_images *x, float *features, gm_error *error);

gm_optimizer *gm_classifier_optimizer(gm_classifier *classifier);

#endif
