/* Records: see record_file.h. What a region says is taken for true only after its sizes and numbers were
 * checked; an entry that does not hold together ends the reading there. */
#include "record_file.h"

#include "snapshot.h"
#include "survey.h"

#include "../census.h"

#include <errno.h>
#include <string.h>

/* --- entries -----------------------------------------------------------------------------------------------
 */

/* The texts of a leak: true when each ends inside it. */
static gboolean texts_find(const struct record_leak *entry, const char *texts[RECORD_TEXTS]) {
    const char *at = entry->texts, *end = (const char *)entry + entry->entry.size;
    for (int i = 0; i < RECORD_TEXTS; i++) {
        const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
        if (nul == NULL)
            return FALSE;
        texts[i] = at;
        at = nul + 1;
    }
    return TRUE;
}

static struct place place_of(const struct record *record, struct record_place place) {
    gboolean known = place.module > 0 && place.module <= record->modules->len;
    return (struct place){known ? g_ptr_array_index(record->modules, place.module - 1) : NULL, place.offset};
}

static void place_add(const struct record *record, GArray *places, struct record_place raw) {
    struct place place = place_of(record, raw);
    if (place.module != NULL || place.offset != 0)
        g_array_append_val(places, place);
}

/* The stack of this number, or the place alone. */
static GArray *stack_find(const struct record *record, GHashTable *stacks, uint32_t number,
                          struct record_place place) {
    GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));
    const struct record_stack *stack = g_hash_table_lookup(stacks, GUINT_TO_POINTER(number));
    if (stack == NULL)
        place_add(record, places, place);
    for (uint32_t i = 0; stack != NULL && i < stack->frames; i++)
        place_add(record, places, stack->frame[i]);
    return places;
}

static gboolean leak_take(struct record *record, GHashTable *stacks, const struct record_leak *entry) {
    const char *texts[RECORD_TEXTS];
    if (entry->entry.size < sizeof *entry || entry->kind > LEAK_VALUE || !texts_find(entry, texts))
        return FALSE;
    struct leak_seen leak = {entry,
                             texts[0],
                             texts[1],
                             texts[2],
                             texts[3],
                             stack_find(record, stacks, entry->stack, entry->place),
                             stack_find(record, stacks, entry->other_stack, entry->other)};
    g_array_append_val(record->leaks, leak);
    return TRUE;
}

static gboolean module_take(struct record *record, const struct record_module *module) {
    if (module->entry.size <= sizeof *module || module->number != record->modules->len + 1 ||
        module->build_id_size > RECORD_BUILD_ID ||
        memchr(module->path, '\0', module->entry.size - sizeof *module) == NULL)
        return FALSE;
    g_ptr_array_add(record->modules, (gpointer)module);
    return TRUE;
}

static gboolean stack_take(GHashTable *stacks, const struct record_stack *stack) {
    if (stack->entry.size < sizeof *stack ||
        stack->frames > (stack->entry.size - sizeof *stack) / sizeof *stack->frame)
        return FALSE;
    g_hash_table_replace(stacks, GUINT_TO_POINTER(stack->number), (gpointer)stack);
    return TRUE;
}

static gboolean entry_take(struct record *record, GHashTable *stacks, const struct record_entry *entry) {
    switch (entry->type) {
    case RECORD_MODULE:
        return module_take(record, (const struct record_module *)entry);
    case RECORD_STACK:
        return stack_take(stacks, (const struct record_stack *)entry);
    case RECORD_LEAK:
        return leak_take(record, stacks, (const struct record_leak *)entry);
    default:
        return TRUE; /* of a later version */
    }
}

static void leak_clear(gpointer data) {
    struct leak_seen *leak = data;
    g_array_unref(leak->stack);
    g_array_unref(leak->other_stack);
}

/* Consumes the bytes; NULL when they are no record. */
static struct record *record_read(char *bytes, size_t size, GError **error) {
    struct record_header *header = (struct record_header *)(void *)bytes;
    if (size < sizeof *header || memcmp(header->mark, RECORD_MARK, sizeof RECORD_MARK) != 0 ||
        header->version != RECORD_VERSION) {
        g_set_error(error, target_error(), 0,
                    size < sizeof *header || memcmp(header->mark, RECORD_MARK, sizeof RECORD_MARK) != 0
                        ? "it is no record of leaks; give a file that record_path made, or a pid"
                        : "it is a record of another version; use the command that came with that library");
        g_free(bytes);
        return NULL;
    }
    header->exe[RECORD_EXE - 1] = '\0';
    struct record *record = g_new0(struct record, 1);
    record->header = header;
    record->size = MIN(size, header->used);
    record->modules = g_ptr_array_new();
    record->leaks = g_array_new(FALSE, FALSE, sizeof(struct leak_seen));
    g_array_set_clear_func(record->leaks, leak_clear);
    GHashTable *stacks = g_hash_table_new(g_direct_hash, g_direct_equal);
    size_t at = sizeof *header;
    while (at + sizeof(struct record_entry) <= record->size) {
        const struct record_entry *entry = (const struct record_entry *)(void *)(bytes + at);
        if (entry->size < sizeof *entry || entry->size % 8 != 0 || entry->size > record->size - at ||
            !entry_take(record, stacks, entry))
            break;
        at += entry->size;
    }
    g_hash_table_unref(stacks);
    return record;
}

void record_free(struct record *record) {
    g_array_unref(record->leaks);
    g_ptr_array_unref(record->modules);
    g_free(record->header);
    g_free(record);
}

/* --- where they are
 * ------------------------------------------------------------------------------------------ */

struct record *record_of_file(const char *path, GError **error) {
    char *bytes;
    gsize size;
    if (!g_file_get_contents(path, &bytes, &size, error))
        return NULL;
    return record_read(bytes, size, error);
}

/* As far as it is used: the rest may have no space yet. */
static struct record *region_read(const struct target *target, uint64_t region, GError **error) {
    struct record_header header;
    if (!target_read(target, region, &header, sizeof header)) {
        g_set_error(error, target_error(), 0, "what it has found cannot be read (%s)", g_strerror(errno));
        return NULL;
    }
    size_t size = CLAMP(header.used, sizeof header, RECORD_SIZE);
    char *bytes = g_malloc0(size);
    if (target_read(target, region, bytes, size))
        return record_read(bytes, size, error);
    g_set_error(error, target_error(), 0, "what it has found cannot be read (%s)", g_strerror(errno));
    g_free(bytes);
    return NULL;
}

struct record *record_of_process(const char *pid, GError **error) {
    struct target *target = target_open(pid, error);
    struct census *census = target != NULL ? snapshot_find(target, error) : NULL;
    struct record *record = NULL;
    uint64_t region = 0;
    if (census != NULL && target_read(target, (uintptr_t)census->leaks, &region, sizeof region) &&
        region != 0) {
        record = region_read(target, region, error);
    } else if (census != NULL) {
        g_set_error(error, target_error(), 0,
                    "it does not look for leaks; start it with \"ctxshim run --leaks\"");
    }
    if (record != NULL)
        survey_add(record, target, census);
    g_free(census);
    if (target != NULL)
        target_free(target);
    return record;
}
