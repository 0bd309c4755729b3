#include "models/checks.h"

#include <inttypes.h>
#include <math.h>

#include "network/optimizer.h"

gm_status gm_check_image_model(const char *model, const gm_shape *image, int64_t num_classes, gm_error *error) {
    char text[GM_SHAPE_TEXT];
    int64_t size;
    GM_REQUIRE(image->rank == 3, error, GM_VALUE_ERROR,
               "%s: input_shape %s must have 3 dimensions: rows, columns, channels", model, gm_shape_text(image, text));
    GM_TRY(gm_shape_size(image, &size, "input_shape", error));
    GM_REQUIRE(num_classes >= 0 && num_classes <= GM_MAX_ELEMENTS / 2, error, GM_VALUE_ERROR,
               "%s: num_classes is %" PRId64 ", must be at least 0", model, num_classes);
    return GM_OK;
}

gm_status gm_check_latent_dim(const char *model, int64_t latent_dim, gm_error *error) {
    GM_REQUIRE(latent_dim >= 1 && latent_dim <= GM_MAX_ELEMENTS / 2, error, GM_VALUE_ERROR,
               "%s: latent_dim is %" PRId64 ", must be at least 1", model, latent_dim);
    return GM_OK;
}

gm_status gm_check_shape(const char *what, const gm_shape *got, const gm_shape *wanted, gm_error *error) {
    char a[GM_SHAPE_TEXT], b[GM_SHAPE_TEXT];
    GM_REQUIRE(gm_shape_equal(got, wanted), error, GM_VALUE_ERROR, "%s has shape %s, must have %s", what,
               gm_shape_text(got, a), gm_shape_text(wanted, b));
    return GM_OK;
}

static bool is_same_layer(const gm_layer *a, const gm_layer *b) {
    bool same = a->ops == b->ops && gm_shape_equal(&a->in, &b->in) && gm_shape_equal(&a->out, &b->out) &&
                a->parameter_count == b->parameter_count;
    for (int k = 0; same && k < a->parameter_count; k++)
        same = gm_shape_equal(&a->parameter[k].shape, &b->parameter[k].shape);
    return same;
}

gm_status gm_check_same_layers(const char *what, const gm_network *network, const char *whose, const gm_network *other,
                               gm_error *error) {
    int count = gm_network_layer_count(network), wanted = gm_network_layer_count(other);
    GM_REQUIRE(count == wanted, error, GM_VALUE_ERROR, "%s has %d layers, must have the %d of %s", what, count, wanted,
               whose);
    for (int i = 0; i < count; i++)
        GM_REQUIRE(is_same_layer(gm_network_layer(network, i), gm_network_layer(other, i)), error, GM_VALUE_ERROR,
                   "%s has another layer %d than %s", what, i, whose);
    return GM_OK;
}

gm_status gm_check_labels(const char *model, int64_t N, const int64_t *labels, int64_t classes, gm_error *error) {
    GM_REQUIRE(!classes || labels, error, GM_VALUE_ERROR, "%s: a model of %" PRId64 " classes needs labels", model,
               classes);
    GM_REQUIRE(classes || !labels, error, GM_VALUE_ERROR, "%s: labels given to a model without classes", model);
    return classes ? gm_labels_check(N, labels, classes, error) : GM_OK;
}

gm_status gm_check_images(const char *model, const gm_images *x, const gm_shape *image, const int64_t *labels,
                          int64_t classes, gm_error *error) {
    GM_REQUIRE(x->N >= 1, error, GM_VALUE_ERROR, "%s: %" PRId64 " images, must be at least 1", model, x->N);
    GM_TRY(gm_images_check(x, image, error));
    return gm_check_labels(model, x->N, labels, classes, error);
}

gm_status gm_check_gradients(const char *model, gm_network *network, const char *name, uint64_t step, gm_error *error) {
    float peak = gm_network_gradient_peak(network);
    GM_REQUIRE(peak <= GM_MAX_GRADIENT, error, GM_NONFINITE_ERROR,
               "%s: training diverged: at step %" PRIu64 " the largest gradient of the %s is %g, above %g; the weights "
               "are the last finite ones; try a lower learning rate",
               model, step, name, (double)peak, (double)GM_MAX_GRADIENT);
    return GM_OK;
}

double gm_printed(double value) { return isnan(value) ? (double)NAN : value; }
