/* CTXSHIM_CONTEXT, TRACEPARENT and BAGGAGE: a line each in the input. What is read can be written, and read
 * again to the same. */
#include "fuzz.h"

#include "../../shim/environment.h"
#include "../../shim/thread.h"

/* Start-up is not what is fuzzed. */
_Atomic uint32_t *process_mine;
bool process_set_right(void) {
    return false;
}
struct thread *thread_enter_slow(uintptr_t here) {
    (void)here;
    return NULL;
}

static void same_again(const char *text) {
    char once[ENVIRONMENT_TEXT], twice[ENVIRONMENT_TEXT];
    struct context *context = environment_read(text);
    if (context == NULL)
        return;
    environment_write(context, once);
    HOLDS(strnlen(once, sizeof once) < sizeof once);
    context_release(context);
    if (once[0] == '\0')
        return;
    context = environment_read(once);
    HOLDS(context != NULL);
    environment_write(context, twice);
    if (strcmp(once, twice) != 0)
        fprintf(stderr, "once  %s\ntwice %s\n", once, twice);
    HOLDS(strcmp(once, twice) == 0);
    context_release(context);
}

static void trace(const char *text) {
    struct traceparent parent;
    char formatted[TRACEPARENT + 1];
    if (!traceparent_parse(text, &parent))
        return;
    traceparent_format(&parent, formatted);
    HOLDS(strlen(formatted) == TRACEPARENT && strncmp(formatted + 2, text + 2, TRACEPARENT - 4) == 0);
}

static void baggage(const char *text) {
    static const size_t rooms[] = {1, 2, 17, BAGGAGE_ROOM};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        char *to = malloc(rooms[i]), *again = malloc(rooms[i]);
        size_t length = baggage_copy(text, to, rooms[i]);
        HOLDS(length < rooms[i] && strlen(to) == length);
        HOLDS(baggage_copy(to, again, rooms[i]) == length && strcmp(to, again) == 0);
        free(again);
        free(to);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const kinds[])(const char *) = {same_again, trace, baggage};
    size_t live = context_live();
    char *text = fuzz_text(data, size), *line = text;
    for (size_t kind = 0; kind < 3 && line != NULL; kind++) {
        char *given = strsep(&line, "\n");
        char *alone = strdup(given); /* of its exact size */
        kinds[kind](alone);
        free(alone);
    }
    free(text);
    HOLDS(context_live() == live);
    return 0;
}
