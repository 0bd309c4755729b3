/* Images and labels from NumPy arrays to the forms the models take. */
#ifndef GM_PYTHON_IMAGES_H
#define GM_PYTHON_IMAGES_H

#include <Python.h>

#include "models/images.h"

/* (N, shape...) uint8 or float32, N >= 1; values are not looked at. -1 with an exception. */
int gmpy_images_read(PyObject *object, const gm_shape *shape, gm_images *images);

/* int64 (N), or NULL for None. None exactly when `classes` is 0; values are not looked at. -1 with an exception. */
int gmpy_labels_read(PyObject *object, int64_t N, int64_t classes, const int64_t **labels);

#endif
