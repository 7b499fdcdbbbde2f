/* Reads OTLP's ExportTraceServiceRequest: what agent_sidecar/rollcall_agent/sources/otlp_protobuf.py does, in C.
 *
 * An application that traces itself may send 5,000 spans a second, of each of which a dozen fields matter. Only spans of kind
 * SERVER, CLIENT, PRODUCER and CONSUMER become objects, with the attributes that `wanted` names; all else is stepped over. The
 * bytes come from the pod's own network: every length is checked against what is left, nothing recurses more than one level, and
 * nothing is kept. Stable ABI of Python 3.11.
 *
 * Source: opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto; Protocol Buffers, "Encoding".
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define MOST_TEXT 256
#define MOST_WANTED 64
#define MOST_EXCEPTIONS 4
#define MOST_SEEN 512
#define MOST_SEEN_BYTES 1024
#define MOST_SPANS 512 /* that are given at once: an export of 4 MiB would be 40 MiB of objects */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { KIND_SERVER = 2, KIND_CONSUMER = 5, STATUS_ERROR = 2 };

typedef struct {
    const uint8_t *at, *end;
} Part;

typedef struct {
    uint64_t number;
    int wire;
    uint64_t value;
    Part body;
} Field;

typedef struct {
    Py_ssize_t count;
    const char *text[MOST_WANTED];
    Py_ssize_t size[MOST_WANTED];
    PyObject *key[MOST_WANTED];
    PyObject *seen; /* attributes by the bytes that they came in: most spans of an export are alike */
} Wanted;

static int malformed(const char *what) {
    PyErr_SetString(PyExc_ValueError, what);
    return -1;
}

static int read_varint(Part *part, uint64_t *value) {
    uint64_t found = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (part->at >= part->end) return malformed("a number is cut off");
        uint8_t byte = *part->at++;
        found |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = found;
            return 0;
        }
    }
    return malformed("a number has more than ten bytes");
}

/* The next field of a message: 1, or 0 at its end, or -1 with an exception. */
static int next_field(Part *part, Field *field) {
    uint64_t tag, size;
    if (part->at == part->end) return 0;
    if (read_varint(part, &tag) < 0) return -1;
    field->number = tag >> 3;
    field->wire = (int)(tag & 7);
    field->value = 0;
    field->body.at = field->body.end = part->end;
    if (field->number == 0 || field->number > 0x1FFFFFFF) return malformed("no such field number");
    switch (field->wire) {
    case VARINT:
        return read_varint(part, &field->value) < 0 ? -1 : 1;
    case FIXED64:
    case FIXED32:
        size = field->wire == FIXED64 ? 8 : 4;
        break;
    case BYTES:
        if (read_varint(part, &size) < 0) return -1;
        break;
    default:
        return malformed("no such type of a field");
    }
    if (size > (uint64_t)(part->end - part->at)) return malformed("a field is cut off");
    field->body.at = part->at;
    part->at += size;
    field->body.end = part->at;
    if (field->wire != BYTES)
        for (int i = (int)size; i-- > 0;) field->value = field->value << 8 | field->body.at[i];
    return 1;
}

static PyObject *text_of(Part part) {
    Py_ssize_t size = part.end - part.at;
    return PyUnicode_DecodeUTF8((const char *)part.at, size < MOST_TEXT ? size : MOST_TEXT, "replace");
}

static PyObject *bytes_of(Part part) {
    return PyBytes_FromStringAndSize((const char *)part.at, part.end - part.at);
}

