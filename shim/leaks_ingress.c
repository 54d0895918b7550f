/* Contaminated ingress: a connection, a request or a work item begins while another request's context, or an
 * unclosed scope of one, is current.
 *
 * A scope that a server runs its whole loop in is no request's, and means nothing here; nor does a callback
 * that serves several connections one after the other without a scope: it is left each time. */
#include "leaks.h"

#include "frame.h"
#include "text.h"

enum { TEXT_ROOM = 1024, ABOUT_ROOM = 300 };

/* The nearest root that the shim has made: of a connection, a request, a datagram. One of the program's own
 * may be its loop's. */
static const struct context *request_root(const struct context *context) {
    while (context != NULL && context->kind != CONTEXT_ROOT)
        context = context->parent;
    return context != NULL && !context->scoped ? context : NULL;
}

/* Where what is current was opened: its innermost open scope, or the attach that made it current. */
static uint16_t site_of_current(const struct thread *thread) {
    const struct context *node = thread->flow.current;
    for (; node != NULL && node->kind != CONTEXT_ROOT; node = node->parent)
        if (node->scoped && !context_closed(node))
            return node->site;
    return thread->flow.detours != NULL ? thread->flow.detours->site : 0;
}

static void note(const struct context *other, uint16_t site, const struct context *fresh, const char *what) {
    char operations[TEXT_ROOM] = "", about[ABOUT_ROOM], name[ABOUT_ROOM / 2] = "";
    struct text text = text_in(about, sizeof about);
    context_format(other, operations, sizeof operations);
    context_format(fresh, name, sizeof name);
    text_put(&text, what);
    text_put(&text, " inside it");
    if (name[0] != '\0') {
        text_put(&text, ": ");
        text_put(&text, name);
    }
    text_end(&text);
    leaks_note(
        &(struct leak){.kind = LEAK_CONTAMINATED, .site = site, .operations = operations, .about = about});
}

void leaks_ingress_slow(struct thread *thread, const struct context *fresh, const char *what) {
    const struct context *current = thread->flow.current, *other = request_root(current);
    const struct context *own = request_root(fresh);
    if (fresh == NULL)
        return;
    if (own != NULL && request_root(own->parent) != NULL && request_root(frame_base(thread)) != NULL) {
        note(frame_base(thread), site_of_current(thread), fresh, what);
        return;
    }
    if (other == NULL || own == NULL || !frame_explicit(thread) || context_descends(fresh, other) ||
        context_descends(current, own))
        return;
    note(current, site_of_current(thread), fresh, what);
}

/* The same call, at the same depth, has opened one that is still open: that is no request inside another, but
 * one that nobody has closed. */
void leaks_root_slow(struct thread *thread, struct here here) {
    const struct detour *detour = thread->flow.detours;
    for (; detour != NULL; detour = detour->outer)
        if (detour->kind == DETOUR_ROOT && detour->stack == (uint32_t)here.address &&
            site_address(detour->site) == here.site)
            break;
    if (detour != NULL)
        note(thread->flow.current, detour->site, NULL, "a new request began");
}
