/* The kernel, called directly: for code that can rely on no C library. */
#ifndef ROLLCALL_KERNEL_H
#define ROLLCALL_KERNEL_H

#if defined(__x86_64__)
enum { CRASH_READ = 0, CRASH_CLOSE = 3, CRASH_SIGACTION = 13, CRASH_GETPID = 39, CRASH_SIGALTSTACK = 131, CRASH_GETTID = 186,
       CRASH_CLOCK = 228, CRASH_TGKILL = 234, CRASH_OPENAT = 257 };

static inline long crash_call6(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum { CRASH_READ = 63, CRASH_CLOSE = 57, CRASH_SIGACTION = 134, CRASH_GETPID = 172, CRASH_SIGALTSTACK = 132, CRASH_GETTID = 178,
       CRASH_CLOCK = 113, CRASH_TGKILL = 131, CRASH_OPENAT = 56 };

static inline long crash_call6(long number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#else
#error "kernel.h knows x86_64 and aarch64"
#endif

static inline long crash_call(long number, long a, long b, long c, long d) { return crash_call6(number, a, b, c, d, 0, 0); }

static inline int crash_begins(const char *text, const char *start) {
    while (*start != 0)
        if (*text++ != *start++) return 0;
    return 1;
}

#endif
