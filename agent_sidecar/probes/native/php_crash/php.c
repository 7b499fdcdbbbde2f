/* What there is to be found in PHP, and what the probe is told. */
#include "php.h"

enum { HEAD_BYTES = 2, VERSION_BYTES = 1400 };

/* The probe reads it by PHP's own function phpversion(): `1`, then `w` when warnings are counted, else `-`, a line feed, and what
 * was thrown last: class, message, file and line with tabs between them. */
char rollcall_version[VERSION_BYTES] = "1";

void rollcall_tell_counted(void) { rollcall_version[1] = 'w'; }

void rollcall_tell_thrown(const char *text) {
    size_t at = HEAD_BYTES;
    if (rollcall_version[1] == 0) rollcall_version[1] = '-';
    rollcall_version[at++] = '\n';
    while (*text != 0 && at < VERSION_BYTES - 1) rollcall_version[at++] = *text++;
    rollcall_version[at] = 0;
}

void rollcall_tell_nothing(void) { rollcall_version[HEAD_BYTES] = 0; }

size_t rollcall_append(char *path, size_t length, const char *text) {
    while (*text != 0 && length < PATH_BYTES - 1) path[length++] = *text++;
    path[length] = 0;
    return length;
}

size_t rollcall_append_number(char *path, size_t length, long number) {
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return rollcall_append(path, length, digits + at);
}

int rollcall_equal(const char *a, const char *b) {
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

const struct module_entry *rollcall_module(const char *name) {
    struct module_entry **value = NULL; /* a zval: its first eight bytes are the pointer */
    size_t length = 0;
    while (name[length] != 0) length++;
    if (module_registry != NULL && zend_hash_str_find != NULL) value = zend_hash_str_find(module_registry, name, length);
    return value != NULL && *value != NULL && (*value)->size == sizeof **value ? *value : NULL;
}

/* zend_function_entry: a name, the function, and what is of no interest; a name NULL ends the list. */
php_handler rollcall_function(const struct module_entry *module, const char *name) {
    size_t size = module->api >= API_8_4 ? 48 : 32;
    if (module->api > NEWEST || module->functions == NULL) return NULL;
    for (const char *at = module->functions; *(const char *const *)at != NULL; at += size)
        if (rollcall_equal(*(const char *const *)at, name)) return *(const php_handler *)(at + sizeof(char *));
    return NULL;
}
