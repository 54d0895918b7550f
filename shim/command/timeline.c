/* From events to a timeline: spans, slices and arrows (trace_file.h).
 *
 * A thread has one slice at a time: from the event that made a context current to the next that makes another
 * so. An arrow joins an adoption with the latest time that this context was left with that carrier: by the
 * thread that is said to have handed it over, when that is known. */
#include "trace_file.h"

#include "../provenance.h"

/* Where a context was left last, by whom. */
struct capture {
    uint64_t time;
    int32_t tid, fd;
    uint8_t carrier;
    guint slice;
    gboolean used;
};

struct builder {
    struct timeline *timeline;
    GHashTable *open;     /* serial -> index of its span + 1 */
    GHashTable *current;  /* tid -> index of its slice + 1 */
    GHashTable *captures; /* serial -> GArray of struct capture */
};

#define TID(tid) GINT_TO_POINTER(tid)

static gint64 *serial_key(uint64_t serial) {
    gint64 *key = g_new(gint64, 1);
    *key = (gint64)serial;
    return key;
}

static gpointer find(GHashTable *table, uint64_t serial) {
    gint64 key = (gint64)serial;
    return g_hash_table_lookup(table, &key);
}

const struct trace_context *timeline_context(const struct timeline *timeline, uint64_t context) {
    return find(timeline->contexts, context);
}

const char *timeline_name(const struct timeline *timeline, uint64_t context) {
    const struct trace_context *known = timeline_context(timeline, context);
    return known != NULL ? known->text : "(its name was overwritten)";
}

uint64_t timeline_root(const struct timeline *timeline, uint64_t context) {
    const struct trace_context *known = timeline_context(timeline, context);
    return known != NULL ? known->root : 0;
}

/* --- spans -----------------------------------------------------------------------------------------------
 */

static void context_name_take(struct timeline *timeline, const struct trace_event *event) {
    struct trace_context *context = g_new(struct trace_context, 1);
    *context = (struct trace_context){.serial = event->context,
                                      .text = event->text,
                                      .root = event->type == TRACE_ROOT ? event->context : event->other,
                                      .doubtful = event->evidence != 0};
    g_hash_table_replace(timeline->contexts, serial_key(event->context), context);
}

static void context_link_take(const struct timeline *timeline, const struct trace_event *event) {
    struct trace_context *context = find(timeline->contexts, event->context);
    if (context != NULL && context->links < TRACE_LINKS && event->other != 0)
        context->link[context->links++] = event->other;
}

static struct trace_span *span_open(const struct builder *builder, uint64_t serial) {
    guint index = GPOINTER_TO_UINT(find(builder->open, serial));
    return index != 0 ? &g_array_index(builder->timeline->spans, struct trace_span, index - 1) : NULL;
}

static void span_begin(struct builder *builder, const struct trace_event *event, gboolean is_root) {
    GArray *spans = builder->timeline->spans;
    struct trace_span span = {event->context, event->other, event->text, event->tid,
                              event->time,    event->time,  is_root,     FALSE};
    g_array_append_val(spans, span);
    g_hash_table_replace(builder->open, serial_key(event->context), GUINT_TO_POINTER(spans->len));
}

/* Whatever is done for a root, or in an operation, is in its span. */
static void span_touch(const struct builder *builder, uint64_t serial, uint64_t time) {
    struct trace_span *span = span_open(builder, serial);
    if (span != NULL && !span->ended && time > span->end)
        span->end = time;
}

/* A request that was answered was over with its last answer, whenever its peer asked for something else. */
static void span_end(const struct builder *builder, uint64_t serial, uint64_t time, gboolean answered) {
    struct trace_span *span = span_open(builder, serial);
    if (span == NULL)
        return;
    if (!span->ended || answered)
        span->end = time > span->end ? time : span->end;
    span->ended = TRUE;
}

/* A name given later is a request's from its beginning. */
static void root_renamed(const struct builder *builder, const struct trace_event *event) {
    struct trace_span *span = span_open(builder, event->context);
    if (span != NULL && span->is_root)
        span->text = event->text;
}

