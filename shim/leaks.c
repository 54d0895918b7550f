/* Context leaks: see leaks.h, and record.h for the region that they are kept in.
 *
 * All of the region but `used`, `count`, `last` and `age` is written under one lock, before `used` says that
 * it is there. A leak is told from another by its kind and its places: an index of these, beside the region,
 * finds it again. */
#include "leaks.h"
#include "leaks_region.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/lock.h"
#include "../ctxstore/origin.h"
#include "../ctxstore/stack.h"
#include "holders.h"
#include "mapfile.h"
#include "options.h"
#include "process.h"
#include "provenance.h"
#include "text.h"
#include "thread.h"
#include "unwind.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    LEAKS_MOST = 1024,
    MODULES_MOST = 256,
    STACKS_MOST = 1 << STACK_BITS,
    NAME_ROOM = 16,
    OPERATIONS_ROOM = 1024
};

struct leaks_inherited leaks_inherited;
static struct lock region_lock;
static struct {
    uint64_t key;
    uint32_t offset; /* in the region; 0: free */
} known[LEAKS_MOST];
static uintptr_t module_bases[MODULES_MOST]; /* by number - 1 */
static uint32_t modules;
static uint8_t stacks_written[STACKS_MOST];

/* --- modules and places
 * ------------------------------------------------------------------------------------- */

/* The build id, from the notes that are loaded with the module. */
static uint32_t build_id_of(uintptr_t base, const ElfW(Phdr) * part, uint8_t id[RECORD_BUILD_ID]) {
    uintptr_t at = base + part->p_vaddr, end = at + part->p_memsz;
    while (part->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
        uintptr_t name = at + sizeof *note, bytes = name + ((size_t)note->n_namesz + 3) / 4 * 4;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= RECORD_BUILD_ID &&
            bytes + note->n_descsz <= end) {
            memcpy(id, (const void *)bytes, note->n_descsz);
            return note->n_descsz;
        }
        at = bytes + ((size_t)note->n_descsz + 3) / 4 * 4;
    }
    return 0;
}

static void module_identify(struct record_module *module, const struct dl_find_object *object) {
    const ElfW(Ehdr) *header = object->dlfo_map_start;
    const ElfW(Phdr) *part = (const ElfW(Phdr) *)((const char *)header + header->e_phoff);
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phoff > 4096)
        return;
    for (unsigned i = 0; i < header->e_phnum && module->build_id_size == 0; i++)
        module->build_id_size = build_id_of(object->dlfo_link_map->l_addr, &part[i], module->build_id);
}

/* With the lock: the module's number; it is written when it is new. 0: no room. */
static uint32_t module_number(const struct dl_find_object *object) {
    uintptr_t base = object->dlfo_link_map->l_addr;
    const char *path =
        object->dlfo_link_map->l_name[0] != '\0' ? object->dlfo_link_map->l_name : leaks_region->exe;
    for (uint32_t i = 0; i < modules; i++)
        if (module_bases[i] == (uintptr_t)object->dlfo_map_start)
            return i + 1;
    size_t length = strnlen(path, 4096);
    struct record_module *module =
        modules < MODULES_MOST ? leaks_entry_begin(sizeof *module + length + 1, RECORD_MODULE) : NULL;
    if (module == NULL)
        return 0;
    module->number = modules + 1;
    module->base = base;
    memcpy(module->path, path, length);
    module_identify(module, object);
    module_bases[modules++] = (uintptr_t)object->dlfo_map_start;
    leaks_entry_end(&module->entry);
    return modules;
}

/* With the lock. A return address lies behind its call, which may be the last instruction of its function. */
static struct record_place place_of(const void *site) {
    struct dl_find_object object;
    uintptr_t call = (uintptr_t)site - 1;
    if (site == NULL)
        return (struct record_place){0};
    uint32_t number = _dl_find_object((void *)call, &object) == 0 ? module_number(&object) : 0;
    return (struct record_place){number, 0, number != 0 ? call - object.dlfo_link_map->l_addr : call};
}

