/* Calls that move whole messages (sendmsg, recvmsg and their kin): what they are about, by kind of
 * descriptor; and F15, the descriptors inside them.
 *
 * F15  What travels through a socketpair of this process arrives as another descriptor of the same open file.
 * What is sent by any other socket goes to another process for all we know: its open file is *shared*, and
 * nothing is queued on it any longer. Whatever arrives is a new descriptor, and nothing of what its number
 * was (H6). */
#include "../ctxstore/kernel.h"
#include "annotate.h"
#include "rights.h"
#include "rules_own.h"

#include <string.h>

enum { RIGHTS_AT_MOST = 253 }; /* SCM_MAX_FD */

/* --- descriptors inside messages ------------------------------------------------------------------- */

/* Those in a control buffer that can be read. */
static unsigned rights_in(const struct msghdr *message, int fds[RIGHTS_AT_MOST]) {
    unsigned number = 0;
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    for (; control != NULL; control = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS ||
            control->cmsg_len < CMSG_LEN(0))
            continue;
        size_t here = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && number < RIGHTS_AT_MOST; i++)
            memcpy(&fds[number++], CMSG_DATA(control) + i * sizeof(int), sizeof(int));
    }
    return number;
}

/* Another process may read and write there from now on. */
static void file_shared(struct open_file *file) {
    file_mark(file, FILE_SHARED, true);
    if (file_kind(file) != FILE_PIPE)
        return;
    if (file->mailbox != NULL)
        mailbox_close(file->mailbox);
    if (file->outbox != NULL)
        mailbox_close(file->outbox);
}

/* The call succeeded, by a socket whose other end is not known to be here. */
static void rights_sent_away(const struct msghdr *message) {
    int fds[RIGHTS_AT_MOST];
    unsigned number = rights_in(message, fds);
    struct thread *thread = number > 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    for (unsigned i = 0; i < number; i++) {
        struct open_file *file = file_at(fds[i]); /* another thread may close it at any time */
        if (file != NULL)
            file_shared(file);
    }
    thread_leave();
}

/* Is the other end of this socketpair in this process, and nowhere else? */
static bool stays_here(const struct passage *passage) {
    return passage->file != NULL && file_kind(passage->file) == FILE_PIPE && passage->ticket != 0;
}

/* Before the call, since the other end may be faster: the message is looked at through the kernel (H22). */
void rules_rights_begin(const struct passage *passage, const struct msghdr *message) {
    enum { CONTROL = CMSG_SPACE(RIGHTS_AT_MOST * sizeof(int)) };
    struct msghdr copy;
    _Alignas(struct cmsghdr) char control[CONTROL];
    if (!stays_here(passage) || !thread_peek(&copy, message, sizeof copy) || copy.msg_controllen == 0 ||
        copy.msg_controllen > sizeof control || !thread_peek(control, copy.msg_control, copy.msg_controllen))
        return;
    int fds[RIGHTS_AT_MOST];
    copy.msg_control = control;
    unsigned number = rights_in(&copy, fds);
    struct thread *thread = number > 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    for (unsigned i = 0; i < number; i++)
        if (file_at(fds[i]) != NULL)
            rights_put(passage->file->outbox, passage->ticket, fds[i], file_at(fds[i]));
    thread_leave();
}

static void rights_end(const struct passage *passage, long result, const struct msghdr *message) {
    if (!stays_here(passage)) {
        if (result >= 0 && message->msg_controllen > 0)
            rights_sent_away(message);
        return;
    }
    struct thread *thread = result < 0 && rights_any() ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    if (passage_alive(passage))
        rights_cancel(passage->file->outbox, passage->ticket);
    thread_leave();
}

