/* The report that the shim prints itself, where no command does or a signal asks for it: in LeakSanitizer's
 * manner, with modules and offsets where the command has names and lines. Straight from the region
 * (record.h), one write a line. */
#include "leaks.h"

#include "../ctxstore/kernel.h"
#include "../ctxstore/lock.h"
#include "hidden.h"
#include "options.h"
#include "process.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN_MOST = 1024, LINE_ROOM = 2048, MASK_SIZE = 8 };

static const char *const kinds[] = {
#define KIND_WORD(name, word) [name] = word,
    LEAK_KINDS(KIND_WORD)
#undef KIND_WORD
};

/* --- where it goes --------------------------------------------------------------------------------- */

/* The file that this process made; a fork child makes its own. */
static struct {
    int pid; /* 0: none yet */
    dev_t device;
    ino_t inode;
} made;

/* A file of its own for each process (nobody's is written to, and no link followed), or stderr. Under its
 * name there may lie another one by the second report: that is nobody's either. With the lock. */
static long output_open(void) {
    char path[OPTION_TEXT_ROOM + 24];
    if (options.log_path[0] == '\0')
        return STDERR_FILENO;
    struct text text = text_in(path, sizeof path);
    text_put(&text, options.log_path);
    text_put(&text, ".");
    text_put_number(&text, (uint64_t)process_pid());
    text_end(&text);
    bool again = made.pid == process_pid();
    int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_APPEND | (again ? 0 : O_CREAT | O_EXCL);
    long fd = kernel_call(SYS_openat, AT_FDCWD, (long)path, flags, 0600, 0, 0);
    if (fd < 0)
        return STDERR_FILENO;
    struct stat facts = {0};
    bool known = kernel_call(SYS_fstat, fd, (long)&facts, 0, 0, 0, 0) == 0;
    if (known && !again) {
        made.pid = process_pid();
        made.device = facts.st_dev;
        made.inode = facts.st_ino;
    }
    if (known && facts.st_dev == made.device && facts.st_ino == made.inode)
        return fd;
    kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return STDERR_FILENO;
}

/* Nobody may read it any longer: that kills nobody. */
static void line_write(long fd, struct text *text, char *line) {
    uint64_t pipe_signal = UINT64_C(1) << (SIGPIPE - 1), before = 0;
    struct timespec none = {0};
    kernel_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&pipe_signal, (long)&before, MASK_SIZE, 0, 0);
    if (kernel_call(SYS_write, fd, (long)line, text->at - line, 0, 0, 0) == -EPIPE && !(before & pipe_signal))
        kernel_call(SYS_rt_sigtimedwait, (long)&pipe_signal, 0, (long)&none, MASK_SIZE, 0, 0);
    kernel_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, MASK_SIZE, 0, 0);
    *text = text_in(line, LINE_ROOM);
}

/* --- the region ------------------------------------------------------------------------------------ */

static const struct record_entry *entry_next(const struct record_entry *entry) {
    uint64_t used = atomic_load_explicit(&leaks_region->used, memory_order_acquire);
    const char *end = (const char *)leaks_region + used;
    const char *next =
        entry == NULL ? (const char *)leaks_region + sizeof *leaks_region : (const char *)entry + entry->size;
    return next < end ? (const struct record_entry *)(const void *)next : NULL;
}

static const struct record_entry *entry_find(enum record_type type, uint32_t number) {
    const struct record_entry *entry = NULL;
    while ((entry = entry_next(entry)) != NULL)
        if (entry->type == type &&
            (type == RECORD_STACK ? ((const struct record_stack *)entry)->number
                                  : ((const struct record_module *)entry)->number) == number)
            return entry;
    return NULL;
}

/* --- text ------------------------------------------------------------------------------------------ */

static void put_hex(struct text *text, uint64_t value) {
    char digits[24], *digit = digits + sizeof digits - 1;
    *digit = '\0';
    do
        *--digit = "0123456789abcdef"[value % 16];
    while ((value /= 16) != 0);
    text_put(text, "0x");
    text_put(text, digit);
}

static void put_place(struct text *text, unsigned number, const struct record_place *place) {
    const struct record_module *module =
        place->module != 0 ? (const struct record_module *)entry_find(RECORD_MODULE, place->module) : NULL;
    text_put(text, "    #");
    text_put_number(text, number);
    text_put(text, " ");
    if (module != NULL) {
        hidden_put_text(text, module->path, '\'');
        text_put(text, "+");
    }
    put_hex(text, place->offset);
    text_put(text, "\n");
}

