/* Dispatch frames: see frame.h. */
#include "frame.h"

#include "activity.h"
#include "coroutine.h"
#include "interruption.h"
#include "kept.h"

#include "openfile.h"
#include "rules.h"
#include "trace.h"
#include "wait.h"

#include <string.h>

/* The shallowest address at which it still holds. */
static uintptr_t edge_of(const struct frame *frame) {
    return frame != NULL && frame->comparable ? frame->edge : FRAME_OPEN_ENDED;
}

/* Whoever is seen above a handler, or a coroutine's stack, has left it. */
void frame_limit_renew(struct thread *thread) {
    const struct frame *top = frame_top(thread);
    uintptr_t outside = thread->turn == TURN_COROUTINE ? thread->stack_high : FRAME_OPEN_ENDED;
    if (thread != local.thread)
        return;
    if (thread->interruption != NULL)
        outside = interruption_limit(thread);
    frame_limit = edge_of(top) < outside ? edge_of(top) : outside;
    if (top != NULL && (top->passing != 0 || top->queued || top->away || ledger_listens(&top->ledger)))
        frame_limit = 0; /* every hook is to be noticed */
}

/* A thread's inherited context is evidence of its start only: it is nobody's base (F1, "ingress starts
 * clean"); nor is what a signal handler interrupted (F12). */
struct context *frame_base(const struct thread *thread) {
    if (thread->depth > 0)
        return thread->frames[thread->depth - 1].base;
    return thread->inherited || thread->flow.quiet ? NULL : thread->flow.current;
}

struct context *frame_base_clean(const struct thread *thread) {
    return thread->depth > 0 ? frame_base(thread) : NULL;
}

bool frame_in_doubt(const struct thread *thread) {
    const struct context *current = thread->flow.current;
    return current != NULL && current->kind == CONTEXT_AMBIGUOUS;
}

static bool is_open(const struct context *node) {
    return node != NULL && node->scoped && !context_closed(node);
}

/* How many nodes from the innermost outwards are open scopes, or values set in one. */
static uint16_t open_scopes(const struct context *context) {
    uint16_t count = 0, nodes = 0;
    for (; context != NULL && nodes < UINT16_MAX; context = context->parent) {
        nodes++;
        if (is_open(context))
            count = nodes;
        else if (context->kind != CONTEXT_VALUE || context->scoped)
            break;
    }
    return count;
}

/* The number of the innermost detour that the flow is on. Suppressed flow leads nowhere else. */
static uint64_t detour_number(const struct flow *flow) {
    const struct detour *detour = flow->detours;
    while (detour != NULL && detour->kind == DETOUR_SUPPRESS)
        detour = detour->outer;
    return detour != NULL ? detour->number : 0;
}

struct frame *frame_open(struct thread *thread, struct here wait) {
    if (thread->depth == FRAMES_DEEPEST)
        return NULL;
    struct context *base = context_retain(frame_base(thread));
    struct frame *frame = &thread->frames[thread->depth++];
    *frame = (struct frame){.wait = wait,
                            .before = context_retain(thread->flow.current),
                            .base = base,
                            .opened = flow_mark(&thread->flow),
                            .detour = detour_number(&thread->flow),
                            .open_scopes = open_scopes(thread->flow.current),
                            .edge = wait.address,
                            .limit = wait.address,
                            .comparable = thread_on_own_stack(thread, wait.address)};
    thread->woke.file = NULL;
    return frame;
}

/* Scopes that were open when the frame began, and were closed from inside it, are not gone back to. One that
 * had been closed before is another matter: work goes on in it for as long as it takes. */
static struct context *still_open(const struct frame *frame, struct context *before) {
    struct context *open = before, *node = before;
    for (uint16_t i = 0; i < frame->open_scopes && node != NULL; i++, node = node->parent)
        if (node->scoped && context_closed(node))
            open = node->parent;
    if (open != before) {
        context_retain(open);
        context_release(before);
    }
    return open;
}

static void exchange(struct context **kept, struct context *context) {
    struct context *before = *kept;
    *kept = context_retain(context);
    context_release(before);
}

/* Nor is a detour that was closed from inside: its frames go back to what was before it, which is current
 * now. */
