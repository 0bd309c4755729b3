#include "python/images.h"

#include "python/array.h"

int gmpy_images_read(PyObject *object, const gm_shape *shape, gm_images *images) {
    gmpy_array array;
    if (gmpy_array_read(object, "x", &array) < 0) return -1;
    if (array.dtype != GMPY_UINT8 && array.dtype != GMPY_FLOAT32) {
        PyErr_Format(PyExc_TypeError, "x has dtype %s, expected uint8 or float32",
                     array.dtype == GMPY_INT64 ? "int64" : "float64");
        return -1;
    }
    if (gmpy_batch_check(&array, shape, "x") < 0) return -1;
    *images = (gm_images){.N = array.dim[0]};
    if (array.dtype == GMPY_UINT8)
        images->bytes = array.data;
    else
        images->floats = array.data;
    return 0;
}

int gmpy_labels_read(PyObject *object, int64_t N, int64_t classes, const int64_t **labels) {
    *labels = NULL;
    if ((object == Py_None) != (classes == 0)) {
        PyErr_SetString(PyExc_ValueError, classes == 0 ? "the model has no classes: labels must be None"
                                                       : "the model is conditional: labels are needed");
        return -1;
    }
    if (object == Py_None) return 0;
    gmpy_array array;
    if (gmpy_batch_read(object, GMPY_INT64, &(gm_shape){0}, "labels", &array) < 0) return -1;
    if (array.dim[0] != N) {
        PyErr_Format(PyExc_ValueError, "%lld labels for %lld samples", (long long)array.dim[0], (long long)N);
        return -1;
    }
    *labels = array.data;
    return 0;
}
