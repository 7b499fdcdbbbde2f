/* A PHP extension as applications have them: recode(int): int. Built with -DBROKEN it is the release that did not fit: it reads
 * through a null pointer for every tenth number. */
#include <php.h>

PHP_FUNCTION(recode) {
    zend_long number;
    static const int key = 7;
    const volatile int *at = &key;
    ZEND_PARSE_PARAMETERS_START(1, 1)
    Z_PARAM_LONG(number)
    ZEND_PARSE_PARAMETERS_END();
#ifdef BROKEN
    if (number % 10 == 0) at = NULL;
#endif
    RETURN_LONG(number * *at);
}

ZEND_BEGIN_ARG_INFO_EX(arginfo_recode, 0, 0, 1)
ZEND_ARG_INFO(0, number)
ZEND_END_ARG_INFO()

static const zend_function_entry functions[] = {PHP_FE(recode, arginfo_recode) PHP_FE_END};

zend_module_entry recode_module_entry = {STANDARD_MODULE_HEADER, "recode", functions, NULL, NULL, NULL, NULL, NULL, "1",
                                         STANDARD_MODULE_PROPERTIES};

ZEND_GET_MODULE(recode)
