/* The `ctxshim` command as its users meet it. Strategy: each test runs the real command on real files in a
 * directory of its own (room.h), and looks at stdout, stderr and the exit status. What must not change is
 * compared with a plain run. What it refuses to start is test_loadable.c's. */
#include "room.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_variable(const char *name, const char *value) {
    char *beginning = g_strdup_printf("env %s=", name);
    cr_expect_str_eq(line_of(result.out, beginning), value, "%s", name);
}

TestSuite(command, .init = open_room, .fini = close_room, .timeout = 60);

/* ---- What run keeps. */

Test(command, starts_the_program_with_the_library_and_ends_with_its_status) {
    ctxshim("run", show, NULL);
    expect_started();
    expect_variable("LD_PRELOAD", in_room("bin/libctxshim.so"));
}

Test(command, dies_of_the_programs_signal) {
    ctxshim("run", "sh", "-c", "kill -TERM $$", NULL);
    expect_status(128 + SIGTERM);
}

Test(command, keeps_its_pid) {
    char *line = g_strdup_printf("echo $$; exec %s run %s", command, show);
    char *arguments[] = {"sh", "-c", line, NULL};
    start(arguments, NULL, NULL);
    cr_expect_str_eq(g_strsplit(result.out, "\n", 2)[0], line_of(result.out, "pid "));
}

Test(command, passes_odd_arguments_as_they_are) {
    ctxshim("run", "--", show, "", "a b", "--", "--annotate", "-x", "*", "\xff\xfe", "line\nend", NULL);
    expect_started();
    cr_expect(strstr(result.out, "arg <>\narg <a b>\narg <-->\narg <--annotate>\narg <-x>\narg <*>\n"
                                 "arg <\xff\xfe>\narg <line\nend>\nenv ") != NULL,
              "%s", result.out);
}

Test(command, options_end_at_the_program) {
    ctxshim("run", "--annotate", show, "--dispatch=exact", "--help", NULL);
    expect_started();
    expect_variable("CTXSHIM_OPTIONS", "annotate=stderr");
    cr_expect(strstr(result.out, "arg <--dispatch=exact>\narg <--help>\n") != NULL, "%s", result.out);
}

/* Every line but the pid's and the two variables'. */
static char *rest_of(const char *output) {
    GString *rest = g_string_new(NULL);
    char **lines = g_strsplit(output, "\n", -1);
    for (char **line = lines; *line; line++)
        if (!g_str_has_prefix(*line, "pid ") && !g_str_has_prefix(*line, "env LD_PRELOAD=") &&
            !g_str_has_prefix(*line, "env CTXSHIM_OPTIONS=") && !g_str_has_prefix(*line, "loaded "))
            g_string_append_printf(rest, "%s\n", *line);
    return g_string_free(rest, FALSE);
}

static void upset(gpointer unused) {
    sigset_t blocked;
    (void)unused;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    dup2(1, 17);
    close(0);
}

Test(command, changes_no_signal_descriptor_or_other_variable) {
    char **environment = g_environ_setenv(g_get_environ(), "EMPTY", "", TRUE);
    environment = g_environ_setenv(environment, "ODD", "a=b\xff c", TRUE);
    char *plain[] = {show, NULL};
    start(plain, environment, upset);
    char *expected = rest_of(result.out);
    char *under[] = {command, "run", "--annotate", "--", show, NULL};
    start(under, environment, upset);
    expect_started();
    cr_expect_str_eq(rest_of(result.out), expected);
    cr_expect(strstr(expected, "fd 17\n") && !strstr(expected, "fd 0\n"));
}

/* ---- The library. */

Test(command, goes_before_what_is_preloaded_already) {
    char *other = copy(PROGRAMS "stand_in.so", "other.so", 0644);
    ctxshim_with("LD_PRELOAD", other, "run", show, NULL);
    expect_started();
    expect_variable("LD_PRELOAD", g_strconcat(in_room("bin/libctxshim.so"), ":", other, NULL));
}

Test(command, leaves_a_preload_that_has_the_library_as_it_is) {
    char *library = in_room("bin/libctxshim.so");
    char *link = in_room("link.so");
    cr_assert(symlink(library, link) == 0);
    char *other = copy(PROGRAMS "stand_in.so", "other.so", 0644);
    char *preload = g_strconcat(other, " ", link, NULL);
    ctxshim_with("LD_PRELOAD", preload, "run", show, NULL);
    expect_started();
    expect_variable("LD_PRELOAD", preload);
}

