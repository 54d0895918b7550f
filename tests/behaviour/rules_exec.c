/* F14, H17: executed programs. */
#include "case.h"

#include <spawn.h>
#include <stdlib.h>

extern char **environ;

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define INCOMING "00-" TRACE "-00f067aa0ba902b7-01"

static char self[4096], said[1 << 16];
static char *words[] = {"cases", "--show", "one", "", "three 3", NULL};

static void read_all(int fd) {
    size_t used = 0;
    for (long got;
         used + 1 < sizeof said &&
         (got = kernel_call(SYS_read, fd, (long)(said + used), (long)(sizeof said - used - 1), 0, 0, 0)) > 0;)
        used += (size_t)got;
    said[used] = '\0';
}

/* What a child that `execute` becomes writes to its output. */
static const char *said_by(void (*execute)(void)) {
    int ends[2], status = -1;
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = '\0';
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execute();
        _exit(99);
    }
    close(ends[1]);
    read_all(ends[0]);
    close(ends[0]);
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return said;
}

static unsigned lines_like(const char *start) {
    unsigned count = 0;
    for (const char *line = said; line != NULL && *line != '\0';
         line = strchr(line, '\n'), line += line != NULL)
        count += strncmp(line, start, strlen(start)) == 0;
    return count;
}

static void expect_line(const char *line) {
    char whole[5000];
    snprintf(whole, sizeof whole, "%s\n", line);
    if (lines_like(whole) != 1)
        case_fail(__FILE__, __LINE__, line, said);
}

static void by_execve(void) {
    execve(self, words, environ);
}
static void by_execv(void) {
    execv(self, words);
}
static void by_execvp(void) {
    execvp(self, words);
}
static void by_execvpe(void) {
    execvpe(self, words, environ);
}
static void by_execl(void) {
    execl(self, "cases", "--show", "one", "", "three 3", (char *)NULL);
}
static void by_execlp(void) {
    execlp(self, "cases", "--show", "one", "", "three 3", (char *)NULL);
}
static void by_execle(void) {
    execle(self, "cases", "--show", "one", "", "three 3", (char *)NULL, environ);
}
static void by_fexecve(void) {
    fexecve(open(self, O_RDONLY | O_CLOEXEC), words, environ);
}
static void by_execveat(void) {
    execveat(AT_FDCWD, self, words, environ, 0);
}
static void wait_and_leave(pid_t child) {
    int status;
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
}
static void by_posix_spawn(void) {
    pid_t child;
    REQUIRE(posix_spawn(&child, self, NULL, NULL, words, environ) == 0);
    wait_and_leave(child);
}
static void by_posix_spawnp(void) {
    pid_t child;
    REQUIRE(posix_spawnp(&child, self, NULL, NULL, words, environ) == 0);
    wait_and_leave(child);
}
static void by_system(void) {
    char line[8192];
    snprintf(line, sizeof line, "%s --show one '' 'three 3'", self);
    _exit(system(line) != 0);
}
static void by_vfork(void) {
    pid_t child = vfork();
    if (child == 0) {
        execve(self, words, environ);
        _exit(98);
    }
    wait_and_leave(child);
}

static void (*const ways[])(void) = {by_execve,       by_execv,  by_execvp,  by_execvpe,  by_execl,
                                     by_execlp,       by_execle, by_fexecve, by_execveat, by_posix_spawn,
                                     by_posix_spawnp, by_system, by_vfork};
enum { WAYS = sizeof ways / sizeof *ways };

/* H17: whole, in order, and with nothing more than without the shim when there is no context. */
HOST_CASE(H17, arguments_and_environment_reach_the_child_whole) {
    setenv("MINE", "a b\nc=d", 1);
    for (unsigned way = 0; way < WAYS; way++) {
        said_by(ways[way]);
        EXPECT(strstr(said, "argument=one\nargument=\nargument=three 3\n") != NULL);
        EXPECT(strstr(said, "\nMINE=a b\nc=d\n") != NULL);
        EXPECT(lines_like("LD_PRELOAD=") == 1 && lines_like("CTXSHIM_CONTEXT=") == 0);
    }
}

