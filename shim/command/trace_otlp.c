/* OTLP/JSON lines: one TracesData a line, as the OpenTelemetry Collector's otlpjsonfile receiver reads it.
 *
 * Each request is a trace, or a part of the one that the process was started in (traceparent). The request is
 * its span; operations are its children; so is each time that a thread took it over, with a link to where it
 * was handed over; where it is in doubt, also to what else it may have been for. A connection is a trace of
 * its own: its requests are linked to it. Ids are those of ../span_ids.h. */
#include "trace_file.h"

#include "words.h"

#include "../w3c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IDS = 33 };

struct ids {
    char trace[IDS], span[IDS];
};

static gboolean came_with(const struct timeline *timeline, struct traceparent *parent) {
    return traceparent_parse(timeline->process->traceparent, parent);
}

static void ids_make(const struct timeline *timeline, uint64_t root, enum id_of kind, uint64_t number,
                     struct ids *ids) {
    struct traceparent parent;
    const struct id_seeds *seeds = &timeline->process->seeds;
    uint64_t seed = id_seed_of(seeds, root), number_seed = id_seed_of(seeds, number);
    if (kind == ID_OF_SLICE)
        number_seed = seeds->of[0].number;
    if (came_with(timeline, &parent))
        g_snprintf(ids->trace, sizeof ids->trace, "%.*s", TRACE_ID, parent.trace_id);
    else
        g_snprintf(ids->trace, sizeof ids->trace, "%016" PRIx64 "%016" PRIx64, id_trace_high(seed),
                   id_trace_low(seed, root));
    g_snprintf(ids->span, sizeof ids->span, "%016" PRIx64, id_span(number_seed, kind, number));
}

static uint64_t unix_time(const struct timeline *timeline, uint64_t time) {
    return timeline->process->realtime + (time - timeline->process->monotonic);
}

static void attribute(GString *line, const char *key, const char *value, int64_t number) {
    if (line->str[line->len - 1] == '}')
        g_string_append_c(line, ',');
    g_string_append_printf(line, "{\"key\":\"%s\",\"value\":{", key);
    if (value != NULL) {
        g_string_append(line, "\"stringValue\":");
        trace_json_string(line, value);
    } else {
        g_string_append_printf(line, "\"intValue\":\"%" PRId64 "\"", number);
    }
    g_string_append(line, "}}");
}

static void link_to(GString *line, const struct ids *ids) {
    if (line->str[line->len - 1] == '}')
        g_string_append_c(line, ',');
    g_string_append_printf(line, "{\"traceId\":\"%s\",\"spanId\":\"%s\"}", ids->trace, ids->span);
}

/* Up to its attributes. */
static void span_open(const struct timeline *timeline, GString *line, const struct ids *ids,
                      const char *parent, const char *name, uint64_t begin, uint64_t end) {
    if (line->str[line->len - 1] == '}')
        g_string_append_c(line, ',');
    g_string_append_printf(line, "{\"traceId\":\"%s\",\"spanId\":\"%s\",", ids->trace, ids->span);
    if (parent != NULL)
        g_string_append_printf(line, "\"parentSpanId\":\"%s\",", parent);
    g_string_append(line, "\"name\":");
    trace_json_string(line, name);
    g_string_append_printf(line,
                           ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRIu64 "\",\"endTimeUnixNano\":\"%" PRIu64
                           "\",\"attributes\":[",
                           parent == NULL ? 2 : 1, unix_time(timeline, begin), unix_time(timeline, end));
}

static void span_write(const struct timeline *timeline, GString *line, const struct trace_span *span) {
    struct ids ids, around;
    struct traceparent parent;
    gboolean nested = !span->is_root && span->root != 0;
    char incoming[SPAN_ID + 1] = "";
    ids_make(timeline, nested ? span->root : span->serial, ID_OF_SPAN, span->serial, &ids);
    ids_make(timeline, span->root, ID_OF_SPAN, span->root, &around);
    if (came_with(timeline, &parent))
        memcpy(incoming, parent.span_id, SPAN_ID);
    span_open(timeline, line, &ids,
              nested                ? around.span
              : incoming[0] != '\0' ? incoming
                                    : NULL,
              span->text, span->begin, span->end);
    attribute(line, "thread.id", NULL, span->tid);
    if (!span->ended)
        attribute(line, "ctxshim.unfinished", "true", 0);
    g_string_append(line, "],\"links\":[");
    if (span->is_root && span->root != 0)
        link_to(line, &around);
    g_string_append(line, "]}");
}

static void link_to_root(const struct timeline *timeline, GString *line, uint64_t root) {
    struct ids ids;
    ids_make(timeline, root, ID_OF_SPAN, root, &ids);
    link_to(line, &ids);
}

