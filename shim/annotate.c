/* Which descriptors are logs, and what goes in front of their lines: see annotate.h. */
#include "activity.h"

#include "../ctxstore/kernel.h"
#include "frame.h"
#include "glob.h"
#include "hidden.h"
#include "openfile.h"
#include "options.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool annotate_on, annotate_syslog, annotate_journal;

/* Does the option name stdout, stderr; and any patterns? */
static bool named[STDERR_FILENO + 1];
static bool patterns;

/* --- the option -------------------------------------------------------------------------------------- */

/* Calls `use` for each word of the list until it returns true. */
static bool words_any(bool (*use)(const char *word, size_t size, const void *data), const void *data) {
    for (const char *word = options.annotate; *word != '\0';) {
        size_t size = strcspn(word, ",");
        if (size > 0 && use(word, size, data))
            return true;
        word += size + (word[size] == ',');
    }
    return false;
}

static bool word_is(const char *word, size_t size, const char *what) {
    return size == strlen(what) && memcmp(word, what, size) == 0;
}

/* Logs that are no descriptor of the program's (annotate_system.c). */
static bool is_system(const char *word, size_t size) {
    return word_is(word, size, "syslog") || word_is(word, size, "journal");
}

static bool word_read(const char *word, size_t size, const void *data) {
    (void)data;
    annotate_syslog |= word_is(word, size, "syslog");
    annotate_journal |= word_is(word, size, "journal");
    if (word_is(word, size, "stdout"))
        named[STDOUT_FILENO] = true;
    else if (word_is(word, size, "stderr"))
        named[STDERR_FILENO] = true;
    else if (!is_system(word, size))
        patterns = true;
    return false;
}

static bool word_matches(const char *word, size_t size, const void *path) {
    return !word_is(word, size, "stdout") && !word_is(word, size, "stderr") && !is_system(word, size) &&
           glob_matches(word, size, path);
}

void annotate_start(void) {
    words_any(word_read, NULL);
    annotate_on =
        patterns || named[STDOUT_FILENO] || named[STDERR_FILENO] || annotate_syslog || annotate_journal;
}

/* --- which descriptors ------------------------------------------------------------------------------- */

static bool is_named(int fd) {
    return (fd == STDOUT_FILENO || fd == STDERR_FILENO) && named[fd];
}

bool annotate_is_log(int fd) {
    const struct open_file *file = file_at(fd);
    if (file == NULL)
        return is_named(fd);
    return (is_named(fd) || file_has(file, FILE_ANNOTATED)) && !file_has(file, FILE_SPARED);
}

/* A stream that has no descriptor says so in errno, which is the program's. */
bool annotate_wants_stream(FILE *stream, struct here here) {
    if (!annotate_on)
        return false;
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    if (!annotate_is_log(fd))
        return false;
    if (__builtin_expect(frame_limit == 0, 0))
        frame_logs();
    frame_settle(here);
    return true;
}

void annotate_line_over(FILE *stream) {
    int error = errno;
    struct open_file *file = annotate_on ? file_at(fileno(stream)) : NULL;
    errno = error;
    if (file != NULL)
        file_mark(file, FILE_MIDLINE, false);
}

/* Sets a flag of fd's open file, which is made for it. */
static void mark(int fd, enum file_flag flag) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    struct open_file *file = file_open_any(fd);
    if (file != NULL)
        file_mark(file, flag, true);
    thread_leave();
}

static bool is_regular(int fd) {
    struct stat status = {0};
    return kernel_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0) == 0 && S_ISREG(status.st_mode);
}

/* As the kernel has them: fopen's mode need not be read. */
static int flags_of(int fd) {
    long flags = kernel_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
    return flags < 0 ? O_RDWR : (int)flags;
}

/* Programs in containers open their stderr by its name. */
static int standard_number(const char *path) {
    static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/", "/dev/"};
    static const char *const names[] = {"1", "2", "stdout", "stderr"};
    for (size_t d = 0; d < sizeof directories / sizeof *directories; d++) {
        size_t length = strlen(directories[d]);
        for (int n = 0; n < 4 && strncmp(path, directories[d], length) == 0; n++)
            if (strcmp(path + length, names[n]) == 0)
                return n % 2 + 1;
    }
    return -1;
}

