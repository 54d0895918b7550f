/* CTXSHIM_OPTIONS, and the patterns in it. */
#include "fuzz.h"

#include "../../shim/glob.h"
#include "../../shim/options.h"

static size_t warned;

static void warn(const char *what, const char *of) {
    warned += strlen(what) + (of != NULL ? strlen(of) : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    options_read(text, warn);
    HOLDS(strnlen(options.annotate, sizeof options.annotate) < sizeof options.annotate);
    HOLDS(strnlen(options.record_path, sizeof options.record_path) < sizeof options.record_path);
    for (const char *word = options.annotate; *word != '\0';) {
        size_t length = strcspn(word, ",");
        glob_matches(word, length, "/var/log/some.log");
        word += length + (word[length] == ',');
    }
    free(text);
    return 0;
}
