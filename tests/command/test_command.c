/* The `ctxshim` command as its users meet it. Strategy: each test runs the real command on real files in a
 * directory of its own, where the stand-in library is "libctxshim.so" beside a copy of the command, and looks
 * at stdout, stderr and the exit status. What must not change is compared with a plain run. */
#include <criterion/criterion.h>
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS BUILD "/tests/command/"
#define NOBODY 65534

static char *room;    /* the test's own directory */
static char *command; /* room/bin/ctxshim */
static char *show;    /* absolute */

static struct {
    char *out;
    char *err;
    int status; /* as a shell has it */
} result;

/* ---- Helpers. */

static char *in_room(const char *name) {
    return g_build_filename(room, name, NULL);
}

static char *write_room(const char *name, const void *data, size_t size, mode_t mode) {
    char *path = in_room(name);
    cr_assert(g_file_set_contents(path, data, (gssize)size, NULL));
    cr_assert(chmod(path, mode) == 0);
    return path;
}

static char *script(const char *name, const char *text) {
    return write_room(name, text, strlen(text), 0755);
}

static char *copy(const char *source, const char *name, mode_t mode) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(source, &data, &size, NULL), "%s is not built", source);
    char *path = write_room(name, data, size, mode);
    g_free(data);
    return path;
}

static char *program(const char *name) {
    char *built = g_build_filename(PROGRAMS, name, NULL);
    char *path = copy(built, name, 0755);
    g_free(built);
    return path;
}

/* The first `size` bytes of a good program, with two bytes changed at `offset`. */
static char *maim(const char *name, size_t size, size_t offset, uint16_t value) {
    char *data;
    gsize whole;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &whole, NULL));
    memcpy(data + offset, &value, sizeof value);
    char *path = write_room(name, data, MIN(size, whole), 0755);
    g_free(data);
    return path;
}

static void open_room(void) {
    room = g_dir_make_tmp("ctxshim-command-XXXXXX", NULL);
    cr_assert(room && chmod(room, 0755) == 0);
    char *bin = in_room("bin");
    cr_assert(g_mkdir(bin, 0755) == 0);
    command = copy(BUILD "/ctxshim", "bin/ctxshim", 0755);
    g_free(copy(PROGRAMS "stand_in.so", "bin/libctxshim.so", 0644));
    show = program("show");
    g_free(bin);
}

static void close_room(void) {
    char *arguments[] = {"rm", "-rf", room, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

static void become_nobody(gpointer unused) {
    (void)unused;
    if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        _exit(99);
}

static void start(char **arguments, char **environment, GSpawnChildSetupFunc in_child) {
    int status;
    GError *error = NULL;
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_LEAVE_DESCRIPTORS_OPEN;
    gboolean ran = g_spawn_sync(room, arguments, environment, flags, in_child, NULL, &result.out, &result.err,
                                &status, &error);
    cr_assert(ran, "%s", error ? error->message : "");
    result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* argv of `ctxshim ARG…`; ends with NULL. */
static char **arguments_of(const char *first, va_list rest) {
    GPtrArray *arguments = g_ptr_array_new();
    g_ptr_array_add(arguments, command);
    for (const char *argument = first; argument; argument = va_arg(rest, const char *))
        g_ptr_array_add(arguments, (gpointer)argument);
    g_ptr_array_add(arguments, NULL);
    return (char **)g_ptr_array_free(arguments, FALSE);
}

static void ctxshim(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    start(arguments_of(first, rest), NULL, NULL);
    va_end(rest);
}

static void ctxshim_as_nobody(const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    start(arguments_of(first, rest), NULL, become_nobody);
    va_end(rest);
}

/* `ctxshim ARG…` with one variable set before. */
static void ctxshim_with(const char *variable, const char *value, const char *first, ...) {
    va_list rest;
    va_start(rest, first);
    char **environment = g_environ_setenv(g_get_environ(), variable, value, TRUE);
    start(arguments_of(first, rest), environment, NULL);
    va_end(rest);
}

/* The line of stdout that begins so, or "". */
static char *line_of(const char *output, const char *beginning) {
    char **lines = g_strsplit(output, "\n", -1);
    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, beginning))
            return g_strdup(*line + strlen(beginning));
    return g_strdup("");
}

static void expect_variable(const char *name, const char *value) {
    char *beginning = g_strdup_printf("env %s=", name);
    cr_expect_str_eq(line_of(result.out, beginning), value, "%s", name);
}

static void expect_status(int status) {
    cr_expect_eq(result.status, status, "status %d, not %d: %s", result.status, status, result.err);
}

static void expect_started(void) {
    expect_status(7);
    cr_expect_str_empty(result.err);
    cr_expect(strstr(result.out, "loaded yes\n") != NULL, "%s", result.out);
}

/* One line on stderr, "ctxshim: SUBJECT: … WORDS … ; WHAT TO DO"; nothing was started. */
static void expect_refusal(int status, const char *subject, const char *words) {
    char *beginning = g_strdup_printf("ctxshim: %s: ", subject);
    expect_status(status);
    cr_expect(g_str_has_prefix(result.err, beginning), "%s", result.err);
    cr_expect(strstr(result.err, words) != NULL, "%s", result.err);
    cr_expect(strstr(result.err, "; ") != NULL, "%s", result.err);
    cr_expect_eq(strchr(result.err, '\n'), result.err + strlen(result.err) - 1);
    cr_expect_str_empty(result.out);
}

static void skip_unless_root(void) {
    if (getuid() != 0)
        cr_skip_test("needs root, to be another user");
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

Test(command, refuses_options_it_does_not_understand) {
    static const char *const wrong[] = {"--dispatch=fast", "--nonsense",      "-x",      "--option=x",
                                        "--option==y",     "--annotate=a\"b", "--roots", "--dispatch",
                                        "--comm=0",        "--no-roots=1"};
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

/* ---- Programs that the loader would start without the library. */

Test(command, refuses_static_programs) {
    static const char *const names[] = {"plain-static", "plain-static-pie"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = program(names[i]);
        ctxshim("run", path, NULL);
        expect_refusal(2, path, "statically linked");
    }
}

Test(command, starts_a_program_by_the_loader_itself) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &size, NULL));
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)data;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(data + header->e_phoff);
    while (segment->p_type != PT_INTERP)
        segment++;
    ctxshim("run", data + segment->p_offset, show, NULL);
    expect_started();
}

