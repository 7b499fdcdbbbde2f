/* A PHP extension that tells how its process died: it puts handlers on top of those of fatal signals, which leave
 * `<pid>.crash` (`layout.CRASH`) in the shared folder. It counts warnings (warnings.c) and calls (calls.c), and remembers what was thrown (thrown.c).
 * It adds nothing to PHP: no function, no class, no setting.
 *
 * One binary for every PHP of this machine, debug or not, with threads or without, on any C library: it calls the kernel only,
 * and what php.h names. PHP takes no extension that was built for another PHP, which it knows by numbers and a text in the
 * extension's entry; they are taken over, when PHP loads this one, from the entry of PHP's own core. That is not a trick against
 * the check but what it is for: what in here could differ from PHP to PHP is in php.h, and the layout of that entry, which has
 * been the same since 7.0, says how large it is.
 */
#include "../crash.h"
#include "php.h"

enum { CREATE = 0101 | 0200 | 02000000 /* O_WRONLY|O_CREAT | O_EXCL | O_CLOEXEC */ };

extern char **environ __attribute__((weak));

char rollcall_run[PATH_BYTES] = "/rollcall/run";
static long process;
static const struct module_entry *core; /* PHP's own */

static void place(char *path, const char *folder, const char *prefix, long pid) {
    size_t length = rollcall_append(path, rollcall_append(path, rollcall_append(path, 0, rollcall_run), folder), prefix);
    rollcall_append(path, rollcall_append_number(path, length, pid), ".crash");
}

static int keep_in(const char *folder, const struct rollcall_crash *crash) {
    char hidden[PATH_BYTES], path[PATH_BYTES];
    long pid = crash_call(CRASH_GETPID, 0, 0, 0, 0);
    place(hidden, folder, "/.", pid);
    place(path, folder, "/", pid);
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
        if (crash_begins(*entry, name) && (*entry)[sizeof name - 1] != 0) rollcall_append(rollcall_run, 0, *entry + sizeof name - 1);
}

static int at_startup(int type, int number) {
    (void)type, (void)number;
    find_run();
    rollcall_crash_watch(keep);
    core = rollcall_module("core");
    if (core != NULL) {
        rollcall_warnings_startup(core);
        rollcall_thrown_startup(core);
    }
    return 0;
}

static int at_shutdown(int type, int number) {
    (void)type, (void)number;
    rollcall_warnings_shutdown();
    rollcall_thrown_shutdown();
    return 0;
}

/* The first one of a process: a worker has an environment of its own, and its server may have put handlers over ours. */
static int at_request(int type, int number) {
    (void)type, (void)number;
    long now = crash_call(CRASH_GETPID, 0, 0, 0, 0);
    int is_first = now != process;
    rollcall_tell_nothing();
    rollcall_calls_begin();
    rollcall_steps_begin(is_first);
    if (is_first) {
        process = now;
        if (core != NULL && !core->threads && core->api >= API_7_1 && rollcall_serves()) {
            rollcall_calls_begin_process();
            rollcall_answers_begin_process();
        }
        find_run();
        rollcall_crash_watch(keep);
    }
    return 0;
}

static struct module_entry entry = {
    .size = sizeof(struct module_entry),
    .name = "rollcall_crash",
    .startup = at_startup,
    .shutdown = at_shutdown,
    .request_startup = at_request,
    .version = rollcall_version,
    .build = "",
};

/* PHP calls this first. An entry that was not filled in is refused with a warning and has no further effect. */
__attribute__((visibility("default"))) struct module_entry *get_module(void) {
    core = rollcall_module("core");
    if (core != NULL) {
        entry.api = core->api;
        entry.debug = core->debug;
        entry.threads = core->threads;
        entry.build = core->build;
    }
    return &entry;
}