static void rights_received(const struct passage *passage, const struct msghdr *message) {
    int fds[RIGHTS_AT_MOST];
    unsigned number = rights_in(message, fds);
    for (unsigned i = 0; i < number; i++) {
        rules_fd_created(fds[i]);
        annotate_born(fds[i]);
    }
    struct thread *thread = number > 0 ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    struct mailbox *inbox = passage->file != NULL && file_kind(passage->file) == FILE_PIPE &&
                                    passage->reading && !passage->peek && passage_alive(passage)
                                ? passage->file->mailbox
                                : NULL;
    uint64_t taken = inbox != NULL && rights_any() ? mailbox_taken(inbox) : 0;
    for (unsigned i = 0; i < number; i++) {
        struct open_file *file = taken != 0 ? rights_take(inbox, taken, fds[i]) : NULL;
        if (file != NULL)
            file_put_back(fds[i], file);
        else
            stranger_received(thread, passage->file, fds[i]);
    }
    thread_leave();
}

/* --- messages -------------------------------------------------------------------------------------- */

static bool is_datagram(const struct passage *passage) {
    return passage->file != NULL && file_kind(passage->file) == FILE_DATAGRAM;
}

void rules_message_received(const struct passage *passage, long result, const struct msghdr *message) {
    struct passage with_rights = *passage;
    with_rights.claims = true;
    if (result < 0)
        rules_read_end(passage, result, NULL, 0);
    else if (is_datagram(passage))
        rules_datagram_read_close(
            passage, result, rules_received_from(passage, result, message->msg_name, &message->msg_namelen));
    else
        rules_read_end(&with_rights, result, message->msg_iov, (int)message->msg_iovlen);
    if (result < 0)
        return;
    if (message->msg_controllen > 0)
        rights_received(passage, message);
    rules_rights_passed(passage);
}

/* How many bytes they have together, where they are bytes. */
static long bytes_of(const struct mmsghdr *messages, int count) {
    long bytes = count;
    for (int i = 0; i < count; i++)
        bytes += (long)messages[i].msg_len - 1;
    return count > 0 ? bytes : count;
}

void rules_messages_received(const struct passage *passage, int result, const struct mmsghdr *messages) {
    struct passage all = *passage;
    all.claims = true;
    all.messages = result > 0 ? (unsigned)result : 0;
    if (is_datagram(passage))
        rules_datagrams_read_close(passage, result, messages);
    else
        rules_read_end(&all, bytes_of(messages, result), NULL, 0);
    for (int i = 0; i < result; i++)
        if (messages[i].msg_hdr.msg_controllen > 0)
            rights_received(passage, &messages[i].msg_hdr);
    if (result > 0)
        rules_rights_passed(passage);
}

void rules_message_sent(const struct passage *passage, long result, size_t asked, const void *first,
                        const struct msghdr *message) {
    rights_end(passage, result, message);
    if (is_datagram(passage) && result >= 0)
        rules_datagram_write_close(passage, result, message->msg_name, message->msg_namelen);
    else if (!is_datagram(passage))
        rules_write_end(passage, result, asked, first);
}

void rules_messages_sent(const struct passage *passage, int result, unsigned asked,
                         const struct mmsghdr *messages) {
    struct passage all = *passage;
    all.messages = result > 0 ? (unsigned)result : 0;
    for (int i = 0; i < result; i++)
        if (messages[i].msg_hdr.msg_controllen > 0)
            rights_sent_away(&messages[i].msg_hdr);
    long bytes = bytes_of(messages, result);
    if (is_datagram(passage))
        rules_datagrams_write_close(passage, result, messages);
    else
        rules_write_end(&all, bytes, bytes > 0 ? (size_t)bytes + ((unsigned)result < asked) : asked, NULL);
}

/* What travelled with bytes that are read, and was not received, is gone. */
void rules_rights_passed(const struct passage *passage) {
    if (!rights_any() || passage->file == NULL || file_kind(passage->file) != FILE_PIPE || !passage->reading)
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL)
        return;
    if (passage_alive(passage))
        rights_passed(passage->file->mailbox, mailbox_taken(passage->file->mailbox));
    thread_leave();
}