void frame_scope_closed(struct thread *thread) {
    uint64_t number = detour_number(&thread->flow);
    for (unsigned i = 0; i < thread->depth; i++) {
        struct frame *frame = &thread->frames[i];
        if (frame->detour <= number)
            continue;
        if (frame->base == frame->before)
            exchange(&frame->base, thread->flow.current);
        exchange(&frame->before, thread->flow.current);
        frame->detour = number;
    }
}

/* E5. Where a line of a log is in doubt, so was the batch. */
static void log_written(struct thread *thread, struct frame *frame) {
    if (frame->away)
        frame_doubt(thread, frame->provenance.evidence);
    bool lost = frame->passing != 0 || frame_in_doubt(thread);
    if (lost && frame->unread)
        rules_contradicted(thread);
    frame->lost |= lost;
    if (ledger_logs(&frame->ledger, frame_habits(frame)))
        rules_contradicted(thread);
}

void frame_logs(void) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    if (frame_top(thread) != NULL)
        log_written(thread, frame_top(thread));
    thread_leave();
}

void frame_wakes_up(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    frame->tentative = true;
    frame->queued &= !frame->wary; /* what is done in it is learnt in another way */
    frame->wary = false;
    ledger_wakes_up(&frame->ledger, frame_habits(frame));
    frame_limit_renew(thread);
}

void frame_end(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    ledger_closes(&frame->ledger, frame_habits(frame), frame->tentative);
    kept_frame_ends(thread, frame);
    struct context *before = still_open(frame, frame->before), *base = frame->base;
    activity_note(thread->flow.current);
    flow_unwind(&thread->flow, frame->opened);
    thread->depth--;
    thread->woke.file = NULL;
    frame_limit_renew(thread);
    flow_become(&thread->flow, before, true);
    context_release(base);
    trace_leave(thread);
}

/* A thread that goes on with its own request was given the connection. */
static int giver_of(const struct thread *thread, const struct open_file *file) {
    int by = cell_giver(&file->cell);
    bool own = by == 0 || by == atomic_load_explicit(&thread->tid, memory_order_relaxed);
    return own && file_kind(file) == FILE_CONNECTION
               ? atomic_load_explicit(&file->accepted_by, memory_order_relaxed)
               : by;
}

void frame_woken_by(struct thread *thread, const struct open_file *file, int by) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    frame->provenance.carrier = (int)file_kind(file);
    frame->provenance.fd = file->fd;
    frame->provenance.by = by;
    trace_from(thread, &frame->provenance);
}

void frame_came_from(struct thread *thread, struct open_file *file, uint32_t generation) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    if (frame->file != file) {
        if (file_kind(file) == FILE_CONNECTION)
            kept_goes_on(thread, frame);
        frame->handed_on = frame->given = false;
    }
    frame->file = file;
    frame->generation = generation;
    frame_woken_by(thread, file, giver_of(thread, file));
}

bool frame_reported(const struct frame *frame, const struct open_file *file) {
    return frame->wait_serial != 0 &&
           atomic_load_explicit(&file->waited, memory_order_relaxed) == frame->wait_serial;
}

static void frame_next(struct thread *thread) {
    struct frame *frame = frame_top(thread);
    kept_callback_ends(thread, frame);
    activity_note(thread->flow.current);
    flow_unwind(&thread->flow, frame->opened);
    flow_become(&thread->flow, context_retain(frame->base), true);
    trace_leave(thread);
    frame->opened = flow_mark(&thread->flow);
    frame->adopted_serial = 0;
    frame->provenance.evidence = EVIDENCE_NONE;
    frame->several = frame->handed_on = frame->given = frame->away = false;
    frame->file = NULL;
    frame->passing = 0;
    frame_limit_renew(thread);
}

/* A request, or the reply to one, that the last callback read and neither answered nor left with a carrier,
 * lies in a queue of the program's own. When that is worked off, nobody sees. */
static bool left_in_queue(const struct frame *frame) {
    const struct open_file *file = frame->file;
    if (file == NULL || cell_generation(&file->cell) != frame->generation || frame->handed_on)
        return false;
    if (file_kind(file) == FILE_OUTBOUND)
        return frame->ledger.touched && frame->provenance.evidence == EVIDENCE_READ;
    return file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING);
}

