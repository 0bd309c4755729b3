/* The functions of csrc/metrics/ on features: float64 arrays (N, D), N and D at least 1. */
#include <stdbool.h>

#include "metrics/moments.h"
#include "metrics/neighbours.h"
#include "python/array.h"
#include "python/errors.h"
#include "python/module.h"

/* Reads a float64 array of `rank` axes, none of them empty. */
static int read_doubles(PyObject *object, int rank, const char *what, gmpy_array *array) {
    if (gmpy_array_read(object, what, array) < 0) return -1;
    if (array->dtype != GMPY_FLOAT64) {
        PyErr_Format(PyExc_TypeError, "%s must be float64", what);
        return -1;
    }
    bool fits = array->rank == rank;
    for (int i = 0; i < array->rank; i++) fits = fits && array->dim[i] >= 1;
    if (fits) return 0;
    PyErr_Format(PyExc_ValueError, "%s must have %d axes, none of them empty", what, rank);
    return -1;
}

/* Two feature arrays of one D. */
static int read_pair(PyObject *x_object, PyObject *y_object, gmpy_array *x, gmpy_array *y) {
    if (read_doubles(x_object, 2, "x", x) < 0 || read_doubles(y_object, 2, "y", y) < 0) return -1;
    if (x->dim[1] == y->dim[1]) return 0;
    PyErr_Format(PyExc_ValueError, "x has %lld features, y has %lld", (long long)x->dim[1], (long long)y->dim[1]);
    return -1;
}

/* The radii of N samples. */
static int read_radii(PyObject *object, int64_t N, const char *what, gmpy_array *radii) {
    if (read_doubles(object, 1, what, radii) < 0) return -1;
    if (radii->dim[0] == N) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %lld values for %lld samples", what, (long long)radii->dim[0], (long long)N);
    return -1;
}

/* A result, or the exception of a failure in its place. */
static PyObject *result_or_raise(gm_status status, const gm_error *error, PyObject *result) {
    if (status == GM_OK) return result;
    Py_DECREF(result);
    return gmpy_raise(error);
}

/* Two fresh vectors as a tuple. */
static PyObject *two_vectors(gmpy_dtype dtype, int64_t first, int64_t second, void **first_data, void **second_data) {
    PyObject *one = gmpy_vector_new(dtype, first, first_data);
    PyObject *two = one == NULL ? NULL : gmpy_vector_new(dtype, second, second_data);
    PyObject *pair = two == NULL ? NULL : PyTuple_Pack(2, one, two);
    Py_XDECREF(one);
    Py_XDECREF(two);
    return pair;
}

PyDoc_STRVAR(moments_doc, "moments($module, x, /)\n--\n\n"
                          "Mean (D) and covariance (D * D), divisor N - 1, of the rows of x (N, D).");

static PyObject *core_moments(PyObject *module, PyObject *object) {
    (void)module;
    gmpy_array x;
    gm_error error = {GM_OK, ""};
    gm_status status;
    int64_t square;
    void *mean = NULL, *covariance = NULL;
    if (read_doubles(object, 2, "x", &x) < 0) return NULL;
    if (gm_size_multiply(x.dim[1], x.dim[1], &square, "covariance", &error) != GM_OK) return gmpy_raise(&error);
    PyObject *result = two_vectors(GMPY_FLOAT64, x.dim[1], square, &mean, &covariance);
    if (result == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS status = gm_moments(x.dim[0], x.dim[1], x.data, mean, covariance, &error);
    Py_END_ALLOW_THREADS return result_or_raise(status, &error, result);
}

PyDoc_STRVAR(neighbour_radii_doc, "neighbour_radii($module, x, k, /)\n--\n\n"
                                  "Squared distance (N) from every row of x (N, D) to the k-th nearest other.");

static PyObject *core_neighbour_radii(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object;
    long long k;
    gmpy_array x;
    gm_error error = {GM_OK, ""};
    gm_status status;
    void *radii = NULL;
    if (!PyArg_ParseTuple(args, "OL:neighbour_radii", &object, &k)) return NULL;
    if (read_doubles(object, 2, "x", &x) < 0) return NULL;
    PyObject *result = gmpy_vector_new(GMPY_FLOAT64, x.dim[0], &radii);
    if (result == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS status = gm_neighbour_radii(x.dim[0], x.dim[1], k, x.data, radii, &error);
    Py_END_ALLOW_THREADS return result_or_raise(status, &error, result);
}

PyDoc_STRVAR(
    neighbour_counts_doc,
    "neighbour_counts($module, x, y, x_radii, y_radii, /)\n--\n\n"
    "For every row of x: how many rows of y lie within its squared radius, within how many of theirs it lies.");

static PyObject *core_neighbour_counts(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *x_object, *y_object, *x_radii_object, *y_radii_object;
    gmpy_array x, y, x_radii, y_radii;
    gm_error error = {GM_OK, ""};
    gm_status status;
    void *own = NULL, *other = NULL;
    if (!PyArg_ParseTuple(args, "OOOO:neighbour_counts", &x_object, &y_object, &x_radii_object, &y_radii_object))
        return NULL;
    if (read_pair(x_object, y_object, &x, &y) < 0) return NULL;
    if (read_radii(x_radii_object, x.dim[0], "x_radii", &x_radii) < 0) return NULL;
    if (read_radii(y_radii_object, y.dim[0], "y_radii", &y_radii) < 0) return NULL;
    PyObject *result = two_vectors(GMPY_INT64, x.dim[0], x.dim[0], &own, &other);
    if (result == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS status = gm_neighbour_counts(x.dim[0], y.dim[0], x.dim[1], x.data, y.data, x_radii.data,
                                                        y_radii.data, own, other, &error);
    Py_END_ALLOW_THREADS return result_or_raise(status, &error, result);
}

PyDoc_STRVAR(kernel_sums_doc, "kernel_sums($module, x, y, same, /)\n--\n\n"
                              "For every row of x (R, D) the sum of (x.y / D + 1)^3 over the rows of y (C, D); same: y "
                              "is x, and no row is paired with itself.");

static PyObject *core_kernel_sums(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *x_object, *y_object;
    int same;
    gmpy_array x, y;
    gm_error error = {GM_OK, ""};
    gm_status status;
    void *sums = NULL;
    if (!PyArg_ParseTuple(args, "OOp:kernel_sums", &x_object, &y_object, &same)) return NULL;
    if (read_pair(x_object, y_object, &x, &y) < 0) return NULL;
    PyObject *result = gmpy_vector_new(GMPY_FLOAT64, x.dim[0], &sums);
    if (result == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        gm_kernel_sums(x.dim[0], y.dim[0], x.dim[1], x.data, y.data, same != 0, sums, &error);
    Py_END_ALLOW_THREADS return result_or_raise(status, &error, result);
}

PyMethodDef gmpy_metrics_methods[] = {
    {"moments", core_moments, METH_O, moments_doc},
    {"neighbour_radii", core_neighbour_radii, METH_VARARGS, neighbour_radii_doc},
    {"neighbour_counts", core_neighbour_counts, METH_VARARGS, neighbour_counts_doc},
    {"kernel_sums", core_kernel_sums, METH_VARARGS, kernel_sums_doc},
    {NULL, NULL, 0, NULL},
};
