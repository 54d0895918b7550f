/* C9 to C16: scopes. Strategy: what is open is always also known here, in an array or a name, and the stack's
 * text, the values and the store's reports are compared with it. */
#include "behaviour.h"

#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static ctxshim_key *key;
static char one, two, three; /* values: their addresses */

/* --- C9 C10 C11 ------------------------------------------------------------------------------------ */

void C9_a_second_close_does_nothing(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope outer = ctxshim_push("Main"), scope = ctxshim_push("A"), copy = scope;
    reports_begin();
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_set(key, &one) == 0);
    ctxshim_scope in_its_place = ctxshim_push("B");
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_pop(&copy) == 0);
    CHECK_STACK("Main B");
    CHECK(ctxshim_get(key) == &one);

    ctxshim_scope value = ctxshim_with(key, &two), attached = ctxshim_attach(NULL);
    CHECK(ctxshim_pop(&attached) == 0);
    CHECK(ctxshim_pop(&attached) == 0);
    CHECK(ctxshim_get(key) == &two);
    CHECK(ctxshim_pop(&value) == 0);
    CHECK(ctxshim_set(key, &three) == 0);
    CHECK(ctxshim_pop(&value) == 0);
    CHECK(ctxshim_get(key) == &three);
    CHECK(ctxshim_pop(&in_its_place) == 0);
    CHECK(ctxshim_get(key) == &one);
    CHECK(ctxshim_pop(&outer) == 0);
    CHECK(ctxshim_pop(&outer) == 0);
    CHECK(strcmp(reports_end(), "") == 0);
    ctxshim_key_destroy(key);
}

void C10_scope_exit_restores_the_entry_value(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope outer = ctxshim_push("Main");
    CHECK(ctxshim_set(key, &one) == 0);
    ctxshim_scope scope = ctxshim_push("A");
    CHECK(ctxshim_set(key, &two) == 0);
    CHECK(ctxshim_set(key, &three) == 0);
    CHECK(ctxshim_set(key, NULL) == 0);
    CHECK(ctxshim_set(key, &two) == 0);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_get(key) == &one);

    scope = ctxshim_with(key, &two);
    CHECK(ctxshim_set(key, &three) == 0);
    CHECK(ctxshim_set(key, NULL) == 0);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_get(key) == &one);
    CHECK(ctxshim_pop(&outer) == 0);
    CHECK(ctxshim_get(key) == NULL);
    ctxshim_key_destroy(key);
}

void C11_resetting_the_first_set_removes_the_key(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_with(key, &one);
    CHECK(ctxshim_get(key) == &one);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK(ctxshim_get(key) == NULL);
    CHECK(ctxshim_set(key, NULL) == 1);
    CHECK(ctxshim_capture() == NULL);
    ctxshim_key_destroy(key);
}

/* --- C12: four scopes, closed in every order ------------------------------------------------------- */

enum { FOUR = 4, ORDERS = 24 };

/* The number-th permutation of 0 to 3. */
static void permutation(unsigned number, unsigned order[FOUR]) {
    bool used[FOUR] = {false};
    unsigned divisor = ORDERS;
    for (unsigned i = 0; i < FOUR; i++) {
        divisor /= FOUR - i;
        unsigned skip = number / divisor, choice = 0;
        number %= divisor;
        while (used[choice] || skip > 0)
            skip -= !used[choice++];
        used[choice] = true;
        order[i] = choice;
    }
}

/* What closing `which` is to report: each scope inside that is still open, innermost first. */
static void expect_reports(char *expected, size_t size, bool open[FOUR], unsigned which) {
    static const char *const paths[FOUR] = {"Main 0", "Main 0 1", "Main 0 1 2", "Main 0 1 2 3"};
    expected[0] = '\0';
    for (unsigned inner = FOUR; open[which] && inner-- > which + 1;)
        if (open[inner]) {
            size_t used = strlen(expected);
            snprintf(expected + used, size - used, "out-of-order '%s'; ", paths[inner]);
            open[inner] = false;
        }
    open[which] = false;
}

