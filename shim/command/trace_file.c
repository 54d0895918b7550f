/* Reading trace files: see trace_file.h. */
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 1 << 16 };

static GQuark trace_error(void) {
    return g_quark_from_static_string("ctxshim-trace");
}

/* As many bytes as there are, from the file's `offset` on. */
static size_t read_at(int fd, void *to, size_t size, size_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

static gboolean header_fits(const struct trace_header *header) {
    return memcmp(header->mark, TRACE_MARK, sizeof TRACE_MARK) == 0 && header->version == TRACE_VERSION &&
           header->slots >= TRACE_SLOTS_LEAST && header->slots <= TRACE_SLOTS_MOST &&
           (header->slots & (header->slots - 1)) == 0 && header->rings <= TRACE_RINGS;
}

/* Is it the whole event of this position? */
static gboolean slot_holds(const struct trace_slot *slot, uint64_t position) {
    return slot->number == position + 1 && slot->check == (uint32_t)(position + 1);
}

/* The text that begins in the slot of this position; NULL when a part of it is gone. */
static const char *text_of(struct trace_process *process, const struct trace_slot *slots, uint32_t count,
                           uint64_t position) {
    char text[TRACE_NAME_MOST + 1] = "";
    const struct trace_slot *slot = &slots[position & (count - 1)];
    memcpy(text, slot->text, TRACE_TEXT);
    if (slot->more > TRACE_MORE_MOST)
        return NULL;
    for (uint8_t i = 0; i < slot->more; i++) {
        const struct trace_slot *more = &slots[(position + 1 + i) & (count - 1)];
        if (!slot_holds(more, position + 1 + i) || more->type != TRACE_MORE || more->tid != slot->tid)
            return NULL;
        memcpy(text + TRACE_TEXT + (size_t)i * TRACE_MORE_TEXT, more->more_text, TRACE_MORE_TEXT);
    }
    return g_string_chunk_insert_const(process->texts, text);
}

static gboolean has_text(uint8_t type) {
    return type == TRACE_THREAD || type == TRACE_NAME || type == TRACE_ROOT || type == TRACE_PUSH;
}

static void event_take(struct trace_process *process, const struct trace_slot *slots, uint32_t count,
                       uint64_t position) {
    const struct trace_slot *slot = &slots[position & (count - 1)];
    if (!slot_holds(slot, position) || slot->type <= TRACE_MORE || slot->type > TRACE_LINK)
        return;
    struct trace_event event = {slot->time, slot->context, slot->other,    slot->tid,     slot->fd,
                                slot->by,   slot->type,    slot->evidence, slot->carrier, NULL};
    if (has_text(event.type) && (event.text = text_of(process, slots, count, position)) == NULL)
        return;
    g_array_append_val(process->events, event);
}

static void ring_take(struct trace_process *process, const struct trace_slot *slots, uint32_t count,
                      uint64_t next) {
    uint64_t first = next > count ? next - count : 0;
    process->lost += first;
    for (uint64_t position = first; position < next; position++)
        event_take(process, slots, count, position);
}

static int by_time(gconstpointer a, gconstpointer b) {
    const struct trace_event *one = a, *other = b;
    return one->time < other->time ? -1 : one->time > other->time;
}

static void rings_take(struct trace_process *process, const struct trace_header *header, int fd) {
    size_t size = header->slots * sizeof(struct trace_slot);
    struct trace_slot *slots = g_malloc(size);
    for (uint32_t ring = 0; ring < header->rings; ring++) {
        size_t got = read_at(fd, slots, size, TRACE_HEADER + ring * size);
        memset((char *)slots + got, 0, size - got);
        ring_take(process, slots, header->slots, header->next[ring]);
        trace_progress("reading", ring + 1, header->rings);
    }
    g_free(slots);
    g_array_sort(process->events, by_time); /* stable: one thread's stay in order */
}

static struct trace_process *process_read(int fd, GError **error) {
    struct trace_header header;
    if (read_at(fd, &header, sizeof header, 0) != sizeof header || !header_fits(&header)) {
        g_set_error_literal(error, trace_error(), 0,
                            "it is no trace of this version; make one with ctxshim run --trace=FILE");
        return NULL;
    }
    struct trace_process *process = g_new0(struct trace_process, 1);
    process->pid = header.pid;
    process->realtime = header.realtime;
    process->monotonic = header.monotonic;
    process->exe = g_strndup(header.exe, sizeof header.exe);
    process->traceparent = g_strndup(header.traceparent, sizeof header.traceparent);
    process->seeds = header.seeds;
    process->events = g_array_new(FALSE, FALSE, sizeof(struct trace_event));
    process->texts = g_string_chunk_new(STEP);
    process->lost = header.missed;
    rings_take(process, &header, fd);
    return process;
}

struct trace_process *trace_file_read(const char *path, GError **error) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        g_set_error(error, trace_error(), 0, "it cannot be read (%s); check the path", g_strerror(errno));
        return NULL;
    }
    struct trace_process *process = NULL;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        g_set_error_literal(error, trace_error(), 0,
                            "it is no file; give the one of ctxshim run --trace=FILE");
    else
        process = process_read(fd, error);
    close(fd);
    return process;
}

