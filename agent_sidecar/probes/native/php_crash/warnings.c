/* Counts PHP's warnings, each of them, by type: those that PHP itself reports, and no others.
 *
 * PHP hands every error that no handler of the application's has taken to `zend_error_cb`, which logs and shows it. Ours is put
 * before that and hands on what it was given. (`zend_observer_error_register` of PHP 8 also hears of what the application has
 * taken, and of what it has not asked for.) What `@` or `error_reporting` hides PHP's own function `error_reporting` says.
 *
 * The counts are added to `php.warnings` in the shared folder, which the agent makes: one for all workers of the pod, so none is
 * lost with a worker, and a request pays nothing. As long as there is none, nothing is counted.
 */
#include "php.h"

enum { COUNTERS = 16, MAGIC_BYTES = 8, FILE_BYTES = MAGIC_BYTES + 2 * 8 * COUNTERS }; /* layout.WARNINGS */
enum { READ_WRITE = 2 | 02000000 | 0400000 /* O_RDWR | O_CLOEXEC | O_NOFOLLOW */ };
/* E_WARNING, E_NOTICE, E_CORE_WARNING, E_COMPILE_WARNING, E_USER_WARNING, E_USER_NOTICE, E_STRICT, E_DEPRECATED, E_USER_DEPRECATED */
enum { WARNINGS = 2 | 8 | 32 | 128 | 512 | 1024 | 2048 | 8192 | 16384 };

static void (*former)(long, long, long, long, long, long);
static php_handler error_reporting;
static int is_text; /* the message; before PHP 8 a format */
static uint64_t *counters;

static uint64_t *map_in(const char *folder) {
    char path[PATH_BYTES], magic[MAGIC_BYTES + 1] = "";
    rollcall_append(path, rollcall_append(path, rollcall_append(path, 0, rollcall_run), folder), "/php.warnings");
    long fd = crash_call(CRASH_OPENAT, AT_CWD, (long)path, READ_WRITE, 0);
    if (fd < 0) return NULL;
    long map = -1;
    if (crash_call(CRASH_READ, fd, (long)magic, MAGIC_BYTES, 0) == MAGIC_BYTES && rollcall_equal(magic, "ROLLWARN"))
        map = crash_call6(PHP_MMAP, 0, FILE_BYTES, 3 /* PROT_READ | PROT_WRITE */, 1 /* MAP_SHARED */, fd, 0);
    crash_call(CRASH_CLOSE, fd, 0, 0, 0);
    return map < 0 && map > -4096 ? NULL : (uint64_t *)(map + MAGIC_BYTES);
}

static void count(int type) {
    if (counters == NULL) counters = map_in("/workers");
    if (counters == NULL) counters = map_in("");
    if (counters == NULL) return;
    __atomic_fetch_add(&counters[__builtin_ctz((unsigned)type)], 1, __ATOMIC_RELAXED);
    rollcall_tell_counted();
}

static int is_wanted(int type) {
    struct frame frame = {{0}};
    struct value level = {{0}, 0, 0};
    error_reporting(&frame, &level);
    return (level.is.number & type) != 0;
}

/* PHP 8: type, file, line, message; PHP 7: type, file, line, format, its arguments. A fatal error does not come back: it is told as such. */
static void at_error(long type, long file, long line, long message, long more, long rest) {
    int warning = (int)type & WARNINGS;
    int wanted = warning != 0 && is_wanted(warning);
    uint64_t thrown = rollcall_thrown_count();
    if (is_text && message != 0) rollcall_said((const struct text *)message);
    former(type, file, line, message, more, rest);
    if (wanted && thrown == rollcall_thrown_count()) count(warning); /* else PHP has made an exception of it */
}

void rollcall_warnings_startup(const struct module_entry *core) {
    if (&zend_error_cb == NULL || zend_error_cb == NULL || !rollcall_serves()) return;
    error_reporting = rollcall_function(core, "error_reporting");
    if (error_reporting == NULL) return;
    is_text = core->api >= API_8_0;
    former = zend_error_cb;
    zend_error_cb = at_error;
}

/* PHP takes this file out of the process; whoever has put another function before ours has taken that away before. */
void rollcall_warnings_shutdown(void) {
    if (former != NULL && zend_error_cb == at_error) zend_error_cb = former;
    former = NULL;
}