CASE(F14, every_way_of_executing_carries_the_context) {
    ctxshim_scope main = ctxshim_push("Main"), a = ctxshim_push("A, b=c? 100%");
    for (unsigned way = 0; way < WAYS; way++) {
        said_by(ways[way]);
        expect_line("stack=Main A, b=c? 100%");
        expect_line("CTXSHIM_CONTEXT=Main,A%2C%20b=c%3F%20100%25");
        EXPECT(strstr(said, "argument=one\nargument=\nargument=three 3\n") != NULL);
        EXPECT(lines_like("LD_PRELOAD=") == 1);
    }
    EXPECT(getenv("CTXSHIM_CONTEXT") == NULL);
    ctxshim_pop(&a);
    ctxshim_pop(&main);
}

/* A child that is in a context and executes another: the way leads through a shell. */
CASE(F14, a_shell_in_between_passes_it_on) {
    ctxshim_scope main = ctxshim_push("Main");
    said_by(by_system);
    expect_line("stack=Main");
    ctxshim_pop(&main);
}

static void by_bare_execve(void) {
    execve(self, words, (char *[]){"ONLY=this", NULL});
}
static void by_cleared(void) {
    clearenv();
    by_execv();
}
static void by_other_preload(void) {
    execve(self, words, (char *[]){"LD_PRELOAD=libc.so.6:/x/libctxshim.so.other", NULL});
}

CASE(F14, nothing_is_added_where_the_shim_is_not_preloaded) {
    ctxshim_scope main = ctxshim_push("Main");
    said_by(by_bare_execve);
    EXPECT(strcmp(strstr(said, "argument=three 3\n"), "argument=three 3\nONLY=this\n") == 0);
    said_by(by_cleared);
    EXPECT(strcmp(strstr(said, "argument=three 3\n"), "argument=three 3\n") == 0);
    said_by(by_other_preload);
    EXPECT(lines_like("CTXSHIM_CONTEXT") == 0);
    ctxshim_pop(&main);
}

/* A context that came in, and is current no longer. */
static void outside_of_it(void) {
    ctxshim_scope empty = ctxshim_attach(NULL);
    by_execv();
    ctxshim_pop(&empty);
}
static void suppressed(void) {
    ctxshim_scope quiet = ctxshim_suppress_flow();
    by_execv();
    ctxshim_pop(&quiet);
}

CASE(F14, what_is_not_current_is_not_given_on) {
    setenv("CTXSHIM_CONTEXT", "stale", 1);
    ctxshim_scope main = ctxshim_push("Main");
    said_by(by_execv);
    expect_line("CTXSHIM_CONTEXT=Main");
    said_by(outside_of_it);
    EXPECT(lines_like("CTXSHIM_CONTEXT=") == 0);
    said_by(suppressed);
    EXPECT(lines_like("CTXSHIM_CONTEXT=") == 0);
    EXPECT(strcmp(getenv("CTXSHIM_CONTEXT"), "stale") == 0);
    ctxshim_pop(&main);
}

/* Starts this program again with this variable, in a way that nobody sees, so that it arrives as it is. */
static const char *start_name, *start_value, *start_more;
static void raw_with_variable(void) {
    char line[4096], preload[5000];
    snprintf(line, sizeof line, "%s=%s", start_name, start_value);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", getenv("LD_PRELOAD"));
    char *environment[] = {line, preload, (char *)(uintptr_t)start_more, NULL};
    kernel_call(SYS_execve, (long)self, (long)words, (long)environment, 0, 0, 0);
}

static void expect_raw_start(const char *name, const char *value, const char *stack) {
    char line[4096];
    start_name = name;
    start_value = value;
    snprintf(line, sizeof line, "stack=%s", stack);
    said_by(raw_with_variable);
    expect_line(line);
}

