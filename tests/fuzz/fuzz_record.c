/* Records of leaks, and the whole report of them. */
#include "fuzz.h"

#include "../../shim/command/command.h"
#include "../../shim/command/record_file.h"

/* The command's, which would write to stderr. */
void command_complain(const char *subject, const char *format, ...) {
    (void)subject;
    (void)format;
}

int command_output_done(int status) {
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    GError *error = NULL;
    struct record *record = record_of_file(path, &error);
    HOLDS((record == NULL) == (error != NULL));
    if (record != NULL)
        record_free(record);
    if (error == NULL)
        leaks_report(path, NULL, FALSE, &error);
    g_clear_error(&error);
    close(fd);
    return 0;
}
