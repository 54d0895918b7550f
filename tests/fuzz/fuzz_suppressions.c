/* Suppression files, and what they are held against. */
#include "fuzz.h"

#include "../../shim/command/escape.h"
#include "../../shim/command/suppressions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    int fd = fuzz_file(data, size, path);
    GError *error = NULL;
    struct suppressions *suppressions = suppressions_read(path, &error);
    HOLDS((suppressions == NULL) == (error != NULL));
    if (suppressions != NULL) {
        char *text = fuzz_text(data, size < 64 ? size : 64), *shown = escape_text(text);
        GPtrArray *stack = g_ptr_array_new();
        g_ptr_array_add(stack, text);
        g_ptr_array_add(stack, shown);
        suppressions_match(suppressions, "conn#1 req#2", stack, 1);
        HOLDS(g_utf8_validate(shown, -1, NULL) && strpbrk(shown, "\n\r\033") == NULL);
        g_ptr_array_unref(stack);
        g_free(shown);
        free(text);
        suppressions_free(suppressions);
    }
    g_clear_error(&error);
    close(fd);
    return 0;
}
