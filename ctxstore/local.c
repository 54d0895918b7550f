/* What the store keeps for each thread: see local.h. */
#include "local.h"

#include "context.h"
#include "flow.h"
#include "origin.h"
#include "value.h"

_Thread_local struct local local = {.guard = GUARD_NO_RECORD};
uint16_t (*origin_site)(const void *site);

void local_end(void) {
    flow_thread_end();
    context_thread_end();
    value_thread_end();
    block_thread_end();
}
