/* What the outside finds the census by: see census.h. */
#include "census.h"
#include "leaks.h"
#include "openfile.h"

__attribute__((used)) const struct census census_mark = {
    .mark = CENSUS_MARK,
    .layout = CENSUS_LAYOUT,
    .records = &thread_records,
    .leaks = &leaks_region,
    .holders = {HOLDERS_LAYOUT, &thread_records, file_first_slots, &file_directory, &captures_table,
                &gone_table},
};
