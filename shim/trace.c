/* The timeline's writer: see trace.h, and tracefile.h for the file.
 * A disk that is full means that a thread is not recorded (mapfile.h). */
#include "trace.h"

#include "../ctxstore/kernel.h"
#include "comm.h"
#include "environment.h"
#include "identity.h"
#include "mapfile.h"
#include "options.h"
#include "otel.h"
#include "process.h"
#include "say.h"
#include "text.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

bool trace_on;
bool trace_scopes;

enum { NAMED = 512, PATH_ROOM = 4096 + OPTION_TEXT_ROOM, COMM = 16 };

/* Of a ring, and its thread's alone. */
struct trace_writer {
    struct trace_header *header; /* of the file that it is in */
    struct trace_slot *slots;
    uint32_t count; /* of slots, a power of two */
    uint32_t ring;  /* its number */
    uint64_t next;
    struct {
        uint64_t serial, position;
    } named[NAMED]; /* which contexts have a name in the ring, and where */
};

static struct trace_header *header; /* NULL: no timeline */
static struct trace_writer *writers;
static _Atomic uint64_t
    taken[TRACE_RINGS / 64]; /* which rings are somebody's; 1 for good when one has no space */
static struct trace_writer no_ring;
static char path[PATH_ROOM];

static uint64_t clock_of(clockid_t id) {
    struct timespec time = {0};
    clock_gettime(id, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Do threads show what they work for, by their names or to profilers? */
static bool is_shown(void) {
    return options.comm || options.otel;
}

static void show(struct thread *thread) {
    if (options.comm)
        comm_show(thread);
    if (options.otel)
        otel_show(thread);
}

/* --- the file ---------------------------------------------------------------------------------------- */

static uint32_t slots_wanted(void) {
    uint32_t slots = TRACE_SLOTS_LEAST;
    while (slots < (uint32_t)options.trace_events && slots < TRACE_SLOTS_MOST)
        slots *= 2;
    return slots;
}

static size_t file_size(void) {
    return TRACE_HEADER + (size_t)TRACE_RINGS * slots_wanted() * sizeof(struct trace_slot);
}

/* The process that was started first has the file itself; any other, one with its pid behind the name. */
static long file_make_own(bool first) {
    char name[PATH_ROOM + 24];
    long fd = first ? mapfile_make(path, file_size()) : -EEXIST;
    if (fd != -EEXIST)
        return fd;
    struct text text = text_in(name, sizeof name);
    text_put(&text, path);
    text_put(&text, ".");
    text_put_number(&text, (uint64_t)process_pid());
    text_end(&text);
    return mapfile_make(name, file_size());
}

static bool trace_open(bool first) {
    size_t size = file_size();
    long fd = file_make_own(first);
    struct trace_header *made = fd >= 0 ? mapfile_map(fd, size, TRACE_HEADER) : NULL;
    if (fd >= 0)
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (made == NULL)
        return false;
    made->version = TRACE_VERSION;
    made->pid = process_pid();
    made->slots = slots_wanted();
    made->realtime = clock_of(CLOCK_REALTIME);
    made->monotonic = clock_of(CLOCK_MONOTONIC);
    kernel_call(SYS_readlink, (long)"/proc/self/exe", (long)made->exe, TRACE_EXE - 1, 0, 0, 0);
    if (incoming.traced)
        traceparent_format(&incoming.parent, made->traceparent);
    made->seeds = identity_seeds;
    atomic_thread_fence(memory_order_release);
    memcpy(made->mark, TRACE_MARK, sizeof TRACE_MARK);
    header = made;
    return true;
}

/* Children may have changed their directory. */
static void path_set(void) {
    long length = 0;
    if (options.trace[0] != '/')
        length = kernel_call(SYS_getcwd, (long)path, 4096, 0, 0, 0, 0);
    struct text text = text_in(path, sizeof path);
    if (length > 1) {
        text.at += length - 1;
        text_put(&text, "/");
    }
    text_put(&text, options.trace);
    text_end(&text);
}

static void root_ended(const struct context *root) {
    if (local.thread != NULL && guard_is_address(local.guard))
        trace_note(local.thread, TRACE_END, root, 0);
}

/* Values have no span. A scope may be left where its thread is anybody's: the event is this one's. */
static void scope_ended(const struct context *scope) {
    if (local.thread != NULL && guard_is_address(local.guard) && scope->kind != CONTEXT_VALUE)
        trace_note(local.thread, TRACE_END, NULL, trace_serial(scope));
}

/* What the process was started in is a root, too. */
static void begin_incoming(void) {
    struct thread *thread = incoming.root != NULL ? thread_enter() : NULL;
    if (thread == NULL)
        return;
    trace_root(thread, context_root_of(incoming.root));
    trace_attach(thread);
    thread_leave();
}

static struct trace_writer *writers_make(void) {
    return kernel_map((TRACE_RINGS * sizeof *writers + 4095) / 4096 * 4096);
}

static void file_start(void) {
    path_set();
    writers = writers_make();
    if (writers == NULL || !trace_open(true)) {
        say((const char *[]){"ctxshim: trace: ", path, " cannot be made; there is no timeline\n", NULL});
        return;
    }
    context_ended = root_ended;
    scope_left = scope_ended;
}

void trace_start(void) {
    if (options.trace[0] != '\0')
        file_start();
    trace_on = trace_scopes = header != NULL || is_shown();
    if (trace_on)
        begin_incoming();
}

/* The mapping is the parent's file. A handler may have interrupted the writing of an event, and then forked:
 * what goes on here after it finds memory where it was. */
static void leave_parents(void) {
    if (guard_is_free(local.guard) || local.guard == GUARD_HANDLER) {
        kernel_unmap(header, file_size());
        memset(writers, 0, TRACE_RINGS * sizeof *writers);
    } else {
        mapfile_leave(header, file_size());
        writers = writers_make();
    }
    header = NULL;
}

void trace_forked(void) {
    if (header == NULL)
        return;
    leave_parents();
    if (local.thread != NULL)
        local.thread->trace = NULL;
    for (int i = 0; i < TRACE_RINGS / 64; i++)
        atomic_store_explicit(&taken[i], 0, memory_order_relaxed);
    if (writers != NULL)
        trace_open(false);
    trace_on = header != NULL || is_shown();
}

/* --- rings ------------------------------------------------------------------------------------------- */

/* -1: all are taken. */
static int ring_take(void) {
    for (int i = 0; i < TRACE_RINGS; i++) {
        uint64_t bit = UINT64_C(1) << i % 64;
        if (!(atomic_load_explicit(&taken[i / 64], memory_order_relaxed) & bit) &&
            !(atomic_fetch_or_explicit(&taken[i / 64], bit, memory_order_acquire) & bit))
            return i;
    }
    return -1;
}

/* A new ring's space is taken now. */
static bool ring_prepare(struct trace_writer *writer, struct trace_header *file, uint32_t ring) {
    uint32_t count = slots_wanted(), rings = atomic_load_explicit(&file->rings, memory_order_relaxed);
    size_t size = count * sizeof(struct trace_slot);
    if (writer->slots != NULL)
        return true;
    struct trace_slot *slots = (struct trace_slot *)((char *)file + TRACE_HEADER + ring * size);
    if (!mapfile_take(slots, size))
        return false;
    writer->header = file;
    writer->count = count;
    writer->ring = ring;
    writer->slots = slots;
    while (rings < ring + 1 &&
           !atomic_compare_exchange_weak_explicit(&file->rings, &rings, ring + 1, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return true;
}

static struct trace_writer *ring_begin(struct trace_header *file, struct trace_writer *of) {
    int ring = ring_take();
    return ring >= 0 && ring_prepare(&of[ring], file, (uint32_t)ring) ? &of[ring] : &no_ring;
}

/* A child of a fork that no hook saw is set right by the next call that looks: until then it has no ring, and
 * the one that it inherited is its parent's. A handler that forks may come in between (leave_parents): what
 * is at hand then, is used to the end. */
static struct trace_writer *writer_of(struct thread *thread) {
    struct trace_header *file = *(struct trace_header *volatile *)&header;
    struct trace_writer *writer = *(struct trace_writer *volatile *)&thread->trace;
    struct trace_writer *all = *(struct trace_writer *volatile *)&writers;
    if (file == NULL || all == NULL || atomic_load_explicit(process_mine, memory_order_relaxed) == 0)
        return NULL;
    if (writer == NULL)
        thread->trace = writer = ring_begin(file, all);
    if (writer->slots != NULL)
        return writer;
    atomic_fetch_add_explicit(&file->missed, 1, memory_order_relaxed);
    return NULL;
}

/* --- events ------------------------------------------------------------------------------------------ */

/* The next slot, empty to whoever reads meanwhile. */
static struct trace_slot *slot_begin(struct trace_writer *writer) {
    struct trace_slot *slot = &writer->slots[writer->next & (writer->count - 1)];
    atomic_store_explicit(&slot->number, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->check, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return slot;
}

static void slot_end(struct trace_writer *writer, struct trace_slot *slot) {
    uint64_t number = ++writer->next;
    atomic_store_explicit(&slot->check, (uint32_t)number, memory_order_release);
    atomic_store_explicit(&slot->number, number, memory_order_release);
    atomic_store_explicit(&writer->header->next[writer->ring], number, memory_order_release);
}

static void text_rest(struct trace_writer *writer, int tid, const char *text, size_t length) {
    for (; length > 0;) {
        size_t part = length < TRACE_MORE_TEXT ? length : TRACE_MORE_TEXT;
        struct trace_slot *slot = slot_begin(writer);
        slot->type = TRACE_MORE;
        slot->tid = tid;
        memset(slot->more_text, 0, sizeof slot->more_text);
        memcpy(slot->more_text, text, part);
        slot_end(writer, slot);
        text += part;
        length -= part;
    }
}

struct event {
    enum trace_type type;
    uint64_t context, other;
    enum evidence evidence;
    int carrier, fd, by;
    const char *text;
    size_t length;
};

static void event_put(struct trace_writer *writer, int tid, const struct event *event) {
    size_t length = event->length < TRACE_NAME_MOST ? event->length : TRACE_NAME_MOST;
    /* cppcheck-suppress knownConditionTrueFalse ; it takes an event for an empty one. */
    size_t first = length < TRACE_TEXT ? length : TRACE_TEXT;
    struct trace_slot *slot = slot_begin(writer);
    slot->type = (uint8_t)event->type;
    slot->evidence = (uint8_t)event->evidence;
    slot->carrier = (uint8_t)event->carrier;
    slot->more = (uint8_t)((length - first + TRACE_MORE_TEXT - 1) / TRACE_MORE_TEXT);
    slot->tid = tid;
    slot->time = clock_of(CLOCK_MONOTONIC);
    slot->context = event->context;
    slot->other = event->other;
    slot->fd = event->fd;
    slot->by = event->by;
    memset(slot->text, 0, sizeof slot->text);
    /* cppcheck-suppress knownConditionTrueFalse ; as above. */
    if (first > 0)
        memcpy(slot->text, event->text, first);
    slot_end(writer, slot);
    text_rest(writer, tid, event->text + first, length - first);
}

static void thread_name_put(struct trace_writer *writer, int tid) {
    char name[COMM] = "";
    kernel_call(SYS_prctl, PR_GET_NAME, (long)name, 0, 0, 0, 0);
    event_put(writer, tid,
              &(struct event){.type = TRACE_THREAD, .text = name, .length = strnlen(name, COMM)});
}

/* The thread may be named any time: its name is noted at first, soon after, and again before it is
 * overwritten. */
static void put(struct thread *thread, struct trace_writer *writer, struct event event) {
    enum { SOON = 32 };
    uint64_t again = writer->count / 4, at = writer->next;
    int tid = atomic_load_explicit(&thread->tid, memory_order_relaxed);
    event_put(writer, tid, &event);
    if (at == 0 || (at < SOON && writer->next >= SOON) || at / again != writer->next / again)
        thread_name_put(writer, tid);
}

/* --- names ------------------------------------------------------------------------------------------- */

static bool is_named(const struct trace_writer *writer, uint64_t serial) {
    uint64_t position = writer->named[serial % NAMED].position;
    return writer->named[serial % NAMED].serial == serial && position + writer->count / 4 > writer->next;
}

/* What `type` says of the context: its whole stack, and whose it is. */
static void name_put(struct thread *thread, struct trace_writer *writer, enum trace_type type,
                     const struct context *context) {
    char text[TRACE_NAME_MOST + 1];
    uint64_t serial = trace_serial(context);
    const struct context *around =
        type == TRACE_ROOT ? context_root_of(context->parent) : context_root_of(context);
    size_t length = context_format(context, text, sizeof text);
    writer->named[serial % NAMED].serial = serial;
    writer->named[serial % NAMED].position = writer->next;
    put(thread, writer,
        (struct event){.type = type,
                       .context = serial,
                       .other = trace_serial(around),
                       .evidence = context->kind == CONTEXT_AMBIGUOUS,
                       .text = text,
                       .length = length < sizeof text ? length : sizeof text - 1});
}

/* What else a context in doubt may belong to, each root once. */
static void links_put(struct thread *thread, struct trace_writer *writer, const struct context *context) {
    const struct context *root = context_root_of(context);
    for (int i = 0; i < CONTEXT_LINKS && context->links[i] != NULL; i++) {
        const struct context *other = context_root_of(context->links[i]);
        if (other != NULL && other != root)
            put(thread, writer,
                (struct event){
                    .type = TRACE_LINK, .context = trace_serial(context), .other = trace_serial(other)});
    }
}

static void named(struct thread *thread, struct trace_writer *writer, const struct context *context) {
    if (context == NULL || is_named(writer, trace_serial(context)))
        return;
    name_put(thread, writer, TRACE_NAME, context);
    if (context->kind == CONTEXT_AMBIGUOUS)
        links_put(thread, writer, context);
}

/* --- what is told ------------------------------------------------------------------------------------ */

static void write_event(struct thread *thread, const struct context *context, struct event event) {
    struct trace_writer *writer = writer_of(thread);
    if (writer == NULL)
        return;
    named(thread, writer, context);
    if (context != NULL)
        event.context = trace_serial(context);
    put(thread, writer, event);
}

void trace_note(struct thread *thread, enum trace_type type, const struct context *context, uint64_t serial) {
    struct trace_writer *writer = type == TRACE_ROOT || type == TRACE_NAME ? writer_of(thread) : NULL;
    const struct context *root = type == TRACE_NAME ? context_root_of(context) : context;
    if (writer != NULL && root != NULL)
        name_put(thread, writer, type, root);
    else if (type != TRACE_ROOT && type != TRACE_NAME)
        write_event(thread, context, (struct event){.type = type, .context = serial});
    if (type == TRACE_POP || type == TRACE_LEAVE || type == TRACE_ATTACH || type == TRACE_NAME)
        show(thread);
}

void trace_write_adopt(struct thread *thread, const struct context *context, enum evidence evidence) {
    write_event(thread, context, (struct event){.type = TRACE_ADOPT, .evidence = evidence});
    show(thread);
}

struct name {
    char text[TRACE_NAME_MOST];
    size_t length;
};

static void name_byte(void *to, unsigned char byte) {
    struct name *name = to;
    if (name->length < sizeof name->text)
        name->text[name->length++] = (char)byte;
}

void trace_write_push(struct thread *thread, const struct context *scope) {
    struct trace_writer *writer = writer_of(thread);
    struct name name;
    name.length = 0;
    if (writer != NULL && context_name(scope, name_byte, &name))
        put(thread, writer,
            (struct event){.type = TRACE_PUSH,
                           .context = trace_serial(scope),
                           .other = trace_serial(context_root_of(scope)),
                           .text = name.text,
                           .length = name.length});
    show(thread);
}

void trace_write_from(struct thread *thread, const struct provenance *provenance) {
    write_event(thread, NULL,
                (struct event){.type = TRACE_FROM,
                               .carrier = provenance->carrier < 0 ? TRACE_NO_CARRIER : provenance->carrier,
                               .fd = provenance->fd,
                               .by = provenance->by});
}

void trace_write_capture(struct thread *thread, const struct open_file *file) {
    const struct context *context = flow_handed_on(&thread->flow);
    if (context != NULL)
        write_event(thread, context,
                    (struct event){.type = TRACE_CAPTURE,
                                   .carrier = file != NULL ? (int)file_kind(file) : TRACE_NO_CARRIER,
                                   .fd = file != NULL ? file->fd : -1});
}

void trace_thread_end(struct thread *thread) {
    struct trace_writer *writer = thread->trace;
    if (options.comm)
        comm_restore(thread);
    if (options.otel)
        otel_thread_end(thread);
    thread->trace = NULL;
    if (header == NULL || writer == NULL || writer->slots == NULL)
        return;
    put(thread, writer, (struct event){.type = TRACE_LEAVE});
    thread_name_put(writer, atomic_load_explicit(&thread->tid, memory_order_relaxed));
    memset(writer->named, 0, sizeof writer->named);
    atomic_fetch_and_explicit(&taken[writer->ring / 64], ~(UINT64_C(1) << writer->ring % 64),
                              memory_order_release);
}