/* With the lock: the number of a stack, which is written when it is new; 0: it is no stack's. */
static uint32_t stack_number(uint16_t site) {
    const struct stack *stack = stack_of(site);
    if (stack == NULL || stacks_written[site - STACK_FIRST])
        return stack != NULL ? site : 0;
    uint32_t frames = atomic_load_explicit(&stack->frames, memory_order_acquire);
    struct record_place places[STACK_FRAMES];
    for (uint32_t i = 0; i < frames; i++) /* modules come first: an entry is written as a whole */
        places[i] = place_of(stack->frame[i]);
    struct record_stack *entry = leaks_entry_begin(sizeof *entry + frames * sizeof *places, RECORD_STACK);
    if (entry == NULL)
        return 0;
    entry->number = site;
    entry->frames = frames;
    memcpy(entry->frame, places, frames * sizeof *places);
    stacks_written[site - STACK_FIRST] = 1;
    leaks_entry_end(&entry->entry);
    return site;
}

/* --- leaks
 * ---------------------------------------------------------------------------------------------------- */

static uint64_t key_of(const struct leak *leak) {
    uint64_t key = (uint64_t)leak->kind << 48 | (uint64_t)leak->site << 16 | leak->other_site;
    for (const char *text = leak->about; text != NULL && *text != '\0'; text++)
        if (*text < '0' || *text > '9') /* another descriptor's number is no other leak */
            key = key * 31 + (unsigned char)*text;
    return key | UINT64_C(1) << 63;
}

static size_t text_copy(char *to, const char *from) {
    size_t length = from != NULL ? strnlen(from, OPERATIONS_ROOM) : 0;
    if (length > 0)
        memcpy(to, from, length);
    to[length] = '\0';
    return length + 1;
}

/* What the thread is called; it may have ended. */
static void name_of(int tid, char name[NAME_ROOM]) {
    char path[64];
    struct text text = text_in(path, sizeof path);
    if (tid == 0 || tid == kernel_tid()) {
        kernel_call(SYS_prctl, PR_GET_NAME, (long)name, 0, 0, 0, 0);
        return;
    }
    text_put(&text, "/proc/self/task/");
    text_put_number(&text, (uint64_t)tid);
    text_put(&text, "/comm");
    text_end(&text);
    long fd = kernel_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    long got = fd >= 0 ? kernel_call(SYS_read, fd, (long)name, NAME_ROOM - 1, 0, 0, 0) : 0;
    if (fd >= 0)
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (got > 0 && name[got - 1] == '\n')
        name[got - 1] = '\0';
}

/* With the lock. */
static uint32_t leak_write(const struct leak *leak) {
    char thread[NAME_ROOM] = "";
    uint32_t stack = stack_number(leak->site), other_stack = stack_number(leak->other_site);
    struct record_place place = place_of(site_address(leak->site)),
                        other = place_of(site_address(leak->other_site));
    size_t size = sizeof(struct record_leak) + RECORD_TEXTS * (size_t)(OPERATIONS_ROOM + 1);
    struct record_leak *entry = leaks_entry_begin(size, RECORD_LEAK);
    if (entry == NULL)
        return 0;
    name_of(leak->tid, thread);
    entry->kind = leak->kind;
    entry->tid = leak->tid != 0 ? leak->tid : kernel_tid();
    entry->stack = stack;
    entry->other_stack = other_stack;
    entry->place = place;
    entry->other = other;
    entry->first = leaks_clock();
    entry->age = leak->age;
    atomic_store_explicit(&entry->last, entry->first, memory_order_relaxed);
    atomic_store_explicit(&entry->count, 1, memory_order_relaxed);
    char *at = entry->texts;
    at += text_copy(at, leak->operations);
    at += text_copy(at, thread);
    at += text_copy(at, leak->about);
    at += text_copy(at, leak->how);
    entry->entry.size = (uint32_t)(((size_t)(at - (char *)entry) + 7) / 8 * 8);
    uint32_t offset = (uint32_t)((char *)entry - (char *)leaks_region);
    leaks_entry_end(&entry->entry);
    return offset;
}