static void close_pushed(const unsigned order[FOUR]) {
    static const char *const names[FOUR] = {"0", "1", "2", "3"};
    ctxshim_scope scopes[FOUR];
    bool open[FOUR];
    for (unsigned i = 0; i < FOUR; i++) {
        scopes[i] = ctxshim_push(names[i]);
        open[i] = true;
    }
    for (unsigned i = 0; i < FOUR; i++) {
        char expected[256];
        expect_reports(expected, sizeof expected, open, order[i]);
        reports_begin();
        CHECK(ctxshim_pop(&scopes[order[i]]) == 0);
        CHECK(strcmp(reports_end(), expected) == 0);
    }
    CHECK_STACK("Main");
}

static ctxshim_scope open_kind(unsigned kind, ctxshim_context *other) {
    switch (kind) {
    case 0:
        return ctxshim_push("pushed");
    case 1:
        return ctxshim_with(key, &two);
    case 2:
        return ctxshim_attach(other);
    default:
        return ctxshim_suppress_flow();
    }
}

/* The entry context, to the pointer, and flow is on. */
static void check_entry(const ctxshim_context *entry) {
    ctxshim_context *now = ctxshim_capture();
    CHECK(now == entry);
    ctxshim_release(now);
    CHECK(ctxshim_get(key) == &one);
}

/* One scope of each kind; then only the outermost of them is closed. What is inside goes with it, so the
 * scopes' own closes, in any order, change nothing. Captured or not makes a difference to the store. */
static void close_kinds(const unsigned kinds[FOUR], const unsigned order[FOUR], ctxshim_context *other,
                        bool captured) {
    ctxshim_context *entry = ctxshim_capture(), *inside[FOUR] = {NULL};
    ctxshim_scope scopes[FOUR];
    for (int outermost = 0; outermost < 2; outermost++) {
        for (unsigned i = 0; i < FOUR; i++) {
            scopes[i] = open_kind(kinds[i], other);
            CHECK(scopes[i].node != NULL);
            inside[i] = captured ? ctxshim_capture() : NULL;
        }
        reports_begin();
        if (outermost) {
            CHECK(ctxshim_pop(&scopes[0]) == 0);
            check_entry(entry);
        }
        for (unsigned i = 0; i < FOUR; i++)
            CHECK(ctxshim_pop(&scopes[order[i]]) == 0);
        bool out_of_order = outermost || order[0] != 3 || order[1] != 2 || order[2] != 1;
        CHECK((strstr(reports_end(), "out-of-order") != NULL) == out_of_order);
        check_entry(entry);
        for (unsigned i = 0; i < FOUR; i++)
            ctxshim_release(inside[i]);
    }
    ctxshim_release(entry);
}

/* Each opens a scope: a place in the code, that a report has to name. */
static ctxshim_scope opened_at[2];
void opens_outer(void);
void opens_inner(void);
__attribute__((noinline)) void opens_outer(void) {
    opened_at[0] = ctxshim_push("outer");
}
__attribute__((noinline)) void opens_inner(void) {
    opened_at[1] = ctxshim_push("inner");
}

static void close_out_of_order_names_both_places(void) {
    opens_outer();
    opens_inner();
    reports_begin();
    CHECK(ctxshim_pop(&opened_at[0]) == 0);
    CHECK(strcmp(reports_end(), "out-of-order 'Main outer inner'; ") == 0);
    const char *inner = strstr(reports_lines(), "'Main outer inner', opened at ");
    const char *outer = strstr(reports_lines(), "'Main outer', opened at ");
    CHECK(inner != NULL && outer != NULL && inner < outer);
    CHECK(line_names(inner, opens_inner) && line_names(outer, opens_outer));
    CHECK(!line_names(outer, opens_inner));
    CHECK(ctxshim_pop(&opened_at[1]) == 0);
}

void C12_scopes_closed_in_any_order_end_at_the_entry_context(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope aside = ctxshim_push("Other");
    ctxshim_context *other = ctxshim_capture();
    CHECK(ctxshim_pop(&aside) == 0);
    ctxshim_scope scope = ctxshim_push("Main"), value = ctxshim_with(key, &one);
    close_out_of_order_names_both_places();
    for (unsigned i = 0; i < ORDERS; i++) {
        unsigned order[FOUR], kinds[FOUR];
        permutation(i, order);
        close_pushed(order);
        for (unsigned j = 0; j < ORDERS; j++) {
            permutation(j, kinds);
            close_kinds(kinds, order, other, false);
            close_kinds(kinds, order, other, true);
        }
    }
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    ctxshim_release(other);
    ctxshim_key_destroy(key);
}

