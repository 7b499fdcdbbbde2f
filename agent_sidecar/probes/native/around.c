/* What is put around a library's function that makes calls of a dependency: begins the call, runs the function, ends the call,
 * without a frame of Python while all goes well. What is rare (a failure, a name that is not kept yet, a recorder in Python) is left to
 * dependencies/hook.py, which makes these objects and does the same in Python where there is no native part.
 *
 * An Around takes the place of a function in its class, and looks like it: attributes are the function's own.
 */
#include "recorder.h"

enum { NOT_COUNTED = 0, BEGUN = 1, RAISED = -1 };
enum { FIRST_FAILURE = 429 }; /* of HTTP's statuses */
enum { SCHEME = 8 };          /* no authority of an URL goes beyond the first slash from here on: https:// */
/* Called with the object as its first argument instead of bound to it; a flag of all versions that the stable ABI leaves out. */
#define METHOD_DESCRIPTOR (1UL << 17)

typedef struct {
    PyObject_HEAD
    PyObject *original, *fallback;   /* the library's function, and what is around it where the recorder is in Python */
    PyObject *state;                 /* the recorder module's names: `current` is there */
    PyObject *hook, *name_of;
    PyObject *path;                  /* names of attributes that lead from the object to the dependency's kept name, or None */
    PyObject *asked;                 /* where an argument says which dependency it is, or None; see asked_name */
    PyObject *settle;                /* None: what is returned ends the call well */
    PyObject *status;                /* name of the result's attribute with an HTTP status, or None */
    int dropped;                     /* it is waited for, and no call to be counted */
    PyObject *weak;
} Around;

static PyTypeObject *around_type;
static PyObject *current_name, *on_name, *method_type;

/* --- begin */

/* What these attributes lead to, one of the other; a new reference, NULL with no error set where there is none. */
static PyObject *followed(PyObject *owner, PyObject *attributes) {
    Py_INCREF(owner);
    for (Py_ssize_t i = 0; i < PyTuple_Size(attributes); i++) {
        PyObject *next = PyObject_GetAttr(owner, PyTuple_GetItem(attributes, i));
        Py_DECREF(owner);
        if (next == NULL) {
            PyErr_Clear();
            return NULL;
        }
        owner = next;
    }
    return owner;
}

/* The name that is kept where `path` leads from `owner`; NULL with no error set where there is none. */
static PyObject *kept_name(Around *self, PyObject *owner) {
    return self->path == Py_None || owner == NULL ? NULL : followed(owner, self->path);
}

/* By what the name was remembered: the first `items` of a tuple, or an URL's text up to where its path begins. */
static PyObject *key_of(PyObject *value, Py_ssize_t items) {
    if (PyTuple_Check(value)) return items ? PyTuple_GetSlice(value, 0, items) : NULL;
    if (items || !PyUnicode_CheckExact(value)) return NULL;
    Py_ssize_t end = PyUnicode_FindChar(value, '/', SCHEME, PyUnicode_GetLength(value), 1);
    return end > 0 ? PyUnicode_Substring(value, 0, end) : NULL;
}

/* The name that is remembered for what an argument says. `asked` is (its place, attributes that lead to it, items of the key, the
   dictionary of names, an attribute of the owner that has to be None). NULL with no error set where there is none. */
static PyObject *asked_name(Around *self, PyObject *owner, PyObject *args, Py_ssize_t first) {
    Py_ssize_t place, items;
    PyObject *attributes, *names, *alone, *name = NULL;
    if (self->asked == Py_None) return NULL;
    if (PyArg_ParseTuple(self->asked, "nOnOO", &place, &attributes, &items, &names, &alone) && first + place < PyTuple_Size(args)) {
        PyObject *other = alone == Py_None ? kept(alone) : PyObject_GetAttr(owner, alone);
        PyObject *value = other == Py_None ? followed(PyTuple_GetItem(args, first + place), attributes) : NULL;
        PyObject *key = value == NULL ? NULL : key_of(value, items);
        if (key != NULL) name = PyDict_GetItemWithError(names, key);
        Py_XINCREF(name);
        Py_XDECREF(key);
        Py_XDECREF(value);
        Py_XDECREF(other);
    }
    PyErr_Clear();
    return name;
}

/* The exception that is set, which is so no more; NULL where it was none. */
static PyObject *taken_error(void) {
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    if (kind == NULL) return NULL;
    PyErr_NormalizeException(&kind, &error, &trace);
    if (error != NULL && trace != NULL) PyException_SetTraceback(error, trace);
    Py_XDECREF(kind);
    Py_XDECREF(trace);
    return error;
}

/* Have hook.py say that this hook is off, and why. -1: what was raised is none of ours (KeyboardInterrupt). */
int give_up_hook(PyObject *hook) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return -1;
    PyObject *error = taken_error();
    PyObject *result = PyObject_CallMethod(hook, "fail", "O", error);
    if (result == NULL) PyErr_Clear();
    Py_XDECREF(result);
    Py_XDECREF(error);
    return 0;
}

