/* Who holds which context: see holders.h. The command has this file too, and reads others' memory with it. */
#include "holders_walk.h"

#include "../ctxstore/mailbox.h"
#include "connection.h"
#include "interest.h"
#include "openfile.h"
#include "peers.h"
#include "thread.h"

#include <string.h>

/* --- open files ------------------------------------------------------------------------------------ */

/* The place holds a context, or it is empty and has let go of one. */
static void tell_place(const struct walk *walk, struct holding holding, const void *context,
                       uint16_t number) {
    const struct gone *table;
    struct gone gone;
    if (context != NULL) {
        walk_tell(walk, &holding);
        return;
    }
    if (number == 0 || number >= GONE_MOST ||
        !memory_copy(walk->memory, &table, walk->map->gone, sizeof table) || table == NULL ||
        !memory_copy(walk->memory, &gone, &table[number], sizeof gone) || gone.place != holding.at)
        return;
    gone.text[GONE_TEXT - 1] = '\0';
    holding.gone = &gone;
    walk_tell(walk, &holding);
}

static void take_interests(const struct walk *walk, const struct open_file *file) {
    struct interest copy;
    const struct interest *interest = file->interests;
    for (unsigned i = 0; interest != NULL && i < LIST_MOST; i++, interest = copy.next_of_file) {
        if (!memory_copy(walk->memory, &copy, interest, sizeof copy))
            return;
        if (copy.set != NULL)
            tell_place(walk,
                       (struct holding){.kind = HOLDER_REGISTRATION,
                                        .at = &interest->context,
                                        .fd = copy.fd,
                                        .origin = copy.origin},
                       copy.context, copy.let_go);
    }
}

static void take_mailbox(const struct walk *walk, const struct mailbox *mailbox, int fd) {
    const struct entry *entry = NULL;
    struct entry copy;
    bool bytes = false;
    if (mailbox == NULL || !memory_copy(walk->memory, &entry, &mailbox->first, sizeof entry) ||
        !memory_copy(walk->memory, &bytes, &mailbox->bytes, sizeof bytes))
        return;
    for (unsigned i = 0; entry != NULL && i < LIST_MOST; i++, entry = copy.next) {
        if (!memory_copy(walk->memory, &copy, entry, sizeof copy))
            return;
        if (copy.context != NULL)
            walk_tell(walk, &(struct holding){.kind = bytes         ? HOLDER_BYTES
                                                      : copy.peeked ? HOLDER_SEEN
                                                                    : HOLDER_QUEUED,
                                              .at = &entry->context,
                                              .fd = fd,
                                              .origin = copy.origin});
    }
}

/* Whom it has heard from, or asked. */
static void take_peers(const struct walk *walk, const struct peers *peers, int fd) {
    struct peer copy;
    uint32_t used = 0;
    if (peers == NULL || !memory_copy(walk->memory, &used, &peers->used, sizeof used))
        return;
    for (uint32_t i = 0; i < used && i < PEERS_AT_MOST; i++)
        if (memory_copy(walk->memory, &copy, &peers->ring[i], sizeof copy) && copy.context != NULL)
            walk_tell(walk,
                      &(struct holding){.kind = copy.open && !copy.asked_us ? HOLDER_ASKED : HOLDER_PEER,
                                        .at = &peers->ring[i].context,
                                        .fd = fd,
                                        .origin = copy.origin});
}

static bool kind_of_cell(const struct open_file *file, enum holder_kind *kind) {
    switch (file_kind(file)) {
    case FILE_CONNECTION:
        *kind = HOLDER_CONNECTION;
        return true;
    case FILE_OUTBOUND:
    case FILE_DATAGRAM:
        *kind = HOLDER_OUTBOUND;
        return true;
    case FILE_TIMERFD:
        *kind = file_has(file, FILE_REPEATS) ? HOLDER_REPEATING : HOLDER_TIMER;
        return true;
    default:
        return false;
    }
}

static void take_cell(const struct walk *walk, const struct open_file *file, const struct open_file *copy,
                      int fd) {
    struct holding holding = {
        .at = &file->cell.context, .fd = fd, .origin = {copy->cell.tid, copy->cell.site}};
    if (!kind_of_cell(copy, &holding.kind))
        return;
    tell_place(walk, holding, copy->cell.context, copy->cell.lasting ? copy->cell.let_go : 0);
    if (holding.kind == HOLDER_CONNECTION &&
        connection_root_is_node(atomic_load_explicit(&copy->root, memory_order_relaxed)))
        walk_tell(walk, &(struct holding){.kind = HOLDER_CONNECTION, .at = &file->root, .fd = fd});
}

/* Another descriptor names the same open file, and is shown for it. */
static bool is_copy(const struct walk *walk, const struct open_file *file, int shown, int fd) {
    const struct open_file *first = NULL;
    const file_slot *slots = walk->map->slots;
    return shown != fd && shown >= 0 && shown < SLOTS &&
           memory_copy(walk->memory, &first, &slots[shown], sizeof first) && first == file;
}

