#include "python/errors.h"

#include <string.h>

static PyObject *exception_of(gm_status status) {
    switch (status) {
    case GM_VALUE_ERROR: return PyExc_ValueError;
    case GM_MEMORY_ERROR: return PyExc_MemoryError;
    case GM_OVERFLOW_ERROR: return PyExc_OverflowError;
    case GM_NONFINITE_ERROR: return PyExc_FloatingPointError;
    case GM_OK: break;
    }
    return PyExc_SystemError; /* a bug of ours: a failure without a status */
}

void *gmpy_raise(const gm_error *error) {
    /* A message cut at its buffer's end may end inside a character: replace it rather than fail to decode. */
    PyObject *message = PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
    if (message != NULL) {
        PyErr_SetObject(exception_of(error->status), message);
        Py_DECREF(message);
    }
    return NULL;
}

int gmpy_fail(const gm_error *error) {
    (void)gmpy_raise(error);
    return -1;
}
