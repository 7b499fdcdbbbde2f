/* What this extension knows of PHP's insides, and calls of them: no header of PHP's is used, because one file is for all of them.
 *
 * Each struct has been the same from PHP 7.1 to 8.4 (64 bit) in the fields that are named here; what is newer than `NEWEST` is not
 * touched, and nothing that has but one place is kept in a PHP with threads. Every symbol is weak, so that a process without it still loads this file.
 */
#ifndef ROLLCALL_PHP_H
#define ROLLCALL_PHP_H

#include <stddef.h>
#include <stdint.h>

#include "../kernel.h"

#if defined(__x86_64__)
enum { PHP_WRITE = 1, PHP_MMAP = 9, PHP_UNLINKAT = 263, PHP_RENAMEAT = 264 };
#else
enum { PHP_WRITE = 64, PHP_MMAP = 222, PHP_UNLINKAT = 35, PHP_RENAMEAT = 38 };
#endif
enum { AT_CWD = -100, PATH_BYTES = 512 };

enum { API_7_1 = 20160303, API_8_0 = 20200930, API_8_4 = 20240924, NEWEST = API_8_4 }; /* `module_entry.api` */

/* zend_module_entry, as of PHP 7.0 to 8.4. */
struct module_entry {
    unsigned short size;
    unsigned int api;
    unsigned char debug, threads;
    const void *settings, *dependencies;
    const char *name;
    const char *functions; /* see `php_function` */
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

/* zend_string */
struct text {
    uint64_t references, hash, length;
    char bytes[];
};

enum { IS_FALSE = 2, IS_LONG = 4, IS_STRING = 6, IS_OBJECT = 8, IS_RESOURCE = 9, TYPE = 0xff };

/* zval */
struct value {
    union {
        int64_t number;
        void *pointer;
    } is;
    uint32_t type, more;
};

/* zend_execute_data, of which PHP's functions get their arguments: all zeros is a call without any. */
struct frame {
    uint64_t words[16]; /* 7.0: 12, later 10 */
};

/* zend_class_entry */
struct class {
    char type;
    const struct text *name;
};

typedef void (*php_handler)(struct frame *frame, struct value *result);

extern char module_registry[] __attribute__((weak)); /* HashTable of all extensions by name */
extern void *zend_hash_str_find(const void *table, const char *key, size_t length) __attribute__((weak));
extern void (*zend_error_cb)(long, long, long, long, long, long) __attribute__((weak)); /* its real arguments differ */
extern const struct { const char *name; } sapi_module __attribute__((weak));

extern void *zend_fetch_function_str(const char *name, size_t length) __attribute__((weak)); /* during a request */

extern char rollcall_run[PATH_BYTES]; /* the shared folder */

size_t rollcall_append(char *path, size_t length, const char *text); /* into PATH_BYTES, no more */
size_t rollcall_append_number(char *path, size_t length, long number);
int rollcall_equal(const char *a, const char *b);
const struct module_entry *rollcall_module(const char *name);
int rollcall_serves(void); /* this is no command line */
php_handler rollcall_function(const struct module_entry *module, const char *name); /* PHP's own, NULL: not known */

php_handler rollcall_stand_in(const char *extension, const char *name, php_handler ours);
const struct value *rollcall_argument(const struct frame *frame); /* the first */
const struct text *rollcall_text(const struct value *value);

void rollcall_warnings_startup(const struct module_entry *core);
void rollcall_warnings_shutdown(void);

void rollcall_thrown_startup(const struct module_entry *core);
void rollcall_thrown_shutdown(void);
uint64_t rollcall_thrown_count(void);

void rollcall_calls_begin_process(void);
void rollcall_calls_begin(void);             /* of a request */
void rollcall_said(const struct text *text); /* by PHP, of what goes wrong now */

extern char rollcall_version[];
enum { REASON_ERROR, REASON_TIMEOUT, REASON_REFUSED, REASON_THROTTLED, WENT_WELL, REASONS }; /* as in probes/php/calls.php */
void rollcall_tell_counted(void);
void rollcall_tell_thrown(const char *text);
void rollcall_tell_call(const char *name, int reason, uint64_t micros);
void rollcall_tell_nothing(void);

void rollcall_steps_begin(int is_first); /* of a request, the process's first */
int rollcall_step(const char *kind, const char *function, const struct frame *frame, uint64_t now_us); /* whether it was told */
void rollcall_step_over(uint64_t now_us);

void rollcall_answers_begin_process(void);

void rollcall_hash(char *hex, const unsigned char *key, const unsigned char *text, size_t length);

#endif
