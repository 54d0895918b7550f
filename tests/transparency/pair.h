/* A shell script is run plain and under the shim, each in an empty directory of its own with the same name;
 * stdout, stderr and exit status must be equal. To be run from the root of the tree.
 *
 * In a script `ctx PROGRAM…` puts the program under the shim, or, plain, does not; `start PROGRAM… &` does so
 * in the background, where $! is then the program itself; `port` prints a free one; and $TREE is the root of
 * the tree. A script that takes longer than PAIR_SECONDS (three times that where HAZARDS_THOROUGH is set) is
 * killed, which is a difference. */
#ifndef TESTS_TRANSPARENCY_PAIR_H
#define TESTS_TRANSPARENCY_PAIR_H

enum { PAIR_SECONDS = 100 };

struct outcome {
    char *out, *err; /* until pair_free */
    int status;      /* as waitpid has it */
};

/* `options`: CTXSHIM_OPTIONS under the shim, where $dir is the directory; NULL: plain. */
struct outcome pair_run(const char *script, const char *options);
void pair_free(struct outcome *outcome);

/* Plain it must end by itself and write `must_say`; then the same with each of the options (NULL: the end).
 */
void pair_expect_same(const char *script, const char *must_say, const char *const *options);

#endif
