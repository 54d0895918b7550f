/* A look at another flow's context: see peek.h. */
#include "peek.h"

#include "context.h"
#include "kernel.h"

#include <sys/uio.h>

/* --- memory -------------------------------------------------------------------------------------- */

/* A sandbox may forbid the call even to oneself. */
static bool read_own(const struct memory *memory, const struct piece *pieces, unsigned count) {
    if (memory->pid != kernel_pid())
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!kernel_peek(pieces[i].to, pieces[i].from, pieces[i].size))
            return false;
    return true;
}

static bool read_process(const struct memory *memory, const struct piece *pieces, unsigned count) {
    struct iovec to[MEMORY_PIECES], from[MEMORY_PIECES];
    long size = 0;
    for (unsigned i = 0; i < count; i++) {
        to[i] = (struct iovec){pieces[i].to, pieces[i].size};
        from[i] = (struct iovec){(void *)(uintptr_t)pieces[i].from, pieces[i].size};
        size += (long)pieces[i].size;
    }
    long result =
        kernel_call(SYS_process_vm_readv, memory->pid, (long)to, (long)count, (long)from, (long)count, 0);
    return result == size || (result < 0 && read_own(memory, pieces, count));
}

struct memory memory_of(int pid) {
    return (struct memory){read_process, pid};
}

/* --- nodes --------------------------------------------------------------------------------------- */

/* A copy of one node; false when it is none, or was not one node all the time. A node that has set a value
 * ends before its text, and the memory may end there, too. */
static bool node_copy(const struct memory *memory, const struct context *node, struct context *copy,
                      uint64_t *serial) {
    uint64_t again;
    if ((uintptr_t)node % _Alignof(struct context) != 0)
        return false;
    const struct piece head[] = {{serial, &node->serial, sizeof *serial},
                                 {copy, node, CONTEXT_VALUE_SIZE},
                                 {&again, &node->serial, sizeof again}};
    if (!memory->read(memory, head, 3) || *serial == 0 || again != *serial)
        return false;
    if (copy->kind == CONTEXT_VALUE)
        return true;
    const struct piece text[] = {{copy->text, node->text, NAME_INLINE},
                                 {&again, &node->serial, sizeof again}};
    return memory->read(memory, text, 2) && again == *serial;
}

/* --- text, written from the end ------------------------------------------------------------------- */

struct text {
    char *begin, *at; /* what is written begins at `at` */
    bool blank;       /* a blank belongs before it, if anything does */
    bool full;
    bool doubtful; /* a node on the way says so */
};

static size_t text_room(const struct text *text) {
    return (size_t)(text->at - text->begin);
}

static void text_cut(struct text *text) {
    static const char dots[] = "...";
    for (size_t i = 0; i < sizeof dots - 1; i++)
        text->at[i] = dots[i];
    text->full = true;
}

static void text_put(struct text *text, const char *part, size_t length) {
    if (text->blank && text_room(text) > 0)
        *--text->at = ' ';
    size_t room = text_room(text);
    bool fits = length <= room;
    size_t kept = fits ? length : room;
    text->at -= kept;
    memcpy(text->at, part + length - kept, kept);
    if (!fits)
        text_cut(text);
}

/* The rest of a name beside its node: its end, if it is too long. */
static bool put_name(const struct memory *memory, const struct context_name *name, struct text *text) {
    size_t length;
    if (name == NULL || (uintptr_t)name % _Alignof(struct context_name) != 0)
        return false;
    const char *from = name->text;
    if (text->blank && text_room(text) > 0)
        *--text->at = ' ';
    if (!memory_copy(memory, &length, &name->length, sizeof length))
        return false;
    size_t room = text_room(text);
    bool fits = length <= room;
    size_t kept = fits ? length : room;
    uintptr_t end = (uintptr_t)from + length;
    if (!memory_copy(memory, text->at - kept, (const void *)(end - kept), kept))
        return false;
    text->at -= kept;
    if (!fits)
        text_cut(text);
    return true;
}

static void put_number(struct text *text, uint64_t number) {
    do
        if (text_room(text) > 0)
            *--text->at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
}

