/* Backtraces, when they are asked for: libunwind, bound at start-up with dlopen(RTLD_LOCAL) and otherwise not
 * there. Linking it would give every C++ host its _Unwind_ functions (H15). */
#ifndef SHIM_UNWIND_H
#define SHIM_UNWIND_H

#include "../ctxstore/site.h"

#include <stdbool.h>

/* One stack in so many is looked at; 0: none, and libunwind stays unbound. */
extern __attribute__((visibility("hidden"))) unsigned unwind_one_in;

/* Binds libunwind. False, with nothing changed, when it is not installed or there is no memory. */
bool unwind_start(unsigned one_in);

/* In a fork child. libunwind, and the loader that it asks, have locks that libc does not set right there: one
 * that another thread held is never given back. So unless the parent had one thread, places alone are kept
 * from now on. */
void unwind_forked(bool alone);

/* The same place; where its turn has come, the number of the whole stack in its stead (site.h). */
const void *unwind_sample(const void *site);
static inline struct here unwind_here(struct here here) {
    if (__builtin_expect(unwind_one_in != 0, 0))
        here.site = unwind_sample(here.site);
    return here;
}

#endif
