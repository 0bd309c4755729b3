/* genmodels._core.Network: layers on arrays. */
#include <string.h>

#include "python/array.h"
#include "python/errors.h"
#include "python/fields.h"
#include "python/lock.h"
#include "python/module.h"

static const char *const PADDINGS[] = {
    [GM_PADDING_VALID] = "valid", [GM_PADDING_SAME] = "same", [GM_PADDING_EXPLICIT] = "explicit", NULL};
static const char *const INITIALIZERS[] = {[GM_INIT_ZEROS] = "zeros",
                                           [GM_INIT_ONES] = "ones",
                                           [GM_INIT_GLOROT_UNIFORM] = "glorot_uniform",
                                           [GM_INIT_HE_NORMAL] = "he_normal",
                                           NULL};
static const char *const PRECISIONS[] = {[GM_FLOAT32] = "float32", [GM_BF16] = "bf16", [GM_HIGH] = "high", NULL};

#define LAYER_FIELD(member, type)                                                                                      \
    { #member, type, offsetof(gm_layer_config, member), NULL, NULL }
static const gmpy_field LAYER_FIELDS[] = {
    LAYER_FIELD(kind, GMPY_FIELD_TEXT),
    LAYER_FIELD(units, GMPY_FIELD_INT64),
    LAYER_FIELD(filters, GMPY_FIELD_INT64),
    LAYER_FIELD(kernel_size, GMPY_FIELD_PAIR),
    LAYER_FIELD(strides, GMPY_FIELD_PAIR),
    {"padding", GMPY_FIELD_CHOICE, offsetof(gm_layer_config, padding), PADDINGS, NULL},
    LAYER_FIELD(pad, GMPY_FIELD_PAIR),
    LAYER_FIELD(output_padding, GMPY_FIELD_PAIR),
    LAYER_FIELD(use_bias, GMPY_FIELD_BOOL),
    LAYER_FIELD(spectral_norm, GMPY_FIELD_BOOL),
    {"kernel_initializer", GMPY_FIELD_CHOICE, offsetof(gm_layer_config, kernel_initializer), INITIALIZERS, NULL},
    LAYER_FIELD(negative_slope, GMPY_FIELD_FLOAT),
    LAYER_FIELD(rate, GMPY_FIELD_FLOAT),
    LAYER_FIELD(momentum, GMPY_FIELD_FLOAT),
    LAYER_FIELD(epsilon, GMPY_FIELD_FLOAT),
    LAYER_FIELD(size, GMPY_FIELD_PAIR),
    LAYER_FIELD(return_sequences, GMPY_FIELD_BOOL),
    LAYER_FIELD(shape, GMPY_FIELD_SHAPE),
    {"precision", GMPY_FIELD_CHOICE, offsetof(gm_layer_config, precision), PRECISIONS, NULL},
    {NULL, GMPY_FIELD_INT64, 0, NULL, NULL},
};

/* --- making ------------------------------------------------------------------------------------------------------- */

/* A private copy of the sequence of dicts. */
static PyObject *copy_configs(PyObject *sequence) {
    PyObject *list = PySequence_Tuple(sequence);
    if (list == NULL) return NULL;
    PyObject *copies = PyTuple_New(PyTuple_GET_SIZE(list));
    for (Py_ssize_t i = 0; copies != NULL && i < PyTuple_GET_SIZE(list); i++) {
        PyObject *item = PyTuple_GET_ITEM(list, i);
        PyObject *copy = PyDict_Check(item) ? PyDict_Copy(item) : NULL;
        if (copy == NULL && !PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "layer %zd must be a dict, not %s", i, Py_TYPE(item)->tp_name);
        if (copy == NULL)
            Py_CLEAR(copies);
        else
            PyTuple_SET_ITEM(copies, i, copy);
    }
    Py_DECREF(list);
    return copies;
}

/* The configurations of a tuple of dicts, in memory of PyMem; NULL with an exception. */
static gm_layer_config *read_configs(PyObject *dicts) {
    Py_ssize_t count = PyTuple_GET_SIZE(dicts);
    gm_layer_config *configs = PyMem_Calloc((size_t)count + 1, sizeof *configs);
    if (configs == NULL) return (gm_layer_config *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (gmpy_fields_read(PyTuple_GET_ITEM(dicts, i), LAYER_FIELDS, &configs[i], "layer") == 0) {
            if (configs[i].kind != NULL) continue;
            PyErr_Format(PyExc_ValueError, "layer %zd has no kind", i);
        }
        PyMem_Free(configs);
        return NULL;
    }
    return configs;
}

/* `dicts` owns the strings that the configurations point at until the core has taken what it needs. */
static int create_core(gmpy_network *self, PyObject *dicts, const gm_shape *input, uint64_t seed, uint64_t stream) {
    Py_ssize_t count = PyTuple_GET_SIZE(dicts);
    if (count > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "too many layers");
        return -1;
    }
    gm_layer_config *configs = read_configs(dicts);
    if (configs == NULL) return -1;
    gm_error error = {GM_OK, ""};
    gm_status status;
    Py_BEGIN_ALLOW_THREADS status = gm_network_create(configs, (int)count, input, seed, stream, &self->core, &error);
    Py_END_ALLOW_THREADS PyMem_Free(configs);
    return status == GM_OK ? 0 : gmpy_fail(&error);
}

