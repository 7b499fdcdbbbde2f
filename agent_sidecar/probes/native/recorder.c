/* The hot half of Rollcall's Python probe: begin and end of each request, counted straight into the worker file.
 *
 * Does what _rollcall_probe/pure.py does, with the same names and the same file (see rollcall_agent/wire/layout.py); that module
 * is used where this one cannot be loaded. Whatever is rare is left to Python: names of endpoints, errors, visitors, steps.
 * Stable ABI of Python 3.8, so that one file serves every later version with a GIL. The GIL is the lock: no call into Python is
 * made while the counters are changed. Nothing here raises into the application: a failure returns None, or tells `disable`.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03080000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <sys/mman.h>
#include <time.h>

#include "crash.h"

#if defined(__GLIBC__) && defined(__x86_64__)
/* The one of every glibc, not that of 2.29: the application's image may be older than ours. */
__asm__(".symver log2, log2@GLIBC_2.2.5");
#endif

enum { MAX_SLOTS = 4096 };

/* Where things are in the file; filled from `layout` so that it is written down once. */
typedef struct {
    Py_ssize_t size, started, untracked, settling, histogram, endpoints, endpoint_size, slots, slot_size, slots_used, journal,
        journal_written, crash;
    Py_ssize_t slot_count, buckets, journal_size, endpoint_count;
    double per_octave, offset;
} Layout;

struct Request;

typedef struct {
    PyObject_HEAD
    char *file;                      /* the mapped worker file, or scratch memory after `abandon` */
    int scratch;
    Layout at;
    PyObject *methods, *unknown;     /* method -> {route: index}, and the table for other methods */
    PyObject *intern, *failed, *disable;
    uint32_t free_slots[MAX_SLOTS];
    Py_ssize_t free_count, used;
    struct Request *in_slot[MAX_SLOTS]; /* borrowed: a request takes itself out when it ends */
} Recorder;

typedef struct Request {
    PyObject_HEAD
    Recorder *recorder;              /* NULL when the request has ended */
    Py_ssize_t slot;                 /* -1: there was none */
    uint32_t endpoint;
    uint64_t start_ns;
    unsigned long thread;
    PyObject *method, *routes, *status, *error, *task;
} Request;

static PyTypeObject *request_type;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Single aligned stores: the reader in another process sees each field whole. */
static volatile uint64_t *u64_at(Recorder *self, Py_ssize_t at) { return (volatile uint64_t *)(self->file + at); }
static volatile uint32_t *u32_at(Recorder *self, Py_ssize_t at) { return (volatile uint32_t *)(self->file + at); }
static Py_ssize_t slot_at(Recorder *self, Py_ssize_t slot) { return self->at.slots + slot * self->at.slot_size; }

static void barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/* Tell Python that the probe is off, with the error that is set; the application hears nothing. */
static void give_up(Recorder *self) {
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

/* --- counting */

static Py_ssize_t bucket_of(Recorder *self, uint64_t elapsed_ns) {
    double index = ceil(log2((double)elapsed_ns) * self->at.per_octave - self->at.offset);
    if (!(index > 0)) return 0;
    return index < (double)self->at.buckets ? (Py_ssize_t)index : self->at.buckets - 1;
}

static void count(Recorder *self, uint32_t endpoint, int status_class, int failed, uint64_t elapsed_ns) {
    uint64_t elapsed_us = elapsed_ns / 1000;
    Py_ssize_t bucket = bucket_of(self, elapsed_ns);
    if ((Py_ssize_t)endpoint >= self->at.endpoint_count) endpoint = 0;
    volatile uint64_t *counts = u64_at(self, self->at.started);
    volatile uint64_t *row = u64_at(self, self->at.endpoints + (Py_ssize_t)endpoint * self->at.endpoint_size);
    counts[0] += 1;
    counts[1] += 1;
    counts[3] += elapsed_us;
    row[0] += 1;
    row[2] += elapsed_us;
    if (failed) {
        counts[2] += 1;
        row[1] += 1;
    }
    if (status_class) counts[3 + status_class] += 1;
    u32_at(self, self->at.histogram)[bucket] += 1;
    volatile uint64_t *written = u64_at(self, self->at.journal_written);
    u32_at(self, self->at.journal)[*written & (uint64_t)(self->at.journal_size - 1)] = endpoint << 16 | (uint32_t)bucket;
    *written += 1;
}

static void take_out(Request *self, Recorder *recorder) {
    if (self->slot >= 0) {
        volatile uint64_t *slot = u64_at(recorder, slot_at(recorder, self->slot));
        slot[0] = 0;
        slot[1] = 0;
        slot[2] = 0;
        slot[3] = 0;
        recorder->in_slot[self->slot] = NULL;
        recorder->free_slots[recorder->free_count++] = (uint32_t)self->slot;
        self->slot = -1;
    } else {
        *u64_at(recorder, recorder->at.untracked) -= 1;
    }
}

static int is_set(PyObject *value) { return value != NULL && value != Py_None; }

/* The status as a number: 200, or WSGI's "200 OK"; 0 without a response, 500 for what no server can send. */
static int status_of(PyObject *status) {
    if (!is_set(status)) return 0;
    if (PyLong_Check(status)) {
        long value = PyLong_AsLong(status);
        if (value == -1 && PyErr_Occurred()) PyErr_Clear();
        return value == 0 || (value >= 100 && value < 600) ? (int)value : 500;
    }
    if (!PyUnicode_Check(status) || PyUnicode_GetLength(status) < 3) return 500;
    int value = 0;
    for (Py_ssize_t i = 0; i < 3; i++) {
        Py_UCS4 digit = PyUnicode_ReadChar(status, i);
        if (digit < '0' || digit > '9') return 500;
        value = 10 * value + (int)(digit - '0');
    }
    return value >= 100 && value < 600 ? value : 500;
}

static void set_slot_endpoint(Recorder *recorder, Py_ssize_t slot, uint32_t endpoint) {
    *u32_at(recorder, slot_at(recorder, slot) + 8) = endpoint;
}

/* The index of `route` for this request's method, or 0 with no error set. */
static uint32_t endpoint_of(Request *self, PyObject *route) {
    PyObject *index = PyDict_GetItemWithError(self->routes, route);
    PyObject *made = NULL;
    if (index == NULL) {
        if (!PyErr_Occurred()) made = index = PyObject_CallFunctionObjArgs(self->recorder->intern, self->method, route, NULL);
        if (index == NULL) {
            give_up(self->recorder);
            return 0;
        }
    }
    unsigned long value = PyLong_AsUnsignedLong(index);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        value = 0;
    }
    Py_XDECREF(made);
    return (uint32_t)value;
}

