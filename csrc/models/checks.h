/* What every model checks: sizes when it is built, images and labels when it is called, gradients before an update.
 * Messages begin with the model's name. */
#ifndef GM_MODELS_CHECKS_H
#define GM_MODELS_CHECKS_H

#include "models/images.h"
#include "network/network.h"

/* An image shape of three axes, no negative number of classes. */
gm_status gm_check_image_model(const char *model, const gm_shape *image, int64_t num_classes, gm_error *error);

/* At least one latent axis. */
gm_status gm_check_latent_dim(const char *model, int64_t latent_dim, gm_error *error);

/* `what` names the model and the thing: "VAE: the decoder's output". */
gm_status gm_check_shape(const char *what, const gm_shape *got, const gm_shape *wanted, gm_error *error);

/* A network of the same layers as another, whose parameters lie where its own do; `what` and `whose` name the two. */
gm_status gm_check_same_layers(const char *what, const gm_network *network, const char *whose, const gm_network *other,
                               gm_error *error);

/* Labels are there when the model has classes, and only then, and each is one of them. */
gm_status gm_check_labels(const char *model, int64_t N, const int64_t *labels, int64_t classes, gm_error *error);

/* At least one image, pixels in range, labels as above. */
gm_status gm_check_images(const char *model, const gm_images *x, const gm_shape *image, const int64_t *labels,
                          int64_t classes, gm_error *error);

/* GM_NONFINITE_ERROR unless every gradient of the network is at most GM_MAX_GRADIENT. */
gm_status gm_check_gradients(const char *model, gm_network *network, const char *name, uint64_t step, gm_error *error);

/* A number for a message: a NaN without its sign, which is chance. */
double gm_printed(double value);

#endif
