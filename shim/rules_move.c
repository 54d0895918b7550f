/* splice, tee, vmsplice, sendfile: bytes that move from one descriptor to another. What is read adopts, as by
 * any other call, and what is written is of what was read: the context that it has is only known after the
 * call, so that whoever reads it from a pipe meanwhile finds nobody's. */
#include "rules_own.h"

static struct context *captured(void) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return NULL;
    struct context *context = flow_capture(&thread->flow);
    thread_leave();
    return context;
}

/* Consumes the reference. */
static void written_is_of(const struct passage *to, struct context *context) {
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return; /* then there is no reference either */
    if (passage_alive(to) && file_kind(to->file) == FILE_PIPE && to->ticket != 0)
        mailbox_rewrite(to->file->outbox, to->ticket, context);
    else if (passage_alive(to) && file_kind(to->file) == FILE_OUTBOUND)
        cell_put(&to->file->cell, to->generation, context);
    else
        context_release(context);
    thread_leave();
}

struct movement rules_move_begin(int from, int to, bool blocks, bool copies, struct here here) {
    struct movement movement = {.from = rules_wait_for_bytes(from, blocks, here)};
    movement.from.peek = copies;
    movement.to = rules_write_begin(to, (struct outgoing){0}, here);
    if (movement.from.file != NULL && movement.to.file != NULL)
        written_is_of(&movement.to, NULL);
    return movement;
}

struct movement rules_gift_begin(int fd, struct here here) {
    struct open_file *file = file_at(fd);
    bool reads = file != NULL && file_kind(file) == FILE_PIPE && file->outbox == NULL;
    if (reads)
        return (struct movement){.from = rules_wait_for_bytes(fd, true, here)};
    return (struct movement){.to = rules_write_begin(fd, (struct outgoing){0}, here)};
}

void rules_move_end(const struct movement *movement, long result, size_t asked) {
    rules_read_end(&movement->from, result, NULL, 0);
    if (movement->to.file == NULL)
        return;
    if (movement->from.file != NULL && result > 0)
        written_is_of(&movement->to, captured());
    rules_write_end(&movement->to, result, result >= 0 ? (size_t)result : asked, NULL);
}