static void end(Request *self, int crashed) {
    Recorder *recorder = self->recorder;
    if (recorder == NULL) return;
    uint64_t ended_ns = now_ns();
    uint64_t elapsed_ns = ended_ns > self->start_ns ? ended_ns - self->start_ns : 1;
    int status = status_of(self->status);
    int failed = crashed || status >= 500;
    int status_class = status / 100;
    if (crashed && status_class == 0) status_class = 5;
    int left = !crashed && status == 0;
    if (left) status_class = 4;
    if (self->endpoint == 0) {
        PyObject *other = PyUnicode_FromString("other");
        if (other != NULL) {
            self->endpoint = endpoint_of(self, other);
            Py_DECREF(other);
        } else {
            PyErr_Clear();
        }
    }
    self->recorder = NULL; /* from here on the request has ended, whatever Python code runs */
    volatile uint64_t *settling = u64_at(recorder, recorder->at.settling);
    *settling += 1;
    barrier();
    count(recorder, self->endpoint, status_class, failed, elapsed_ns);
    take_out(self, recorder);
    barrier();
    *settling += 1;
    Py_CLEAR(self->task);
    if (failed || left || is_set(self->error)) {
        PyObject *result = PyObject_CallFunction(recorder->failed, "Oii", (PyObject *)self, status, crashed);
        if (result == NULL) give_up(recorder);
        Py_XDECREF(result);
    }
    Py_DECREF(recorder);
}

/* --- Request */

