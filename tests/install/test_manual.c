/* Manual and completion say what the code does: they are compared with the header, with options.def and with
 * what the command says to --help. */
#include "stage.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(manual, .fini = stage_end, .timeout = 100);
TestSuite(completion, .fini = stage_end, .timeout = 100);

/* The commands, as `ctxshim --help` lists them. */
static char **verbs(void) {
    char *names = shell("$stage/bin/ctxshim --help | sed -n '/^Commands:/,/^$/s/^  \\([a-z]*\\) .*/\\1/p'");
    char **list = g_strsplit(g_strchomp(names), "\n", -1);
    cr_assert(g_strv_contains((const char *const *)list, "run"), "no command \"run\" in:\n%s", names);
    return list;
}

/* The options of a command, without what stands for their values. */
static char **options_of(const char *verb) {
    char *names =
        shell("$stage/bin/ctxshim %s --help | grep '^ *-' | grep -o -e '--[a-z][a-z-]*' | sort -u", verb);
    return g_strsplit(g_strchomp(names), "\n", -1);
}

static char *page(const char *section, const char *name) {
    return shell("MANWIDTH=200 MANROFFOPT=-rHY=0 man -M $stage/share/man %s %s | col -b", section, name);
}

Test(manual, each_command_and_option_is_in_the_manual) {
    stage_prefix();
    char *manual = page("1", "ctxshim");
    for (char **verb = verbs(); *verb != NULL; verb++) {
        char *title = g_strdup_printf("\n   ctxshim %s\n", *verb);
        expect_in(manual, title);
        for (char **option = options_of(*verb); *option != NULL; option++)
            expect_in(manual, *option);
    }
    expect_in(manual, "--dispatch=auto|exact|batch");
}

/* Each row of the table: its key with its values, and its help. */
Test(manual, each_row_of_the_table_of_options_is_in_the_manual) {
    char *table;
    GMatchInfo *match;
    int rows = 0;
    stage_prefix();
    char *manual = page("1", "ctxshim");
    g_strdelimit(manual, "\n", ' ');
    cr_assert(g_file_get_contents("shim/options.def", &table, NULL, NULL));
    GRegex *row =
        g_regex_new("^[A-Z]+\\((\\w+),[^\"]*(?:\"[^\"]*\",\\s*)?\"([^\"]*)\"\\)", G_REGEX_MULTILINE, 0, NULL);
    GRegex *blanks = g_regex_new("\\s+", 0, 0, NULL);
    char *flowing = g_regex_replace(blanks, manual, -1, 0, " ", 0, NULL);
    for (g_regex_match(row, table, 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL), rows++) {
        char *key = g_strdup_printf(" %s=", g_match_info_fetch(match, 1));
        expect_in(flowing, key);
        expect_in(flowing, g_match_info_fetch(match, 2));
    }
    cr_expect(rows >= 6, "only %d rows found", rows);
}

Test(manual, each_function_of_the_header_is_in_the_manual) {
    stage_prefix();
    char *manual = page("3", "ctxshim");
    GPtrArray *functions = public_functions();
    for (guint i = 0; i < functions->len; i++) {
        const char *name = g_ptr_array_index(functions, i);
        char *title = g_strdup_printf("\n   %s\n", name), *prototype = g_strdup_printf("%s(", name);
        expect_in(manual, title);
        expect_in(manual, prototype);
        cr_expect_str_eq(page("3", name), manual, "%s leads elsewhere", name);
    }
    expect_in(manual, "\n   CTXSHIM_SCOPE\n");
    expect_in(manual, "Without the shim: {0}.");
    expect_in(page("7", "ctxshim"), "UNKNOWN RATHER THAN WRONG");
}

Test(manual, man_has_nothing_to_complain_of) {
    stage_prefix();
    char *complaints = shell("for page in $(grep -L '^\\.so ' $stage/share/man/man?/*); do "
                             "MANWIDTH=80 man --warnings -l $page >/dev/null; done");
    cr_expect_str_eq(complaints, "", "%s", complaints);
    expect_in(shell("mandb --create --user-db --quiet $stage/share/man; MANPATH=$stage/share/man whatis "
                    "ctxshim_push"),
              "contexts that follow the work");
}

/* --- completion -------------------------------------------------------------------------------------------
 */

/* What bash offers behind these words: bash splits them at '=' too. */
static char *completed(const char *words) {
    return shell("bash -c 'source $stage/share/bash-completion/completions/ctxshim; "
                 "COMP_WORDS=($stage/bin/ctxshim %s); "
                 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ctxshim; printf \"%%s\\n\" \"${COMPREPLY[@]}\"'",
                 words);
}

Test(completion, offers_each_command_and_each_option) {
    stage_prefix();
    char *offered = completed("\"\"");
    for (char **verb = verbs(); *verb != NULL; verb++) {
        expect_in(offered, *verb);
        char *line = g_strdup_printf("%s --", *verb), *options = completed(line);
        for (char **option = options_of(*verb); *option != NULL; option++)
            expect_in(options, *option);
    }
    cr_expect_str_eq(completed("run --annotate-p"), "--annotate-pid\n");
    cr_expect_str_eq(completed("r"), "run\n");
    cr_expect_str_eq(completed("--v"), "--version\n");
}

Test(completion, offers_values_programs_files_and_processes) {
    stage_prefix();
    cr_expect_str_eq(completed("run --dispatch ="), "auto\nexact\nbatch\n");
    cr_expect_str_eq(completed("run --dispatch = e"), "exact\n");
    cr_expect_str_eq(completed("run --dispatch e"), "exact\n");
    cr_expect_str_eq(completed("run --dispatch exact --annotate cat Makef"), "Makefile\n");
    cr_expect_str_eq(completed("run --dispatch exact --library Makef"), "Makefile\n");
    cr_expect_str_eq(completed("run --annotate = stde"), "stderr\n");
    expect_in(completed("run --verbose -- ech"), "echo\n");
    cr_expect_str_eq(completed("run --dispatch = exact cat Makef"), "Makefile\n");
    cr_expect_str_eq(completed("run cat --no-roo"), "\n", "an option behind PROGRAM is PROGRAM's");
    char *pid =
        g_strdup_printf("%d\n", stage_start("$stage/bin/ctxshim run -- $BUILD/tests/ps/subject still"));
    expect_in(completed("ps \"\""), pid);
    cr_expect_str_eq(completed("ps Makef"), "Makefile\n", "a core file may be named as well");
}
