/* Core files, as `ctxshim ps` and `ctxshim leaks` look into them. */
#include "fuzz.h"

#include "../../shim/command/record_file.h"
#include "../../shim/command/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    GError *error = NULL;
    struct target *target = target_core(path, &error);
    HOLDS((target == NULL) == (error != NULL));
    if (target != NULL) {
        target_tasks(target);
        struct census *census = snapshot_find(target, &error);
        if (census != NULL)
            g_array_unref(snapshot_take(target, census));
        HOLDS((census == NULL) == (error != NULL));
        g_free(census);
        target_free(target);
    }
    g_clear_error(&error);
    close(fd);
    return 0;
}
