#include "python/fields.h"

#include <stdbool.h>
#include <string.h>

#include "base/shape.h"

static int read_int64(PyObject *value, int64_t *out) {
    long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred()) return -1;
    *out = number;
    return 0;
}

static int read_uint64(PyObject *value, uint64_t *out) {
    unsigned long long number = PyLong_AsUnsignedLongLong(value);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) return -1;
    *out = number;
    return 0;
}

int gmpy_uint64_convert(PyObject *value, void *number) { return read_uint64(value, number) == 0; }

static int read_float(PyObject *value, float *out) {
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) return -1;
    *out = (float)number;
    return 0;
}

static int read_bool(PyObject *value, bool *out) {
    int truth = PyObject_IsTrue(value);
    if (truth < 0) return -1;
    *out = truth != 0;
    return 0;
}

/* Up to `most` ints of a tuple or list; returns how many, -1 on failure. */
static int read_ints(PyObject *sequence, const char *what, int most, int64_t *out) {
    if (!PyTuple_Check(sequence) && !PyList_Check(sequence)) {
        PyErr_Format(PyExc_TypeError, "%s must be a tuple of ints, not %s", what, Py_TYPE(sequence)->tp_name);
        return -1;
    }
    Py_ssize_t count = PySequence_Size(sequence);
    if (count > most) {
        PyErr_Format(PyExc_ValueError, "%s has %zd numbers, at most %d are possible", what, count, most);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        int failed = item == NULL || read_int64(item, &out[i]) < 0;
        Py_XDECREF(item);
        if (failed) return -1;
    }
    return (int)count;
}

int gmpy_shape_read(PyObject *sequence, const char *what, void *shape) {
    gm_shape read = {0};
    read.rank = read_ints(sequence, what, GM_MAX_RANK, read.dim);
    if (read.rank < 0) return -1;
    *(gm_shape *)shape = read;
    return 0;
}

static int read_pair(PyObject *sequence, const char *what, int64_t *out) {
    int64_t pair[2];
    int count = read_ints(sequence, what, 2, pair);
    if (count < 0) return -1;
    if (count != 2) {
        PyErr_Format(PyExc_ValueError, "%s has %d numbers, must have 2", what, count);
        return -1;
    }
    memcpy(out, pair, sizeof pair);
    return 0;
}

static int read_text(PyObject *value, const char *what, const char **out) {
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %s", what, Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t length;
    *out = PyUnicode_AsUTF8AndSize(value, &length);
    if (*out == NULL) return -1;
    if (strlen(*out) == (size_t)length) return 0;
    PyErr_Format(PyExc_ValueError, "%s is %R, which has a null character", what, value);
    return -1;
}

static int read_choice(PyObject *value, const gmpy_field *field, void *out) {
    bool text = PyUnicode_Check(value);
    for (int i = 0; text && field->choices[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(value, field->choices[i]) != 0) continue;
        memcpy(out, &i, sizeof i); /* enums are ints */
        return 0;
    }
    PyErr_Format(text ? PyExc_ValueError : PyExc_TypeError, "%s is %R, which is no choice", field->name, value);
    return -1;
}

static int read_field(PyObject *value, const gmpy_field *field, void *out) {
    switch (field->type) {
    case GMPY_FIELD_INT64: return read_int64(value, out);
    case GMPY_FIELD_UINT64: return read_uint64(value, out);
    case GMPY_FIELD_FLOAT: return read_float(value, out);
    case GMPY_FIELD_BOOL: return read_bool(value, out);
    case GMPY_FIELD_TEXT: return read_text(value, field->name, out);
    case GMPY_FIELD_PAIR: return read_pair(value, field->name, out);
    case GMPY_FIELD_SHAPE: return gmpy_shape_read(value, field->name, out);
    case GMPY_FIELD_CHOICE: return read_choice(value, field, out);
    case GMPY_FIELD_STRUCT: return gmpy_fields_read(value, field->inner, out, field->name);
    }
    PyErr_SetString(PyExc_SystemError, "unknown field type");
    return -1;
}

static const gmpy_field *find_field(PyObject *key, const gmpy_field *table) {
    for (const gmpy_field *field = table; field->name != NULL; field++)
        if (PyUnicode_Check(key) && PyUnicode_CompareWithASCIIString(key, field->name) == 0) return field;
    return NULL;
}

static int read_fields(PyObject *dict, const gmpy_field *table, void *target, const char *what) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        const gmpy_field *field = find_field(key, table);
        if (field == NULL) {
            PyErr_Format(PyExc_ValueError, "%s has no field %R", what, key);
            return -1;
        }
        if (read_field(value, field, (char *)target + field->offset) < 0) return -1;
    }
    return 0;
}

int gmpy_fields_read(PyObject *dict, const gmpy_field *table, void *target, const char *what) {
    if (!PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "%s must be a dict, not %s", what, Py_TYPE(dict)->tp_name);
        return -1;
    }
    /* Reading may run Python code (__index__, __float__) that changes the dict under PyDict_Next: read a copy. */
    PyObject *copy = PyDict_Copy(dict);
    int result = copy == NULL ? -1 : read_fields(copy, table, target, what);
    Py_XDECREF(copy);
    return result;
}