static PyObject *network_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"layers", "input_shape", "seed", "stream", NULL};
    PyObject *layers, *shape_object;
    uint64_t seed, stream = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO&|O&:Network", names, &layers, &shape_object,
                                     gmpy_uint64_convert, &seed, gmpy_uint64_convert, &stream))
        return NULL;
    gm_shape shape;
    if (gmpy_shape_read(shape_object, "input_shape", &shape) < 0) return NULL;

    PyObject *dicts = copy_configs(layers);
    gmpy_network *self = dicts ? (gmpy_network *)type->tp_alloc(type, 0) : NULL;
    if (self != NULL) self->mutex = gmpy_mutex_new();
    if (self != NULL && create_core(self, dicts, &shape, seed, stream) < 0) Py_CLEAR(self);
    Py_XDECREF(dicts);
    return (PyObject *)self;
}

/* The weights of all layers together; -1 with an exception. */
static long long count_weights(const gm_layer_config *configs, Py_ssize_t count, gm_shape shape) {
    gm_error error = {GM_OK, ""};
    gm_layer layer;
    long long total = 0;
    int64_t size;
    if (gm_shape_size(&shape, &size, "input_shape", &error) != GM_OK) return gmpy_fail(&error);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (gm_layer_create(&configs[i], (uint64_t)i, &shape, &layer, &error) != GM_OK) return gmpy_fail(&error);
        for (int k = 0; k < layer.parameter_count; k++) total += layer.parameter[k].count;
        if (total > GM_MAX_ELEMENTS) return GM_MAX_ELEMENTS + 1; /* and no further: the sum must not wrap round */
        shape = layer.out;
    }
    return total;
}

PyDoc_STRVAR(count_doc, "count(layers, input_shape, /)\n--\n\n"
                        "Weights and moving statistics of the network these would make. Allocates none of them.");

static PyObject *network_count(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *layers, *shape_object;
    gm_shape shape;
    if (!PyArg_ParseTuple(args, "OO:count", &layers, &shape_object)) return NULL;
    if (gmpy_shape_read(shape_object, "input_shape", &shape) < 0) return NULL;
    PyObject *dicts = copy_configs(layers);
    gm_layer_config *configs = dicts == NULL ? NULL : read_configs(dicts);
    long long total = configs == NULL ? -1 : count_weights(configs, PyTuple_GET_SIZE(dicts), shape);
    PyMem_Free(configs);
    Py_XDECREF(dicts);
    return total < 0 ? NULL : PyLong_FromLongLong(total);
}

static void network_dealloc(gmpy_network *self) {
    PyTypeObject *type = Py_TYPE(self);
    gm_network_free(self->core); /* NULL when it was never made */
    type->tp_free(self);
    Py_DECREF(type);
}

/* --- computing ---------------------------------------------------------------------------------------------------- */

/* y (N, out) of a batch in training mode; moving statistics move. Keeps a copy of x, so backward does not depend on
 * what the caller does with theirs. */
