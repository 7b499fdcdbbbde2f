/* The hot half of Rollcall's Python probe: begin and end of each request, and of the calls that it makes, counted straight into the
 * worker file.
 *
 * Does what _rollcall_probe/pure.py does, with the same names and the same file (see rollcall_agent/wire/layout.py); that module
 * is used where this one cannot be loaded. Whatever is rare is left to Python: names of endpoints and dependencies, errors,
 * visitors, steps. Stable ABI of Python 3.8, so that one file serves every later version with a GIL. Nothing here raises into the
 * application: a failure returns None, or tells `disable`.
 */
#include "recorder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crash.h"

#if defined(__GLIBC__) && defined(__x86_64__)
/* The one of every glibc, not that of 2.29: the application's image may be older than ours. */
__asm__(".symver log2, log2@GLIBC_2.2.5");
#endif

/* Tell Python that the probe is off, with the error that is set; the application hears nothing. */
void give_up(Recorder *self) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (self->disable != NULL && value != NULL) {
        PyObject *result = PyObject_CallFunctionObjArgs(self->disable, value, NULL);
        if (result == NULL) PyErr_Clear();
        Py_XDECREF(result);
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

Py_ssize_t bucket_of(Recorder *self, uint64_t elapsed_ns) {
    double index = ceil(log2((double)elapsed_ns) * self->at.per_octave - self->at.offset);
    if (!(index > 0)) return 0;
    return index < (double)self->at.buckets ? (Py_ssize_t)index : self->at.buckets - 1;
}

static PyObject *recorder_open_requests(PyObject *object, PyObject *unused) {
    (void)unused;
    Recorder *self = (Recorder *)object;
    PyObject *found = PyList_New(0);
    for (Py_ssize_t slot = 0; found != NULL && slot < self->used; slot++) {
        if (self->in_slot[slot] != NULL && PyList_Append(found, (PyObject *)self->in_slot[slot]) < 0) Py_CLEAR(found);
    }
    return found;
}

/* --- what is left behind when a fatal signal ends this process */

enum { CRASH_SURVIVED_US = 1000000 }; /* so long after a signal the application has handled it */
static struct rollcall_crash *crash_place; /* in the worker file; NULL while there is none of this process */

static void keep_crash(int signal, siginfo_t *info, void *context) {
    if (crash_place != NULL) rollcall_crash_fill(crash_place, signal, info, context);
}

static PyObject *recorder_watch_crashes(PyObject *object, PyObject *unused) {
    (void)unused;
    Recorder *self = (Recorder *)object;
    struct rollcall_crash *place = (struct rollcall_crash *)(self->file + self->at.crash);
    if (place->signal != 0 && now_ns() / 1000 > place->at_us + CRASH_SURVIVED_US) memset(place, 0, sizeof *place);
    crash_place = place;
    rollcall_crash_watch(keep_crash);
    Py_RETURN_NONE;
}

static void let_go(Recorder *self) {
    if (self->file != NULL && crash_place == (struct rollcall_crash *)(self->file + self->at.crash)) crash_place = NULL;
    if (self->file == NULL) return;
    if (self->scratch) free(self->file);
    else munmap(self->file, (size_t)self->at.size);
    self->file = NULL;
}

static PyObject *recorder_abandon(PyObject *object, PyObject *unused) {
    (void)unused;
    Recorder *self = (Recorder *)object;
    char *scratch = calloc(1, (size_t)self->at.size);
    if (scratch == NULL) return PyErr_NoMemory();
    let_go(self);
    self->file = scratch;
    self->scratch = 1;
    Py_RETURN_NONE;
}

static void recorder_dealloc(PyObject *object) {
    Recorder *self = (Recorder *)object;
    let_go(self);
    Py_XDECREF(self->methods);
    Py_XDECREF(self->unknown);
    Py_XDECREF(self->intern);
    Py_XDECREF(self->failed);
    Py_XDECREF(self->disable);
    Py_XDECREF(self->calls);
    Py_XDECREF(self->intern_call);
    Py_XDECREF(self->get);
    Py_XDECREF(self->set);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static Py_ssize_t number(PyObject *layout, const char *name, int *bad) {
    PyObject *value = PyMapping_GetItemString(layout, name);
    Py_ssize_t result = value != NULL ? PyLong_AsSsize_t(value) : -1;
    Py_XDECREF(value);
    if (result < 0) *bad = 1;
    return result;
}

static double real(PyObject *layout, const char *name, int *bad) {
    PyObject *value = PyMapping_GetItemString(layout, name);
    double result = value != NULL ? PyFloat_AsDouble(value) : 0;
    Py_XDECREF(value);
    if (PyErr_Occurred()) *bad = 1;
    return result;
}

static int read_layout(Layout *at, PyObject *layout) {
    int bad = 0;
    at->size = number(layout, "size", &bad);
    at->started = number(layout, "started", &bad);
    at->untracked = number(layout, "untracked", &bad);
    at->settling = number(layout, "settling", &bad);
    at->histogram = number(layout, "histogram", &bad);
    at->endpoints = number(layout, "endpoints", &bad);
    at->endpoint_size = number(layout, "endpoint_size", &bad);
    at->slots = number(layout, "slots", &bad);
    at->slot_size = number(layout, "slot_size", &bad);
    at->slots_used = number(layout, "slots_used", &bad);
    at->journal = number(layout, "journal", &bad);
    at->journal_written = number(layout, "journal_written", &bad);
    at->crash = number(layout, "crash", &bad);
    at->slot_count = number(layout, "slot_count", &bad);
    at->buckets = number(layout, "buckets", &bad);
    at->journal_size = number(layout, "journal_size", &bad);
    at->endpoint_count = number(layout, "endpoint_count", &bad);
    at->dependencies = number(layout, "dependencies", &bad);
    at->dependency_size = number(layout, "dependency_size", &bad);
    at->calls = number(layout, "calls", &bad);
    at->calls_written = number(layout, "calls_written", &bad);
    at->points = number(layout, "points", &bad);
    at->point_size = number(layout, "point_size", &bad);
    at->points_written = number(layout, "points_written", &bad);
    at->dependency_count = number(layout, "dependency_count", &bad);
    at->calls_size = number(layout, "calls_size", &bad);
    at->points_size = number(layout, "points_size", &bad);
    at->step_bits = number(layout, "step_bits", &bad);
    at->per_octave = real(layout, "per_octave", &bad);
    at->offset = real(layout, "offset", &bad);
    if (!bad && (at->slot_count > MAX_SLOTS || at->slot_size != 32 || at->dependency_size != 192 || at->point_size != 32)) {
        PyErr_SetString(PyExc_ValueError, "a layout of other sizes");
        bad = 1;
    }
    return bad ? -1 : 0;
}

PyTypeObject *recorder_type;

static PyObject *new_recorder(PyObject *module, PyObject *args) {
    (void)module;
    int fd, threads_shared;
    PyObject *layout, *methods, *unknown, *intern, *calls, *intern_call, *get, *set, *failed, *disable;
    if (!PyArg_ParseTuple(args, "iOO!O!OO!OOOOOp", &fd, &layout, &PyDict_Type, &methods, &PyDict_Type, &unknown, &intern,
                          &PyDict_Type, &calls, &intern_call, &get, &set, &failed, &disable, &threads_shared))
        return NULL;
    Recorder *self = PyObject_New(Recorder, recorder_type);
    if (self == NULL) return NULL;
    self->file = NULL;
    self->scratch = 0;
    self->threads_shared = threads_shared;
    self->methods = kept(methods);
    self->unknown = kept(unknown);
    self->intern = kept(intern);
    self->calls = kept(calls);
    self->intern_call = kept(intern_call);
    self->get = kept(get);
    self->set = kept(set);
    self->failed = kept(failed);
    self->disable = kept(disable);
    self->used = 0;
    self->cpu_asked_ns = 0;
    self->cpu_left_out = 0;
    if (read_layout(&self->at, layout) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->free_count = self->at.slot_count;
    for (Py_ssize_t i = 0; i < self->at.slot_count; i++) self->free_slots[i] = (uint32_t)(self->at.slot_count - 1 - i);
    memset(self->in_slot, 0, sizeof self->in_slot);
    void *file = mmap(NULL, (size_t)self->at.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    self->file = file;
    return (PyObject *)self;
}

static PyMethodDef recorder_methods[] = {
    {"begin", recorder_begin, METH_O, "A request of this method has begun."},
    {"begin_task", recorder_begin_task, METH_O, "The same, served by a thread that serves others meanwhile."},
    {"begin_call", recorder_begin_call, METH_O, "A call of this dependency has begun; None within another one."},
    {"begin_event", recorder_begin_event, METH_O, "The same for calls whose end might not be told: no other is within it."},
    {"count_call", recorder_count_call, METH_VARARGS, "count_call(name, elapsed_ns, reason): a call that has ended."},
    {"open_requests", recorder_open_requests, METH_NOARGS, "The requests in flight that have a slot."},
    {"watch_crashes", recorder_watch_crashes, METH_NOARGS, "Leave behind in the file what a fatal signal says; what one said that was survived is gone."},
    {"abandon", recorder_abandon, METH_NOARGS, "In a forked child: leave the parent's file alone; count into scratch memory."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot recorder_slots[] = {
    {Py_tp_dealloc, recorder_dealloc},
    {Py_tp_methods, recorder_methods},
    {Py_tp_doc, "Counts the requests of one process into its worker file."},
    {0, NULL},
};

static PyType_Spec recorder_spec = {"_rollcall_native.Recorder", sizeof(Recorder), 0, Py_TPFLAGS_DEFAULT, recorder_slots};

static PyMethodDef module_methods[] = {
    {"recorder", new_recorder, METH_VARARGS,
     "recorder(fd, layout, methods, unknown, intern, calls, intern_call, get, set, failed, disable, threads_shared): a Recorder\n"
     "that maps the worker file `fd`."},
    {"around", module_around, METH_VARARGS,
     "around(original, fallback, state, hook, name_of, path, asked, settle, status, dropped): a function, each run of it a call."},
    {"begin", module_begin, METH_VARARGS, "begin(around, owner, args, kwargs): the call that has begun, or None."},
    {"events", module_events, METH_VARARGS, "events(state, hook, fallback, system, left_out, fields): what a library tells of."},
    {"settled", module_settled, METH_VARARGS, "settled(around, record, result): what was awaited has come."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rollcall_native", "See recorder.c.", -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__rollcall_native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
    call_type = (PyTypeObject *)PyType_FromSpec(&call_spec);
    recorder_type = (PyTypeObject *)PyType_FromSpec(&recorder_spec);
    if (request_type == NULL || call_type == NULL || recorder_type == NULL || make_around_type() < 0 ||
        make_events_type() < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
