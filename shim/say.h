/* What the shim itself has to say goes to stderr in one write, past every hook, and as seldom as can be. */
#ifndef SHIM_SAY_H
#define SHIM_SAY_H

/* Writes the texts, up to a NULL, one after the other; cuts what is longer than a line ought to be. */
void say(const char *const texts[]);

#endif
