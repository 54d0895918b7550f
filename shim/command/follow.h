/* Following a program that was started: what others send to us is its, and its stops and its end are ours. */
#ifndef CTXSHIM_COMMAND_FOLLOW_H
#define CTXSHIM_COMMAND_FOLLOW_H

#include <stdbool.h>
#include <sys/types.h>

/* Before the program is forked: from here on no signal is lost. False, with errno, when that is not possible.
 */
bool follow_begin(void);
/* In the program to be: signals are as they were. */
void follow_undo(void);
/* Until it ends: its status, as of waitpid. */
int follow(pid_t child);

#endif