static gm_status train_forward_lock_held(gmpy_network *self, const gmpy_array *x, float *y, size_t in_bytes,
                                         size_t out_bytes, gm_error *error) {
    int64_t N = x->dim[0];
    GM_TRY(gm_network_reserve(self->core, N, error));
    float *input = gm_network_input(self->core);
    memcpy(input, x->data, in_bytes);
    memcpy(y, gm_network_forward(self->core, N, input, GM_TRAINING), out_bytes);
    gm_network_commit(self->core);
    self->pending = N;
    self->uses = gm_network_uses(self->core);
    return GM_OK;
}

/* Floats a sample. Shapes inside a network were checked when it was made. */
static size_t sample_bytes(const gm_shape *shape) {
    int64_t size = 0;
    (void)gm_shape_size(shape, &size, "", NULL);
    return (size_t)size * sizeof(float);
}

PyDoc_STRVAR(forward_doc, "forward($self, x, training, /)\n--\n\nx (N, in) float32 -> (N, out) float32, fresh.");

static PyObject *network_forward(gmpy_network *self, PyObject *args) {
    PyObject *object, *y;
    int training;
    gmpy_array x;
    float *values = NULL;
    const gm_shape *in = gm_network_input_shape(self->core), *out = gm_network_output_shape(self->core);
    if (!PyArg_ParseTuple(args, "Op:forward", &object, &training)) return NULL;
    if (gmpy_batch_read(object, GMPY_FLOAT32, in, "x", &x) < 0) return NULL;
    if ((y = gmpy_batch_new(x.dim[0], out, &values)) == NULL) return NULL;
    size_t N = (size_t)x.dim[0];

    gm_error error = {GM_OK, ""};
    gm_status status;
    if (training)
        GMPY_LOCKED(&self->mutex, status = train_forward_lock_held(self, &x, values, N * sample_bytes(in),
                                                                   N * sample_bytes(out), &error));
    else
        GMPY_LOCKED(&self->mutex, status = gm_network_predict(self->core, x.dim[0], x.data, values, &error));
    if (status == GM_OK) return y;
    Py_DECREF(y);
    return gmpy_raise(&error);
}

/* dy (N, out) is overwritten; dx (N, in) is filled. */
static gm_status backward_lock_held(gmpy_network *self, int64_t N, float *dy, float *dx, size_t in_bytes,
                                    gm_error *error) {
    bool stands = self->pending > 0 && self->uses == gm_network_uses(self->core);
    GM_REQUIRE(stands, error, GM_VALUE_ERROR,
               "backward: no forward(x, training=True) to follow; it may be called once after each");
    GM_REQUIRE(self->pending == N, error, GM_VALUE_ERROR,
               "backward: dy has %lld samples, the forward before it had %lld", (long long)N, (long long)self->pending);
    memcpy(dx, gm_network_backward(self->core, N, dy, GM_WANT_INPUT | GM_WANT_PARAMETERS), in_bytes);
    return GM_OK;
}

PyDoc_STRVAR(backward_doc, "backward($self, dy, /)\n--\n\n"
                           "dy (N, out) float32, overwritten -> the input gradient (N, in) float32, fresh.");

