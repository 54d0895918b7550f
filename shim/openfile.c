/* Open files and the descriptor table: see openfile.h. */
#include "openfile.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/slab.h"
#include "connection.h"
#include "interest.h"
#include "peers.h"
#include "process.h"
#include "rights.h"
#include "thread.h"

static struct slab files = SLAB(sizeof(struct open_file));
static struct slab connections = SLAB(FILE_CONNECTION_SIZE);

static struct slab *slab_of(enum file_kind kind) {
    return kind == FILE_CONNECTION ? &connections : &files;
}
static struct slab *slab_with(const struct open_file *file) {
    return file_has(file, FILE_WIDE) ? &files : slab_of(file_kind(file));
}

/* Small descriptors have their slots at hand; the rest lie in chunks that are mapped when first used,
 * so a process pays for the descriptors it has, up to the largest that a kernel can be told to allow. */
file_slot file_first_slots[SLOTS];
_Atomic(file_chunk *) file_directory; /* SLOT_CHUNKS of them, mapped when the first is needed */
static _Atomic uint32_t highest_chunk;

/* Memory that is made once, whichever thread is first. */
static void *map_once(_Atomic(void *) *place, size_t size) {
    void *now = NULL, *fresh = kernel_map(size);
    if (fresh == NULL || atomic_compare_exchange_strong(place, &now, fresh))
        return fresh;
    kernel_unmap(fresh, size);
    return now;
}

static file_chunk *chunk_of(uint32_t index, bool make) {
    file_chunk *all = atomic_load_explicit(&file_directory, memory_order_acquire);
    if (all == NULL && make)
        all = map_once((_Atomic(void *) *)&file_directory, SLOT_CHUNKS * sizeof *all);
    return all != NULL ? &all[index] : NULL;
}

static void highest_chunk_raise(uint32_t index) {
    uint32_t highest = atomic_load(&highest_chunk);
    while (highest < index && !atomic_compare_exchange_weak(&highest_chunk, &highest, index))
        ;
}

/* The slot of a descriptor, or NULL when its chunk does not exist (or cannot be made). */
static file_slot *slot_of(int fd, bool make) {
    if (fd < 0)
        return NULL;
    if (fd < SLOTS)
        return &file_first_slots[fd];
    uint32_t index = (uint32_t)fd >> SLOT_BITS;
    file_chunk *place = chunk_of(index, make);
    file_slot *chunk = place != NULL ? atomic_load_explicit(place, memory_order_acquire) : NULL;
    if (chunk == NULL && place != NULL && make) {
        chunk = map_once((_Atomic(void *) *)place, SLOTS * sizeof *chunk);
        highest_chunk_raise(index);
    }
    return chunk != NULL ? &chunk[fd & (SLOTS - 1)] : NULL;
}

struct open_file *file_at_far(int fd) {
    file_slot *slot = slot_of(fd, false);
    return slot != NULL ? atomic_load_explicit(slot, memory_order_acquire) : NULL;
}

/* F4, C35. What was to be read at this end is dropped; the other one hears nothing more from here. */
static void pipe_end(struct open_file *file) {
    if (file->mailbox != NULL) {
        rights_forget(file->mailbox);
        mailbox_close(file->mailbox);
        mailbox_free(file->mailbox);
    }
    if (file->outbox != NULL) {
        mailbox_orphan(file->outbox);
        mailbox_free(file->outbox);
    }
}

static void file_free(struct open_file *file) {
    interest_forget_file(file);
    if (file_kind(file) == FILE_CONNECTION)
        connection_end(file);
    cell_end(&file->cell);
    if (file_kind(file) == FILE_EVENTFD && file->mailbox != NULL)
        mailbox_free(file->mailbox);
    if (file_kind(file) == FILE_PIPE)
        pipe_end(file);
    if (file_kind(file) == FILE_DATAGRAM && file->peers != NULL)
        peers_free(file->peers);
    if (file_kind(file) == FILE_EPOLL && file->set != NULL)
        interest_set_free(file->set);
    slab_give(slab_with(file), file);
}

void file_drop(struct open_file *file) {
    if (file != NULL && atomic_fetch_sub_explicit(&file->descriptors, 1, memory_order_acq_rel) == 1)
        file_free(file);
}

struct open_file *file_detach(int fd) {
    file_slot *slot = slot_of(fd, false);
    if (slot == NULL || atomic_load_explicit(slot, memory_order_relaxed) == NULL)
        return NULL;
    return atomic_exchange_explicit(slot, NULL, memory_order_acq_rel);
}

void file_put_back(int fd, struct open_file *file) {
    file_slot *slot = slot_of(fd, true);
    if (slot == NULL)
        file_drop(file);
    else
        file_drop(atomic_exchange_explicit(slot, file, memory_order_acq_rel));
}

