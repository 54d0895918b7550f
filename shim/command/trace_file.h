/* Trace files (tracefile.h) as the converters want them: events in the order in which they happened, and the
 * timeline that they make. A file is believed nothing: what does not hold together is left out. */
#ifndef CTXSHIM_COMMAND_TRACE_FILE_H
#define CTXSHIM_COMMAND_TRACE_FILE_H

#include "../tracefile.h"

#include <glib.h>
#include <stdint.h>

struct trace_event {
    uint64_t time, context, other;
    int32_t tid, fd, by;
    uint8_t type, evidence, carrier;
    const char *text; /* NULL: none */
};

/* What a process's file says. */
struct trace_process {
    int32_t pid;
    uint64_t realtime, monotonic;
    char *exe;
    char *traceparent;
    struct id_seeds seeds;
    GArray *events; /* struct trace_event, by time */
    uint64_t lost;  /* events that were overwritten, or found no room */
    GStringChunk *texts;
};

/* Reads a file; NULL with `error` set when it is no trace. */
struct trace_process *trace_file_read(const char *path, GError **error);
/* The files of children, PATH.PID: to be freed with g_strfreev. */
char **trace_children(const char *path);
/* Makes room for a new trace: a trace that is there, and its children's, goes. False with `error` set when
 * something else is there. */
gboolean trace_file_clear(const char *path, GError **error);
void trace_file_free(struct trace_process *process);

enum { TRACE_LINKS = 3 };

/* A context that has a name. */
struct trace_context {
    uint64_t serial;
    const char *text;
    uint64_t root; /* the request that it belongs to; 0: none */
    gboolean doubtful;
    guint links; /* doubtful: roots that it may belong to, too */
    uint64_t link[TRACE_LINKS];
};

/* A request, a connection, or an operation of the program's: from its begin to its end, wherever it is worked
 * at.
 */
struct trace_span {
    uint64_t serial;
    uint64_t root; /* of an operation: what it belongs to; of a request: the root around it; 0: none */
    const char *text;
    int32_t tid; /* where it began */
    uint64_t begin, end;
    gboolean is_root, ended; /* not ended: it was still on, or its end was not recorded */
};

/* A thread works for a context. */
struct trace_slice {
    int32_t tid;
    uint64_t context;
    uint64_t begin, end;
    uint8_t type, evidence, carrier; /* type: by which event */
    int32_t fd, by;
};

/* A hand-over: captured here, adopted there. */
struct trace_arrow {
    uint64_t context;
    int32_t from, to;
    uint64_t left, taken; /* times */
    guint from_slice;     /* index, G_MAXUINT: captured outside of any */
    guint to_slice;
    uint8_t carrier;
};

struct timeline {
    const struct trace_process *process;
    GHashTable *contexts; /* serial -> struct trace_context */
    GHashTable *threads;  /* tid -> name */
    GArray *spans, *slices, *arrows;
    uint64_t begin, end;
};

struct timeline *timeline_new(const struct trace_process *process);
void timeline_free(struct timeline *timeline);
/* What is known of a context, or NULL. */
const struct trace_context *timeline_context(const struct timeline *timeline, uint64_t context);
/* What the context is called; never NULL. */
const char *timeline_name(const struct timeline *timeline, uint64_t context);
/* The root that a context belongs to; 0: none. */
uint64_t timeline_root(const struct timeline *timeline, uint64_t context);

/* Progress on stderr, when that is a terminal and it takes long. */
void trace_progress(const char *what, uint64_t done, uint64_t all);
void trace_progress_end(void);

/* The formats. Each writes what timelines (struct timeline *) there are to stdout. */
void trace_perfetto(const GPtrArray *timelines);
void trace_otlp(const GPtrArray *timelines);
void trace_html(const GPtrArray *timelines);

/* Appends the text as a JSON string, with its quotes; what is no UTF-8 is replaced. */
void trace_json_string(GString *to, const char *text);

#endif
