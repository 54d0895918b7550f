/* What libc writes by itself: lines by each function of stdio, narrow and wide, to a log, to data or to
 * stderr; and messages of errors. */
#include "ops.h"

#include <err.h>
#include <error.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <syslog.h>
#include <wchar.h>

static FILE *open_stream(bool is_log) {
    char name[64];
    snprintf(name, sizeof name, "monkey-%d-%u.%s", getpid(), origin_new(), is_log ? "log" : "dat");
    FILE *stream =
        chance(50) ? DO_POINTER(fopen, name, is_log ? "ae" : "w+") : DO_POINTER(fopen64, name, "a");
    MUST(stream != NULL);
    unlink(name);
    if (chance(50))
        setvbuf(stream, NULL, chance(50) ? _IOLBF : _IONBF, 0);
    return stream;
}

static void print_by_list(FILE *stream, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    switch (below(6)) {
    case 0:
        DO(vfprintf, stream, format, arguments);
        break;
    case 1:
        DO(__vfprintf_chk, stream, 1, format, arguments);
        break;
    case 2:
        DO(vdprintf, fileno(stream), format, arguments);
        break;
    case 3:
        DO(__vdprintf_chk, fileno(stream), 1, format, arguments);
        break;
    case 4:
        DO(vprintf, format, arguments);
        break;
    default:
        DO(__vprintf_chk, 1, format, arguments);
    }
    va_end(arguments);
}

static void print_one(FILE *stream) {
    static const char format[] = "a line %d\n", line[] = "another line\n";
    switch (below(20)) {
    case 0:
        DO(fprintf, stream, format, 1);
        break;
    case 1:
        DO(__fprintf_chk, stream, 1, format, 2);
        break;
    case 2:
        DO(dprintf, fileno(stream), format, 3);
        break;
    case 3:
        DO(__dprintf_chk, fileno(stream), 1, format, 4);
        break;
    case 4:
        DO(printf, format, 5);
        break;
    case 5:
        DO(__printf_chk, 1, format, 6);
        break;
    case 6:
        DO(puts, "a line");
        break;
    case 7:
        DO(fputs, line, stream);
        break;
    case 8:
        DO(fputs_unlocked, line, stream);
        break;
    case 9:
        DO(fputc, 'x', stream);
        DO(putc, '\n', stream);
        break;
    case 10:
        DO(_IO_putc, 'x', stream);
        DO(putchar, '\n');
        break;
    case 11:
        DO(fputc_unlocked, 'x', stream);
        DO(putc_unlocked, '\n', stream);
        break;
    case 12:
        DO(putchar_unlocked, '\n');
        break;
    case 13:
        DO(fwrite, line, 1, sizeof line - 1, stream);
        break;
    case 14:
        DO(fwrite_unlocked, line, 1, sizeof line - 1, stream);
        break;
    case 15:
        DO(putw, 0x0a646362, stream);
        break;
    case 16:
        DO(__overflow, stream, 'x');
        break;
    default:
        print_by_list(stream, format, 7);
    }
}

/* What a child or another program writes to the same place comes after it. */
void print_line(void) {
    FILE *stream = chance(60) ? open_stream(chance(60)) : stderr;
    for (unsigned i = 1 + below(4); i > 0; i--)
        print_one(stream);
    fflush(stdout);
    if (stream != stderr)
        DO(fclose, stream);
}

static void wide_by_list(FILE *stream, const wchar_t *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    switch (below(4)) {
    case 0:
        DO(vfwprintf, stream, format, arguments);
        break;
    case 1:
        DO(__vfwprintf_chk, stream, 1, format, arguments);
        break;
    case 2:
        DO(vwprintf, format, arguments);
        break;
    default:
        DO(__vwprintf_chk, 1, format, arguments);
    }
    va_end(arguments);
}

static void wide_one(FILE *stream) {
    switch (below(14)) {
    case 0:
        DO(fwprintf, stream, L"wide %d\n", 1);
        break;
    case 1:
        DO(__fwprintf_chk, stream, 1, L"wide %d\n", 2);
        break;
    case 2:
        DO(wprintf, L"wide %d\n", 3);
        break;
    case 3:
        DO(__wprintf_chk, 1, L"wide %d\n", 4);
        break;
    case 4:
        DO(fputws, L"wide\n", stream);
        break;
    case 5:
        DO(fputws_unlocked, L"wide\n", stream);
        break;
    case 6:
        DO(fputwc, L'w', stream);
        break;
    case 7:
        DO(putwc, L'\n', stream);
        break;
    case 8:
        DO(putwchar, L'w');
        break;
    case 9:
        DO(fputwc_unlocked, L'w', stream);
        break;
    case 10:
        DO(putwc_unlocked, L'\n', stream);
        break;
    case 11:
        DO(putwchar_unlocked, L'w');
        break;
    default:
        wide_by_list(stream, L"wide %d\n", 5);
    }
}

