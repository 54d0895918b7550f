/* A connection that was answered and is idle costs no more memory than it may: the growth of a server with
 * many, with and without the shim (connections.c). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { MOST = 200 };

/* Bytes for each of 4,000; -1: so many descriptors are not allowed. */
static double bytes_each(const char *preload) {
    char command[512];
    int count = 0;
    double bytes = -1;
    snprintf(command, sizeof command, "LD_PRELOAD=%s " BUILD "/tests/bench/connections 4000 8", preload);
    FILE *said = popen(command, "r");
    cr_assert_not_null(said);
    int fields = fscanf(said, "%d %lf", &count, &bytes);
    int status = pclose(said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        return -1;
    cr_assert(fields == 2 && count == 4000 && status == 0, "connections: %d", status);
    return bytes;
}

Test(cost, of_an_idle_connection, .timeout = 60) {
    char shim[4096];
    cr_assert_not_null(realpath(BUILD "/libctxshim.so", shim));
    double plain = bytes_each("");
    if (plain < 0)
        cr_skip_test("so many descriptors are not allowed");
    double preloaded = bytes_each(shim);
    cr_assert(preloaded > plain, "nothing is tracked");
    cr_assert(preloaded - plain <= MOST, "%.0f bytes for each", preloaded - plain);
}
