/* Texts, and what there is to be found in PHP. */
#include "php.h"

enum { FIRST_WORD = 5, LAST_WORD = 15 }; /* of zend_internal_function, where the address may be */
enum { FRAME_VALUES = 5, COUNT_WORD = 5 };

/* The compiler may call it for what is written as an assignment. */
__attribute__((visibility("hidden"))) void *memset(void *memory, int byte, size_t size) {
    for (size_t i = 0; i < size; i++) ((volatile char *)memory)[i] = (char)byte;
    return memory;
}

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

/* Ours is put where the function's address stands in its entry: the one word of it that is that address. The former one, to be
 * called by ours; NULL: nothing is changed, because it is not as it was, or somebody else stands in already.
 */
php_handler rollcall_stand_in(const char *extension, const char *name, php_handler ours) {
    const struct module_entry *module = rollcall_module(extension);
    php_handler function = module != NULL ? rollcall_function(module, name) : NULL;
    size_t length = 0, found = 0;
    while (name[length] != 0) length++;
    php_handler *entry = function != NULL && zend_fetch_function_str != NULL ? zend_fetch_function_str(name, length) : NULL;
    for (size_t word = FIRST_WORD; entry != NULL && word <= LAST_WORD; word++)
        if (entry[word] == function) found = found == 0 ? word : LAST_WORD + 1;
    if (found == 0 || found > LAST_WORD) return NULL;
    entry[found] = ours;
    return function;
}

/* The first argument, behind the frame. */
const struct value *rollcall_argument(const struct frame *frame) {
    static const struct value none = {{0}, 0, 0};
    return frame->words[COUNT_WORD] >> 32 != 0 ? (const struct value *)frame + FRAME_VALUES : &none;
}

const struct text *rollcall_text(const struct value *value) {
    static const struct text none = {0, 0, 0, ""};
    return (value->type & TYPE) == IS_STRING ? value->is.pointer : &none;
}
