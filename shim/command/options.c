/* The options of `ctxshim run`. Each row of ../options.def becomes one: FLAG(annotate_pid, 0) is
 * --annotate-pid, FLAG(roots, 1) is --no-roots, a CHOICE takes one of its words, a LIST may stand alone. They
 * are not interpreted here but handed on through CTXSHIM_OPTIONS, in their order, so that the later wins and
 * lists add up; the shim's own parser has the last word. */
#include "options.h"

#include <string.h>

struct row {
    enum { ROW_FLAG, ROW_CHOICE, ROW_NUMBER, ROW_TEXT, ROW_LIST } type;
    const char *key;
    int preset;          /* of a flag */
    const char *choices; /* "a|b|c" */
    int most;            /* of a number */
    const char *help;
};

static const struct row rows[] = {
#define FLAG(name, preset, help) {ROW_FLAG, #name, preset, NULL, 0, help},
#define CHOICE(name, preset, choices, help) {ROW_CHOICE, #name, 0, choices, 0, help},
#define NUMBER(name, preset, most, help) {ROW_NUMBER, #name, 0, NULL, most, help},
#define TEXT(name, help) {ROW_TEXT, #name, 0, NULL, 0, help},
#define LIST(name, help) {ROW_LIST, #name, 0, NULL, 0, help},
#include "../options.def"
#undef FLAG
#undef CHOICE
#undef NUMBER
#undef TEXT
#undef LIST
};

/* What a list that stands alone means: `--annotate` is `--annotate=stderr`. */
static const char list_alone[] = "stderr";

/* Separates pairs and words, or is otherwise special to the shim's parser, unless the value is quoted. */
static const char separators[] = ":, \t\r\n'";

static const char summary[] =
    "Starts PROGRAM under the shim. The options end at PROGRAM; what follows belongs to it.\n"
    "With --leaks this command stays until it ends, and reports; else it becomes it.\n"
    "It keeps its pid, its environment but for LD_PRELOAD and CTXSHIM_OPTIONS, and its exit\n"
    "status. Programs that the loader would not preload (statically linked, set-id, with\n"
    "file capabilities, of another architecture or libc) are refused with the reason, exit\n"
    "status 2; 126 and 127 mean what they do in a shell. System calls that a program makes\n"
    "without libc (Go, io_uring) cannot be seen.";

static const char description[] = "Examples:\n"
                                  "  ctxshim run --annotate ./server --debug\n"
                                  "  ctxshim run --annotate='stderr,*.log' --annotate-pid ./server\n"
                                  "  ctxshim run --dispatch=exact -- ./server --verbose\n"
                                  "  ctxshim run --leaks --stacks=64 --leaks-after=60 ./server\n"
                                  "\n"
                                  "The same by environment: CTXSHIM_OPTIONS=annotate=stderr:dispatch=exact\n";

/* GLib keeps callbacks as data pointers, which ISO C has no conversion to. */
#define CALLBACK(function) (__extension__(gpointer)(function))

static GQuark options_error(void) {
    return g_quark_from_static_string("ctxshim-options");
}

/* "--annotate-pid", "--no-roots"; to be freed. `help` is the environment's way to ask: here --help is ours.
 */
static char *row_option(const struct row *row) {
    bool negative = row->type == ROW_FLAG && row->preset;
    return g_strdelimit(g_strdup_printf("--%s%s", negative ? "no-" : "", row->key), "_", '-');
}

static bool row_has_option(const struct row *row) {
    return strcmp(row->key, "help") != 0;
}

/* The row that a command-line option is made of; NULL when it is one of the command's own. */
static const struct row *row_of_option(const char *option) {
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *name = row_option(&rows[i]);
        bool same = strcmp(name, option) == 0;
        g_free(name);
        if (same && row_has_option(&rows[i]))
            return &rows[i];
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *value) {
    char **words = g_strsplit(choices, "|", -1);
    bool found = g_strv_contains((const char *const *)words, value);
    g_strfreev(words);
    return found;
}