/* A connection's object ends earlier. */
static bool file_copy(const struct walk *walk, struct open_file *copy, const struct open_file *file) {
    memset(copy, 0, sizeof *copy);
    return memory_copy(walk->memory, copy, file, FILE_CONNECTION_SIZE) &&
           (file_kind(copy) == FILE_CONNECTION || memory_copy(walk->memory, copy, file, sizeof *copy));
}

static void take_file(const struct walk *walk, int fd, const struct open_file *file) {
    struct open_file copy;
    if (!file_copy(walk, &copy, file) ||
        (atomic_load_explicit(&copy.cell.generation, memory_order_relaxed) & 1) == 0 ||
        is_copy(walk, file, copy.fd, fd))
        return;
    take_cell(walk, file, &copy, fd);
    take_mailbox(walk, copy.mailbox, fd);
    take_peers(walk, copy.peers, fd);
    if (file_kind(&copy) == FILE_PLAIN) /* what others' registrations hold nobody looks at */
        take_interests(walk, &copy);
}

static void take_slots(const struct walk *walk, const file_slot *slots, int first_fd) {
    const struct open_file *some[SLOTS_AT_ONCE];
    for (int at = 0; at < SLOTS; at += SLOTS_AT_ONCE) {
        if (!memory_copy(walk->memory, some, &slots[at], sizeof some))
            return;
        for (int i = 0; i < SLOTS_AT_ONCE; i++)
            if (some[i] != NULL)
                take_file(walk, first_fd + at + i, some[i]);
    }
}

static void take_files(const struct walk *walk) {
    const file_chunk *directory = NULL;
    const file_slot *chunks[SLOTS_AT_ONCE];
    take_slots(walk, walk->map->slots, 0);
    if (!memory_copy(walk->memory, &directory, walk->map->directory, sizeof directory) || directory == NULL)
        return;
    for (int at = 0; at < SLOT_CHUNKS; at += SLOTS_AT_ONCE) {
        if (!memory_copy(walk->memory, chunks, &directory[at], sizeof chunks))
            return;
        for (int i = 0; i < SLOTS_AT_ONCE; i++)
            if (chunks[i] != NULL)
                take_slots(walk, chunks[i], (at + i) << SLOT_BITS);
    }
}

/* --- threads and captures -------------------------------------------------------------------------- */

static void take_thread(const struct walk *walk, const struct thread *record, const struct thread *copy) {
    struct holding holding = {.kind = HOLDER_THREAD, .fd = -1};
    holding.tid = atomic_load_explicit(&((struct thread *)(uintptr_t)copy)->tid, memory_order_relaxed);
    if (copy->inherited && copy->depth == 0) {
        holding.kind = HOLDER_STARTED;
        holding.origin = copy->start_with.origin;
    }
    walk_flow(walk, holding, &record->flow, &copy->flow);
    if (copy->turn == TURN_OWN)
        return;
    holding.kind = HOLDER_THREAD; /* and a coroutine is on */
    walk_flow(walk, holding, &record->own.flow, &copy->own.flow);
}

static void take_threads(const struct walk *walk) {
    const struct thread *record;
    struct thread copy;
    if (!memory_copy(walk->memory, &record, walk->map->records, sizeof record))
        return;
    for (; record != NULL; record = copy.next) {
        if (!memory_copy(walk->memory, &copy, record, sizeof copy))
            return;
        if (atomic_load_explicit(&copy.tid, memory_order_relaxed) != 0)
            take_thread(walk, record, &copy);
    }
}

static void take_captures(const struct walk *walk) {
    const struct capture *table;
    struct capture some[SLOTS_AT_ONCE];
    if (!memory_copy(walk->memory, &table, walk->map->captures, sizeof table) || table == NULL)
        return;
    for (int at = 0; at < CAPTURES_MOST; at += SLOTS_AT_ONCE) {
        if (!memory_copy(walk->memory, some, &table[at], sizeof some))
            return;
        for (int i = 0; i < SLOTS_AT_ONCE; i++)
            if ((uintptr_t)atomic_load_explicit(&some[i].context, memory_order_relaxed) > 1)
                walk_tell(walk, &(struct holding){.kind = HOLDER_CAPTURE,
                                                  .at = &table[at + i].context,
                                                  .fd = -1,
                                                  .tid = some[i].origin.tid,
                                                  .origin = some[i].origin});
    }
}

void holders_take(const struct memory *memory, const struct holders_map *map,
                  void (*each)(const struct holding *holding, void *arg), void *arg) {
    const struct walk walk = {memory, map, each, arg};
    take_files(&walk);
    take_threads(&walk);
    take_captures(&walk);
    if (holders_know_work(map))
        holders_take_work(&walk);
}
