/* The environment as a carrier: see environment.h. */
#include "environment.h"

#include "thread.h"

#include <stdint.h>
#include <string.h>

enum { DOUBT = 2 }; /* room for ",?" */

struct incoming incoming;

const char *environment_get(char *const *environment, const char *variable) {
    size_t length = strlen(variable);
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, variable, length) == 0)
            return *environment + length;
    return NULL;
}

/* --- writing --------------------------------------------------------------------------------------- */

/* A question mark in a name is not the one that means a doubt. */
static size_t encoded_length(unsigned char byte) {
    return byte == '?' ? 3 : percent_length(byte);
}

static void count_byte(void *length, unsigned char byte) {
    *(size_t *)length += encoded_length(byte);
}

/* Of one element with the comma after it; 0: it shows nothing. */
static size_t element_length(const struct context *node) {
    size_t length = 0;
    if (node->kind == CONTEXT_AMBIGUOUS)
        return node->parent != NULL ? DOUBT : 0;
    return context_name(node, count_byte, &length) ? length + 1 : 0;
}

struct writing {
    char *at, *end;
};

/* A name may have been changed since it was measured: no byte goes beyond its place. */
static void write_byte(void *to, unsigned char byte) {
    struct writing *writing = to;
    if ((size_t)(writing->end - writing->at) < encoded_length(byte)) {
        writing->end = writing->at;
        return;
    }
    if (byte == '?')
        memcpy(writing->at, "%3F", 3);
    else
        percent_put(writing->at, byte);
    writing->at += encoded_length(byte);
}

static void write_element(const struct context *node, char *at, size_t length) {
    struct writing writing = {at, at + length};
    if (node->kind == CONTEXT_AMBIGUOUS)
        *at = '?';
    else
        context_name(node, write_byte, &writing);
}

/* From the innermost outwards, so from the end. What is left out was innermost; a doubt among it stays. */
void environment_write(const struct context *context, char text[ENVIRONMENT_TEXT]) {
    size_t total = 0;
    bool doubt = false;
    for (const struct context *node = context; node != NULL; node = node->parent)
        total += element_length(node);
    for (; context != NULL && total + DOUBT > ENVIRONMENT_TEXT; context = context->parent) {
        total -= element_length(context);
        doubt = doubt || context->kind == CONTEXT_AMBIGUOUS;
    }
    doubt = doubt && (context == NULL || context->kind != CONTEXT_AMBIGUOUS); /* it need not be said twice */
    size_t end = total;
    memset(text, '-', total);
    memcpy(text + (total > 0 ? total - 1 : 0), doubt ? ",?" : "", doubt ? sizeof ",?" : 1);
    for (const struct context *node = context; node != NULL; node = node->parent) {
        size_t length = element_length(node);
        if (length == 0 || length > end)
            continue;
        if (end < total)
            text[end - 1] = ',';
        end -= length;
        write_element(node, text + end, length - 1);
    }
}

/* --- reading --------------------------------------------------------------------------------------- */

/* The next element's context (a reference), which takes over the one to `parent`; NULL: none, and that to
 * `parent` is the caller's still. */
static struct context *element_read(struct context *parent, const char *text, size_t length) {
    char name[ENVIRONMENT_TEXT];
    if (parent != NULL && length == 1 && *text == '?') {
        struct context *doubtful = context_ambiguous(parent, NULL, 0, 0);
        if (doubtful != NULL)
            context_release(parent);
        return doubtful;
    }
    size_t size = percent_decode(text, length, name, sizeof name - 1);
    if (size == SIZE_MAX)
        return NULL;
    if (parent != NULL)
        return context_operation(parent, name, size, 0);
    name[size] = '\0';
    struct context *root = context_root(NULL, "", 0, 0);
    if (root == NULL || context_rename(root, name) == 0)
        return root;
    context_release(root);
    return NULL;
}

struct context *environment_read(const char *text) {
    struct context *context = NULL;
    if (*text == '\0' || strnlen(text, ENVIRONMENT_TEXT) == ENVIRONMENT_TEXT)
        return NULL;
    while (true) {
        size_t length = strcspn(text, ",");
        struct context *inner = element_read(context, text, length);
        if (inner == NULL) {
            context_release(context);
            return NULL;
        }
        context = inner;
        if (text[length] == '\0')
            return context;
        text += length + 1;
    }
}

/* --- start-up -------------------------------------------------------------------------------------- */

static struct context *trace_root(const struct traceparent *parent) {
    char name[sizeof "trace#" + TRACE_ID] = "trace#";
    memcpy(name + strlen(name), parent->trace_id, TRACE_ID);
    return environment_read(name);
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void environment_start(char *const *environment, const char *library) {
    const char *context = environment_get(environment, CONTEXT_VARIABLE);
    const char *trace = environment_get(environment, TRACE_VARIABLE);
    const char *baggage = environment_get(environment, BAGGAGE_VARIABLE);
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    incoming.library = file_name(library);
    incoming.traced = trace != NULL && traceparent_parse(trace, &incoming.parent);
    incoming.root = context != NULL ? environment_read(context) : NULL;
    if (incoming.root == NULL && incoming.traced)
        incoming.root = trace_root(&incoming.parent);
    if (trace != NULL && incoming.traced && strlen(trace) == TRACEPARENT)
        memcpy(incoming.trace, trace, TRACEPARENT + 1);
    if (baggage != NULL) {
        size_t name = strlen(BAGGAGE_VARIABLE);
        memcpy(incoming.baggage, BAGGAGE_VARIABLE, name);
        if (baggage_copy(baggage, incoming.baggage + name, BAGGAGE_ROOM) == 0)
            incoming.baggage[0] = '\0';
    }
    flow_become(&thread->flow, context_retain(incoming.root), true);
    thread_leave();
}
