/* What the store keeps for each thread: see local.h. */
#include "local.h"

#include "context.h"
#include "flow.h"
#include "value.h"

_Thread_local struct local local;

void local_end(void) {
    flow_thread_end();
    context_thread_end();
    value_thread_end();
    block_thread_end();
}
