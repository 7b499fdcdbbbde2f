/* The same as an extension of PHP: breaks('null_pointer'). Built for this machine's PHP by the test. */
#include <php.h>

#include "breaks.c"

PHP_FUNCTION(breaks) {
    char *way;
    size_t length;
    ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_STRING(way, length)
    ZEND_PARSE_PARAMETERS_END();
    if (!strcmp(way, "null_pointer")) null_pointer();
    if (!strcmp(way, "in_the_c_library")) in_the_c_library();
    if (!strcmp(way, "aborts")) aborts();
    if (!strcmp(way, "used_up")) used_up(0);
    if (!strcmp(way, "into_nowhere")) into_nowhere();
}

ZEND_BEGIN_ARG_INFO_EX(arginfo_breaks, 0, 0, 1)
ZEND_ARG_INFO(0, way)
ZEND_END_ARG_INFO()

static const zend_function_entry functions[] = {PHP_FE(breaks, arginfo_breaks) PHP_FE_END};

zend_module_entry breaks_module_entry = {STANDARD_MODULE_HEADER, "breaks", functions, NULL, NULL, NULL, NULL, NULL, "1",
                                         STANDARD_MODULE_PROPERTIES};

ZEND_GET_MODULE(breaks)
