/* What a worker leaves behind when a fatal signal ends it: which signal, at which instruction, in which mapped object.
 *
 * Included by the Python probe's recorder and by the PHP extension. Calls nothing of the C library, only the kernel: the process
 * is broken when this runs, and the PHP extension must load with any C library. `struct rollcall_crash` is `layout.CRASH` of
 * rollcall_agent/wire/layout.py. Handlers are put on top of those that are there, and after them the former action proceeds: the
 * same death, core file and message of the server as without them.
 */
#ifndef ROLLCALL_CRASH_H
#define ROLLCALL_CRASH_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "kernel.h"

struct rollcall_crash {
    uint32_t signal, code; /* the signal is written last */
    uint64_t at_us, address, instruction, offset, caller_offset;
    char module[200], caller[200];
};

_Static_assert(sizeof(struct rollcall_crash) == 448, "layout.CRASH");

#if defined(__x86_64__)
__attribute__((naked, used)) static void crash_restorer(void) { __asm__ volatile("mov $15, %eax\n\tsyscall"); }

static uint64_t crash_instruction(const ucontext_t *context) { return (uint64_t)context->uc_mcontext.gregs[16]; /* RIP */ }
static uint64_t crash_stack(const ucontext_t *context) { return (uint64_t)context->uc_mcontext.gregs[15]; /* RSP */ }
static uint64_t crash_return(const ucontext_t *context) { (void)context; return 0; }
#else
static uint64_t crash_instruction(const ucontext_t *context) { return context->uc_mcontext.pc; }
static uint64_t crash_stack(const ucontext_t *context) { return context->uc_mcontext.sp; }
static uint64_t crash_return(const ucontext_t *context) { return context->uc_mcontext.regs[30]; }
#endif

/* The kernel's struct, which is not the C library's. */
struct crash_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* --- mapped objects */

enum { CRASH_MAPS = 256, CRASH_STACK_BYTES = 16384, CRASH_SIGNALS = 5 };

struct crash_map {
    uint64_t start, end, offset;
    char path[200];
};

static struct crash_map crash_maps[CRASH_MAPS]; /* those with instructions; untouched memory unless there is a crash */
static int crash_map_count;
static uint64_t crash_stack_end;

static const char *crash_hex(const char *text, uint64_t *value) {
    for (*value = 0;; text++) {
        char digit = *text;
        if (digit >= '0' && digit <= '9') *value = *value << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f') *value = *value << 4 | (uint64_t)(digit - 'a' + 10);
        else return text;
    }
}

/* One line of /proc/self/maps: `start-end rwxp offset dev inode   path`. */
static void crash_take_line(const char *line, uint64_t stack) {
    uint64_t start, end, offset;
    const char *at = crash_hex(line, &start);
    if (*at != '-') return;
    at = crash_hex(at + 1, &end);
    if (*at != ' ' || at[1] == 0 || at[2] == 0 || at[3] == 0) return;
    if (stack >= start && stack < end) crash_stack_end = end;
    if (at[3] != 'x' || crash_map_count >= CRASH_MAPS) return;
    while (*++at != ' ')
        if (*at == 0) return;
    at = crash_hex(at + 1, &offset);
    while (*at != 0 && *at != '/') at++; /* what has no file ([vdso], memory of a compiler) has an empty path */
    struct crash_map *map = &crash_maps[crash_map_count++];
    map->start = start;
    map->end = end;
    map->offset = offset;
    size_t i = 0;
    for (; at[i] != 0 && i < sizeof map->path - 1; i++) map->path[i] = at[i];
    map->path[i] = 0;
}

static void crash_read_maps(uint64_t stack) {
    static char chunk[4096], line[512];
    crash_map_count = 0;
    crash_stack_end = 0;
    long fd = crash_call(CRASH_OPENAT, -100 /* AT_FDCWD */, (long)"/proc/self/maps", 02000000 /* O_CLOEXEC */, 0);
    if (fd < 0) return;
    size_t length = 0;
    long got;
    while ((got = crash_call(CRASH_READ, fd, (long)chunk, sizeof chunk, 0)) > 0) {
        for (long i = 0; i < got; i++) {
            if (chunk[i] != '\n') {
                if (length < sizeof line - 1) line[length++] = chunk[i];
                continue;
            }
            line[length] = 0;
            crash_take_line(line, stack);
            length = 0;
        }
    }
    crash_call(CRASH_CLOSE, fd, 0, 0, 0);
}

static const struct crash_map *crash_map_of(uint64_t address) {
    for (int i = 0; i < crash_map_count; i++)
        if (address >= crash_maps[i].start && address < crash_maps[i].end) return &crash_maps[i];
    return NULL;
}

static const char *const crash_runtime[] = {"libc.", "libc-", "libpthread", "libm.", "libm-", "ld-", "libstdc++", "libgcc_s", "libffi",
                                            "rollcall_crash", "_rollcall_native", NULL};
static const char *const crash_interpreter[] = {"libpython", "python", "libphp", "php", NULL};

/* Whether an object is one of `names`. Whoever called into the C runtime is of more interest than it, and an extension of more
 * than the interpreter that called the extension. */
static int crash_is_of(const char *const *names, const char *path) {
    const char *name = path;
    for (const char *at = path; *at != 0; at++)
        if (*at == '/') name = at + 1;
    for (; *names != NULL; names++)
        if (crash_begins(name, *names)) return 1;
    return 0;
}