Test(command, run_in_run_preloads_once) {
    ctxshim("run", command, "run", show, NULL);
    expect_started();
    expect_variable("LD_PRELOAD", in_room("bin/libctxshim.so"));
}

Test(command, finds_an_installed_library) {
    char *installed[] = {"lib/ctxshim", "lib/" MULTIARCH "/ctxshim"};
    cr_assert(g_unlink(in_room("bin/libctxshim.so")) == 0);
    for (size_t i = 0; i < G_N_ELEMENTS(installed); i++) {
        char *directory = in_room(installed[i]);
        char *library = g_build_filename(installed[i], "libctxshim.so", NULL);
        cr_assert(g_mkdir_with_parents(directory, 0755) == 0);
        copy(PROGRAMS "stand_in.so", library, 0644);
        ctxshim("run", show, NULL);
        expect_started();
        expect_variable("LD_PRELOAD", in_room(library));
        cr_assert(g_unlink(in_room(library)) == 0);
    }
}

Test(command, takes_the_library_it_is_given) {
    char *other = copy(PROGRAMS "stand_in.so", "other.so", 0644);
    ctxshim("run", "--library", "other.so", show, NULL);
    expect_started();
    expect_variable("LD_PRELOAD", other);
}

Test(command, refuses_a_library_that_is_not_there) {
    cr_assert(g_unlink(in_room("bin/libctxshim.so")) == 0);
    ctxshim("run", show, NULL);
    expect_refusal(2, "libctxshim.so", "--library=PATH");
    ctxshim("run", "--library=/nowhere/x.so", show, NULL);
    expect_refusal(2, "/nowhere/x.so", "No such file");
}

Test(command, refuses_a_library_that_the_loader_would) {
    char *text = script("text.so", "not a library\n");
    ctxshim("run", "--library", text, show, NULL);
    expect_refusal(2, text, "not a shared library");
    ctxshim("run", "--library", room, show, NULL);
    expect_refusal(2, room, "not a regular file");
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(PROGRAMS "stand_in.so", &data, &size, NULL));
    char *cut = write_room("cut.so", data, size / 8, 0644);
    ctxshim("run", "--library", cut, show, NULL);
    expect_refusal(2, cut, "cut short");
    *(uint16_t *)(data + offsetof(Elf64_Ehdr, e_machine)) = EM_ALPHA;
    char *alien = write_room("alien.so", data, size, 0644);
    ctxshim("run", "--library", alien, show, NULL);
    expect_refusal(2, show, "the library is for 64-bit Alpha");
}

Test(command, refuses_a_library_path_that_ld_preload_cannot_hold) {
    const char *names[] = {"a b.so", "a:b.so", "$LIB.so"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = copy(PROGRAMS "stand_in.so", names[i], 0644);
        ctxshim("run", "--library", path, show, NULL);
        expect_refusal(2, path, "LD_PRELOAD cannot hold");
    }
}

Test(command, refuses_a_library_that_may_not_be_read) {
    skip_unless_root();
    char *closed = copy(PROGRAMS "stand_in.so", "closed.so", 0600);
    ctxshim_as_nobody("run", "--library", closed, show, NULL);
    expect_refusal(2, closed, "Permission denied");
}

/* ---- Options. */

Test(command, hands_options_on_in_their_order) {
    ctxshim("run", "--annotate=stderr,*.log", "--annotate-pid", "--dispatch", "exact", "--no-roots",
            "--verbose", "--annotate", "--dispatch=batch", "--option", "new=a b", show, NULL);
    expect_started();
    expect_variable("CTXSHIM_OPTIONS", "annotate=\"stderr,*.log\":annotate_pid=1:dispatch=exact:roots=0:"
                                       "verbose=1:annotate=stderr:dispatch=batch:new=\"a b\"");
}

Test(command, appends_to_options_that_are_there) {
    ctxshim_with("CTXSHIM_OPTIONS", "dispatch=batch,annotate=stdout", "run", "--dispatch=exact", show, NULL);
    expect_variable("CTXSHIM_OPTIONS", "dispatch=batch,annotate=stdout:dispatch=exact");
    ctxshim_with("CTXSHIM_OPTIONS", "dispatch=batch", "run", show, NULL);
    expect_variable("CTXSHIM_OPTIONS", "dispatch=batch");
    ctxshim("run", show, NULL);
    cr_expect(!strstr(result.out, "env CTXSHIM_OPTIONS="));
}

/* The program may change its directory, and so may those that it starts. */
Test(command, makes_paths_absolute) {
    char *expected = g_strdup_printf("log_path=%s/l:record_path=/r", room);
    ctxshim("run", "--log-path=l", "--record-path=/x/../r", show, NULL);
    expect_variable("CTXSHIM_OPTIONS", expected);
    g_free(expected);
}

