/* The conformance list. Strategy: each behaviour is a run of its own of conformance-program, so that
 * Criterion's workers and sockets never meet the shim; the test looks at its exit status, and the teardown of
 * every test at its last line, which counts the contexts that still live when the work is done (C36). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* The program gives up by itself before Criterion does, and says so. */
enum { SECONDS_AT_MOST = 90 };

static char output[64 * 1024];

static void run(const char *name) {
    char command[256];
    snprintf(command, sizeof command, "exec %s %s 2>&1", PROGRAM, name);
    FILE *program = popen(command, "r");
    cr_assert_not_null(program);
    size_t size = fread(output, 1, sizeof output - 1, program);
    output[size] = '\0';
    int status = pclose(program);
    cr_assert(WIFEXITED(status), "killed by signal %d: %s", WTERMSIG(status), output);
    cr_assert_eq(WEXITSTATUS(status), 0, "%s", output);
}

static const char *last_line(void) {
    size_t end = strlen(output);
    if (end > 0 && output[end - 1] == '\n')
        output[--end] = '\0';
    const char *line = strrchr(output, '\n');
    return line != NULL ? line + 1 : output;
}

/* Called at the end of the test and not as Criterion's fini, where a check that fails is shown and not
 * counted. */
static void teardown(void) {
    cr_assert_str_eq(last_line(), "live contexts = 0");
}

TestSuite(conformance, .timeout = SECONDS_AT_MOST);

#define BEHAVIOUR(name)                                                                                      \
    Test(conformance, name) {                                                                                \
        run(#name);                                                                                          \
        teardown();                                                                                          \
    }
#include "conformance.def"
#undef BEHAVIOUR
