/* Log lines carry the context: the option `annotate`. Each line that the program writes to a log while a
 * context is current begins with it: "[conn#3 req#2] ", with annotate_pid "[4411:conn#3 req#2] ".
 *
 * What a log is. Descriptors 1 and 2, when the option names stdout and stderr: whatever they are, unless a
 * call that makes something else (a socket, a file opened for reading too) happened to get the number; and
 * the copies made of them. Files whose name matches one of the option's patterns: regular ones, opened
 * write-only and O_APPEND, for a database's write-ahead log may be called 000003.log.
 *
 * When it ends, for good and for the open file: at the first bytes that aren't text, looked at before
 * anything is put in front of them; at a pwrite, mmap, ftruncate or fallocate; at a seek (on descriptors 1
 * and 2: at one that goes somewhere). Text has no NUL and no control characters but \t \n \v \f \r \b ESC.
 *
 * What holds for every call: prefix and text go out together, in one real call; the program sees the
 * result, and the count of its own bytes, that the plain call would have given; a line gets one prefix, in
 * however many pieces it is written; where there is nothing to put in front, the real function is called as
 * the program called it. No memory, no thread record, a bad address: likewise.
 *
 * E12: several lines in one call may have been gathered by the program, and be other requests'. They are the
 * current one's if it alone has been worked for since the last call on that log; else the prefix ends in a
 * question mark. A log that was seen to be gathered so has one in front of single lines too, until GATHERED
 * of these came in a row. What is gathered and always comes out line by line looks like any other log.
 *
 * In a name, control characters, ']' and '\' are written \xNN: a client that chooses a request's name can
 * neither break a line nor end the prefix. What cannot be seen: putc_unlocked and its like, which compilers
 * inline, on a fully buffered stream (each libc call sees where the line stands, but a line that begins so
 * has no prefix); what libc itself prints (assert, getopt, psiginfo). */
#ifndef SHIM_ANNOTATE_H
#define SHIM_ANNOTATE_H

#include "draft.h"
#include "thread.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Is there any log at all? Written at start-up, constant afterwards. */
extern bool annotate_on;
/* Does the option name these? */
extern bool annotate_syslog, annotate_journal;
void annotate_start(void);

/* --- which descriptors (annotate.c) ----------------------------------------------------------------- */

bool annotate_is_log(int fd);
static inline bool annotate_wants(int fd) {
    return __builtin_expect(annotate_on, 0) && annotate_is_log(fd);
}
/* Is the stream's descriptor a log? Settles the frames, as every hook does: called first. */
bool annotate_wants_stream(FILE *stream, struct here here);

void annotate_file_opened(int fd, const char *path);
void annotate_number_taken(int fd);
void annotate_copying(int fd);
void annotate_moved(int fd, off_t offset, int whence);
void annotate_spare(int fd);
void annotate_flags_set(int fd, int flags);
/* libc itself has ended a line on this stream. */
void annotate_line_over(FILE *stream);

/* `fd` (negative: none) was opened by this path, which may be NULL. */
static inline void annotate_opened(int fd, const char *path) {
    if (__builtin_expect(annotate_on, 0) && fd >= 0)
        annotate_file_opened(fd, path);
}
/* A call that opens no file made `fd`. */
static inline void annotate_born(int fd) {
    if (__builtin_expect(annotate_on, 0))
        annotate_number_taken(fd);
}
/* A copy of `fd` is about to be made. */
static inline void annotate_copied(int fd) {
    if (__builtin_expect(annotate_on, 0))
        annotate_copying(fd);
}
/* A successful seek. */
static inline void annotate_sought(int fd, off_t offset, int whence) {
    if (__builtin_expect(annotate_on, 0))
        annotate_moved(fd, offset, whence);
}
/* The program treats it as data. */
static inline void annotate_ends(int fd) {
    if (__builtin_expect(annotate_on, 0))
        annotate_spare(fd);
}

/* --- a line's beginning (annotate.c), for annotate_text.c ------------------------------------------- */

enum { PREFIX_SMALL = 448, PREFIX_TORN = 3, GATHERED = 16 };

/* What goes in front of lines now. `text` has "?] " right before it: what a prefix that was cut short is
 * ended by when another one follows. */
struct prefix {
    char *text;
    size_t size, mapped;
    char small[PREFIX_SMALL];
};

