/* Start-up of the shim, called once by the constructor in hooks/bind.c. */
#ifndef SHIM_START_H
#define SHIM_START_H

/* Reads the options and the context from this environment (libc's is not set yet), and makes the shim ready.
 * The real functions are bound by then. `library` is the path that the shim was loaded by. */
void shim_start(char *const *environment, const char *library);

/* main is about to begin: what had to wait until libraries may be loaded. */
void shim_begins_main(void);

#endif
