/* H3, H4, H17: fork at any moment, children that share our memory, and what an executed program is handed. */
#include "storm.h"

#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>

extern char **environ;

static int status_of(pid_t child) {
    int status = -1;
    REQUIRE(child > 0);
    while (waitpid(child, &status, 0) == -1)
        REQUIRE(errno == EINTR);
    return status;
}

/* --- H3 ------------------------------------------------------------------------------------------- */

static _Atomic int forks_left;
static _Atomic int bad_children;

static void *fork_and_storm(void *unused) {
    while (atomic_fetch_sub(&forks_left, 1) > 0) {
        EXPECT(storm_once() == 0);
        ctxshim_scope scope = ctxshim_push("forking");
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(storm_once() == 0 ? 0 : 3);
        }
        atomic_fetch_add(&bad_children, status_of(child) != 0);
        ctxshim_pop(&scope);
    }
    return unused;
}

HOST_CASE(H3, fork_at_any_moment_from_any_of_8_busy_threads) {
    pthread_t threads[8];
    int forks = storm_scale(1000, 10000);
    atomic_store(&forks_left, forks);
    for (int i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, fork_and_storm, NULL) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("%d bad children\n", atomic_load(&bad_children));
}

static int prepared, after_parent, after_child;

static void nested_handler(void) {
    after_child += 100;
}

static void prepare(void) {
    prepared += storm_once() == 0;
}
static void in_parent(void) {
    after_parent += storm_once() == 0;
}
static void in_child(void) {
    after_child += storm_once() == 0;
    pthread_atfork(NULL, NULL, nested_handler); /* registers another one from inside one */
}

HOST_CASE(H3, hooks_in_fork_handlers) {
    struct storms storms;
    storms_begin(&storms, 2);
    REQUIRE(pthread_atfork(prepare, in_parent, in_child) == 0);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            pid_t grandchild = fork(); /* runs the handler that was registered in a handler */
            if (grandchild == 0)
                _exit(after_child == 102 || after_child == 2 ? 0 : 4);
            _exit(status_of(grandchild) == 0 && after_child == 1 ? 0 : 3);
        }
        EXPECT(status_of(child) == 0);
    }
    EXPECT(storms_end(&storms) == 0);
    printf("%d %d\n", prepared, after_parent);
}

/* A child that goes on as a whole program: threads of its own, forks of its own. */
HOST_CASE(H3, children_of_children) {
    struct storms storms;
    storms_begin(&storms, 4);
    int depth = 0, bad = 0;
    pid_t child;
    while (depth < 6 && (child = fork()) == 0) {
        depth++;
        struct storms own;
        alarm(60);
        storms_begin(&own, 2);
        bad |= storm_once() != 0 || storms_end(&own) != 0;
    }
    if (depth < 6)
        bad |= status_of(child) != 0;
    if (depth > 0)
        _exit(bad);
    EXPECT(bad == 0);
    EXPECT(storms_end(&storms) == 0);
}

static _Atomic bool spawning;

static void *spawn_all_ways(void *unused) {
    char *arguments[] = {"true", NULL};
    while (atomic_load(&spawning)) {
        pid_t child;
        EXPECT(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0 && status_of(child) == 0);
        EXPECT(WEXITSTATUS(system("exit 3")) == 3);
        FILE *stream = popen("echo said", "r");
        char line[16] = "";
        EXPECT(stream != NULL && fgets(line, sizeof line, stream) != NULL && strcmp(line, "said\n") == 0);
        EXPECT(stream != NULL && pclose(stream) == 0);
    }
    return unused;
}

HOST_CASE(H3, spawn_system_and_popen_from_busy_threads) {
    struct storms storms;
    pthread_t threads[4];
    storms_begin(&storms, 4);
    atomic_store(&spawning, true);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, spawn_all_ways, NULL) == 0);
    sleep(storm_scale(2, 20));
    atomic_store(&spawning, false);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT(storms_end(&storms) == 0);
}

/* --- H4 ------------------------------------------------------------------------------------------- */

