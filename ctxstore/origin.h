/* Who handed a context over: noted wherever one waits for its work, so that it can be said how the work got
 * there.
 *
 * The thread's number and, when contexts that leak are looked for, the place in the program's code. The shim
 * says both beforehand (local.h); the store only keeps them. */
#ifndef CTXSTORE_ORIGIN_H
#define CTXSTORE_ORIGIN_H

#include "local.h"
#include "site.h"

struct origin {
    int tid;       /* the kernel's; 0: not known */
    uint16_t site; /* site.h; 0: not known */
};

/* The number of the place, or of the stack that leads there. NULL: places are not noted. Set once at
 * start-up. */
extern uint16_t (*origin_site)(const void *site);

/* Never with a lock of ours held: where it leads, a report may be written (leaks.c). */
static inline struct origin origin_here(void) {
    return (struct origin){local.tid, origin_site != NULL ? origin_site(local.site) : 0};
}

#endif
