/* H26: every allocation of the shim's failed in turn. `deny N PROGRAM…` runs the program and fails the Nth
 * mmap that is made from inside libctxshim.so ("N+": and all later ones), as the kernel would without memory.
 * The last line on stderr tells how many there were; the status is the program's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)

enum { TASKS = 4096 };
static struct {
    pid_t id;
    bool inside, denied;
} tasks[TASKS];

static int slot_of(pid_t id) {
    int at = id % TASKS;
    while (tasks[at].id != id && tasks[at].id != 0)
        at = (at + 1) % TASKS;
    tasks[at].id = id;
    return at;
}

/* Is this address inside the shim's code? */
static bool is_ours(pid_t id, unsigned long long address) {
    char path[64], line[512];
    bool ours = false;
    snprintf(path, sizeof path, "/proc/%d/maps", id);
    FILE *maps = fopen(path, "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long low, high;
        if (sscanf(line, "%llx-%llx", &low, &high) == 2 && address >= low && address < high)
            ours = strstr(line, "libctxshim.so") != NULL;
    }
    if (maps != NULL)
        fclose(maps);
    return ours;
}

static long denied_from, seen;
static bool all_later;

static void at_system_call(pid_t id) {
    struct user_regs_struct registers;
    int at = slot_of(id);
    if (ptrace(PTRACE_GETREGS, id, NULL, &registers) != 0)
        return;
    tasks[at].inside = !tasks[at].inside;
    if (tasks[at].inside) {
        tasks[at].denied = false;
        if (registers.orig_rax != SYS_mmap || !is_ours(id, registers.rip))
            return;
        seen++;
        if (seen != denied_from && !(all_later && seen > denied_from))
            return;
        tasks[at].denied = true;
        registers.orig_rax = (unsigned long long)-1;
    } else {
        if (!tasks[at].denied)
            return;
        registers.rax = (unsigned long long)-ENOMEM;
    }
    ptrace(PTRACE_SETREGS, id, NULL, &registers);
}

static int trace(pid_t program) {
    int status, result = 0;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    waitpid(program, &status, 0);
    ptrace(PTRACE_SETOPTIONS, program, NULL, options);
    ptrace(PTRACE_SYSCALL, program, NULL, NULL);
    for (pid_t id; (id = waitpid(-1, &status, __WALL)) > 0;) {
        long deliver = 0;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            tasks[slot_of(id)].inside = false;
            if (id == program)
                result = status;
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            at_system_call(id);
        else if (WSTOPSIG(status) == SIGSTOP)
            slot_of(id); /* a new task's first stop */
        else if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8) && WSTOPSIG(status) != SIGTRAP)
            deliver = WSTOPSIG(status);
        ptrace(PTRACE_SYSCALL, id, NULL, deliver);
    }
    return result;
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    denied_from = atol(arguments[1]);
    all_later = strchr(arguments[1], '+') != NULL;
    const char *library = getenv("DENY_PRELOAD");
    pid_t program = fork();
    if (program == 0) {
        if (library != NULL)
            setenv("LD_PRELOAD", library, 1);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execvp(arguments[2], arguments + 2);
        _exit(127);
    }
    int status = trace(program);
    fprintf(stderr, "%ld allocations\n", seen);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#else
int main(void) {
    fprintf(stderr, "0 allocations\n");
    return 0;
}
#endif
