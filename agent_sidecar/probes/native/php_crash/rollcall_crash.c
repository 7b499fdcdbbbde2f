/* A PHP extension that tells how its process died: it puts handlers on top of those of fatal signals, which leave
 * `<pid>.crash` (`layout.CRASH`) in the shared folder. It adds nothing to PHP: no function, no class, no setting.
 *
 * One binary for every PHP of this machine, debug or not, with threads or without, on any C library: it calls the kernel only,
 * and two symbols that every PHP from 7.0 on exports. PHP takes no extension that was built for another PHP, which it knows by
 * numbers and a text in the extension's entry; they are taken over, when PHP loads this one, from the entry of PHP's own core.
 * That is not a trick against the check but what it is for: there is nothing in here that could differ from PHP to PHP, but
 * the layout of that entry, which has been the same since 7.0, and which says how large it is.
 */
#include "../crash.h"

#if defined(__x86_64__)
enum { PHP_WRITE = 1, PHP_UNLINKAT = 263, PHP_RENAMEAT = 264 };
#else
enum { PHP_WRITE = 64, PHP_UNLINKAT = 35, PHP_RENAMEAT = 38 };
#endif
enum { AT_CWD = -100, CREATE = 0101 | 0200 | 02000000 /* O_WRONLY|O_CREAT | O_EXCL | O_CLOEXEC */, PATH_BYTES = 512 };

/* zend_module_entry, as of PHP 7.0 to 8.4. */
struct module_entry {
    unsigned short size;
    unsigned int api;
    unsigned char debug, threads;
    const void *settings, *dependencies;
    const char *name;
    const void *functions;
    int (*startup)(int type, int number);
    int (*shutdown)(int type, int number);
    int (*request_startup)(int type, int number);
    int (*request_shutdown)(int type, int number);
    void (*information)(struct module_entry *entry);
    const char *version;
    size_t globals_size;
    void *globals;
    void (*globals_startup)(void *);
    void (*globals_shutdown)(void *);
    int (*after_request)(void);
    int started;
    unsigned char type;
    void *handle;
    int number;
    const char *build;
};

/* Weak, so that a process without them still loads this file. */
extern char module_registry[] __attribute__((weak)); /* HashTable of all extensions by name */
extern void *zend_hash_str_find(const void *table, const char *key, size_t length) __attribute__((weak));
extern char **environ __attribute__((weak));

static char run[PATH_BYTES] = "/rollcall/run"; /* the shared folder */
static long process;

static size_t append(char *path, size_t length, const char *text) {
    while (*text != 0 && length < PATH_BYTES - 1) path[length++] = *text++;
    path[length] = 0;
    return length;
}

static size_t append_number(char *path, size_t length, long number) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return append(path, length, digits + at);
}

static int keep_in(const char *folder, const struct rollcall_crash *crash) {
    char hidden[PATH_BYTES], path[PATH_BYTES];
    long pid = crash_call(CRASH_GETPID, 0, 0, 0, 0);
    append(hidden, append_number(hidden, append(hidden, append(hidden, append(hidden, 0, run), folder), "/."), pid), ".crash");
    append(path, append_number(path, append(path, append(path, append(path, 0, run), folder), "/"), pid), ".crash");
    crash_call(PHP_UNLINKAT, AT_CWD, (long)hidden, 0, 0);
    long fd = crash_call(CRASH_OPENAT, AT_CWD, (long)hidden, CREATE, 0644);
    if (fd < 0) return 0;
    int whole = crash_call(PHP_WRITE, fd, (long)crash, sizeof *crash, 0) == (long)sizeof *crash;
    crash_call(CRASH_CLOSE, fd, 0, 0, 0);
    if (whole && crash_call(PHP_RENAMEAT, AT_CWD, (long)hidden, AT_CWD, (long)path) == 0) return 1;
    crash_call(PHP_UNLINKAT, AT_CWD, (long)hidden, 0, 0);
    return 0;
}

/* As `layout.worker_dir` has it: the agent's own folder, where it can remove files, else the shared one. */
static void keep(int signal, siginfo_t *info, void *context) {
    static struct rollcall_crash crash;
    rollcall_crash_fill(&crash, signal, info, context);
    if (!keep_in("/workers", &crash)) keep_in("", &crash);
}

static void find_run(void) {
    static const char name[] = "ROLLCALL_RUN=";
    for (char **entry = &environ != NULL ? environ : NULL; entry != NULL && *entry != NULL; entry++)
        if (crash_begins(*entry, name) && (*entry)[sizeof name - 1] != 0) append(run, 0, *entry + sizeof name - 1);
}

static int at_startup(int type, int number) {
    (void)type, (void)number;
    find_run();
    rollcall_crash_watch(keep);
    return 0;
}

/* The first one of a process: a worker has an environment of its own, and its server may have put handlers over ours. */
static int at_request(int type, int number) {
    (void)type, (void)number;
    long now = crash_call(CRASH_GETPID, 0, 0, 0, 0);
    if (now != process) {
        process = now;
        find_run();
        rollcall_crash_watch(keep);
    }
    return 0;
}

static struct module_entry entry = {
    .size = sizeof(struct module_entry),
    .name = "rollcall_crash",
    .startup = at_startup,
    .request_startup = at_request,
    .version = "1",
    .build = "",
};

/* PHP calls this first. An entry that was not filled in is refused with a warning and has no further effect. */
__attribute__((visibility("default"))) struct module_entry *get_module(void) {
    struct module_entry **value = NULL; /* a zval: its first eight bytes are the pointer */
    if (module_registry != NULL && zend_hash_str_find != NULL) value = zend_hash_str_find(module_registry, "core", 4);
    if (value != NULL && *value != NULL && (*value)->size == sizeof entry) {
        entry.api = (*value)->api;
        entry.debug = (*value)->debug;
        entry.threads = (*value)->threads;
        entry.build = (*value)->build;
    }
    return &entry;
}
