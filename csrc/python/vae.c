/* genmodels._core.VAE: three networks and their training step on arrays. */
#include "models/vae.h"

#include "python/array.h"
#include "python/errors.h"
#include "python/fields.h"
#include "python/images.h"
#include "python/model.h"

enum { NETWORKS = 3 }; /* encoder, head, decoder */

/* genmodels._core.VAE */
typedef struct gmpy_vae {
    gmpy_model model;
    gm_vae *core;
    gm_vae_config config;
} gmpy_vae;

/* --- configuration ------------------------------------------------------------------------------------------------ */

static const char *const RECONSTRUCTIONS[] = {[GM_BCE] = "bce", [GM_MSE] = "mse", NULL};
static const char *const REDUCTIONS[] = {[GM_SUM] = "sum", [GM_MEAN] = "mean", NULL};

#define VAE_FIELD(member, type)                                                                                        \
    { #member, type, offsetof(gm_vae_config, member), NULL, NULL }
static const gmpy_field VAE_FIELDS[] = {
    VAE_FIELD(image, GMPY_FIELD_SHAPE),
    VAE_FIELD(latent_dim, GMPY_FIELD_INT64),
    VAE_FIELD(num_classes, GMPY_FIELD_INT64),
    {"reconstruction", GMPY_FIELD_CHOICE, offsetof(gm_vae_config, reconstruction), RECONSTRUCTIONS, NULL},
    {"reduction", GMPY_FIELD_CHOICE, offsetof(gm_vae_config, reduction), REDUCTIONS, NULL},
    VAE_FIELD(beta, GMPY_FIELD_FLOAT),
    {"optimizer", GMPY_FIELD_STRUCT, offsetof(gm_vae_config, optimizer), NULL, gmpy_optimizer_fields},
    VAE_FIELD(seed, GMPY_FIELD_UINT64),
    {NULL, GMPY_FIELD_INT64, 0, NULL, NULL},
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static int create_core(gmpy_vae *self) {
    gm_network *core[NETWORKS];
    gm_error error = {GM_OK, ""};
    gm_status status;
    for (int i = 0; i < NETWORKS; i++) core[i] = self->model.networks[i]->core;
    GMPY_MODEL_LOCKED(&self->model,
                      status = gm_vae_create(&self->config, core[0], core[1], core[2], &self->core, &error));
    if (status != GM_OK) return gmpy_fail(&error);
    for (int i = 0; i < NETWORKS; i++) self->model.optimizers[i] = gm_vae_optimizer(self->core, i);
    self->model.optimizer_count = NETWORKS;
    return 0;
}

static PyObject *vae_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"encoder", "head", "decoder", "config", NULL};
    const gmpy_state *state = PyType_GetModuleState(type);
    if (state == NULL) return NULL;
    PyTypeObject *network = state->network_type;
    PyObject *networks[NETWORKS], *config_dict;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!O!O:VAE", names, network, &networks[0], network, &networks[1],
                                     network, &networks[2], &config_dict))
        return NULL;
    gm_vae_config config = {0};
    if (gmpy_fields_read(config_dict, VAE_FIELDS, &config, "config") < 0) return NULL;

    gmpy_vae *self = (gmpy_vae *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->config = config;
    if (gmpy_model_adopt(&self->model, networks, NETWORKS, "encoder, head and decoder") < 0 || create_core(self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void vae_dealloc(gmpy_vae *self) {
    PyObject_GC_UnTrack(self);
    gm_vae_free(self->core); /* NULL when it was never made */
    gmpy_model_release(&self->model);
}

/* --- computing ---------------------------------------------------------------------------------------------------- */

static gm_shape latent_shape(const gmpy_vae *self) { return (gm_shape){1, {self->config.latent_dim}}; }

static int images_and_labels(const gmpy_vae *self, PyObject *x, PyObject *y, gm_images *images,
                             const int64_t **labels) {
    if (gmpy_images_read(x, &self->config.image, images) < 0) return -1;
    return gmpy_labels_read(y, images->N, self->config.num_classes, labels);
}

static PyObject *losses_tuple(gm_status status, const gm_vae_losses *losses, const gm_error *error) {
    if (status != GM_OK) return gmpy_raise(error);
    return Py_BuildValue("(ddd)", losses->loss, losses->reconstruction, losses->kl);
}

PyDoc_STRVAR(train_step_doc, "train_step($self, x, labels, noise, /)\n--\n\n"
                             "One optimizer step -> (loss, reconstruction, kl). labels and noise may be None.");

static PyObject *vae_train_step(gmpy_vae *self, PyObject *args) {
    PyObject *x, *y, *noise_object;
    gm_images images;
    const int64_t *labels;
    const gm_shape latent = latent_shape(self);
    gmpy_array noise = {.data = NULL};
    if (!PyArg_ParseTuple(args, "OOO:train_step", &x, &y, &noise_object)) return NULL;
    if (images_and_labels(self, x, y, &images, &labels) < 0) return NULL;
    if (noise_object != Py_None) {
        if (gmpy_batch_read(noise_object, GMPY_FLOAT32, &latent, "noise", &noise) < 0) return NULL;
        if (noise.dim[0] != images.N)
            return PyErr_Format(PyExc_ValueError, "noise has %lld rows, x has %lld images", (long long)noise.dim[0],
                                (long long)images.N);
    }
    gm_error error = {GM_OK, ""};
    gm_vae_losses losses = {0};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model,
                      status = gm_vae_train_step(self->core, &images, labels, noise.data, &losses, &error));
    return losses_tuple(status, &losses, &error);
}

PyDoc_STRVAR(evaluate_doc, "evaluate($self, x, labels, seed, /)\n--\n\n"
                           "In inference mode -> (loss, reconstruction, kl), the noise drawn from `seed`.");

static PyObject *vae_evaluate(gmpy_vae *self, PyObject *args) {
    PyObject *x, *y, *seed_object;
    gm_images images;
    const int64_t *labels;
    if (!PyArg_ParseTuple(args, "OOO!:evaluate", &x, &y, &PyLong_Type, &seed_object)) return NULL;
    unsigned long long seed = PyLong_AsUnsignedLongLong(seed_object);
    if (PyErr_Occurred() || images_and_labels(self, x, y, &images, &labels) < 0) return NULL;
    gm_error error = {GM_OK, ""};
    gm_vae_losses losses = {0};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_vae_evaluate(self->core, &images, labels, seed, &losses, &error));
    return losses_tuple(status, &losses, &error);
}

PyDoc_STRVAR(log_weights_doc,
             "log_weights($self, x, labels, place, draws, /)\n--\n\n"
             "Logarithms of the importance weights of `draws` codes of each image: float64 (N * draws). place: (seed, "
             "number of the first image, number of the first draw).");

static PyObject *vae_log_weights(gmpy_vae *self, PyObject *args) {
    PyObject *x, *y, *counters;
    gm_images images;
    const int64_t *labels;
    uint64_t place[3];
    long long count;
    int64_t size;
    void *values = NULL;
    if (!PyArg_ParseTuple(args, "OOO!L:log_weights", &x, &y, &PyTuple_Type, &counters, &count)) return NULL;
    if (images_and_labels(self, x, y, &images, &labels) < 0 || gmpy_counters_read(counters, 3, place) < 0) return NULL;
    const gm_vae_draws draws = {place[0], place[1], place[2], count};
    gm_error error = {GM_OK, ""};
    gm_status status = gm_size_multiply(images.N, count, &size, "importance weights", &error);
    if (status != GM_OK) return gmpy_raise(&error);
    PyObject *weights = gmpy_vector_new(GMPY_FLOAT64, size, &values);
    if (weights == NULL) return NULL;
    GMPY_MODEL_LOCKED(&self->model, status = gm_vae_log_weights(self->core, &images, labels, &draws, values, &error));
    if (status == GM_OK) return weights;
    Py_DECREF(weights);
    return gmpy_raise(&error);
}

PyDoc_STRVAR(encode_doc, "encode($self, x, labels, /)\n--\n\n-> (mean, logvar), both (N, latent_dim) float32.");

static PyObject *vae_encode(gmpy_vae *self, PyObject *args) {
    PyObject *x, *y;
    gm_images images;
    const int64_t *labels;
    const gm_shape latent = latent_shape(self);
    if (!PyArg_ParseTuple(args, "OO:encode", &x, &y)) return NULL;
    if (images_and_labels(self, x, y, &images, &labels) < 0) return NULL;
    float *means = NULL, *logvars = NULL;
    PyObject *mean = gmpy_batch_new(images.N, &latent, &means);
    PyObject *logvar = mean ? gmpy_batch_new(images.N, &latent, &logvars) : NULL;
    PyObject *result = NULL;
    if (logvar != NULL) {
        gm_error error = {GM_OK, ""};
        gm_status status;
        GMPY_MODEL_LOCKED(&self->model, status = gm_vae_encode(self->core, &images, labels, means, logvars, &error));
        result = status == GM_OK ? PyTuple_Pack(2, mean, logvar) : gmpy_raise(&error);
    }
    Py_XDECREF(mean);
    Py_XDECREF(logvar);
    return result;
}

PyDoc_STRVAR(decode_doc, "decode($self, z, labels, /)\n--\n\nz (N, latent_dim) float32 -> images (N, H, W, C).");

static PyObject *vae_decode(gmpy_vae *self, PyObject *args) {
    PyObject *z_object, *y;
    gmpy_array z;
    const int64_t *labels;
    float *pixels = NULL;
    const gm_shape latent = latent_shape(self);
    if (!PyArg_ParseTuple(args, "OO:decode", &z_object, &y)) return NULL;
    if (gmpy_batch_read(z_object, GMPY_FLOAT32, &latent, "z", &z) < 0) return NULL;
    if (gmpy_labels_read(y, z.dim[0], self->config.num_classes, &labels) < 0) return NULL;
    PyObject *images = gmpy_batch_new(z.dim[0], &self->config.image, &pixels);
    if (images == NULL) return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_vae_decode(self->core, z.dim[0], z.data, labels, pixels, &error));
    if (status == GM_OK) return images;
    Py_DECREF(images);
    return gmpy_raise(&error);
}

