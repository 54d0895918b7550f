/* The program that has the shim linked in: `conformance-program NAME` runs one behaviour in the main thread,
 * with no context, and then says how many contexts are left. */
#include "behaviour.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS_AT_MOST = 60 };

static const struct {
    const char *name;
    void (*run)(void);
} behaviours[] = {
#define BEHAVIOUR(name) {#name, name},
#include "conformance.def"
#undef BEHAVIOUR
};

/* The loops that the behaviour ran are left by now: a hook that is entered from up here shows it. */
static void leave_loops(void) {
    char nothing = 0;
    CHECK(write(-1, &nothing, 1) == -1);
}

int main(int argc, char **argv) {
    alarm(SECONDS_AT_MOST);
    for (size_t i = 0; argc == 2 && i < LENGTH(behaviours); i++) {
        if (strcmp(behaviours[i].name, argv[1]) != 0)
            continue;
        behaviours[i].run();
        leave_loops();
        CHECK_STACK("");
        size_t live = context_live();
        printf("live contexts = %zu\n", live);
        return live != 0;
    }
    fprintf(stderr, "usage: %s BEHAVIOUR\n", argv[0]);
    return 2;
}