void annotate_file_opened(int fd, const char *path) {
    if (is_named(fd)) {
        if ((flags_of(fd) & O_ACCMODE) != O_WRONLY)
            mark(fd, FILE_SPARED);
    } else if (path != NULL && is_named(standard_number(path))) {
        if ((flags_of(fd) & O_ACCMODE) == O_WRONLY)
            mark(fd, FILE_ANNOTATED);
    } else if (patterns && path != NULL && words_any(word_matches, path)) {
        if ((flags_of(fd) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND) && is_regular(fd))
            mark(fd, FILE_ANNOTATED);
    }
}

void annotate_number_taken(int fd) {
    if (is_named(fd))
        mark(fd, FILE_SPARED);
}

/* Only copies made *of* descriptor 2 are stderr too: a copy onto it is how a program makes another file its
 * stderr for a while, and that file stays what it was. */
void annotate_copying(int fd) {
    if (is_named(fd) && annotate_is_log(fd))
        mark(fd, FILE_ANNOTATED);
}

void annotate_spare(int fd) {
    if (annotate_is_log(fd))
        mark(fd, FILE_SPARED);
}

/* Where stdout and stderr stand is asked by programs that never move them. */
void annotate_moved(int fd, off_t offset, int whence) {
    if (!is_named(fd) || offset != 0 || whence == SEEK_SET)
        annotate_spare(fd);
}

void annotate_flags_set(int fd, int flags) {
    if (!is_named(fd) && (flags & O_APPEND) == 0)
        annotate_spare(fd);
}

/* --- the prefix -------------------------------------------------------------------------------------- */

static bool is_hidden(unsigned char before, unsigned char byte, unsigned char after) {
    return hidden_byte(before, byte, after, ']');
}

/* How many bytes of the NUL-terminated text are hidden. */
static size_t hidden_count(const char *text) {
    size_t hidden = 0;
    unsigned char before = 0;
    for (; *text != '\0'; before = (unsigned char)*text++)
        hidden += is_hidden(before, (unsigned char)*text, (unsigned char)text[1]);
    return hidden;
}

/* Writes the hidden bytes of text[0, size) as \xNN, in the room that there is for three more each: the text
 * is moved to the end of that room and read from there, so that what is read is never overwritten before. */
static size_t escape(char *text, size_t size, size_t hidden) {
    const char *from = text + 3 * hidden, *end = from + size;
    char *to = text;
    unsigned char before = 0;
    memmove(text + 3 * hidden, text, size);
    for (; from < end; from++) {
        unsigned char byte = (unsigned char)*from;
        if (is_hidden(before, byte, from + 1 < end ? (unsigned char)from[1] : 0)) {
            hidden_put(to, byte);
            to += 4;
        } else {
            *to++ = (char)byte;
        }
        before = byte;
    }
    return (size_t)(to - text);
}

