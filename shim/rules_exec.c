/* F14: an executed program gets the context that is current, in a copy of the environment that it is given:
 * the program's own is never changed, and nothing is added to one that does not preload the shim.
 *
 * CTXSHIM_CONTEXT always says what is current, so one that came in and is current no longer is left out. A
 * TRACEPARENT that the program has changed is the program's; the one that came in goes on with the span id of
 * what is current, in work that descends from it. Where none came in, the option `otel` has one made
 * (identity.h). A BAGGAGE that came in and was lost on the way is given back.
 *
 * A vfork child runs in its parent's memory, on its parent's record: nothing here takes the guard or writes
 * anything but the caller's stack. The program's strings are looked at through the kernel (H22). */
#include "../ctxstore/kernel.h"
#include "identity.h"
#include "options.h"
#include "rules.h"

#include <string.h>

enum { VARIABLES_AT_MOST = 1024, ADDED_AT_MOST = 3, PAGE = 4096, PAGES_KNOWN = 4 };

/* Pages of the program's memory that are known to be readable. */
struct reader {
    uintptr_t pages[PAGES_KNOWN];
    unsigned next;
};

static bool readable(struct reader *reader, const void *address) {
    uintptr_t page = (uintptr_t)address / PAGE;
    char byte;
    for (unsigned i = 0; i < PAGES_KNOWN; i++)
        if (reader->pages[i] == page)
            return page != 0;
    if (!kernel_peek(&byte, address, sizeof byte))
        return false;
    reader->pages[reader->next++ % PAGES_KNOWN] = page;
    return true;
}

/* Does the string begin with this? Returns behind it, or NULL. */
static const char *behind(struct reader *reader, const char *string, const char *start) {
    for (; *start != '\0'; start++, string++)
        if (!readable(reader, string) || *string != *start)
            return NULL;
    return string;
}

static bool is_same(struct reader *reader, const char *string, const char *other) {
    const char *end = behind(reader, string, other);
    return end != NULL && readable(reader, end) && *end == '\0';
}

static bool is_list_end(char c) {
    return c == '\0' || c == ':' || c == ' ';
}

/* Is the shim's file among those that are preloaded? */
static bool names_library(struct reader *reader, const char *list) {
    while (true) {
        const char *name = list;
        for (; readable(reader, list) && !is_list_end(*list); list++)
            name = *list == '/' ? list + 1 : name;
        if (!readable(reader, list))
            return false;
        const char *end = behind(reader, name, incoming.library);
        if (end == list)
            return true;
        if (*list++ == '\0')
            return false;
    }
}

/* What an environment has. */
struct found {
    size_t count;
    const char *context, *trace; /* values; NULL: none */
    bool preloads, baggage;
};

static void look_at(struct reader *reader, const char *string, struct found *found) {
    const char *value = behind(reader, string, PRELOAD_VARIABLE);
    if (value != NULL)
        found->preloads = names_library(reader, value);
    else if ((value = behind(reader, string, CONTEXT_VARIABLE)) != NULL)
        found->context = value;
    else if ((value = behind(reader, string, TRACE_VARIABLE)) != NULL)
        found->trace = value;
    else if (behind(reader, string, BAGGAGE_VARIABLE) != NULL)
        found->baggage = true;
}

/* False: not to be read to its end. */
static bool look(struct reader *reader, char *const *environment, struct found *found) {
    *found = (struct found){0};
    for (; found->count < VARIABLES_AT_MOST; environment++, found->count++) {
        if (!readable(reader, environment) || !readable(reader, (const char *)(environment + 1) - 1))
            return false;
        if (*environment == NULL)
            return true;
        look_at(reader, *environment, found);
    }
    return false;
}

/* The span that is current, in the trace that came in or in its own; without one, what came in goes on. */
static void trace_write(const struct context *current, char *text) {
    struct traceparent parent = incoming.parent;
    struct identity identity;
    if (identity_of(current, &identity))
        identity_format(&identity, &parent);
    else if (!incoming.traced)
        return;
    memcpy(text, TRACE_VARIABLE, strlen(TRACE_VARIABLE));
    traceparent_format(&parent, text + strlen(TRACE_VARIABLE));
}

/* Leaves "" for a context that has no operations. */
static void context_write(const struct context *current, char *text) {
    char *value = text + strlen(CONTEXT_VARIABLE);
    environment_write(current, value);
    if (*value != '\0')
        memcpy(text, CONTEXT_VARIABLE, strlen(CONTEXT_VARIABLE));
}

/* Is what the child would get as its context what it ought to? */
static bool is_right_context(struct reader *reader, const struct found *found, const char *text) {
    if (*text == '\0' || found->context == NULL)
        return *text == '\0' && found->context == NULL;
    return is_same(reader, found->context, text + strlen(CONTEXT_VARIABLE));
}

/* Is the TRACEPARENT that the child would get the one that came in? */
static bool is_incoming_trace(struct reader *reader, const struct found *found) {
    return found->trace == NULL ||
           (incoming.trace[0] != '\0' && is_same(reader, found->trace, incoming.trace));
}

bool rules_exec_wanted(void) {
    return options.environment && incoming.library != NULL;
}

void rules_exec_begin(struct parting *parting, char *const *environment) {
    struct reader reader = {0};
    struct found found;
    parting->slots = 1;
    parting->changes = parting->baggage = false;
    parting->context[0] = parting->trace[0] = '\0';
    if (!rules_exec_wanted() || environment == NULL || !look(&reader, environment, &found) || !found.preloads)
        return;
    const struct context *current = local.thread != NULL ? flow_handed_on(&local.thread->flow) : NULL;
    bool descends = current != NULL && incoming.root != NULL && context_descends(current, incoming.root);
    if (current != NULL)
        context_write(current, parting->context);
    if (incoming.traced ? descends && is_incoming_trace(&reader, &found)
                        : options.otel && found.trace == NULL)
        trace_write(current, parting->trace);
    parting->baggage = descends && incoming.baggage[0] != '\0' && !found.baggage;
    parting->changes =
        !is_right_context(&reader, &found, parting->context) || parting->trace[0] != '\0' || parting->baggage;
    if (parting->changes)
        parting->slots = found.count + ADDED_AT_MOST + 1;
}

char *const *rules_exec_environment(const struct parting *parting, char *const *environment, char **copy) {
    struct reader reader = {0};
    char **to = copy, **end = copy + parting->slots - ADDED_AT_MOST - 1;
    if (!parting->changes)
        return environment;
    for (; to < end && *environment != NULL; environment++) {
        bool replaced = behind(&reader, *environment, CONTEXT_VARIABLE) != NULL ||
                        (parting->trace[0] != '\0' && behind(&reader, *environment, TRACE_VARIABLE) != NULL);
        if (!replaced)
            *to++ = *environment;
    }
    if (parting->context[0] != '\0')
        *to++ = (char *)(uintptr_t)parting->context;
    if (parting->trace[0] != '\0')
        *to++ = (char *)(uintptr_t)parting->trace;
    if (parting->baggage)
        *to++ = incoming.baggage;
    *to = NULL;
    return copy;
}
