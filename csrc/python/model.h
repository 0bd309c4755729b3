/* What the types of models share: their networks, whose locks they take, and their optimizers.
 *
 * A model has no lock of its own: whoever holds those of its networks has the model. They are taken in the order of
 * their addresses, so that models that share networks cannot lock each other out. */
#ifndef GM_PYTHON_MODEL_H
#define GM_PYTHON_MODEL_H

#include <Python.h>

#include "network/optimizer.h"
#include "python/fields.h"
#include "python/lock.h"
#include "python/module.h"

enum { GMPY_MOST_NETWORKS = 3 };

/* Begins the struct of every such type. */
typedef struct gmpy_model {
    PyObject_HEAD int network_count, optimizer_count;
    gmpy_network *networks[GMPY_MOST_NETWORKS]; /* those with an optimizer first, in its order */
    gmpy_network *lock_order[GMPY_MOST_NETWORKS];
    gm_optimizer *optimizers[GMPY_MOST_NETWORKS]; /* the core model's */
} gmpy_model;

/* Takes references to networks, all of them different (ValueError); -1 with an exception. */
int gmpy_model_adopt(gmpy_model *model, PyObject *const networks[], int count, const char *names);

void gmpy_model_lock(gmpy_model *model);
void gmpy_model_unlock(gmpy_model *model);

/* GMPY_LOCKED with a model's locks. */
#define GMPY_MODEL_LOCKED(model, statement) GMPY_BETWEEN(gmpy_model_lock(model), statement, gmpy_model_unlock(model))

/* Py_tp_traverse, and the part of Py_tp_dealloc behind the freeing of the core. */
int gmpy_model_traverse(PyObject *self, visitproc visit, void *arg);
void gmpy_model_release(gmpy_model *model);

/* A dict as a gm_optimizer_config. */
extern const gmpy_field gmpy_optimizer_fields[];

/* Methods of every model: optimizer_slots, optimizer_steps, set_optimizer_steps, set_learning_rate. */
#define GMPY_OPTIMIZER_METHODS                                                                                         \
    {"optimizer_slots", gmpy_optimizer_slots, METH_VARARGS, gmpy_optimizer_slots_doc},                                 \
        {"optimizer_steps", gmpy_optimizer_steps, METH_VARARGS, gmpy_optimizer_steps_doc},                             \
        {"set_optimizer_steps", gmpy_set_optimizer_steps, METH_VARARGS, gmpy_set_optimizer_steps_doc}, {               \
        "set_learning_rate", gmpy_set_learning_rate, METH_VARARGS, gmpy_set_learning_rate_doc                          \
    }

PyObject *gmpy_optimizer_slots(PyObject *self, PyObject *args);
PyObject *gmpy_optimizer_steps(PyObject *self, PyObject *args);
PyObject *gmpy_set_optimizer_steps(PyObject *self, PyObject *args);
PyObject *gmpy_set_learning_rate(PyObject *self, PyObject *args);
extern const char gmpy_optimizer_slots_doc[], gmpy_optimizer_steps_doc[], gmpy_set_optimizer_steps_doc[];
extern const char gmpy_set_learning_rate_doc[];

/* A tuple of `count` ints as uint64 values; -1 with an exception. */
int gmpy_counters_read(PyObject *tuple, int count, uint64_t *values);

#endif
