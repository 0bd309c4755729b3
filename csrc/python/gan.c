/* genmodels._core.GAN: generator and discriminator, and their training step on arrays. */
#include "models/gan.h"

#include "python/array.h"
#include "python/errors.h"
#include "python/images.h"
#include "python/model.h"

enum { NETWORKS = 3 /* generator, discriminator, and perhaps the generator's average */ };

typedef struct gmpy_gan {
    gmpy_model model;
    gm_gan *core;
    gm_gan_config config;
} gmpy_gan;

/* --- configuration ------------------------------------------------------------------------------------------------ */

static const char *const OBJECTIVES[] = {
    [GM_OBJECTIVE_BCE] = "bce",         [GM_OBJECTIVE_LSGAN] = "lsgan", [GM_OBJECTIVE_WGAN] = "wgan",
    [GM_OBJECTIVE_WGAN_GP] = "wgan-gp", [GM_OBJECTIVE_HINGE] = "hinge", NULL};

#define GAN_FIELD(member, type)                                                                                        \
    { #member, type, offsetof(gm_gan_config, member), NULL, NULL }
#define GAN_OPTIMIZER(member)                                                                                          \
    { #member, GMPY_FIELD_STRUCT, offsetof(gm_gan_config, member), NULL, gmpy_optimizer_fields }
static const gmpy_field GAN_FIELDS[] = {
    GAN_FIELD(image, GMPY_FIELD_SHAPE),
    GAN_FIELD(latent_dim, GMPY_FIELD_INT64),
    GAN_FIELD(num_classes, GMPY_FIELD_INT64),
    {"objective", GMPY_FIELD_CHOICE, offsetof(gm_gan_config, objective), OBJECTIVES, NULL},
    GAN_FIELD(critic_steps, GMPY_FIELD_INT64),
    GAN_FIELD(label_smoothing, GMPY_FIELD_FLOAT),
    GAN_FIELD(clip_weights, GMPY_FIELD_FLOAT),
    GAN_FIELD(gradient_penalty, GMPY_FIELD_FLOAT),
    GAN_FIELD(mixed_batches, GMPY_FIELD_BOOL),
    GAN_FIELD(ema, GMPY_FIELD_FLOAT),
    GAN_OPTIMIZER(generator_optimizer),
    GAN_OPTIMIZER(discriminator_optimizer),
    GAN_FIELD(seed, GMPY_FIELD_UINT64),
    {NULL, GMPY_FIELD_INT64, 0, NULL, NULL},
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static int create_core(gmpy_gan *self) {
    gm_network *core[NETWORKS] = {NULL, NULL, NULL};
    gm_error error = {GM_OK, ""};
    gm_status status;
    for (int i = 0; i < self->model.network_count; i++) core[i] = self->model.networks[i]->core;
    GMPY_MODEL_LOCKED(&self->model,
                      status = gm_gan_create(&self->config, core[0], core[1], core[2], &self->core, &error));
    if (status != GM_OK) return gmpy_fail(&error);
    self->model.optimizer_count = 2;
    for (int i = 0; i < 2; i++) self->model.optimizers[i] = gm_gan_optimizer(self->core, i);
    return 0;
}

static PyObject *gan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"generator", "discriminator", "average", "config", NULL};
    const gmpy_state *state = PyType_GetModuleState(type);
    if (state == NULL) return NULL;
    PyTypeObject *network = state->network_type;
    PyObject *networks[NETWORKS], *config_dict;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!OO!:GAN", names, network, &networks[0], network, &networks[1],
                                     &networks[2], &PyDict_Type, &config_dict))
        return NULL;
    bool averaged = networks[2] != Py_None;
    if (averaged && !PyObject_TypeCheck(networks[2], network))
        return PyErr_Format(PyExc_TypeError, "average must be a Network or None, not %s",
                            Py_TYPE(networks[2])->tp_name);
    gm_gan_config config = {0};
    if (gmpy_fields_read(config_dict, GAN_FIELDS, &config, "config") < 0) return NULL;

    gmpy_gan *self = (gmpy_gan *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->config = config;
    if (gmpy_model_adopt(&self->model, networks, averaged ? 3 : 2, "generator, discriminator and average") < 0 ||
        create_core(self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void gan_dealloc(gmpy_gan *self) {
    PyObject_GC_UnTrack(self);
    gm_gan_free(self->core); /* NULL when it was never made */
    gmpy_model_release(&self->model);
}

/* --- computing ---------------------------------------------------------------------------------------------------- */

static gm_shape latent_shape(const gmpy_gan *self) { return (gm_shape){1, {self->config.latent_dim}}; }

static int images_and_labels(const gmpy_gan *self, PyObject *x, PyObject *y, gm_images *images,
                             const int64_t **labels) {
    if (gmpy_images_read(x, &self->config.image, images) < 0) return -1;
    return gmpy_labels_read(y, images->N, self->config.num_classes, labels);
}

/* (discriminator, generator, penalty, wasserstein) */
static PyObject *losses_tuple(gm_status status, const gm_gan_losses *losses, const gm_error *error) {
    if (status != GM_OK) return gmpy_raise(error);
    return Py_BuildValue("(dddd)", losses->discriminator, losses->generator, losses->penalty, losses->wasserstein);
}

/* An optional float32 array of parts of N samples: how many parts, 0 for None, -1 with an exception. */
static int64_t parts_read(PyObject *object, const gm_shape *sample, int64_t N, const char *what, const float **data) {
    gmpy_array array;
    if (object == Py_None) return 0;
    if (gmpy_batch_read(object, GMPY_FLOAT32, sample, what, &array) < 0) return -1;
    if (array.dim[0] % N != 0) {
        PyErr_Format(PyExc_ValueError, "%s has %lld rows, must have a multiple of the batch of %lld", what,
                     (long long)array.dim[0], (long long)N);
        return -1;
    }
    *data = array.data;
    return array.dim[0] / N;
}

static int batch_read(const gmpy_gan *self, PyObject *args, gm_gan_batch *batch) {
    PyObject *x, *y, *noise, *mix;
    long long parts;
    const gm_shape latent = latent_shape(self), scalar = {0};
    if (!PyArg_ParseTuple(args, "OLOOO:train_step", &x, &parts, &y, &noise, &mix)) return -1;
    if (images_and_labels(self, x, y, &batch->images, &batch->labels) < 0) return -1;
    if (parts < 1 || batch->images.N % parts != 0) {
        PyErr_Format(PyExc_ValueError, "%lld images cannot be parted into %lld batches", (long long)batch->images.N,
                     parts);
        return -1;
    }
    batch->parts = parts;
    batch->N = batch->images.N / parts;
    batch->noise_parts = parts_read(noise, &latent, batch->N, "noise", &batch->noise);
    if (batch->noise_parts < 0) return -1;
    batch->mix_parts = parts_read(mix, &scalar, batch->N, "mix", &batch->mix);
    return batch->mix_parts < 0 ? -1 : 0;
}

PyDoc_STRVAR(train_step_doc,
             "train_step($self, x, parts, labels, noise, mix, /)\n--\n\n"
             "x (parts * N, H, W, C): updates of the discriminator and one of the generator -> (discriminator, "
             "generator, penalty, wasserstein). labels, noise and mix may be None.");

static PyObject *gan_train_step(gmpy_gan *self, PyObject *args) {
    gm_gan_batch batch = {0};
    if (batch_read(self, args, &batch) < 0) return NULL;
    gm_error error = {GM_OK, ""};
    gm_gan_losses losses = {0};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_gan_train_step(self->core, &batch, &losses, &error));
    return losses_tuple(status, &losses, &error);
}

PyDoc_STRVAR(evaluate_doc, "evaluate($self, x, labels, seed, /)\n--\n\n"
                           "In inference mode -> (discriminator, generator, 0, wasserstein), noise from `seed`.");

static PyObject *gan_evaluate(gmpy_gan *self, PyObject *args) {
    PyObject *x, *y, *seed_object;
    gm_images images;
    const int64_t *labels;
    if (!PyArg_ParseTuple(args, "OOO!:evaluate", &x, &y, &PyLong_Type, &seed_object)) return NULL;
    unsigned long long seed = PyLong_AsUnsignedLongLong(seed_object);
    if (PyErr_Occurred() || images_and_labels(self, x, y, &images, &labels) < 0) return NULL;
    gm_error error = {GM_OK, ""};
    gm_gan_losses losses = {0};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_gan_evaluate(self->core, &images, labels, seed, &losses, &error));
    return losses_tuple(status, &losses, &error);
}

PyDoc_STRVAR(generate_doc, "generate($self, z, labels, /)\n--\n\nz (N, latent_dim) float32 -> images (N, H, W, C).");

static PyObject *gan_generate(gmpy_gan *self, PyObject *args) {
    PyObject *z_object, *y;
    gmpy_array z;
    const int64_t *labels;
    float *pixels = NULL;
    const gm_shape latent = latent_shape(self);
    if (!PyArg_ParseTuple(args, "OO:generate", &z_object, &y)) return NULL;
    if (gmpy_batch_read(z_object, GMPY_FLOAT32, &latent, "z", &z) < 0) return NULL;
    if (gmpy_labels_read(y, z.dim[0], self->config.num_classes, &labels) < 0) return NULL;
    PyObject *images = gmpy_batch_new(z.dim[0], &self->config.image, &pixels);
    if (images == NULL) return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_gan_generate(self->core, z.dim[0], z.data, labels, pixels, &error));
    if (status == GM_OK) return images;
    Py_DECREF(images);
    return gmpy_raise(&error);
}

