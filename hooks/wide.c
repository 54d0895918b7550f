/* Output to wide streams: log lines carry the context (H30), in wide characters. */
#include "gate.h"

#include <errno.h>
#include <stdarg.h>

/* Which of the two a function is: it takes the stream's lock, or the program has it. */
enum locking { LOCKED, UNLOCKED };

/* A byte stream stays one: there the real function fails. */
static bool is_wide_log(FILE *stream, struct here here) {
    return annotate_wants_stream(stream, here) && fwide(stream, 0) >= 0;
}

static bool put(FILE *stream, enum locking locking, struct draft *text, bool *good) {
    struct wide_outlet to = {
        .stream = stream,
        .fputws = locking == LOCKED ? REAL(fputws) : REAL(fputws_unlocked),
        .fdwrite = REAL(write),
    };
    return annotate_wide(&to, text, good);
}

static bool put_text(FILE *stream, enum locking locking, const wchar_t *characters, size_t length,
                     bool *good) {
    struct draft text;
    draft_begin(&text);
    bool done =
        draft_add(&text, characters, length * sizeof *characters) && put(stream, locking, &text, good);
    draft_end(&text);
    return done;
}

static bool print_annotated(FILE *stream, int flag, const wchar_t *format, va_list arguments, int *result) {
    int error = errno;
    bool good = false;
    struct draft text;
    draft_begin(&text);
    bool done = draft_format_wide(&text, flag, format, arguments);
    int length = (int)(text.size / sizeof(wchar_t));
    errno = error;
    done = done && put(stream, LOCKED, &text, &good);
    draft_end(&text);
    *result = good ? length : -1;
    return done;
}

static int print(FILE *stream, int flag, const wchar_t *format, va_list arguments, struct here here) {
    int result;
    if (is_wide_log(stream, here) && print_annotated(stream, flag, format, arguments, &result))
        return result;
    return flag == FORMAT_PLAIN ? REAL(vfwprintf)(stream, format, arguments)
                                : REAL(__vfwprintf_chk)(stream, flag, format, arguments);
}

GATED_HOOK(int, wprintf, (const wchar_t *restrict format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stdout, FORMAT_PLAIN, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, fwprintf, (FILE *restrict stream, const wchar_t *restrict format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stream, FORMAT_PLAIN, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, vwprintf, (const wchar_t *restrict format, va_list arguments)) {
    return print(stdout, FORMAT_PLAIN, format, arguments, HERE);
}

GATED_HOOK(int, vfwprintf, (FILE *restrict stream, const wchar_t *restrict format, va_list arguments)) {
    return print(stream, FORMAT_PLAIN, format, arguments, HERE);
}

GATED_HOOK(int, __wprintf_chk, (int flag, const wchar_t *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stdout, flag, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, __fwprintf_chk, (FILE * stream, int flag, const wchar_t *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    int result = print(stream, flag, format, arguments, HERE);
    va_end(arguments);
    return result;
}

GATED_HOOK(int, __vwprintf_chk, (int flag, const wchar_t *format, va_list arguments)) {
    return print(stdout, flag, format, arguments, HERE);
}

GATED_HOOK(int, __vfwprintf_chk, (FILE * stream, int flag, const wchar_t *format, va_list arguments)) {
    return print(stream, flag, format, arguments, HERE);
}

static bool put_char(FILE *stream, enum locking locking, wchar_t c, wint_t *result, struct here here) {
    bool good;
    if (!is_wide_log(stream, here) || !put_text(stream, locking, &c, 1, &good))
        return false;
    *result = good ? (wint_t)c : WEOF;
    return true;
}

static bool put_string(FILE *stream, enum locking locking, const wchar_t *text, int *result,
                       struct here here) {
    bool good;
    if (!is_wide_log(stream, here) || !put_text(stream, locking, text, wcslen(text), &good))
        return false;
    *result = good ? 1 : -1;
    return true;
}

GATED_HOOK(int, fputws, (const wchar_t *restrict text, FILE *restrict stream)) {
    int result;
    return put_string(stream, LOCKED, text, &result, HERE) ? result : REAL(fputws)(text, stream);
}

GATED_HOOK(int, fputws_unlocked, (const wchar_t *restrict text, FILE *restrict stream)) {
    int result;
    return put_string(stream, UNLOCKED, text, &result, HERE) ? result : REAL(fputws_unlocked)(text, stream);
}

GATED_HOOK(wint_t, fputwc, (wchar_t c, FILE *stream)) {
    wint_t result;
    return put_char(stream, LOCKED, c, &result, HERE) ? result : REAL(fputwc)(c, stream);
}

GATED_HOOK(wint_t, putwc, (wchar_t c, FILE *stream)) {
    wint_t result;
    return put_char(stream, LOCKED, c, &result, HERE) ? result : REAL(putwc)(c, stream);
}

GATED_HOOK(wint_t, putwchar, (wchar_t c)) {
    wint_t result;
    return put_char(stdout, LOCKED, c, &result, HERE) ? result : REAL(putwchar)(c);
}

GATED_HOOK(wint_t, fputwc_unlocked, (wchar_t c, FILE *stream)) {
    wint_t result;
    return put_char(stream, UNLOCKED, c, &result, HERE) ? result : REAL(fputwc_unlocked)(c, stream);
}

GATED_HOOK(wint_t, putwc_unlocked, (wchar_t c, FILE *stream)) {
    wint_t result;
    return put_char(stream, UNLOCKED, c, &result, HERE) ? result : REAL(putwc_unlocked)(c, stream);
}

GATED_HOOK(wint_t, putwchar_unlocked, (wchar_t c)) {
    wint_t result;
    return put_char(stdout, UNLOCKED, c, &result, HERE) ? result : REAL(putwchar_unlocked)(c);
}
