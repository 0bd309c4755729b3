/* NumPy arrays as pointers and sizes. The only file that sees NumPy's header is array.c. */
#ifndef GM_PYTHON_ARRAY_H
#define GM_PYTHON_ARRAY_H

#include <Python.h>

#include "base/shape.h"

/* float64 is for features and scores; images and weights are float32. */
typedef enum gmpy_dtype { GMPY_FLOAT32, GMPY_UINT8, GMPY_INT64, GMPY_FLOAT64 } gmpy_dtype;

/* A batch axis and the sample's. */
enum { GMPY_MAX_RANK = GM_MAX_RANK + 1 };

typedef struct gmpy_array {
    gmpy_dtype dtype;
    int rank;
    int64_t dim[GMPY_MAX_RANK];
    void *data; /* C order, aligned; belongs to the array object */
    bool writable;
} gmpy_array;

/* Loads NumPy's C interface. -1 with an exception on failure. */
int gmpy_array_setup(void);

/* Reads an aligned, C-contiguous, native array of one of these dtypes; TypeError or ValueError otherwise (-1). */
int gmpy_array_read(PyObject *object, const char *what, gmpy_array *array);

/* gmpy_array_read, and the array must be (N, shape...) of `dtype`, N >= 1: the batch. */
int gmpy_batch_read(PyObject *object, gmpy_dtype dtype, const gm_shape *shape, const char *what, gmpy_array *array);

/* The shape rule of gmpy_batch_read alone. */
int gmpy_batch_check(const gmpy_array *array, const gm_shape *shape, const char *what);

/* A fresh, uninitialised array (N, shape...); *data points at its values. */
PyObject *gmpy_batch_new(int64_t N, const gm_shape *shape, float **data);

/* A fresh array (n). */
PyObject *gmpy_vector_new(gmpy_dtype dtype, int64_t n, void **data);

/* A writable float32 view (shape) of memory that `owner` keeps alive: the view holds a reference to it. */
PyObject *gmpy_view_new(float *data, const gm_shape *shape, PyObject *owner);

/* (28, 28, 1) as a tuple of ints. */
PyObject *gmpy_shape_tuple(const gm_shape *shape);

#endif
