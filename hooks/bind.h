/* Binding the real functions. */
#ifndef HOOKS_BIND_H
#define HOOKS_BIND_H

#include <stdbool.h>

/* Looks the real functions up. Called by the constructor, and by a hook that is entered before it (H1).
 * May be called again; every call finds the same. */
void hooks_bind(void);

/* Decides for the hooks that only annotations need (gate.h): are they used? After hooks_bind. */
void hooks_gates(bool used);

#endif
