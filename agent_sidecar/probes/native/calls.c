/* Calls of dependencies: counted when they end, waited for by their request, shown in its slot while they last.
 *
 * Which request a call belongs to, and whether it is made within another call, says a context variable: it holds the request, or
 * the call, that we are in. One that has ended counts as not there, so nothing need be put back. See pure_calls.py.
 */
#include "recorder.h"

#include <stdlib.h>

PyTypeObject *call_type;

/* --- counting */

static Py_ssize_t row_of(Recorder *self, uint32_t dependency) {
    if ((Py_ssize_t)dependency >= self->at.dependency_count) dependency = 0;
    return self->at.dependencies + (Py_ssize_t)dependency * self->at.dependency_size;
}

/* `reason`: an index of facts.REASONS, -1 when it went well. */
static void count_call(Recorder *self, uint32_t dependency, uint64_t elapsed_ns, long reason) {
    volatile uint64_t *row = u64_at(self, row_of(self, dependency));
    row[0] += 1;
    if (reason >= 0 && reason < 5) row[1 + reason] += 1;
    row[6] += elapsed_ns / 1000;
    volatile uint64_t *written = u64_at(self, self->at.calls_written);
    uint64_t place = *written & (uint64_t)(self->at.calls_size - 1);
    u32_at(self, self->at.calls)[place] = dependency << 16 | (uint32_t)bucket_of(self, elapsed_ns);
    *written += 1;
}

static void show(Request *request, Recorder *recorder) {
    if (request->slot < 0) return;
    Call *call = request->open;
    uint64_t step = call == NULL || call->step == 0 ? 0 : (call->start_ns / 1000) << recorder->at.step_bits | call->step;
    *u64_at(recorder, slot_at(recorder, request->slot) + 24) = step;
}

static void wait_for(Request *request, Recorder *recorder, uint32_t dependency, uint64_t elapsed_ns) {
    if (request->waited_ns == NULL) request->waited_ns = calloc((size_t)recorder->at.dependency_count, sizeof(uint64_t));
    if (request->waited_ns != NULL) request->waited_ns[dependency] += elapsed_ns;
}

static void take_out(Call *self) {
    Request *request = self->request;
    if (request == NULL) return;
    if (self->later != NULL) self->later->earlier = self->earlier;
    else if (request->open == self) request->open = self->earlier;
    if (self->earlier != NULL) self->earlier->later = self->later;
    self->later = self->earlier = NULL;
}

void end_call(Call *self, int counted, long reason) {
    Recorder *recorder = self->recorder;
    if (recorder == NULL) return;
    uint64_t ended_ns = now_ns();
    uint64_t elapsed_ns = ended_ns > self->start_ns ? ended_ns - self->start_ns : 1;
    self->recorder = NULL;
    if (counted) count_call(recorder, self->dependency, elapsed_ns, reason);
    Request *request = self->request;
    take_out(self);
    if (request != NULL && request->recorder == recorder) {
        wait_for(request, recorder, self->dependency, elapsed_ns);
        show(request, recorder);
    }
    Py_DECREF(recorder);
}

/* The request ends: its calls that go on are waited for up to here. No more is waited for than it took, divided in proportion. */
Waited settle_waits(Request *request, Recorder *recorder, uint64_t ended_ns, uint64_t elapsed_ns) {
    Waited result = {0, 0};
    for (Call *call = request->open, *next; call != NULL; call = next) {
        next = call->earlier;
        call->later = call->earlier = NULL;
        if (ended_ns > call->start_ns) wait_for(request, recorder, call->dependency, ended_ns - call->start_ns);
    }
    request->open = NULL;
    if (request->waited_ns == NULL) return result;
    double sum = 0;
    for (Py_ssize_t i = 0; i < recorder->at.dependency_count; i++) sum += (double)request->waited_ns[i];
    double share = sum > (double)elapsed_ns ? (double)elapsed_ns / sum : 1;
    uint64_t longest = 0;
    for (Py_ssize_t i = 0; i < recorder->at.dependency_count; i++) {
        uint64_t us = (uint64_t)((double)request->waited_ns[i] * share / 1000);
        if (request->waited_ns[i] == 0) continue;
        u64_at(recorder, row_of(recorder, (uint32_t)i))[7] += us;
        result.us += us;
        if (request->waited_ns[i] > longest) {
            longest = request->waited_ns[i];
            result.dependency = (uint32_t)i;
        }
    }
    free(request->waited_ns);
    request->waited_ns = NULL;
    return result;
}

