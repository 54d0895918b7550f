/* What the outside finds the census by: see census.h. */
#include "../ctxstore/stack.h"
#include "armed.h"
#include "bell_inside.h"
#include "census.h"
#include "coroutine.h"
#include "leaks.h"
#include "openfile.h"
#include "peers.h"
#include "queue_inside.h"

__attribute__((used)) const struct census census_mark = {
    .mark = CENSUS_MARK,
    .layout = CENSUS_LAYOUT,
    .records = &thread_records,
    .leaks = &leaks_region,
    .holders = {HOLDERS_LAYOUT, &thread_records, file_first_slots, &file_directory, &captures_table,
                &gone_table, &stack_table, site_table, HOLDERS_WORK_LAYOUT, queues, bells, bell_kinds,
                armed_by_call, &coroutine_stacks},
};