/* What only other kinds than a connection have. */
static void file_begin_rest(struct open_file *file) {
    file->mailbox = file->outbox = NULL;
    file->peers = NULL;
    file->set = NULL;
    atomic_store_explicit(&file->torn, 0, memory_order_relaxed);
    atomic_store_explicit(&file->written, 0, memory_order_relaxed);
}

struct open_file *file_open(int fd, enum file_kind kind) {
    struct open_file *file = slab_take(slab_of(kind));
    file_slot *slot = slot_of(fd, true);
    if (file == NULL || slot == NULL) {
        if (file != NULL)
            slab_give(slab_of(kind), file);
        file_drop(file_detach(fd));
        return NULL;
    }
    cell_begin(&file->cell);
    file->kind = (uint8_t)kind;
    file->fd = fd;
    file->forks = atomic_load_explicit(&process_forks, memory_order_relaxed);
    file->interests = NULL;
    atomic_store_explicit(&file->root, 0, memory_order_relaxed);
    file->root_serial = file->request_serial = 0;
    atomic_store_explicit(&file->flags, kind == FILE_STRANGER ? FILE_WIDE : 0, memory_order_relaxed);
    atomic_store_explicit(&file->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&file->question, 0, memory_order_relaxed); /* and what shares its place */
    atomic_store_explicit(&file->waited, 0, memory_order_relaxed);
    atomic_store_explicit(&file->served, 0, memory_order_relaxed);
    atomic_store_explicit(&file->accepted_by, 0, memory_order_relaxed);
    if (kind != FILE_CONNECTION)
        file_begin_rest(file);
    atomic_store_explicit(&file->gathered, 0, memory_order_relaxed);
    atomic_store_explicit(&file->descriptors, 1, memory_order_relaxed);
    file_drop(atomic_exchange_explicit(slot, file, memory_order_acq_rel));
    return file;
}

struct open_file *file_open_any(int fd) {
    struct open_file *file = file_at(fd);
    return file != NULL ? file : file_open(fd, FILE_PLAIN);
}

struct open_file *file_become(int fd, enum file_kind kind) {
    struct open_file *file = file_open_any(fd);
    if (file != NULL && file_kind(file) == FILE_PLAIN)
        file->kind = (uint8_t)kind;
    return file;
}

bool file_turns_out(struct open_file *file, enum file_kind kind) {
    uint8_t found = FILE_STRANGER;
    return atomic_compare_exchange_strong_explicit(&file->kind, &found, (uint8_t)kind, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

void file_created(int fd) {
    file_drop(file_detach(fd));
}

bool file_hold(struct open_file *file) {
    uint32_t holds = atomic_load_explicit(&file->descriptors, memory_order_relaxed);
    while (holds != 0)
        if (atomic_compare_exchange_weak_explicit(&file->descriptors, &holds, holds + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

void file_duplicated(int fd, int copy) {
    struct open_file *file = file_at(fd);
    if (fd == copy)
        return;
    if (file != NULL && file_hold(file))
        file_put_back(copy, file);
    else
        file_created(copy);
}

/* Files taken out of their slots where nothing may be freed: a stack, pushed from anywhere, emptied as
 * a whole. */
static _Atomic(struct open_file *) deferred;

void file_drop_later(struct open_file *file) {
    if (file == NULL || atomic_fetch_sub_explicit(&file->descriptors, 1, memory_order_acq_rel) != 1)
        return;
    struct open_file *top = atomic_load_explicit(&deferred, memory_order_relaxed);
    do
        file->free_link = top;
    while (!atomic_compare_exchange_weak_explicit(&deferred, &top, file, memory_order_release,
                                                  memory_order_relaxed));
}

void file_drop_deferred(void) {
    if (atomic_load_explicit(&deferred, memory_order_relaxed) == NULL)
        return;
    struct open_file *file = atomic_exchange_explicit(&deferred, NULL, memory_order_acquire);
    while (file != NULL) {
        struct open_file *next = file->free_link;
        file_free(file);
        file = next;
    }
}

void file_closed_range(unsigned first, unsigned last) {
    unsigned end = ((atomic_load(&highest_chunk) + 1) << SLOT_BITS) - 1;
    if (last > end)
        last = end;
    for (unsigned fd = first; fd <= last; fd++) {
        if (fd >= SLOTS && (fd & (SLOTS - 1)) == 0 && slot_of((int)fd, false) == NULL)
            fd |= SLOTS - 1; /* a chunk that was never used */
        else
            file_drop(file_detach((int)fd));
    }
}

bool file_is_shared(const struct open_file *file) {
    return file->forks != atomic_load_explicit(&process_forks, memory_order_relaxed) ||
           file_has(file, FILE_SHARED);
}
