/* Counts calls of PHP's functions that reach other services and that PHP code cannot stand in for: they warn, and the text of a
 * warning names the file of their caller. So ours takes the place of the function itself. While it goes on it is a step, as are
 * functions that wait for something else.
 */
#include "php.h"

enum { CONNECTIONS = 32, NAME_BYTES = 128, SAID_BYTES = 512 };

enum kind { OPENS_URL, CONNECTS, ASKS, WAITS, LOCKS, OPENS };
static const char *const steps[] = {"http", "db", "db", "sleep", "lock", "http"};

static const struct {
    const char *module, *name;
    enum kind kind;
} functions[] = {
    {"standard", "file_get_contents", OPENS_URL},
    {"standard", "fopen", OPENS_URL},
    {"standard", "file", OPENS_URL},
    {"standard", "readfile", OPENS_URL},
    {"standard", "copy", OPENS_URL},
    {"standard", "get_headers", OPENS_URL},
    {"pgsql", "pg_connect", CONNECTS},
    {"pgsql", "pg_pconnect", CONNECTS},
    {"pgsql", "pg_query", ASKS},
    {"pgsql", "pg_query_params", ASKS},
    {"pgsql", "pg_execute", ASKS},
    {"standard", "sleep", WAITS},
    {"standard", "usleep", WAITS},
    {"standard", "time_nanosleep", WAITS},
    {"standard", "flock", LOCKS},
    {"sysvsem", "sem_acquire", LOCKS},
    {"standard", "fsockopen", OPENS},
    {"standard", "stream_socket_client", OPENS},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static php_handler former[FUNCTIONS];
static int is_calling; /* of calls within calls the outer one counts */
static char said[SAID_BYTES];
static size_t said_length;

static struct {
    const void *connection;
    char name[NAME_BYTES];
} connections[CONNECTIONS];
static unsigned connected;

/* --- names */

static char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? (char)(byte | 32) : byte; }

static int begins(const char *text, const char *start) { /* in lower case */
    while (*start != 0)
        if (lower(*text++) != *start++) return 0;
    return 1;
}

static const char *find(const char *from, const char *end, const char *any) {
    for (; from < end; from++)
        for (const char *one = any; *one != 0; one++)
            if (*from == *one) return from;
    return end;
}

static size_t put(char *name, size_t length, const char *from, const char *end) {
    for (; from < end && length < NAME_BYTES - 1; from++) name[length++] = *from > ' ' && *from < 127 ? *from : '?';
    name[length] = 0;
    return length;
}

/* `http api.example.com:8080`; 0: no HTTP. */
static int name_url(char *name, const struct text *url) {
    static const char system[] = "http ";
    const char *from = url->bytes, *end = url->bytes + url->length;
    int is_secure = begins(from, "https://");
    if (!is_secure && !begins(from, "http://")) return 0;
    from = find(from, end, "/") + 2;
    end = find(from, end, "/?#");
    for (const char *at; (at = find(from, end, "@")) != end;) from = at + 1; /* user and password */
    const char *port = find(*from == '[' ? find(from, end, "]") : from, end, ":");
    if (is_secure ? end - port == 4 && begins(port, ":443") : end - port == 3 && begins(port, ":80")) end = port;
    size_t length = sizeof system - 1;
    for (size_t i = 0; i < length; i++) name[i] = system[i];
    size_t all = put(name, length, from, end);
    for (; length < all; length++) name[length] = lower(name[length]);
    return 1;
}

/* `postgresql orders`, from a list of settings or a URL. */
static void name_database(char *name, const struct text *connection) {
    static const char system[] = "postgresql ";
    const char *at = connection->bytes, *end = at + connection->length, *stop;
    for (size_t i = 0; i < sizeof system; i++) name[i] = system[i];
    if (begins(at, "postgres://") || begins(at, "postgresql://")) {
        at = find(find(at, end, "/") + 2, end, "/?");
        at += at < end && *at == '/';
        stop = find(at, end, "?");
    } else {
        while (at < end && !begins(at, "dbname")) at++;
        at = find(at, end, "=");
        at += at < end;
        while (at < end && *at == ' ') at++;
        int is_quoted = at < end && *at == '\'';
        at += is_quoted;
        stop = find(at, end, is_quoted ? "'" : " \t\r\n");
    }
    put(name, sizeof system - (at < stop ? 1 : 2), at, stop);
}

/* --- what PHP says of a failure */

void rollcall_said(const struct text *text) {
    if (!is_calling) return;
    for (size_t i = 0; i < text->length && said_length < SAID_BYTES - 1; i++) said[said_length++] = lower(text->bytes[i]);
    said[said_length] = 0;
}

static int says(const char *what) {
    for (const char *at = said; *at != 0; at++)
        if (crash_begins(at, what)) return 1;
    return 0;
}

