/* One page with the timeline in it: timeline.html, and what it shows as JSON between its two halves. Names
 * come from strangers: they are JSON strings without '<', and the page shows them as text. */
#include "trace_file.h"

#include "words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The page as it is in the source, with a NUL behind. */
__asm__(".section .rodata\n"
        ".globl timeline_page\n"
        "timeline_page:\n"
        ".incbin \"shim/command/timeline.html\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char timeline_page[];

static const char place[] = "@TIMELINES@";

/* Microseconds since the first event of all, so that the page computes with numbers that it can hold. */
static double since(uint64_t time, uint64_t start) {
    return time > start ? (double)(time - start) / 1000 : 0;
}

static void words_write(const char *key, const char *const *words, gsize count) {
    printf("\"%s\":[", key);
    for (gsize i = 0; i < count; i++)
        printf("%s\"%s\"", i > 0 ? "," : "", words[i] != NULL ? words[i] : "");
    puts("],");
}

static void string_write(const char *text) {
    GString *json = g_string_new(NULL);
    trace_json_string(json, text);
    fputs(json->str, stdout);
    g_string_free(json, TRUE);
}

static void threads_write(const struct timeline *timeline) {
    GHashTableIter each;
    gpointer tid, name;
    const char *comma = "";
    fputs("\"threads\":{", stdout);
    g_hash_table_iter_init(&each, timeline->threads);
    for (; g_hash_table_iter_next(&each, &tid, &name); comma = ",") {
        printf("%s\"%d\":", comma, GPOINTER_TO_INT(tid));
        string_write(name);
    }
    puts("},");
}

/* Contexts by their serials, which a script's numbers may not hold: as text. */
static void contexts_write(const struct timeline *timeline) {
    GHashTableIter each;
    gpointer key, value;
    const char *comma = "";
    fputs("\"contexts\":{", stdout);
    g_hash_table_iter_init(&each, timeline->contexts);
    for (; g_hash_table_iter_next(&each, &key, &value); comma = ",\n") {
        const struct trace_context *context = value;
        printf("%s\"%" PRIu64 "\":[", comma, context->serial);
        string_write(context->text);
        printf(",\"%" PRIu64 "\"]", context->root);
    }
    puts("},");
}

static void spans_write(const struct timeline *timeline, uint64_t start) {
    fputs("\"spans\":[", stdout);
    for (guint i = 0; i < timeline->spans->len; i++) {
        const struct trace_span *span = &g_array_index(timeline->spans, struct trace_span, i);
        printf("%s[\"%" PRIu64 "\",\"%" PRIu64 "\",", i > 0 ? ",\n" : "", span->serial, span->root);
        string_write(span->text);
        printf(",%d,%.3f,%.3f,%d,%d]", span->tid, since(span->begin, start), since(span->end, start),
               span->is_root != 0, span->ended != 0);
        trace_progress("writing", i, timeline->spans->len);
    }
    puts("],");
}

static void slices_write(const struct timeline *timeline, uint64_t start) {
    fputs("\"slices\":[", stdout);
    for (guint i = 0; i < timeline->slices->len; i++) {
        const struct trace_slice *slice = &g_array_index(timeline->slices, struct trace_slice, i);
        printf("%s[%d,\"%" PRIu64 "\",%.3f,%.3f,%d,%d,%d,%d]", i > 0 ? ",\n" : "", slice->tid, slice->context,
               since(slice->begin, start), since(slice->end, start),
               slice->type == TRACE_ADOPT    ? slice->evidence
               : slice->type == TRACE_ATTACH ? -1
                                             : -2,
               slice->carrier, slice->fd, slice->by);
        trace_progress("writing", i, timeline->slices->len);
    }
    puts("],");
}

static void arrows_write(const struct timeline *timeline, uint64_t start) {
    fputs("\"arrows\":[", stdout);
    for (guint i = 0; i < timeline->arrows->len; i++) {
        const struct trace_arrow *arrow = &g_array_index(timeline->arrows, struct trace_arrow, i);
        printf("%s[\"%" PRIu64 "\",%d,%.3f,%d,%.3f]", i > 0 ? ",\n" : "", arrow->context, arrow->from,
               since(arrow->left, start), arrow->to, since(arrow->taken, start));
    }
    puts("]}");
}

void trace_html(const GPtrArray *timelines) {
    const char *data = strstr(timeline_page, place);
    uint64_t start = UINT64_MAX;
    for (guint i = 0; i < timelines->len; i++) {
        const struct timeline *timeline = g_ptr_array_index(timelines, i);
        if (timeline->process->events->len > 0 && timeline->begin < start)
            start = timeline->begin;
    }
    fwrite(timeline_page, 1, (size_t)(data - timeline_page), stdout);
    putchar('{');
    words_write("evidences", evidences, G_N_ELEMENTS(evidences));
    words_write("carriers", carriers, G_N_ELEMENTS(carriers));
    fputs("\"processes\":[", stdout);
    for (guint i = 0; i < timelines->len; i++) {
        const struct timeline *timeline = g_ptr_array_index(timelines, i);
        printf("%s{\"pid\":%d,\"exe\":", i > 0 ? ",\n" : "", timeline->process->pid);
        string_write(timeline->process->exe);
        printf(",\"lost\":%" PRIu64 ",\n", timeline->process->lost);
        threads_write(timeline);
        contexts_write(timeline);
        spans_write(timeline, start);
        slices_write(timeline, start);
        arrows_write(timeline, start);
    }
    fputs("]}", stdout);
    fputs(data + strlen(place), stdout);
}
