/* `ctxshim run --leaks`: the program is a child, and this command stays: it passes signals on, stops and
 * continues with it, reports what it leaked, and ends as it did. */
#ifndef CTXSHIM_COMMAND_SUPERVISE_H
#define CTXSHIM_COMMAND_SUPERVISE_H

#include "options.h"

/* Reads the suppressions, and says where the records are to be kept (options->record_path and the additions):
 * in a private directory, unless that was given. 0, or an exit status after a complaint. */
int supervise_begin(struct options *options);
/* Runs it, and returns its exit status, or the one in its place; or dies of what it died of. */
int supervise(const struct options *options, const char *path, char **argv);

/* Becomes the program (run.c). Returns only if it could not: an exit status, after a complaint. */
int execute(const char *path, char **argv);

#endif
