/* Binding the real functions: what start-up needs to know of the hooks. */
#ifndef HOOKS_BIND_H
#define HOOKS_BIND_H

/* Looks the real functions up. Called by the constructor, and by a hook that is entered before it (H1).
 * May be called again; every call finds the same. */
void hooks_bind(void);

#endif