static void crash_name(const struct crash_map *map, uint64_t address, char *path, uint64_t *offset) {
    size_t i = 0;
    for (; map->path[i] != 0; i++) path[i] = map->path[i];
    path[i] = 0;
    *offset = address - map->start + map->offset;
}

static int crash_take_caller(struct rollcall_crash *out, uint64_t address) {
    const struct crash_map *map = crash_map_of(address);
    if (map == NULL || map->path[0] == 0 || crash_is_of(crash_runtime, map->path)) return 0;
    if (!crash_is_of(crash_interpreter, map->path)) {
        crash_name(map, address, out->caller, &out->caller_offset);
        return 1;
    }
    if (out->caller[0] == 0) crash_name(map, address, out->caller, &out->caller_offset);
    return 0;
}

/* The first address on the stack that leads into an extension, else into the interpreter: most likely the caller. No more than
 * likely, because a stack also holds what earlier calls left there. */
static void crash_find_caller(struct rollcall_crash *out, uint64_t stack, uint64_t link) {
    if (crash_take_caller(out, link)) return;
    uint64_t at = (stack + 7) & ~(uint64_t)7;
    for (uint64_t end = at + CRASH_STACK_BYTES; at < end && at + 8 <= crash_stack_end; at += 8)
        if (crash_take_caller(out, *(const uint64_t *)at)) return;
}

/* Fill in everything; `out` is zero before. */
static void rollcall_crash_fill(struct rollcall_crash *out, int signal, siginfo_t *info, void *context) {
    struct { int64_t seconds, nanoseconds; } now = {0, 0};
    crash_call(CRASH_CLOCK, 1 /* CLOCK_MONOTONIC */, (long)&now, 0, 0);
    out->at_us = (uint64_t)now.seconds * 1000000u + (uint64_t)now.nanoseconds / 1000u;
    out->code = (uint32_t)info->si_code;
    if (info->si_code != SI_USER) { /* another process's signal says nothing of where this one was */
        uint64_t stack = crash_stack(context);
        out->instruction = crash_instruction(context);
        if (info->si_code > 0) out->address = (uint64_t)info->si_addr;
        crash_read_maps(stack);
        const struct crash_map *map = crash_map_of(out->instruction);
        if (map != NULL) crash_name(map, out->instruction, out->module, &out->offset);
        if (map == NULL || crash_is_of(crash_runtime, map->path)) crash_find_caller(out, stack, crash_return(context));
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *(volatile uint32_t *)&out->signal = (uint32_t)signal;
}

/* --- handlers */

static const int crash_signals[CRASH_SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static struct crash_action crash_former[CRASH_SIGNALS];
static volatile int crash_passed[CRASH_SIGNALS]; /* the signal has been passed on to the former action */
static void (*volatile crash_keep)(int signal, siginfo_t *info, void *context);
static char crash_alternate[65536]; /* to run on when the stack is used up */

static long crash_sigaction(int signal, const struct crash_action *action, struct crash_action *former) {
    return crash_call(CRASH_SIGACTION, signal, (long)action, (long)former, 8);
}

static void crash_handler(int signal, siginfo_t *info, void *context) {
    void (*keep)(int, siginfo_t *, void *) = crash_keep;
    crash_keep = NULL; /* once, and not again for a fault of its own */
    if (keep != NULL) keep(signal, info, context);
    for (int i = 0; i < CRASH_SIGNALS; i++) {
        if (crash_signals[i] != signal) continue;
        /* A handler that came between two watches passes the signal on to us again: that would go round for ever. */
        struct crash_action end = {NULL /* SIG_DFL */, crash_former[i].flags & 0x04000000ul, crash_former[i].restorer, 0};
        crash_sigaction(signal, crash_passed[i] ? &end : &crash_former[i], NULL);
        crash_passed[i] = 1;
    }
    /* A fault comes again when the instruction is repeated; what was sent must be sent again. */
    if (info->si_code <= 0)
        crash_call(CRASH_TGKILL, crash_call(CRASH_GETPID, 0, 0, 0, 0), crash_call(CRASH_GETTID, 0, 0, 0, 0), signal, 0);
}

/* Have `keep` called once when a fatal signal comes. Called again it puts the handlers on top of what came over them. */
static void rollcall_crash_watch(void (*keep)(int, siginfo_t *, void *)) {
    stack_t alternate;
    int is_main = crash_call(CRASH_GETPID, 0, 0, 0, 0) == crash_call(CRASH_GETTID, 0, 0, 0, 0); /* there is one stack to give */
    crash_keep = keep;
    if (is_main && crash_call(CRASH_SIGALTSTACK, 0, (long)&alternate, 0, 0) == 0 && (alternate.ss_flags & SS_DISABLE)) {
        alternate.ss_sp = crash_alternate;
        alternate.ss_size = sizeof crash_alternate;
        alternate.ss_flags = 0;
        crash_call(CRASH_SIGALTSTACK, (long)&alternate, 0, 0, 0);
    }
    for (int i = 0; i < CRASH_SIGNALS; i++) {
        struct crash_action ours, former;
        ours.handler = crash_handler;
        ours.flags = SA_SIGINFO | SA_ONSTACK;
        ours.restorer = NULL;
        ours.mask = 0;
#if defined(__x86_64__)
        ours.flags |= 0x04000000; /* SA_RESTORER */
        ours.restorer = crash_restorer;
#endif
        if (crash_sigaction(crash_signals[i], NULL, &former) != 0 || former.handler == crash_handler) continue;
        crash_former[i] = former;
        crash_passed[i] = 0;
        crash_sigaction(crash_signals[i], &ours, NULL);
    }
}

#endif