static bool add_pair(GString *additions, const char *key, const char *value, GError **error) {
    if (strchr(value, '"')) {
        g_set_error(error, options_error(), 0,
                    "the value of %s has a double quote, which cannot be handed on", key);
        return false;
    }
    const char *quote = strpbrk(value, separators) ? "\"" : "";
    g_string_append_printf(additions, "%s%s=%s%s%s", additions->len ? ":" : "", key, quote, value, quote);
    return true;
}

/* A text of the table: all of them are paths, and absolute, for the program may change its directory. */
static gboolean take_path(const struct row *row, const char *value, struct options *options, GError **error) {
    if (*value == '\0') {
        g_set_error(error, options_error(), 0, "%s is the path of a file, and not empty", row->key);
        return FALSE;
    }
    char *path = g_canonicalize_filename(value, NULL);
    if (strcmp(row->key, "trace") == 0)
        options->trace = path;
    else if (strcmp(row->key, "record_path") == 0)
        options->record_path = path;
    else if (strcmp(row->key, "log_path") == 0)
        options->log_path = path;
    return add_pair(options->additions, row->key, path, error);
}

/* An option of the table was given. */
static gboolean take_row(const char *option, const char *value, gpointer data, GError **error) {
    struct options *options = data;
    const struct row *row = row_of_option(option);
    g_assert(row != NULL); /* the entries are made of the rows */
    if (strcmp(row->key, "leaks") == 0)
        options->leaks = true;
    if (row->type == ROW_FLAG)
        return add_pair(options->additions, row->key, row->preset ? "0" : "1", error);
    guint64 number;
    if (row->type == ROW_NUMBER &&
        !g_ascii_string_to_unsigned(value, 10, 0, (guint64)row->most, &number, NULL)) {
        g_set_error(error, options_error(), 0, "%s is a number from 0 to %d, and not %s", option, row->most,
                    value);
        return FALSE;
    }
    if (row->type == ROW_CHOICE && !is_choice(row->choices, value)) {
        g_set_error(error, options_error(), 0, "%s is %s, and not %s", option, row->choices, value);
        return FALSE;
    }
    return row->type == ROW_TEXT ? take_path(row, value, options, error)
                                 : add_pair(options->additions, row->key, value, error);
}

/* --option KEY=VALUE: keys that only the library knows. */
static gboolean take_raw(const char *option, const char *value, gpointer data, GError **error) {
    struct options *options = data;
    const char *equals = strchr(value, '=');
    size_t length = equals ? (size_t)(equals - value) : 0;
    if (length == 0 || strcspn(value, ":, \t\r\n'\"") < length) {
        g_set_error(error, options_error(), 0, "%s takes KEY=VALUE, and not %s", option, value);
        return FALSE;
    }
    char *key = g_strndup(value, length);
    bool added = add_pair(options->additions, key, equals + 1, error);
    g_free(key);
    return added;
}

static gboolean take_own(const char *option, const char *value, gpointer data, GError **error) {
    struct options *options = data;
    guint64 number;
    if (strcmp(option, "--exitcode") == 0) {
        if (!g_ascii_string_to_unsigned(value, 10, 0, 255, &number, NULL)) {
            g_set_error(error, options_error(), 0, "--exitcode is a number from 0 to 255, and not %s", value);
            return FALSE;
        }
        options->exitcode = (int)number;
    } else if (strcmp(option, "--library") == 0)
        options->library = g_strdup(value);
    else if (strcmp(option, "--suppressions") == 0)
        options->suppressions = g_strdup(value);
    else
        options->help = true;
    return TRUE;
}

