/* The monkey comes to the same under the shim as without it, survives in a crowd, and leaves no context
 * behind: a few seeds that stay, which go through every hook that can be called so, and some that nobody has
 * seen before. To be run from the root of the tree. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { TEXT = 1 << 16 };

/* What the runner says, and how it ends. */
static int run(const char *arguments, char *said) {
    char command[256];
    snprintf(command, sizeof command, "tests/monkey/monkey.py --build " BUILD " %s 2>&1", arguments);
    FILE *stream = popen(command, "r");
    cr_assert(stream != NULL);
    size_t got = fread(said, 1, TEXT - 1, stream);
    said[got] = '\0';
    int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_good(const char *arguments) {
    static char said[TEXT];
    int status = run(arguments, said);
    cr_expect(status == 0, "%s", said);
}

Test(monkey, seeds_that_stay, .timeout = 300) {
    expect_good("--seeds 1-4");
}

Test(monkey, seeds_that_nobody_has_seen, .timeout = 300) {
    expect_good("--seconds 6");
}
