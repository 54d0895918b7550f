/* The same work on two threads at once: for rows that are about sharing. */
#ifndef TWO_THREADS_H
#define TWO_THREADS_H

#include <stdint.h>

typedef void two_threads_work(uint64_t count);

/* Starts the second thread, which inherits the current context and waits, awake. */
void two_threads_begin(two_threads_work *work);
/* The work on both, `count` times each: returns when both are done. */
void two_threads_run(uint64_t count);
void two_threads_end(void);

#endif
