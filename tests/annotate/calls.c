/* The functions that write, each in a scene of its own name: a line, and where a call can hold more, two. */
#include "program.h"

#include <err.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wchar.h>

#define SCENE(name, ...)                                                                                     \
    static void scene_##name(void) {                                                                         \
        __VA_ARGS__                                                                                          \
    }
#define NOTE(call) note(#call, (long)(call))

/* What no header declares, or none of today's. */
int __vprintf_chk(int flag, const char *format, va_list arguments);
int _IO_putc(int c, FILE *stream);

static int seven = 7; /* so that nothing is known when this is compiled */

/* --- formatted --------------------------------------------------------------------------------------------
 */

#define THROUGH(name, call, ...)                                                                             \
    static int name(const char *format, ...) {                                                               \
        va_list arguments;                                                                                   \
        va_start(arguments, format);                                                                         \
        int result = call(__VA_ARGS__, arguments);                                                           \
        va_end(arguments);                                                                                   \
        return result;                                                                                       \
    }
THROUGH(through_vfprintf, vfprintf, stderr, format)
THROUGH(through_vprintf, vprintf, format)
THROUGH(through_vdprintf, vdprintf, 2, format)
THROUGH(through_vprintf_chk, __vprintf_chk, 1, format)

SCENE(printf, NOTE(printf("out %d\ntwo %m\n", seven));)
SCENE(fprintf, NOTE(fprintf(stderr, "err %d\ntwo %s\n", seven, "x"));)
SCENE(vprintf, NOTE(through_vprintf("out %d\n", seven));)
SCENE(vfprintf, NOTE(through_vfprintf("err %d\n", seven));)
SCENE(dprintf, NOTE(dprintf(2, "descriptor %d\n", seven));)
SCENE(vdprintf, NOTE(through_vdprintf("descriptor %d %m\n", seven));)
SCENE(vprintf_chk, NOTE(through_vprintf_chk("out %d\n", seven));)
SCENE(fprintf_nothing, NOTE(fprintf(stderr, "%s", seven == 7 ? "" : "?"));)
SCENE(fprintf_count, int count = 0; NOTE(fprintf(stderr, "%*d\n", 3000 + seven, seven)); note("n", count);)

/* --- unformatted ------------------------------------------------------------------------------------------
 */

SCENE(fputs, NOTE(fputs("one\ntwo\n", stderr));)
SCENE(puts, NOTE(puts("one\ntwo")); NOTE(puts(""));)
SCENE(fputc, NOTE(fputc('\n', stderr));)
SCENE(putc, NOTE(putc('\n', stderr));)
SCENE(IO_putc, NOTE(_IO_putc('\n', stderr));)
SCENE(putw, NOTE(putw(0x0a626164, stderr));)
SCENE(putchar, NOTE(putchar('\n'));)
SCENE(fwrite, NOTE(fwrite("one\ntwo\n", 4, 2, stderr));)
SCENE(fputs_unlocked, NOTE(fputs_unlocked("one\ntwo\n", stderr));)
SCENE(fputc_unlocked, NOTE(fputc_unlocked('\n', stderr));)
SCENE(putc_unlocked, NOTE(putc_unlocked('\n', stderr));)
SCENE(putchar_unlocked, setvbuf(stdout, NULL, _IOLBF, 0); NOTE(putchar_unlocked('\n'));)
SCENE(fwrite_unlocked, NOTE(fwrite_unlocked("one\ntwo\n", 4, 2, stderr));)

/* --- wide -------------------------------------------------------------------------------------------------
 */

#define THROUGH_WIDE(name, call, ...)                                                                        \
    static int name(const wchar_t *format, ...) {                                                            \
        va_list arguments;                                                                                   \
        va_start(arguments, format);                                                                         \
        int result = call(__VA_ARGS__, arguments);                                                           \
        va_end(arguments);                                                                                   \
        return result;                                                                                       \
    }
THROUGH_WIDE(through_vfwprintf, vfwprintf, stderr, format)
THROUGH_WIDE(through_vwprintf, vwprintf, format)

SCENE(wprintf, NOTE(wprintf(L"wide %d\ntwo\n", seven));)
SCENE(fwprintf, NOTE(fwprintf(stderr, L"wide %d\ntwo %m\n", seven));)
SCENE(vwprintf, NOTE(through_vwprintf(L"wide %d\n", seven));)
SCENE(vfwprintf, NOTE(through_vfwprintf(L"wide %2000d\n", seven));)
SCENE(fputws, NOTE(fputws(L"one\ntwo\n", stderr));)
SCENE(fputwc, NOTE(fputwc(L'\n', stderr));)
SCENE(putwc, NOTE(putwc(L'\n', stderr));)
SCENE(putwchar, NOTE(putwchar(L'\n'));)
SCENE(fputws_unlocked, NOTE(fputws_unlocked(L"one\ntwo\n", stderr));)
SCENE(fputwc_unlocked, NOTE(fputwc_unlocked(L'\n', stderr));)
SCENE(putwc_unlocked, NOTE(putwc_unlocked(L'\n', stderr));)
SCENE(putwchar_unlocked, NOTE(putwchar_unlocked(L'\n'));)

/* A stream stays what it was first used as, and the other kind fails. */
SCENE(bytes_on_wide, NOTE(fputws(L"wide\n", stderr)); NOTE(fputs("bytes\n", stderr));
      NOTE(fprintf(stderr, "%d\n", seven)); NOTE(fwide(stderr, 0));)
SCENE(wide_on_bytes, NOTE(fputs("bytes\n", stderr)); NOTE(fputws(L"wide\n", stderr));
      NOTE(fwprintf(stderr, L"%d\n", seven)); NOTE(fwide(stderr, 0));)

