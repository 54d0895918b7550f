/* The debugger finds by itself what was installed, and sees what is so: in a live process, in a core file, in
 * a library without debug information. The subjects are known: tests/ps/subject.c, holder.c. */
#include "stage.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(gdb, .fini = stage_end, .timeout = 100);

/* As gdb has it for /usr, and for another PREFIX by what README.md says.
 */
static char *gdb(const char *subject, const char *commands) {
    return shell(
        "gdb -nx -batch -iex 'add-auto-load-scripts-directory '$stage/share/gdb/auto-load "
        "-iex 'add-auto-load-safe-path '$stage/share/gdb/auto-load -iex 'set debuginfod enabled off' %s %s",
        subject, commands);
}

static char *start(const char *program) {
    return g_strdup_printf("-p %d", stage_start("$stage/bin/ctxshim run -- $BUILD/tests/%s", program));
}

/* The line of a table that has this text; to be freed. */
static char *line_with(const char *output, const char *text) {
    const char *at = strstr(output, text);
    cr_assert(at != NULL, "no \"%s\" in:\n%s", text, output);
    while (at > output && at[-1] != '\n')
        at--;
    return g_strndup(at, strcspn(at, "\n"));
}

static void expect_still(const char *output) {
    char *scoped = line_with(output, " Main an"), *server = line_with(output, " conn#1 req#1");
    cr_expect(
        g_str_has_suffix(scoped, " Main an operation of more than twenty-four bytes \\u001b[31mred\\u000a"),
        "%s", scoped);
    cr_expect(g_regex_match_simple(" read connection \\d+ +conn#1 req#1$", server, 0, 0), "%s", server);
    cr_expect(g_regex_match_simple(" read eventfd \\d+ from \\d+ +handed over\n", output, 0, 0), "%s",
              output);
    expect_not_in(output, "Traceback");
}

Test(gdb, info_contexts_lists_the_threads_of_a_live_process) {
    stage_prefix();
    char *output = gdb(start("ps/subject still"), "-ex 'info contexts'");
    expect_still(output);
    char *idler = line_with(output, " idler "), *scoped = line_with(output, " scoped ");
    cr_expect(g_str_has_suffix(idler, " -"), "%s", idler);
    expect_in(scoped, " Main an operation");
    cr_expect(g_regex_match_simple("\\d+\\.\\d\\ds +read connection", line_with(output, " server "), 0, 0));
}

Test(gdb, info_context_works_in_each_thread_by_gdbs_own_way) {
    stage_prefix();
    char *output = gdb(start("ps/subject still"), "-ex 'thread apply all info context' -ex 'thread 3' "
                                                  "-ex 'printf \"<%s>\\n\", $ctxshim_stack()'");
    expect_in(output, "\nconn#1 req#1\n  by read connection ");
    expect_in(output, "\n<Main an operation of more");
    expect_not_in(output, "Traceback");
}

Test(gdb, doubt_is_shown_with_what_else_it_may_be) {
    stage_prefix();
    char *output = gdb(start("ps/subject doubt"), "-ex 'info context'");
    expect_in(output, "\none?\n  by read eventfd ");
    expect_in(output, "\n  or two\n");
}

Test(gdb, a_core_file_says_the_same) {
    stage_prefix();
    gdb(start("ps/subject still"), "-ex 'generate-core-file '$stage/core");
    char *output = gdb("$BUILD/tests/ps/subject $stage/core", "-ex 'info contexts' -ex 'info context'");
    expect_still(output);
}

Test(gdb, the_types_of_the_header_print_as_what_they_are) {
    stage_prefix();
    char *output = gdb(start("install/holder"),
                       "-ex 'print none' -ex 'print opened' -ex 'print closed' -ex 'print detour' "
                       "-ex 'print empty' -ex 'print captured' -ex 'print released' -ex 'print wild'");
    expect_in(output, "$1 = {no scope}\n");
    expect_in(output, "$2 = {open scope \"Main\", serial ");
    expect_in(output, "$3 = {closed scope, serial ");
    expect_in(output, "$4 = {attached context or suppression, serial ");
    expect_in(output, "$5 = 0x0 (the empty context)\n");
    cr_expect(g_regex_match_simple("\\$6 = 0x[0-9a-f]+ \"Main\"\n", output, 0, 0), "%s", output);
    cr_expect(g_regex_match_simple("\\$7 = 0x[0-9a-f]+ \\(no context, or no longer\\)\n", output, 0, 0), "%s",
              output);
    cr_expect(g_regex_match_simple("\\$8 = 0x[0-9a-f]+ \\(no context, or no longer\\)\n", output, 0, 0), "%s",
              output);
}

/* The other nine jobs go by. */
Test(gdb, a_breakpoint_is_for_one_context) {
    stage_prefix();
    char *output =
        gdb(start("install/holder"), "-ex 'break handle if $_streq($ctxshim_stack(), \"Main job 7\")' "
                                     "-ex continue -ex 'print job % 10' -ex 'info context'");
    expect_in(output, "\n$1 = 7\nMain job 7\n");
}

Test(gdb, the_commands_say_why_there_is_nothing_to_show) {
    stage_prefix();
    char *output =
        gdb("", "-ex 'source '$stage/share/gdb/auto-load/$stage/lib/ctxshim/libctxshim.so." VERSION "-gdb.py "
                "-ex 'info contexts' -ex 'info context' || :");
    expect_in(output, "libctxshim is not loaded here");
    expect_not_in(output, "Traceback");
}

/* Where it was built nothing is installed: the stub beside the library. */
Test(gdb, the_library_that_was_just_built_brings_its_own) {
    stage_make();
    int pid = stage_start("$BUILD/ctxshim run -- $BUILD/tests/ps/subject still");
    expect_still(
        shell("gdb -nx -batch -iex 'add-auto-load-safe-path '$PWD/$BUILD -p %d -ex 'info contexts'", pid));
}

/* Nothing is left beside what was installed: gdb may run as root. */
Test(gdb, no_compiled_modules_are_left_behind) {
    stage_prefix();
    gdb(start("ps/subject idle"), "-ex 'info contexts'");
    cr_expect_str_eq(shell("find $stage -name '*.pyc' -o -name __pycache__"), "");
}
