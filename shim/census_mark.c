/* What the outside finds the census by: see census.h. */
#include "census.h"
#include "leaks.h"

__attribute__((used)) const struct census census_mark = {
    .mark = CENSUS_MARK,
    .layout = CENSUS_LAYOUT,
    .records = &thread_records,
    .leaks = &leaks_region,
};
