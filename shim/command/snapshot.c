/* Reading the census of another process: see snapshot.h, and ../census.h for why it may be read while that
 * goes on. */
#include "snapshot.h"

#include "../census.h"
#include "words.h"

#include <string.h>

/* No library's part is larger: a core file that says so is broken, or forged. */
enum { PAGE = 4096, PAGES_AT_MOST = 4096 };

/* --- the mark ------------------------------------------------------------------------------------------ */

/* Is this the census? A page that the loader has not relocated (the file's, mapped beside it) has the mark
 * too, but its pointers lead nowhere. */
static bool census_read(const struct target *target, uint64_t address, struct census *census) {
    void *newest;
    return target_read(target, address, census, sizeof *census) &&
           target_read(target, (uintptr_t)census->records, &newest, sizeof newest);
}

/* Looks for the mark in one mapping, page by page; it lies across no two of them. */
static bool mapping_search(const struct target *target, const struct mapping *mapping,
                           struct census *census) {
    static const char mark[16] = CENSUS_MARK;
    char page[PAGE];
    uint64_t at = mapping->start;
    for (unsigned pages = 0; pages < PAGES_AT_MOST && at < mapping->end; pages++, at += PAGE) {
        if (!target_read(target, at, page, PAGE))
            continue;
        const char *found = memmem(page, PAGE, mark, sizeof mark);
        if (found != NULL && census_read(target, at + (uint64_t)(found - page), census))
            return true;
    }
    return false;
}

struct census *snapshot_find(const struct target *target, GError **error) {
    struct census *census = g_new0(struct census, 1);
    const GArray *mappings = target_mappings(target);
    bool loaded = false;
    for (guint i = 0; i < mappings->len; i++) {
        const struct mapping *mapping = &g_array_index(mappings, struct mapping, i);
        if (strstr(mapping->path, "libctxshim") == NULL)
            continue;
        loaded = true;
        if (!mapping_search(target, mapping, census))
            continue;
        if (census->layout == CENSUS_LAYOUT)
            return census;
        g_set_error(
            error, target_error(), 0,
            "its libctxshim is of another version than this command; use the command that came with %s",
            mapping->path);
        g_free(census);
        return NULL;
    }
    g_set_error(error, target_error(), 0,
                loaded ? "its libctxshim cannot be read: too old for this command"
                       : "libctxshim is not loaded in it; start the program with \"ctxshim run\"");
    g_free(census);
    return NULL;
}

/* --- the threads --------------------------------------------------------------------------------------- */

static void provenance_show(const struct provenance *provenance, struct sight *sight) {
    if ((unsigned)provenance->evidence < G_N_ELEMENTS(evidences))
        sight->evidence = evidences[provenance->evidence];
    sight->since = provenance->since;
    sight->from = provenance->by;
    if (provenance->carrier < 0 || (unsigned)provenance->carrier >= G_N_ELEMENTS(carriers))
        return;
    sight->carrier = carriers[provenance->carrier];
    sight->fd = provenance->fd;
}

static void sight_free(gpointer data) {
    struct sight *sight = data;
    g_free(sight->stack);
    g_free(sight);
}

/* Keeps one line of the census, by the thread's inner id. */
static void keep(const struct census_line *line, void *found) {
    struct sight *sight = g_new0(struct sight, 1);
    sight->stack = g_strdup(line->stack);
    sight->doubtful = line->doubtful;
    sight->fd = -1;
    if (line->adopted)
        provenance_show(&line->provenance, sight);
    g_hash_table_replace(found, GINT_TO_POINTER(line->tid), sight);
}

/* What the thread with this inner id is called here. */
static int outer_tid(const GArray *tasks, int inside) {
    for (guint i = 0; i < tasks->len; i++)
        if (g_array_index(tasks, struct task, i).inside == inside)
            return g_array_index(tasks, struct task, i).tid;
    return 0;
}

static void sight_clear(gpointer data) {
    struct sight *sight = data;
    g_free(sight->name);
    g_free(sight->stack);
}

GArray *snapshot_take(struct target *target, const struct census *census) {
    GHashTable *found = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, sight_free);
    census_take(target_memory(target), census->records, keep, found);
    GArray *sights = g_array_new(FALSE, TRUE, sizeof(struct sight));
    g_array_set_clear_func(sights, sight_clear);
    const GArray *tasks = target_tasks(target);
    for (guint i = 0; i < tasks->len; i++) {
        const struct task *task = &g_array_index(tasks, struct task, i);
        const struct sight *known = g_hash_table_lookup(found, GINT_TO_POINTER(task->inside));
        struct sight sight = {.fd = -1};
        if (known != NULL)
            sight = *known;
        sight.stack = g_strdup(sight.stack);
        sight.tid = task->tid;
        sight.from = sight.from != 0 && sight.from != task->inside ? outer_tid(tasks, sight.from) : 0;
        sight.name = g_strdup(task->name);
        g_array_append_val(sights, sight);
    }
    g_hash_table_unref(found);
    return sights;
}