void frame_reads(struct thread *thread, struct open_file *file) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL || frame->wait.address == FRAME_OPEN_ENDED)
        return;
    if (!frame_reported(frame, file)) {
        frame->queued |= frame->file != file && file_kind(file) == FILE_CONNECTION && left_in_queue(frame);
        return;
    }
    uint32_t wait = file_wait_mark(frame->wait_serial);
    uint32_t served = atomic_exchange_explicit(&file->served, wait, memory_order_relaxed);
    if (served == wait || frame->file == NULL || frame->file == file)
        return;
    frame->queued |= left_in_queue(frame);
    frame_next(thread);
}

/* Consumes the reference and returns another. */
static struct context *not_for_sure(struct thread *thread, struct context *context) {
    if (context == NULL || context->kind == CONTEXT_AMBIGUOUS)
        return context;
    struct context *doubtful = context_ambiguous(context, NULL, 0, thread->flow.serial);
    context_release(context);
    return doubtful;
}

/* Consumes the reference. */
static void adopt(struct thread *thread, struct frame *frame, struct context *context,
                  enum evidence evidence) {
    uint64_t serial = context != NULL ? atomic_load_explicit(&context->serial, memory_order_relaxed) : 0;
    bool is_value = context != NULL && context->kind == CONTEXT_VALUE;
    activity_note(thread->flow.current);
    activity_note(context);
    flow_become(&thread->flow, context, true);
    trace_adopt(thread, context, evidence);
    frame->provenance = (struct provenance){evidence, -1, -1, 0, provenance_clock()};
    frame->adopted = context;
    frame->adopted_serial = serial;
    frame->adopted_value = is_value;
    frame->passing = 0;
    frame->away = false;
}

void frame_doubt(struct thread *thread, enum evidence evidence) {
    struct context *current = thread->flow.current;
    struct frame *frame = frame_top(thread);
    if (current == NULL || frame == NULL || frame_explicit(thread))
        return;
    struct provenance provenance = frame->provenance;
    provenance.evidence = evidence;
    adopt(thread, frame, not_for_sure(thread, context_retain(current)), evidence);
    if (evidence >= EVIDENCE_READ)
        ledger_adopts(&frame->ledger, frame_habits(frame), false);
    frame->provenance = provenance;
    frame_limit_renew(thread);
}

void frame_end_all(struct thread *thread) {
    while (thread->depth > 0)
        frame_end(thread);
}

bool frame_same_wait(const struct thread *thread, const struct frame *frame, struct here wait) {
    if (!frame->comparable || !thread_on_own_stack(thread, wait.address))
        return true;
    return wait.address >= frame->wait.address || wait.site == frame->wait.site;
}

void frame_end_for_wait(struct thread *thread, struct here wait) {
    interruption_settle(thread, wait.address);
    while (thread->depth > 0) {
        const struct frame *top = frame_top(thread);
        if (top->wait.address == FRAME_OPEN_ENDED || !frame_same_wait(thread, top, wait))
            return;
        frame_end(thread);
    }
}

void frame_adopt(struct thread *thread, struct context *context, enum evidence evidence) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        frame = frame_open(thread, (struct here){FRAME_OPEN_ENDED, NULL});
    if (frame == NULL) {
        context_release(context);
        return;
    }
    if (frame->queued && evidence == EVIDENCE_EVENT)
        context = not_for_sure(thread, context);
    adopt(thread, frame, context, evidence);
    if (evidence >= EVIDENCE_READ)
        ledger_adopts(&frame->ledger, frame_habits(frame), true);
    frame_limit_renew(thread);
}

void frame_passes(struct thread *thread, struct here here) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    frame->passing = here.address;
    frame_limit_renew(thread);
}

void frame_answers_on(struct thread *thread, const struct context *request) {
    struct frame *frame = frame_top(thread);
    if (frame != NULL && frame->ledger.various && !context_descends_surely(thread->flow.current, request))
        ledger_answers_on(&frame->ledger);
}

void frame_wrote(struct thread *thread, bool answers, bool doubtful) {
    struct frame *frame = frame_top(thread);
    if (frame == NULL)
        return;
    if (answers)
        doubtful |=
            ledger_answers(&frame->ledger, frame_habits(frame), frame_is_exact(frame), frame->tentative);
    if (doubtful)
        frame_doubt(thread, frame->provenance.evidence);
    frame_limit_renew(thread);
}