CASE(F14, what_comes_in_is_a_root_or_nothing) {
    char many[2600] = "a";
    expect_raw_start("CTXSHIM_CONTEXT", "Main,1,A", "Main 1 A");
    expect_raw_start("CTXSHIM_CONTEXT", "conn#3,req#2,?", "conn#3 req#2?");
    expect_raw_start("CTXSHIM_CONTEXT", "a%20b", "a b");
    expect_raw_start("CTXSHIM_CONTEXT", "", "");
    expect_raw_start("CTXSHIM_CONTEXT", "a%2", "");
    expect_raw_start("CTXSHIM_CONTEXT", "a,b%00c", "");
    for (int i = 0; i < 1030; i++)
        strcat(many, ",b");
    expect_raw_start("CTXSHIM_CONTEXT", many, "");
}

CASE(F14, a_traceparent_makes_a_root) {
    expect_raw_start("TRACEPARENT", INCOMING, "trace#" TRACE);
    expect_raw_start("TRACEPARENT", "00-" TRACE "-00f067aa0ba902b7", "");
    expect_raw_start("TRACEPARENT", "ff-" TRACE "-00f067aa0ba902b7-01", "");
    start_more = "CTXSHIM_CONTEXT=Main";
    expect_raw_start("TRACEPARENT", INCOMING, "Main");
}

CASE_WITH("environment=0", F14, an_option_turns_it_off) {
    ctxshim_scope main = ctxshim_push("Main");
    said_by(by_execv);
    expect_line("stack=");
    EXPECT(lines_like("CTXSHIM_CONTEXT=") == 0);
    start_more = "CTXSHIM_OPTIONS=environment=0";
    expect_raw_start("CTXSHIM_CONTEXT", "Main", "");
    ctxshim_pop(&main);
}

/* This process again, in a trace: what its own child gets. */
static void show_child_of_trace(const char *expected_start, bool other_span) {
    char line[64];
    snprintf(line, sizeof line, "TRACEPARENT=%s", expected_start);
    EXPECT(lines_like(line) == 1);
    EXPECT((strstr(said, INCOMING) == NULL) == other_span);
}

CASE(F14, a_trace_goes_on_with_a_new_span) {
    if (getenv("TRACEPARENT") == NULL) { /* once more, with one */
        start_name = "TRACEPARENT";
        start_value = INCOMING;
        start_more = "BAGGAGE=user=7 , bad member,k=v";
        words[1] = "F14/a_trace_goes_on_with_a_new_span";
        words[2] = NULL;
        said_by(raw_with_variable);
        return;
    }
    EXPECT_STACK("trace#" TRACE);
    said_by(by_execv);
    show_child_of_trace("00-" TRACE "-", true);
    expect_line("BAGGAGE=user=7 , bad member,k=v"); /* as the program has it */
    unsetenv("BAGGAGE");
    unsetenv("TRACEPARENT");
    said_by(by_execv);
    show_child_of_trace("00-" TRACE "-", true);
    expect_line("BAGGAGE=user=7,k=v");
    said_by(outside_of_it);
    EXPECT(lines_like("TRACEPARENT=") == 0);
    setenv("TRACEPARENT", "00-" TRACE "-1111111111111111-00", 1); /* the program's own */
    said_by(by_execv);
    show_child_of_trace("00-" TRACE "-1111111111111111-00", true);
    setenv("TRACEPARENT", INCOMING, 1);
    said_by(outside_of_it);
    show_child_of_trace(INCOMING, false);
}

/* --- the host ------------------------------------------------------------------------------------------ */

HOST_CASE(H17, failures_are_the_real_ones) {
    ctxshim_scope main = ctxshim_push("Main");
    char *none[] = {"x", NULL}, **volatile bad = (char **)16;
    EXPECT(execve("/nowhere", none, environ) == -1 && errno == ENOENT);
    EXPECT(execvp("no-such-program", none) == -1 && errno == ENOENT);
    EXPECT(execve("/", none, environ) == -1 && errno == EACCES);
    EXPECT(execve("/bin/true", none, bad) == -1 && errno == EFAULT);
    EXPECT(execve("/bin/true", none, (char *[]){(char *)bad, NULL}) == -1 && errno == EFAULT);
    pid_t child;
    EXPECT(posix_spawn(&child, "/nowhere", NULL, NULL, none, environ) == ENOENT);
    ctxshim_pop(&main);
}