/* --- C13 C14 --------------------------------------------------------------------------------------- */

static void *closes_what_it_is_not_inside(void *scope) {
    reports_begin();
    ctxshim_scope own = ctxshim_push("own");
    errno = 0;
    CHECK(ctxshim_pop(scope) == -1 && errno == EPERM);
    CHECK_STACK("own");
    CHECK(strncmp(reports_end(), "foreign '", 9) == 0);
    CHECK(ctxshim_pop(&own) == 0);
    return NULL;
}

/* The error names who tried it, who opened it, and where. */
static void *is_named(void *opener) {
    char closes[64], opens[64];
    (void)closes_what_it_is_not_inside(&opened_at[0]);
    snprintf(closes, sizeof closes, "ctxshim: thread %d may not close", (int)gettid());
    snprintf(opens, sizeof opens, " by thread %d; nothing has changed", *(pid_t *)opener);
    const char *line = reports_lines();
    CHECK(strncmp(line, closes, strlen(closes)) == 0);
    CHECK(strstr(line, "'Main outer', opened at ") != NULL && strstr(line, opens) != NULL);
    CHECK(line_names(line, opens_outer));
    return NULL;
}

static void foreign_close_names_both_threads(void) {
    pid_t self = gettid();
    ctxshim_scope scope = ctxshim_push("Main");
    opens_outer();
    on_clean_thread(is_named, &self);
    CHECK_STACK("Main outer");
    CHECK(ctxshim_pop(&opened_at[0]) == 0 && ctxshim_pop(&scope) == 0);
}

void C13_closing_from_outside_is_an_error_and_changes_nothing(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scopes[] = {ctxshim_push("Main"), ctxshim_push("A"), ctxshim_with(key, &one),
                              ctxshim_suppress_flow(), ctxshim_root("request")};
    for (size_t i = 0; i < LENGTH(scopes); i++) {
        on_clean_thread(closes_what_it_is_not_inside, &scopes[i]);
        CHECK_STACK("request");
    }
    on_clean_thread(closes_what_it_is_not_inside, &scopes[1]);
    CHECK(strcmp(reports_end(), "foreign 'Main A'; ") == 0);
    reports_begin();
    CHECK(ctxshim_pop(&scopes[4]) == 0);
    CHECK_STACK("Main A");
    CHECK(ctxshim_get(key) == &one);
    CHECK(ctxshim_capture() == NULL); /* still suppressed */
    for (size_t i = LENGTH(scopes) - 1; i-- > 0;)
        CHECK(ctxshim_pop(&scopes[i]) == 0);
    CHECK(strcmp(reports_end(), "") == 0);
    foreign_close_names_both_threads();
    ctxshim_key_destroy(key);
}

static void *closes_inside(void *scope) {
    CHECK_STACK("Main A");
    CHECK(ctxshim_pop(scope) == 0);
    CHECK_STACK("Main");
    return NULL;
}

static ctxshim_scope across;

static void open_across(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    across = ctxshim_push("across");
    timer_arm(watch->fd, 1, false);
}

static void close_across(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    CHECK_STACK("Main across");
    CHECK(ctxshim_pop(&across) == 0);
    CHECK_STACK("Main");
}

void C14_a_scope_may_be_closed_by_any_flow_that_is_inside(void) {
    ctxshim_scope outer = ctxshim_push("Main"), scope = ctxshim_push("A");
    on_thread(closes_inside, &scope);
    CHECK_STACK("Main A"); /* this flow is where it was */
    on_thread(closes_inside, &scope);
    CHECK(ctxshim_pop(&scope) == 0);
    CHECK_STACK("Main");

    struct watch timer = {timer_new(), open_across, NULL};
    int loop = loop_new();
    loop_add(loop, &timer, EPOLLIN);
    timer_arm(timer.fd, 1, false);
    loop_turn(loop, 1);
    timer.ready = close_across;
    loop_turn(loop, 1);
    loop_rest(loop);
    CHECK_STACK("Main");
    close(timer.fd);
    close(loop);
    CHECK(ctxshim_pop(&outer) == 0);
}