static void leak_again(uint32_t offset, const struct leak *leak) {
    struct record_leak *entry = (struct record_leak *)((char *)leaks_region + offset);
    entry->age = leak->age > entry->age ? leak->age : entry->age;
    atomic_fetch_add_explicit(&entry->count, 1, memory_order_relaxed);
    atomic_store_explicit(&entry->last, leaks_clock(), memory_order_relaxed);
}

void leaks_note(const struct leak *leak) {
    uint64_t key = key_of(leak);
    if (leaks_region == NULL)
        return;
    lock_take(&region_lock); /* what a fork child finds half done is before `used`, and not seen */
    unsigned slot = (unsigned)(key * UINT64_C(0x9E3779B97F4A7C15) >> 54);
    unsigned probes = 0;
    while (probes < LEAKS_MOST && known[slot].offset != 0 && known[slot].key != key) {
        slot = (slot + 1) % LEAKS_MOST;
        probes++;
    }
    if (probes == LEAKS_MOST)
        atomic_fetch_add_explicit(&leaks_region->dropped, 1, memory_order_relaxed);
    else if (known[slot].offset != 0)
        leak_again(known[slot].offset, leak);
    else if ((known[slot].offset = leak_write(leak)) != 0)
        known[slot].key = key;
    lock_give(&region_lock);
}

/* --- what the store finds
 * ----------------------------------------------------------------------------------- */

static const char *misuse_of(enum scope_fault fault) {
    return fault == SCOPE_OUT_OF_ORDER ? "closed by the end of a scope around it"
                                       : "closed from outside of it";
}

static void note_scope(enum scope_fault fault, const struct scope_view *scope,
                       const struct scope_view *around) {
    char operations[OPERATIONS_ROOM] = "";
    if (fault == SCOPE_UNPOPPED && scope->node != NULL &&
        leaks_is_inherited(atomic_load_explicit(&scope->node->serial, memory_order_relaxed)))
        return;
    if (scope->node != NULL)
        context_format(scope->node, operations, sizeof operations);
    leaks_note(&(struct leak){.kind = fault == SCOPE_UNPOPPED ? LEAK_UNPOPPED : LEAK_MISUSED,
                              .site = scope->number,
                              .other_site = around != NULL ? around->number : 0,
                              .operations = operations,
                              .about = fault == SCOPE_UNPOPPED ? "its frame or thread has ended"
                                                               : misuse_of(fault)});
}

/* Where work is handed over, and with no lock of ours held (origin.h): so a report that has been asked for
 * may be made here, which takes the locks of this file and of leaks_print.c, and may wait for whoever reads
 * it. */
static uint16_t place_here(const void *site) {
    if (__builtin_expect(atomic_load_explicit(&leaks_asked, memory_order_relaxed), 0))
        leaks_answer();
    return site_number(unwind_one_in != 0 ? unwind_sample(site) : site);
}

/* Hundredths of a second. */
static uint32_t clock_now(void) {
    return (uint32_t)(provenance_clock() / 10000000) | 1;
}

bool leaks_start(void) {
    if (!leaks_region_begin())
        return false;
    if (!captures_start())
        return false;
    leaks_values_start();
    leaks_signal_start();
    (void)at_quick_exit(leaks_left);
    context_clock = clock_now;
    origin_site = place_here;
    scope_report = note_scope;
    return true;
}

/* What was open, held or alive before the fork is the parent's to close: the child reports its own. Its
 * contexts get serials that are greater than all before. */
void leaks_forked(void) {
    if (leaks_region == NULL)
        return;
    context_serials_after(UINT64_MAX);
    leaks_inherited.below = context_next_serial();
    leaks_inherited.until = clock_now();
    mapfile_leave(leaks_region, RECORD_SIZE);
    leaks_region = NULL;
    memset(known, 0, sizeof known);
    memset(stacks_written, 0, sizeof stacks_written);
    modules = 0;
    leaks_survey_forked();
    leaks_values_forked();
    leaks_region_begin();
}
