/* Tells what a request in flight is at while it is in one of the functions that ours stand in for: the message STEP, as
 * probes/php/steps.php has it, over the stream that the probe keeps open to the agent.
 *
 * Which of the process's files that stream is the kernel says by the name of its other end, before each message: nobody else's
 * connection is ever written to. A message is sent whole or not at all, and nothing waits.
 */
#include "php.h"

#if defined(__x86_64__)
enum { STEP_SENDTO = 44, STEP_GETPEERNAME = 52 };
#else
enum { STEP_SENDTO = 206, STEP_GETPEERNAME = 205 };
#endif
enum { AF_UNIX_ = 1, QUIETLY = 0x40 | 0x4000 /* MSG_DONTWAIT | MSG_NOSIGNAL */ };
enum { FIRST_FD = 3, LAST_FD = 127, MAX_TRIES = 3, MAX_TEXT = 126, HEAD_BYTES = 11, STEP = 4 };
enum { WINDOW_US = 100000, STEPS_PER_WINDOW = 40 }; /* as in steps.php, which tells some too */
enum { FUNCTION_WORD = 3, THIS_TYPE_WORD = 5, CALLER_WORD = 6, NAME_WORD = 1, SCOPE_WORD = 2 };

extern const char *zend_get_executed_filename(void) __attribute__((weak));
extern uint32_t zend_get_executed_lineno(void) __attribute__((weak));

static long stream = -1;
static int tries; /* of requests that have looked for the stream in vain */
static uint64_t window_start;
static int in_window;

static int is_stream(long fd) {
    struct {
        uint16_t family;
        char path[108 + 1];
    } peer;
    uint32_t size = sizeof peer - 1; /* then that of the name, which ends with a NUL if there is room for it */
    char path[PATH_BYTES];
    peer.path[108] = 0;
    if (fd < 0 || crash_call(STEP_GETPEERNAME, fd, (long)&peer, (long)&size, 0) != 0 || peer.family != AF_UNIX_) return 0;
    if (size < sizeof peer.family + sizeof peer.path) peer.path[size - sizeof peer.family] = 0;
    rollcall_append(path, rollcall_append(path, 0, rollcall_run), "/php.sock");
    return rollcall_equal(peer.path, path);
}

static int find_stream(void) {
    if (is_stream(stream)) return 1;
    for (stream = FIRST_FD; stream <= LAST_FD; stream++)
        if (is_stream(stream)) return 1;
    stream = -1;
    return 0;
}

/* At a request's begin: the probe has not connected before the first one's. From when on it is known the probe leaves these
 * functions to us. */
void rollcall_steps_begin(int is_first) {
    if (is_first) {
        tries = 0;
        stream = -1;
        if (rollcall_version[0] == '3') rollcall_version[0] = '2';
    }
    if (zend_get_executed_filename == NULL || zend_get_executed_lineno == NULL || rollcall_version[0] != '2') return;
    if (tries >= MAX_TRIES) return;
    tries++;
    if (find_stream()) rollcall_version[0] = '3';
}

static void send(uint64_t since_us, const char *text, size_t length) {
    char message[HEAD_BYTES + MAX_TEXT];
    size_t size = HEAD_BYTES - 2 + length;
    message[0] = (char)size;
    message[1] = 0;
    message[2] = STEP;
    for (int i = 0; i < 8; i++) message[3 + i] = (char)(since_us >> 8 * i);
    for (size_t i = 0; i < length; i++) message[HEAD_BYTES + i] = text[i];
    crash_call6(STEP_SENDTO, stream, (long)message, HEAD_BYTES + (long)length, QUIETLY, 0, 0);
}

static size_t put(char *text, size_t length, const char *more) {
    while (*more != 0 && length < MAX_TEXT) text[length++] = *more++;
    return length;
}

/* ` from Feed->read (feed.php:16)` */
static size_t put_caller(char *text, size_t length, const struct frame *frame) {
    const struct frame *caller = (const struct frame *)frame->words[CALLER_WORD];
    const uint64_t *function = caller != NULL ? (const uint64_t *)caller->words[FUNCTION_WORD] : NULL;
    const struct text *name = function != NULL ? (const struct text *)function[NAME_WORD] : NULL;
    const struct class *scope = function != NULL ? (const struct class *)function[SCOPE_WORD] : NULL;
    const char *file = zend_get_executed_filename(), *base = file;
    char line[PATH_BYTES];
    length = put(text, length, " from ");
    if (name != NULL && scope != NULL && scope->name != NULL) {
        length = put(text, length, scope->name->bytes);
        length = put(text, length, (caller->words[THIS_TYPE_WORD] & TYPE) == IS_OBJECT ? "->" : "::");
    }
    length = put(text, length, name != NULL ? name->bytes : "{main}");
    for (; *file != 0; file++)
        if (*file == '/') base = file + 1;
    rollcall_append(line, rollcall_append_number(line, 0, (long)zend_get_executed_lineno()), ")");
    return put(text, put(text, put(text, put(text, length, " ("), base), ":"), line);
}

int rollcall_step(const char *kind, const char *function, const struct frame *frame, uint64_t now_us) {
    char text[MAX_TEXT];
    if (rollcall_version[0] != '3') return 0;
    if (now_us - window_start > WINDOW_US) {
        window_start = now_us;
        in_window = 0;
    }
    if (++in_window > STEPS_PER_WINDOW || !find_stream()) return 0;
    send(now_us, text, put_caller(text, put(text, put(text, put(text, 0, kind), " "), function), frame));
    return 1;
}

void rollcall_step_over(uint64_t now_us) {
    if (is_stream(stream)) send(now_us, "", 0);
}
