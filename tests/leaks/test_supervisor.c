/* `ctxshim run --leaks` as a supervisor: whoever starts it cannot tell it from the program, but for the
 * report and the status in place of 0. Run from the root of the tree. */
#include <criterion/criterion.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PLANTED BUILD "/tests/leaks/planted"
#define COMMAND BUILD "/ctxshim"

static struct {
    char *out, *err;
    int status; /* as a shell has it */
} seen;

static void run(char *const *arguments) {
    int status;
    GError *error = NULL;
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &seen.out,
                           &seen.err, &status, &error),
              "%s", error != NULL ? error->message : "");
    seen.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#define RUN(...) run((char *const[]){__VA_ARGS__, NULL})

Test(supervisor, keeps_a_status_that_is_not_zero) {
    RUN(COMMAND, "run", "--leaks", "--", "sh", "-c", "exit 7");
    cr_expect(seen.status == 7);
}

Test(supervisor, dies_of_the_signal) {
    RUN(COMMAND, "run", "--leaks", "--", "sh", "-c", "kill -TERM $$");
    cr_expect(seen.status == 128 + SIGTERM, "%d", seen.status);
}

Test(supervisor, passes_signals_on) {
    RUN("sh", "-c",
        COMMAND " run --leaks -- sh -c 'trap \"echo got; exit 5\" USR1; echo ready; while :; do sleep 0.01; "
                "done' & sleep 0.5; kill -USR1 $!; wait $!");
    cr_expect(seen.status == 5, "%d", seen.status);
    cr_expect_str_eq(seen.out, "ready\ngot\n");
}

Test(supervisor, takes_another_status) {
    RUN(COMMAND, "run", "--leaks", "--exitcode=42", "--", PLANTED, "push_at_end", "leak");
    cr_expect(seen.status == 42);
}

Test(supervisor, suppresses_what_a_file_lists) {
    int fd = g_file_open_tmp("ctxshim-test-XXXXXX", &(char *){NULL}, NULL);
    char *path = g_strdup_printf("/proc/%d/fd/%d", getpid(), fd);
    const char lines[] = "leak:^orgotten\nleak:F*g*t*en\n";
    cr_assert(write(fd, lines, sizeof lines - 1) == sizeof lines - 1);
    char *option = g_strconcat("--suppressions=", path, NULL);
    RUN(COMMAND, "run", "--leaks", option, "--", PLANTED, "push_at_end", "leak");
    cr_expect(seen.status == 0, "%d: %s", seen.status, seen.err);
}

Test(supervisor, records_survive_exec) {
    RUN(COMMAND, "run", "--leaks", "--", "sh", "-c", "exec " PLANTED " push_at_end leak");
    cr_expect(seen.status == 23, "%d: %s", seen.status, seen.err);
}

/* --- signals ------------------------------------------------------------------------------------------ */

/* A program that says what it gets: number, value and sender; 15 ends it. */
static const char listener[] =
    "import os, signal, sys\n"
    "all = {signal.SIGTERM, signal.SIGUSR1, signal.SIGRTMIN}\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, all)\n"
    "print('ready', flush=True)\n"
    "while True:\n"
    "    info = signal.sigwaitinfo(all)\n"
    "    print(info.si_signo, info.si_code, info.si_pid == int(sys.argv[1]), flush=True)\n"
    "    if info.si_signo == 15: os._exit(3)\n";

static GPid stand(int *output) {
    GPid pid;
    char *self = g_strdup_printf("%d", getpid());
    char *arguments[] = {COMMAND, "run", "--leaks", "--", "python3", "-c", (char *)listener, self, NULL};
    cr_assert(g_spawn_async_with_pipes(NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
                                       NULL, NULL, &pid, NULL, output, NULL, NULL));
    g_free(self);
    return pid;
}

static void expect_line(FILE *from, const char *expected) {
    char line[256] = "";
    cr_expect(fgets(line, sizeof line, from) != NULL, "no line where '%s' was expected", expected);
    cr_expect_str_eq(g_strchomp(line), expected);
}

