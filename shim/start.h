/* Start-up of the shim, called once by the constructor in hooks/bind.c. */
#ifndef SHIM_START_H
#define SHIM_START_H

/* Reads the options from this environment (libc's is not set yet), and makes the shim ready. The real
 * functions are bound by then. */
void shim_start(char *const *environment);

#endif
