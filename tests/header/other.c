/* The second translation unit of the header's test program: it shares the first one's table. */
#include "contract.h"

ctxshim_key *other_key_create(void (*destroy)(void *value)) {
    return ctxshim_key_create("other", destroy);
}

ctxshim_scope other_push(const char *operation) {
    return ctxshim_push(operation);
}