static char *place_pid(char *to) {
    char digits[16];
    size_t count = 0;
    for (unsigned pid = (unsigned)process_pid(); pid != 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *to++ = digits[--count];
    *to++ = ':';
    return to;
}

/* "?] ", "[", a pid and ":", "?] " and context_format's NUL; each byte of a name may take four. */
enum {
    PAGE = 4096,
    PREFIX_FRAME = PREFIX_TORN + 1 + 12 + 3 + 1,
    NAME_SMALL = (PREFIX_SMALL - PREFIX_FRAME) / 4
};

/* Begins the prefix in this memory. Returns where the name goes. */
static char *prefix_open(struct prefix *prefix, char *memory) {
    memcpy(memory, "?] [", PREFIX_TORN + 1);
    prefix->text = memory + PREFIX_TORN;
    return options.annotate_pid ? place_pid(prefix->text + 1) : prefix->text + 1;
}

static void prefix_close(struct prefix *prefix, char *name) {
    size_t length = strlen(name), hidden = hidden_count(name);
    char *end = name + (hidden > 0 ? escape(name, length, hidden) : length);
    memcpy(end, "] ", 2);
    prefix->size = (size_t)(end + 2 - prefix->text);
}

/* A root may be renamed at any moment: a name that has grown since it was measured is cut. */
static void prefix_make(struct prefix *prefix, const struct context *context) {
    char *name = prefix_open(prefix, prefix->small);
    size_t length = context_format(context, name, NAME_SMALL + 1);
    if (length > NAME_SMALL) {
        size_t size = (PREFIX_FRAME + 4 * length + PAGE - 1) & ~(size_t)(PAGE - 1);
        char *memory = kernel_map(size);
        if (memory == NULL)
            return;
        prefix->mapped = size;
        name = prefix_open(prefix, memory);
        context_format(context, name, length + 1);
    }
    if (length > 0)
        prefix_close(prefix, name);
}

/* --- one call ---------------------------------------------------------------------------------------- */

static void look_around(struct log_call *log, const struct thread *thread) {
    const struct context *current = thread->flow.current;
    activity_note(current);
    uint64_t now = atomic_load_explicit(&activity_changes, memory_order_relaxed);
    log->changes = now - atomic_exchange_explicit(&log->file->written, now, memory_order_relaxed);
    log->alone = context_root_of(current) == NULL;
}

static void prefix_doubt(struct prefix *prefix) {
    char *end = prefix->text + prefix->size - 2;
    if (end[-1] == '?')
        return;
    memcpy(end, "?] ", 3);
    prefix->size++;
}

void annotate_counted(struct log_call *log, size_t lines) {
    if (log->prefix.size == 0 || lines == 0 || log->alone)
        return;
    unsigned gathered = atomic_load_explicit(&log->file->gathered, memory_order_relaxed);
    bool others = lines > 1 && (log->changes > 1 || !activity_alone(local.thread));
    if (lines > 1 && log->changes > 1)
        gathered = GATHERED + 1;
    if (others || gathered > 0)
        prefix_doubt(&log->prefix);
    if (gathered > 0)
        atomic_store_explicit(&log->file->gathered, (uint8_t)(gathered - 1), memory_order_relaxed);
}

bool annotate_begin(struct log_call *log, int fd) {
    log->prefix.size = log->prefix.mapped = 0;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return false;
    log->file = file_open_any(fd);
    if (log->file != NULL && file_kind(log->file) == FILE_CONNECTION) /* it has no room for a log's affairs */
        log->file = NULL;
    if (log->file != NULL) {
        log->generation = cell_generation(&log->file->cell);
        look_around(log, thread);
        if (thread->flow.current != NULL)
            prefix_make(&log->prefix, thread->flow.current);
    }
    thread_leave();
    return log->file != NULL;
}

static void prefix_of(struct prefix *prefix, const struct context *(*part)(const struct context *)) {
    prefix->size = prefix->mapped = 0;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    const struct context *context = part(thread->flow.current);
    if (context != NULL)
        prefix_make(prefix, context);
    thread_leave();
}

static const struct context *all_of(const struct context *context) {
    return context;
}

static const struct context *request_of(const struct context *context) {
    return context_certainty(context) == CONTEXT_IS_AMBIGUOUS ? NULL : context_root_of(context);
}

void annotate_prefix(struct prefix *prefix) {
    prefix_of(prefix, all_of);
}

void annotate_request(struct prefix *prefix) {
    prefix_of(prefix, request_of);
}

void annotate_prefix_end(struct prefix *prefix) {
    if (prefix->mapped != 0)
        kernel_unmap(prefix->text - PREFIX_TORN, prefix->mapped);
    prefix->mapped = 0;
}

void annotate_end(struct log_call *log) {
    annotate_prefix_end(&log->prefix);
}

bool annotate_holds(const struct log_call *log) {
    return cell_generation(&log->file->cell) == log->generation;
}