static PyObject *network_backward(gmpy_network *self, PyObject *object) {
    gmpy_array dy;
    float *values = NULL;
    const gm_shape *in = gm_network_input_shape(self->core);
    if (gmpy_batch_read(object, GMPY_FLOAT32, gm_network_output_shape(self->core), "dy", &dy) < 0) return NULL;
    if (!dy.writable) return PyErr_Format(PyExc_ValueError, "dy is read-only, and backward overwrites it");
    PyObject *dx = gmpy_batch_new(dy.dim[0], in, &values);
    if (dx == NULL) return NULL;

    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_LOCKED(&self->mutex, status = backward_lock_held(self, dy.dim[0], dy.data, values,
                                                          (size_t)dy.dim[0] * sample_bytes(in), &error));
    if (status == GM_OK) return dx;
    Py_DECREF(dx);
    return gmpy_raise(&error);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

/* ("0.kernel", value, gradient or None) */
static PyObject *tensor_tuple(gmpy_network *self, int layer, const gm_parameter *parameter) {
    PyObject *value = gmpy_view_new(parameter->value, &parameter->shape, (PyObject *)self);
    PyObject *gradient = parameter->trainable ? gmpy_view_new(parameter->gradient, &parameter->shape, (PyObject *)self)
                                              : Py_NewRef(Py_None);
    PyObject *name = PyUnicode_FromFormat("%d.%s", layer, parameter->name);
    PyObject *tuple = value && gradient && name ? PyTuple_Pack(3, name, value, gradient) : NULL;
    Py_XDECREF(value);
    Py_XDECREF(gradient);
    Py_XDECREF(name);
    return tuple;
}

/* Appends `item` (stolen, may be NULL) to `list`. */
static int append(PyObject *list, PyObject *item) {
    int result = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return result;
}

static int append_tensors(gmpy_network *self, int index, PyObject *list) {
    const gm_layer *layer = gm_network_layer(self->core, index);
    for (int i = 0; i < layer->parameter_count; i++)
        if (append(list, tensor_tuple(self, index, &layer->parameter[i])) < 0) return -1;
    return 0;
}

PyDoc_STRVAR(tensors_doc, "tensors($self, /)\n--\n\nA list of (name, value, gradient or None): live views.");

static PyObject *network_tensors(gmpy_network *self, PyObject *unused) {
    (void)unused;
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < gm_network_layer_count(self->core); i++)
        if (append_tensors(self, i, list) < 0) Py_CLEAR(list);
    return list;
}

PyDoc_STRVAR(layers_doc, "layers($self, /)\n--\n\nA list of (kind, output shape, trainable parameters, bytes of a "
                         "value of the output as it is stored).");

static PyObject *layer_tuple(const gm_layer *layer, bool y_pairs) {
    long long count = 0;
    for (int k = 0; k < layer->parameter_count; k++)
        if (layer->parameter[k].trainable) count += layer->parameter[k].count;
    PyObject *shape = gmpy_shape_tuple(&layer->out);
    return shape ? Py_BuildValue("(sNLi)", layer->ops->name, shape, count, y_pairs ? 2 : 4) : NULL;
}