/* --- C15 ------------------------------------------------------------------------------------------- */

static size_t resident_pages(void) {
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%zu %zu", &size, &resident) == 2);
    fclose(file);
    return resident;
}

/* Long and short names, a value, captured by halves. */
static void cycle(unsigned number) {
    ctxshim_scope scope =
        ctxshim_push(number % 3 == 0 ? "a name that is too long to be kept in a node" : "A");
    ctxshim_scope value = ctxshim_with(key, &one);
    ctxshim_context *captured = number % 2 == 0 ? ctxshim_capture() : NULL;
    CHECK(ctxshim_pop(&value) == 0 && ctxshim_pop(&scope) == 0);
    ctxshim_release(captured);
}

enum { NESTED = 1000, CYCLES = 100000, PAGES_OF_NOISE = 64 };

static void nest(void) {
    static ctxshim_scope scopes[NESTED];
    size_t before = context_live();
    for (size_t i = 0; i < NESTED; i++)
        scopes[i] = ctxshim_push("n");
    CHECK(context_live() == before + NESTED);
    CHECK(ctxshim_stack(NULL, 0) == strlen("Main") + 2 * NESTED);
    for (size_t i = NESTED; i-- > 0;) {
        CHECK(ctxshim_pop(&scopes[i]) == 0);
        CHECK(ctxshim_stack(NULL, 0) == strlen("Main") + 2 * i);
    }
    CHECK(context_live() == before);
}

void C15_scopes_leave_no_memory_behind(void) {
    key = ctxshim_key_create("key", NULL);
    ctxshim_scope scope = ctxshim_push("Main");
    nest();
    for (unsigned i = 0; i < 1000; i++)
        cycle(i);
    size_t pages = resident_pages(), live = context_live();
    for (unsigned i = 0; i < CYCLES; i++)
        cycle(i);
    CHECK(context_live() == live);
    CHECK(resident_pages() <= pages + PAGES_OF_NOISE);
    CHECK(ctxshim_pop(&scope) == 0);
    ctxshim_key_destroy(key);
}

/* --- C16: the scope macro -------------------------------------------------------------------------- */

static int leaves_by_return(void) {
    CTXSHIM_SCOPE("outer");
    CTXSHIM_SCOPE("inner");
    CHECK_STACK("Main outer inner");
    return 1;
}

static void leaves_by_break(void) {
    for (int i = 0; i < 3; i++) {
        CTXSHIM_SCOPE("loop");
        CHECK_STACK("Main loop");
        if (i == 0)
            continue;
        break;
    }
}

static void leaves_by_goto(void) {
    {
        CTXSHIM_SCOPE("block");
        CHECK_STACK("Main block");
        goto out;
    }
out:
    CHECK_STACK("Main");
}

static void is_inside_both(void) {
    CHECK_STACK("Main outer inner");
}

/* How the thread's stack looks when the blocks inside have been left. */
static void left(void *count) {
    CHECK_STACK("Main");
    ++*(int *)count;
}

static void exits_inside(void) {
    CTXSHIM_SCOPE("outer");
    CTXSHIM_SCOPE("inner");
    is_inside_both();
    pthread_exit(NULL);
}

static void *leaves_by_exit(void *count) {
    pthread_cleanup_push(left, count);
    exits_inside();
    pthread_cleanup_pop(0);
    return NULL;
}

static void waits_inside(int event) {
    CTXSHIM_SCOPE("outer");
    CTXSHIM_SCOPE("inner");
    is_inside_both();
    event_take(event);
}

struct cancelled {
    int event;
    int count;
};

static void *leaves_by_cancel(void *argument) {
    struct cancelled *cancelled = argument;
    pthread_cleanup_push(left, &cancelled->count);
    waits_inside(cancelled->event);
    pthread_cleanup_pop(0);
    return NULL;
}

static jmp_buf jump;