int is_on(PyObject *hook) {
    PyObject *on = PyObject_GetAttr(hook, on_name);
    int result = on != NULL && PyObject_IsTrue(on) == 1;
    PyErr_Clear();
    Py_XDECREF(on);
    return result;
}

/* The recorder, if it is a native one; borrowed. `*current`: whatever there is, or None. */
static Recorder *native_recorder(Around *self, PyObject **current) {
    *current = PyDict_GetItem(self->state, current_name);
    if (*current == NULL) *current = Py_None;
    return Py_TYPE(*current) == recorder_type ? (Recorder *)*current : NULL;
}

/* What hook.py finds as the name of `owner`'s dependency; `args` are the function's from place `first` on. */
static PyObject *found_name(Around *self, PyObject *owner, PyObject *args, Py_ssize_t first, PyObject *kwargs) {
    PyObject *rest = PyTuple_GetSlice(args, first, PyTuple_Size(args));
    PyObject *options = kwargs != NULL ? kwargs : PyDict_New();
    if (kwargs != NULL) Py_INCREF(kwargs);
    PyObject *name = NULL;
    if (rest != NULL && options != NULL) name = PyObject_CallFunctionObjArgs(self->name_of, owner, rest, options, NULL);
    Py_XDECREF(rest);
    Py_XDECREF(options);
    return name;
}

/* Begin a call of `owner`'s dependency, in `*call`. */
static int begin_around(Around *self, Recorder *recorder, PyObject *owner, PyObject *args, Py_ssize_t first, PyObject *kwargs,
                        Call **call) {
    Request *request = NULL;
    if (!call_may_begin(recorder, &request)) return NOT_COUNTED;
    int result = NOT_COUNTED;
    PyObject *name = NULL;
    Py_INCREF(recorder); /* the name may be found by code that changes which one is current */
    if (is_on(self->hook)) {
        name = kept_name(self, owner);
        if (name == NULL) name = asked_name(self, owner, args, first);
        if (name == NULL) name = found_name(self, owner, args, first, kwargs);
        if (name == NULL && give_up_hook(self->hook) < 0) result = RAISED;
    }
    if (name != NULL && name != Py_None) {
        *call = enter_call(recorder, name, request);
        if (*call != NULL) result = BEGUN;
    }
    Py_XDECREF(name);
    Py_XDECREF((PyObject *)request);
    Py_DECREF(recorder);
    return result;
}

/* --- end */

/* 1 when the status of what was returned says that the call went well. */
static int went_well(Around *self, PyObject *result) {
    if (self->status == Py_None) return 0;
    PyObject *status = PyObject_GetAttr(result, self->status);
    long value = status != NULL && PyLong_Check(status) ? PyLong_AsLong(status) : FIRST_FAILURE;
    PyErr_Clear();
    Py_XDECREF(status);
    return value >= 0 && value < FIRST_FAILURE;
}

/* The function has returned. -1: something was raised that is none of ours. */
static int settle_around(Around *self, PyObject *call, PyObject *result) {
    if (self->settle == Py_None || went_well(self, result)) {
        end_call((Call *)call, 1, -1);
        return 0;
    }
    if (self->dropped) {
        end_call((Call *)call, 0, -1);
        return 0;
    }
    PyObject *done = PyObject_CallMethod(self->hook, "settle", "OOO", call, self->settle, result);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The function has raised: have hook.py end the call; the exception stays set, or another one is. */
static void fail_around(Around *self, PyObject *call) {
    PyObject *error = taken_error();
    if (error == NULL) return;
    PyObject *done = PyObject_CallMethod(self->hook, "failed", "OO", call, error);
    if (done != NULL) {
        PyObject *trace = PyException_GetTraceback(error);
        PyObject *kind = (PyObject *)Py_TYPE(error);
        Py_INCREF(kind);
        PyErr_Restore(kind, error, trace);
        Py_DECREF(done);
        return;
    }
    Py_DECREF(error);
}

/* --- Around */

static PyObject *around_call(PyObject *object, PyObject *args, PyObject *kwargs) {
    Around *self = (Around *)object;
    PyObject *current;
    Recorder *recorder = native_recorder(self, &current);
    if (recorder == NULL) return PyObject_Call(current == Py_None ? self->original : self->fallback, args, kwargs);
    Call *call = NULL;
    int begun = NOT_COUNTED;
    if (PyTuple_Size(args) > 0) begun = begin_around(self, recorder, PyTuple_GetItem(args, 0), args, 1, kwargs, &call);
    if (begun == RAISED) return NULL;
    PyObject *result = PyObject_Call(self->original, args, kwargs);
    if (begun == NOT_COUNTED) return result;
    if (result == NULL) {
        fail_around(self, (PyObject *)call);
    } else if (settle_around(self, (PyObject *)call, result) < 0) {
        Py_CLEAR(result);
    }
    Py_DECREF(call);
    return result;
}

/* As a function does, it becomes a method of the object that it is asked of. */
static PyObject *around_get(PyObject *object, PyObject *owner, PyObject *type) {
    (void)type;
    if (owner != NULL) return PyObject_CallFunctionObjArgs(method_type, object, owner, NULL);
    Py_INCREF(object);
    return object;
}

static PyObject *around_reduce(PyObject *object, PyObject *protocol) {
    (void)protocol;
    return PyObject_GetAttrString(((Around *)object)->original, "__qualname__");
}

static PyObject *around_getattro(PyObject *object, PyObject *name) {
    PyObject *original = ((Around *)object)->original;
    if (PyUnicode_CompareWithASCIIString(name, "__wrapped__") == 0) {
        Py_INCREF(original);
        return original;
    }
    if (PyUnicode_CompareWithASCIIString(name, "__reduce_ex__") == 0) return PyObject_GenericGetAttr(object, name);
    return PyObject_GetAttr(original, name);
}

static int around_setattro(PyObject *object, PyObject *name, PyObject *value) {
    return PyObject_SetAttr(((Around *)object)->original, name, value);
}

static PyObject *around_repr(PyObject *object) { return PyObject_Repr(((Around *)object)->original); }

static void around_dealloc(PyObject *object) {
    Around *self = (Around *)object;
    if (self->weak != NULL) PyObject_ClearWeakRefs(object);
    PyObject *parts[] = {self->original, self->fallback, self->state,  self->hook,  self->name_of,
                         self->path,     self->asked,    self->settle, self->status};
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) Py_DECREF(parts[i]);
    Py_DECREF(type);
}