PyDoc_STRVAR(discriminate_doc, "discriminate($self, x, labels, /)\n--\n\n-> the discriminator's outputs (N,) float32.");

static PyObject *gan_discriminate(gmpy_gan *self, PyObject *args) {
    PyObject *x, *y;
    gm_images images;
    const int64_t *labels;
    void *outputs = NULL;
    if (!PyArg_ParseTuple(args, "OO:discriminate", &x, &y)) return NULL;
    if (images_and_labels(self, x, y, &images, &labels) < 0) return NULL;
    PyObject *result = gmpy_vector_new(GMPY_FLOAT32, images.N, &outputs);
    if (result == NULL) return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(&self->model, status = gm_gan_discriminate(self->core, &images, labels, outputs, &error));
    if (status == GM_OK) return result;
    Py_DECREF(result);
    return gmpy_raise(&error);
}

PyDoc_STRVAR(prior_doc, "prior($self, n, seed, /)\n--\n\n"
                        "z (n, latent_dim) from `seed`, or (None) from the model's own stream, which advances.");

static PyObject *gan_prior(gmpy_gan *self, PyObject *args) {
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
        GMPY_MODEL_LOCKED(&self->model, gm_gan_prior(self->core, n, seed_object == Py_None ? NULL : &seed, values));
    return z;
}

