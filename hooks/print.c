/* Formatted output, in bytes: log lines carry the context (H30). A fortified name (H18) formats as it would
 * have itself. */
#include "gate.h"

#include <errno.h>
#include <stdarg.h>

static bool print_annotated(FILE *stream, int flag, const char *format, va_list arguments, int *result) {
    int error = errno;
    size_t out = 0;
    struct draft text;
    draft_begin(&text);
    bool done = draft_format(&text, flag, format, arguments);
    size_t size = text.size;
    errno = error;
    done = done && annotate_stream(stream, REAL(fwrite), &text, &out);
    draft_end(&text);
    *result = out == size ? (int)size : -1;
    return done;
}

static int print(FILE *stream, int flag, const char *format, va_list arguments, struct here here) {
    int result;
    if (annotate_wants_stream(stream, here) && fwide(stream, 0) <= 0 &&
        print_annotated(stream, flag, format, arguments, &result))
        return result;
    return flag == FORMAT_PLAIN ? REAL(vfprintf)(stream, format, arguments)
                                : REAL(__vfprintf_chk)(stream, flag, format, arguments);
}

GATED_HOOK(int, printf, (const char *restrict format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stdout, FORMAT_PLAIN, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, fprintf, (FILE *restrict stream, const char *restrict format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stream, FORMAT_PLAIN, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, vprintf, (const char *restrict format, va_list arguments)) {
    return print(stdout, FORMAT_PLAIN, format, arguments, HERE);
}

GATED_HOOK(int, vfprintf, (FILE *restrict stream, const char *restrict format, va_list arguments)) {
    return print(stream, FORMAT_PLAIN, format, arguments, HERE);
}

GATED_HOOK(int, __printf_chk, (int flag, const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stdout, flag, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, __fprintf_chk, (FILE * stream, int flag, const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stream, flag, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, __vprintf_chk, (int flag, const char *format, va_list arguments)) {
    return print(stdout, flag, format, arguments, HERE);
}

GATED_HOOK(int, __vfprintf_chk, (FILE * stream, int flag, const char *format, va_list arguments)) {
    return print(stream, flag, format, arguments, HERE);
}

/* --- to a descriptor ---------------------------------------------------------------------------------- */

static bool dprint_annotated(int fd, int flag, const char *format, va_list arguments, int *result) {
    int error = errno;
    size_t out = 0;
    struct draft text;
    draft_begin(&text);
    bool done = draft_format(&text, flag, format, arguments);
    size_t size = text.size;
    errno = error;
    done = done && annotate_descriptor(fd, REAL(write), &text, &out);
    draft_end(&text);
    *result = out == size ? (int)size : -1;
    return done;
}

static int dprint(int fd, int flag, const char *format, va_list arguments, struct here here) {
    struct passage passage = rules_write_begin(fd, (struct outgoing){0}, here);
    int result;
    if (!annotate_wants(fd) || !dprint_annotated(fd, flag, format, arguments, &result))
        result = flag == FORMAT_PLAIN ? REAL(vdprintf)(fd, format, arguments)
                                      : REAL(__vdprintf_chk)(fd, flag, format, arguments);
    rules_write_end(&passage, result, result > 0 ? (size_t)result : 0, NULL);
    return result;
}

GATED_HOOK(int, dprintf, (int fd, const char *restrict format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = dprint(fd, FORMAT_PLAIN, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, vdprintf, (int fd, const char *restrict format, va_list arguments)) {
    return dprint(fd, FORMAT_PLAIN, format, arguments, HERE);
}

GATED_HOOK(int, __dprintf_chk, (int fd, int flag, const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = dprint(fd, flag, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, __vdprintf_chk, (int fd, int flag, const char *format, va_list arguments)) {
    return dprint(fd, flag, format, arguments, HERE);
}
