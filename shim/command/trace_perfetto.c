/* Chrome's trace event JSON, which Perfetto reads: a bare array, an event a line, complete at every moment.
 *
 * Requests, connections and operations hop from thread to thread: asynchronous b and e, each in the row of
 * its request. What a thread works for: X. A hand-over: an arrow from s to f. */
#include "trace_file.h"

#include "words.h"

#include <inttypes.h>
#include <stdio.h>

static double micro(uint64_t time) {
    return (double)time / 1000;
}

static const char *word(const char *const *words, gsize count, unsigned index) {
    return index < count && words[index] != NULL ? words[index] : "unknown";
}

static void event(GString *line) {
    static gboolean first = TRUE;
    fputs(first ? "[\n" : ",\n", stdout);
    fputs(line->str, stdout);
    first = FALSE;
    g_string_truncate(line, 0);
}

static void name_thread(const struct timeline *timeline, GString *line, int32_t tid, const char *what,
                        const char *name) {
    g_string_append_printf(line, "{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"%s\",\"args\":{\"name\":",
                           timeline->process->pid, tid, what);
    trace_json_string(line, name);
    g_string_append(line, "}}");
    event(line);
}

static void names(const struct timeline *timeline, GString *line) {
    GHashTableIter each;
    gpointer tid, name;
    char *exe = g_path_get_basename(timeline->process->exe);
    name_thread(timeline, line, timeline->process->pid, "process_name", exe);
    g_free(exe);
    g_hash_table_iter_init(&each, timeline->threads);
    while (g_hash_table_iter_next(&each, &tid, &name))
        name_thread(timeline, line, GPOINTER_TO_INT(tid), "thread_name", name);
}

/* Operations are drawn in the row of their request, which is what the id names. */
static void span_edge(const struct timeline *timeline, GString *line, const struct trace_span *span,
                      char phase) {
    uint64_t row = span->is_root || span->root == 0 ? span->serial : span->root;
    g_string_append_printf(line,
                           "{\"ph\":\"%c\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d,\"id\":\"0x%" PRIx64
                           "\",\"ts\":%.3f,\"name\":",
                           phase, span->is_root ? "request" : "operation", timeline->process->pid, span->tid,
                           row, micro(phase == 'b' ? span->begin : span->end));
    trace_json_string(line, span->text);
    if (phase == 'b' && !span->is_root && span->root != 0) {
        g_string_append(line, ",\"args\":{\"request\":");
        trace_json_string(line, timeline_name(timeline, span->root));
        g_string_append_c(line, '}');
    }
    g_string_append_c(line, '}');
    event(line);
}

static void slice_event(const struct timeline *timeline, GString *line, const struct trace_slice *slice) {
    g_string_append_printf(
        line, "{\"ph\":\"X\",\"cat\":\"context\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"name\":",
        timeline->process->pid, slice->tid, micro(slice->begin), micro(slice->end - slice->begin));
    trace_json_string(line, timeline_name(timeline, slice->context));
    g_string_append_printf(line, ",\"args\":{\"evidence\":\"%s\"",
                           slice->type == TRACE_ADOPT
                               ? word(evidences, G_N_ELEMENTS(evidences), slice->evidence)
                           : slice->type == TRACE_ATTACH ? "explicit"
                                                         : "resumed");
    if (slice->fd >= 0)
        g_string_append_printf(line, ",\"carrier\":\"%s\",\"fd\":%d",
                               word(carriers, G_N_ELEMENTS(carriers), slice->carrier), slice->fd);
    if (slice->by != 0)
        g_string_append_printf(line, ",\"from\":%d", slice->by);
    g_string_append(line, "}}");
    event(line);
}

static void arrow_events(const struct timeline *timeline, GString *line, const struct trace_arrow *arrow,
                         guint number) {
    const char *carrier = word(carriers, G_N_ELEMENTS(carriers), arrow->carrier);
    for (int i = 0; i < 2; i++) {
        g_string_append_printf(
            line,
            "{\"ph\":\"%s\",\"cat\":\"hand-over\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,"
            "\"id\":\"0x%x%08x\",\"ts\":%.3f}",
            i == 0 ? "s" : "f\",\"bp\":\"e", arrow->carrier == TRACE_NO_CARRIER ? "hand-over" : carrier,
            timeline->process->pid, i == 0 ? arrow->from : arrow->to, (unsigned)timeline->process->pid,
            number, micro(i == 0 ? arrow->left : arrow->taken));
        event(line);
    }
}

/* A span ends after what it contains: its own end is written behind. */
static void timeline_events(const struct timeline *timeline, GString *line) {
    uint64_t all = timeline->spans->len + timeline->slices->len + timeline->arrows->len, done = 0;
    names(timeline, line);
    for (guint i = 0; i < timeline->spans->len; i++, trace_progress("writing", ++done, all)) {
        const struct trace_span *span = &g_array_index(timeline->spans, struct trace_span, i);
        span_edge(timeline, line, span, 'b');
        span_edge(timeline, line, span, 'e');
    }
    for (guint i = 0; i < timeline->slices->len; i++, trace_progress("writing", ++done, all))
        slice_event(timeline, line, &g_array_index(timeline->slices, struct trace_slice, i));
    for (guint i = 0; i < timeline->arrows->len; i++, trace_progress("writing", ++done, all))
        arrow_events(timeline, line, &g_array_index(timeline->arrows, struct trace_arrow, i), i);
}

void trace_perfetto(const GPtrArray *timelines) {
    GString *line = g_string_new(NULL);
    for (guint i = 0; i < timelines->len; i++)
        timeline_events(g_ptr_array_index(timelines, i), line);
    puts("\n]");
    g_string_free(line, TRUE);
}
