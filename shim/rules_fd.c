/* The life of descriptors (H4, H5, H6, F15): when an open file's memory begins, is shared and ends. */
#include "rules.h"

/* A vfork child closes its parent's descriptor *numbers*, in its parent's memory (H4). */
static bool leave_alone(void) {
    return !process_check() || process_is_borrowed();
}

void rules_fd_created(int fd) {
    if (file_at(fd) == NULL || leave_alone())
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL) {
        file_drop_later(file_detach(fd));
        return;
    }
    file_created(fd);
    thread_leave();
}

/* The slot is emptied before the real close: afterwards the number may already be another thread's. The file
 * is noted meanwhile: close is a cancellation point, and may never come back. */
struct open_file *rules_fd_closing(int fd) {
    if (file_at(fd) == NULL || leave_alone())
        return NULL;
    struct thread *thread = thread_enter();
    struct open_file *file = file_detach(fd);
    if (thread == NULL)
        return file;
    file_drop(thread->closing);
    thread->closing = file;
    thread_leave();
    return file;
}

void rules_fd_closed(int fd, struct open_file *file, bool still_open) {
    if (file == NULL)
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL) {
        file_drop_later(file);
        return;
    }
    bool noted = thread->closing == file; /* else a handler's close in between has dropped it */
    if (noted)
        thread->closing = NULL;
    if (noted && still_open)
        file_put_back(fd, file);
    else if (noted)
        file_drop(file);
    file_drop_deferred();
    thread_leave();
}

void rules_fd_range_closing(unsigned first, unsigned last) {
    if (leave_alone())
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    file_closed_range(first, last);
    thread_leave();
}

void rules_fd_duplicated(int fd, int copy) {
    if (copy < 0 || (file_at(fd) == NULL && file_at(copy) == NULL) || leave_alone())
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    file_duplicated(fd, copy);
    thread_leave();
}