Test(supervisor, passes_values_on_and_who_sent_them, .timeout = 60) {
    int output, status;
    GPid pid = stand(&output);
    FILE *said = fdopen(output, "r");
    expect_line(said, "ready");
    cr_assert(sigqueue(pid, SIGRTMIN, (union sigval){.sival_int = 7}) == 0);
    char *queued = g_strdup_printf("%d %d True", SIGRTMIN, SI_QUEUE);
    expect_line(said, queued);
    kill(pid, SIGUSR1);
    expect_line(said, "10 0 False");
    kill(pid, SIGTERM);
    expect_line(said, "15 0 False");
    cr_assert(waitpid(pid, &status, 0) == pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 3, "%x", (unsigned)status);
    g_free(queued);
    fclose(said);
}

/* A signal that comes at once, and a program that ends at once. */
Test(supervisor, loses_nothing_at_the_beginning, .timeout = 100) {
    for (int round = 0; round < 20; round++) {
        RUN("timeout", "20", COMMAND, "run", "--leaks", "--", "sh", "-c", "kill -KILL $$");
        cr_expect(seen.status == 128 + SIGKILL, "%d", seen.status);
    }
}

/* As it was started: what the program finds ignored, or blocked, is what it would find without us. */
Test(supervisor, is_told_of_its_child_where_that_is_ignored, .timeout = 30) {
    static const char script[] = "trap '' CHLD USR2; exec timeout 20 \"$@\"";
    static const char shows[] = "grep -E 'Sig(Ign|Blk)' /proc/self/status; exit 7";
    RUN("sh", "-c", (char *)script, "sh", "sh", "-c", (char *)shows);
    cr_expect(seen.status == 7, "%d", seen.status);
    char *plain = seen.out;
    RUN("sh", "-c", (char *)script, "sh", COMMAND, "run", "--leaks", "--", "sh", "-c", (char *)shows);
    cr_expect(seen.status == 7, "%d: %s", seen.status, seen.err);
    cr_expect_str_eq(seen.out, plain);
    g_free(plain);
}

/* --- job control --------------------------------------------------------------------------------------- */

/* What a shell does: a session on a terminal, in which the job has a process group of its own, in front. It
 * tells of each change of the job's. */
static pid_t shell_begin(int *terminal, int *told, const char *script) {
    int ends[2];
    struct termios raw;
    cr_assert(pipe(ends) == 0);
    pid_t shell = forkpty(terminal, NULL, NULL, NULL);
    cr_assert(shell >= 0);
    if (shell > 0) {
        close(ends[1]);
        *told = ends[0];
        return shell;
    }
    signal(SIGTTOU, SIG_IGN);
    tcgetattr(0, &raw);
    raw.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(0, TCSANOW, &raw);
    pid_t job = fork();
    setpgid(job, job);
    tcsetpgrp(0, job == 0 ? getpid() : job);
    if (job == 0) {
        signal(SIGTTOU, SIG_DFL);
        close(ends[0]);
        close(ends[1]);
        execl(COMMAND, COMMAND, "run", "--leaks", "--", "sh", "-c", script, NULL);
        _exit(127);
    }
    int status;
    while (waitpid(job, &status, WUNTRACED | WCONTINUED) == job) {
        dprintf(ends[1], "%s %d %d\n",
                WIFSTOPPED(status)     ? "stopped"
                : WIFCONTINUED(status) ? "continued"
                                       : "ended",
                WIFSTOPPED(status)    ? WSTOPSIG(status)
                : WIFSIGNALED(status) ? WTERMSIG(status)
                                      : 0,
                job);
        if (WIFEXITED(status) || WIFSIGNALED(status))
            _exit(0);
    }
    _exit(1);
}

static int job_pid;

static void expect_told(int told, const char *change, int number) {
    char line[64] = "", word[16] = "";
    int what = -1;
    for (size_t at = 0; at < sizeof line - 1 && (at == 0 || line[at - 1] != '\n'); at++)
        cr_assert(read(told, line + at, 1) == 1, "the shell has ended, instead of: %s %d", change, number);
    cr_assert(sscanf(line, "%15s %d %d", word, &what, &job_pid) == 3);
    cr_expect_str_eq(word, change);
    cr_expect(what == number, "%s by %d, not %d", word, what, number);
}