static PyObject *request_name(PyObject *object, PyObject *route) {
    Request *self = (Request *)object;
    if (self->recorder != NULL) {
        uint32_t endpoint = endpoint_of(self, route);
        if (endpoint && self->recorder != NULL) {
            self->endpoint = endpoint;
            if (self->slot >= 0) set_slot_endpoint(self->recorder, self->slot, endpoint);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *request_finish(PyObject *object, PyObject *unused) {
    (void)unused;
    end((Request *)object, 0);
    Py_RETURN_NONE;
}

static PyObject *request_crash(PyObject *object, PyObject *unused) {
    (void)unused;
    end((Request *)object, 1);
    Py_RETURN_NONE;
}

static PyObject *request_in_flight(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((Request *)object)->recorder != NULL);
}

static PyObject *request_ledger_slot(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromSsize_t(((Request *)object)->slot);
}

static void request_dealloc(PyObject *object) {
    Request *self = (Request *)object;
    if (self->recorder != NULL) {
        /* Nobody has ended it: it stays in its slot, as a request in flight does when its worker dies. */
        if (self->slot >= 0) self->recorder->in_slot[self->slot] = NULL;
        Py_DECREF(self->recorder);
    }
    Py_XDECREF(self->method);
    Py_XDECREF(self->routes);
    Py_XDECREF(self->status);
    Py_XDECREF(self->error);
    Py_XDECREF(self->task);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
    {"name", request_name, METH_O, "The route template is known: from here on the request carries its endpoint."},
    {"finish", request_finish, METH_NOARGS, "The request is over. Later calls do nothing."},
    {"crash", request_crash, METH_NOARGS, "The request is over: an exception left the application. Later calls do nothing."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef request_members[] = {
    {"status", T_OBJECT, offsetof(Request, status), 0, "200, or WSGI's \"200 OK\"; unset as long as there is none"},
    {"error", T_OBJECT, offsetof(Request, error), 0, "name of the error that it failed with, once that is known"},
    {"task", T_OBJECT, offsetof(Request, task), 0, "the asyncio task that serves it"},
    {"method", T_OBJECT, offsetof(Request, method), READONLY, "GET"},
    {"endpoint", T_UINT, offsetof(Request, endpoint), READONLY, "index in the table of endpoints; 0: not known yet"},
    {"thread", T_ULONG, offsetof(Request, thread), READONLY, "identifier of the thread that began it"},
    {"start_ns", T_ULONGLONG, offsetof(Request, start_ns), READONLY, "begin by CLOCK_MONOTONIC"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef request_getset[] = {
    {"in_flight", request_in_flight, NULL, "whether it has not ended", NULL},
    {"slot", request_ledger_slot, NULL, "where it is in the file; -1: nowhere", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_members, request_members},
    {Py_tp_getset, request_getset},
    {Py_tp_doc, "One request, from Recorder.begin to finish or crash; none of its methods raises."},
    {0, NULL},
};

static PyType_Spec request_spec = {"_rollcall_native.Request", sizeof(Request), 0, Py_TPFLAGS_DEFAULT, request_slots};

/* --- Recorder */

static PyObject *recorder_begin(PyObject *object, PyObject *method) {
    Recorder *self = (Recorder *)object;
    PyObject *routes = PyDict_GetItem(self->methods, method); /* borrowed; a failure is as good as an unknown method */
    Request *request = PyObject_New(Request, request_type);
    if (request == NULL) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    Py_INCREF(self);
    request->recorder = self;
    request->routes = routes != NULL ? routes : self->unknown;
    Py_INCREF(request->routes);
    Py_INCREF(method);
    request->method = method;
    request->status = request->error = request->task = NULL;
    request->endpoint = 0;
    request->thread = PyThread_get_thread_ident();
    request->slot = self->free_count > 0 ? (Py_ssize_t)self->free_slots[--self->free_count] : -1;
    request->start_ns = now_ns();
    if (request->slot < 0) {
        *u64_at(self, self->at.untracked) += 1;
        return (PyObject *)request;
    }
    self->in_slot[request->slot] = request;
    *u64_at(self, slot_at(self, request->slot)) = request->start_ns / 1000;
    if (request->slot >= self->used) {
        self->used = request->slot + 1;
        *u32_at(self, self->at.slots_used) = (uint32_t)self->used;
    }
    return (PyObject *)request;
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

static struct rollcall_crash *crash_place; /* in the worker file; NULL while there is none of this process */

static void keep_crash(int signal, siginfo_t *info, void *context) {
    if (crash_place != NULL) rollcall_crash_fill(crash_place, signal, info, context);
}

static PyObject *recorder_watch_crashes(PyObject *object, PyObject *unused) {
    (void)unused;
    Recorder *self = (Recorder *)object;
    crash_place = (struct rollcall_crash *)(self->file + self->at.crash);
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
    at->per_octave = real(layout, "per_octave", &bad);
    at->offset = real(layout, "offset", &bad);
    if (!bad && (at->slot_count > MAX_SLOTS || at->slot_size != 32)) {
        PyErr_SetString(PyExc_ValueError, "a layout of other slots");
        bad = 1;
    }
    return bad ? -1 : 0;
}

static PyTypeObject *recorder_type;

static PyObject *new_recorder(PyObject *module, PyObject *args) {
    (void)module;
    int fd;
    PyObject *layout, *methods, *unknown, *intern, *failed, *disable;
    if (!PyArg_ParseTuple(args, "iOO!O!OOO", &fd, &layout, &PyDict_Type, &methods, &PyDict_Type, &unknown, &intern, &failed,
                          &disable))
        return NULL;
    Recorder *self = PyObject_New(Recorder, recorder_type);
    if (self == NULL) return NULL;
    self->file = NULL;
    self->scratch = 0;
    self->methods = methods;
    self->unknown = unknown;
    self->intern = intern;
    self->failed = failed;
    self->disable = disable;
    Py_INCREF(methods);
    Py_INCREF(unknown);
    Py_INCREF(intern);
    Py_INCREF(failed);
    Py_INCREF(disable);
    self->used = 0;
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
    {"open_requests", recorder_open_requests, METH_NOARGS, "The requests in flight that have a slot."},
    {"watch_crashes", recorder_watch_crashes, METH_NOARGS, "Leave behind in the file what a fatal signal says."},
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
     "recorder(fd, layout, methods, unknown, intern, failed, disable): a Recorder that maps the worker file `fd`."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rollcall_native", "See recorder.c.", -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__rollcall_native(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    request_type = (PyTypeObject *)PyType_FromSpec(&request_spec);
    recorder_type = (PyTypeObject *)PyType_FromSpec(&recorder_spec);
    if (request_type == NULL || recorder_type == NULL) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