static PyMethodDef around_methods[] = {
    {"__reduce_ex__", around_reduce, METH_O, "Pickled and copied as functions are: by name."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef around_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Around, weak), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot around_slots[] = {
    {Py_tp_dealloc, around_dealloc},
    {Py_tp_call, around_call},
    {Py_tp_descr_get, around_get},
    {Py_tp_getattro, around_getattro},
    {Py_tp_setattro, around_setattro},
    {Py_tp_repr, around_repr},
    {Py_tp_methods, around_methods},
    {Py_tp_members, around_members},
    {0, NULL},
};

static PyType_Spec around_spec = {
    "_rollcall_native.Around", sizeof(Around), 0, Py_TPFLAGS_DEFAULT | METHOD_DESCRIPTOR, around_slots,
};

/* --- what the module has of this */

int make_around_type(void) {
    current_name = PyUnicode_InternFromString("current");
    on_name = PyUnicode_InternFromString("on");
    PyObject *types = PyImport_ImportModule("types");
    if (types != NULL) method_type = PyObject_GetAttrString(types, "MethodType");
    Py_XDECREF(types);
    around_type = (PyTypeObject *)PyType_FromSpec(&around_spec);
    return current_name == NULL || on_name == NULL || method_type == NULL || around_type == NULL ? -1 : 0;
}

PyObject *module_around(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *original, *fallback, *state, *hook, *name_of, *path, *asked, *settle, *status;
    int dropped;
    if (!PyArg_ParseTuple(args, "OOO!OOOOOOp", &original, &fallback, &PyDict_Type, &state, &hook, &name_of, &path, &asked,
                          &settle, &status, &dropped))
        return NULL;
    if ((path != Py_None && !PyTuple_Check(path)) || (asked != Py_None && !PyTuple_Check(asked))) {
        PyErr_SetString(PyExc_TypeError, "a path is a tuple");
        return NULL;
    }
    Around *self = PyObject_New(Around, around_type);
    if (self == NULL) return NULL;
    self->original = kept(original);
    self->fallback = kept(fallback);
    self->state = kept(state);
    self->hook = kept(hook);
    self->name_of = kept(name_of);
    self->path = kept(path);
    self->asked = kept(asked);
    self->settle = kept(settle);
    self->status = kept(status);
    self->dropped = dropped;
    self->weak = NULL;
    return (PyObject *)self;
}

/* begin(around, owner, args, kwargs): of a function that is awaited, which Python has to do. */
PyObject *module_begin(PyObject *module, PyObject *parts) {
    (void)module;
    PyObject *around, *owner, *args, *kwargs, *current;
    if (!PyArg_ParseTuple(parts, "O!OO!O!", around_type, &around, &owner, &PyTuple_Type, &args, &PyDict_Type, &kwargs)) return NULL;
    Around *self = (Around *)around;
    Recorder *recorder = native_recorder(self, &current);
    if (recorder == NULL) return PyObject_CallMethod(self->hook, "begin", "OOOO", self->name_of, owner, args, kwargs);
    Call *call = NULL;
    int begun = begin_around(self, recorder, owner, args, 0, kwargs, &call);
    if (begun == BEGUN) return (PyObject *)call;
    if (begun == RAISED) return NULL;
    Py_RETURN_NONE;
}

/* settled(around, record, result): what was awaited has come. */
PyObject *module_settled(PyObject *module, PyObject *parts) {
    (void)module;
    PyObject *around, *record, *result;
    if (!PyArg_ParseTuple(parts, "O!OO", around_type, &around, &record, &result)) return NULL;
    Around *self = (Around *)around;
    if (Py_TYPE(record) != call_type) return PyObject_CallMethod(self->hook, "settle", "OOO", record, self->settle, result);
    if (settle_around(self, record, result) < 0) return NULL;
    Py_RETURN_NONE;
}
