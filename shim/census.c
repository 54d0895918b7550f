/* The census: see census.h. */
#include "census.h"

__attribute__((used)) const struct census census_of_shim = {
    .mark = CENSUS_MARK,
    .layout = CENSUS_LAYOUT,
    .threads = &thread_records,
    .contexts = &context_nodes,
    .value_contexts = &context_value_nodes,
    .files = &open_files,
};
