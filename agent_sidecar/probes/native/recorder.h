/* What the parts of the native recorder share: the recorder of a process, its requests, and the calls that they make.
 *
 * recorder.c makes them known to Python, requests.c counts requests, calls.c counts calls of dependencies, around.c and
 * events.c are told of them by libraries. The GIL is the lock: no
 * call into Python is made while the counters are changed. Stores are single and aligned: the reader in another process sees each
 * field whole.
 */
#ifndef ROLLCALL_RECORDER_H
#define ROLLCALL_RECORDER_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03080000
#include <Python.h>
#include <stdint.h>
#include <structmember.h>
#include <time.h>

enum { MAX_SLOTS = 4096 };

#define CPU_UNKNOWN UINT64_MAX
/* A thread's CPU time costs a system call, twice: it is taken of one request in so many, and of each that comes so long after. */
enum { CPU_ONE_IN = 8, CPU_PAUSE_NS = 4000000 };

/* Where things are in the file; filled from `layout` so that it is written down once. */
typedef struct {
    Py_ssize_t size, started, untracked, settling, histogram, endpoints, endpoint_size, slots, slot_size, slots_used, journal,
        journal_written, crash, dependencies, dependency_size, calls, calls_written, points, point_size, points_written;
    Py_ssize_t slot_count, buckets, journal_size, endpoint_count, dependency_count, calls_size, points_size, step_bits;
    double per_octave, offset;
} Layout;

struct Request;

typedef struct {
    PyObject_HEAD
    char *file;                      /* the mapped worker file, or scratch memory after `abandon` */
    int scratch;
    int threads_shared;              /* a thread serves many requests by turns (gevent): its CPU time is nobody's */
    Layout at;
    PyObject *methods, *unknown;     /* method -> {route: index}, and the table for other methods */
    PyObject *intern, *failed, *disable;
    PyObject *calls, *intern_call;   /* name of a dependency -> its index and that of its step, as one number */
    PyObject *get, *set;             /* of the context variable that says which request, or call, we are in */
    uint32_t free_slots[MAX_SLOTS];
    Py_ssize_t free_count, used;
    uint64_t cpu_asked_ns;           /* when a request's CPU time was last begun to be taken, and how many begun since have none */
    int cpu_left_out;
    struct Request *in_slot[MAX_SLOTS]; /* borrowed: a request takes itself out when it ends */
} Recorder;

struct Call;

typedef struct Request {
    PyObject_HEAD
    Recorder *recorder;              /* NULL when the request has ended */
    Py_ssize_t slot;                 /* -1: there was none */
    uint32_t endpoint;
    uint64_t start_ns, cpu_ns;
    unsigned long thread;
    PyObject *method, *routes, *status, *error, *task;
    struct Call *open;               /* its calls that have not ended, the latest first; borrowed: a call takes itself out */
    uint64_t *waited_ns;             /* for each dependency; NULL before the first call */
} Request;

typedef struct Call {
    PyObject_HEAD
    Recorder *recorder;              /* NULL when the call has ended */
    Request *request;                /* NULL outside of any */
    struct Call *later, *earlier;    /* among the open calls of the request */
    PyObject *name;
    uint64_t start_ns;
    uint32_t dependency, step;
    unsigned long thread;
} Call;

/* What a request has waited for, in µs, and the dependency that it waited for longest. */
typedef struct {
    uint64_t us;
    uint32_t dependency;
} Waited;

extern PyTypeObject *recorder_type, *request_type, *call_type;
extern PyType_Spec request_spec, call_spec;

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static inline volatile uint64_t *u64_at(Recorder *self, Py_ssize_t at) { return (volatile uint64_t *)(self->file + at); }
static inline volatile uint32_t *u32_at(Recorder *self, Py_ssize_t at) { return (volatile uint32_t *)(self->file + at); }
static inline Py_ssize_t slot_at(Recorder *self, Py_ssize_t slot) { return self->at.slots + slot * self->at.slot_size; }
static inline void barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

static inline PyObject *kept(PyObject *object) {
    Py_INCREF(object);
    return object;
}

/* recorder.c */
void give_up(Recorder *self);
Py_ssize_t bucket_of(Recorder *self, uint64_t elapsed_ns);

/* requests.c */
PyObject *recorder_begin(PyObject *object, PyObject *method);
PyObject *recorder_begin_task(PyObject *object, PyObject *method);

/* calls.c */
PyObject *recorder_begin_call(PyObject *object, PyObject *name);
PyObject *recorder_begin_event(PyObject *object, PyObject *name);
PyObject *recorder_count_call(PyObject *object, PyObject *args);
Call *new_call(Recorder *self, PyObject *name, Request *request);
int call_may_begin(Recorder *self, Request **request);
Call *enter_call(Recorder *self, PyObject *name, Request *request);
void end_call(Call *self, int counted, long reason);
Waited settle_waits(Request *request, Recorder *recorder, uint64_t ended_ns, uint64_t elapsed_ns);
void write_point(Request *request, Recorder *recorder, uint64_t ended_ns, uint64_t elapsed_ns, uint64_t cpu_ns, Waited waited,
                 uint32_t error, int outcome);

/* around.c */
int is_on(PyObject *hook);
int give_up_hook(PyObject *hook);
int make_around_type(void);
PyObject *module_around(PyObject *module, PyObject *args);
PyObject *module_begin(PyObject *module, PyObject *parts);
PyObject *module_settled(PyObject *module, PyObject *parts);

/* events.c */
int make_events_type(void);
PyObject *module_events(PyObject *module, PyObject *args);

#endif