/* "12", or "12.2": a process, and what it has executed since. */
static gboolean is_process(const char *text) {
    size_t number = strspn(text, "0123456789");
    const char *image = text + number;
    if (number == 0 || *image == '\0')
        return number > 0;
    return *image == '.' && image[1] != '\0' && strspn(image + 1, "0123456789") == strlen(image + 1);
}

char **trace_children(const char *path) {
    GPtrArray *found = g_ptr_array_new();
    char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    char *prefix = g_strconcat(name, ".", NULL);
    GDir *directory = g_dir_open(folder, 0, NULL);
    const char *entry;
    while (directory != NULL && (entry = g_dir_read_name(directory)) != NULL)
        if (g_str_has_prefix(entry, prefix) && is_process(entry + strlen(prefix)))
            g_ptr_array_add(found, g_build_filename(folder, entry, NULL));
    if (directory != NULL)
        g_dir_close(directory);
    g_ptr_array_add(found, NULL);
    g_free(prefix);
    g_free(name);
    g_free(folder);
    return (char **)g_ptr_array_free(found, FALSE);
}

/* Nothing but what begins as a trace does is ever taken away. */
static gboolean is_trace(const char *path) {
    char mark[sizeof TRACE_MARK] = "";
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    gboolean is = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                  read_at(fd, mark, sizeof mark, 0) == sizeof mark &&
                  memcmp(mark, TRACE_MARK, sizeof mark) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

gboolean trace_file_clear(const char *path, GError **error) {
    struct stat status;
    if (lstat(path, &status) == 0 && !is_trace(path)) {
        g_set_error(error, trace_error(), 0, "%s is there, and is no trace; give the name of a new file",
                    path);
        return FALSE;
    }
    char **children = trace_children(path);
    for (char **child = children; *child != NULL; child++)
        if (is_trace(*child))
            unlink(*child);
    g_strfreev(children);
    unlink(path);
    return TRUE;
}

void trace_file_free(struct trace_process *process) {
    g_free(process->exe);
    g_free(process->traceparent);
    g_array_unref(process->events);
    g_string_chunk_free(process->texts);
    g_free(process);
}

void trace_json_string(GString *to, const char *text) {
    char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(to, '"');
    for (const char *at = valid; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == '<' || byte == 0x7f)
            g_string_append_printf(to, "\\u%04x", byte);
        else
            g_string_append_c(to, *at);
    }
    g_string_append_c(to, '"');
    g_free(valid);
}

static gint64 progress_began;
static gboolean progress_shown;

void trace_progress(const char *what, uint64_t done, uint64_t all) {
    enum { PATIENCE = 500000, EVERY = 100000 };
    static gint64 last;
    gint64 now = g_get_monotonic_time();
    if (progress_began == 0)
        progress_began = now;
    if (now - progress_began < PATIENCE || now - last < EVERY || !isatty(STDERR_FILENO))
        return;
    last = now;
    progress_shown = TRUE;
    fprintf(stderr, "\r%s: %3u%%\033[K", what, (unsigned)(all != 0 ? done * 100 / all : 100));
}

void trace_progress_end(void) {
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = FALSE;
}
