/* Reservations: see reservation.h. */
#include "reservation.h"

#include "rules.h"

static void give_up(const struct reservation *reservation) {
    if (reservation->ticket != 0)
        mailbox_settle(reservation->mailbox, reservation->ticket, 0);
    else
        mailbox_read_end(reservation->mailbox);
}

/* A signal handler enters from a deeper address, and leaves those of the flow it interrupts alone. */
static void abandoned(struct thread *thread, struct here here) {
    while (thread->reservations > 0) {
        const struct reservation *last = &thread->reserved[thread->reservations - 1];
        if (here.address < last->address || !thread_on_own_stack(thread, here.address) ||
            !thread_on_own_stack(thread, last->address))
            return;
        give_up(last);
        thread->reservations--;
    }
}

static void note(struct thread *thread, struct mailbox *mailbox, uint64_t ticket, struct here here) {
    if (thread->reservations < RESERVATIONS)
        thread->reserved[thread->reservations++] = (struct reservation){mailbox, ticket, here.address};
}

uint64_t reservation_make(struct thread *thread, struct mailbox *mailbox, uint64_t count, struct here here) {
    abandoned(thread, here);
    uint64_t ticket = mailbox_reserve(mailbox, flow_capture(&thread->flow), count);
    if (ticket != 0)
        note(thread, mailbox, ticket, here);
    return ticket;
}

void reservation_read(struct thread *thread, struct mailbox *mailbox, struct here here) {
    abandoned(thread, here);
    mailbox_read_begin(mailbox);
    note(thread, mailbox, 0, here);
}

void reservation_over(struct thread *thread, const struct mailbox *mailbox, uint64_t ticket) {
    for (unsigned i = thread->reservations; i > 0; i--)
        if (thread->reserved[i - 1].ticket == ticket && thread->reserved[i - 1].mailbox == mailbox) {
            thread->reservations = i - 1;
            return;
        }
}

void rules_reservations_end(struct thread *thread) {
    while (thread->reservations > 0)
        give_up(&thread->reserved[--thread->reservations]);
}
