/* From the core's status codes to Python's exceptions: the one table. */
#ifndef GM_PYTHON_ERRORS_H
#define GM_PYTHON_ERRORS_H

#include <Python.h>

#include "base/error.h"

/* Sets the exception that belongs to error->status, with its message. Returns NULL, for `return gmpy_raise(&error)`. */
void *gmpy_raise(const gm_error *error);

/* gmpy_raise for functions that return an int: -1. */
int gmpy_fail(const gm_error *error);

#endif
