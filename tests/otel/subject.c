/* What the tests of `--otel` look at. Prints what its mode says, then "ready", and stays. Modes:
 *
 * - fork: in the operation "Outer" of a job it forks, and the child begins "Inner"; its pid is printed;
 * - exec: in the operation "Save" of a job it has `env` print its environment;
 * - names: two threads in jobs with names that are no UTF-8, and too long;
 * - left: a scope is left by the end of its thread's work, a handler's by siglongjmp;
 * - doubt: a thread took a wake-up of two jobs;
 * - own: a library of its own has a variable of the name that profilers look for (own.c). */
#include <ctxshim.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
int own_is_own(void);

static void stay(void) {
    puts("ready");
    fflush(stdout);
    while (1)
        pause();
}

static void forks(void) {
    ctxshim_root("job");
    ctxshim_push("Outer");
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ctxshim_push("Inner");
        printf("%d\n", getpid());
        stay();
    }
    ctxshim_push("Inner");
    pause();
}

static void executes(void) {
    char *arguments[] = {"env", NULL};
    pid_t child;
    ctxshim_root("job");
    ctxshim_push("Save");
    if (posix_spawnp(&child, "env", NULL, NULL, arguments, environ) == 0)
        waitpid(child, NULL, 0);
    stay();
}

static pthread_barrier_t named;

static void *broken(void *unused) {
    prctl(PR_SET_NAME, "broken");
    ctxshim_root("a\xff\xc3(\xe2\x82\xac\xf0\x9f");
    pthread_barrier_wait(&named);
    pause();
    return unused;
}

static void *lengthy(void *unused) {
    char name[401] = "";
    prctl(PR_SET_NAME, "lengthy");
    for (int i = 0; i < 200; i++)
        strcat(name, "\xc3\xa9");
    ctxshim_root(name);
    pthread_barrier_wait(&named);
    pause();
    return unused;
}

static void names(void) {
    pthread_t thread;
    pthread_barrier_init(&named, NULL, 3);
    pthread_create(&thread, NULL, broken, NULL);
    pthread_create(&thread, NULL, lengthy, NULL);
    pthread_barrier_wait(&named);
    stay();
}

static sigjmp_buf back;

static void handler(int number) {
    (void)number;
    ctxshim_push("Handler");
    siglongjmp(back, 1);
}

static void left(void) {
    signal(SIGUSR1, handler);
    ctxshim_root("job");
    if (sigsetjmp(back, 1) == 0)
        raise(SIGUSR1);
    poll(NULL, 0, 1); /* by a wait it is known */
    stay();
}

static int wake_up;

static void *doubtful(void *unused) {
    eventfd_t value;
    prctl(PR_SET_NAME, "doubtful");
    pthread_barrier_wait(&named);
    eventfd_read(wake_up, &value);
    pthread_barrier_wait(&named);
    pause();
    return unused;
}

static void doubt(void) {
    pthread_t thread;
    wake_up = eventfd(0, 0);
    pthread_barrier_init(&named, NULL, 2);
    pthread_create(&thread, NULL, doubtful, NULL);
    ctxshim_root("one");
    eventfd_write(wake_up, 1);
    ctxshim_root("two");
    eventfd_write(wake_up, 1);
    pthread_barrier_wait(&named);
    pthread_barrier_wait(&named);
    stay();
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "fork") == 0)
        forks();
    else if (strcmp(mode, "exec") == 0)
        executes();
    else if (strcmp(mode, "names") == 0)
        names();
    else if (strcmp(mode, "left") == 0)
        left();
    else if (strcmp(mode, "doubt") == 0)
        doubt();
    else if (strcmp(mode, "own") == 0)
        return own_is_own() ? 0 : 1;
    return 2;
}