/* What handed the slice over worked for; 0: nothing, or it was not handed over. */
static uint64_t root_left(const struct timeline *timeline, uint64_t root, const struct trace_arrow *arrow) {
    if (arrow == NULL || arrow->from_slice >= timeline->slices->len)
        return arrow != NULL ? root : 0;
    return timeline_root(timeline,
                         g_array_index(timeline->slices, struct trace_slice, arrow->from_slice).context);
}

static void links_write(const struct timeline *timeline, GString *line, const struct trace_slice *slice,
                        uint64_t left) {
    const struct trace_context *context = timeline_context(timeline, slice->context);
    if (left != 0)
        link_to_root(timeline, line, left);
    for (guint i = 0; context != NULL && i < context->links; i++)
        if (context->link[i] != left)
            link_to_root(timeline, line, context->link[i]);
}

/* A thread takes a request over: linked to what the one who handed it over did then. `arrow` is NULL when
 * nobody is known to have. */
static void take_over_write(const struct timeline *timeline, GString *line, guint index,
                            const struct trace_arrow *arrow) {
    const struct trace_slice *slice = &g_array_index(timeline->slices, struct trace_slice, index);
    uint64_t root = timeline_root(timeline, slice->context);
    struct ids ids, request;
    ids_make(timeline, root, ID_OF_SLICE, index, &ids);
    ids_make(timeline, root, ID_OF_SPAN, root, &request);
    span_open(timeline, line, &ids, root != 0 ? request.span : NULL, timeline_name(timeline, slice->context),
              slice->begin, slice->end);
    attribute(line, "thread.id", NULL, slice->tid);
    if (arrow != NULL)
        attribute(line, "ctxshim.handed_over_by", NULL, arrow->from);
    if (slice->evidence < G_N_ELEMENTS(evidences))
        attribute(line, "ctxshim.evidence", evidences[slice->evidence], 0);
    if (slice->carrier < G_N_ELEMENTS(carriers))
        attribute(line, "ctxshim.carrier", carriers[slice->carrier], 0);
    g_string_append(line, "],\"links\":[");
    links_write(timeline, line, slice, root_left(timeline, root, arrow));
    g_string_append(line, "]}");
}

/* Taken over from somebody, or from it is not sure whom. */
static gboolean is_taken_over(const struct timeline *timeline, guint index, const struct trace_arrow *arrow) {
    const struct trace_slice *slice = &g_array_index(timeline->slices, struct trace_slice, index);
    const struct trace_context *context = timeline_context(timeline, slice->context);
    return arrow != NULL || (slice->type == TRACE_ADOPT && context != NULL && context->links > 0);
}

static void resource(const struct timeline *timeline, GString *line) {
    char *exe = g_path_get_basename(timeline->process->exe);
    g_string_assign(line, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    attribute(line, "service.name", exe, 0);
    attribute(line, "process.pid", NULL, timeline->process->pid);
    g_string_append(line, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"ctxshim\"},\"spans\":[");
    g_free(exe);
}

/* A line is written when it has so many spans. */
struct batch {
    const struct timeline *timeline;
    GString *line;
    guint count;
};

static void batch_end(struct batch *batch) {
    if (batch->count == 0)
        return;
    g_string_append(batch->line, "]}]}]}");
    puts(batch->line->str);
    batch->count = 0;
}

static void batch_next(struct batch *batch) {
    enum { SPANS_A_LINE = 256 };
    if (batch->count == SPANS_A_LINE)
        batch_end(batch);
    if (batch->count++ == 0)
        resource(batch->timeline, batch->line);
}

static void timeline_write(const struct timeline *timeline, GString *line) {
    struct batch batch = {timeline, line, 0};
    for (guint i = 0; i < timeline->spans->len; i++) {
        batch_next(&batch);
        span_write(timeline, line, &g_array_index(timeline->spans, struct trace_span, i));
        trace_progress("writing", i, timeline->spans->len);
    }
    const struct trace_arrow **arrows = g_new0(const struct trace_arrow *, timeline->slices->len + 1);
    for (guint i = 0; i < timeline->arrows->len; i++) {
        const struct trace_arrow *arrow = &g_array_index(timeline->arrows, struct trace_arrow, i);
        arrows[arrow->to_slice] = arrow;
    }
    for (guint i = 0; i < timeline->slices->len; i++)
        if (is_taken_over(timeline, i, arrows[i])) {
            batch_next(&batch);
            take_over_write(timeline, line, i, arrows[i]);
        }
    batch_end(&batch);
    g_free(arrows);
}

void trace_otlp(const GPtrArray *timelines) {
    GString *line = g_string_new(NULL);
    for (guint i = 0; i < timelines->len; i++)
        timeline_write(g_ptr_array_index(timelines, i), line);
    g_string_free(line, TRUE);
}
