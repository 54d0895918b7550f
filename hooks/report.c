/* What libc says on stderr for the program: perror, psignal, the err and warn family, error. Log lines carry
 * the context (H30).
 *
 * The line is put together here as libc would, and goes out as one. Where it cannot be, the real function
 * says it. A stderr that has no orientation keeps none through a perror, as POSIX asks: libc writes to a
 * copy of its descriptor then, and so do we to the descriptor. */
#include "gate.h"

#include <errno.h>
#include <libintl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_TEXT = 256 };

static bool add_text(struct draft *draft, const char *text) {
    return draft_add(draft, text, strlen(text));
}

static bool add_error(struct draft *draft, int number) {
    char memory[ERROR_TEXT];
    return add_text(draft, strerror_r(number, memory, sizeof memory));
}

__attribute__((format(printf, 2, 3))) static bool add_format(struct draft *draft, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bool good = draft_format(draft, FORMAT_PLAIN, format, arguments);
    va_end(arguments);
    return good;
}

/* A wide stderr gets the same, read in the locale's charset. */
static bool say_wide(const struct draft *line) {
    const char *from = line->text;
    struct wide_outlet to = {.stream = stderr, .fputws = REAL(fputws), .fdwrite = REAL(write)};
    struct draft wide;
    mbstate_t state = {0};
    bool good;
    draft_begin(&wide);
    size_t length = mbsrtowcs(NULL, &from, 0, &state);
    bool done = length != SIZE_MAX && draft_reserve(&wide, (length + 1) * sizeof(wchar_t));
    if (done) {
        from = line->text;
        state = (mbstate_t){0};
        wide.size = mbsrtowcs((wchar_t *)(void *)wide.text, &from, length + 1, &state) * sizeof(wchar_t);
        done = annotate_wide(&to, &wide, &good);
    }
    draft_end(&wide);
    return done;
}

/* Writes a line (its NUL included, and not counted) on stderr. */
static bool say(struct draft *line, bool keep_orientation) {
    size_t out;
    if (fwide(stderr, 0) > 0)
        return say_wide(line);
    if (!keep_orientation || fwide(stderr, 0) < 0)
        return annotate_stream(stderr, REAL(fwrite), line, &out);
    size_t size = line->size;
    bool done = annotate_descriptor(fileno(stderr), REAL(write), line, &out);
    if (done && out < size)
        stderr->_flags |= _IO_ERR_SEEN;
    return done;
}

/* The end of every report: says the line when it could be put together. The program's errno is as before
 * unless the write itself has failed. */
static bool finish(struct draft *line, bool complete, bool keep_orientation, int error) {
    bool done = complete && draft_add(line, "", 1);
    line->size -= done;
    errno = error;
    done = done && say(line, keep_orientation);
    draft_end(line);
    return done;
}

/* --- perror, psignal ----------------------------------------------------------------------------------- */

/* A stderr without an orientation keeps none where libc can open a copy of its descriptor for reading and
 * writing. One that may only be written to it cannot: then stderr itself is used, and errno tells of that. */
static bool copy_opens(int *error) {
    if (fwide(stderr, 0) != 0)
        return true;
    int flags = REAL(fcntl)(fileno(stderr), F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDWR)
        return true;
    *error = flags < 0 ? EBADF : EINVAL;
    return false;
}

static bool add_topic(struct draft *draft, const char *topic) {
    return topic == NULL || *topic == '\0' || (add_text(draft, topic) && add_text(draft, ": "));
}

GATED_HOOK(void, perror, (const char *topic)) {
    int error = errno, error_after = error;
    struct draft line;
    draft_begin(&line);
    if (annotate_wants_stream(stderr, HERE)) {
        bool complete = add_topic(&line, topic) && add_error(&line, error) && add_text(&line, "\n");
        bool copy = copy_opens(&error_after);
        if (finish(&line, complete, copy, error_after))
            return;
    }
    errno = error;
    REAL(perror)(topic);
}

static bool add_signal(struct draft *draft, int number, const char *topic) {
    const char *description = sigdescr_np(number);
    bool no_topic = topic == NULL || *topic == '\0';
    if (description == NULL)
        return add_format(draft, dgettext("libc", "%s%sUnknown signal %d\n"), no_topic ? "" : topic,
                          no_topic ? "" : ": ", number);
    return add_topic(draft, topic) && add_text(draft, dgettext("libc", description)) && add_text(draft, "\n");
}

GATED_HOOK(void, psignal, (int number, const char *topic)) {
    int error = errno;
    struct draft line;
    draft_begin(&line);
    if (!annotate_wants_stream(stderr, HERE) ||
        !finish(&line, add_signal(&line, number, topic), false, error))
        REAL(psignal)(number, topic);
}

/* --- err, warn ----------------------------------------------------------------------------------------- */

