/* What the two halves of the test program share: each scene writes, and tells what its calls gave. */
#ifndef TESTS_ANNOTATE_PROGRAM_H
#define TESTS_ANNOTATE_PROGRAM_H

#include <stddef.h>

struct scene {
    const char *name;
    void (*run)(void);
};

/* Each function that annotate knows, called once or twice, for one or two lines. Ends in {0}. */
extern const struct scene calls[];

/* Notes a call's result and errno; the test reads the notes from descriptor 9. */
void note(const char *what, long result);

#endif