static PyObject *network_layers(gmpy_network *self, PyObject *unused) {
    (void)unused;
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < gm_network_layer_count(self->core); i++) {
        const gm_layer *layer = gm_network_layer(self->core, i);
        bool y_pairs; /* not fixed: a model may have its network keep signals */
        GMPY_LOCKED(&self->mutex, y_pairs = layer->y_pairs);
        if (append(list, layer_tuple(layer, y_pairs)) < 0) Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(meters_doc,
             "meters($self, /)\n--\n\nA list, by layer, of what its forward, backward and tangent passes have cost:\n"
             "(passes, samples, products, seconds) of each.");

static PyObject *meter_tuple(const gm_meter *meter) {
    return Py_BuildValue("(LLdd)", (long long)meter->passes, (long long)meter->samples, meter->products,
                         meter->seconds);
}

/* meters (GM_PASS_KINDS) of one layer */
static PyObject *layer_meters(const gm_meter *meters) {
    PyObject *tuple = PyTuple_New(GM_PASS_KINDS);
    for (int kind = 0; tuple != NULL && kind < GM_PASS_KINDS; kind++) {
        PyObject *meter = meter_tuple(&meters[kind]);
        if (meter == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, kind, meter);
    }
    return tuple;
}

static void copy_meters_lock_held(const gmpy_network *self, int count, gm_meter *meters) {
    for (int i = 0; i < count * GM_PASS_KINDS; i++)
        meters[i] = *gm_network_meter(self->core, i / GM_PASS_KINDS, (gm_pass_kind)(i % GM_PASS_KINDS));
}

static PyObject *network_meters(gmpy_network *self, PyObject *unused) {
    (void)unused;
    int count = gm_network_layer_count(self->core);
    gm_meter *meters = PyMem_Calloc((size_t)count * GM_PASS_KINDS + 1, sizeof *meters);
    if (meters == NULL) return PyErr_NoMemory();
    GMPY_LOCKED(&self->mutex, copy_meters_lock_held(self, count, meters));
    PyObject *list = PyList_New(0);
    for (int i = 0; list != NULL && i < count; i++)
        if (append(list, layer_meters(meters + i * GM_PASS_KINDS)) < 0) Py_CLEAR(list);
    PyMem_Free(meters);
    return list;
}

static PyObject *flat_view(gmpy_network *self, float *data) {
    const gm_shape shape = {1, {gm_network_trainable(self->core)}};
    return gmpy_view_new(data, &shape, (PyObject *)self);
}

static PyObject *get_parameters(gmpy_network *self, void *unused) {
    (void)unused;
    return flat_view(self, gm_network_parameters(self->core));
}

static PyObject *get_gradients(gmpy_network *self, void *unused) {
    (void)unused;
    float *gradients = NULL;
    GMPY_LOCKED(&self->mutex, gradients = gm_network_gradients(self->core));
    return flat_view(self, gradients);
}

static PyObject *get_input_shape(gmpy_network *self, void *unused) {
    (void)unused;
    return gmpy_shape_tuple(gm_network_input_shape(self->core));
}

static PyObject *get_output_shape(gmpy_network *self, void *unused) {
    (void)unused;
    return gmpy_shape_tuple(gm_network_output_shape(self->core));
}

static PyObject *get_plan_bytes(gmpy_network *self, void *unused) {
    (void)unused;
    long long bytes;
    GMPY_LOCKED(&self->mutex, bytes = gm_network_plan_bytes(self->core));
    return PyLong_FromLongLong(bytes);
}

static PyObject *get_clock(gmpy_network *self, void *unused) {
    (void)unused;
    uint64_t clock;
    GMPY_LOCKED(&self->mutex, clock = gm_network_clock(self->core));
    return PyLong_FromUnsignedLongLong(clock);
}

static int set_clock(gmpy_network *self, PyObject *value, void *unused) {
    (void)unused;
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "clock must be an int");
        return -1;
    }
    unsigned long long clock = PyLong_AsUnsignedLongLong(value);
    if (clock == (unsigned long long)-1 && PyErr_Occurred()) return -1;
    GMPY_LOCKED(&self->mutex, gm_network_set_clock(self->core, clock));
    return 0;
}

/* --- the type ----------------------------------------------------------------------------------------------------- */

static PyMethodDef network_methods[] = {
    {"forward", (PyCFunction)network_forward, METH_VARARGS, forward_doc},
    {"backward", (PyCFunction)network_backward, METH_O, backward_doc},
    {"tensors", (PyCFunction)network_tensors, METH_NOARGS, tensors_doc},
    {"layers", (PyCFunction)network_layers, METH_NOARGS, layers_doc},
    {"meters", (PyCFunction)network_meters, METH_NOARGS, meters_doc},
    {"count", (PyCFunction)network_count, METH_VARARGS | METH_STATIC, count_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef network_getset[] = {
    {"parameters", (getter)get_parameters, NULL, "The trainable parameters, one live 1-D view.", NULL},
    {"gradients", (getter)get_gradients, NULL,
     "Their gradients, one live 1-D view. Those of tensors() are up to date once this was asked for.", NULL},
    {"input_shape", (getter)get_input_shape, NULL, "Without the batch axis.", NULL},
    {"output_shape", (getter)get_output_shape, NULL, "Without the batch axis.", NULL},
    {"plan_bytes", (getter)get_plan_bytes, NULL, "Bytes of the activation plan.", NULL},
    {"clock", (getter)get_clock, (setter)set_clock, "Training forwards so far.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(network_doc, "Network(layers, input_shape, seed, stream=0)\n--\n\nLayers (dicts) on one parameter arena.");

static PyType_Slot network_slots[] = {
    {Py_tp_doc, (void *)network_doc}, {Py_tp_new, network_new},       {Py_tp_dealloc, network_dealloc},
    {Py_tp_methods, network_methods}, {Py_tp_getset, network_getset}, {0, NULL},
};

PyType_Spec gmpy_network_spec = {
    .name = "genmodels._core.Network",
    .basicsize = sizeof(gmpy_network),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = network_slots,
};