/* Reads what the program wrote on its terminal, up to this. */
static void expect_shown(int terminal, const char *expected) {
    char text[1024] = "";
    for (size_t at = 0; at < sizeof text - 1 && strstr(text, expected) == NULL; at++)
        cr_assert(read(terminal, text + at, 1) == 1, "it has ended, instead of: %s", expected);
}

/* The state of the supervisor's only child: R, S, T. */
static char state_of_program(void) {
    char *path = g_strdup_printf("/proc/%d/task/%d/children", job_pid, job_pid), *text = NULL, state = '?';
    if (g_file_get_contents(path, &text, NULL, NULL)) {
        char *stat_path = g_strdup_printf("/proc/%d/stat", atoi(text)), *stat = NULL;
        if (g_file_get_contents(stat_path, &stat, NULL, NULL))
            state = strrchr(stat, ')')[2];
        g_free(stat);
        g_free(stat_path);
    }
    g_free(text);
    g_free(path);
    return state;
}

static void press(int terminal, char key) {
    cr_assert(write(terminal, &key, 1) == 1);
}

static void type(int terminal, const char *line) {
    cr_assert(write(terminal, line, strlen(line)) == (ssize_t)strlen(line));
}

#define CONTROL(letter) ((letter) - 'A' + 1)

Test(supervisor, stops_and_continues_with_the_program, .timeout = 60) {
    int terminal, told;
    pid_t shell = shell_begin(&terminal, &told, "echo ready; while read line; do echo got $line; done");
    expect_shown(terminal, "ready");
    for (int round = 0; round < 3; round++) {
        press(terminal, CONTROL('Z'));
        expect_told(told, "stopped", SIGTSTP);
        cr_expect(state_of_program() == 'T', "the program is in state %c", state_of_program());
        kill(-job_pid, SIGCONT); /* fg */
        expect_told(told, "continued", 0);
        type(terminal, "word\n");
        expect_shown(terminal, "got word");
    }
    press(terminal, CONTROL('Z'));
    expect_told(told, "stopped", SIGTSTP);
    kill(job_pid, SIGCONT); /* the supervisor alone */
    expect_told(told, "continued", 0);
    type(terminal, "again\n");
    expect_shown(terminal, "got again");
    press(terminal, CONTROL('C'));
    expect_told(told, "ended", SIGINT);
    waitpid(shell, NULL, 0);
}

Test(supervisor, does_not_stop_when_the_program_does_not, .timeout = 60) {
    int terminal, told;
    pid_t shell =
        shell_begin(&terminal, &told, "trap '' TSTP; echo ready; while read line; do echo got $line; done");
    expect_shown(terminal, "ready");
    press(terminal, CONTROL('Z'));
    type(terminal, "word\n");
    expect_shown(terminal, "got word");
    press(terminal, CONTROL('D'));
    expect_told(told, "ended", 0);
    waitpid(shell, NULL, 0);
}

Test(supervisor, stops_by_what_stopped_the_program, .timeout = 60) {
    int terminal, told;
    pid_t shell = shell_begin(&terminal, &told, "echo ready; kill -STOP $$; echo back");
    expect_told(told, "stopped", SIGSTOP);
    kill(-job_pid, SIGCONT);
    expect_told(told, "continued", 0);
    expect_shown(terminal, "back");
    expect_told(told, "ended", 0);
    waitpid(shell, NULL, 0);
}

/* Nobody's terminal: what the kernel refuses to stop there is stopped by SIGSTOP. */
Test(supervisor, stops_in_an_orphaned_group, .timeout = 60) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        freopen("/dev/null", "w", stdout);
        execl(COMMAND, COMMAND, "run", "--leaks", "--", "setsid", "sh", "-c", "kill -STOP $$; exit 6", NULL);
        _exit(127);
    }
    cr_assert(waitpid(pid, &status, WUNTRACED) == pid);
    cr_expect(WIFSTOPPED(status), "%x", (unsigned)status);
    kill(pid, SIGCONT);
    cr_assert(waitpid(pid, &status, 0) == pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 6, "%x", (unsigned)status);
}
