/* Threads named by what they do: see comm.h. */
#include "comm.h"

#include "../ctxstore/kernel.h"

#include <string.h>
#include <sys/prctl.h>

static bool is_ours(const struct comm *comm) {
    char now[COMM_ROOM] = "";
    kernel_call(SYS_prctl, PR_GET_NAME, (long)now, 0, 0, 0, 0);
    return strncmp(now, comm->shown, COMM_ROOM) == 0;
}

static void show(const char *name) {
    kernel_call(SYS_prctl, PR_SET_NAME, (long)name, 0, 0, 0, 0);
}

void comm_restore(struct thread *thread) {
    struct comm *comm = &thread->comm;
    if (comm->state == COMM_SHOWN && is_ours(comm))
        show(comm->own);
    comm->state = COMM_OWN;
}

/* The innermost part is what matters: the beginning of a stack that is too long is cut. */
void comm_show(struct thread *thread) {
    struct comm *comm = &thread->comm;
    char text[256];
    size_t length = context_format(thread->flow.current, text, sizeof text);
    if (length >= sizeof text)
        length = sizeof text - 1;
    if (length == 0) {
        comm_restore(thread);
        return;
    }
    if (comm->state == COMM_OWN)
        kernel_call(SYS_prctl, PR_GET_NAME, (long)comm->own, 0, 0, 0, 0);
    else if (comm->state == COMM_SHOWN && !is_ours(comm))
        comm->state = COMM_PROGRAM;
    if (comm->state == COMM_PROGRAM)
        return;
    size_t part = length < COMM_ROOM ? length : COMM_ROOM - 1;
    memcpy(comm->shown, text + length - part, part);
    comm->shown[part] = '\0';
    comm->state = COMM_SHOWN;
    show(comm->shown);
}
