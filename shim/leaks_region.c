/* The region that leaks are kept in (record.h): memory, or a file. */
#include "leaks_region.h"

#include "../ctxstore/kernel.h"
#include "leaks.h"
#include "mapfile.h"
#include "options.h"
#include "process.h"
#include "text.h"

#include <errno.h>
#include <time.h>

enum { CHUNK = 1 << 16 };

struct record_header *leaks_region;
bool leaks_recorded;

/* So many bytes of it have their space; under the same lock as the entries. */
static uint64_t ready;

uint64_t leaks_clock(void) {
    struct timespec time = {0};
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* A file of its own for each process. NULL: there is none. */
static void *file_map(void) {
    long fd = mapfile_make_own(options.record_path, RECORD_SIZE);
    void *memory = fd >= 0 ? mapfile_map(fd, RECORD_SIZE, CHUNK) : NULL;
    if (fd >= 0)
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return memory;
}

/* Where no file can be made, memory has to do, and the process prints its report itself. */
static void *region_map(void) {
    void *memory = options.record_path[0] != '\0' ? file_map() : NULL;
    leaks_recorded = memory != NULL;
    ready = memory != NULL ? CHUNK : RECORD_SIZE;
    return memory != NULL ? memory : kernel_map(RECORD_SIZE);
}

bool leaks_region_begin(void) {
    struct record_header *region = region_map();
    if (region == NULL)
        return false;
    *region = (struct record_header){.mark = RECORD_MARK,
                                     .version = RECORD_VERSION,
                                     .pid = process_pid(),
                                     .size = RECORD_SIZE,
                                     .started = leaks_clock(),
                                     .leaks_after = (uint32_t)options.leaks_after};
    kernel_call(SYS_readlink, (long)"/proc/self/exe", (long)region->exe, RECORD_EXE - 1, 0, 0, 0);
    atomic_store_explicit(&region->used, sizeof *region, memory_order_release);
    leaks_region = region;
    return true;
}

/* Is there space up to here? */
static bool is_ready(uint64_t end) {
    while (end > ready && mapfile_take((char *)leaks_region + ready, CHUNK))
        ready += CHUNK;
    return end <= ready;
}

void *leaks_entry_begin(size_t size, enum record_type type) {
    uint64_t used = atomic_load_explicit(&leaks_region->used, memory_order_relaxed);
    size = (size + 7) / 8 * 8;
    if (used + size > RECORD_SIZE || !is_ready(used + size)) {
        atomic_fetch_add_explicit(&leaks_region->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    struct record_entry *entry = (struct record_entry *)((char *)leaks_region + used);
    *entry = (struct record_entry){(uint32_t)size, type};
    return entry;
}

/* A handler may have forked, and there is another region now. */
void leaks_entry_end(const struct record_entry *entry) {
    uint64_t used = atomic_load_explicit(&leaks_region->used, memory_order_relaxed);
    if ((const char *)entry == (const char *)leaks_region + used)
        atomic_fetch_add_explicit(&leaks_region->used, entry->size, memory_order_release);
}