Test(command, refuses_another_architecture) {
    char *path = maim("alien", SIZE_MAX, offsetof(Elf64_Ehdr, e_machine), EM_ALPHA);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "64-bit Alpha");
    path = maim("small", SIZE_MAX, EI_CLASS, ELFCLASS32 | ELFDATA2LSB << 8);
    ctxshim("run", path, NULL);
    expect_status(2);
    path = maim("swapped", SIZE_MAX, EI_CLASS, ELFCLASS64 | ELFDATA2MSB << 8);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "big-endian");
}

Test(command, refuses_another_libc) {
    char *data;
    gsize size;
    cr_assert(g_file_get_contents(PROGRAMS "plain", &data, &size, NULL));
    char *name = memmem(data, size, "/ld-linux", strlen("/ld-linux"));
    cr_assert(name != NULL);
    memcpy(name, "/ld-musl-", strlen("/ld-musl-"));
    char *path = write_room("musl", data, size, 0755);
    ctxshim("run", path, NULL);
    expect_refusal(2, path, "another libc");
}

Test(command, refuses_what_is_no_program) {
    char *text = script("text", "echo this has no first line\n");
    ctxshim("run", text, NULL);
    expect_refusal(2, text, "neither an ELF program nor a script");
    char *nothing = script("nothing", "");
    ctxshim("run", nothing, NULL);
    expect_refusal(2, nothing, "neither an ELF program nor a script");
    char *object = maim("object", SIZE_MAX, offsetof(Elf64_Ehdr, e_type), ET_REL);
    ctxshim("run", object, NULL);
    expect_refusal(2, object, "no program");
}

Test(command, refuses_what_is_cut_short) {
    for (size_t size = 4; size < 512; size += 20) {
        char *path = maim("cut", size, EI_PAD + 1, 0);
        ctxshim("run", path, NULL);
        expect_refusal(2, path, "cut short");
    }
}

/* Each header byte set to 0xff in turn: whatever is said, the command must not crash, nor start what it could
 * not understand. The program itself may: it does nothing. */
Test(command, survives_hostile_headers) {
    size_t end = sizeof(Elf64_Ehdr) + 4 * sizeof(Elf64_Phdr);
    for (size_t offset = EI_CLASS; offset < end; offset += 2) {
        char *path = maim("hostile", SIZE_MAX, offset, 0xffff);
        char *arguments[] = {command, "run", path, NULL};
        char *plain[] = {path, NULL};
        int crashed;
        start(arguments, NULL, NULL);
        if (result.status < 128)
            continue;
        cr_expect(g_spawn_sync(room, plain, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &crashed, NULL) &&
                      WIFSIGNALED(crashed),
                  "offset %zu: %s", offset, result.err);
    }
}

