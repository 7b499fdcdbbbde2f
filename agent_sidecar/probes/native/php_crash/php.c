/* Texts, and what there is to be found in PHP. */
#include "php.h"

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

/* As in rollcall.php. */
int rollcall_serves(void) {
    const char *name = &sapi_module != NULL ? sapi_module.name : NULL;
    return name != NULL && !rollcall_equal(name, "cli") && !rollcall_equal(name, "phpdbg");
}

/* zend_function_entry: a name, the function, and what is of no interest; a name NULL ends the list. */
php_handler rollcall_function(const struct module_entry *module, const char *name) {
    size_t size = module->api >= API_8_4 ? 48 : 32;
    if (module->api > NEWEST || module->functions == NULL) return NULL;
    for (const char *at = module->functions; *(const char *const *)at != NULL; at += size)
        if (rollcall_equal(*(const char *const *)at, name)) return *(const php_handler *)(at + sizeof(char *));
    return NULL;
}
