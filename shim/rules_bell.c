/* F9 where each worker of a pool has a condition of its own: who rings it, and what that makes current. What
 * is learnt of such conditions is bell.h's. */
#include "rules_own.h"

/* At the bottom of its loop. */
void bell_comes_back(struct thread *thread, const void *condition, const void *mutex, struct here here) {
    struct bell *bell = bell_of(condition);
    if (bell == NULL || !bell_hangs(bell, mutex, here, thread->flow.serial))
        return;
    thread->queue.handed = (struct bell_handoff){0};
    thread->queue.rung = 0;
    queue_comes_back(thread, here);
}

/* Whoever has work waits for a result; whoever has none, for some. */
void bell_falls_asleep(struct thread *thread, const void *condition, const void *mutex, struct here here) {
    struct bell *bell = bell_of(condition);
    const struct context *root = context_root_of(thread->flow.current);
    struct bell_place place = {here, 0, thread->flow.serial};
    if (queue_is_idle(thread) && queue_work_may_come() && queue_depth_of(thread, here, &place.depth))
        bell_sleeps(mutex, condition, &place);
    else if (bell != NULL && bell_hangs(bell, mutex, here, thread->flow.serial))
        bell_is_none(bell);
    else if (root != NULL && bells_may_ring())
        bell_asks(condition, atomic_load_explicit(&root->serial, memory_order_relaxed));
}

void bell_wakes_up(struct thread *thread, const void *condition, struct here here) {
    struct bell *bell = bell_of(condition);
    if (bell == NULL) {
        if (bells_may_ring() && thread->flow.current != NULL)
            bell_asks(condition, 0);
        return;
    }
    struct bell_handoff handoff = bell_wakes(bell, thread->flow.serial);
    if (handoff.work != 0)
        thread->queue.handed = (struct bell_handoff){NULL, handoff.work, handoff.kind};
    struct taking taking = {
        .thread = thread, .here = here, .handoff = {.context = handoff.context, .sure = true}};
    thread->queue.rung = handoff.kind;
    if (!queue_is_idle(thread)) {
        context_release(handoff.context);
        return;
    }
    queue_hand_to(thread, &taking);
    if (thread->depth > 0)
        frame_top(thread)->from_bell = true;
}

/* A section under bells' mutex ends: a worker has taken what it was woken up for, or something else, without
 * having waited. */
void bell_section_ends(struct thread *thread, const void *mutex, struct here here) {
    struct queue_place place = {here.site, 0};
    if (!queue_depth_of(thread, here, &place.depth))
        return;
    uint8_t rung = thread->queue.rung;
    if (rung != 0 && bell_is_under(rung, mutex)) {
        bell_exit_learn(rung, place);
        thread->queue.rung = 0;
    } else if (bell_is_exit(mutex, place)) {
        rules_thread_is_worker(thread);
        thread->queue.handed = (struct bell_handoff){0};
        queue_comes_back(thread, here);
    }
}

/* It may be a bell; or what somebody waits for who works for the same request. */
void bell_signalled(struct thread *thread, const void *condition) {
    struct bell_handoff *handed = &thread->queue.handed;
    struct bell *bell = bell_of(condition);
    if (bell != NULL)
        bell_rings(bell, flow_handed_on(&thread->flow), handed->kind);
    uint64_t asked = bell == NULL && handed->work != 0 ? bell_asked(condition) : 0;
    if (asked == 0)
        return;
    bell_judge(handed->kind, asked == handed->work, false);
    handed->work = 0;
}

/* A connection stands for its requests, as far as it was known what they would be. */
void bell_evidence(struct thread *thread, const struct context *request) {
    struct bell_handoff *handed = &thread->queue.handed;
    if (handed->work == 0 || request == NULL || context_certainty(request) == CONTEXT_IS_AMBIGUOUS)
        return;
    bool agrees = false;
    for (const struct context *node = request; node != NULL && !agrees; node = node->parent)
        agrees = context_is(node, handed->work);
    bell_judge(handed->kind, agrees, true);
    handed->work = 0;
}
