/* `ctxshim trace`: turns the files of `ctxshim run --trace=FILE` into a timeline that others show. */
#include "command.h"

#include "trace_file.h"
#include "verb.h"

#include <stdio.h>
#include <string.h>

static const char summary[] =
    "Writes what FILE has recorded to stdout. Children of the program have files of their own,\n"
    "FILE.PID, which are read with it: one timeline of all. The program may still be running,\n"
    "have ended, crashed or been killed.";

static const char description[] =
    "Formats:\n"
    "  html      one page with the timeline, to be searched by request; needs no network\n"
    "  perfetto  Chrome's trace event JSON, for ui.perfetto.dev or chrome://tracing\n"
    "  otlp      OTLP/JSON lines, for the OpenTelemetry Collector or Jaeger\n"
    "\n"
    "Examples:\n"
    "  ctxshim run --trace=/tmp/server.trace -- ./server\n"
    "  ctxshim trace /tmp/server.trace > timeline.html\n"
    "  ctxshim trace --format=perfetto /tmp/server.trace > timeline.json\n";

struct trace_options {
    char *format;
    gboolean alone;
};

static const struct format {
    const char *name;
    void (*write)(const GPtrArray *timelines);
} formats[] = {
    {"html", trace_html},
    {"perfetto", trace_perfetto},
    {"otlp", trace_otlp},
};

static const struct format *format_find(const char *name) {
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (name == NULL || strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

static void free_process(gpointer process) {
    trace_file_free(process);
}

static void free_timeline(gpointer timeline) {
    timeline_free(timeline);
}

/* One that cannot be read among FILE.PID is left out, and said. */
static void children_read(const char *path, GPtrArray *processes) {
    GError *error = NULL;
    char **siblings = trace_children(path);
    for (char **sibling = siblings; *sibling != NULL; sibling++) {
        struct trace_process *process = trace_file_read(*sibling, &error);
        if (process != NULL)
            g_ptr_array_add(processes, process);
        else
            command_complain(*sibling, "%s", error->message);
        g_clear_error(&error);
    }
    g_strfreev(siblings);
}

static int convert(const struct trace_options *options, const char *path, GError **error) {
    const struct format *format = format_find(options->format);
    struct trace_process *process = format != NULL ? trace_file_read(path, error) : NULL;
    if (process == NULL)
        return EXIT_REFUSED;
    GPtrArray *processes = g_ptr_array_new_with_free_func(free_process);
    GPtrArray *timelines = g_ptr_array_new_with_free_func(free_timeline);
    g_ptr_array_add(processes, process);
    if (!options->alone)
        children_read(path, processes);
    uint64_t lost = 0;
    for (guint i = 0; i < processes->len; i++) {
        process = g_ptr_array_index(processes, i);
        lost += process->lost;
        g_ptr_array_add(timelines, timeline_new(process));
    }
    format->write(timelines);
    trace_progress_end();
    if (lost > 0)
        command_complain(path,
                         "%" G_GUINT64_FORMAT " events were overwritten (--trace-events=N keeps more) or "
                         "found no room (the disk is full, or there are too many threads)",
                         lost);
    g_ptr_array_unref(timelines);
    g_ptr_array_unref(processes);
    return command_output_done(0);
}

int command_trace(int argc, char **argv) {
    struct trace_options options = {0};
    const GOptionEntry entries[] = {
        {"format", 'f', 0, G_OPTION_ARG_STRING, &options.format, "what to write; html without this",
         "html|perfetto|otlp"},
        {"alone", 0, 0, G_OPTION_ARG_NONE, &options.alone, "FILE only, without the files of children", NULL},
        G_OPTION_ENTRY_NULL};
    const struct verb verb = {.name = "trace",
                              .subjects = "FILE",
                              .summary = summary,
                              .description = description,
                              .entries = entries,
                              .most = 1,
                              .wants = "it takes one file"};
    GError *error = NULL;
    int status;
    if (!verb_parse(&verb, &argc, argv, &status))
        return status;
    status = EXIT_REFUSED;
    if (format_find(options.format) == NULL)
        command_complain("trace", "the format is html, perfetto or otlp, and not %s", options.format);
    else
        status = convert(&options, argv[1], &error);
    if (error != NULL)
        command_complain(argv[1], "%s", error->message);
    g_clear_error(&error);
    g_free(options.format);
    return status;
}