/* --- slices and arrows -------------------------------------------------------------------------------------
 */

static struct trace_slice *slice_now(const struct builder *builder, int32_t tid) {
    guint index = GPOINTER_TO_UINT(g_hash_table_lookup(builder->current, TID(tid)));
    return index != 0 ? &g_array_index(builder->timeline->slices, struct trace_slice, index - 1) : NULL;
}

/* Over a descriptor: by whom is known, or not. Over none: a thread is started once for each capture. */
static gboolean may_be(const struct trace_slice *slice, const struct capture *capture) {
    if (capture->time > slice->begin || capture->used)
        return FALSE;
    if (slice->fd >= 0)
        return capture->carrier == slice->carrier && (slice->by == 0 || slice->by == capture->tid);
    return (slice->evidence == EVIDENCE_START || slice->evidence == EVIDENCE_QUEUE) &&
           capture->carrier == TRACE_NO_CARRIER;
}

static const struct capture *capture_find(const struct builder *builder, const struct trace_slice *slice) {
    GArray *captures = find(builder->captures, slice->context);
    struct capture *best = NULL;
    for (guint i = captures != NULL ? captures->len : 0; i-- > 0;) {
        struct capture *capture = &g_array_index(captures, struct capture, i);
        if (may_be(slice, capture) && (best == NULL || slice->fd < 0))
            best = capture;
    }
    if (best != NULL)
        best->used = slice->fd < 0;
    return best;
}

/* Back to the same thread is an arrow, too, over something else than its own memory. */
static void arrow_to(struct builder *builder, guint index) {
    struct trace_slice *slice = &g_array_index(builder->timeline->slices, struct trace_slice, index);
    const struct capture *capture = slice->type == TRACE_ADOPT ? capture_find(builder, slice) : NULL;
    if (capture == NULL || capture->slice == index)
        return;
    struct trace_arrow arrow = {slice->context, capture->tid,   slice->tid, capture->time,
                                slice->begin,   capture->slice, index,      capture->carrier};
    g_array_append_val(builder->timeline->arrows, arrow);
}

static void slice_over(struct builder *builder, guint index, uint64_t time) {
    g_array_index(builder->timeline->slices, struct trace_slice, index).end = time;
    arrow_to(builder, index);
}

static void slice_end(struct builder *builder, const struct trace_event *event) {
    struct trace_slice *slice = slice_now(builder, event->tid);
    if (slice == NULL)
        return;
    slice_over(builder, (guint)(slice - &g_array_index(builder->timeline->slices, struct trace_slice, 0)),
               event->time);
    span_touch(builder, timeline_root(builder->timeline, slice->context), event->time);
    g_hash_table_remove(builder->current, TID(event->tid));
}

static void slice_begin(struct builder *builder, const struct trace_event *event) {
    GArray *slices = builder->timeline->slices;
    const struct trace_slice *now = slice_now(builder, event->tid);
    if (now != NULL && now->context == event->context && event->type != TRACE_ADOPT)
        return;
    slice_end(builder, event);
    if (event->context == 0)
        return;
    struct trace_slice slice = {event->tid,
                                event->context,
                                event->time,
                                event->time,
                                event->type,
                                event->evidence,
                                TRACE_NO_CARRIER,
                                -1,
                                0};
    g_array_append_val(slices, slice);
    g_hash_table_replace(builder->current, TID(event->tid), GUINT_TO_POINTER(slices->len));
    span_touch(builder, timeline_root(builder->timeline, event->context), event->time);
}

static void slice_from(struct builder *builder, const struct trace_event *event) {
    struct trace_slice *slice = slice_now(builder, event->tid);
    if (slice == NULL || slice->type != TRACE_ADOPT)
        return;
    slice->carrier = event->carrier;
    slice->fd = event->fd;
    slice->by = event->by;
}

static void captures_free(gpointer captures) {
    g_array_unref(captures);
}

