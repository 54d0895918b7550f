/* Putting the context in front of lines: see annotate.h for what holds.
 *
 * A text is copied into a draft, looked at, and spread in place: from its last line to its first, each line
 * moves up and its prefix goes before it. The draft goes out in one real call. When that call takes only a
 * part, the part is counted in the program's own bytes.
 *
 * It may also end inside a prefix. How much of it is out is kept in the open file, with the prefix's hash
 * (`torn`): the next line goes on where it was cut, and when its prefix is another one, "?] " ends the torn
 * one first. A call that moved nothing of the program's has not succeeded yet, whatever of the prefix is
 * out: it is made again with the rest, and its error is the program's. */
#include "annotate.h"

#include "openfile.h"
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

/* --- looking at text ---------------------------------------------------------------------------------- */

/* What a text is, and where the line stands: `midline` goes in as before it and comes out as after it. */
struct scan {
    size_t starts; /* lines that begin in it */
    bool midline;
    bool data; /* not text */
};

/* \b \t \n \v \f \r and ESC. */
static const uint32_t text_controls = 0x3f00 | 1U << 27;

static bool is_data(uint32_t c) {
    return c == 0x7f || (c < 0x20 && (text_controls >> c & 1) == 0);
}

/* Eight bytes at once: are they all neither control characters nor DEL? */
static bool all_plain(const char *bytes) {
    const uint64_t each = 0x0101010101010101, high = each * 0x80;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    uint64_t deleted = word ^ each * 0x7f;
    return (((word - each * 0x20) & ~word) & high) == 0 && (((deleted - each) & ~deleted) & high) == 0;
}

static void scan_bytes(struct scan *scan, const void *bytes, size_t size) {
    const char *at = bytes, *end = at + size;
    while (at < end) {
        if (scan->midline && end - at >= 8 && all_plain(at)) {
            at += 8;
            continue;
        }
        scan->starts += !scan->midline;
        scan->data |= is_data((unsigned char)*at);
        scan->midline = *at++ != '\n';
    }
}

static void scan_buffers(struct scan *scan, const struct iovec *buffers, int count, size_t most) {
    for (int i = 0; i < count && most > 0; i++) {
        size_t size = buffers[i].iov_len < most ? buffers[i].iov_len : most;
        scan_bytes(scan, buffers[i].iov_base, size);
        most -= size;
    }
}

static void scan_wide(struct scan *scan, const wchar_t *text, size_t length) {
    for (const wchar_t *end = text + length; text < end; text++) {
        scan->starts += !scan->midline;
        scan->data |= is_data((uint32_t)*text);
        scan->midline = *text != L'\n';
    }
}

/* --- prefixes into text -------------------------------------------------------------------------------- */

/* One text with its prefixes. The first line's may be the rest of one that was cut, or end another one. */
struct spread {
    const char *first, *each;
    size_t first_size, each_size;
    bool midline; /* the text goes on with a line that has begun */
    bool json;    /* a member, and no prefix: it goes behind a line's first byte */
    uint32_t hash, cut;
    char member[JSON_MEMBER];
};