/* As in probes/php/calls.php. */
static int reason(void) {
    for (const char *at = said; *at != 0; at++)
        if (begins(at, "http/") && (at = find(at, said + said_length, " ")) < said + said_length) {
            if (begins(at, " 429")) return REASON_THROTTLED;
            return at[1] == '4' ? WENT_WELL : REASON_ERROR;
        }
    if (says("too many c") || says("connection slots are reserved") || says("too many requests")) return REASON_THROTTLED;
    if (says("timed out") || says("timeout")) return REASON_TIMEOUT;
    if (says("refused") || says("no such file") || says("unreachable") || says("no route")) return REASON_REFUSED;
    return REASON_ERROR;
}

/* --- connections */

static const void *pointer_of(const struct value *value) {
    uint32_t type = value->type & TYPE;
    return type == IS_OBJECT || type == IS_RESOURCE ? value->is.pointer : NULL;
}

/* That of the first argument, else the one that was made last. */
static const char *name_of(const void *connection) {
    for (unsigned i = 0; connection != NULL && i < CONNECTIONS; i++)
        if (connections[i].connection == connection) return connections[i].name;
    return connected == 0 ? "postgresql" : connections[(connected - 1) % CONNECTIONS].name;
}

static void remember(const void *connection, const char *name) {
    for (unsigned i = 0; i < CONNECTIONS; i++)
        if (connections[i].connection == connection) connections[i].connection = NULL;
    unsigned at = connected++ % CONNECTIONS;
    connections[at].connection = connection;
    for (size_t i = 0; i < NAME_BYTES; i++) connections[at].name[i] = name[i];
}

/* --- calls */

static uint64_t now_us(void) {
    struct { int64_t seconds, nanoseconds; } now = {0, 0};
    crash_call(CRASH_CLOCK, 1 /* CLOCK_MONOTONIC */, (long)&now, 0, 0);
    return (uint64_t)now.seconds * 1000000u + (uint64_t)now.nanoseconds / 1000u;
}

/* Whether a call is none of our business; else what it leads to, where its arguments tell. */
static int is_passed_on(enum kind kind, const struct text *first, char *name) {
    if (is_calling) return 1;
    if (kind == CONNECTS) name_database(name, first);
    return (kind == OPENS_URL && !name_url(name, first)) || (kind == OPENS && begins(first->bytes, "unix:")); /* the probe's */
}

static void call(int number, struct frame *frame, struct value *result) {
    char name[NAME_BYTES];
    enum kind kind = functions[number].kind;
    const struct value *first = rollcall_argument(frame);
    if (is_passed_on(kind, rollcall_text(first), name)) {
        former[number](frame, result);
        return;
    }
    const void *connection = pointer_of(first);
    uint64_t thrown = rollcall_thrown_count(), start = now_us();
    int is_told = rollcall_step(steps[kind], functions[number].name, frame, start);
    is_calling = 1;
    said[said_length = 0] = 0;
    former[number](frame, result); /* after a fatal error it does not come back */
    is_calling = 0;
    uint64_t end = now_us();
    if (is_told) rollcall_step_over(end);
    if (kind >= WAITS) return;
    int has_failed = (result->type & TYPE) == IS_FALSE || thrown != rollcall_thrown_count();
    if (kind == CONNECTS && !has_failed) remember(pointer_of(result), name); /* as of other clients, no call */
    else rollcall_tell_call(kind == ASKS ? name_of(connection) : name, has_failed ? reason() : WENT_WELL, end - start);
}

#define STANDS_IN(number) \
    static void at_##number(struct frame *frame, struct value *result) { call(number, frame, result); }
STANDS_IN(0) STANDS_IN(1) STANDS_IN(2) STANDS_IN(3) STANDS_IN(4) STANDS_IN(5) STANDS_IN(6) STANDS_IN(7) STANDS_IN(8)
STANDS_IN(9) STANDS_IN(10) STANDS_IN(11) STANDS_IN(12) STANDS_IN(13) STANDS_IN(14) STANDS_IN(15) STANDS_IN(16) STANDS_IN(17)
static const php_handler ours[] = {at_0, at_1, at_2,  at_3,  at_4,  at_5,  at_6,  at_7,  at_8,
                                   at_9, at_10, at_11, at_12, at_13, at_14, at_15, at_16, at_17};
_Static_assert(sizeof ours / sizeof ours[0] == FUNCTIONS, "one for each function");

void rollcall_calls_begin_process(void) {
    for (int number = 0; number < FUNCTIONS; number++)
        if (former[number] == NULL) former[number] = rollcall_stand_in(functions[number].module, functions[number].name, ours[number]);
}

void rollcall_calls_begin(void) { is_calling = 0; }