/* Has the callback left the work that was adopted, by closing a scope of it? What it opened then is that
 * work's next step, and nobody else's (`await` does so). */
static bool left_adopted(const struct thread *thread, const struct frame *frame) {
    if (frame->adopted_serial == 0 || frame->adopted_value)
        return false;
    return !context_is(frame->adopted, frame->adopted_serial) ||
           !context_descends(thread->flow.current, frame->adopted);
}

bool frame_explicit(const struct thread *thread) {
    if (thread->depth == 0)
        return flow_explicit(&thread->flow, (struct flow_mark){0});
    const struct frame *frame = &thread->frames[thread->depth - 1];
    const struct detour *detour = thread->flow.detours;
    bool attached = detour != NULL && detour->number > frame->opened.detours;
    return attached || (flow_explicit(&thread->flow, frame->opened) && !left_adopted(thread, frame));
}

/* A poll for one descriptor and its read in a function of their own are a read with a time limit: what was
 * read goes on in their caller, as if the read alone had opened the frame. */
static bool goes_on(const struct thread *thread, const struct frame *frame) {
    return frame_waits_alone(frame) && frame->provenance.evidence >= EVIDENCE_READ && thread->depth == 1;
}

/* Its loop goes on at a shallower depth than that of its wait, as it has before. When callbacks have run,
 * that is a later phase, with whatever they have left for it. */
static void frame_crosses(struct thread *thread, struct frame *frame) {
    frame->edge = frame->limit;
    frame_limit_renew(thread);
    if (frame->file == NULL)
        return;
    frame->later = true;
    if (frame->mixed || frame->queued)
        frame_doubt(thread, EVIDENCE_EVENT);
}

static void frame_leave(struct thread *thread, uintptr_t here) {
    struct frame *frame = &thread->frames[thread->depth - 1];
    thread->left_frame = true;
    if (thread->depth == 1 && frame->before == frame->base) {
        thread->left_loop = frame->loop;
        thread->left_at = here;
    }
    if (!goes_on(thread, frame)) {
        frame_end(thread);
        return;
    }
    frame->wait = (struct here){FRAME_OPEN_ENDED, NULL};
    frame->loop = NULL; /* and what is learnt of one */
    frame->away = false;
    ledger_leaves(&frame->ledger);
    frame->wait_serial = 0;
    frame->edge = frame->limit = FRAME_OPEN_ENDED;
    frame_limit_renew(thread);
}

static void frame_passed(struct thread *thread) {
    struct frame *top = frame_top(thread);
    if (top == NULL || (top->passing == 0 && !top->ledger.fresh))
        return;
    bool passed = top->passing != 0;
    top->ledger.fresh = false;
    top->passing = 0;
    frame_limit_renew(thread);
    if (passed)
        frame_doubt(thread, top->provenance.evidence);
}

static void frame_asked_away(void) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    const struct frame *top = frame_top(thread);
    if (top != NULL && top->away)
        frame_doubt(thread, top->provenance.evidence);
    thread_leave();
}

/* A question is no hook: whoever has just read goes on with that, and may ask, as deep as he likes. */
void frame_asked_slow(uintptr_t here) {
    struct thread *thread = local.thread;
    const struct frame *top = thread != NULL ? frame_top(thread) : NULL;
    if (thread_handler != 0) /* a signal handler's questions are nobody's */
        return;
    if (top == NULL || here > top->passing || !thread_on_own_stack(thread, here))
        frame_settle_slow(here);
    if (top != NULL && top->away)
        frame_asked_away();
}

void frame_settle_slow(uintptr_t here) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    interruption_settle(thread, here);
    coroutine_settle(thread, here);
    frame_passed(thread);
    while (thread->depth > 0 && thread_on_own_stack(thread, here)) {
        struct frame *top = &thread->frames[thread->depth - 1];
        if (!top->comparable || here <= top->edge)
            break;
        if (here <= top->limit)
            frame_crosses(thread, top);
        else
            frame_leave(thread, here);
    }
    thread_leave();
}
