/* genmodels._core.Classifier: one network and its training step on arrays. */
#include "models/classifier.h"

#include "python/array.h"
#include "python/errors.h"
#include "python/fields.h"
#include "python/images.h"
#include "python/model.h"

/* genmodels._core.Classifier */
typedef struct gmpy_classifier {
    gmpy_model model;
    gm_classifier *core;
    gm_classifier_config config;
} gmpy_classifier;

/* --- configuration ------------------------------------------------------------------------------------------------ */

#define CLASSIFIER_FIELD(member, type)                                                                                 \
    { #member, type, offsetof(gm_classifier_config, member), NULL, NULL }
static const gmpy_field CLASSIFIER_FIELDS[] = {
    CLASSIFIER_FIELD(image, GMPY_FIELD_SHAPE),
    CLASSIFIER_FIELD(num_classes, GMPY_FIELD_INT64),
    {"optimizer", GMPY_FIELD_STRUCT, offsetof(gm_classifier_config, optimizer), NULL, gmpy_optimizer_fields},
    {NULL, GMPY_FIELD_INT64, 0, NULL, NULL},
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static int create_core(gmpy_classifier *self) {
    gm_network *network = self->model.networks[0]->core;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_classifier_create(&self->config, network, &self->core, &error));
    if (status != GM_OK) return gmpy_fail(&error);
    self->model.optimizers[0] = gm_classifier_optimizer(self->core);
    self->model.optimizer_count = 1;
    return 0;
}

static PyObject *classifier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"network", "config", NULL};
    const gmpy_state *state = PyType_GetModuleState(type);
    if (state == NULL) return NULL;
    PyObject *network, *config_dict;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O:Classifier", names, state->network_type, &network,
                                     &config_dict))
        return NULL;
    gm_classifier_config config = {0};
    if (gmpy_fields_read(config_dict, CLASSIFIER_FIELDS, &config, "config") < 0) return NULL;

    gmpy_classifier *self = (gmpy_classifier *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->config = config;
    if (gmpy_model_adopt(&self->model, &network, 1, "network") < 0 || create_core(self) < 0) Py_CLEAR(self);
    return (PyObject *)self;
}

static void classifier_dealloc(gmpy_classifier *self) {
    PyObject_GC_UnTrack(self);
    gm_classifier_free(self->core); /* NULL when it was never made */
    gmpy_model_release(&self->model);
}

/* --- computing ---------------------------------------------------------------------------------------------------- */

typedef gm_status (*losses_function)(gm_classifier *classifier, const gm_images *x, const int64_t *labels,
                                     gm_classifier_losses *losses, gm_error *error);

/* (x, labels) -> (loss, accuracy) */
static PyObject *losses_of(gmpy_classifier *self, PyObject *args, losses_function compute) {
    PyObject *x, *y;
    gm_images images;
    const int64_t *labels;
    if (!PyArg_ParseTuple(args, "OO", &x, &y)) return NULL;
    if (gmpy_images_read(x, &self->config.image, &images) < 0) return NULL;
    if (gmpy_labels_read(y, images.N, self->config.num_classes, &labels) < 0) return NULL;
    gm_error error = {GM_OK, ""};
    gm_classifier_losses losses = {0, 0};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = compute(self->core, &images, labels, &losses, &error));
    return status == GM_OK ? Py_BuildValue("(dd)", losses.loss, losses.accuracy) : gmpy_raise(&error);
}

PyDoc_STRVAR(train_step_doc, "train_step($self, x, labels, /)\n--\n\nOne optimizer step -> (loss, accuracy).");

static PyObject *classifier_train_step(gmpy_classifier *self, PyObject *args) {
    return losses_of(self, args, gm_classifier_train_step);
}

PyDoc_STRVAR(evaluate_doc, "evaluate($self, x, labels, /)\n--\n\nIn inference mode -> (loss, accuracy).");

static PyObject *classifier_evaluate(gmpy_classifier *self, PyObject *args) {
    return losses_of(self, args, gm_classifier_evaluate);
}

typedef gm_status (*rows_function)(gm_classifier *classifier, const gm_images *x, float *rows, gm_error *error);

/* x -> (N, width) float32 */
static PyObject *rows_of(gmpy_classifier *self, PyObject *x, int64_t width, rows_function compute) {
    gm_images images;
    const gm_shape row = {1, {width}};
    float *values = NULL;
    if (gmpy_images_read(x, &self->config.image, &images) < 0) return NULL;
    PyObject *rows = gmpy_batch_new(images.N, &row, &values);
    if (rows == NULL) return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = compute(self->core, &images, values, &error));
    if (status == GM_OK) return rows;
    Py_DECREF(rows);
    return gmpy_raise(&error);
}

PyDoc_STRVAR(logits_doc, "logits($self, x, /)\n--\n\n-> (N, num_classes) float32.");

static PyObject *classifier_logits(gmpy_classifier *self, PyObject *x) {
    return rows_of(self, x, self->config.num_classes, gm_classifier_logits);
}

PyDoc_STRVAR(probabilities_doc,
             "probabilities($self, x, /)\n--\n\n-> softmax of the logits, (N, num_classes) float32.");

static PyObject *classifier_probabilities(gmpy_classifier *self, PyObject *x) {
    return rows_of(self, x, self->config.num_classes, gm_classifier_probabilities);
}

PyDoc_STRVAR(features_doc, "features($self, x, /)\n--\n\n-> the input of the last layer, (N, D) float32.");

static PyObject *classifier_features(gmpy_classifier *self, PyObject *x) {
    return rows_of(self, x, gm_classifier_feature_count(self->core), gm_classifier_features);
}

/* --- state -------------------------------------------------------------------------------------------------------- */

static PyObject *get_streams(gmpy_classifier *self, void *unused) {
    (void)self, (void)unused;
    return PyTuple_New(0);
}

static int set_streams(gmpy_classifier *self, PyObject *value, void *unused) {
    (void)self, (void)unused;
    return gmpy_counters_read(value, 0, NULL);
}

/* --- the type ----------------------------------------------------------------------------------------------------- */

static PyMethodDef classifier_methods[] = {
    {"train_step", (PyCFunction)classifier_train_step, METH_VARARGS, train_step_doc},
    {"evaluate", (PyCFunction)classifier_evaluate, METH_VARARGS, evaluate_doc},
    {"logits", (PyCFunction)classifier_logits, METH_O, logits_doc},
    {"probabilities", (PyCFunction)classifier_probabilities, METH_O, probabilities_doc},
    {"features", (PyCFunction)classifier_features, METH_O, features_doc},
    GMPY_OPTIMIZER_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef classifier_getset[] = {
    {"streams", (getter)get_streams, (setter)set_streams, "It has no random streams of its own: ().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(classifier_doc, "Classifier(network, config)\n--\n\nThe training step of one network.");

static PyType_Slot classifier_slots[] = {
    {Py_tp_doc, (void *)classifier_doc},
    {Py_tp_new, classifier_new},
    {Py_tp_dealloc, classifier_dealloc},
    {Py_tp_traverse, gmpy_model_traverse},
    {Py_tp_methods, classifier_methods},
    {Py_tp_getset, classifier_getset},
    {0, NULL},
};

PyType_Spec gmpy_classifier_spec = {
    .name = "genmodels._core.Classifier",
    .basicsize = sizeof(gmpy_classifier),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = classifier_slots,
};