/* "program: message: error", either of the last two left out when there is none. */
static bool warning(const char *format, va_list arguments, bool with_error, struct here here) {
    int error = errno;
    struct draft line;
    if (!annotate_wants_stream(stderr, here))
        return false;
    draft_begin(&line);
    bool good = add_text(&line, program_invocation_short_name) && add_text(&line, ": ");
    if (format != NULL) {
        errno = error;
        good = good && draft_format(&line, FORMAT_PLAIN, format, arguments);
        good = good && (!with_error || add_text(&line, ": "));
    }
    good = good && (!with_error || add_error(&line, error)) && add_text(&line, "\n");
    return finish(&line, good, false, error);
}

static void warn_errno(const char *format, va_list arguments, struct here here) {
    if (!warning(format, arguments, true, here))
        REAL(vwarn)(format, arguments);
}

static void warn_plain(const char *format, va_list arguments, struct here here) {
    if (!warning(format, arguments, false, here))
        REAL(vwarnx)(format, arguments);
}

GATED_HOOK(void, vwarn, (const char *format, va_list arguments)) {
    warn_errno(format, arguments, HERE);
}

GATED_HOOK(void, vwarnx, (const char *format, va_list arguments)) {
    warn_plain(format, arguments, HERE);
}

GATED_HOOK(void, warn, (const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    warn_errno(format, arguments, HERE);
    va_end(arguments);
}

GATED_HOOK(void, warnx, (const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    warn_plain(format, arguments, HERE);
    va_end(arguments);
}

GATED_HOOK(void, verr, (int status, const char *format, va_list arguments)) {
    warn_errno(format, arguments, HERE);
    exit(status);
}

GATED_HOOK(void, verrx, (int status, const char *format, va_list arguments)) {
    warn_plain(format, arguments, HERE);
    exit(status);
}

GATED_HOOK(void, err, (int status, const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    warn_errno(format, arguments, HERE);
    exit(status);
}

GATED_HOOK(void, errx, (int status, const char *format, ...)) {
    va_list arguments;
    va_start(arguments, format);
    warn_plain(format, arguments, HERE);
    exit(status);
}

/* --- error --------------------------------------------------------------------------------------------- */

/* error_at_line's place; file NULL and line 0 for error. */
struct place {
    bool known;
    const char *file;
    unsigned line;
};

static bool add_place(struct draft *draft, const struct place *place) {
    if (!place->known)
        return add_text(draft, ": ");
    return place->file != NULL ? add_format(draft, ":%s:%u: ", place->file, place->line)
                               : add_text(draft, ": ");
}

/* error_one_per_line: the same place as the last time? libc's own note of it cannot be read: while stderr is
 * a log, ours decides, and libc is not asked. */
static bool said_here(const struct place *place) {
    static const char *file;
    static unsigned line;
    if (!place->known || !error_one_per_line)
        return false;
    bool same =
        line == place->line &&
        (file == place->file || (file != NULL && place->file != NULL && strcmp(file, place->file) == 0));
    file = place->file;
    line = place->line;
    return same;
}

static bool error_annotated(int status, int number, const struct place *place, const struct draft *message) {
    struct draft line;
    int state, unused;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    fflush(stdout);
    draft_begin(&line);
    bool good = add_text(&line, program_invocation_name) && add_place(&line, place) &&
                draft_add(&line, message->text, message->size) &&
                (number == 0 || (add_text(&line, ": ") && add_error(&line, number))) && add_text(&line, "\n");
    bool done = finish(&line, good, false, errno);
    if (done) {
        error_message_count++;
        fflush(stderr);
        if (status != 0)
            exit(status);
    }
    pthread_setcancelstate(state, &unused);
    return done;
}

GATED_HOOK(void, error, (int status, int number, const char *format, ...)) {
    struct draft message;
    struct place place = {0};
    va_list arguments;
    draft_begin(&message);
    va_start(arguments, format);
    bool good = draft_format(&message, FORMAT_PLAIN, format, arguments) && draft_add(&message, "", 1);
    va_end(arguments);
    message.size -= good;
    bool mine = good && error_print_progname == NULL && annotate_wants_stream(stderr, HERE);
    if (!mine || !error_annotated(status, number, &place, &message))
        REAL(error)(status, number, "%s", good ? message.text : format);
    annotate_line_over(stderr);
    draft_end(&message);
}

GATED_HOOK(void, error_at_line,
           (int status, int number, const char *file, unsigned line, const char *format, ...)) {
    struct draft message;
    struct place place = {true, file, line};
    va_list arguments;
    draft_begin(&message);
    va_start(arguments, format);
    bool good = draft_format(&message, FORMAT_PLAIN, format, arguments) && draft_add(&message, "", 1);
    va_end(arguments);
    message.size -= good;
    bool mine = good && error_print_progname == NULL && annotate_wants_stream(stderr, HERE);
    if (mine && said_here(&place)) {
        draft_end(&message);
        return;
    }
    if (!mine || !error_annotated(status, number, &place, &message)) {
        int one_per_line = error_one_per_line;
        error_one_per_line = mine ? 0 : one_per_line;
        REAL(error_at_line)(status, number, file, line, "%s", good ? message.text : format);
        error_one_per_line = one_per_line;
    }
    annotate_line_over(stderr);
    draft_end(&message);
}
