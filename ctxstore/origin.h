/* Who handed a context over: noted wherever one waits for its work, so that it can be said how the work got
 * there.
 *
 * The thread's number and, when contexts that leak are looked for, the place in the program's code. The shim
 * says both beforehand (local.h); the store only keeps them. */
#ifndef CTXSTORE_ORIGIN_H
#define CTXSTORE_ORIGIN_H

#include "local.h"
#include "site.h"

#include <stdbool.h>

struct origin {
    int tid;       /* the kernel's; 0: not known */
    uint16_t site; /* site.h; 0: not known */
};

/* Are places noted, too? Set once at start-up. */
extern bool origin_sites;

static inline struct origin origin_here(void) {
    return (struct origin){local.tid, origin_sites ? site_number(local.site) : 0};
}

#endif
