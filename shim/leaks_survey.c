/* What leak finding looks for, rather than is told of: contexts that are held though their request is over;
 * and, when the process ends, what is still open.
 *
 * A request is over when its connection was closed, its answer written and nothing asked since, or its scope
 * popped. Who still holds it then, for longer than `leaks_after`, retains it: but not its own connection, nor
 * a thread that is at work in it. */
#include "leaks.h"

#include "../ctxstore/kernel.h"
#include "census.h"
#include "openfile.h"
#include "options.h"

enum { SEEN_MOST = 4096, TEXT_ROOM = 1024, ABOUT_ROOM = 300, HUNDREDTH = 10000000 };

/* --- once each ------------------------------------------------------------------------------------- */

static _Atomic uint64_t seen[SEEN_MOST];

/* What the parent has noted is in its record, not in this one's; it is left out for another reason, too
 * (is_parents). */
void leaks_survey_forked(void) {
    for (unsigned i = 0; i < SEEN_MOST; i++)
        atomic_store_explicit(&seen[i], 0, memory_order_relaxed);
}

/* What has been noted: never twice. When the table is full, some may be. */
static bool is_new(uint64_t number) {
    uint64_t key = (number ^ number >> 31) * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (unsigned probe = 0; probe < 64; probe++) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(
                &seen[(key >> 40) % SEEN_MOST + probe < SEEN_MOST ? (key >> 40) % SEEN_MOST + probe : probe],
                &found, key))
            return true;
        if (found == key)
            return false;
    }
    return true;
}

/* --- retained contexts ----------------------------------------------------------------------------- */

/* Of whose request it is; false when that goes on, or there is none. */
static bool request_over(const struct memory *memory, const struct holding *holding,
                         struct request_view *view) {
    if (holding->gone != NULL) {
        *view = (struct request_view){holding->gone->request, true, holding->gone->since};
        return true;
    }
    return context_peek_request(memory, holding->at, view) && view->serial != 0 && view->since != 0;
}

/* It was over before the fork, by a hundredth of a second at least: held in the parent, and its leak. */
static bool is_parents(const struct request_view *view) {
    uint32_t before = leaks_inherited.until - view->since;
    return leaks_is_inherited(view->serial) && before > 1 && before < UINT32_MAX / 2;
}

static void look_at(const struct holding *holding, void *arg) {
    const struct memory *memory = arg;
    struct request_view view;
    char room[TEXT_ROOM], about[ABOUT_ROOM], how[ABOUT_ROOM];
    bool doubtful;
    if (!holding_retains(holding->kind) || !request_over(memory, holding, &view) || is_parents(&view))
        return;
    uint32_t held = context_clock() - view.since;
    if (held > UINT32_MAX / 2)
        held = 0;
    if (held < (uint32_t)options.leaks_after * 100 || !is_new(view.serial ^ (uintptr_t)holding->at))
        return;
    const char *operations = holding->gone != NULL
                                 ? holding->gone->text
                                 : context_peek(memory, holding->at, room, sizeof room, &doubtful);
    leaks_about_holder(holding, about, sizeof about);
    leaks_how_it_came(holding, how, sizeof how);
    leaks_note(&(struct leak){.kind = LEAK_RETAINED,
                              .site = holding->origin.site,
                              .operations = operations,
                              .about = about,
                              .how = how,
                              .age = (uint64_t)held * HUNDREDTH,
                              .tid = holding->tid});
}

void leaks_survey(void) {
    struct memory memory = memory_of(process_pid());
    holders_take(&memory, &census_mark.holders, look_at, &memory);
}

/* --- what is open at the end ----------------------------------------------------------------------- */

struct owner {
    struct memory memory;
    const void *at; /* of the context whose path is gone along */
    uint32_t flow;
    int tid;
};

/* A block is not forgotten: it would have closed. */
static bool was_left(const struct context *copy, uint32_t flow) {
    struct context *node = (struct context *)(uintptr_t)copy;
    return node->scoped && !node->block && node->flow == flow &&
           !(atomic_load_explicit(&node->marks, memory_order_relaxed) & CONTEXT_CLOSED);
}

static bool note_open(const struct context *at, const struct context *copy, void *arg) {
    const struct owner *owner = arg;
    char room[TEXT_ROOM];
    bool doubtful;
    uint64_t serial =
        atomic_load_explicit(&((struct context *)(uintptr_t)copy)->serial, memory_order_relaxed);
    if (!was_left(copy, owner->flow) || leaks_is_inherited(serial) || !is_new(serial))
        return true;
    leaks_note(&(struct leak){.kind = LEAK_UNPOPPED,
                              .site = copy->site,
                              .operations = context_peek(&owner->memory, &at, room, sizeof room, &doubtful),
                              .about = "open when the process ended",
                              .tid = owner->tid});
    return true;
}

static void note_detours(const struct owner *owner, const struct detour *detour) {
    struct detour copy;
    for (; detour != NULL && memory_copy(&owner->memory, &copy, detour, sizeof copy); detour = copy.outer) {
        context_peek_path(&owner->memory, &detour->before, note_open, (void *)(uintptr_t)owner);
        uint64_t serial = atomic_load_explicit(&copy.serial, memory_order_relaxed);
        if (copy.kind != DETOUR_ROOT && !leaks_is_inherited(serial & ~DETOUR_SERIAL) && is_new(serial))
            leaks_note(&(struct leak){.kind = LEAK_UNPOPPED,
                                      .site = copy.site,
                                      .operations = "(attached or suppressed)",
                                      .about = "open when the process ended",
                                      .tid = owner->tid});
    }
}

static void note_thread(const struct memory *memory, const struct thread *record) {
    struct thread copy;
    if (!memory_copy(memory, &copy, record, sizeof copy) || copy.tid == 0)
        return;
    struct owner owner = {*memory, NULL, (uint32_t)copy.flow.serial, copy.tid};
    context_peek_path(memory, &record->flow.current, note_open, &owner);
    for (unsigned i = 0; i < copy.depth && i < FRAMES_DEEPEST; i++)
        context_peek_path(memory, &record->frames[i].before, note_open, &owner);
    note_detours(&owner, copy.flow.detours);
}

void leaks_left(void) {
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (leaks_region == NULL || !process_check() || process_is_borrowed())
        return;
    struct thread *thread = thread_enter();
    if (thread == NULL || atomic_flag_test_and_set(&done)) {
        if (thread != NULL)
            thread_leave();
        return;
    }
    struct memory memory = memory_of(process_pid());
    const struct thread *record = atomic_load_explicit(&thread_records, memory_order_acquire);
    for (; record != NULL; record = record->next)
        note_thread(&memory, record);
    leaks_survey();
    leaks_values_left();
    atomic_store_explicit(&leaks_region->ended, 1, memory_order_release);
    if (!leaks_recorded) /* else a command reads it */
        leaks_print();
    thread_leave();
}

/* exit, and the return from main; quick_exit has its own way (leaks_start). What ends by _exit or a signal
 * leaves its record as it is. */
__attribute__((destructor)) static void process_ends(void) {
    if (leaks_region != NULL)
        leaks_left();
}
