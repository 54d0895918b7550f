/* Dice, and what is said of each call: see monkey.h. What is kept here a fork child gets a copy of. */
#include "monkey.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

_Thread_local struct dice dice;
/* Shared with fork children. */
static _Atomic unsigned *hook_calls;
static uint64_t sum = 0xcbf29ce484222325;
static char speaker[16] = "";

/* splitmix64 */
uint64_t draw(void) {
    uint64_t z = dice.state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void dice_throw(uint64_t seed, uint64_t number) {
    dice.state = seed * 0x2545f4914f6cdd1d + number;
    dice.state = draw();
}

unsigned below(unsigned limit) {
    return limit == 0 ? 0 : (unsigned)(draw() >> 33) % limit;
}

bool chance(unsigned percent) {
    return below(100) < percent;
}

static void add(const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ byte[i]) * 0x100000001b3;
}

void remark(const char *format, ...) {
    char line[400];
    int saved = errno, length = snprintf(line, sizeof line, "%s", speaker);
    va_list arguments;
    if (!asked.log)
        return;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    kernel_call(SYS_write, LOG_FD, (long)line, length, 0, 0, 0);
    errno = saved;
}

long told(const char *what, long result) {
    int error = errno;
    if (asked.threads > 0)
        return result;
    add(what, strlen(what));
    add(&result, sizeof result);
    add(&error, sizeof error);
    if (error != UNTOUCHED)
        remark("    %s: %ld, errno %d", what, result, error);
    else
        remark("    %s: %ld", what, result);
    errno = error;
    return result;
}

void told_bytes(const char *what, const void *bytes, size_t size) {
    if (asked.threads > 0)
        return;
    add(bytes, size);
    remark("    %s: %zu bytes, sum now %016lx", what, size, (unsigned long)sum);
}

uint64_t digest(void) {
    return sum;
}

void digest_begin(uint64_t from) {
    sum = from;
    snprintf(speaker, sizeof speaker, "child: ");
}

void broken(const char *file, int line, const char *what) {
    fprintf(stderr, "monkey: seed %lu: %s:%d: not so: %s\n", (unsigned long)asked.seed, file, line, what);
    abort();
}

static const char *const hook_names[HOOKS] = {
#define HOOK_ROW(name, family, rules) #name,
#include "../../hooks/hooks.def"
#undef HOOK_ROW
};

void hooks_uncalled(FILE *stream) {
    fprintf(stream, "uncalled:");
    for (int i = 0; i < HOOKS; i++)
        if (hook_calls[i] == 0)
            fprintf(stream, " %s", hook_names[i]);
    fprintf(stream, "\n");
}

void hooks_begin(void) {
    hook_calls = (void *)kernel_call(SYS_mmap, 0, HOOKS * sizeof *hook_calls, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void hook_used(enum hook hook) {
    atomic_fetch_add_explicit(&hook_calls[hook], 1, memory_order_relaxed);
}

long noted(const char *what, long result) {
    int saved = errno;
    errno = UNTOUCHED;
    told(what, result);
    errno = saved;
    return result;
}

void gate_wait(_Atomic bool *open) {
    while (!atomic_load(open))
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
