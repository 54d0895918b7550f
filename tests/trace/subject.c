/* What the tests of the timeline record. Modes:
 *
 * - work: a request is read, does "Save", hands over to a thread by an eventfd and to another by its start,
 * which leaves "Forgotten" open, and is answered; a job has a name that would break a page;
 * - killed: the same, and then SIGKILL;
 * - flood: many more scopes than a ring holds, then one job;
 * - fork: the child does a job of its own;
 * - crowd: more threads than there are rings, all at once, each with a scope;
 * - comm: threads are named by what they do (exit 0: right each time). */
#include <ctxshim.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int handed;

static void *worker(void *unused) {
    uint64_t value;
    prctl(PR_SET_NAME, "worker");
    eventfd_read(handed, &value);
    return unused;
}

static void *started(void *unused) {
    prctl(PR_SET_NAME, "started");
    ctxshim_scope scope = ctxshim_push("Started");
    ctxshim_pop(&scope);
    ctxshim_push("Forgotten"); /* nobody closes it; it ends with the thread */
    return unused;
}

/* The client's side goes past the shim. */
static void serve(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address.sun_family;
    char byte;
    pthread_t threads[2];
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, size);
    listen(listener, 1);
    size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    long client = syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    syscall(SYS_connect, client, &address, size);
    syscall(SYS_write, client, "x", 1);
    handed = eventfd(0, 0);
    pthread_create(&threads[0], NULL, worker, NULL);
    int connection = accept(listener, NULL, NULL);
    if (read(connection, &byte, 1) != 1)
        _exit(1);
    ctxshim_scope save = ctxshim_push("Save");
    eventfd_write(handed, 1);
    pthread_create(&threads[1], NULL, started, NULL);
    ctxshim_pop(&save);
    if (write(connection, "y", 1) != 1)
        _exit(1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close(connection);
}

static void job(const char *name) {
    ctxshim_scope scope = ctxshim_root("job");
    ctxshim_rename(name);
    ctxshim_pop(&scope);
}

static void flood(void) {
    for (int i = 0; i < 100000; i++) {
        ctxshim_scope scope = ctxshim_push("Flood");
        ctxshim_pop(&scope);
    }
}

enum { CROWD = 200 };
static pthread_barrier_t together;

static void *one_of_many(void *unused) {
    ctxshim_scope scope = ctxshim_push("Crowd");
    pthread_barrier_wait(&together);
    ctxshim_pop(&scope);
    return unused;
}

static void crowd(void) {
    pthread_t threads[CROWD];
    pthread_barrier_init(&together, NULL, CROWD);
    for (int i = 0; i < CROWD; i++)
        pthread_create(&threads[i], NULL, one_of_many, NULL);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
}

static int is_called(const char *name) {
    char now[16] = "";
    prctl(PR_GET_NAME, now);
    if (strcmp(now, name) == 0)
        return 1;
    fprintf(stderr, "the thread is called %s, and not %s\n", now, name);
    return 0;
}

static int comm(void) {
    prctl(PR_SET_NAME, "own");
    int right = is_called("own");
    ctxshim_scope outer = ctxshim_push("Outer"), inner = ctxshim_push("a longer name");
    right &= is_called("r a longer name");
    ctxshim_pop(&inner);
    right &= is_called("Outer");
    ctxshim_pop(&outer);
    right &= is_called("own");
    outer = ctxshim_push("Outer");
    prctl(PR_SET_NAME, "changed");
    inner = ctxshim_push("Inner");
    right &= is_called("changed");
    ctxshim_pop(&inner);
    ctxshim_pop(&outer);
    right &= is_called("changed");
    return right ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "work") == 0 || strcmp(mode, "killed") == 0) {
        serve();
        job("GET /</script><b>\"\\\033[31m\xff");
    } else if (strcmp(mode, "flood") == 0) {
        flood();
        job("the last");
    } else if (strcmp(mode, "crowd") == 0) {
        crowd();
    } else if (strcmp(mode, "fork") == 0) {
        job("of the parent");
        pid_t child = fork();
        if (child == 0) {
            job("of the child");
            _exit(0);
        }
        waitpid(child, NULL, 0);
        job("of the parent, too");
    } else if (strcmp(mode, "comm") == 0) {
        return comm();
    }
    if (strcmp(mode, "killed") == 0)
        kill(getpid(), SIGKILL);
    return 0;
}
