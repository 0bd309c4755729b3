/* Reading a dict into a C struct by a table of its fields: name, type, offset.
 *
 * Only types and representable ranges are checked here; what values mean is the core's business. Fields that the dict
 * does not have keep what the struct held before; keys that the table does not have are a ValueError. */
#ifndef GM_PYTHON_FIELDS_H
#define GM_PYTHON_FIELDS_H

#include <Python.h>
#include <stddef.h>

typedef enum gmpy_field_type {
    GMPY_FIELD_INT64,
    GMPY_FIELD_UINT64,
    GMPY_FIELD_FLOAT,
    GMPY_FIELD_BOOL,
    GMPY_FIELD_TEXT,   /* const char *, as long-lived as the str */
    GMPY_FIELD_PAIR,   /* int64_t[2] */
    GMPY_FIELD_SHAPE,  /* gm_shape */
    GMPY_FIELD_CHOICE, /* an enum: place of the string in `choices` */
    GMPY_FIELD_STRUCT, /* a dict again, by the table `inner` */
} gmpy_field_type;

typedef struct gmpy_field {
    const char *name; /* NULL ends a table */
    gmpy_field_type type;
    size_t offset;
    const char *const *choices; /* NULL-ended */
    const struct gmpy_field *inner;
} gmpy_field;

/* -1 with an exception on failure. `what` names the thing in messages. */
int gmpy_fields_read(PyObject *dict, const gmpy_field *table, void *target, const char *what);

/* An int in 0..2^64-1 as a uint64_t *: the O& of PyArg_ParseTuple. 1, or 0 with an exception. */
int gmpy_uint64_convert(PyObject *value, void *number);

/* A sequence of ints as a shape (gm_shape *): values are checked by the core. */
int gmpy_shape_read(PyObject *sequence, const char *what, void *shape);

#endif
