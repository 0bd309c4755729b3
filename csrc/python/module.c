/* The extension genmodels._core: NumPy arrays in, NumPy arrays out; no policy. */
#include "python/module.h"

#include "base/parallel.h"
#include "kernels/table.h"
#include "models/images.h"
#include "python/array.h"
#include "python/errors.h"
#include "python/fields.h"
#include "python/images.h"

/* --- random numbers ----------------------------------------------------------------------------------------------- */

/* Checks a count; -1 with an exception. */
static int require_count(long long n) {
    if (n >= 0) return 0;
    PyErr_Format(PyExc_ValueError, "n is %lld, must be at least 0", n);
    return -1;
}

PyDoc_STRVAR(permutation_doc, "permutation($module, seed, index, n, /)\n--\n\n"
                              "Permutation number `index` of 0..n-1 for `seed`: int64 (n), a pure function.");

static PyObject *core_permutation(PyObject *module, PyObject *args) {
    (void)module;
    uint64_t seed, index;
    long long n;
    void *values = NULL;
    if (!PyArg_ParseTuple(args, "O&O&L:permutation", gmpy_uint64_convert, &seed, gmpy_uint64_convert, &index, &n))
        return NULL;
    if (require_count(n) < 0) return NULL;
    if (index > UINT32_MAX)
        return PyErr_Format(PyExc_OverflowError, "index %llu is above 2^32 - 1", (unsigned long long)index);
    PyObject *array = gmpy_vector_new(GMPY_INT64, n, &values);
    if (array == NULL) return NULL;
    gm_random random = {seed, GM_STREAM_SHUFFLE | index << 32, 0};
    Py_BEGIN_ALLOW_THREADS gm_random_permutation(&random, n, values);
    Py_END_ALLOW_THREADS return array;
}

