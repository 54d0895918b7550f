/* `ctxshim leaks`: what leak finding recorded, explained: grouped by call stack, with names and lines. */
#include "command.h"

#include "escape.h"
#include "record_file.h"
#include "suppressions.h"
#include "symbols.h"
#include "target.h"
#include "verb.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char summary[] =
    "Reports the context leaks of a program that ran, or runs, with \"ctxshim run --leaks\":\n"
    "scopes that nobody closed, scopes misused, contexts held after their request was over,\n"
    "requests that began inside another one, values that were never destroyed.";

static const char description[] =
    "FILE is what --record-path made; a number is the pid of a running process.\n"
    "\n"
    "Suppressions are lines \"leak:PATTERN\", held against operations, functions and modules;\n"
    "* stands for anything, ^ and $ for beginning and end; # at the beginning of a word\n"
    "begins a comment.\n"
    "\n"
    "Exit status: 0 no leaks (or all suppressed), 23 leaks, 2 a wrong option or record.\n";

static const char *const kinds[] = {
#define KIND_WORD(name, word) [name] = word,
    LEAK_KINDS(KIND_WORD)
#undef KIND_WORD
};

/* --- a stack, named
 * ------------------------------------------------------------------------------------------- */

/* "#0 function file:line" lines; to be freed. */
static GPtrArray *stack_names(struct symbols *symbols, const GArray *stack) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < stack->len; i++) {
        const struct place *place = &g_array_index(stack, struct place, i);
        char *name = place->module != NULL
                         ? symbols_name(symbols, place->module->path, place->module->build_id,
                                        place->module->build_id_size, place->offset)
                         : g_strdup_printf("0x%" G_GINT64_MODIFIER "x", place->offset);
        g_ptr_array_add(names, name);
    }
    return names;
}

/* --- the report
 * ----------------------------------------------------------------------------------------------- */

struct shown {
    const struct leak_seen *leak;
    GPtrArray *stack, *other;
};

static void shown_clear(gpointer data) {
    struct shown *shown = data;
    g_ptr_array_unref(shown->stack);
    g_ptr_array_unref(shown->other);
}

/* The most frequent first; of those, the kinds in their order. */
static gint by_weight(gconstpointer one, gconstpointer other) {
    const struct record_leak *a = ((const struct shown *)one)->leak->entry;
    const struct record_leak *b = ((const struct shown *)other)->leak->entry;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : 0;
}

static void print_stack(const GPtrArray *stack) {
    for (guint i = 0; i < stack->len; i++) {
        char *line = escape_text(g_ptr_array_index(stack, i));
        printf("    #%u %s\n", i, line);
        g_free(line);
    }
}

static void print_line(const char *what, const char *text) {
    if (*text == '\0')
        return;
    char *shown = escape_text(text);
    printf("    %s: %s\n", what, shown);
    g_free(shown);
}

static void print_leak(const struct shown *shown, gboolean colour) {
    const struct leak_seen *leak = shown->leak;
    const struct record_leak *entry = leak->entry;
    char *operations = escape_text(*leak->operations != '\0' ? leak->operations : "(no operation)");
    char *thread = escape_text(leak->thread);
    printf("%s%s%s of '%s', %" G_GUINT64_FORMAT " time%s, thread %d (%s), from:\n", colour ? "\033[31m" : "",
           kinds[entry->kind], colour ? "\033[0m" : "", operations, (uint64_t)entry->count,
           entry->count == 1 ? "" : "s", entry->tid, thread);
    print_stack(shown->stack);
    if (shown->other->len > 0) {
        puts("  against the scope from:");
        print_stack(shown->other);
    }
    print_line("what", leak->about);
    print_line("how it got there", leak->how);
    if (entry->age > 0)
        printf("    held for: %.1f s after its request was over\n", (double)entry->age / 1e9);
    putchar('\n');
    g_free(thread);
    g_free(operations);
}

/* Prints what is not suppressed; returns how many leaks that were. */
static uint64_t print_report(const struct record *record, struct symbols *symbols,
                             struct suppressions *suppressions, gboolean quiet) {
    GArray *report = g_array_new(FALSE, FALSE, sizeof(struct shown));
    g_array_set_clear_func(report, shown_clear);
    uint64_t leaks = 0;
    for (guint i = 0; i < record->leaks->len; i++) {
        const struct leak_seen *leak = &g_array_index(record->leaks, struct leak_seen, i);
        struct shown shown = {leak, stack_names(symbols, leak->stack),
                              stack_names(symbols, leak->other_stack)};
        if (suppressions_match(suppressions, leak->operations, shown.stack, leak->entry->count)) {
            shown_clear(&shown);
            continue;
        }
        g_array_append_val(report, shown);
        leaks += leak->entry->count;
    }
    if (quiet && report->len == 0) {
        g_array_unref(report);
        return 0;
    }
    g_array_sort(report, by_weight);
    char *exe = escape_text(record->header->exe);
    if (report->len > 0)
        printf("==%d==ERROR: ctxshim: detected context leaks in %s\n\n", record->header->pid, exe);
    for (guint i = 0; i < report->len; i++)
        print_leak(&g_array_index(report, struct shown, i), isatty(STDOUT_FILENO));
    suppressions_print(suppressions);
    if (record->header->dropped > 0)
        printf("%" G_GUINT64_FORMAT " more found no room in the record\n", (uint64_t)record->header->dropped);
    printf("SUMMARY: ctxshim: %" G_GUINT64_FORMAT " context leak%s at %u place%s in process %d%s\n", leaks,
           leaks == 1 ? "" : "s", report->len, report->len == 1 ? "" : "s", record->header->pid,
           record->header->ended ? "" : " (which has not come to its end: it runs, crashed or was killed)");
    g_free(exe);
    g_array_unref(report);
    return leaks;
}

/* A number is a pid, anything else a file. */
static struct record *record_open(const char *subject, GError **error) {
    guint64 pid;
    if (g_ascii_string_to_unsigned(subject, 10, 1, G_MAXINT, &pid, NULL))
        return record_of_process(subject, error);
    return record_of_file(subject, error);
}

int leaks_report(const char *subject, struct suppressions *suppressions, gboolean quiet, GError **error) {
    struct record *record = record_open(subject, error);
    if (record == NULL)
        return EXIT_REFUSED;
    struct symbols *symbols = symbols_new();
    int status = print_report(record, symbols, suppressions, quiet) > 0 ? EXIT_LEAKS : 0;
    symbols_free(symbols);
    record_free(record);
    return status;
}

/* --- the command
 * ----------------------------------------------------------------------------------------------- */

int command_leaks(int argc, char **argv) {
    char *path = NULL;
    const GOptionEntry entries[] = {
        {"suppressions", 's', 0, G_OPTION_ARG_FILENAME, &path, "do not report what this file lists", "FILE"},
        G_OPTION_ENTRY_NULL};
    const struct verb verb = {.name = "leaks",
                              .subjects = "FILE|PID",
                              .summary = summary,
                              .description = description,
                              .entries = entries,
                              .most = 1,
                              .wants = "it takes one record file or process id"};
    GError *error = NULL;
    int status;
    if (!verb_parse(&verb, &argc, argv, &status))
        return status;
    struct suppressions *suppressions = suppressions_read(path, &error);
    status = suppressions != NULL ? leaks_report(argv[1], suppressions, FALSE, &error) : EXIT_REFUSED;
    if (error != NULL)
        command_complain(suppressions != NULL ? argv[1] : "--suppressions", "%s", error->message);
    if (suppressions != NULL)
        suppressions_free(suppressions);
    g_clear_error(&error);
    g_free(path);
    return command_output_done(status);
}
