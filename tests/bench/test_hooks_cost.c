/* No hot hook costs more than it did: scripts/bench-hooks.sh says so, and what each costs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/wait.h>

Test(cost, of_the_hot_hooks, .timeout = 120) {
    char line[256];
    FILE *said = popen("scripts/bench-hooks.sh 2>&1", "r");
    cr_assert_not_null(said);
    while (fgets(line, sizeof line, said) != NULL)
        fprintf(stderr, "    %s", line);
    int status = pclose(said);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a hot hook costs more: see above");
}