void wide_line(void) {
    FILE *stream = open_stream(chance(60));
    for (unsigned i = 1 + below(4); i > 0; i--)
        wide_one(stream);
    DO(fclose, stream);
}

/* Files that libc opens and closes. */
void stream_file(void) {
    FILE *stream = NULL;
    char text[32] = "";
    unsigned way = below(6);
    switch (way) {
    case 0:
        stream = DO_POINTER(tmpfile);
        break;
    case 1:
        stream = DO_POINTER(tmpfile64);
        break;
    case 2:
        stream = DO_POINTER(fdopen, memfd_create("stream", MFD_CLOEXEC), "r+");
        break;
    case 3:
        stream = DO_POINTER(freopen, "/dev/null", "r+", open_stream(false));
        break;
    case 4:
        stream = DO_POINTER(freopen64, "/dev/zero", "r", open_stream(true));
        break;
    default:
        stream = DO_POINTER(fopen, "/nonexistent/file", "r");
    }
    noted("stream", stream != NULL);
    if (stream == NULL)
        return;
    noted("its number", fileno(stream));
    if (way < 4) {
        DO(fputs, "some text", stream);
        DO(fseek, stream, 0, SEEK_SET);
    }
    size_t got = fread(text, 1, sizeof text, stream);
    told_bytes("it has", text, got);
    DO(fclose, stream);
}

/* --- errors ----------------------------------------------------------------------------------------------
 */

static void warn_by_list(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    switch (below(4)) {
    case 0:
        DO_NOTHING(vwarn, format, arguments);
        break;
    case 1:
        DO_NOTHING(vwarnx, format, arguments);
        break;
    case 2:
        DO_NOTHING(vsyslog, LOG_DEBUG, format, arguments);
        break;
    default:
        DO_NOTHING(__vsyslog_chk, LOG_DEBUG, 1, format, arguments);
    }
    va_end(arguments);
}

static void end_by_list(bool says_errno, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (says_errno)
        verr(12, format, arguments);
    verrx(13, format, arguments);
}

/* In a child: these end it. */
static void end_with_message(void) {
    unsigned way = below(6);
    static const enum hook hooks[] = {HOOK_err,   HOOK_errx,  HOOK_verr,
                                      HOOK_verrx, HOOK_error, HOOK_error_at_line};
    int status = 0;
    hook_used(hooks[way]);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        errno = ENOENT;
        switch (way) {
        case 0:
            err(10, "ends %d", 1);
        case 1:
            errx(11, "ends %d", 2);
        case 2:
        case 3:
            end_by_list(way == 2, "ends %d", 3);
            break;
        case 4:
            error(14, ENOENT, "ends %d", 4);
            break;
        default:
            error_at_line(15, 0, "file", 7, "ends %d", 5);
        }
        _exit(99);
    }
    kernel_call(SYS_wait4, child, (long)&status, 0, 0, 0, 0);
    noted("it ended with", status);
}

void report_error(void) {
    switch (below(9)) {
    case 0:
        DO_NOTHING(perror, "perror");
        break;
    case 1:
        DO_NOTHING(psignal, SIGUSR1, "psignal");
        break;
    case 2:
        DO_NOTHING(warn, "warn %d", 1);
        break;
    case 3:
        DO_NOTHING(warnx, "warnx %d", 2);
        break;
    case 4:
        DO_NOTHING(error, 0, ENOENT, "error %d", 3);
        break;
    case 5:
        DO_NOTHING(syslog, LOG_DEBUG, "monkey %d", 4);
        closelog();
        break;
    case 6:
        DO_NOTHING(__syslog_chk, LOG_DEBUG, 1, "monkey %d", 5);
        closelog();
        break;
    case 7:
        end_with_message();
        break;
    default:
        warn_by_list("by list %d", 6);
        closelog();
    }
}