PyDoc_STRVAR(prior_doc, "prior($self, n, seed, /)\n--\n\n"
                        "z (n, latent_dim) from `seed`, or (None) from the model's own stream, which advances.");

static PyObject *vae_prior(gmpy_vae *self, PyObject *args) {
    long long n;
    PyObject *seed_object;
    float *values = NULL;
    uint64_t seed = 0;
    const gm_shape latent = latent_shape(self);
    if (!PyArg_ParseTuple(args, "LO:prior", &n, &seed_object)) return NULL;
    if (n < 1) return PyErr_Format(PyExc_ValueError, "n is %lld, must be at least 1", n);
    if (seed_object != Py_None) seed = PyLong_AsUnsignedLongLong(seed_object);
    if (PyErr_Occurred()) return NULL;
    PyObject *z = gmpy_batch_new(n, &latent, &values);
    if (z != NULL)
        GMPY_MODEL_LOCKED(&self->model, gm_vae_prior(self->core, n, seed_object == Py_None ? NULL : &seed, values));
    return z;
}

/* --- state -------------------------------------------------------------------------------------------------------- */

static PyObject *get_streams(gmpy_vae *self, void *unused) {
    (void)unused;
    gm_vae_streams streams;
    GMPY_MODEL_LOCKED(&self->model, streams = gm_vae_get_streams(self->core));
    return Py_BuildValue("(KK)", (unsigned long long)streams.noise, (unsigned long long)streams.sample);
}

