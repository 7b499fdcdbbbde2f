/* A library as applications have them: packs an order's number for the printer. Built with -DBROKEN it is the release that should
 * not have gone out: it reads through a null pointer for every tenth order. */
#include <stddef.h>

int pack(int order) {
    static const int key = 7;
    const int *at = &key;
#ifdef BROKEN
    if (order % 10 == 0) at = NULL;
#endif
    return order * *(const volatile int *)at;
}