static void capture_take(struct builder *builder, const struct trace_event *event) {
    enum { KEPT = 64 };
    GArray *captures = find(builder->captures, event->context);
    guint slice = GPOINTER_TO_UINT(g_hash_table_lookup(builder->current, TID(event->tid)));
    struct capture capture = {event->time, event->tid, event->fd, event->carrier, slice - 1, FALSE};
    if (captures == NULL) {
        captures = g_array_new(FALSE, FALSE, sizeof capture);
        g_hash_table_insert(builder->captures, serial_key(event->context), captures);
    }
    if (captures->len == KEPT)
        g_array_remove_index(captures, 0);
    g_array_append_val(captures, capture);
    span_touch(builder, timeline_root(builder->timeline, event->context), event->time);
}

/* --- all
 * ---------------------------------------------------------------------------------------------------- */

static void event_take(struct builder *builder, const struct trace_event *event) {
    struct timeline *timeline = builder->timeline;
    switch (event->type) {
    case TRACE_THREAD:
        g_hash_table_replace(timeline->threads, TID(event->tid), (gpointer)event->text);
        break;
    case TRACE_NAME:
        context_name_take(timeline, event);
        root_renamed(builder, event);
        break;
    case TRACE_ROOT:
        context_name_take(timeline, event);
        span_begin(builder, event, TRUE);
        break;
    case TRACE_PUSH:
        span_begin(builder, event, FALSE);
        break;
    case TRACE_POP:
        span_end(builder, event->context, event->time, FALSE);
        break;
    case TRACE_ANSWER:
        span_end(builder, timeline_root(timeline, event->context), event->time, TRUE);
        break;
    case TRACE_END:
        span_end(builder, event->context, event->time, FALSE);
        break;
    case TRACE_LINK:
        context_link_take(timeline, event);
        break;
    case TRACE_FROM:
        slice_from(builder, event);
        break;
    case TRACE_CAPTURE:
        capture_take(builder, event);
        break;
    default:
        slice_begin(builder, event);
    }
}

/* What is still on, is so up to the end. */
static void all_end(struct builder *builder) {
    struct timeline *timeline = builder->timeline;
    GHashTableIter each;
    gpointer tid, index;
    g_hash_table_iter_init(&each, builder->current);
    while (g_hash_table_iter_next(&each, &tid, &index))
        slice_over(builder, GPOINTER_TO_UINT(index) - 1, timeline->end);
    for (guint i = 0; i < timeline->spans->len; i++) {
        struct trace_span *span = &g_array_index(timeline->spans, struct trace_span, i);
        if (!span->ended)
            span->end = timeline->end;
    }
}

struct timeline *timeline_new(const struct trace_process *process) {
    struct timeline *timeline = g_new0(struct timeline, 1);
    struct builder builder = {timeline, g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
                              g_hash_table_new(NULL, NULL),
                              g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, captures_free)};
    timeline->process = process;
    timeline->contexts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    timeline->threads = g_hash_table_new(NULL, NULL);
    timeline->spans = g_array_new(FALSE, FALSE, sizeof(struct trace_span));
    timeline->slices = g_array_new(FALSE, FALSE, sizeof(struct trace_slice));
    timeline->arrows = g_array_new(FALSE, FALSE, sizeof(struct trace_arrow));
    const GArray *events = process->events;
    if (events->len > 0) {
        timeline->begin = g_array_index(events, struct trace_event, 0).time;
        timeline->end = g_array_index(events, struct trace_event, events->len - 1).time;
    }
    for (guint i = 0; i < events->len; i++) {
        event_take(&builder, &g_array_index(events, struct trace_event, i));
        trace_progress("ordering", i, events->len);
    }
    all_end(&builder);
    g_hash_table_destroy(builder.open);
    g_hash_table_destroy(builder.current);
    g_hash_table_destroy(builder.captures);
    return timeline;
}

void timeline_free(struct timeline *timeline) {
    g_hash_table_destroy(timeline->contexts);
    g_hash_table_destroy(timeline->threads);
    g_array_unref(timeline->spans);
    g_array_unref(timeline->slices);
    g_array_unref(timeline->arrows);
    g_free(timeline);
}
