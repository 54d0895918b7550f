/* What the store keeps for each thread: see local.h. */
#include "local.h"

#include "context.h"
#include "flow.h"
#include "origin.h"
#include "value.h"

#include <string.h>

_Thread_local struct local local;
uint16_t (*origin_site)(const void *site);

static struct slab besides = SLAB(sizeof(struct beside));

struct beside *local_beside_new(void) {
    struct beside *beside = slab_take(&besides);
    if (beside == NULL)
        return NULL;
    memset(beside, 0, sizeof *beside);
    local.beside = beside;
    return beside;
}

void local_end(void) {
    flow_thread_end();
    context_thread_end();
    value_thread_end();
    if (local.beside == NULL)
        return;
    key_thread_end();
    block_thread_end();
    slab_give(&besides, local.beside);
    local.beside = NULL;
}
