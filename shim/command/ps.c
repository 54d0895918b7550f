/* `ctxshim ps`: which context each thread of a process works in, seen from outside. */
#include "command.h"

#include "escape.h"
#include "snapshot.h"
#include "verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ps_options {
    gboolean json, alone;
    double watch; /* seconds; 0: once */
};

static const char summary[] =
    "Lists the threads of a process that runs under the shim, and of its child processes:\n"
    "which logical operations each works in, what told so, and since when. The process is\n"
    "not stopped and notices nothing; it may hang, or be a core file.";

static const char description[] =
    "Columns:\n"
    "  TID      the thread\n"
    "  NAME     its name\n"
    "  SINCE    how long ago it took this work up\n"
    "  BY       what told whose work it is (event, read, response, ...), over what descriptor, and\n"
    "           which other thread handed it over\n"
    "  CONTEXT  the operations, outermost first; - when there are none. A ? says that it is not\n"
    "           for sure. (not seen): a thread without libc, or one too busy to be read whole\n"
    "\n"
    "Examples:\n"
    "  ctxshim ps 4711\n"
    "  ctxshim ps --watch=1 4711\n"
    "  ctxshim ps --json core.4711\n";

static bool works(const struct sight *sight) {
    return sight->stack != NULL && *sight->stack != '\0';
}

/* How long ago, in seconds; negative: not known. */
static double age_of(const struct sight *sight, uint64_t now) {
    if (sight->since == 0 || now == 0)
        return -1;
    return now > sight->since ? (double)(now - sight->since) / 1e9 : 0;
}

/* --- for people ---------------------------------------------------------------------------------------- */

static char *age_text(double age) {
    if (age < 0)
        return g_strdup("-");
    if (age < 60)
        return g_strdup_printf("%.2fs", age);
    return age < 3600 ? g_strdup_printf("%dm%02ds", (int)age / 60, (int)age % 60)
                      : g_strdup_printf("%dh%02dm", (int)(age / 3600), (int)(age / 60) % 60);
}

static char *by_text(const struct sight *sight) {
    if (sight->evidence == NULL || !works(sight))
        return g_strdup("-");
    GString *text = g_string_new(sight->evidence);
    if (sight->carrier != NULL)
        g_string_append_printf(text, " %s %d", sight->carrier, sight->fd);
    if (sight->from != 0)
        g_string_append_printf(text, " from %d", sight->from);
    return g_string_free(text, FALSE);
}

static void print_heading(void) {
    printf("%8s  %-16s %8s  %-30s  %s\n", "TID", "NAME", "SINCE", "BY", "CONTEXT");
}

static void print_rows(const GArray *sights, uint64_t now) {
    for (guint i = 0; i < sights->len; i++) {
        const struct sight *sight = &g_array_index(sights, struct sight, i);
        char *shown = escape_text(works(sight) ? sight->stack : sight->stack != NULL ? "-" : "(not seen)");
        char *name = escape_text(sight->name), *by = by_text(sight);
        char *age = age_text(works(sight) ? age_of(sight, now) : -1);
        printf("%8d  %-16s %8s  %-30s  %s\n", sight->tid, name, age, by, shown);
        g_free(age);
        g_free(by);
        g_free(name);
        g_free(shown);
    }
}

/* --- for programs -------------------------------------------------------------------------------------- */

static void json_string(GString *json, const char *text) {
    char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(json, '"');
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar character = g_utf8_get_char(at);
        if (*at == '"' || *at == '\\')
            g_string_append_printf(json, "\\%c", *at);
        else if (character < 0x10000 && !g_unichar_isprint(character))
            g_string_append_printf(json, "\\u%04x", character);
        else
            g_string_append_unichar(json, character);
    }
    g_string_append_c(json, '"');
    g_free(valid);
}

static void json_thread(GString *json, const struct sight *sight, uint64_t now) {
    g_string_append_printf(json, "{\"tid\":%d,\"name\":", sight->tid);
    json_string(json, sight->name);
    g_string_append(json, ",\"context\":");
    if (sight->stack != NULL)
        json_string(json, sight->stack);
    else
        g_string_append(json, "null");
    g_string_append_printf(json, ",\"ambiguous\":%s", sight->doubtful ? "true" : "false");
    if (sight->evidence != NULL)
        g_string_append_printf(json, ",\"evidence\":\"%s\"", sight->evidence);
    if (sight->carrier != NULL)
        g_string_append_printf(json, ",\"carrier\":\"%s\",\"fd\":%d", sight->carrier, sight->fd);
    if (sight->from != 0)
        g_string_append_printf(json, ",\"from\":%d", sight->from);
    if (age_of(sight, now) >= 0) {
        char number[G_ASCII_DTOSTR_BUF_SIZE];
        g_string_append_printf(json, ",\"seconds\":%s",
                               g_ascii_formatd(number, sizeof number, "%.3f", age_of(sight, now)));
    }
    g_string_append_c(json, '}');
}

/* One line for each look at each process, so that a watcher can read line by line. */
static void print_json(const GArray *sights, const char *subject, uint64_t now) {
    GString *json = g_string_new("{\"process\":");
    json_string(json, subject);
    g_string_append(json, ",\"threads\":[");
    for (guint i = 0; i < sights->len; i++) {
        g_string_append(json, i > 0 ? "," : "");
        json_thread(json, &g_array_index(sights, struct sight, i), now);
    }
    puts(g_string_append(json, "]}")->str);
    g_string_free(json, TRUE);
}

/* --- the command --------------------------------------------------------------------------------------- */

