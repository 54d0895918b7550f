/* Children: they go on with random steps where the parent was, and say by their status what came of it; or
 * execute this very program, or another one, by each way of doing so. */
#include "ops.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

enum { CHILD_STEPS = 12, CHILD_SECONDS = 30 };

static int ended(pid_t child) {
    int status = 0;
    while (kernel_call(SYS_wait4, child, (long)&status, 0, 0, 0, 0) == -EINTR)
        continue;
    return status;
}

/* Other threads may have held any lock of libc's when they were left behind: in a crowd a child does little.
 */
static _Noreturn void live(uint64_t seed) {
    signal(SIGALRM, SIG_DFL);
    alarm(CHILD_SECONDS);
    if (asked.threads > 0) {
        char byte = 0;
        write(-1, &byte, 1);
        slots_close_all();
        _exit(7);
    }
    digest_begin(seed);
    dice_throw(seed, 0);
    for (unsigned i = below(CHILD_STEPS); i > 0; i--)
        step(CHILD);
    if (chance(30)) {
        char number[24];
        snprintf(number, sizeof number, "%u", below(1000));
        execl(own_path, own_path, "--seed", number, "--steps", "5", "--quiet", NULL); /* and has no log */
        _exit(99);
    }
    remark("child ends with %d", (int)(digest() % 64));
    _exit((int)(digest() % 64));
}

void fork_child(void) {
    uint64_t seed = draw();
    pid_t child;
    fflush(stdout);
    if (chance(20)) {
        hook_used(HOOK__Fork);
        child = _Fork();
    } else {
        hook_used(HOOK_fork);
        child = fork();
    }
    if (child == 0)
        live(seed);
    MUST(child > 0);
    noted("a child's status", ended(child));
}

static int run_clone(void *argument) {
    char byte = 0;
    (void)argument;
    write(-1, &byte, 1);
    _exit(5);
}

/* What a vfork child does with descriptors is its own affair: the parent's cells stay. */
void vfork_child(void) {
    static char stack[64 * 1024] __attribute__((aligned(64)));
    int fd = pick_fd(ANY);
    if (chance(30)) {
        int flags = (int)ONE_OF(0, CLONE_VM | CLONE_VFORK) | SIGCHLD;
        hook_used(HOOK_clone);
        pid_t child = clone(run_clone, stack + sizeof stack, flags, NULL);
        noted("a clone's status", ended(child));
        return;
    }
    hook_used(HOOK_vfork);
    pid_t child = vfork();
    if (child == 0) {
        close(fd);
        dup2(2, 650);
        execl("/bin/true", "true", NULL);
        _exit(99);
    }
    noted("a vfork child's status", ended(child));
}

/* --- executed programs -----------------------------------------------------------------------------------
 */

/* In a child. */
static void execute(unsigned way) {
    char *arguments[] = {"sh", "-c", "exit 3", NULL};
    int shell = -1;
    switch (way) {
    case 0:
        execve("/bin/sh", arguments, environ);
        break;
    case 1:
        execv("/bin/sh", arguments);
        break;
    case 2:
        execvp("sh", arguments);
        break;
    case 3:
        execvpe("sh", arguments, environ);
        break;
    case 4:
        execl("/bin/sh", "sh", "-c", "exit 3", NULL);
        break;
    case 5:
        execlp("sh", "sh", "-c", "exit 3", NULL);
        break;
    case 6:
        execle("/bin/sh", "sh", "-c", "exit 3", NULL, environ);
        break;
    case 7:
        shell = open("/bin/sh", O_RDONLY | O_CLOEXEC);
        fexecve(shell, arguments, environ);
        break;
    case 8:
        execveat(AT_FDCWD, "/bin/sh", arguments, environ, 0);
        break;
    default:
        execve("/nonexistent", arguments, environ);
    }
    _exit(9);
}

static const enum hook execute_hooks[] = {HOOK_execve, HOOK_execv,  HOOK_execvp,  HOOK_execvpe, HOOK_execl,
                                          HOOK_execlp, HOOK_execle, HOOK_fexecve, HOOK_execveat};

static void spawn(void) {
    char *arguments[] = {"sh", "-c", "exit 4", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, 700);
    posix_spawn_file_actions_adddup2(&actions, 1, 701);
    if (chance(50))
        DO(posix_spawn, &child, "/bin/sh", &actions, NULL, arguments, environ);
    else
        DO(posix_spawnp, &child, chance(80) ? "sh" : "no-such-program", NULL, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (child > 0)
        noted("a spawned one's status", ended(child));
}

static void shell(void) {
    char line[64] = "";
    if (chance(50)) {
        DO(system, chance(90) ? "exit 6" : NULL);
        return;
    }
    FILE *stream = DO_POINTER(popen, "echo from a shell", "r");
    MUST(stream != NULL);
    noted("a line", fgets(line, sizeof line, stream) != NULL);
    told_bytes("it says", line, strlen(line));
    noted("pclose", pclose(stream));
}

void execute_program(void) {
    unsigned way = below(10);
    DO(prctl, PR_SET_DUMPABLE, 1);
    switch (below(4)) {
    case 0:
        spawn();
        return;
    case 1:
        shell();
        return;
    default:
        break;
    }
    if (way < LENGTH(execute_hooks))
        hook_used(execute_hooks[way]);
    pid_t child = fork();
    if (child == 0)
        execute(way);
    noted("an executed one's status", ended(child));
}
