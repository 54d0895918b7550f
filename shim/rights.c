/* Open files on their way: see rights.h. */
#include "rights.h"

#include "../ctxstore/kernel.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { PARCELS = 64 };

/* What tells one open file from another, as far as a descriptor does. */
struct identity {
    dev_t device;
    ino_t number;
    long flags;
};

struct parcel {
    const struct mailbox *inbox;
    uint64_t ticket;
    struct open_file *file; /* held */
    struct identity identity;
};

static struct lock lock;
static struct parcel parcels[PARCELS]; /* in the order of sending */
static unsigned count;
static _Atomic unsigned waiting; /* `count`, to be looked at without the lock */

static void parcels_lock(void) {
    if (!lock_take(&lock))
        count = 0;
}

static void parcels_give(void) {
    atomic_store_explicit(&waiting, count, memory_order_relaxed);
    lock_give(&lock);
}

bool rights_any(void) {
    return atomic_load_explicit(&waiting, memory_order_relaxed) != 0;
}

static struct identity identity_of(int fd) {
    struct stat status = {0};
    kernel_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0);
    return (struct identity){status.st_dev, status.st_ino, kernel_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0)};
}

/* With the lock held: takes it out of the line. */
static struct parcel parcel_out(unsigned place) {
    struct parcel out = parcels[place];
    count--;
    for (unsigned i = place; i < count; i++)
        parcels[i] = parcels[i + 1];
    return out;
}

/* Those of this mailbox with a ticket from `from` to before `before`. What they held is dropped later: it may
 * be an end that others are on their way to. */
static void parcels_drop(const struct mailbox *inbox, uint64_t from, uint64_t before) {
    struct open_file *dropped[PARCELS];
    unsigned number = 0;
    parcels_lock();
    for (unsigned i = 0; i < count;)
        if (parcels[i].inbox == inbox && parcels[i].ticket >= from && parcels[i].ticket < before)
            dropped[number++] = parcel_out(i).file;
        else
            i++;
    parcels_give();
    while (number > 0)
        file_drop_later(dropped[--number]);
}

void rights_put(const struct mailbox *inbox, uint64_t ticket, int fd, struct open_file *file) {
    struct parcel parcel = {inbox, ticket, file, identity_of(fd)};
    if (!file_hold(file))
        return;
    parcels_lock();
    bool fits = count < PARCELS;
    if (fits)
        parcels[count++] = parcel;
    parcels_give();
    if (!fits)
        file_drop_later(file);
}

void rights_cancel(const struct mailbox *inbox, uint64_t ticket) {
    parcels_drop(inbox, ticket, ticket + 1);
}

struct open_file *rights_take(const struct mailbox *inbox, uint64_t before, int fd) {
    struct parcel parcel = {0};
    struct identity identity = identity_of(fd);
    parcels_lock();
    for (unsigned i = 0; i < count && parcel.file == NULL; i++)
        if (parcels[i].inbox == inbox && parcels[i].ticket < before)
            parcel = parcel_out(i);
    parcels_give();
    bool same = parcel.identity.device == identity.device && parcel.identity.number == identity.number &&
                parcel.identity.flags == identity.flags;
    if (parcel.file != NULL && !same) {
        file_drop_later(parcel.file);
        return NULL;
    }
    return parcel.file;
}

void rights_passed(const struct mailbox *inbox, uint64_t before) {
    parcels_drop(inbox, 0, before);
}

void rights_forget(const struct mailbox *inbox) {
    if (rights_any())
        parcels_drop(inbox, 0, UINT64_MAX);
}
