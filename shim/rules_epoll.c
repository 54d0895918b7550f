/* epoll: F2, and E1, E6, E8.
 *
 * F2  An epoll registration without a better context of its own carries the context it was made in.
 * E6  Asking anew to be told when an outbound connection can be written says whose it is now, as a write
 * does: a pooled one is taken for the next request so. Where a connect or a write is unfinished, that is
 * known already, and who asks may be a loop that does so for all its callbacks at once. E1  An exact loop
 * gets one event a wait, by asking the kernel for one: its semantics stay its own, and level-triggered
 * descriptors take turns. A poll of it with zero timeout, while work is left (E2), is told "nothing ready"
 * without asking. E8  epoll_data is looked up in reverse (interest.h). */
#include "kept.h"
#include "wait.h"

void rules_epoll_created(int fd) {
    rules_fd_created(fd);
    struct thread *thread = fd >= 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct open_file *file = file_open(fd, FILE_EPOLL);
    if (file != NULL)
        file->set = interest_set_new();
    thread_leave();
}

/* --- registrations ------------------------------------------------------------------------------- */

/* Only what has no better context of its own keeps the one it is registered in. */
static struct context *registration_context(struct thread *thread, struct open_file *file) {
    if (file_kind(file) != FILE_PLAIN && file_kind(file) != FILE_PIPE)
        return NULL;
    kept_hands_on(thread, file);
    return flow_capture(&thread->flow);
}

static bool may_arm(const struct open_file *file) {
    return file != NULL && file_kind(file) == FILE_OUTBOUND && !file_has(file, FILE_UNFINISHED);
}

/* E0: an answer may begin so, too. */
static bool may_answer(const struct open_file *file) {
    return file != NULL && file_kind(file) == FILE_CONNECTION && file_has(file, FILE_OUTSTANDING);
}

static void arm(struct thread *thread, struct registration *registration, uint32_t before, uint32_t now) {
    struct open_file *file = registration->file;
    if (file == NULL || (before & EPOLLOUT) || !(now & EPOLLOUT))
        return;
    if (may_answer(file))
        kept_arms(thread, file);
    if (!may_arm(file))
        return;
    registration->generation = cell_generation(&file->cell);
    registration->before = cell_copy(&file->cell, registration->generation);
    cell_put(&file->cell, registration->generation, flow_capture(&thread->flow));
    kept_hands_on(thread, file);
}

static void add(struct thread *thread, struct registration *registration, int fd,
                const struct epoll_event *event) {
    registration->file = file_open_any(fd);
    if (registration->file == NULL)
        return;
    interest_add(registration->passage.file->set, fd, registration->file, event,
                 registration_context(thread, registration->file));
    registration->added = true;
}

/* Before the real call, since another thread may get the event before that returns. The program's
 * pointer may be bad: it is looked at through the kernel (H22). */
struct registration rules_register_begin(int epoll, int operation, int fd, const struct epoll_event *event,
                                         struct here here) {
    struct registration registration = {0};
    struct open_file *file = file_at(epoll);
    frame_settle(here);
    if (file == NULL || file_kind(file) != FILE_EPOLL || file->set == NULL || fd < 0)
        return registration;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return registration;
    struct epoll_event copy;
    registration.passage =
        (struct passage){.file = file, .generation = cell_generation(&file->cell), .here = here};
    bool adds = operation == EPOLL_CTL_ADD;
    registration.file = adds ? NULL : file_at(fd);
    if ((adds ||
         (operation == EPOLL_CTL_MOD && (may_arm(registration.file) || may_answer(registration.file)))) &&
        thread_peek(&copy, event, sizeof copy)) {
        if (adds)
            add(thread, &registration, fd, &copy);
        arm(thread, &registration, adds ? 0 : interest_asks(file->set, fd, registration.file), copy.events);
    }
    thread_leave();
    return registration;
}

static void register_done(struct thread *thread, const struct registration *registration, int operation,
                          int fd, const struct epoll_event *event) {
    struct interest_set *set = registration->passage.file->set;
    if (operation == EPOLL_CTL_MOD)
        interest_change(set, fd, registration->file, event, registration_context(thread, registration->file));
    else if (operation == EPOLL_CTL_DEL)
        interest_remove(set, fd, registration->file);
    else if (file_kind(registration->file) == FILE_EPOLL)
        file_mark(registration->file, FILE_NESTED, true);
}

void rules_register_end(const struct registration *registration, int operation, int fd,
                        const struct epoll_event *event, int result) {
    const struct passage *passage = &registration->passage;
    if (passage->file == NULL || registration->file == NULL)
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    bool alive = cell_generation(&passage->file->cell) == passage->generation;
    if (alive && result == 0)
        register_done(thread, registration, operation, fd, event);
    else if (alive && registration->added)
        interest_remove(passage->file->set, fd, registration->file);
    if (result != 0 && registration->generation != 0)
        cell_put(&registration->file->cell, registration->generation, context_retain(registration->before));
    context_release(registration->before);
    thread_leave();
}

/* --- waits --------------------------------------------------------------------------------------- */

struct wait rules_wait_begin(int epoll, int max_events, long milliseconds, struct here here) {
    struct wait wait = {.max_events = max_events};
    struct open_file *file = file_at(epoll);
    frame_settle(here);
    if (milliseconds != 0)
        thread_bury();
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return wait;
    if (file == NULL || file_kind(file) != FILE_EPOLL || file->set == NULL) {
        frame_end_for_wait(thread, here); /* what it reports is not known, but that it waits is */
        thread_leave();
        return wait;
    }
    wait = (struct wait){.thread = thread,
                         .epoll = file,
                         .generation = cell_generation(&file->cell),
                         .here = here,
                         .loop = loop_of(thread, file, here),
                         .max_events = max_events};
    file_drop_deferred();
    thread->left_frame = false;
    wait_begins(thread, &wait, milliseconds);
    if (loop_is_exact(wait.loop)) {
        wait.max_events = max_events > 1 ? 1 : max_events;
        wait.quiet = wait.poll && max_events > 0 && wait_has_work(thread, &wait);
    }
    thread_leave();
    if (milliseconds != 0)
        thread_bury();
    return wait;
}

void rules_wait_end(const struct wait *wait, const struct epoll_event *events, int count) {
    struct thread *thread = wait->thread != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct rest rest = wait_continues(thread, wait, count);
    if (count > 0 && cell_generation(&wait->epoll->cell) == wait->generation) {
        struct batch batch = {0};
        wait_reports(thread);
        interest_reports(wait->epoll->set, thread->waits);
        for (int i = 0; i < count; i++) {
            struct sighting sighting = interest_find(wait->epoll->set, &events[i]);
            batch_see(thread, &batch, &sighting, events[i].events);
        }
        wait_dispatch(thread, wait, &batch, rest);
    } else {
        context_release(rest.context);
    }
    thread_leave();
}
