/* ctxshim.h, used and misused: scopes that any thread may close, or twice, or never; contexts that are kept;
 * values. What it returns differs without the shim, so it is not told: it must keep its own promises instead.
 */
#include "ops.h"

#include <setjmp.h>
#include <stdlib.h>

enum { SCOPES = 12, OPENED_EVER = 1 << 16, HELD = 12, KEYS = 4, VALUES = 4096, TEXT = 256 };

static ctxshim_scope scopes[SCOPES];
static bool opened[SCOPES];
/* Who inherited a scope may close it for itself; who has opened it is inside it still. */
static ctxshim_scope all_scopes[OPENED_EVER];
static _Atomic unsigned opened_ever;
static ctxshim_context *held[HELD];
static ctxshim_key *keys[KEYS];
static _Atomic int values[VALUES]; /* how often each has been destroyed; its address is the value */
static _Atomic int given;
static atomic_flag lock = ATOMIC_FLAG_INIT;

/* A handler may have interrupted who holds it: it does without. */
static bool try_lock(void) {
    for (int i = 0; i < 1000; i++)
        if (!atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
            return true;
    return false;
}

static void unlock(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static void value_destroy(void *value) {
    _Atomic int *count = value;
    MUST(count >= values && count < values + VALUES);
    MUST(atomic_fetch_add(count, 1) == 0);
}

void contexts_begin(void) {
    for (int i = 0; i < KEYS; i++)
        MUST((keys[i] = ctxshim_key_create("key", value_destroy)) != NULL);
}

/* --- scopes -------------------------------------------------------------------------------------------- */

static const char *some_name(void) {
    static const char *const names[] = {
        "a",   "bb",  "work", "an operation with a long name, which does not fit into a node",
        "",    "x y", "Main", "caf\xc3\xa9",
        "a\nb"};
    return names[below(LENGTH(names))];
}

static void close_at(unsigned at) {
    if (!try_lock())
        return;
    ctxshim_scope scope = scopes[at];
    bool was = opened[at];
    opened[at] = false;
    unlock();
    if (!was || ctxshim_pop(&scope) == 0 || !try_lock())
        return;
    if (!opened[at]) { /* of another flow: that one may still close it */
        opened[at] = true;
        scopes[at] = scope;
    }
    unlock();
}

static void keep_scope(ctxshim_scope scope) {
    unsigned at = below(SCOPES), number = atomic_fetch_add(&opened_ever, 1);
    MUST(number < OPENED_EVER);
    all_scopes[number] = scope;
    close_at(at);
    if (!try_lock()) {
        ctxshim_pop(&scope);
        return;
    }
    bool room = !opened[at];
    if (room) {
        scopes[at] = scope;
        opened[at] = true;
    }
    unlock();
    if (!room)
        ctxshim_pop(&scope);
}

void open_scope(void) {
    switch (below(6)) {
    case 0:
        keep_scope(ctxshim_root(some_name()));
        break;
    case 1:
        keep_scope(ctxshim_suppress_flow());
        break;
    case 2:
        keep_scope(ctxshim_attach(NULL));
        break;
    default:
        keep_scope(ctxshim_push(some_name()));
    }
}

void close_scope(void) {
    close_at(below(SCOPES));
}

static ctxshim_scope copy_scope(unsigned at) {
    ctxshim_scope scope = {0};
    if (try_lock()) {
        scope = scopes[at];
        unlock();
    }
    return scope;
}

void misuse_scope(void) {
    ctxshim_scope none = {0}, copy = copy_scope(below(SCOPES)), other = copy_scope(below(SCOPES));
    switch (below(6)) {
    case 0:
        errno = 0;
        MUST(ctxshim_pop(NULL) == 0 || errno == EINVAL);
        break;
    case 1:
        MUST(ctxshim_pop(&none) == 0);
        break;
    case 2:
        ctxshim_pop(&copy);
        ctxshim_pop(&copy);
        break;
    case 3:
        copy.serial = other.serial;
        ctxshim_pop(&copy);
        break;
    case 4:
        copy.flow = other.flow;
        ctxshim_pop(&copy);
        break;
    default:
        ctxshim_push(NULL);
    }
    ctxshim_rename(chance(50) ? some_name() : NULL);
}

/* --- contexts and values -----------------------------------------------------------------------------------
 */

static ctxshim_context *exchange_held(unsigned at, ctxshim_context *context) {
    if (!try_lock())
        return context;
    ctxshim_context *before = held[at];
    held[at] = context;
    unlock();
    return before;
}

static ctxshim_context *copy_held(unsigned at) {
    if (!try_lock())
        return NULL;
    ctxshim_context *context = ctxshim_retain(held[at]);
    unlock();
    return context;
}

/* In a handler a reference is not given back: so none is taken. */
void hold_context(void) {
    unsigned at = below(HELD);
    if (here_where == HANDLER) {
        keep_scope(ctxshim_attach(NULL));
        return;
    }
    if (chance(50)) {
        ctxshim_release(exchange_held(at, ctxshim_capture()));
    } else if (chance(50)) {
        ctxshim_release(exchange_held(at, NULL));
    } else {
        ctxshim_context *context = copy_held(at);
        keep_scope(ctxshim_attach(context));
        ctxshim_release(context);
    }
}

/* The shim took it or has destroyed it; or it is ours still. */
static void *value_new(void) {
    int next = atomic_fetch_add(&given, 1);
    return next < VALUES ? &values[next] : NULL;
}

static void value_back(void *value) {
    if (value != NULL)
        value_destroy(value);
}

void use_values(void) {
    ctxshim_key *key = keys[below(KEYS)];
    void *value = value_new();
    switch (below(6)) {
    case 0:
        MUST(ctxshim_set(key, NULL) >= 0 && ctxshim_get(key) == NULL);
        break;
    case 1: {
        errno = 0;
        ctxshim_scope scope = ctxshim_with(key, value);
        if (scope.node == NULL && errno != 0)
            value_back(value);
        else
            keep_scope(scope);
        return;
    }
    case 2: {
        ctxshim_key *other = ctxshim_key_create(NULL, value_destroy);
        CTXSHIM_SCOPE("a key that goes");
        MUST(other != NULL && ctxshim_set(other, value) == 0);
        MUST(ctxshim_key_destroy(other) == 0);
        step(here_where);
        return;
    }
    default:
        MUST(ctxshim_set(key, value) == 0);
        MUST(ctxshim_get(key) == (ctxshim_active() ? value : NULL));
        MUST(value == NULL || !ctxshim_active() || ctxshim_set(key, value) == 1);
        return;
    }
    value_back(value);
}

/* A record of what is current that has room for a part of it. */
void ask_stack(void) {
    char text[TEXT + 1];
    size_t size = below(TEXT), length;
    memset(text, '#', sizeof text);
    length = ctxshim_stack(text, size);
    MUST(text[size] == '#');
    if (size > 0)
        MUST(strlen(text) == (length < size ? length : size - 1));
}

static void some_steps(void *argument) {
    for (unsigned i = *(unsigned *)argument; i > 0; i--)
        step(here_where);
}

void run_context(void) {
    ctxshim_context *context = chance(70) ? copy_held(below(HELD)) : NULL;
    unsigned count = below(4);
    MUST(ctxshim_run(context, some_steps, &count) == 0);
    ctxshim_release(context);
}

static _Atomic unsigned changes;

/* Runs inside other calls. */
static void changed(void *before, void *after, int switched, void *argument) {
    (void)argument;
    atomic_fetch_add(&changes, (unsigned)(before != after) + (unsigned)switched);
}

void watch_changes(void) {
    int at = (int)below(KEYS);
    static _Atomic int watched[KEYS];
    int expected = 0;
    if (atomic_compare_exchange_strong(&watched[at], &expected, 1)) {
        MUST(ctxshim_on_change(keys[at], changed, &watched[at]) == 0);
    } else if (expected == 1 && atomic_compare_exchange_strong(&watched[at], &expected, 2)) {
        MUST(ctxshim_on_change_remove(keys[at], &watched[at]) == 0);
        watched[at] = 0;
    }
}

void block_scope(void) {
    CTXSHIM_SCOPE("block");
    if (chance(30)) {
        CTXSHIM_SCOPE("inner block");
        step(here_where);
    }
    for (unsigned i = below(3); i > 0; i--)
        step(here_where);
}

/* --- jumps ------------------------------------------------------------------------------------------------
 */

__attribute__((noinline)) static void jump_from(jmp_buf back, unsigned depth) {
    CTXSHIM_SCOPE("jumped over");
    if (depth > 0)
        jump_from(back, depth - 1);
    else
        steps_deeper(below(3), here_where);
    if (depth == 0)
        longjmp(back, 1);
}

void jump_out(void) {
    jmp_buf back;
    int where = here_where;
    struct dice kept = dice;
    if (setjmp(back) == 0)
        jump_from(back, below(3));
    here_where = where;
    dice = kept;
    draw();
}

/* --- the end
 * ------------------------------------------------------------------------------------------------ */

static void settle(void) {
    ctxshim_scope scope = ctxshim_push("settle");
    ctxshim_pop(&scope);
}

/* Twice: what is over when descriptors are closed is known afterwards. */
void contexts_end(void) {
    for (unsigned i = 0; i < opened_ever; i++)
        ctxshim_pop(&all_scopes[i]);
    for (unsigned i = 0; i < HELD; i++) {
        ctxshim_release(held[i]);
        held[i] = NULL;
    }
    for (int i = 0; i < KEYS; i++)
        if (keys[i] != NULL)
            ctxshim_set(keys[i], NULL);
    settle();
}
