/* Retained contexts of a running process: see survey.h. */
#include "survey.h"

#include "../holders.h"
#include "holdings.h"

#include <stdbool.h>
#include <string.h>

static const char *const holder_words[] = {
#define HOLDER_WORD(name, word) [name] = word,
    HOLDER_KINDS(HOLDER_WORD)
#undef HOLDER_WORD
};

/* "held by a timer, fd 7 (anon_inode:[timerfd])", as leaks_survey.c says it. */
static char *about_of(const struct held *held) {
    GString *about = g_string_new("held by ");
    g_string_append(about, holding_article(held->kind));
    g_string_append(about, holder_words[held->kind]);
    if (held->fd >= 0)
        g_string_append_printf(about, ", fd %d (%s)", held->fd, held->link);
    if (held->gone)
        g_string_append(about, ": its name alone, its values were let go");
    return g_string_free(about, FALSE);
}

/* The same for all that are one leak. Another descriptor's or port's number is no other leak. */
static char *group_of(const char *about, const GArray *stack) {
    GString *group = g_string_new(NULL);
    for (const char *at = about; *at != '\0'; at++)
        if (!g_ascii_isdigit(*at))
            g_string_append_c(group, *at);
    for (guint i = 0; i < stack->len; i++) {
        const struct place *place = &g_array_index(stack, struct place, i);
        g_string_append_printf(group, ";%s+%" G_GINT64_MODIFIER "x",
                               place->module != NULL ? place->module->path : "", place->offset);
    }
    return g_string_free(group, FALSE);
}

static struct leak_seen leak_of(const struct record *record, const struct held *held, const char *about) {
    struct record_leak *entry = g_new0(struct record_leak, 1);
    entry->kind = LEAK_RETAINED;
    entry->tid = held->tid != 0 ? held->tid : held->from != 0 ? held->from : record->header->pid;
    const char *how =
        held->from == 0
            ? ""
            : g_strdup_printf(holding_starts(held->kind) ? "started by thread %d" : "left there by thread %d",
                              held->from);
    return (struct leak_seen){entry,
                              g_strdup(held->operations),
                              g_strdup(held->thread),
                              about,
                              how,
                              g_array_ref(held->stack),
                              g_array_new(FALSE, FALSE, sizeof(struct place))};
}

/* What is retained in `held` is counted in its group, which is made when there is none. */
static void take(struct record *record, GHashTable *groups, const struct held *held) {
    char *about = about_of(held), *group = group_of(about, held->stack);
    gpointer known = g_hash_table_lookup(groups, group);
    if (known == NULL) {
        struct leak_seen leak = leak_of(record, held, about);
        g_array_append_val(record->leaks, leak);
        known = GUINT_TO_POINTER(record->leaks->len);
        g_hash_table_insert(groups, g_strdup(group), known);
    }
    guint number = GPOINTER_TO_UINT(known) - 1;
    struct record_leak *entry =
        (struct record_leak *)g_array_index(record->leaks, struct leak_seen, number).entry;
    entry->count++;
    entry->age = MAX(entry->age, (uint64_t)(held->over * 1e9));
    g_free(group);
}

/* What a signal's report has noted before, and is held no longer, stays; what is held still is counted now.
 */
static void drop_noted(struct record *record, GHashTable *groups, guint noted) {
    for (guint i = noted; i-- > 0;) {
        const struct leak_seen *leak = &g_array_index(record->leaks, struct leak_seen, i);
        char *group = group_of(leak->about, leak->stack);
        if (leak->entry->kind == LEAK_RETAINED && g_hash_table_contains(groups, group))
            g_array_remove_index(record->leaks, i);
        g_free(group);
    }
}

void survey_add(struct record *record, struct target *target, const struct census *census) {
    GArray *holdings = holdings_take(target, census);
    const double unsharp = 0.02; /* both clocks are told in hundredths */
    double lived = (double)g_get_real_time() / 1e6 - (double)record->header->started / 1e9 + unsharp;
    GHashTable *groups = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint noted = record->leaks->len;
    for (guint i = 0; i < holdings->len; i++) {
        const struct held *held = &g_array_index(holdings, struct held, i);
        bool parents = held->over > lived; /* it was over before the fork */
        if (holding_retains(held->kind) && held->over >= (double)record->header->leaks_after && !parents)
            take(record, groups, held);
    }
    drop_noted(record, groups, noted);
    g_hash_table_unref(groups);
    g_array_unref(holdings);
}
