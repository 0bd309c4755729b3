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

/* genmodels._core.Network. The core is touched only with the lock held, but for what is fixed when it is made: shapes, counts
 * and where its weights and gradients lie. These never move while the object lives, so arrays may look at them for as long as
 * they hold a reference; the plan does. */
typedef struct gmpy_network {
    PyObject_HEAD gmpy_mutex mutex;
    gm_network *core;
    int64_t pending; /* samples of the last training forward; 0: none yet */
    uint64_t uses;   /* the core's behind it: backward may follow while it stays */
} gmpy_network;

#endif