/* A root's word is a literal, and short. */
static bool put_root(const struct memory *memory, const struct context *root, struct text *text) {
    char word[16];
    const struct context_name *renamed =
        atomic_load_explicit(&((struct context *)(uintptr_t)root)->root.renamed, memory_order_relaxed);
    if (renamed != NULL)
        return put_name(memory, renamed, text);
    if (!memory_copy(memory, word, root->root.word, sizeof word))
        return false;
    if (text->blank && text_room(text) > 0)
        *--text->at = ' ';
    text->blank = false;
    put_number(text, root->root.number);
    text_put(text, word, strnlen(word, sizeof word));
    return true;
}

static bool put_node(const struct memory *memory, const struct context *node, struct text *text) {
    bool put = true;
    switch (node->kind) {
    case CONTEXT_AMBIGUOUS:
        if (node->parent == NULL)
            return true;
        text_put(text, "?", 1);
        text->blank = false;
        text->doubtful = true;
        return true;
    case CONTEXT_OPERATION:
        if (node->long_name)
            put = put_name(memory, node->long_text, text);
        else
            text_put(text, node->text, strnlen(node->text, NAME_INLINE));
        break;
    case CONTEXT_ROOT:
        put = put_root(memory, node, text);
        break;
    default:
        return true;
    }
    text->blank = true;
    return put;
}

/* One look; false when it was not whole. */
static bool peek(const struct memory *memory, const void *current, struct text *text) {
    const struct context *innermost, *node;
    uint64_t serial, innermost_serial = 0, still = 0;
    if (!memory_copy(memory, &innermost, current, sizeof innermost))
        return false;
    struct circle circle = {0};
    for (node = innermost; node != NULL && !text->full;) {
        struct context copy;
        if (circle_closed(&circle, node) || !node_copy(memory, node, &copy, &serial) ||
            !put_node(memory, &copy, text))
            return false;
        if (node == innermost)
            innermost_serial = serial;
        node = copy.parent;
    }
    return innermost == NULL ||
           (memory_copy(memory, &still, &innermost->serial, sizeof still) && still == innermost_serial);
}

const char *context_peek(const struct memory *memory, const void *current, char *buffer, size_t size,
                         bool *doubtful) {
    enum { LOOKS = 200 };
    for (int look = 0; look < LOOKS; look++) {
        struct text text = {.begin = buffer, .at = buffer + size - 1};
        buffer[size - 1] = '\0';
        bool whole = peek(memory, current, &text);
        *doubtful = text.doubtful;
        if (whole)
            return text.at;
    }
    return NULL;
}

/* --- the path ------------------------------------------------------------------------------------ */

bool context_peek_path(const struct memory *memory, const void *current,
                       bool (*each)(const struct context *at, const struct context *copy, void *arg),
                       void *arg) {
    const struct context *innermost, *node;
    uint64_t serial, innermost_serial = 0, still = 0;
    if (!memory_copy(memory, &innermost, current, sizeof innermost))
        return false;
    for (node = innermost; node != NULL;) {
        struct context copy;
        if (!node_copy(memory, node, &copy, &serial))
            return false;
        if (node == innermost)
            innermost_serial = serial;
        if (!each(node, &copy, arg))
            break;
        node = copy.parent;
    }
    return innermost == NULL ||
           (memory_copy(memory, &still, &innermost->serial, sizeof still) && still == innermost_serial);
}

static bool take_root(const struct context *at, const struct context *copy, void *arg) {
    struct request_view *view = arg;
    (void)at;
    if (copy->kind != CONTEXT_ROOT)
        return true;
    struct context *root = (struct context *)(uintptr_t)copy;
    *view = (struct request_view){atomic_load_explicit(&root->serial, memory_order_relaxed),
                                  atomic_load_explicit(&root->marks, memory_order_relaxed) & CONTEXT_OVER,
                                  root->stack};
    return false;
}

bool context_peek_request(const struct memory *memory, const void *current, struct request_view *view) {
    enum { LOOKS = 20 };
    for (int look = 0; look < LOOKS; look++) {
        *view = (struct request_view){0};
        if (context_peek_path(memory, current, take_root, view))
            return true;
    }
    return false;
}
