/* A shared object of its own, so that it is called as a library's functions are: through the PLT. */
#include "tls.h"

_Thread_local void *tls_slot;

void *tls_pointer(void) {
    return tls_slot;
}
