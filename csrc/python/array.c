#include "python/array.h"

#include "python/errors.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#include <numpy/arrayobject.h>

static const struct {
    int type;
    const char *name;
} DTYPES[] = {[GMPY_FLOAT32] = {NPY_FLOAT32, "float32"},
              [GMPY_UINT8] = {NPY_UINT8, "uint8"},
              [GMPY_INT64] = {NPY_INT64, "int64"},
              [GMPY_FLOAT64] = {NPY_FLOAT64, "float64"}};

int gmpy_array_setup(void) { return PyArray_ImportNumPyAPI(); }

/* The dtype of `array`, or -1 with a TypeError. int64 has two names (long, long long): compare kinds, not numbers. Dtypes that
 * others have added to NumPy may have none, a negative one. */
static int dtype_of(PyArrayObject *array, const char *what) {
    for (int dtype = GMPY_FLOAT32; PyArray_TYPE(array) >= 0 && dtype <= GMPY_FLOAT64; dtype++)
        if (PyArray_EquivTypenums(PyArray_TYPE(array), DTYPES[dtype].type)) return dtype;
    PyErr_Format(PyExc_TypeError, "%s has dtype %S, expected float32, float64, uint8 or int64", what,
                 PyArray_DESCR(array));
    return -1;
}

int gmpy_array_read(PyObject *object, const char *what, gmpy_array *view) {
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be a NumPy array, not %s", what, Py_TYPE(object)->tp_name);
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    int dtype = dtype_of(array, what), rank = PyArray_NDIM(array);
    if (dtype < 0) return -1;
    if (rank > GMPY_MAX_RANK) {
        PyErr_Format(PyExc_ValueError, "%s has %d axes, at most %d are possible", what, rank, GMPY_MAX_RANK);
        return -1;
    }
    if (!PyArray_ISCARRAY_RO(array)) {
        PyErr_Format(PyExc_ValueError, "%s must be C-contiguous, aligned and in native byte order", what);
        return -1;
    }
    *view = (gmpy_array){.dtype = (gmpy_dtype)dtype, .rank = rank, .data = PyArray_DATA(array)};
    view->writable = PyArray_ISWRITEABLE(array);
    for (int i = 0; i < rank; i++) view->dim[i] = PyArray_DIM(array, i);
    return 0;
}

/* "(3, 28, 28)" of an array, which may have one axis more than a shape and empty ones. */
static PyObject *dims_tuple(const int64_t *dim, int rank) {
    PyObject *tuple = PyTuple_New(rank);
    for (int i = 0; tuple != NULL && i < rank; i++) {
        PyObject *number = PyLong_FromLongLong(dim[i]);
        if (number == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, number);
    }
    return tuple;
}

PyObject *gmpy_shape_tuple(const gm_shape *shape) { return dims_tuple(shape->dim, shape->rank); }

/* ValueError: "x has shape (3, 28, 28), expected (N, 28, 28, 1)". */
static int refuse_shape(const gmpy_array *array, const gm_shape *shape, const char *what) {
    char text[GM_SHAPE_TEXT];
    PyObject *dims = dims_tuple(array->dim, array->rank);
    if (dims == NULL) return -1;
    /* gm_shape_text starts with a bracket: put the N behind it. */
    const char *rest = shape->rank > 0 ? gm_shape_text(shape, text) + 1 : ")";
    PyErr_Format(PyExc_ValueError, "%s has shape %S, expected (N, %s", what, dims, rest);
    Py_DECREF(dims);
    return -1;
}

int gmpy_batch_check(const gmpy_array *array, const gm_shape *shape, const char *what) {
    if (array->rank != shape->rank + 1) return refuse_shape(array, shape, what);
    for (int i = 0; i < shape->rank; i++)
        if (array->dim[i + 1] != shape->dim[i]) return refuse_shape(array, shape, what);
    if (array->dim[0] >= 1) return 0;
    PyErr_Format(PyExc_ValueError, "%s is empty: at least 1 sample is needed", what);
    return -1;
}

int gmpy_batch_read(PyObject *object, gmpy_dtype dtype, const gm_shape *shape, const char *what, gmpy_array *array) {
    if (gmpy_array_read(object, what, array) < 0) return -1;
    if (array->dtype == dtype) return gmpy_batch_check(array, shape, what);
    PyErr_Format(PyExc_TypeError, "%s has dtype %s, expected %s", what, DTYPES[array->dtype].name, DTYPES[dtype].name);
    return -1;
}

PyObject *gmpy_batch_new(int64_t N, const gm_shape *shape, float **data) {
    gm_error error;
    int64_t size;
    npy_intp dims[GMPY_MAX_RANK] = {(npy_intp)N};
    if (gm_shape_size(shape, &size, "output", &error) != GM_OK ||
        gm_size_multiply(size, N, &size, "output", &error) != GM_OK)
        return gmpy_raise(&error);
    for (int i = 0; i < shape->rank; i++) dims[i + 1] = (npy_intp)shape->dim[i];
    PyObject *array = PyArray_SimpleNew(shape->rank + 1, dims, NPY_FLOAT32);
    if (array != NULL) *data = PyArray_DATA((PyArrayObject *)array);
    return array;
}

PyObject *gmpy_vector_new(gmpy_dtype dtype, int64_t n, void **data) {
    gm_error error;
    int64_t size;
    if (gm_size_multiply(n, 1, &size, "vector", &error) != GM_OK) return gmpy_raise(&error);
    npy_intp dims[1] = {(npy_intp)n};
    PyObject *array = PyArray_SimpleNew(1, dims, DTYPES[dtype].type);
    if (array != NULL) *data = PyArray_DATA((PyArrayObject *)array);
    return array;
}

PyObject *gmpy_view_new(float *data, const gm_shape *shape, PyObject *owner) {
    npy_intp dims[GM_MAX_RANK];
    for (int i = 0; i < shape->rank; i++) dims[i] = (npy_intp)shape->dim[i];
    PyObject *array = PyArray_SimpleNewFromData(shape->rank, dims, NPY_FLOAT32, data);
    if (array == NULL) return NULL;
    if (PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(owner)) < 0)
        Py_CLEAR(array); /* steals, even on failure */
    return array;
}