/* What such a child may do to descriptors, in our memory. */
static void disturb(int event, int server) {
    uint64_t value;
    struct epoll_event ready;
    int epoll = epoll_create1(0), fresh = eventfd(0, 0), two[2];
    (void)!read(event, &value, sizeof value);
    eventfd_write(event, value);
    (void)!pipe(two);
    close(two[0]);
    dup2(two[1], server);
    epoll_wait(epoll, &ready, 1, 0);
    close(event);
    close(fresh);
    close_range(3, ~0U, 0);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static _Atomic bool vforking;

static void *vfork_in_a_thread(void *unused) {
    while (atomic_load(&vforking)) {
        int event = eventfd(1, EFD_NONBLOCK), server = eventfd(1, EFD_NONBLOCK);
        uint64_t value = 0;
        pid_t child = vfork();
        if (child == 0) {
            disturb(event, server);
            execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        EXPECT(status_of(child) == 0);
        EXPECT(eventfd_read(event, &value) == 0 && value == 1);
        EXPECT(eventfd_read(server, &value) == 0 && value == 1);
        EXPECT(close(event) == 0 && close(server) == 0);
        EXPECT(storm_once() == 0);
    }
    return unused;
}

HOST_CASE(H4, vfork_from_busy_threads) {
    struct storms storms;
    pthread_t threads[4];
    storms_begin(&storms, 4);
    atomic_store(&vforking, true);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, vfork_in_a_thread, NULL) == 0);
    sleep(storm_scale(2, 20));
    atomic_store(&vforking, false);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EXPECT(storms_end(&storms) == 0);
}

static void open_all(int *event, int *server, int *client) {
    int listener = listen_somewhere();
    *client = raw_connect(listener);
    *server = accept(listener, NULL, NULL);
    *event = eventfd(0, 0);
    ctxshim_scope a = ctxshim_push("A");
    poke(*event);
    ctxshim_pop(&a);
}

static void expect_all_as_it_was(int event, int server, int client) {
    expect_reader(event, "A");
    raw_write(client, "question");
    EXPECT(hear(server) == 8);
    EXPECT_STACK("conn#1 req#1");
}

CASE(H4, a_vfork_child_that_uses_hooks_changes_no_cell) {
    int event, server, client;
    open_all(&event, &server, &client);
    pid_t child = vfork();
    if (child == 0) {
        disturb(eventfd(1, 0), server);
        _exit(0);
    }
    EXPECT(status_of(child) == 0);
    expect_all_as_it_was(event, server, client);
}
#pragma GCC diagnostic pop

/* The same without the name vfork: systemd and others call clone. */
static int shared_child(void *argument) {
    const int *fds = argument;
    disturb(eventfd(1, 0), fds[1]);
    close(fds[0]);
    return 0;
}

CASE(H4, a_clone_that_shares_memory_changes_no_cell) {
    static char stack[1 << 18] __attribute__((aligned(16)));
    int fds[2], client;
    open_all(&fds[0], &fds[1], &client);
    pid_t child = clone(shared_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, fds);
    EXPECT(status_of(child) == 0);
    expect_all_as_it_was(fds[0], fds[1], client);
}

/* --- H17 ------------------------------------------------------------------------------------------ */

/* Prints what a program was handed; of LD_PRELOAD only whether anything is in it twice. */
static char *const show_environment[] = {
    "sh",
    "-c",
    "echo \"$0 $1 $# $KEPT\"; env | grep -cE '^(KEPT|OTHER)='; env | sed 's/=.*//' | sort | uniq -d; "
    "echo \"$LD_PRELOAD\" | tr ': ' '\\n\\n' | grep . | sort | uniq -d",
    "zero",
    "one",
    NULL};

static void in_child_do(void (*action)(char **environment), char **environment) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        action(environment);
        _exit(127);
    }
    printf("status %d\n", status_of(child));
}

