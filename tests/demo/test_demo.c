/* The logical-stack example (C28), in each way that it is done and with each dispatch: every line carries the
 * stack of its own piece of work, and each piece's lines are in their order, however the two interleave.
 * Without the shim the programs run as well, and every stack is empty. To be run from the root of the tree.
 */
#include <criterion/criterion.h>
#include <glib.h>

enum { RUNS = 5, LINES = 14 };

static const char *const programs[] = {BUILD "/demo/logical_stack_threads", BUILD "/demo/logical_stack_loop",
                                       BUILD "/demo/logical_stack_coroutines"};
static const char *const ways[] = {"auto", "exact", "batch"};

/* The lines of one piece of work; %s is its name. */
static const char *const of_work[] = {"Main %s: <SomeWork>",    "Main %s A: <MoreWork>",
                                      "Main %s A: </MoreWork>", "Main %s B: <MoreWork>",
                                      "Main %s B: </MoreWork>", "Main %s: </SomeWork>"};

/* The program's lines; to be freed. */
static char **lines_of(char **arguments) {
    char *output = NULL;
    char *errors = NULL;
    GError *error = NULL;
    int status = 0;
    cr_assert(
        g_spawn_sync(NULL, arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, &errors, &status, &error),
        "%s: %s", arguments[0], error ? error->message : "");
    cr_assert(status == 0, "%s: status 0x%x, %s", arguments[0], (unsigned)status, errors);
    cr_expect_str_empty(errors, "%s: %s", arguments[0], errors);
    cr_assert(g_str_has_suffix(output, "\n"));
    output[strlen(output) - 1] = '\0';
    char **lines = g_strsplit(output, "\n", -1);
    cr_assert(g_strv_length(lines) == LINES, "%s: not %d lines:\n%s", arguments[0], LINES, output);
    g_free(output);
    g_free(errors);
    return lines;
}

/* All lines that begin with "Main NAME", and no others, are those of one piece of work, in order. */
static void expect_work(char **lines, const char *name) {
    char *prefix = g_strdup_printf("Main %s", name);
    gsize seen = 0;
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, prefix))
            continue;
        cr_assert(seen < G_N_ELEMENTS(of_work), "one line too many: %s", *line);
        GString *wanted = g_string_new(of_work[seen++]);
        g_string_replace(wanted, "%s", name, 1);
        cr_expect_str_eq(*line, wanted->str);
        g_string_free(wanted, TRUE);
    }
    cr_expect(seen == G_N_ELEMENTS(of_work), "%s has %zu lines", prefix, seen);
    g_free(prefix);
}

static void expect_stacks(const char *program, const char *dispatch) {
    char *way = g_strdup_printf("--dispatch=%s", dispatch);
    char *arguments[] = {BUILD "/ctxshim", "run", way, "--", (char *)program, NULL};
    char **lines = lines_of(arguments);
    cr_expect_str_eq(lines[0], "Main: <Main>");
    cr_expect_str_eq(lines[LINES - 1], "Main: </Main>");
    expect_work(lines, "1");
    expect_work(lines, "2");
    g_strfreev(lines);
    g_free(way);
}

TestSuite(demo, .timeout = 60);

Test(demo, every_line_carries_its_own_stack) {
    for (gsize program = 0; program < G_N_ELEMENTS(programs); program++)
        for (gsize way = 0; way < G_N_ELEMENTS(ways); way++)
            for (int run = 0; run < RUNS; run++)
                expect_stacks(programs[program], ways[way]);
}

/* In one thread both pieces are begun before either goes on: the two are really at work at the same time. */
Test(demo, the_pieces_overlap) {
    for (gsize program = 1; program < G_N_ELEMENTS(programs); program++) {
        char *arguments[] = {BUILD "/ctxshim", "run", "--", (char *)programs[program], NULL};
        char **lines = lines_of(arguments);
        cr_expect_str_eq(lines[2], "Main 1 A: <MoreWork>");
        cr_expect_str_eq(lines[4], "Main 2 A: <MoreWork>");
        g_strfreev(lines);
    }
}

Test(demo, without_the_shim_every_stack_is_empty) {
    for (gsize program = 0; program < G_N_ELEMENTS(programs); program++) {
        char *arguments[] = {(char *)programs[program], NULL};
        char **lines = lines_of(arguments);
        for (int line = 0; line < LINES; line++)
            cr_expect(g_str_has_prefix(lines[line], ": <"), "%s", lines[line]);
        g_strfreev(lines);
    }
}
