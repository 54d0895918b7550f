/* Following a program that was started: what others send to us is its, and its stops and its end are ours. */
#ifndef CTXSHIM_COMMAND_FOLLOW_H
#define CTXSHIM_COMMAND_FOLLOW_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Before the program is forked: from here on no signal is lost. False, with errno, when that is not possible.
 * The program is to get `before`, the mask that was. */
bool follow_begin(sigset_t *before);
/* Until it ends: its status, as of waitpid. */
int follow(pid_t child);

#endif