static int set_streams(gmpy_vae *self, PyObject *value, void *unused) {
    (void)unused;
    uint64_t values[2];
    if (gmpy_counters_read(value, 2, values) < 0) return -1;
    gm_vae_streams streams = {.noise = values[0], .sample = values[1]};
    GMPY_MODEL_LOCKED(&self->model, gm_vae_set_streams(self->core, streams));
    return 0;
}

/* --- the type ----------------------------------------------------------------------------------------------------- */

static PyMethodDef vae_methods[] = {
    {"train_step", (PyCFunction)vae_train_step, METH_VARARGS, train_step_doc},
    {"evaluate", (PyCFunction)vae_evaluate, METH_VARARGS, evaluate_doc},
    {"log_weights", (PyCFunction)vae_log_weights, METH_VARARGS, log_weights_doc},
    {"encode", (PyCFunction)vae_encode, METH_VARARGS, encode_doc},
    {"decode", (PyCFunction)vae_decode, METH_VARARGS, decode_doc},
    {"prior", (PyCFunction)vae_prior, METH_VARARGS, prior_doc},
    GMPY_OPTIMIZER_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef vae_getset[] = {
    {"streams", (getter)get_streams, (setter)set_streams, "Positions of the noise and sampling streams.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(vae_doc, "VAE(encoder, head, decoder, config)\n--\n\nThe training step of three networks.");

static PyType_Slot vae_slots[] = {
    {Py_tp_doc, (void *)vae_doc},
    {Py_tp_new, vae_new},
    {Py_tp_dealloc, vae_dealloc},
    {Py_tp_traverse, gmpy_model_traverse},
    {Py_tp_methods, vae_methods},
    {Py_tp_getset, vae_getset},
    {0, NULL},
};

PyType_Spec gmpy_vae_spec = {
    .name = "genmodels._core.VAE",
    .basicsize = sizeof(gmpy_vae),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = vae_slots,
};