static int refuse(const char *subject, GError *error) {
    command_complain(subject, "%s", error->message);
    g_error_free(error);
    return EXIT_REFUSED;
}

/* A process that is looked at. */
struct seen {
    char *name; /* what the user called it; or its pid */
    struct target *target;
    struct census *census;
};

static void seen_free(gpointer data) {
    struct seen *seen = data;
    g_free(seen->name);
    g_free(seen->census);
    target_free(seen->target);
    g_free(seen);
}

static struct seen *seen_new(const char *name, GError **error) {
    struct target *target = target_open(name, error);
    struct census *census = target != NULL ? snapshot_find(target, error) : NULL;
    if (census == NULL) {
        if (target != NULL)
            target_free(target);
        return NULL;
    }
    struct seen *seen = g_new(struct seen, 1);
    *seen = (struct seen){g_strdup(name), target, census};
    return seen;
}

static bool is_seen(const GPtrArray *all, const char *name) {
    for (guint i = 0; i < all->len; i++)
        if (strcmp(((const struct seen *)g_ptr_array_index(all, i))->name, name) == 0)
            return true;
    return false;
}

/* Adds what runs under the shim of all that descends from `pid`, a number; a core file has no children. */
static void add_children(GPtrArray *all, const char *pid) {
    char *path = g_strdup_printf("/proc/%s/task", pid);
    GDir *tasks = strspn(pid, "0123456789") == strlen(pid) ? g_dir_open(path, 0, NULL) : NULL;
    const char *task;
    while (tasks != NULL && (task = g_dir_read_name(tasks)) != NULL) {
        char *file = g_build_filename(path, task, "children", NULL), *list = NULL;
        g_file_get_contents(file, &list, NULL, NULL);
        char **children = g_strsplit(list != NULL ? g_strchomp(list) : "", " ", -1);
        for (char **child = children; *child != NULL && **child != '\0'; child++) {
            struct seen *seen = is_seen(all, *child) ? NULL : seen_new(*child, NULL);
            if (seen != NULL)
                g_ptr_array_add(all, seen);
            add_children(all, *child);
        }
        g_strfreev(children);
        g_free(list);
        g_free(file);
    }
    if (tasks != NULL)
        g_dir_close(tasks);
    g_free(path);
}

/* One look; false: the first process has ended. */
static bool look(GPtrArray *all, const struct ps_options *options) {
    for (guint i = 0; i < all->len; i++) {
        const struct seen *seen = g_ptr_array_index(all, i);
        GArray *sights = snapshot_take(seen->target, seen->census);
        bool ended = sights->len == 0;
        if (!ended && i == 0 && !options->json)
            print_heading();
        if (!ended && options->json)
            print_json(sights, seen->name, target_clock(seen->target));
        else if (!ended)
            print_rows(sights, target_clock(seen->target));
        g_array_unref(sights);
        if (ended && i == 0)
            return false;
        if (ended)
            g_ptr_array_remove_index(all, i--);
    }
    return true;
}

static int show(const char *subject, const struct ps_options *options) {
    GError *error = NULL;
    struct seen *first = seen_new(subject, &error);
    if (first == NULL)
        return refuse(subject, error);
    GPtrArray *all = g_ptr_array_new_with_free_func(seen_free);
    g_ptr_array_add(all, first);
    do {
        if (!options->alone)
            add_children(all, subject);
        if (options->watch > 0 && !options->json && isatty(STDOUT_FILENO))
            fputs("\033[H\033[J", stdout);
        if (!look(all, options) || command_output_done(0) != 0 || options->watch <= 0)
            break;
        g_usleep((gulong)(options->watch * G_USEC_PER_SEC));
    } while (true);
    g_ptr_array_unref(all);
    return command_output_done(0);
}

/* GLib would take the process for the value of a --watch before it: SECONDS is what leaves one over. */
static void watch_alone(int argc, char **argv) {
    int others = 0;
    for (int i = 1; i < argc; i++)
        others += argv[i][0] != '-';
    for (int i = 1; i < argc; i++)
        if ((strcmp(argv[i], "--watch") == 0 || strcmp(argv[i], "-w") == 0) &&
            (others < 2 || argv[i + 1] == NULL || argv[i + 1][0] == '-'))
            argv[i] = "--watch=1";
}

/* --watch alone is once a second. */
static gboolean take_watch(const char *option, const char *value, gpointer data, GError **error) {
    struct ps_options *options = data;
    char *end = NULL;
    (void)option;
    options->watch = value != NULL ? g_ascii_strtod(value, &end) : 1;
    if (value == NULL || (*end == '\0' && options->watch >= 0.01 && options->watch <= 86400))
        return TRUE;
    g_set_error(error, target_error(), 0, "--watch takes seconds, from 0.01 to 86400, and not %s", value);
    return FALSE;
}

int command_ps(int argc, char **argv) {
    struct ps_options options = {0};
    const GOptionEntry entries[] = {
        {"watch", 'w', G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK,
         (__extension__(gpointer) take_watch), "look again every SECONDS (1), until the process ends",
         "SECONDS"},
        {"alone", 'a', 0, G_OPTION_ARG_NONE, &options.alone, "without its child processes", NULL},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options.json, "one JSON object a look and process, on one line",
         NULL},
        G_OPTION_ENTRY_NULL};
    const struct verb verb = {.name = "ps",
                              .subjects = "PID|CORE",
                              .summary = summary,
                              .description = description,
                              .entries = entries,
                              .data = &options,
                              .most = 1,
                              .wants = "it takes one process id or core file"};
    int status;
    watch_alone(argc, argv);
    return verb_parse(&verb, &argc, argv, &status) ? show(argv[1], &options) : status;
}