static void fill_entry(GOptionEntry *entry, const struct row *row) {
    entry->long_name = row_option(row) + strlen("--");
    entry->flags = G_OPTION_FLAG_FILENAME;
    entry->arg = G_OPTION_ARG_CALLBACK;
    entry->arg_data = CALLBACK(take_row);
    entry->description = row->help;
    switch (row->type) {
    case ROW_FLAG:
        entry->flags = G_OPTION_FLAG_NO_ARG;
        if (row->preset)
            entry->description = g_strconcat("don't ", row->help, NULL);
        break;
    case ROW_CHOICE:
        entry->arg_description = row->choices;
        break;
    case ROW_NUMBER:
        entry->arg_description = "N";
        break;
    case ROW_TEXT:
        entry->arg_description = "TEXT";
        break;
    case ROW_LIST:
        entry->arg_description = "LIST";
        entry->description = g_strconcat(row->help, "; alone: ", list_alone, NULL);
        break;
    }
}

static GOptionContext *make_context(struct options *options) {
    static const GOptionEntry own[] = {
        {"option", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, CALLBACK(take_raw),
         "any option of the library, as in CTXSHIM_OPTIONS", "KEY=VALUE"},
        {"library", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, CALLBACK(take_own),
         "the library, if not the one beside this command", "PATH"},
        {"exitcode", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_CALLBACK, CALLBACK(take_own),
         "with --leaks: the exit status in place of 0 when there are leaks (23)", "N"},
        {"suppressions", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, CALLBACK(take_own),
         "with --leaks: do not report what this file lists", "FILE"},
        {"help", 'h', G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, CALLBACK(take_own), "print this", NULL},
        G_OPTION_ENTRY_NULL};
    GOptionEntry *entries = g_new0(GOptionEntry, G_N_ELEMENTS(rows) + 1);
    GOptionEntry *entry = entries;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (row_has_option(&rows[i]))
            fill_entry(entry++, &rows[i]);
    GOptionContext *context = g_option_context_new("[--] PROGRAM [ARG…]");
    GOptionGroup *group = g_option_group_new("run", "Options:", "Options", options, NULL);
    g_option_group_add_entries(group, entries);
    g_option_group_add_entries(group, own);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_strict_posix(context, TRUE);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, description);
    return context;
}

/* True when the value of this option is the next argument. */
static bool value_follows(const char *argument) {
    const struct row *row = row_of_option(argument);
    return strcmp(argument, "--option") == 0 || strcmp(argument, "--library") == 0 ||
           strcmp(argument, "--exitcode") == 0 || strcmp(argument, "--suppressions") == 0 ||
           (row && (row->type == ROW_CHOICE || row->type == ROW_NUMBER || row->type == ROW_TEXT));
}

/* GLib would let a list take the next argument, that is PROGRAM, for its value: so none stands alone. */
int options_end(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const struct row *row = row_of_option(argv[i]);
        if (strcmp(argv[i], "--") == 0)
            return i + 1;
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            return i;
        if (row && row->type == ROW_LIST)
            argv[i] = g_strconcat(argv[i], "=", list_alone, NULL);
        else if (value_follows(argv[i]))
            i++;
    }
    return argc;
}

/* GLib would not look at the value of one that has none: "--comm=0" would be "--comm". */
static bool has_no_values(int end, char **argv, GError **error) {
    for (int i = 1; i < end; i++) {
        char *name = g_strndup(argv[i], strcspn(argv[i], "="));
        const struct row *row = argv[i][strlen(name)] == '=' ? row_of_option(name) : NULL;
        bool wrong = row != NULL && row->type == ROW_FLAG;
        if (wrong)
            g_set_error(error, options_error(), 0, "%s takes no value", name);
        g_free(name);
        if (wrong)
            return false;
    }
    return true;
}

bool options_parse(int end, char **argv, struct options *options, GError **error) {
    int count = end;
    char **arguments = g_memdup2(argv, ((size_t)end + 1) * sizeof *argv);
    if (count > 1 && strcmp(argv[end - 1], "--") == 0)
        count--;
    arguments[count] = NULL;
    GOptionContext *context = make_context(options);
    bool understood =
        has_no_values(count, arguments, error) && g_option_context_parse(context, &count, &arguments, error);
    g_option_context_free(context);
    return understood;
}

char *options_help(void) {
    struct options unused;
    GOptionContext *context = make_context(&unused);
    char *text = g_option_context_get_help(context, TRUE, NULL);
    g_option_context_free(context);
    return text;
}
