/* Unformatted output, in bytes: log lines carry the context (H30).
 *
 * What compilers make of putc_unlocked and its like is a store into the stream's buffer, and __overflow when
 * that is full: on unbuffered and line-buffered streams, which never have room for it, always. There
 * __overflow is a putc; on a fully buffered stream it is left alone. */
#include "gate.h"

#include <limits.h>
#include <string.h>

#undef fwrite_unlocked

/* Which of the two a function is: it takes the stream's lock, or the program has it. */
enum locking { LOCKED, UNLOCKED };

/* False: the real call is to be made. Else how many of the bytes went out. */
static bool put(FILE *stream, enum locking locking, const struct iovec *buffers, int count, size_t *out,
                struct here here) {
    return annotate_wants_stream(stream, here) && fwide(stream, 0) <= 0 &&
           annotate_buffers(stream, locking == LOCKED ? REAL(fwrite) : REAL(fwrite_unlocked), buffers, count,
                            out);
}

static bool put_char(FILE *stream, enum locking locking, int c, int *result, struct here here) {
    unsigned char byte = (unsigned char)c;
    size_t out;
    if (!put(stream, locking, ONE_BUFFER(&byte, 1), &out, here))
        return false;
    *result = out == 1 ? byte : EOF;
    return true;
}

static bool put_string(FILE *stream, enum locking locking, const char *text, int *result, struct here here) {
    size_t out, size = annotate_wants_stream(stream, here) ? strlen(text) : 0;
    if (!put(stream, locking, ONE_BUFFER(text, size), &out, here))
        return false;
    *result = out == size ? 1 : EOF;
    return true;
}

static bool put_items(FILE *stream, enum locking locking, const void *items, size_t size, size_t count,
                      size_t *result, struct here here) {
    size_t total, out;
    if (__builtin_mul_overflow(size, count, &total) ||
        !put(stream, locking, ONE_BUFFER(items, total), &out, here))
        return false;
    *result = out == total ? count : out / size;
    return true;
}

GATED_HOOK(int, fputs, (const char *restrict text, FILE *restrict stream)) {
    int result;
    return put_string(stream, LOCKED, text, &result, HERE) ? result : REAL(fputs)(text, stream);
}

GATED_HOOK(int, fputs_unlocked, (const char *restrict text, FILE *restrict stream)) {
    int result;
    return put_string(stream, UNLOCKED, text, &result, HERE) ? result : REAL(fputs_unlocked)(text, stream);
}

/* libc's counts the newline too, as far as an int goes. */
GATED_HOOK(int, puts, (const char *text)) {
    size_t out, size = annotate_wants_stream(stdout, HERE) ? strlen(text) : 0;
    struct iovec buffers[] = {{(void *)(uintptr_t)text, size}, {(void *)(uintptr_t) "\n", 1}};
    if (!put(stdout, LOCKED, buffers, 2, &out, HERE))
        return REAL(puts)(text);
    if (out != size + 1)
        return EOF;
    return out < INT_MAX ? (int)out : INT_MAX;
}

GATED_HOOK(int, fputc, (int c, FILE *stream)) {
    int result;
    return put_char(stream, LOCKED, c, &result, HERE) ? result : REAL(fputc)(c, stream);
}

GATED_HOOK(int, putc, (int c, FILE *stream)) {
    int result;
    return put_char(stream, LOCKED, c, &result, HERE) ? result : REAL(putc)(c, stream);
}

GATED_HOOK(int, _IO_putc, (int c, FILE *stream)) {
    int result;
    return put_char(stream, LOCKED, c, &result, HERE) ? result : REAL(_IO_putc)(c, stream);
}

GATED_HOOK(int, putchar, (int c)) {
    int result;
    return put_char(stdout, LOCKED, c, &result, HERE) ? result : REAL(putchar)(c);
}

GATED_HOOK(int, fputc_unlocked, (int c, FILE *stream)) {
    int result;
    return put_char(stream, UNLOCKED, c, &result, HERE) ? result : REAL(fputc_unlocked)(c, stream);
}

GATED_HOOK(int, putc_unlocked, (int c, FILE *stream)) {
    int result;
    return put_char(stream, UNLOCKED, c, &result, HERE) ? result : REAL(putc_unlocked)(c, stream);
}

GATED_HOOK(int, putchar_unlocked, (int c)) {
    int result;
    return put_char(stdout, UNLOCKED, c, &result, HERE) ? result : REAL(putchar_unlocked)(c);
}

/* The public header shows the word that this bit of libc's is in, and not its name. */
enum { STREAM_UNBUFFERED = 2 };

GATED_HOOK(int, __overflow, (FILE * stream, int c)) {
    int result;
    bool unseen = (stream->_flags & STREAM_UNBUFFERED) == 0 && !__flbf(stream);
    if (unseen || c == EOF || !put_char(stream, UNLOCKED, c, &result, HERE))
        return REAL(__overflow)(stream, c);
    return result;
}

GATED_HOOK(size_t, fwrite, (const void *restrict items, size_t size, size_t count, FILE *restrict stream)) {
    size_t result;
    return put_items(stream, LOCKED, items, size, count, &result, HERE)
               ? result
               : REAL(fwrite)(items, size, count, stream);
}

GATED_HOOK(size_t, fwrite_unlocked,
           (const void *restrict items, size_t size, size_t count, FILE *restrict stream)) {
    size_t result;
    return put_items(stream, UNLOCKED, items, size, count, &result, HERE)
               ? result
               : REAL(fwrite_unlocked)(items, size, count, stream);
}

GATED_HOOK(int, putw, (int word, FILE *stream)) {
    size_t result;
    return put_items(stream, LOCKED, &word, sizeof word, 1, &result, HERE) ? (result == 1 ? 0 : EOF)
                                                                           : REAL(putw)(word, stream);
}
