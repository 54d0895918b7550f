/* What the tests of the installation share: a staged tree, and programs run in it. Each test has a tree of
 * its own, made by `make install` and removed at its end. */
#ifndef INSTALL_STAGE_H
#define INSTALL_STAGE_H

#include <glib.h>

/* Where the test's tree is: an absolute path, "" before it is made. */
extern const char *stage;

/* Makes an empty directory `stage`. */
void stage_make(void);
/* The same, and installs there as PREFIX (no DESTDIR: what is installed works where it is). The library is
 * stripped. */
void stage_prefix(void);
/* Ends what stage_start started and removes the tree: the end of each test. */
void stage_end(void);

/* Runs a shell command in the root of the source tree, with $stage as the tree, $BUILD as the build
 * directory, and `make` as what built it. Returns its stdout and stderr; the test fails when the command
 * does. */
char *shell(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The same when it may fail: its exit status. */
int shell_status(char **output, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Starts a program in the background, the only one of this test, and waits until it says "ready". Returns its
 * pid. */
int stage_start(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The functions that ctxshim.h declares, sorted: its declarations are read as text. */
GPtrArray *public_functions(void);

/* The test fails unless `text` is in `output`. */
void expect_in(const char *output, const char *text);
void expect_not_in(const char *output, const char *text);

#endif
