/* Remembers the exception that was thrown last in a request: a framework that answers it with a page leaves nothing else of it.
 *
 * PHP calls `zend_throw_exception_hook` for every exception, before anybody catches it. Its class, message, file and line are
 * read where they are: class and properties of an object, and the order of an exception's first properties, are the same from PHP
 * 7.1 to 8.4, and what is not of the type that it should be is left out. Not in a PHP with threads: there is one place to keep it.
 */
#include "php.h"

struct object { /* zend_object */
    uint32_t references, kind, handle, more;
    const struct class *class;
    const void *handlers, *table;
    struct value properties[5]; /* MESSAGE, .., FILE, LINE */
};

enum { MESSAGE = 0, PLACE_FILE = 3, PLACE_LINE = 4 };
enum { MAX_NAME = 120, MAX_MESSAGE = 800, MAX_FILE = 300 };

extern void (*zend_throw_exception_hook)(const void *exception) __attribute__((weak));

static void (*former)(const void *);
static int is_ours, is_value; /* before PHP 8 the hook is given a zval */
static uint64_t count;

/* As much of a text as there is place for, printable, up to its first NUL. */
static char *add(char *to, const struct text *text, size_t most) {
    for (size_t i = 0; i < most && i < text->length && text->bytes[i] != 0; i++) {
        unsigned char byte = (unsigned char)text->bytes[i];
        *to++ = byte < ' ' || byte == 127 ? ' ' : (char)byte;
    }
    *to++ = '\t';
    return to;
}

static char *add_value(char *to, const struct value *value, size_t most) {
    static const struct text none = {0, 0, 0, ""};
    return add(to, (value->type & TYPE) == IS_STRING ? value->is.pointer : &none, most);
}

static void keep(const struct object *error) {
    static char text[MAX_NAME + MAX_MESSAGE + MAX_FILE + 32];
    char number[PATH_BYTES];
    number[0] = 0;
    if (error->class == NULL || error->class->name == NULL) return;
    char *to = add(text, error->class->name, MAX_NAME);
    const struct value *message = &error->properties[MESSAGE];
    if ((message->type & TYPE) == IS_STRING) rollcall_said(message->is.pointer);
    to = add_value(to, message, MAX_MESSAGE);
    to = add_value(to, &error->properties[PLACE_FILE], MAX_FILE);
    const struct value *line = &error->properties[PLACE_LINE];
    if ((line->type & TYPE) == IS_LONG && line->is.number > 0) rollcall_append_number(number, 0, line->is.number);
    for (const char *digit = number; *digit != 0;) *to++ = *digit++;
    *to = 0;
    rollcall_tell_thrown(text);
}

static void at_throw(const void *exception) {
    count++;
    const struct object *error = exception != NULL && is_value ? ((const struct value *)exception)->is.pointer : exception;
    if (error != NULL) keep(error);
    if (former != NULL) former(exception);
}

void rollcall_thrown_startup(const struct module_entry *core) {
    if (&zend_throw_exception_hook == NULL || core->threads || core->api < API_7_1 || core->api > NEWEST || !rollcall_serves()) return;
    is_value = core->api < API_8_0;
    rollcall_version[0] = '2';
    former = zend_throw_exception_hook;
    zend_throw_exception_hook = at_throw;
    is_ours = 1;
}

void rollcall_thrown_shutdown(void) {
    if (is_ours && zend_throw_exception_hook == at_throw) zend_throw_exception_hook = former;
    is_ours = 0;
}

uint64_t rollcall_thrown_count(void) { return count; }
