/* `ctxshim holders`: which contexts are alive in a process, and who keeps each. */
#include "command.h"

#include "escape.h"
#include "holdings.h"
#include "snapshot.h"
#include "verb.h"

#include <stdio.h>
#include <string.h>

static const char summary[] =
    "Lists the contexts that are alive in a process under the shim, and what holds each of them:\n"
    "threads, connections, timers, queues, registrations, captures. With OPERATION, those whose\n"
    "operations contain it. The process is not stopped; it may be a core file.";

static const char description[] =
    "Columns:\n"
    "  COUNT    so many holders of this kind\n"
    "  OVER     how long the request has been over, the longest; - while it goes on, or when the\n"
    "           program was not started with --leaks\n"
    "  HOLDER   what holds it, with descriptors and threads\n"
    "  CONTEXT  the operations, outermost first\n";

static const char *const words[] = {
#define HOLDER_WORD(name, word) [name] = word,
    HOLDER_KINDS(HOLDER_WORD)
#undef HOLDER_WORD
};

struct row {
    const struct held *first;
    guint count;
    double over;
    GString *which;
};

static void row_free(gpointer data) {
    struct row *row = data;
    g_string_free(row->which, TRUE);
    g_free(row);
}

/* Some are named, all are counted. */
static void row_add(struct row *row, const struct held *held) {
    enum { NAMED = 4 };
    row->over = MAX(row->over, held->over);
    if (++row->count > NAMED) {
        if (row->count == NAMED + 1)
            g_string_append(row->which, ", ...");
        return;
    }
    if (held->fd >= 0)
        g_string_append_printf(row->which, "%sfd %d", row->which->len > 0 ? ", " : "", held->fd);
    else if (held->tid != 0)
        g_string_append_printf(row->which, "%s%d %s", row->which->len > 0 ? ", " : "", held->tid,
                               held->thread);
}

/* The most frequent first; of those, the context's order. */
static gint by_count(gconstpointer one, gconstpointer other) {
    const struct row *a = *(struct row *const *)one, *b = *(struct row *const *)other;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    int order = strcmp(a->first->operations, b->first->operations);
    return order != 0 ? order : (gint)a->first->kind - (gint)b->first->kind;
}

static GPtrArray *rows_of(const GArray *holdings, const char *operation) {
    GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
    GHashTable *known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < holdings->len; i++) {
        const struct held *held = &g_array_index(holdings, struct held, i);
        if (operation != NULL && strstr(held->operations, operation) == NULL)
            continue;
        char *key = g_strdup_printf("%d%d %s", held->kind, held->gone, held->operations);
        struct row *row = g_hash_table_lookup(known, key);
        if (row == NULL) {
            row = g_new0(struct row, 1);
            row->first = held;
            row->over = -1;
            row->which = g_string_new(NULL);
            g_ptr_array_add(rows, row);
            g_hash_table_insert(known, g_strdup(key), row);
        }
        g_free(key);
        row_add(row, held);
    }
    g_hash_table_unref(known);
    g_ptr_array_sort(rows, by_count);
    return rows;
}

static void print_row(const struct row *row) {
    char *over = row->over >= 0 ? g_strdup_printf("%.2fs", row->over) : g_strdup("-");
    char *holder =
        g_strdup_printf("%s%s%s%s%s", words[row->first->kind], row->first->gone ? " (name only)" : "",
                        row->which->len > 0 ? " (" : "", row->which->str, row->which->len > 0 ? ")" : "");
    char *shown = escape_text(holder), *operations = escape_text(row->first->operations);
    printf("%6u %10s  %-44s  %s\n", row->count, over, shown, operations);
    g_free(operations);
    g_free(shown);
    g_free(holder);
    g_free(over);
}

static int show(const char *subject, const char *operation) {
    GError *error = NULL;
    struct target *target = target_open(subject, &error);
    struct census *census = target != NULL ? snapshot_find(target, &error) : NULL;
    int status = EXIT_REFUSED;
    if (census != NULL) {
        GArray *holdings = holdings_take(target, census);
        GPtrArray *rows = rows_of(holdings, operation);
        printf("%6s %10s  %-44s  %s\n", "COUNT", "OVER", "HOLDER", "CONTEXT");
        for (guint i = 0; i < rows->len; i++)
            print_row(g_ptr_array_index(rows, i));
        g_ptr_array_unref(rows);
        g_array_unref(holdings);
        status = 0;
    } else {
        command_complain(subject, "%s", error->message);
        g_error_free(error);
    }
    g_free(census);
    if (target != NULL)
        target_free(target);
    return command_output_done(status);
}

int command_holders(int argc, char **argv) {
    const struct verb verb = {.name = "holders",
                              .subjects = "PID|CORE [OPERATION]",
                              .summary = summary,
                              .description = description,
                              .most = 2,
                              .wants = "it takes one process id or core file, and an operation"};
    int status;
    if (!verb_parse(&verb, &argc, argv, &status))
        return status;
    return show(argv[1], argc == 3 ? argv[2] : NULL);
}