static void by_execve(char **environment) {
    execve("/bin/sh", show_environment, environment);
}
static void by_execv(char **environment) {
    environ = environment;
    execv("/bin/sh", show_environment);
}
static void by_execvp(char **environment) {
    environ = environment;
    execvp("sh", show_environment);
}
static void by_execvpe(char **environment) {
    execvpe("sh", show_environment, environment);
}
static void by_execl(char **environment) {
    environ = environment;
    execl("/bin/sh", "sh", "-c", show_environment[2], "zero", "one", (char *)NULL);
}
static void by_execlp(char **environment) {
    environ = environment;
    execlp("sh", "sh", "-c", show_environment[2], "zero", "one", (char *)NULL);
}
static void by_execle(char **environment) {
    execle("/bin/sh", "sh", "-c", show_environment[2], "zero", "one", (char *)NULL, environment);
}
static void by_fexecve(char **environment) {
    fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), show_environment, environment);
}
static void by_execveat(char **environment) {
    execveat(AT_FDCWD, "/bin/sh", show_environment, environment, 0);
}
static void by_posix_spawn(char **environment) {
    pid_t child;
    if (posix_spawn(&child, "/bin/sh", NULL, NULL, show_environment, environment) == 0)
        _exit(WEXITSTATUS(status_of(child)));
}
static void by_posix_spawnp(char **environment) {
    pid_t child;
    if (posix_spawnp(&child, "sh", NULL, NULL, show_environment, environment) == 0)
        _exit(WEXITSTATUS(status_of(child)));
}
static void by_system(char **environment) {
    environ = environment;
    _exit(WEXITSTATUS(system("echo $KEPT; env | grep -cE '^(KEPT|OTHER)='; exit 3")));
}
static void by_popen(char **environment) {
    environ = environment;
    char text[256] = "";
    FILE *stream = popen("echo $KEPT; env | grep -cE '^(KEPT|OTHER)='; exit 3", "r");
    size_t size = fread(text, 1, sizeof text - 1, stream);
    (void)!write(1, text, size);
    _exit(WEXITSTATUS(pclose(stream)));
}

static void (*const ways[])(char **) = {by_execve,       by_execv,  by_execvp,  by_execvpe,  by_execl,
                                        by_execlp,       by_execle, by_fexecve, by_execveat, by_posix_spawn,
                                        by_posix_spawnp, by_system, by_popen};

HOST_CASE(H17, environments_and_arguments_reach_the_child_whole) {
    ctxshim_scope scope = ctxshim_push("executing");
    setenv("KEPT", "kept as it was", 1);
    setenv("OTHER", "", 1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        in_child_do(ways[i], environ);
    ctxshim_pop(&scope);
}

/* What the program cleared stays cleared: the whole of what the child sees can be compared. */
HOST_CASE(H17, an_environment_without_us_stays_without_us) {
    char *bare[] = {"PATH=/usr/bin:/bin", "KEPT=bare", NULL}, *nothing[] = {NULL};
    ctxshim_scope scope = ctxshim_push("executing");
    (void)!system("true");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        in_child_do(ways[i], bare);
        in_child_do(ways[i], nothing);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(execle("/usr/bin/env", "env", (char *)NULL, bare) == 0);
    printf("status %d\n", status_of(child));
    ctxshim_pop(&scope);
}

HOST_CASE(H17, what_cannot_be_executed_says_so) {
    char *volatile bad_pointer = (char *)8, *bad = bad_pointer;
    char *arguments[] = {"x", NULL}, *huge = malloc(4 << 20);
    pid_t child;
    memset(huge, 'x', (4 << 20) - 1);
    huge[(4 << 20) - 1] = '\0';
    char *long_environment[] = {huge, NULL}, *long_arguments[] = {"true", huge, NULL};
    ctxshim_scope scope = ctxshim_push("executing");
    SHOW(execve("/nonexistent", arguments, environ));
    SHOW(execve("/etc/passwd", arguments, environ));
    SHOW(execv("/", arguments));
    SHOW(execvp("no-such-program", arguments));
    SHOW(execve("/bin/true", arguments, long_environment));
    SHOW(execve("/bin/true", long_arguments, environ));
    SHOW(execve("/bin/true", (char **)bad, environ));
    SHOW(execve("/bin/true", arguments, (char **)bad));
    SHOW(execve(bad, arguments, environ));
    SHOW(fexecve(-1, arguments, environ));
    SHOW(posix_spawn(&child, "/nonexistent", NULL, NULL, arguments, environ));
    SHOW(posix_spawnp(&child, "no-such-program", NULL, NULL, arguments, environ));
    SHOW(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, long_environment));
    SHOW(system(NULL));
    SHOW(WEXITSTATUS(system("no-such-program 2>/dev/null")));
    SHOW(popen("true", "bad mode") != NULL);
    ctxshim_pop(&scope);
    free(huge);
}
