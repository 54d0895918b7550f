/* What the outside finds the census by: see census.h. */
#include "census.h"

__attribute__((used)) const struct census census_mark = {
    .mark = CENSUS_MARK,
    .layout = CENSUS_LAYOUT,
    .records = &thread_records,
};