/* An AnyValue as text, bool, int or float; of an array its first element; None where it is something else. */
static PyObject *value_of(Part part, int in_array) {
    Field field;
    Part last = {NULL, NULL};
    double number;
    int found, kind = 0;
    uint64_t value = 0;
    while ((found = next_field(&part, &field)) > 0) {
        int fits = (field.number == 1 && field.wire == BYTES) || (field.number == 2 && field.wire == VARINT)
                || (field.number == 3 && field.wire == VARINT) || (field.number == 4 && field.wire == FIXED64)
                || (field.number == 5 && field.wire == BYTES);
        if (fits) kind = (int)field.number, value = field.value, last = field.body;
    }
    if (found < 0) return NULL;
    switch (kind) {
    case 1:
        return text_of(last);
    case 2:
        return PyBool_FromLong(value != 0);
    case 3:
        return PyLong_FromLongLong((long long)value);
    case 4:
        memcpy(&number, &value, sizeof number);
        return PyFloat_FromDouble(number);
    case 5:
        while (!in_array && (found = next_field(&last, &field)) > 0)
            if (field.number == 1 && field.wire == BYTES) return value_of(field.body, 1);
        if (found < 0) return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *wanted_key(const Wanted *wanted, Part key) {
    Py_ssize_t size = key.end - key.at;
    for (Py_ssize_t i = 0; i < wanted->count; i++)
        if (wanted->size[i] == size && memcmp(wanted->text[i], key.at, (size_t)size) == 0) return wanted->key[i];
    return NULL;
}

typedef struct {
    PyObject *name;
    Part value;
} Pair;

/* Read a KeyValue: 1 if its key is wanted, 0 if not, -1 with an exception. */
static int read_pair(Part part, const Wanted *wanted, Pair *pair) {
    Field field;
    Part key = {NULL, NULL};
    int found;
    pair->value = key;
    while ((found = next_field(&part, &field)) > 0) {
        if (field.wire != BYTES) continue;
        if (field.number == 1) key = field.body;
        if (field.number == 2) pair->value = field.body;
    }
    if (found < 0) return -1;
    pair->name = key.at != NULL && pair->value.at != NULL ? wanted_key(wanted, key) : NULL;
    return pair->name != NULL;
}

static PyObject *dict_of(const Pair *pairs, Py_ssize_t count) {
    PyObject *into = PyDict_New();
    for (Py_ssize_t i = 0; into != NULL && i < count; i++) {
        PyObject *object = value_of(pairs[i].value, 0);
        if (object == NULL || (object != Py_None && PyDict_SetItem(into, pairs[i].name, object) < 0)) Py_CLEAR(into);
        Py_XDECREF(object);
    }
    return into;
}

/* The same object for the same bytes, of what was given since it was last emptied. */
static PyObject *seen_or_new(const Wanted *wanted, PyObject *bytes, const Pair *pairs, Py_ssize_t count) {
    PyObject *known = PyDict_GetItemWithError(wanted->seen, bytes);
    if (known != NULL || PyErr_Occurred()) {
        Py_XINCREF(known);
        return known;
    }
    PyObject *made = dict_of(pairs, count);
    if (PyDict_Size(wanted->seen) >= MOST_SEEN) PyDict_Clear(wanted->seen);
    if (made != NULL && PyDict_SetItem(wanted->seen, bytes, made) < 0) Py_CLEAR(made);
    return made;
}

/* The attributes, of those that are wanted, in field `number` of a message; nobody changes what is returned. */
static PyObject *attributes_of(Part part, uint64_t number, const Wanted *wanted) {
    Field field;
    Pair pairs[MOST_WANTED];
    char bytes[MOST_SEEN_BYTES];
    size_t used = 0;
    Py_ssize_t count = 0;
    int found, fits = 1;
    while ((found = next_field(&part, &field)) > 0) {
        if (field.number != number || field.wire != BYTES) continue;
        int wants = read_pair(field.body, wanted, &pairs[count]);
        if (wants < 0) return NULL;
        if (!wants) continue;
        size_t size = (size_t)(field.body.end - field.body.at);
        fits = fits && size <= sizeof bytes - used;
        if (fits) memcpy(bytes + used, field.body.at, size), used += size;
        if (++count == MOST_WANTED) {
            malformed("a span has too many attributes");
            return NULL;
        }
    }
    if (found < 0) return NULL;
    if (!fits) return dict_of(pairs, count);
    PyObject *key = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)used);
    PyObject *attributes = key == NULL ? NULL : seen_or_new(wanted, key, pairs, count);
    Py_XDECREF(key);
    return attributes;
}

/* The attributes of an event that is an exception; NULL without an error set where it is another. */
static PyObject *exception_of(Part part, const Wanted *wanted) {
    Field field;
    Part walk = part;
    int found, is_exception = 0;
    while ((found = next_field(&walk, &field)) > 0)
        if (field.number == 2 && field.wire == BYTES)
            is_exception = field.body.end - field.body.at == 9 && memcmp(field.body.at, "exception", 9) == 0;
    return found < 0 || !is_exception ? NULL : attributes_of(part, 3, wanted);
}

static PyObject *exceptions_of(Part part, const Wanted *wanted) {
    Field field;
    int found = 0;
    PyObject *list = PyList_New(0);
    while (list != NULL && PyList_Size(list) < MOST_EXCEPTIONS && (found = next_field(&part, &field)) > 0) {
        if (field.number != 11 || field.wire != BYTES) continue;
        PyObject *attributes = exception_of(field.body, wanted);
        if (attributes == NULL && PyErr_Occurred()) found = -1;
        if (attributes != NULL && PyList_Append(list, attributes) < 0) found = -1;
        Py_XDECREF(attributes);
        if (found < 0) break;
    }
    if (found < 0) Py_CLEAR(list);
    return list;
}

static int is_failed(Part part, int *failed) {
    Field field;
    int found;
    while ((found = next_field(&part, &field)) > 0)
        if (field.number == 3 && field.wire == VARINT) *failed = field.value == STATUS_ERROR;
    return found;
}