/* ---- Scripts are judged by what interprets them. */

Test(command, starts_scripts) {
    char *shell = script("shell", g_strdup_printf("#! /bin/sh\nexec %s \"$@\"\n", show));
    ctxshim("run", shell, "a b", NULL);
    expect_started();
    cr_expect(strstr(result.out, "arg <a b>\n") != NULL);
    char *env = script("env", g_strdup_printf("#!/usr/bin/env sh\nexec %s\n", show));
    ctxshim("run", env, NULL);
    expect_started();
}

Test(command, refuses_scripts_of_refused_interpreters) {
    char *interpreter = program("plain-static");
    char *direct = script("direct", g_strdup_printf("#!%s -x\n", interpreter));
    char *nested = script("nested", g_strdup_printf("#! \t%s\n", direct));
    char *paths[] = {direct, nested};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        ctxshim("run", paths[i], NULL);
        expect_refusal(2, paths[i], g_strdup_printf("its interpreter %s is statically linked", interpreter));
    }
}

Test(command, looks_through_env) {
    static const char *const lines[] = {"#!/usr/bin/env plain-static", "#!/usr/bin/env -S plain-static -x",
                                        "#!/usr/bin/env -S -i A=b plain-static"};
    g_free(program("plain-static"));
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        char *path = script("script", g_strconcat(lines[i], "\n", NULL));
        ctxshim_with("PATH", g_strconcat(room, ":/usr/bin:/bin", NULL), "run", path, NULL);
        expect_refusal(2, path, "is statically linked");
    }
}

Test(command, leaves_endless_scripts_to_the_kernel) {
    char *path = in_room("loop");
    g_free(script("loop", g_strdup_printf("#!%s\n", path)));
    ctxshim("run", path, NULL);
    expect_refusal(126, path, "cannot be executed");
}

/* ---- Secure mode. */

static bool room_honours_set_id(void) {
    char *options = NULL;
    char *arguments[] = {"findmnt", "-n", "-o", "OPTIONS", "-T", room, NULL};
    g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &options, NULL, NULL, NULL);
    return !options || !strstr(options, "nosuid");
}

static void skip_unless_set_id_counts(void) {
    skip_unless_root();
    if (!room_honours_set_id())
        cr_skip_test("needs a directory for temporary files that is not mounted nosuid");
}

Test(command, refuses_set_id_programs) {
    skip_unless_set_id_counts();
    char *path = copy(show, "set-uid", 04755);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-uid to user 0");
    cr_assert(chmod(path, 02755) == 0);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-gid to group 0");
}

Test(command, refuses_set_id_programs_that_it_cannot_read) {
    skip_unless_set_id_counts();
    char *path = copy(show, "closed", 04711);
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "set-uid to user 0");
}

Test(command, starts_set_id_programs_of_ones_own) {
    skip_unless_set_id_counts();
    char *path = copy(show, "own", 06755);
    ctxshim("run", path, NULL);
    expect_started();
    cr_assert(chown(path, NOBODY, NOBODY) == 0 && chmod(path, 06755) == 0);
    ctxshim_as_nobody("run", path, NULL);
    expect_started();
}

Test(command, starts_a_script_whatever_its_set_id_bits) {
    skip_unless_set_id_counts();
    char *path = write_room("script", "#!/bin/sh\nexit 7\n", 17, 06755);
    ctxshim_as_nobody("run", path, NULL);
    expect_status(7);
}

Test(command, starts_a_program_that_may_be_executed_but_not_read) {
    skip_unless_root();
    char *path = copy(show, "closed", 0711);
    ctxshim_as_nobody("run", path, NULL);
    expect_started();
}

Test(command, refuses_programs_with_file_capabilities) {
    skip_unless_set_id_counts();
    char *path = copy(show, "capable", 0755);
    char *arguments[] = {"setcap", "cap_net_raw+ep", path, NULL};
    int status;
    if (!g_spawn_sync(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL) ||
        status != 0)
        cr_skip_test("needs setcap");
    ctxshim_as_nobody("run", path, NULL);
    expect_refusal(2, path, "file capabilities");
    ctxshim("run", path, NULL);
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