/* The prefix of what is current now; size 0: none. */
void annotate_prefix(struct prefix *prefix);
/* The same of the request alone that it belongs to; none when that is in doubt. */
void annotate_request(struct prefix *prefix);
void annotate_prefix_end(struct prefix *prefix);

/* --- lines that are JSON (annotate_json.c) ----------------------------------------------------------- */

enum { JSON_MEMBER = 1200 };
/* What the lines are that begin in a text. Objects: each goes on with a member's name. */
enum json_lines { JSON_NONE, JSON_OBJECTS, JSON_MIXED };
enum json_lines annotate_json_lines(const char *text, size_t size, bool midline);
/* The member for what is current now, with a comma behind: returns its size, 0: none. `doubtful`: it is not
 * for sure whose lines they are. */
size_t annotate_json_member(char member[JSON_MEMBER], bool doubtful);

/* --- logs that are no descriptor (annotate_system.c) ------------------------------------------------- */

enum { SYSLOG_FORMAT = 2048, JOURNAL_BUFFERS = 128, JOURNAL_FIELDS = 2048 };

/* What to give syslog in place of this format: `room` of SYSLOG_FORMAT bytes with the prefix in front, or the
 * format itself. `fortified`: libc looks whether it may have a %n. */
const char *annotate_syslog_format(const char *format, bool fortified, char *room);

/* A message to journald with two fields more. Memory of its own alone: the thread may be cancelled meanwhile.
 */
struct journal_message {
    struct msghdr message;
    struct iovec buffers[JOURNAL_BUFFERS];
    char fields[JOURNAL_FIELDS];
    size_t added; /* bytes */
};
/* False: it is to go as it is. The program's pointers may be bad (H22). */
bool annotate_journal_message(const struct msghdr *message, struct journal_message *to);

/* One call on a log. */
struct log_call {
    struct open_file *file;
    uint32_t generation;
    struct prefix prefix; /* size 0: no context is current */
    uint64_t changes;     /* how often the work has changed since the last call on it (activity.h) */
    bool alone;           /* no other thread has any; or it is no request's */
};

/* False: nothing can be done, and nothing is to be ended. */
bool annotate_begin(struct log_call *log, int fd);
void annotate_end(struct log_call *log);
/* E12. So many lines begin in this call: if others' may be among them, the prefix says that it is in doubt.
 */
void annotate_counted(struct log_call *log, size_t lines);
/* Is it the same open file still? */
bool annotate_holds(const struct log_call *log);

/* --- putting it there (annotate_text.c) ------------------------------------------------------------- */

/* A write-like call on a descriptor: `go` makes the real one with these buffers in place of its own. */
struct annotate_call {
    ssize_t (*go)(const struct annotate_call *call, const struct iovec *buffers, int count);
    int fd;
    int flags;
    bool vector;         /* the array of buffers is the program's too */
    const void *address; /* as the hook was given it */
    socklen_t address_size;
    const struct msghdr *message; /* NULL also for what continues a message that was cut short */
};

/* Makes the call, annotated where it is to be. A cancellation point when the real one is. */
ssize_t annotate_write(const struct annotate_call *call, const struct iovec *buffers, int count);

/* The real fwrite or fwrite_unlocked, write, fputws or fputws_unlocked. */
typedef size_t annotate_fwrite(const void *bytes, size_t size, size_t items, FILE *stream);
typedef ssize_t annotate_fdwrite(int fd, const void *bytes, size_t size);
typedef int annotate_fputws(const wchar_t *text, FILE *stream);

/* Each of these writes the text, all in one, with prefixes where they belong; then it returns true and
 * says in *out how many of the text's own bytes went out. Or it returns false: nothing is to be put in
 * front, and the caller is to make the real call. The draft is theirs to change; the caller ends it. */
bool annotate_stream(FILE *stream, annotate_fwrite *real, struct draft *text, size_t *out);
bool annotate_buffers(FILE *stream, annotate_fwrite *real, const struct iovec *buffers, int count,
                      size_t *out);
bool annotate_descriptor(int fd, annotate_fdwrite *real, struct draft *text, size_t *out);

/* Where wide text goes. On an unbuffered stream, which libc would write byte by byte, to the descriptor. */
struct wide_outlet {
    FILE *stream;
    annotate_fputws *fputws;
    annotate_fdwrite *fdwrite;
};
/* The same for wide characters, which go out all (*good) or count as none. */
bool annotate_wide(const struct wide_outlet *to, struct draft *text, bool *good);

#endif
