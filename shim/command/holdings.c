/* Holders, read from outside: see holdings.h. */
#include "holdings.h"

#include "record_file.h"
#include "sockets.h"

#include "../../ctxstore/stack.h"
#include "../census.h"
#include "../openfile.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_ROOM = 4096 };

struct taking {
    struct target *target;
    const struct census *census;
    const GArray *tasks;
    GArray *held;
    GHashTable *modules; /* path -> struct record_module */
    GHashTable *peers;   /* sockets.h; NULL: nobody has asked yet */
};

/* --- places -------------------------------------------------------------------------------------------- */

/* Where a file is loaded: address - base is its own address. A program that is not relocatable has its own.
 */
static uint64_t base_of(const struct target *target, const char *path) {
    const GArray *mappings = target_mappings(target);
    Elf64_Ehdr header;
    for (guint i = 0; i < mappings->len; i++) {
        const struct mapping *mapping = &g_array_index(mappings, struct mapping, i);
        if (strcmp(mapping->path, path) != 0)
            continue;
        bool fixed = mapping->offset == 0 && target_read(target, mapping->start, &header, sizeof header) &&
                     header.e_type == ET_EXEC;
        return fixed ? 0 : mapping->start - mapping->offset;
    }
    return 0;
}

static const struct record_module *module_of(struct taking *taking, const char *path) {
    struct record_module *module = g_hash_table_lookup(taking->modules, path);
    if (module != NULL)
        return module;
    size_t length = strlen(path);
    module = g_malloc0(sizeof *module + length + 1);
    module->base = base_of(taking->target, path);
    memcpy(module->path, path, length);
    g_hash_table_insert(taking->modules, g_strdup(path), module);
    return module;
}

/* A return address lies behind its call. */
static void place_add(struct taking *taking, GArray *places, uint64_t address) {
    const GArray *mappings = target_mappings(taking->target);
    struct place place = {NULL, address - 1};
    for (guint i = 0; i < mappings->len && place.module == NULL; i++) {
        const struct mapping *mapping = &g_array_index(mappings, struct mapping, i);
        if (address - 1 >= mapping->start && address - 1 < mapping->end)
            place.module = module_of(taking, mapping->path);
    }
    if (place.module != NULL)
        place.offset -= place.module->base;
    if (address != 0)
        g_array_append_val(places, place);
}

static GArray *places_of(struct taking *taking, uint16_t site) {
    GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));
    const struct holders_map *map = &taking->census->holders;
    uint64_t table, address = 0;
    struct stack stack;
    if (site == 0)
        return places;
    if (site < STACK_FIRST) {
        if (target_read(taking->target, (uintptr_t)map->sites + site * sizeof address, &address,
                        sizeof address))
            place_add(taking, places, address);
        return places;
    }
    if (!target_read(taking->target, (uintptr_t)map->stacks, &table, sizeof table) || table == 0 ||
        !target_read(taking->target, table + (uint64_t)(site - STACK_FIRST) * sizeof stack, &stack,
                     sizeof stack))
        return places;
    for (uint32_t i = 0; i < stack.frames && i < STACK_FRAMES; i++)
        place_add(taking, places, (uintptr_t)stack.frame[i]);
    return places;
}

/* --- holders ------------------------------------------------------------------------------------------- */

/* A socket's peer, or what /proc says the descriptor is. */
static char *link_of(struct taking *taking, int fd) {
    int pid = target_memory(taking->target)->pid;
    if (fd < 0 || pid == 0)
        return g_strdup("");
    char *path = g_strdup_printf("/proc/%d/fd/%d", pid, fd), *link = g_file_read_link(path, NULL);
    g_free(path);
    if (link == NULL || !g_str_has_prefix(link, "socket:"))
        return link != NULL ? link : g_strdup("");
    if (taking->peers == NULL)
        taking->peers = sockets_peers(pid);
    const char *peer = g_hash_table_lookup(taking->peers, link);
    if (peer == NULL)
        return link;
    g_free(link);
    return g_strdup(peer);
}

static const struct task *task_of(const struct taking *taking, int inside) {
    for (guint i = 0; i < taking->tasks->len; i++)
        if (g_array_index(taking->tasks, struct task, i).inside == inside)
            return &g_array_index(taking->tasks, struct task, i);
    return NULL;
}

static double seconds_over(const struct taking *taking, uint32_t since) {
    uint32_t now = (uint32_t)(target_clock(taking->target) / 10000000);
    if (since == 0 || now == 0)
        return -1;
    return now - since < UINT32_MAX / 2 ? (double)(now - since) / 100 : 0;
}

static void keep(const struct holding *holding, void *arg) {
    struct taking *taking = arg;
    const struct memory *memory = target_memory(taking->target);
    char room[TEXT_ROOM];
    bool doubtful;
    struct request_view view = {0};
    const char *operations = holding->gone != NULL
                                 ? holding->gone->text
                                 : context_peek(memory, holding->at, room, sizeof room, &doubtful);
    if (operations == NULL)
        return;
    if (holding->gone != NULL)
        view.since = holding->gone->since;
    else if (!context_peek_request(memory, holding->at, &view))
        view.since = 0;
    const struct task *task = task_of(taking, holding->tid != 0 ? holding->tid : holding->origin.tid);
    struct held held = {.kind = holding->kind,
                        .operations = g_strdup(operations),
                        .thread = g_strdup(task != NULL ? task->name : ""),
                        .link = link_of(taking, holding->fd),
                        .stack = places_of(taking, holding->origin.site),
                        .over = seconds_over(taking, view.since),
                        .gone = holding->gone != NULL,
                        .fd = holding->fd,
                        .tid = holding->tid != 0 && task != NULL ? task->tid : holding->tid,
                        .from = holding->tid == 0 && task != NULL ? task->tid : holding->origin.tid};
    g_array_append_val(taking->held, held);
}

static void held_clear(gpointer data) {
    struct held *held = data;
    g_free(held->operations);
    g_free(held->thread);
    g_free(held->link);
    g_array_unref(held->stack);
}

GArray *holdings_take(struct target *target, const struct census *census) {
    struct taking taking = {.target = target, .census = census, .tasks = target_tasks(target)};
    taking.held = g_array_new(FALSE, TRUE, sizeof(struct held));
    g_array_set_clear_func(taking.held, held_clear);
    taking.modules = g_hash_table_new(g_str_hash, g_str_equal); /* places go on naming them */
    if (census->holders.layout == HOLDERS_LAYOUT)
        holders_take(target_memory(target), &census->holders, keep, &taking);
    g_hash_table_unref(taking.modules);
    if (taking.peers != NULL)
        g_hash_table_unref(taking.peers);
    return taking.held;
}