static void jumps_inside(struct watch *watch, uint32_t events) {
    (void)events;
    timer_read(watch->fd);
    CTXSHIM_SCOPE("outer");
    CTXSHIM_SCOPE("inner");
    is_inside_both();
    longjmp(jump, 1);
}

static void leaves_by_longjmp(void) {
    struct watch timer = {timer_new(), jumps_inside, NULL};
    int loop = loop_new();
    loop_add(loop, &timer, EPOLLIN);
    timer_arm(timer.fd, 1, false);
    if (setjmp(jump) == 0) {
        loop_turn(loop, 1);
        CHECK(false);
    }
    CHECK_STACK("Main outer inner"); /* nobody has closed them: that is for the next wait */
    reports_begin();
    loop_rest(loop);
    CHECK_STACK("Main");
    CHECK(strcmp(reports_end(), "left-open 'Main outer inner'; left-open 'Main outer'; ") == 0);
    close(timer.fd);
    close(loop);
}

/* No loop, no frame: the thread's own stack tells, since the wait is not as deep. */
static __attribute__((noinline)) void jumps_from_deep_inside(void) {
    volatile char deep[4096];
    memset((void *)(uintptr_t)deep, 0, sizeof deep);
    CTXSHIM_SCOPE("outer");
    ctxshim_push("by hand");
    CTXSHIM_SCOPE("inner");
    CHECK_STACK("Main kept helper outer by hand inner");
    longjmp(jump, 1);
}

static __attribute__((noinline)) ctxshim_scope helper_opens(void) {
    return ctxshim_push("helper");
}

static void waits_by_poll(void) {
    CHECK(poll(NULL, 0, 1) == 0);
}

static void waits_by_epoll(void) {
    int loop = loop_new();
    loop_rest(loop);
    close(loop);
}

static void waits_by_condition(void) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec past = {0};
    CHECK(pthread_mutex_lock(&lock) == 0);
    CHECK(pthread_cond_timedwait(&never, &lock, &past) == ETIMEDOUT);
    CHECK(pthread_mutex_unlock(&lock) == 0);
}

/* Blocks that are still on the stack stay, and so does what a function opened by hand before it returned:
 * only blocks say how long they last. */
static void leaves_by_longjmp_outside_a_frame(void (*wait)(void)) {
    CTXSHIM_SCOPE("kept");
    ctxshim_scope helper = helper_opens();
    if (setjmp(jump) == 0)
        jumps_from_deep_inside();
    CHECK_STACK("Main kept helper outer by hand inner");
    reports_begin();
    wait();
    CHECK_STACK("Main kept helper");
    CHECK(strcmp(reports_end(), "left-open 'Main kept helper outer by hand inner'; "
                                "left-open 'Main kept helper outer by hand'; "
                                "left-open 'Main kept helper outer'; ") == 0);
    wait();
    CHECK_STACK("Main kept helper");
    CHECK(ctxshim_pop(&helper) == 0);
}

static void leaves_by_cancellation(void) {
    struct cancelled cancelled = {.event = eventfd(0, EFD_CLOEXEC)};
    pthread_t thread = thread_start(leaves_by_cancel, &cancelled);
    CHECK(pthread_cancel(thread) == 0);
    thread_join(thread);
    CHECK(cancelled.count == 1);
    close(cancelled.event);
}

void C16_the_scope_macro_closes_however_its_block_is_left(void) {
    ctxshim_scope scope = ctxshim_push("Main");
    int count = 0;
    errno = ENOTTY;
    CHECK(leaves_by_return() == 1);
    CHECK(errno == ENOTTY);
    CHECK_STACK("Main");
    leaves_by_break();
    CHECK_STACK("Main");
    leaves_by_goto();
    CHECK_STACK("Main");
    CHECK(scope_and_throw(is_inside_both));
    CHECK_STACK("Main");
    on_thread(leaves_by_exit, &count);
    CHECK(count == 1);
    leaves_by_cancellation();
    leaves_by_longjmp();
    leaves_by_longjmp_outside_a_frame(waits_by_poll);
    leaves_by_longjmp_outside_a_frame(waits_by_epoll);
    leaves_by_longjmp_outside_a_frame(waits_by_condition);
    CHECK_STACK("Main");
    CHECK(ctxshim_pop(&scope) == 0);
}