static uint32_t in_u32(uint64_t value) { return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX; }

void write_point(Request *request, Recorder *recorder, uint64_t ended_ns, uint64_t elapsed_ns, uint64_t cpu_ns, Waited waited,
                 uint32_t error, int outcome) {
    volatile uint64_t *written = u64_at(recorder, recorder->at.points_written);
    Py_ssize_t place = (Py_ssize_t)(*written & (uint64_t)(recorder->at.points_size - 1));
    Py_ssize_t at = recorder->at.points + place * recorder->at.point_size;
    *u64_at(recorder, at) = ended_ns / 1000;
    volatile uint32_t *fields = u32_at(recorder, at + 8);
    fields[0] = in_u32(elapsed_ns / 1000);
    fields[1] = in_u32(waited.us);
    fields[2] = cpu_ns == CPU_UNKNOWN ? UINT32_MAX : in_u32(cpu_ns / 1000);
    fields[3] = (request->endpoint & 0xffff) | waited.dependency << 16;
    fields[4] = (error & 0xffff) | (uint32_t)outcome << 16;
    fields[5] = 0;
    *written += 1;
}

/* --- Call */

/* The index of a dependency and, below it, that of its step; 0 with no error set where it has none. */
static uint32_t interned(Recorder *self, PyObject *name) {
    PyObject *index = PyDict_GetItemWithError(self->calls, name);
    PyObject *made = NULL;
    if (index == NULL) {
        if (!PyErr_Occurred()) made = index = PyObject_CallFunctionObjArgs(self->intern_call, name, NULL);
        if (index == NULL) {
            give_up(self);
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

/* A new call in `request` (or NULL); NULL with no error set when that cannot be recorded. */
Call *new_call(Recorder *self, PyObject *name, Request *request) {
    uint32_t index = interned(self, name);
    Call *call = PyObject_New(Call, call_type);
    if (call == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_INCREF(self);
    call->recorder = self;
    Py_INCREF(name);
    call->name = name;
    call->later = call->earlier = NULL;
    call->request = NULL;
    call->dependency = index >> self->at.step_bits;
    if ((Py_ssize_t)call->dependency >= self->at.dependency_count) call->dependency = 0;
    call->step = index & ((1u << self->at.step_bits) - 1);
    call->thread = PyThread_get_thread_ident();
    call->start_ns = now_ns();
    if (request != NULL && request->recorder == self) {
        Py_INCREF(request);
        call->request = request;
        call->earlier = request->open;
        if (request->open != NULL) request->open->later = call;
        request->open = call;
        show(request, self);
    }
    return call;
}

/* Whether a call can begin here, which is in `*request` (a new reference, or NULL); not within another call. */
int call_may_begin(Recorder *self, Request **request) {
    PyObject *where = PyObject_CallObject(self->get, NULL);
    if (where == NULL) {
        PyErr_Clear();
        return 0;
    }
    if (Py_TYPE(where) == request_type) {
        *request = (Request *)where;
        return 1;
    }
    int within = 0;
    if (Py_TYPE(where) == call_type) {
        Call *outer = (Call *)where;
        within = outer->recorder == self;
        if (!within && outer->request != NULL) *request = (Request *)kept((PyObject *)outer->request);
    }
    Py_DECREF(where);
    return !within;
}

/* Begin a call: those that are made before it ends belong to it. NULL with no error set when that cannot be recorded. */
Call *enter_call(Recorder *self, PyObject *name, Request *request) {
    Call *call = new_call(self, name, request);
    if (call == NULL) return NULL;
    PyObject *token = PyObject_CallFunctionObjArgs(self->set, (PyObject *)call, NULL);
    if (token == NULL) PyErr_Clear();
    Py_XDECREF(token);
    return call;
}

static PyObject *begin(Recorder *self, PyObject *name, Call *(*make)(Recorder *, PyObject *, Request *)) {
    Request *request = NULL;
    if (!call_may_begin(self, &request)) Py_RETURN_NONE;
    Call *call = make(self, name, request);
    Py_XDECREF((PyObject *)request);
    if (call == NULL) Py_RETURN_NONE;
    return (PyObject *)call;
}

PyObject *recorder_begin_call(PyObject *object, PyObject *name) { return begin((Recorder *)object, name, enter_call); }

PyObject *recorder_begin_event(PyObject *object, PyObject *name) { return begin((Recorder *)object, name, new_call); }

static long reason_of(PyObject *reason) {
    if (reason == Py_None) return -1;
    long value = PyLong_AsLong(reason);
    if (value == -1 && PyErr_Occurred()) PyErr_Clear();
    return value;
}

PyObject *recorder_count_call(PyObject *object, PyObject *args) {
    Recorder *self = (Recorder *)object;
    PyObject *name, *reason;
    unsigned long long elapsed_ns;
    if (!PyArg_ParseTuple(args, "OKO", &name, &elapsed_ns, &reason)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    uint32_t index = interned(self, name);
    count_call(self, index >> self->at.step_bits, elapsed_ns ? elapsed_ns : 1, reason_of(reason));
    Py_RETURN_NONE;
}

static PyObject *call_end(PyObject *object, PyObject *reason) {
    end_call((Call *)object, 1, reason_of(reason));
    Py_RETURN_NONE;
}

static PyObject *call_drop(PyObject *object, PyObject *unused) {
    (void)unused;
    end_call((Call *)object, 0, -1);
    Py_RETURN_NONE;
}

static PyObject *call_in_flight(PyObject *object, void *unused) {
    (void)unused;
    return PyBool_FromLong(((Call *)object)->recorder != NULL);
}

static void call_dealloc(PyObject *object) {
    Call *self = (Call *)object;
    take_out(self); /* nobody has ended it: it is not counted */
    if (self->recorder != NULL) {
        if (self->request != NULL && self->request->recorder == self->recorder) show(self->request, self->recorder);
        Py_DECREF(self->recorder);
    }
    Py_XDECREF(self->request);
    Py_DECREF(self->name);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef call_methods[] = {
    {"end", call_end, METH_O, "The call is over: None, or the reason for which it failed. Later calls do nothing."},
    {"drop", call_drop, METH_NOARGS, "It was waited for, but is no call to be counted. Later calls do nothing."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef call_members[] = {
    {"name", T_OBJECT, offsetof(Call, name), READONLY, "postgresql orders"},
    {"thread", T_ULONG, offsetof(Call, thread), READONLY, "identifier of the thread that began it"},
    {"start_ns", T_ULONGLONG, offsetof(Call, start_ns), READONLY, "begin by CLOCK_MONOTONIC"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef call_getset[] = {
    {"in_flight", call_in_flight, NULL, "whether it has not ended", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_methods, call_methods},
    {Py_tp_members, call_members},
    {Py_tp_getset, call_getset},
    {Py_tp_doc, "One call of a dependency, from Recorder.begin_call to end or drop; none of its methods raises."},
    {0, NULL},
};

PyType_Spec call_spec = {"_rollcall_native.Call", sizeof(Call), 0, Py_TPFLAGS_DEFAULT, call_slots};
