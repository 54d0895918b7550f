/* Open files on their way through a socketpair of this process, in messages with SCM_RIGHTS (F15): each held,
 * as the kernel holds it, and known by the mailbox and the ticket of the bytes that it travels with. */
#ifndef SHIM_RIGHTS_H
#define SHIM_RIGHTS_H

#include "openfile.h"

/* Is anything on its way at all? */
bool rights_any(void);
/* `fd`, which names `file`, is being sent with these bytes. Takes a hold of its own. */
void rights_put(const struct mailbox *inbox, uint64_t ticket, int fd, struct open_file *file);
/* The call failed: nothing was sent. */
void rights_cancel(const struct mailbox *inbox, uint64_t ticket);
/* What arrived as `fd` with bytes before this ticket: the open file and the hold on it, or NULL. */
struct open_file *rights_take(const struct mailbox *inbox, uint64_t before, int fd);
/* Whatever travelled with bytes before this ticket and was not taken is lost. */
void rights_passed(const struct mailbox *inbox, uint64_t before);
/* Nobody will receive anything there. */
void rights_forget(const struct mailbox *inbox);

#endif