static uint32_t hash_of(const char *text, size_t size) {
    uint32_t hash = 2166136261;
    for (const char *end = text + size; text < end; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619;
    return hash;
}

static struct spread spread_begin(const struct log_call *log, bool midline) {
    const struct prefix *prefix = &log->prefix;
    uint64_t torn = atomic_load_explicit(&log->file->torn, memory_order_relaxed);
    struct spread spread;
    spread.first = spread.each = prefix->text;
    spread.first_size = spread.each_size = prefix->size;
    spread.midline = midline;
    spread.json = false;
    spread.hash = spread.cut = 0;
    if (__builtin_expect(torn == 0, 1))
        return spread;
    spread.hash = hash_of(prefix->text, prefix->size);
    if (spread.hash == torn >> 32 && (uint32_t)torn < prefix->size) {
        spread.cut = (uint32_t)torn;
        spread.first += spread.cut;
        spread.first_size -= spread.cut;
    } else {
        spread.first -= PREFIX_TORN;
        spread.first_size += PREFIX_TORN;
    }
    return spread;
}

/* With annotate_format=json: what is put where. False: nothing is to be put, for it would break a line. */
static bool spread_json(struct spread *spread, const struct draft *draft) {
    if (options.annotate_format != ANNOTATE_JSON)
        return true;
    enum json_lines lines = annotate_json_lines(draft->text, draft->size, spread->midline);
    if (lines != JSON_OBJECTS)
        return lines == JSON_NONE;
    bool doubtful = spread->each_size > 3 && spread->each[spread->each_size - 3] == '?'; /* "?] " */
    size_t size = spread->first == spread->each ? annotate_json_member(spread->member, doubtful) : 0;
    spread->first = spread->each = spread->member;
    spread->first_size = spread->each_size = size;
    spread->json = true;
    return size > 0;
}

/* Copies the prefix of the line that begins at `start`, to end at `to`. Returns where it begins. */
static char *put_prefix(const struct spread *spread, char *to, bool first) {
    size_t size = first ? spread->first_size : spread->each_size;
    memcpy(to - size, first ? spread->first : spread->each, size);
    return to - size;
}

/* False without memory. */
static bool spread_text(const struct spread *spread, struct draft *draft, size_t starts) {
    size_t more;
    if (__builtin_mul_overflow(starts, spread->each_size, &more) ||
        !draft_reserve(draft, more + spread->first_size))
        return false;
    if (!spread->midline)
        more += spread->first_size - spread->each_size;
    char *end = draft->text + draft->size, *to = end + more;
    draft->size += more;
    for (; starts > 0; starts--) {
        const char *newline = memrchr(draft->text, '\n', (size_t)(end - draft->text) - 1);
        char *start = newline != NULL ? draft->text + (newline + 1 - draft->text) : draft->text;
        size_t ahead = spread->json; /* of its prefix */
        char opening = *start;
        to -= (size_t)(end - start) - ahead;
        memmove(to, start + ahead, (size_t)(end - start) - ahead);
        to = put_prefix(spread, to, start == draft->text);
        if (ahead > 0)
            *--to = opening;
        end = start;
    }
    return true;
}

/* How many of the first `out` bytes of the spread text are the program's. Where they end in a prefix,
 * *torn tells how it is to go on. */
static size_t own_bytes(const struct spread *spread, const char *text, size_t out, bool *midline,
                        uint64_t *torn) {
    const char *at = text, *end = text + out;
    size_t own = 0;
    *midline = spread->midline;
    *torn = 0;
    while (at < end) {
        size_t size = at == text ? spread->first_size : spread->each_size;
        bool behind = spread->json && !*midline;
        at += behind;
        own += behind;
        if (behind && (size_t)(end - at) < size) {
            *midline = true;
            *torn = 1; /* for pour_on alone: what is put behind a byte of the program's cannot go on later */
            return own;
        }
        if (!*midline && (size_t)(end - at) < size) {
            size_t cut = (size_t)(end - at) + (at == text ? spread->cut : 0);
            bool begun = at != text || spread->first_size <= spread->each_size;
            *torn = (uint64_t)(begun ? hash_of(spread->each, spread->each_size) : 0) << 32 | cut;
            return own;
        }
        at += *midline ? 0 : size;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        own += (size_t)(next - at);
        *midline = at < next ? newline == NULL : true;
        at = next;
    }
    return own;
}

/* --- one call ------------------------------------------------------------------------------------------ */

static void state_set(const struct log_call *log, bool midline, uint64_t torn) {
    if (!annotate_holds(log))
        return;
    file_mark(log->file, FILE_MIDLINE, midline);
    if (torn != 0 || atomic_load_explicit(&log->file->torn, memory_order_relaxed) != 0)
        atomic_store_explicit(&log->file->torn, torn, memory_order_relaxed);
}

/* The real call that a spread text goes out by. `done` bytes have gone already. */
struct outlet {
    long (*pour)(const struct outlet *outlet, const char *text, size_t size, size_t done);
    const struct annotate_call *call;
    FILE *stream;
    annotate_fwrite *fwrite;
    annotate_fdwrite *fdwrite;
    int fd;
    enum { ONCE, UNTIL_OWN, UNTIL_ALL } again; /* while it moves something: until what is out */
};

static long pour_call(const struct outlet *outlet, const char *text, size_t size, size_t done) {
    struct annotate_call call = *outlet->call;
    if (done > 0)
        call.message = NULL;
    return call.go(&call, &(struct iovec){(void *)(uintptr_t)text, size}, 1);
}

static long pour_stream(const struct outlet *outlet, const char *text, size_t size, size_t done) {
    (void)done;
    return (long)outlet->fwrite(text, 1, size, outlet->stream);
}

static long pour_descriptor(const struct outlet *outlet, const char *text, size_t size, size_t done) {
    (void)done;
    return outlet->fdwrite(outlet->fd, text, size);
}

/* What is to be given back when the real call is a thread's last. */
struct held {
    struct log_call *log;
    struct draft *draft;
};

static void let_go(void *memory) {
    struct held *held = memory;
    annotate_end(held->log);
    if (held->draft != NULL)
        draft_end(held->draft);
}

struct poured {
    long result;   /* the last real call's */
    size_t done;   /* bytes that are out, */
    size_t own;    /* and of these the program's, when it is not everything */
    uint64_t torn; /* how it is to go on, then */
    bool midline;
};

/* Not inline: the caller comes back by longjmp when the thread is cancelled, its registers as they were. */
__attribute__((noinline)) static void pour_on(struct poured *poured, const struct outlet *outlet,
                                              const struct draft *draft, const struct spread *spread) {
    size_t left = draft->size;
    do {
        poured->result = outlet->pour(outlet, draft->text + poured->done, left, poured->done);
        poured->done += poured->result > 0 ? (size_t)poured->result : 0;
        left = draft->size - poured->done;
        if (left > 0)
            poured->own = own_bytes(spread, draft->text, poured->done, &poured->midline, &poured->torn);
    } while (poured->result > 0 && left > 0 &&
             (outlet->again == UNTIL_ALL || (outlet->again == UNTIL_OWN && poured->own == 0) ||
              (spread->json && poured->torn != 0)));
    poured->torn = spread->json ? 0 : poured->torn;
}

/* Returns how many of the program's bytes went out, LONG_MAX for all, or -1 with errno when none did for an
 * error. */
static long pour(struct log_call *log, const struct outlet *outlet, struct draft *draft,
                 const struct spread *spread, bool midline_after) {
    struct poured poured = {0};
    struct held held = {log, draft};
    pthread_cleanup_push(let_go, &held);
    pour_on(&poured, outlet, draft, spread);
    pthread_cleanup_pop(0);
    if (poured.done == draft->size) {
        state_set(log, midline_after, 0);
        return LONG_MAX;
    }
    if (poured.done > 0)
        state_set(log, poured.midline, poured.torn);
    return poured.own > 0 || poured.result >= 0 ? (long)poured.own : -1;
}

/* --- write and its like -------------------------------------------------------------------------------- */

/* The call as the program made it; then what it moved is looked at, where the kernel has just done so. */
static long pass(struct log_call *log, const struct annotate_call *call, const struct iovec *buffers,
                 int count) {
    long result;
    struct held held = {log, NULL};
    pthread_cleanup_push(let_go, &held);
    result = call->go(call, buffers, count);
    pthread_cleanup_pop(0);
    if (result <= 0)
        return result;
    struct scan scan = {.midline = file_has(log->file, FILE_MIDLINE)};
    scan_buffers(&scan, buffers, count, (size_t)result);
    if (scan.data)
        annotate_spare(call->fd);
    state_set(log, scan.midline, 0);
    return result;
}

/* False: nothing is to go in front, and nothing has gone out. A datagram that its prefix made too long goes
 * without. */
static bool write_annotated(struct log_call *log, const struct annotate_call *call, struct draft *draft,
                            const struct iovec *buffers, int count, long *result) {
    int error = errno;
    struct scan scan = {.midline = file_has(log->file, FILE_MIDLINE)};
    if (!draft_peek(draft, buffers, count, !call->vector))
        return false;
    size_t size = draft->size;
    bool midline = scan.midline;
    scan_bytes(&scan, draft->text, size);
    annotate_counted(log, scan.starts);
    struct spread spread = spread_begin(log, midline);
    if (scan.data || scan.starts == 0 || !spread_json(&spread, draft) ||
        !spread_text(&spread, draft, scan.starts))
        return false;
    struct outlet outlet = {.pour = pour_call, .call = call, .again = UNTIL_OWN};
    *result = pour(log, &outlet, draft, &spread, scan.midline);
    if (*result < 0 && errno == EMSGSIZE) {
        errno = error;
        return false;
    }
    if (*result == LONG_MAX)
        *result = (long)size;
    return true;
}

ssize_t annotate_write(const struct annotate_call *call, const struct iovec *buffers, int count) {
    struct log_call log;
    struct draft draft;
    long result;
    if (!annotate_begin(&log, call->fd))
        return call->go(call, buffers, count);
    draft_begin(&draft);
    bool done = log.prefix.size > 0 && write_annotated(&log, call, &draft, buffers, count, &result);
    draft_end(&draft);
    if (!done)
        result = pass(&log, call, buffers, count);
    annotate_end(&log);
    return result;
}

/* --- streams ------------------------------------------------------------------------------------------- */

static int descriptor_of(FILE *stream) {
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    return fd;
}

/* What lies in a stream's buffer was written last, whether a hook saw it or not (putc_unlocked). */
static bool stands_midline(FILE *stream, const struct open_file *file) {
    const char *end = stream != NULL && fwide(stream, 0) <= 0 ? stream->_IO_write_ptr : NULL;
    if (end != NULL && end > stream->_IO_write_base)
        return end[-1] != '\n';
    return file != NULL && file_has(file, FILE_MIDLINE);
}

/* Is there something to put in front? Then the call is begun. If not, the caller's real call is as good as
 * made, and where the line stands after it is noted. */
static bool lines_begin(struct log_call *log, int fd, const struct scan *scan) {
    struct open_file *file = file_at(fd);
    if (scan->data) {
        annotate_spare(fd);
        return false;
    }
    if (scan->starts == 0) {
        if (file != NULL)
            file_mark(file, FILE_MIDLINE, scan->midline);
        return false;
    }
    if (!annotate_begin(log, fd))
        return false;
    annotate_counted(log, scan->starts);
    if (log->prefix.size > 0)
        return true;
    state_set(log, scan->midline, 0);
    annotate_end(log);
    return false;
}

/* The rest of the work, on a draft that holds the text alone. */
static bool lines_put(struct log_call *log, const struct outlet *outlet, struct draft *draft, bool midline,
                      const struct scan *scan, size_t *out) {
    struct spread spread = spread_begin(log, midline);
    size_t size = draft->size;
    bool put = spread_json(&spread, draft), good = put && spread_text(&spread, draft, scan->starts);
    if (!put)
        state_set(log, scan->midline, 0);
    if (good) {
        long own = pour(log, outlet, draft, &spread, scan->midline);
        *out = own == LONG_MAX ? size : own < 0 ? 0 : (size_t)own;
    }
    annotate_end(log);
    return good;
}

static bool draft_put(const struct outlet *outlet, struct draft *text, size_t *out) {
    struct log_call log;
    bool midline = stands_midline(outlet->stream, file_at(outlet->fd));
    struct scan scan = {.midline = midline};
    scan_bytes(&scan, text->text, text->size);
    return lines_begin(&log, outlet->fd, &scan) && lines_put(&log, outlet, text, midline, &scan, out);
}

bool annotate_stream(FILE *stream, annotate_fwrite *real, struct draft *text, size_t *out) {
    struct outlet outlet = {
        .pour = pour_stream, .stream = stream, .fwrite = real, .fd = descriptor_of(stream)};
    return draft_put(&outlet, text, out);
}

bool annotate_descriptor(int fd, annotate_fdwrite *real, struct draft *text, size_t *out) {
    struct outlet outlet = {.pour = pour_descriptor, .fdwrite = real, .fd = fd, .again = UNTIL_ALL};
    return draft_put(&outlet, text, out);
}

bool annotate_buffers(FILE *stream, annotate_fwrite *real, const struct iovec *buffers, int count,
                      size_t *out) {
    struct outlet outlet = {
        .pour = pour_stream, .stream = stream, .fwrite = real, .fd = descriptor_of(stream)};
    struct log_call log;
    struct draft draft;
    bool midline = stands_midline(stream, file_at(outlet.fd));
    struct scan scan = {.midline = midline};
    scan_buffers(&scan, buffers, count, SIZE_MAX);
    if (!lines_begin(&log, outlet.fd, &scan))
        return false;
    draft_begin(&draft);
    bool good = true;
    for (int i = 0; good && i < count; i++)
        good = draft_add(&draft, buffers[i].iov_base, buffers[i].iov_len);
    if (good)
        good = lines_put(&log, &outlet, &draft, midline, &scan, out);
    else
        annotate_end(&log);
    draft_end(&draft);
    return good;
}

/* --- wide streams -------------------------------------------------------------------------------------- */

/* The public header shows the word that this bit of libc's is in, and not its name. */
enum { STREAM_UNBUFFERED = 2 };

/* What stands in front of a line, or behind its first character. */
static bool widen_prefix(const struct spread *spread, struct draft *draft, bool first) {
    const char *text = first ? spread->first : spread->each;
    size_t size = first ? spread->first_size : spread->each_size;
    return spread->json ? draft_widen_json(draft, text, size) : draft_widen(draft, text, size);
}

static bool spread_wide(const struct spread *spread, struct draft *draft, const wchar_t *text,
                        size_t length) {
    bool midline = spread->midline, first = true, good = true;
    for (const wchar_t *end = text + length; good && text < end;) {
        const wchar_t *newline = wmemchr(text, L'\n', (size_t)(end - text));
        const wchar_t *next = newline != NULL ? newline + 1 : end;
        if (!midline && spread->json)
            good = draft_add(draft, text++, sizeof *text);
        if (!midline)
            good = good && widen_prefix(spread, draft, first);
        good = good && draft_add(draft, text, (size_t)(next - text) * sizeof *text);
        midline = first = false;
        text = next;
    }
    return good && draft_add(draft, L"", sizeof(wchar_t));
}

/* Wide text, its NUL included, as bytes of the locale. False when it has none for some character. */
static bool narrow(struct draft *bytes, const struct draft *wide) {
    const wchar_t *from = draft_wide(wide);
    mbstate_t state = {0};
    int error = errno;
    size_t size = wcsrtombs(NULL, &from, 0, &state);
    errno = error;
    if (size == SIZE_MAX || !draft_reserve(bytes, size + 1))
        return false;
    from = draft_wide(wide);
    state = (mbstate_t){0};
    bytes->size = wcsrtombs(bytes->text, &from, size + 1, &state);
    errno = error;
    return bytes->size == size;
}

/* Do its lines get a member each, a prefix each, or, false, nothing? What is JSON's own is ASCII. */
static bool wide_json(struct spread *spread, const struct draft *text) {
    if (options.annotate_format != ANNOTATE_JSON)
        return true;
    struct draft ascii;
    draft_begin(&ascii);
    const wchar_t *at = draft_wide(text), *end = at + text->size / sizeof *at;
    bool good = true;
    for (; good && at < end; at++) {
        const unsigned char byte = *at > 0 && *at < 0x80 ? (unsigned char)*at : 'x';
        good = draft_add(&ascii, &byte, 1);
    }
    good = good && spread_json(spread, &ascii);
    draft_end(&ascii);
    return good;
}

/* libc would write an unbuffered stream's characters one by one. */
static bool wide_to_descriptor(struct log_call *log, const struct wide_outlet *to, struct draft *bytes,
                               const struct spread *spread, bool midline_after) {
    struct outlet outlet = {
        .pour = pour_descriptor, .fdwrite = to->fdwrite, .fd = descriptor_of(to->stream), .again = UNTIL_ALL};
    fwide(to->stream, 1);
    if (pour(log, &outlet, bytes, spread, midline_after) == LONG_MAX)
        return true;
    to->stream->_flags |= _IO_ERR_SEEN;
    return false;
}

static bool wide_to_stream(struct log_call *log, const struct wide_outlet *to, struct draft *wide,
                           bool midline_after) {
    bool good;
    struct held held = {log, wide};
    pthread_cleanup_push(let_go, &held);
    good = to->fputws(draft_wide(wide), to->stream) >= 0;
    pthread_cleanup_pop(0);
    if (good)
        state_set(log, midline_after, 0);
    return good;
}

/* `text` is spread into `wide`, and then free for the bytes. */
static bool wide_put(struct log_call *log, const struct wide_outlet *to, struct draft *text,
                     struct draft *wide, const struct scan *scan, bool *good) {
    struct spread spread = spread_begin(log, file_has(log->file, FILE_MIDLINE));
    if (!wide_json(&spread, text) ||
        !spread_wide(&spread, wide, draft_wide(text), text->size / sizeof(wchar_t)))
        return false;
    draft_end(text);
    if ((to->stream->_flags & STREAM_UNBUFFERED) != 0 && narrow(text, wide)) {
        draft_end(wide);
        *good = wide_to_descriptor(log, to, text, &spread, scan->midline);
    } else {
        *good = wide_to_stream(log, to, wide, scan->midline);
    }
    return true;
}

bool annotate_wide(const struct wide_outlet *to, struct draft *text, bool *good) {
    int fd = descriptor_of(to->stream);
    struct log_call log;
    struct draft wide;
    struct scan scan = {.midline = stands_midline(NULL, file_at(fd))};
    scan_wide(&scan, draft_wide(text), text->size / sizeof(wchar_t));
    if (!lines_begin(&log, fd, &scan))
        return false;
    draft_begin(&wide);
    bool done = wide_put(&log, to, text, &wide, &scan, good);
    draft_end(&wide);
    annotate_end(&log);
    return done;
}