static PyObject *draw(PyObject *args, const char *format, void (*fill)(gm_random *, int64_t, float *)) {
    gm_random random = {.offset = 0};
    long long n;
    void *values = NULL;
    if (!PyArg_ParseTuple(args, format, gmpy_uint64_convert, &random.seed, gmpy_uint64_convert, &random.stream, &n,
                          gmpy_uint64_convert, &random.offset))
        return NULL;
    if (require_count(n) < 0) return NULL;
    PyObject *array = gmpy_vector_new(GMPY_FLOAT32, n, &values);
    if (array == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS fill(&random, n, values);
    Py_END_ALLOW_THREADS return array;
}

PyDoc_STRVAR(normal_doc, "normal($module, seed, stream, n, offset=0, /)\n--\n\n"
                         "Standard normal numbers: float32 (n), behind the first `offset` blocks of four.");

static PyObject *core_normal(PyObject *module, PyObject *args) {
    (void)module;
    return draw(args, "O&O&L|O&:normal", gm_random_normal);
}

PyDoc_STRVAR(uniform_doc, "uniform($module, seed, stream, n, offset=0, /)\n--\n\n"
                          "Uniform numbers in [0, 1): float32 (n), behind the first `offset` blocks of four.");

static PyObject *core_uniform(PyObject *module, PyObject *args) {
    (void)module;
    return draw(args, "O&O&L|O&:uniform", gm_random_uniform);
}

/* --- threads and processor ---------------------------------------------------------------------------------------- */

PyDoc_STRVAR(set_num_threads_doc, "set_num_threads($module, n, /)\n--\n\nThreads that a call may use, 1..256.");

static PyObject *core_set_num_threads(PyObject *module, PyObject *object) {
    (void)module;
    long long n = PyLong_AsLongLong(object);
    if (n == -1 && PyErr_Occurred()) return NULL;
    if (n < 1 || n > GM_MAX_THREADS)
        return PyErr_Format(PyExc_ValueError, "the number of threads is %lld, must be 1..%d", n, GM_MAX_THREADS);
    Py_BEGIN_ALLOW_THREADS gm_set_num_threads((int)n);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

PyDoc_STRVAR(get_num_threads_doc, "get_num_threads($module, /)\n--\n\nThreads that a call may use.");

static PyObject *core_get_num_threads(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    return PyLong_FromLong(gm_num_threads());
}

/* The instruction sets whose kernels this build has and this machine can run. */
static PyObject *available_isas(void) {
    PyObject *list = PyList_New(0);
    for (int isa = 0; list != NULL && isa < GM_ISA_COUNT; isa++) {
        if (gm_kernels_of((gm_isa)isa) == NULL) continue;
        PyObject *name = PyUnicode_FromString(gm_isa_name((gm_isa)isa));
        if (name == NULL || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

PyDoc_STRVAR(cpu_info_doc,
             "cpu_info($module, /)\n--\n\nThe kernels in use and those that could be, the threads, the compiler.");

static const char *products_of_bf16(void) {
    const gm_kernels *kernels = gm_kernels_for(GM_BF16_PAIRS);
    return !kernels ? "none" : kernels->tile.blocks ? "blocks" : "pairs";
}

static PyObject *core_cpu_info(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *available = available_isas();
    if (available == NULL) return NULL;
    return Py_BuildValue("{s:s,s:N,s:s,s:s,s:i,s:s}", "isa", gm_isa_name(gm_kernels_isa()), "isa_available", available,
                         "isa_machine", gm_isa_name(gm_cpu_isa()), "bf16", products_of_bf16(), "threads",
                         gm_num_threads(), "compiler", COMPILER);
}

/* --- whole data sets ---------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(check_images_doc,
             "check_images($module, x, shape, /)\n--\n\n"
             "x (N, shape...) uint8, or float32 finite and in [0, 1]; ValueError or TypeError if not.");

static PyObject *core_check_images(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *object, *shape_object;
    gm_shape shape;
    gm_images images;
    if (!PyArg_ParseTuple(args, "OO:check_images", &object, &shape_object)) return NULL;
    if (gmpy_shape_read(shape_object, "shape", &shape) < 0 || gmpy_images_read(object, &shape, &images) < 0)
        return NULL;
    gm_error error = {GM_OK, ""};
    gm_status status;
    Py_BEGIN_ALLOW_THREADS status = gm_images_check(&images, &shape, &error);
    Py_END_ALLOW_THREADS if (status != GM_OK) return gmpy_raise(&error);
    Py_RETURN_NONE;
}

/* --- the module --------------------------------------------------------------------------------------------------- */

static PyMethodDef core_methods[] = {
    {"permutation", core_permutation, METH_VARARGS, permutation_doc},
    {"normal", core_normal, METH_VARARGS, normal_doc},
    {"uniform", core_uniform, METH_VARARGS, uniform_doc},
    {"set_num_threads", core_set_num_threads, METH_O, set_num_threads_doc},
    {"get_num_threads", core_get_num_threads, METH_NOARGS, get_num_threads_doc},
    {"cpu_info", core_cpu_info, METH_NOARGS, cpu_info_doc},
    {"check_images", core_check_images, METH_VARARGS, check_images_doc},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}

static int core_exec(PyObject *module) {
    gmpy_state *state = PyModule_GetState(module);
    if (gmpy_array_setup() < 0) return -1;
    if (add_type(module, &gmpy_network_spec, &state->network_type) < 0) return -1;
    if (add_type(module, &gmpy_vae_spec, &state->vae_type) < 0) return -1;
    if (PyModule_AddFunctions(module, gmpy_metrics_methods) < 0) return -1;
    if (add_type(module, &gmpy_gan_spec, &state->gan_type) < 0) return -1;
    return add_type(module, &gmpy_classifier_spec, &state->classifier_type);
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    gmpy_state *state = PyModule_GetState(module);
    Py_VISIT(state->network_type);
    Py_VISIT(state->vae_type);
    Py_VISIT(state->gan_type);
    Py_VISIT(state->classifier_type);
    return 0;
}

static int core_clear(PyObject *module) {
    gmpy_state *state = PyModule_GetState(module);
    Py_CLEAR(state->network_type);
    Py_CLEAR(state->vae_type);
    Py_CLEAR(state->gan_type);
    Py_CLEAR(state->classifier_type);
    return 0;
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,        .m_name = "genmodels._core", .m_doc = "The C core of genmodels behind NumPy arrays.",
    .m_size = sizeof(gmpy_state), .m_methods = core_methods,   .m_slots = core_slots,
    .m_traverse = core_traverse,  .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
