/* What breaks interposition shims, H1 to H30: README.md has the list.
 *
 * Strategy: each case is a small program run plain and with everything that the shim can do switched on; it must
 * write the same and end in the same way, in time. To be run from the root of the tree. */
#include "../behaviour/case.h"
#include "../transparency/pair.h"

#include <glib.h>
#include <stdlib.h>

#define EVERYTHING "annotate=stderr:annotate=*.log:annotate_pid=1"

static const char *const ways[] = {EVERYTHING, "dispatch=exact:annotate=stderr", NULL};

/* Called by the lines of the host_*.c files (case.h). */
void expect_case(const char *name, const char *options, bool plain_too) {
    char *script = g_strdup_printf("cd $TREE; ctx " BUILD "/tests/hazards/cases %s; echo status $?\n", name);
    if (plain_too) {
        pair_expect_same(script, "status 0", ways);
    } else {
        struct outcome outcome = pair_run(script, options[0] != '\0' ? options : EVERYTHING);
        cr_expect(outcome.status == 0 && strstr(outcome.out, "status 0\n") != NULL, "%s: status %d\n%s%s", name,
                  outcome.status, outcome.out, outcome.err);
        pair_free(&outcome);
    }
    g_free(script);
}

static void expect_same(const char *script, const char *must_say) {
    pair_expect_same(script, must_say, ways);
}
