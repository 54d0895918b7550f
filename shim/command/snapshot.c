/* Reading the census: see snapshot.h, and ../census.h for why it may be read while the process goes on.
 *
 * A thread's record is copied, then the path of its current context node by node, then the record and the
 * serials of all the nodes once more: when nothing changed in between, what was copied belongs together.
 * Otherwise it is tried again, and after TRIES the thread counts as not known. */
#include "snapshot.h"

#include "../census.h"
#include "words.h"

#include <string.h>

enum { TRIES = 50, DEEPEST = 10000, NAME_MOST = 4096, WORD_MOST = 32, CHUNKS_MOST = 1 << 20, PAGE = 4096 };

/* --- the census ---------------------------------------------------------------------------------------- */

static uint64_t address_of(const void *pointer) {
    return (uint64_t)(uintptr_t)pointer;
}

/* Is this the census? A page that the loader has not relocated (the file's, mapped beside it) has the mark
 * too, but its pointers lead nowhere. */
static bool census_read(const struct memory *memory, uint64_t address, struct census *census) {
    struct slab slab;
    return memory_read(memory, address, census, sizeof *census) &&
           memory_read(memory, address_of(census->threads), &slab, sizeof slab);
}

/* Looks for the mark in one mapping, page by page; it lies across no two of them. */
static bool mapping_search(const struct memory *memory, const struct mapping *mapping,
                           struct census *census) {
    static const char mark[16] = CENSUS_MARK;
    char page[PAGE];
    for (uint64_t at = mapping->start; at < mapping->end; at += PAGE) {
        if (!memory_read(memory, at, page, PAGE))
            continue;
        const char *found = memmem(page, PAGE, mark, sizeof mark);
        if (found != NULL && census_read(memory, at + (uint64_t)(found - page), census))
            return true;
    }
    return false;
}

struct census *snapshot_find(const struct memory *memory, GError **error) {
    struct census *census = g_new0(struct census, 1);
    const GArray *mappings = memory_mappings(memory);
    bool loaded = false;
    for (guint i = 0; i < mappings->len; i++) {
        const struct mapping *mapping = &g_array_index(mappings, struct mapping, i);
        if (strstr(mapping->path, "libctxshim") == NULL)
            continue;
        loaded = true;
        if (!mapping_search(memory, mapping, census))
            continue;
        if (census->layout == CENSUS_LAYOUT)
            return census;
        g_set_error(
            error, memory_error(), 0,
            "its libctxshim is of another version than this command; use the command that came with %s",
            mapping->path);
        g_free(census);
        return NULL;
    }
    g_set_error(error, memory_error(), 0,
                loaded ? "its libctxshim cannot be read: too old for this command"
                       : "libctxshim is not loaded in it; start the program with \"ctxshim run\"");
    g_free(census);
    return NULL;
}

/* --- records of threads -------------------------------------------------------------------------------- */

/* The addresses of all threads' records that are in use, by the thread's inner id. */
static GHashTable *threads_find(const struct memory *memory, const struct census *census) {
    GHashTable *found = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
    struct slab slab;
    struct slab_chunk chunk;
    if (!memory_read(memory, address_of(census->threads), &slab, sizeof slab) ||
        slab.size != sizeof(struct thread))
        return found;
    uint64_t at = address_of(slab.chunks);
    for (int i = 0; at != 0 && i < CHUNKS_MOST && memory_read(memory, at, &chunk, sizeof chunk); i++) {
        uint64_t record = at + sizeof chunk;
        for (; record + slab.size <= at + SLAB_CHUNK; record += slab.size) {
            int tid;
            if (!memory_read(memory, record + offsetof(struct thread, tid), &tid, sizeof tid) || tid <= 0)
                continue;
            uint64_t *place = g_new(uint64_t, 1);
            *place = record;
            g_hash_table_replace(found, GINT_TO_POINTER(tid), place);
        }
        at = address_of(chunk.older);
    }
    return found;
}

/* --- a path -------------------------------------------------------------------------------------------- */

/* A node of a path, for the second look. */
struct step {
    uint64_t address, serial;
};

/* A node that only sets a value is shorter. */
static bool node_read(const struct memory *memory, uint64_t address, struct context *node) {
    *node = (struct context){0};
    if (!memory_read(memory, address, node, CONTEXT_VALUE_SIZE))
        return false;
    return node->kind == CONTEXT_VALUE || memory_read(memory, address, node, sizeof *node);
}

/* The text of a long or a changed name; NULL: it cannot be read. */
static char *name_read(const struct memory *memory, uint64_t address) {
    struct context_name head;
    if (!memory_read(memory, address, &head, sizeof head))
        return NULL;
    size_t length = MIN(head.length, NAME_MOST);
    char *text = g_malloc0(length + 1);
    if (memory_read(memory, address + sizeof head, text, length))
        return text;
    g_free(text);
    return NULL;
}

/* A literal of the library's; NULL: it cannot be read. */
static char *word_read(const struct memory *memory, uint64_t address) {
    char text[WORD_MOST + 1] = "";
    for (size_t i = 0; i < WORD_MOST; i++)
        if (!memory_read(memory, address + i, &text[i], 1))
            return NULL;
        else if (text[i] == '\0')
            break;
    return g_strdup(text);
}

