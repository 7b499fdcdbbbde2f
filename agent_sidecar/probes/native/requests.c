/* Requests: begin and end of each, counted straight into the worker file. Does what pure.py does, see recorder.c. */
#include "recorder.h"

#include <stdlib.h>

PyTypeObject *request_type;

/* --- counting */

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

static void leave_slot(Request *self, Recorder *recorder) {
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

/* Have Python count what the request failed with; its index in the table of errors, 0 when that is not known. */
static uint32_t tell_failure(Request *self, Recorder *recorder, int status, int crashed) {
    PyObject *result = PyObject_CallFunction(recorder->failed, "Oii", (PyObject *)self, status, crashed);
    unsigned long index = 0;
    if (result == NULL) {
        give_up(recorder);
        return 0;
    }
    if (PyLong_Check(result)) index = PyLong_AsUnsignedLong(result);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        index = 0;
    }
    Py_DECREF(result);
    return (uint32_t)index;
}

/* The CPU time of the request that ends now: unknown if it was not taken, or another thread ends it (whose time would that be?).
   The two clocks are read one after the other: a thread has not run for longer than it lived. */
static uint64_t cpu_since(Request *self, uint64_t elapsed_ns) {
    if (self->cpu_ns == CPU_UNKNOWN || PyThread_get_thread_ident() != self->thread) return CPU_UNKNOWN;
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - self->cpu_ns;
    return cpu_ns < elapsed_ns ? cpu_ns : elapsed_ns;
}

static void end(Request *self, int crashed) {
    Recorder *recorder = self->recorder;
    if (recorder == NULL) return;
    uint64_t ended_ns = now_ns();
    uint64_t elapsed_ns = ended_ns > self->start_ns ? ended_ns - self->start_ns : 1;
    uint64_t cpu_ns = cpu_since(self, elapsed_ns);
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
    leave_slot(self, recorder);
    Waited waited = settle_waits(self, recorder, ended_ns, elapsed_ns);
    barrier();
    *settling += 1;
    Py_CLEAR(self->task);
    uint32_t error = 0;
    if (failed || left || is_set(self->error)) error = tell_failure(self, recorder, status, crashed);
    write_point(self, recorder, ended_ns, elapsed_ns, cpu_ns, waited, error, status_class | (failed ? 8 : 0));
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

static PyObject *request_call(PyObject *object, void *unused) {
    (void)unused;
    PyObject *call = (PyObject *)((Request *)object)->open;
    if (call == NULL) Py_RETURN_NONE;
    Py_INCREF(call);
    return call;
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
    free(self->waited_ns);
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
    {"call", request_call, NULL, "the last begun of its calls that have not ended; None without one", NULL},
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

PyType_Spec request_spec = {"_rollcall_native.Request", sizeof(Request), 0, Py_TPFLAGS_DEFAULT, request_slots};

/* --- what Recorder has of this */

/* The CPU time of this thread, if it is to be taken of a request that begins now. */
static uint64_t cpu_time(Recorder *self, uint64_t start_ns) {
    if (start_ns - self->cpu_asked_ns < CPU_PAUSE_NS && ++self->cpu_left_out < CPU_ONE_IN) return CPU_UNKNOWN;
    self->cpu_asked_ns = start_ns;
    self->cpu_left_out = 0;
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static PyObject *begin(Recorder *self, PyObject *method, int owns_thread) {
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
    request->open = NULL;
    request->waited_ns = NULL;
    request->thread = PyThread_get_thread_ident();
    request->slot = self->free_count > 0 ? (Py_ssize_t)self->free_slots[--self->free_count] : -1;
    request->start_ns = now_ns();
    request->cpu_ns = owns_thread && !self->threads_shared ? cpu_time(self, request->start_ns) : CPU_UNKNOWN;
    if (request->slot < 0) {
        *u64_at(self, self->at.untracked) += 1;
    } else {
        self->in_slot[request->slot] = request;
        *u64_at(self, slot_at(self, request->slot)) = request->start_ns / 1000;
        if (request->slot >= self->used) {
            self->used = request->slot + 1;
            *u32_at(self, self->at.slots_used) = (uint32_t)self->used;
        }
    }
    PyObject *token = PyObject_CallFunctionObjArgs(self->set, (PyObject *)request, NULL);
    if (token == NULL) PyErr_Clear(); /* its calls are then counted as nobody's */
    Py_XDECREF(token);
    return (PyObject *)request;
}

PyObject *recorder_begin(PyObject *object, PyObject *method) { return begin((Recorder *)object, method, 1); }

PyObject *recorder_begin_task(PyObject *object, PyObject *method) { return begin((Recorder *)object, method, 0); }
