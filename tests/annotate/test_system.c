/* Annotated logs that are no descriptor: syslog, and journald's socket. To be run from the root of the tree.
 */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

static char *out, *err;
static int status;

static const char *format = "prefix";

static void run(const char *annotate, const char *program, const char *mode, const char *path) {
    char *option = g_strconcat("--annotate=", annotate, NULL);
    const char *arguments[] = {
        BUILD "/ctxshim", "run", option, "--annotate-format", format, "--", program, mode, path, NULL};
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, 0, NULL, NULL, &out, &err, &status, NULL));
    g_free(option);
}

TestSuite(system_logs, .timeout = 60);

Test(system_logs, syslog_has_the_context_and_its_own_conversions) {
    static const char *const programs[] = {BUILD "/tests/annotate/system-plain",
                                           BUILD "/tests/annotate/system-fortified"};
    for (int i = 0; i < 2; i++) {
        run("syslog", programs[i], "syslog", NULL);
        cr_expect(status == 0, "%s: %d", programs[i], status);
        cr_expect(strstr(err, "subject: [100% done] value 7: No such file or directory\n") != NULL, "%s",
                  err);
        cr_expect(strstr(err, "123456") != NULL && strstr(err, "masked") == NULL, "%s", err);
    }
}

Test(system_logs, syslog_is_left_alone_without_its_word) {
    run("stdout", BUILD "/tests/annotate/system-plain", "syslog", NULL);
    cr_expect(strstr(err, "subject: value 7: No such file or directory\n") != NULL, "%s", err);
}

Test(system_logs, journald_gets_fields_that_the_sender_is_not_told_of) {
    char *folder = g_dir_make_tmp("ctxshim-journal-XXXXXX", NULL);
    char *journal = g_build_filename(folder, "systemd", "journal", NULL);
    char *path = g_build_filename(journal, "socket", NULL), *other = g_build_filename(folder, "other", NULL);
    cr_assert(g_mkdir_with_parents(journal, 0700) == 0);
    run("journal", BUILD "/tests/annotate/system-plain", "journal", path);
    cr_expect_str_eq(out, "CTXSHIM_OPERATION=job\nCTXSHIM_REQUEST=job\nMESSAGE=hello\nPRIORITY=6\n25\n"
                          "CTXSHIM_OPERATION=job 100% done\nCTXSHIM_REQUEST=job\nMESSAGE=hello\nPRIORITY=6\n"
                          "25\n");
    run("journal", BUILD "/tests/annotate/system-plain", "journal", other);
    cr_expect_str_eq(out, "MESSAGE=hello\nPRIORITY=6\n25\nMESSAGE=hello\nPRIORITY=6\n25\n");
    char *arguments[] = {"rm", "-rf", folder, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

/* A name that is full of what JSON forbids, and a line that is not one object: that one is left as it is. */
Test(system_logs, json_lines_get_a_member_and_stay_json) {
    static const char member[] = "\"ctxshim\":\"100% done GET \\u0022x\\u0022\\u005c\\u00ff \u00e9\\u000a\",";
    char *lines =
        g_strdup_printf("{%s\"level\":2}\n{%s \"a\":3}\n{\"level\":1}\n{}\n{%s\"two\":1,\"three\":2}\n"
                        "{%s\"four\":4}\n",
                        member, member, member, member);
    format = "json";
    run("stdout", BUILD "/tests/annotate/system-plain", "json", NULL);
    cr_expect(g_str_has_prefix(out, lines), "expected:\n%s\ncame:\n%s", lines, out);
    cr_expect(g_str_has_suffix(out, "] plain\n"), "%s", out);
    cr_expect_str_eq(err, "15 9 22 6\n");
}

/* Whatever the stream's charset is: what is not ASCII is escaped. */
Test(system_logs, wide_json_lines_get_a_member_and_stay_json) {
    static const char member[] =
        "\"ctxshim\":\"100% done GET \\u0022x\\u0022\\u005c\\u00ff \\u00e9 \\ud83d\\ude00\",";
    char *lines = g_strdup_printf("{\"level\":1}\n{}\n{%s\"level\":2}\n{%s \"a\":\"\u00e9\"}\n"
                                  "{%s\"two\":1,\"three\":2}\n",
                                  member, member, member);
    char *unbuffered = g_strdup_printf("{%s\"five\":5}\n", member);
    format = "json";
    run("stdout,stderr", BUILD "/tests/annotate/system-plain", "wide", NULL);
    cr_expect(status == 0);
    cr_expect(g_str_has_prefix(out, lines), "expected:\n%s\ncame:\n%s", lines, out);
    cr_expect(g_str_has_suffix(out, "] plain\n"), "%s", out);
    cr_expect_str_eq(err, unbuffered);
}

Test(system_logs, nobody_is_made_believe_that_journald_is_there) {
    run("journal", BUILD "/tests/annotate/system-plain", "names", NULL);
    cr_expect(status == 0);
}