/* --- reports ----------------------------------------------------------------------------------------------
 */

SCENE(perror, errno = ENOENT; perror("topic"); note("perror", 0); note("orientation", fwide(stderr, 0));)
SCENE(perror_bare, errno = EAGAIN; perror(""); perror(NULL); note("perror", 0);)
SCENE(perror_write_only, dup2(open("/dev/null", O_WRONLY), 2); errno = ENOENT; perror("topic");
      note("perror", 0); note("orientation", fwide(stderr, 0));)
SCENE(perror_bytes, fwide(stderr, -1); errno = EAGAIN; perror("topic"); note("perror", 0);)
SCENE(perror_wide, fwide(stderr, 1); errno = EAGAIN; perror("topic"); note("perror", fwide(stderr, 0));)
SCENE(psignal, errno = 0; psignal(SIGTERM, "topic"); psignal(SIGUSR1, NULL); psignal(12345, "odd");
      note("psignal", 0);)
SCENE(warn, errno = EPERM; warn("w %d", seven); note("warn", 0); warn(NULL); note("warn", 0);)
SCENE(warnx, errno = EPERM; warnx("w %d", seven); warnx("%s", "y"); warnx(NULL); note("warnx", 0);)

static void through_vwarn(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    errno = EPERM;
    vwarn(format, arguments);
    va_end(arguments);
}
static void through_vwarnx(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vwarnx(format, arguments);
    va_end(arguments);
}
static void through_verr(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    errno = EPERM;
    verr(status, format, arguments);
}
static void through_verrx(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    verrx(status, format, arguments);
}
SCENE(vwarn, through_vwarn("w %d", seven); note("vwarn", 0);)
SCENE(vwarnx, through_vwarnx("w %d", seven); note("vwarnx", 0);)
SCENE(err, errno = EPERM; err(3, "e %d", seven);)
SCENE(errx, errx(4, "e %d", seven);)
SCENE(verr, through_verr(5, "e %d", seven);)
SCENE(verrx, through_verrx(6, "e %d", seven);)
SCENE(err_wide, fwide(stderr, 1); errno = EPERM; err(3, "e %d", seven);)
SCENE(error, printf("first "); error(0, ENOENT, "e %d", seven); error(0, 0, "plain"); note("error", 0);
      note("count", error_message_count);)
SCENE(error_exit, error(7, EPERM, "e %d", seven);)
SCENE(error_at_line, error_at_line(0, ENOENT, "file.c", 12, "e %d", seven);
      error_at_line(0, 0, NULL, 12, "nowhere"); note("count", error_message_count);)
SCENE(error_one_per_line, error_one_per_line = 1; error_at_line(0, 0, "file.c", 12, "one");
      error_at_line(0, 0, "file.c", 12, "two"); error_at_line(0, 0, "file.c", 13, "three");
      error_at_line(0, 0, "file.c", 12, "four"); note("count", error_message_count);)

static void progname(void) {
    fputs("me, ", stderr);
}
SCENE(error_progname, error_print_progname = progname; error(0, 0, "e %d", seven);
      note("count", error_message_count);)

/* --- descriptors ------------------------------------------------------------------------------------------
 */

SCENE(write, NOTE(write(2, "one\ntwo\n", 8));)
SCENE(writev, struct iovec parts[] = {{"on", 2}, {"", 0}, {"e\ntw", 4}, {"o\n", 2}};
      NOTE(writev(2, parts, 4));)
SCENE(send, NOTE(send(2, "one\ntwo\n", 8, MSG_NOSIGNAL));)
SCENE(sendto, NOTE(sendto(2, "one\ntwo\n", 8, MSG_NOSIGNAL, NULL, 0));)
SCENE(sendmsg, struct iovec parts[] = {{"one\n", 4}, {"two\n", 4}};
      struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2}; NOTE(sendmsg(2, &message, 0));)

#define ROW(name) {#name, scene_##name},
const struct scene calls[] = {
    ROW(printf) ROW(fprintf) ROW(vprintf) ROW(vfprintf) ROW(dprintf) ROW(vdprintf) ROW(vprintf_chk)
        ROW(IO_putc) ROW(putw) ROW(fprintf_nothing) ROW(fprintf_count) ROW(fputs) ROW(puts) ROW(fputc)
            ROW(putc) ROW(putchar) ROW(fwrite) ROW(fputs_unlocked) ROW(fputc_unlocked) ROW(putc_unlocked)
                ROW(putchar_unlocked) ROW(fwrite_unlocked) ROW(wprintf) ROW(fwprintf) ROW(vwprintf)
                    ROW(vfwprintf) ROW(fputws) ROW(fputwc) ROW(putwc) ROW(putwchar) ROW(fputws_unlocked)
                        ROW(fputwc_unlocked) ROW(putwc_unlocked) ROW(putwchar_unlocked) ROW(bytes_on_wide)
                            ROW(wide_on_bytes) ROW(perror) ROW(perror_bare) ROW(perror_write_only)
                                ROW(perror_bytes) ROW(perror_wide) ROW(psignal) ROW(warn) ROW(warnx)
                                    ROW(vwarn) ROW(vwarnx) ROW(err) ROW(errx) ROW(verr) ROW(verrx)
                                        ROW(err_wide) ROW(error) ROW(error_exit) ROW(error_at_line)
                                            ROW(error_one_per_line) ROW(error_progname) ROW(write) ROW(writev)
                                                ROW(send) ROW(sendto) ROW(sendmsg){0}};