Test(command, refuses_options_it_does_not_understand) {
    static const char *const wrong[] = {"--dispatch=fast", "--nonsense",      "-x",      "--option=x",
                                        "--option==y",     "--annotate=a\"b", "--roots", "--dispatch",
                                        "--comm=0",        "--no-roots=1",    "--trace="};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ctxshim("run", wrong[i], NULL);
        expect_refusal(2, "run", "ctxshim run --help");
    }
    ctxshim("run", "--annotate", NULL);
    expect_refusal(2, "run", "no program given");
    ctxshim("jump", NULL);
    expect_refusal(2, "jump", "no such command");
    ctxshim("--jump", NULL);
    expect_refusal(2, "--jump", "no such option");
    ctxshim("hooks", "--jump", NULL);
    expect_refusal(2, "hooks", "--jump");
}

/* ---- Programs that cannot be found or executed: as in a shell. */

Test(command, says_127_for_a_program_that_is_not_there) {
    ctxshim("run", "no-such-program", NULL);
    expect_refusal(127, "no-such-program", "not found");
    ctxshim("run", "./no-such-program", NULL);
    expect_refusal(127, "./no-such-program", "no such file");
    ctxshim("run", "", NULL);
    expect_refusal(127, "", "not found");
    char *orphan = script("orphan", "#!/nowhere/interpreter\n");
    ctxshim("run", orphan, NULL);
    expect_refusal(127, orphan, "interpreter");
}

Test(command, says_126_for_what_cannot_be_executed) {
    char *closed = write_room("closed", "x", 1, 0644);
    ctxshim("run", closed, NULL);
    expect_refusal(126, closed, "may not be executed");
    ctxshim("run", room, NULL);
    expect_refusal(126, room, "is a directory");
    ctxshim_with("PATH", room, "run", "closed", NULL);
    expect_refusal(126, "closed", "may not be executed");
}

Test(command, searches_path_as_a_shell_does) {
    char *hidden = in_room("hidden");
    cr_assert(g_mkdir(hidden, 0755) == 0);
    g_free(write_room("hidden/show", "x", 1, 0644));
    ctxshim_with("PATH", g_strconcat("/nowhere:", hidden, ":", room, NULL), "run", "show", NULL);
    expect_started();
    ctxshim_with("PATH", "/nowhere:", "run", "show", NULL);
    expect_started();
    ctxshim("run", "./show", NULL);
    expect_started();
}

/* ---- Texts. */

Test(command, explains_itself) {
    ctxshim(NULL);
    expect_status(2);
    cr_expect_str_empty(result.out);
    cr_expect(strstr(result.err, "Examples:") != NULL);
    ctxshim("--help", NULL);
    expect_status(0);
    cr_expect(strstr(result.out, "Examples:") != NULL);
    static const char *const verbs[] = {"run", "ps", "leaks", "holders", "trace", "hooks"};
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        ctxshim(verbs[i], "-h", NULL);
        expect_status(0);
        cr_expect(g_str_has_prefix(result.out, "Usage:\n"), "%s", result.out);
    }
    ctxshim("run", "--help", NULL);
    expect_status(0);
    cr_expect(strstr(result.out, "--dispatch=auto|exact|batch") != NULL);
    cr_expect(strstr(result.out, "--no-roots ") != NULL);
    ctxshim("--version", NULL);
    expect_status(0);
    cr_expect(g_str_has_prefix(result.out, "ctxshim "));
}

Test(command, lists_hooks) {
    ctxshim("hooks", "--names", NULL);
    expect_status(0);
    size_t names = g_strv_length(g_strsplit(result.out, "\n", -1));
    cr_expect(strstr(result.out, "\nclose\n") != NULL || g_str_has_prefix(result.out, "close\n"));
    cr_expect(strchr(result.out, ' ') == NULL);
    ctxshim("hooks", NULL);
    expect_status(0);
    cr_expect_eq(g_strv_length(g_strsplit(result.out, "\n", -1)), names);
}

Test(command, says_when_its_output_is_lost) {
    static const char *const what[] = {"hooks", "--help", "--version", "run --help"};
    for (size_t i = 0; i < G_N_ELEMENTS(what); i++) {
        char *line = g_strdup_printf("%s %s >/dev/full", command, what[i]);
        char *arguments[] = {"sh", "-c", line, NULL};
        start(arguments, NULL, NULL);
        expect_refusal(1, "output", "No space left");
    }
}
