/* The option `comm`: a thread's name, as top and perf show it, is what it works for, while that is something.
 * The program's own name for it is there again afterwards; and a thread that the program names meanwhile
 * keeps that name, until its work is over. */
#ifndef SHIM_COMM_H
#define SHIM_COMM_H

#include "thread.h"

/* What is current may have changed. */
void comm_show(struct thread *thread);
/* The thread ends. */
void comm_restore(struct thread *thread);

#endif
