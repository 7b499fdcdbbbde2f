/* A program into which somebody has put a handler of SIGSEGV between two watches of ours, which passes the signal on to the one
 * before it: that is our own. Says what was kept, and dies by the signal. */
#include <stdio.h>
#include <unistd.h>

#include "crash.h"

static struct sigaction before;

static void keep(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    write(1, "kept ", 5);
}

static void pass_on(int signal, siginfo_t *info, void *context) {
    write(1, "passed ", 7);
    before.sa_sigaction(signal, info, context);
}

int main(void) {
    struct sigaction action = {0};
    rollcall_crash_watch(keep);
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before);
    rollcall_crash_watch(keep);
    return *(volatile int *)0;
}
