/* A library that is broken in several ways, on demand. */
#include <stdlib.h>
#include <string.h>

int null_pointer(void) {
    volatile int *nowhere = 0;
    return *nowhere;
}

unsigned long in_the_c_library(void) {
    const char *volatile nowhere = 0;
    return strlen(nowhere);
}

void aborts(void) { abort(); }

int used_up(int depth) {
    volatile char frame[4096];
    frame[0] = (char)depth;
    return used_up(depth + 1) + frame[0];
}

void into_nowhere(void) {
    void (*volatile nowhere)(void) = 0;
    nowhere();
}