/* Append one span to `spans`, if it is of a kind that counts. */
static int take_span(Part part, const Wanted *wanted, PyObject *spans) {
    Field field;
    Part walk = part, nothing = {part.end, part.end};
    Part trace = nothing, id = nothing, parent = nothing, name = nothing;
    uint64_t kind = 0, start = 0, end = 0;
    int found, failed = 0, events = 0;
    while ((found = next_field(&walk, &field)) > 0) {
        if (field.wire == BYTES) {
            switch (field.number) {
            case 1: trace = field.body; break;
            case 2: id = field.body; break;
            case 4: parent = field.body; break;
            case 5: name = field.body; break;
            case 11: events = 1; break;
            case 15:
                if (is_failed(field.body, &failed) < 0) return -1;
            }
        } else if (field.number == 6 && field.wire == VARINT) {
            kind = field.value;
        } else if (field.wire == FIXED64) {
            if (field.number == 7) start = field.value;
            if (field.number == 8) end = field.value;
        }
    }
    if (found < 0) return -1;
    if (kind < KIND_SERVER || kind > KIND_CONSUMER) return 0;
    PyObject *attributes = attributes_of(part, 9, wanted);
    PyObject *exceptions = attributes != NULL && events ? exceptions_of(part, wanted) : NULL;
    if (attributes == NULL || (events && exceptions == NULL)) {
        Py_XDECREF(attributes);
        return -1;
    }
    PyObject *span = Py_BuildValue(
        "(iNNNNKKONN)", (int)kind, bytes_of(trace), bytes_of(id), bytes_of(parent), text_of(name), (unsigned long long)start,
        (unsigned long long)end, failed ? Py_True : Py_False, attributes, events ? exceptions : PyTuple_New(0));
    if (span == NULL) return -1;
    int outcome = PyList_Append(spans, span);
    Py_DECREF(span);
    return outcome;
}

/* Give `take` the spans that have come together, and begin anew. */
static int give(PyObject *take, PyObject *attributes, PyObject *spans) {
    PyObject *given = PyList_GetSlice(spans, 0, PyList_Size(spans));
    PyObject *result = given == NULL ? NULL : PyObject_CallFunctionObjArgs(take, attributes, given, NULL);
    Py_XDECREF(given);
    Py_XDECREF(result);
    return result == NULL ? -1 : PyList_SetSlice(spans, 0, PyList_Size(spans), NULL);
}

static int take_scope(Part part, const Wanted *wanted, PyObject *take, PyObject *attributes, PyObject *spans) {
    Field field;
    int found;
    while ((found = next_field(&part, &field)) > 0) {
        if (field.number != 2 || field.wire != BYTES) continue;
        if (take_span(field.body, wanted, spans) < 0) return -1;
        if (PyList_Size(spans) >= MOST_SPANS && give(take, attributes, spans) < 0) return -1;
    }
    return found;
}

static int take_spans(Part part, const Wanted *wanted, PyObject *take, PyObject *attributes, PyObject *spans) {
    Field field;
    int found;
    while ((found = next_field(&part, &field)) > 0) {
        if (field.number == 2 && field.wire == BYTES) found = take_scope(field.body, wanted, take, attributes, spans);
        if (found < 0) return -1;
    }
    return found < 0 ? -1 : give(take, attributes, spans);
}

/* Give the attributes of a resource and its spans, which may come before it. */
static int take_resource(Part part, const Wanted *wanted, PyObject *take) {
    Field field;
    Part resource = {NULL, NULL}, walk = part;
    int found;
    while ((found = next_field(&walk, &field)) > 0)
        if (field.number == 1 && field.wire == BYTES) resource = field.body;
    PyObject *attributes = found < 0 ? NULL : attributes_of(resource, 1, wanted);
    PyObject *spans = attributes == NULL ? NULL : PyList_New(0);
    int outcome = spans == NULL ? -1 : take_spans(part, wanted, take, attributes, spans);
    Py_XDECREF(spans);
    Py_XDECREF(attributes);
    return outcome;
}

static int fill_wanted(PyObject *names, Wanted *wanted) {
    wanted->count = PyTuple_Size(names);
    if (wanted->count < 0) return -1;
    if (wanted->count > MOST_WANTED) return malformed("too many attributes are wanted");
    for (Py_ssize_t i = 0; i < wanted->count; i++) {
        wanted->key[i] = PyTuple_GetItem(names, i);
        wanted->text[i] = PyUnicode_AsUTF8AndSize(wanted->key[i], &wanted->size[i]);
        if (wanted->text[i] == NULL) return -1;
    }
    return 0;
}

static PyObject *traces(PyObject *module, PyObject *arguments) {
    (void)module;
    const char *body;
    Py_ssize_t size;
    PyObject *names, *take;
    Wanted wanted;
    if (!PyArg_ParseTuple(arguments, "y#OO", &body, &size, &names, &take) || fill_wanted(names, &wanted) < 0) return NULL;
    if ((wanted.seen = PyDict_New()) == NULL) return NULL;
    Part part = {(const uint8_t *)body, (const uint8_t *)body + size};
    Field field;
    int found;
    while ((found = next_field(&part, &field)) > 0) {
        if (field.number == 1 && field.wire == BYTES) found = take_resource(field.body, &wanted, take);
        if (found < 0) break;
    }
    Py_DECREF(wanted.seen);
    if (found < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"traces", traces, METH_VARARGS, "traces(body, wanted, take): see sources/otlp_protobuf.py; raises ValueError."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_rollcall_otlp", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__rollcall_otlp(void) { return PyModule_Create(&definition); }