/* --- state -------------------------------------------------------------------------------------------------------- */

static PyObject *get_streams(gmpy_gan *self, void *unused) {
    (void)unused;
    gm_gan_streams streams;
    GMPY_MODEL_LOCKED(&self->model, streams = gm_gan_get_streams(self->core));
    return Py_BuildValue("(KKK)", (unsigned long long)streams.noise, (unsigned long long)streams.sample,
                         (unsigned long long)streams.mix);
}

static int set_streams(gmpy_gan *self, PyObject *value, void *unused) {
    (void)unused;
    uint64_t values[3];
    if (gmpy_counters_read(value, 3, values) < 0) return -1;
    gm_gan_streams streams = {.noise = values[0], .sample = values[1], .mix = values[2]};
    GMPY_MODEL_LOCKED(&self->model, gm_gan_set_streams(self->core, streams));
    return 0;
}

/* --- the type ----------------------------------------------------------------------------------------------------- */

static PyMethodDef gan_methods[] = {
    {"train_step", (PyCFunction)gan_train_step, METH_VARARGS, train_step_doc},
    {"evaluate", (PyCFunction)gan_evaluate, METH_VARARGS, evaluate_doc},
    {"generate", (PyCFunction)gan_generate, METH_VARARGS, generate_doc},
    {"discriminate", (PyCFunction)gan_discriminate, METH_VARARGS, discriminate_doc},
    {"prior", (PyCFunction)gan_prior, METH_VARARGS, prior_doc},
    GMPY_OPTIMIZER_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef gan_getset[] = {
    {"streams", (getter)get_streams, (setter)set_streams, "Positions of the noise, sampling and mixing streams.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(gan_doc, "GAN(generator, discriminator, average, config)\n--\n\nThe adversarial training step.");

static PyType_Slot gan_slots[] = {
    {Py_tp_doc, (void *)gan_doc},
    {Py_tp_new, gan_new},
    {Py_tp_dealloc, gan_dealloc},
    {Py_tp_traverse, gmpy_model_traverse},
    {Py_tp_methods, gan_methods},
    {Py_tp_getset, gan_getset},
    {0, NULL},
};

PyType_Spec gmpy_gan_spec = {
    .name = "genmodels._core.GAN",
    .basicsize = sizeof(gmpy_gan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gan_slots,
};
