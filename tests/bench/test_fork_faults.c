/* A fork costs few pages: each that the shim touches, in the parent or in the child, is one to be copied, and
 * a fault takes as long as a thousand instructions. Counted by the kernel, with and without the shim
 * (costs.c). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 20 };

static double faults(const char *preload) {
    char command[4200];
    double each = 0;
    snprintf(command, sizeof command, "LD_PRELOAD=%s " BUILD "/tests/bench/costs fork-faults", preload);
    FILE *said = popen(command, "r");
    cr_assert_not_null(said);
    int fields = fscanf(said, "%lf", &each);
    cr_assert(pclose(said) == 0 && fields == 1 && each > 0, "costs fork-faults says nothing");
    return each;
}

Test(cost, of_a_fork_in_pages, .timeout = 60) {
    char shim[4096];
    cr_assert_not_null(realpath(BUILD "/libctxshim.so", shim));
    double plain = faults(""), preloaded = faults(shim);
    cr_assert(preloaded - plain <= MOST, "%.0f pages more than the %.0f without the shim", preloaded - plain,
              plain);
}