/* What the node shows; NULL and true when it shows nothing. */
static bool node_text(const struct memory *memory, const struct context *node, char **text) {
    *text = NULL;
    if (node->kind == CONTEXT_OPERATION)
        *text = node->long_name ? name_read(memory, address_of(node->long_text))
                                : g_strndup(node->text, CONTEXT_NAME_INLINE);
    else if (node->kind != CONTEXT_ROOT)
        return true;
    else if (node->root.renamed != NULL)
        *text = name_read(memory, address_of(node->root.renamed));
    else {
        char *word = word_read(memory, address_of(node->root.word));
        *text = word != NULL ? g_strdup_printf("%s%" G_GUINT64_FORMAT, word, node->root.number) : NULL;
        g_free(word);
    }
    return *text != NULL;
}

/* Copies the path that begins at `address`, innermost first; notes the nodes it went through. */
static bool path_read(const struct memory *memory, uint64_t address, struct sight *sight, GArray *steps) {
    while (address != 0) {
        struct context node;
        char *text;
        if (steps->len >= DEEPEST || !node_read(memory, address, &node) || node.serial == 0 ||
            !node_text(memory, &node, &text))
            return false;
        struct step step = {address, node.serial};
        g_array_append_val(steps, step);
        if (text != NULL)
            g_ptr_array_insert(sight->operations, 0, text);
        sight->ambiguous |= node.kind == CONTEXT_AMBIGUOUS;
        address = address_of(node.parent);
    }
    return true;
}

static bool steps_hold(const struct memory *memory, const GArray *steps) {
    for (guint i = 0; i < steps->len; i++) {
        const struct step *step = &g_array_index(steps, struct step, i);
        uint64_t serial;
        if (!memory_read(memory, step->address + offsetof(struct context, serial), &serial, sizeof serial) ||
            serial != step->serial)
            return false;
    }
    return true;
}

/* --- a thread ------------------------------------------------------------------------------------------ */

static void provenance_show(const struct thread *thread, struct sight *sight) {
    sight->evidence = thread->inherited ? evidences[EVIDENCE_START] : NULL;
    sight->carrier = NULL;
    sight->fd = -1;
    sight->since = 0;
    if (thread->depth == 0 || thread->depth > FRAMES_DEEPEST)
        return;
    const struct provenance *provenance = &thread->frames[thread->depth - 1].provenance;
    if ((unsigned)provenance->evidence < G_N_ELEMENTS(evidences))
        sight->evidence = evidences[provenance->evidence];
    if (provenance->carrier >= 0 && (unsigned)provenance->carrier < G_N_ELEMENTS(carriers)) {
        sight->carrier = carriers[provenance->carrier];
        sight->fd = provenance->fd;
    }
    sight->since = provenance->since;
}

static bool same_moment(const struct thread *one, const struct thread *other) {
    const struct frame *a = &one->frames[one->depth > 0 ? (one->depth - 1) % FRAMES_DEEPEST : 0];
    const struct frame *b = &other->frames[one->depth > 0 ? (one->depth - 1) % FRAMES_DEEPEST : 0];
    return one->tid == other->tid && one->flow.current == other->flow.current && one->depth == other->depth &&
           memcmp(&a->provenance, &b->provenance, sizeof a->provenance) == 0;
}

/* One attempt. */
static bool sight_try(const struct memory *memory, uint64_t record, struct sight *sight, int tid) {
    struct thread *before = g_new0(struct thread, 1), *after = g_new0(struct thread, 1);
    GArray *steps = g_array_new(FALSE, FALSE, sizeof(struct step));
    sight->ambiguous = false;
    g_ptr_array_set_size(sight->operations, 0);
    bool whole = memory_read(memory, record, before, sizeof *before) && before->tid == tid &&
                 path_read(memory, address_of(before->flow.current), sight, steps) &&
                 memory_read(memory, record, after, sizeof *after) && same_moment(before, after) &&
                 steps_hold(memory, steps);
    if (whole)
        provenance_show(before, sight);
    g_array_unref(steps);
    g_free(after);
    g_free(before);
    return whole;
}

static void sight_clear(gpointer data) {
    struct sight *sight = data;
    g_free(sight->name);
    g_ptr_array_unref(sight->operations);
}

GArray *snapshot_take(struct memory *memory, const struct census *census) {
    GArray *sights = g_array_new(FALSE, TRUE, sizeof(struct sight));
    g_array_set_clear_func(sights, sight_clear);
    GHashTable *records = threads_find(memory, census);
    const GArray *tasks = memory_tasks(memory);
    for (guint i = 0; i < tasks->len; i++) {
        const struct task *task = &g_array_index(tasks, struct task, i);
        struct sight sight = {.tid = task->tid,
                              .name = g_strdup(task->name),
                              .operations = g_ptr_array_new_with_free_func(g_free),
                              .fd = -1};
        const uint64_t *record = g_hash_table_lookup(records, GINT_TO_POINTER(task->inside));
        for (int try = 0; record != NULL && !sight.known && try < TRIES; try++)
            sight.known = sight_try(memory, *record, &sight, task->inside);
        if (!sight.known)
            g_ptr_array_set_size(sight.operations, 0);
        g_array_append_val(sights, sight);
    }
    g_hash_table_unref(records);
    return sights;
}
