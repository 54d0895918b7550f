/* Runs one case of the program `cases`, plain or under the shim. To be run from the root of the tree. */
#include "case.h"

#include <spawn.h>
#include <stdlib.h>

enum { SECONDS = 60 };

extern char **environ;

/* Exit status as a shell has it; what the program said goes to `said`. */
static int run(const char *name, const char *options, bool preload, char *said, size_t room) {
    int ends[2], status;
    pid_t child;
    char limit[16];
    size_t used = 0;
    posix_spawn_file_actions_t actions;
    snprintf(limit, sizeof limit, "%d", SECONDS);
    char library[4096];
    cr_assert(realpath(BUILD "/libctxshim.so", library) != NULL, "no " BUILD "/libctxshim.so");
    char preload_word[5000], options_word[512];
    snprintf(preload_word, sizeof preload_word, "LD_PRELOAD=%s", preload ? library : "");
    snprintf(options_word, sizeof options_word, "CTXSHIM_OPTIONS=%s", options);
    char *arguments[] = {"timeout",    "-s",         "KILL",       limit,
                         "env",        preload_word, options_word, BUILD "/tests/behaviour/cases",
                         (char *)name, NULL};
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    cr_assert_eq(posix_spawnp(&child, "timeout", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    for (ssize_t got; used + 1 < room && (got = read(ends[0], said + used, room - used - 1)) > 0;)
        used += (size_t)got;
    said[used] = '\0';
    close(ends[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void expect_case(const char *name, const char *options, bool plain_too) {
    static char said[1 << 16];
    int status = plain_too ? run(name, "", false, said, sizeof said) : 0;
    cr_assert(status == 0, "%s without the shim: status %d\n%s", name, status, said);
    status = run(name, options, true, said, sizeof said);
    cr_assert(status == 0, "%s: status %d%s\n%s", name, status,
              status == 137 ? ", killed after its time" : "", said);
}