/* Just small enough without ours: asked of the kernel. */
static char huge[60][1 << 17];
static char *full[sizeof huge / sizeof *huge + 2];
static char *const no_arguments[] = {"true", NULL};

static bool fits(void) {
    pid_t child = fork();
    int status;
    if (child == 0) {
        kernel_call(SYS_execve, (long)"/bin/true", (long)no_arguments, (long)full, 0, 0, 0);
        _exit(1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

static void with_a_full_environment(void) {
    static char preload[5000];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "");
    full[0] = preload;
    size_t count = 1, room = 0;
    for (char(*string)[1 << 17] = huge; string < huge + sizeof huge / sizeof *huge && fits(); string++) {
        memset(*string, 'x', sizeof *string - 1);
        full[count++] = *string;
    }
    REQUIRE(!fits());
    char *last = full[count - 1];
    for (size_t step = 1 << 16; step > 0; step /= 2) { /* the longest that fits */
        memset(last, 'x', sizeof *huge - 1);
        last[room + step] = '\0';
        room += fits() ? step : 0;
    }
    memset(last, 'x', sizeof *huge - 1);
    last[room] = '\0';
    execve("/bin/true", no_arguments, full);
}

HOST_CASE(H17, a_full_environment_still_fits) {
    ctxshim_scope main = ctxshim_push("Main");
    said_by(with_a_full_environment);
    ctxshim_pop(&main);
}

/* --- system -------------------------------------------------------------------------------------------- */

static _Atomic int interrupts;
static void count_interrupt(int number) {
    (void)number;
    interrupts++;
}

HOST_CASE(F14, system_is_what_it_was) {
    struct sigaction mine = {.sa_handler = count_interrupt}, now;
    sigset_t mask;
    REQUIRE(sigaction(SIGINT, &mine, NULL) == 0);
    EXPECT(system(NULL) == 1);
    EXPECT(WEXITSTATUS(system("exit 7")) == 7);
    EXPECT(WTERMSIG(system("kill -9 $$")) == SIGKILL);
    EXPECT(WEXITSTATUS(system("no-such-program 2>/dev/null")) == 127);
    EXPECT(system("kill -INT $PPID; kill -QUIT $PPID") == 0);
    EXPECT(interrupts == 0);
    EXPECT(WTERMSIG(system("kill -INT $$")) == SIGINT); /* the shell has it as by default */
    EXPECT(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == count_interrupt);
    EXPECT(sigaction(SIGQUIT, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    EXPECT(sigismember(&mask, SIGCHLD) == 0);
    signal(SIGINT, SIG_IGN);
    EXPECT(system("kill -INT $$") == 0); /* as it was: ignored */
    EXPECT(signal(SIGINT, SIG_DFL) == SIG_IGN);
    raise(SIGCHLD);
}

static void *run_long(void *unused) {
    system("sleep 30");
    return unused;
}
static void *run_short(void *unused) {
    for (int i = 0; i < 20; i++)
        EXPECT(system("exit 0") == 0);
    return unused;
}

HOST_CASE(F14, system_may_be_cancelled) {
    pthread_t thread;
    struct sigaction now;
    void *result;
    REQUIRE(pthread_create(&thread, NULL, run_long, NULL) == 0);
    usleep(100000);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    EXPECT(result == PTHREAD_CANCELED);
    EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    EXPECT(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}

HOST_CASE(F14, several_systems_at_once_put_the_signals_back) {
    pthread_t threads[4];
    struct sigaction now;
    signal(SIGINT, count_interrupt);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, run_short, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == count_interrupt);
    EXPECT(sigaction(SIGQUIT, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}
