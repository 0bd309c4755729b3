#include "python/model.h"

#include "python/array.h"
#include "python/errors.h"

/* --- networks ------------------------------------------------------------------------------------------------------ */

static void sort_by_address(gmpy_network *networks[], int count) {
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++)
            if ((uintptr_t)networks[k] < (uintptr_t)networks[i]) {
                gmpy_network *swap = networks[i];
                networks[i] = networks[k];
                networks[k] = swap;
            }
}

int gmpy_model_adopt(gmpy_model *model, PyObject *const networks[], int count, const char *names) {
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++)
            if (networks[i] == networks[k]) {
                PyErr_Format(PyExc_ValueError, "%s must be %d networks", names, count);
                return -1;
            }
    for (int i = 0; i < count; i++) model->networks[i] = model->lock_order[i] = (gmpy_network *)Py_NewRef(networks[i]);
    model->network_count = count;
    sort_by_address(model->lock_order, count);
    return 0;
}

void gmpy_model_lock(gmpy_model *model) {
    for (int i = 0; i < model->network_count; i++) gmpy_lock(&model->lock_order[i]->mutex);
}

void gmpy_model_unlock(gmpy_model *model) {
    for (int i = model->network_count - 1; i >= 0; i--) gmpy_unlock(&model->lock_order[i]->mutex);
}

/* The networks cannot lead back to the model, so there is nothing that tp_clear would have to break. */
int gmpy_model_traverse(PyObject *self, visitproc visit, void *arg) {
    gmpy_model *model = (gmpy_model *)self;
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < model->network_count; i++) Py_VISIT(model->networks[i]);
    return 0;
}

void gmpy_model_release(gmpy_model *model) {
    PyTypeObject *type = Py_TYPE(model);
    for (int i = 0; i < model->network_count; i++) Py_XDECREF(model->networks[i]);
    type->tp_free(model);
    Py_DECREF(type);
}

/* --- optimizers ---------------------------------------------------------------------------------------------------- */

static const char *const OPTIMIZERS[] = {[GM_ADAM] = "Adam", [GM_RMSPROP] = "RMSprop", [GM_SGD] = "SGD", NULL};

#define OPTIMIZER_FLOAT(member)                                                                                        \
    { #member, GMPY_FIELD_FLOAT, offsetof(gm_optimizer_config, member), NULL, NULL }
const gmpy_field gmpy_optimizer_fields[] = {
    {"kind", GMPY_FIELD_CHOICE, offsetof(gm_optimizer_config, kind), OPTIMIZERS, NULL},
    OPTIMIZER_FLOAT(learning_rate),
    OPTIMIZER_FLOAT(beta1),
    OPTIMIZER_FLOAT(beta2),
    OPTIMIZER_FLOAT(rho),
    OPTIMIZER_FLOAT(momentum),
    OPTIMIZER_FLOAT(epsilon),
    {NULL, GMPY_FIELD_INT64, 0, NULL, NULL},
};

/* The optimizer of network `index`; NULL with an exception. */
static gm_optimizer *optimizer_of(gmpy_model *model, long index) {
    if (index >= 0 && index < model->optimizer_count) return model->optimizers[index];
    PyErr_Format(PyExc_ValueError, "network %ld, must be 0..%d", index, model->optimizer_count - 1);
    return NULL;
}

const char gmpy_optimizer_slots_doc[] =
    PyDoc_STR("optimizer_slots($self, network, /)\n--\n\nA list of (name, live 1-D view).");

PyObject *gmpy_optimizer_slots(PyObject *self, PyObject *args) {
    gmpy_model *model = (gmpy_model *)self;
    long index;
    if (!PyArg_ParseTuple(args, "l:optimizer_slots", &index)) return NULL;
    gm_optimizer *optimizer = optimizer_of(model, index);
    if (optimizer == NULL) return NULL;
    const gm_shape shape = {1, {gm_network_trainable(model->networks[index]->core)}};
    PyObject *list = PyList_New(0);
    for (int slot = 0; list != NULL && slot < gm_optimizer_slot_count(optimizer); slot++) {
        PyObject *view = gmpy_view_new(gm_optimizer_slot(optimizer, slot), &shape, self);
        PyObject *item = view ? Py_BuildValue("(sN)", gm_optimizer_slot_name(optimizer, slot), view) : NULL;
        if (item == NULL || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

const char gmpy_optimizer_steps_doc[] = PyDoc_STR("optimizer_steps($self, network, /)\n--\n\nSteps taken so far.");

PyObject *gmpy_optimizer_steps(PyObject *self, PyObject *args) {
    gmpy_model *model = (gmpy_model *)self;
    long index;
    if (!PyArg_ParseTuple(args, "l:optimizer_steps", &index)) return NULL;
    gm_optimizer *optimizer = optimizer_of(model, index);
    if (optimizer == NULL) return NULL;
    uint64_t steps;
    GMPY_MODEL_LOCKED(model, steps = gm_optimizer_steps(optimizer));
    return PyLong_FromUnsignedLongLong(steps);
}

const char gmpy_set_optimizer_steps_doc[] =
    PyDoc_STR("set_optimizer_steps($self, network, steps, /)\n--\n\nFor loading.");

PyObject *gmpy_set_optimizer_steps(PyObject *self, PyObject *args) {
    gmpy_model *model = (gmpy_model *)self;
    long index;
    PyObject *object;
    if (!PyArg_ParseTuple(args, "lO!:set_optimizer_steps", &index, &PyLong_Type, &object)) return NULL;
    gm_optimizer *optimizer = optimizer_of(model, index);
    if (optimizer == NULL) return NULL;
    unsigned long long steps = PyLong_AsUnsignedLongLong(object);
    if (PyErr_Occurred()) return NULL;
    GMPY_MODEL_LOCKED(model, gm_optimizer_set_steps(optimizer, steps));
    Py_RETURN_NONE;
}

const char gmpy_set_learning_rate_doc[] =
    PyDoc_STR("set_learning_rate($self, network, rate, /)\n--\n\nOf the steps from now on.");

PyObject *gmpy_set_learning_rate(PyObject *self, PyObject *args) {
    gmpy_model *model = (gmpy_model *)self;
    long index;
    float rate;
    if (!PyArg_ParseTuple(args, "lf:set_learning_rate", &index, &rate)) return NULL;
    gm_optimizer *optimizer = optimizer_of(model, index);
    if (optimizer == NULL) return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    GMPY_MODEL_LOCKED(model, status = gm_optimizer_set_learning_rate(optimizer, rate, &error));
    if (status != GM_OK) return gmpy_raise(&error);
    Py_RETURN_NONE;
}

/* --- counters ------------------------------------------------------------------------------------------------------ */

int gmpy_counters_read(PyObject *tuple, int count, uint64_t *values) {
    if (tuple == NULL || !PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != count) {
        PyErr_Format(PyExc_TypeError, "streams must be a tuple of %d ints", count);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        values[i] = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(tuple, i));
        if (PyErr_Occurred()) return -1;
    }
    return 0;
}
