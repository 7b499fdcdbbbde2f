/* Calls that a library tells of itself, by an event when one begins and another when it ends: what PyMongo's listener does with
 * them, without a frame of Python while all goes well. Event and end belong together by the event's `request_id`. What is rare is left
 * to dependencies/mongodb.py, which does the same in Python where there is no native part.
 */
#include "recorder.h"

enum { MOST_OPEN = 1000, MOST_NAMES = 1024 };

typedef struct {
    PyObject_HEAD
    PyObject *state, *hook, *fallback; /* the recorder module's names; the listener in Python, for recorders in Python */
    PyObject *system, *left_out;       /* "mongodb ", and the command that is not counted */
    PyObject *fields;                  /* (request, command, database): attributes of an event */
    PyObject *names, *open;            /* database -> name of the dependency; id of a request -> its call */
} Events;

static PyTypeObject *events_type;

static PyObject *field(Events *self, PyObject *event, Py_ssize_t place) {
    return PyObject_GetAttr(event, PyTuple_GetItem(self->fields, place));
}

/* The dependency's name, borrowed; NULL with an error set. */
static PyObject *name_of(Events *self, PyObject *database) {
    PyObject *name = PyDict_GetItemWithError(self->names, database);
    if (name != NULL || PyErr_Occurred()) return name;
    name = PyUnicode_Concat(self->system, database);
    if (name == NULL) return NULL;
    if (PyDict_Size(self->names) >= MOST_NAMES) PyDict_Clear(self->names);
    int set = PyDict_SetItem(self->names, database, name);
    Py_DECREF(name);
    return set < 0 ? NULL : name;
}

static int begin_event(Events *self, Recorder *recorder, Request *request, PyObject *event) {
    PyObject *command = field(self, event, 1), *database = NULL, *id = NULL, *name = NULL;
    int result = -1;
    if (command == NULL) return -1;
    int left_out = PyObject_RichCompareBool(command, self->left_out, Py_EQ);
    Py_DECREF(command);
    if (left_out != 0) return left_out < 0 ? -1 : 0;
    database = field(self, event, 2);
    if (database != NULL) id = field(self, event, 0);
    if (id != NULL) name = name_of(self, database);
    if (name != NULL) {
        Py_INCREF(name);
        Call *call = new_call(recorder, name, request);
        Py_DECREF(name);
        if (PyDict_Size(self->open) >= MOST_OPEN) PyDict_Clear(self->open); /* of some no end was told */
        result = call == NULL ? 0 : PyDict_SetItem(self->open, id, (PyObject *)call);
        Py_XDECREF((PyObject *)call);
    }
    Py_XDECREF(database);
    Py_XDECREF(id);
    return result;
}

static PyObject *events_started(PyObject *object, PyObject *event) {
    Events *self = (Events *)object;
    PyObject *current = PyDict_GetItemString(self->state, "current");
    if (current == NULL || current == Py_None) Py_RETURN_NONE;
    if (Py_TYPE(current) != recorder_type) return PyObject_CallMethod(self->fallback, "started", "O", event);
    Recorder *recorder = (Recorder *)current;
    Request *request = NULL;
    if (!is_on(self->hook) || !call_may_begin(recorder, &request)) Py_RETURN_NONE;
    Py_INCREF(recorder);
    int begun = begin_event(self, recorder, request, event);
    Py_DECREF(recorder);
    Py_XDECREF((PyObject *)request);
    if (begun < 0 && give_up_hook(self->hook) < 0) return NULL;
    Py_RETURN_NONE;
}

/* The call that the event ends, a new reference; NULL where there is none. */
static PyObject *taken(Events *self, PyObject *event) {
    PyObject *id = field(self, event, 0), *call = NULL;
    if (id != NULL) call = PyDict_GetItemWithError(self->open, id);
    Py_XINCREF(call);
    if (call != NULL && PyDict_DelItem(self->open, id) < 0) PyErr_Clear();
    Py_XDECREF(id);
    PyErr_Clear();
    return call;
}

static PyObject *events_succeeded(PyObject *object, PyObject *event) {
    Events *self = (Events *)object;
    PyObject *call = taken(self, event);
    if (call == NULL) return PyObject_CallMethod(self->fallback, "succeeded", "O", event);
    end_call((Call *)call, 1, -1);
    Py_DECREF(call);
    Py_RETURN_NONE;
}

static PyObject *events_taken(PyObject *object, PyObject *event) {
    Events *self = (Events *)object;
    PyObject *call = taken(self, event);
    return call != NULL ? call : PyObject_CallMethod(self->fallback, "taken", "O", event);
}

static void events_dealloc(PyObject *object) {
    Events *self = (Events *)object;
    PyObject *parts[] = {self->state,    self->hook,   self->fallback, self->system,
                         self->left_out, self->fields, self->names,    self->open};
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) Py_XDECREF(parts[i]);
    Py_DECREF(type);
}

static PyMethodDef events_methods[] = {
    {"started", events_started, METH_O, "A call has begun."},
    {"succeeded", events_succeeded, METH_O, "One went well."},
    {"taken", events_taken, METH_O, "The record of the call that this event ends, or None."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot events_slots[] = {
    {Py_tp_dealloc, events_dealloc},
    {Py_tp_methods, events_methods},
    {0, NULL},
};

static PyType_Spec events_spec = {"_rollcall_native.Events", sizeof(Events), 0, Py_TPFLAGS_DEFAULT, events_slots};

int make_events_type(void) {
    events_type = (PyTypeObject *)PyType_FromSpec(&events_spec);
    return events_type == NULL ? -1 : 0;
}

PyObject *module_events(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *state, *hook, *fallback, *system, *left_out, *fields;
    if (!PyArg_ParseTuple(args, "O!OOUUO!", &PyDict_Type, &state, &hook, &fallback, &system, &left_out, &PyTuple_Type, &fields))
        return NULL;
    Events *self = PyObject_New(Events, events_type);
    if (self == NULL) return NULL;
    self->state = kept(state);
    self->hook = kept(hook);
    self->fallback = kept(fallback);
    self->system = kept(system);
    self->left_out = kept(left_out);
    self->fields = kept(fields);
    self->names = PyDict_New();
    self->open = PyDict_New();
    if (self->names == NULL || self->open == NULL || PyTuple_Size(fields) != 3) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "three fields");
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}