static void print_places(long fd, uint32_t stack, const struct record_place *place) {
    char line[LINE_ROOM];
    struct text text = text_in(line, sizeof line);
    const struct record_stack *entry =
        stack != 0 ? (const struct record_stack *)entry_find(RECORD_STACK, stack) : NULL;
    if (entry == NULL && place->module == 0 && place->offset == 0)
        return;
    for (uint32_t i = 0; i < (entry != NULL ? entry->frames : 1); i++) {
        put_place(&text, i, entry != NULL ? &entry->frame[i] : place);
        line_write(fd, &text, line);
    }
}

static const char *text_after(const char *text) {
    return text + strlen(text) + 1;
}

static void print_leak(long fd, const struct record_leak *leak) {
    const char *operations = leak->texts, *thread = text_after(operations), *about = text_after(thread),
               *how = text_after(about);
    char line[LINE_ROOM];
    struct text text = text_in(line, sizeof line);
    uint64_t count =
        atomic_load_explicit(&((struct record_leak *)(uintptr_t)leak)->count, memory_order_relaxed);
    text_put(&text, kinds[leak->kind]);
    text_put(&text, " of '");
    hidden_put_text(&text, operations[0] != '\0' ? operations : "(no operation)", '\'');
    text_put(&text, "', ");
    text_put_number(&text, count);
    text_put(&text, count == 1 ? " time" : " times");
    text_put(&text, ", thread ");
    text_put_number(&text, (uint64_t)leak->tid);
    text_put(&text, " (");
    hidden_put_text(&text, thread, ')');
    text_put(&text, "), from:\n");
    line_write(fd, &text, line);
    print_places(fd, leak->stack, &leak->place);
    if (leak->other.module != 0 || leak->other.offset != 0) {
        text_put(&text, "  against the scope from:\n");
        line_write(fd, &text, line);
        print_places(fd, leak->other_stack, &leak->other);
    }
    text_put(&text, "    ");
    hidden_put_text(&text, about, '\'');
    text_put(&text, *how != '\0' ? "; " : "");
    hidden_put_text(&text, how, '\'');
    if (leak->age > 0) {
        text_put(&text, "; for ");
        text_put_number(&text, leak->age / 1000000000);
        text_put(&text, " s after its request was over");
    }
    text_put(&text, "\n\n");
    line_write(fd, &text, line);
}

static uint64_t count_of(const struct record_leak *leak) {
    return atomic_load_explicit(&((struct record_leak *)(uintptr_t)leak)->count, memory_order_relaxed);
}

/* The most frequent first. */
static unsigned leaks_collect(const struct record_leak *shown[SHOWN_MOST], uint64_t *sum) {
    unsigned count = 0;
    const struct record_entry *entry = NULL;
    while ((entry = entry_next(entry)) != NULL && count < SHOWN_MOST) {
        if (entry->type != RECORD_LEAK)
            continue;
        const struct record_leak *leak = (const struct record_leak *)entry;
        unsigned at = count++;
        for (; at > 0 && count_of(shown[at - 1]) < count_of(leak); at--)
            shown[at] = shown[at - 1];
        shown[at] = leak;
        *sum += count_of(leak);
    }
    return count;
}

static void print_head(long fd, const char *word, const char *rest, uint64_t sum, unsigned places) {
    char line[LINE_ROOM];
    struct text text = text_in(line, sizeof line);
    text_put(&text, word);
    if (places == 0) {
        text_put_number(&text, (uint64_t)process_pid());
    } else {
        text_put_number(&text, sum);
        text_put(&text, sum == 1 ? " context leak at " : " context leaks at ");
        text_put_number(&text, places);
        text_put(&text, places == 1 ? " place in process " : " places in process ");
        text_put_number(&text, (uint64_t)process_pid());
    }
    text_put(&text, rest);
    line_write(fd, &text, line);
}

void leaks_print(void) {
    static struct lock one_at_a_time;
    static const struct record_leak *shown[SHOWN_MOST];
    uint64_t sum = 0;
    if (leaks_region == NULL)
        return;
    lock_take(&one_at_a_time);
    unsigned count = leaks_collect(shown, &sum);
    long fd = count > 0 ? output_open() : STDERR_FILENO;
    if (count > 0)
        print_head(fd, "==", "==ERROR: ctxshim: detected context leaks\n\n", 0, 0);
    for (unsigned i = 0; i < count; i++)
        print_leak(fd, shown[i]);
    if (count > 0)
        print_head(fd, "SUMMARY: ctxshim: ", "\n", sum, count);
    if (fd != STDERR_FILENO)
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    lock_give(&one_at_a_time);
}
