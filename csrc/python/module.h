/* What the files of the extension share: the module's state and its types. */
#ifndef GM_PYTHON_MODULE_H
#define GM_PYTHON_MODULE_H

#include <Python.h>

#include "python/lock.h"

#include "network/network.h"

typedef struct gmpy_state {
    PyTypeObject *network_type;
    PyTypeObject *vae_type;
    PyTypeObject *gan_type;
    PyTypeObject *classifier_type;
} gmpy_state;

extern PyType_Spec gmpy_network_spec;
extern PyType_Spec gmpy_vae_spec;
extern PyType_Spec gmpy_gan_spec;
extern PyType_Spec gmpy_classifier_spec;
extern PyMethodDef gmpy_metrics_methods[];

/* genmodels._core.Network. Everything but the lock is touched only with the lock held; the core's arenas never move
 * while the object lives, so arrays may look at them for as long as they hold a reference. */
typedef struct gmpy_network {
    PyObject_HEAD gmpy_mutex mutex;
    gm_network *core;
    int64_t pending; /* samples of the training forward that backward may follow; 0: none */
} gmpy_network;

#endif
