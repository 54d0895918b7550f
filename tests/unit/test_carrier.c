/* Cells and mailboxes: where contexts wait for their work. */
#include "../../ctxstore/cell.h"
#include "unit.h"

#include <pthread.h>

TestSuite(carrier, .fini = expect_no_contexts, .timeout = 60);

Test(carrier, a_cell_holds_one_context) {
    struct cell cell = {0};
    uint32_t generation = cell_begin(&cell);
    cr_expect_eq(generation & 1, 1, "odd: alive");
    cr_expect_eq(cell_copy(&cell, generation), NULL);
    struct context *a = context_named("A"), *b = context_named("B");
    cell_put(&cell, generation, context_retain(a));
    cell_put(&cell, generation, context_retain(b));
    context_release(a);
    cr_expect_eq(context_live(), 1, "what was replaced is dropped at once");
    struct context *copy = cell_copy(&cell, generation);
    cr_expect_eq(copy, b);
    context_release(copy);
    context_release(b);
    cell_end(&cell);
    cr_expect_eq(cell_generation(&cell) & 1, 0);
    cr_expect_eq(context_live(), 0);
}

Test(carrier, a_stale_generation_does_nothing) {
    struct cell cell = {0};
    uint32_t old = cell_begin(&cell);
    cell_end(&cell);
    cell_put(&cell, old, context_named("late"));
    cr_expect_eq(context_live(), 0, "into a dead cell: only dropped");
    uint32_t now = cell_begin(&cell);
    cr_expect_neq(now, old);
    struct context *a = context_named("A");
    cell_put(&cell, now, context_retain(a));
    cell_put(&cell, old, context_named("late"));
    cr_expect_eq(cell_copy(&cell, old), NULL);
    struct context *copy = cell_copy(&cell, now);
    cr_expect_eq(copy, a);
    context_release(copy);
    context_release(a);
    cell_end(&cell);
}

static struct cell contended;
static uint32_t contended_generation;

static void *put_and_copy(void *argument) {
    struct context *mine = argument;
    for (int i = 0; i < 20000; i++) {
        cell_put(&contended, contended_generation, context_retain(mine));
        struct context *copy = cell_copy(&contended, contended_generation);
        cr_assert(copy != NULL && (strcmp(text_of(copy), "A") == 0 || strcmp(text_of(copy), "B") == 0));
        context_release(copy);
    }
    context_thread_end();
    return NULL;
}

Test(carrier, two_threads_share_a_cell) {
    struct context *a = context_named("A"), *b = context_named("B");
    pthread_t first, second;
    contended_generation = cell_begin(&contended);
    cr_assert_eq(pthread_create(&first, NULL, put_and_copy, a), 0);
    cr_assert_eq(pthread_create(&second, NULL, put_and_copy, b), 0);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    cell_end(&contended);
    context_release(a);
    context_release(b);
}

/* --- mailboxes ----------------------------------------------------------------------------------- */

static struct mailbox *box;
static struct context *a, *b, *c;

static void box_open(void) {
    box = mailbox_new();
    cr_assert_neq(box, NULL);
    a = context_named("A");
    b = context_named("B");
    c = context_named("C");
}

static void box_close(void) {
    mailbox_free(box);
    context_release(a);
    context_release(b);
    context_release(c);
    expect_no_contexts();
}

TestSuite(mailbox, .init = box_open, .fini = box_close, .timeout = 60);

static uint64_t reserve(struct context *context) {
    uint64_t ticket = mailbox_reserve(box, context_retain(context), 1);
    cr_assert_neq(ticket, 0);
    return ticket;
}

static void post(struct context *context, uint64_t count) {
    mailbox_settle(box, reserve(context), count);
}

static void expect_exact(uint64_t count, struct context *expected) {
    struct delivery delivery = mailbox_take(box, count, true, 0);
    cr_expect(delivery.known && !delivery.ambiguous, "known %d, ambiguous %d", delivery.known,
              delivery.ambiguous);
    cr_expect_eq(delivery.context, expected, "it is \"%s\"", text_of(delivery.context));
    context_release(delivery.context);
}

/* Several contexts: printed with a question mark, or empty. */
static void expect_doubtful(uint64_t count) {
    struct delivery delivery = mailbox_take(box, count, true, 0);
    cr_expect(delivery.known && delivery.ambiguous, "known %d, ambiguous %d", delivery.known,
              delivery.ambiguous);
    const char *text = text_of(delivery.context);
    cr_expect(delivery.context == NULL || text[strlen(text) - 1] == '?', "it is \"%s\"", text);
    context_release(delivery.context);
}

static void expect_unknown(uint64_t count) {
    struct delivery delivery = mailbox_take(box, count, true, 0);
    cr_expect_not(delivery.known);
    cr_expect_eq(delivery.context, NULL);
}

Test(mailbox, is_first_in_first_out) {
    post(a, 1);
    post(b, 1);
    post(NULL, 1);
    post(c, 1);
    expect_exact(1, a);
    expect_exact(1, b);
    expect_exact(1, NULL);
    expect_exact(1, c);
    expect_unknown(1);
}

Test(mailbox, counts_add_up) {
    post(a, 5);
    post(b, 3);
    expect_exact(2, a);
    expect_exact(3, a);
    expect_exact(3, b);
    post(a, 7);
    post(a, 2);
    expect_exact(9, a);
    post(a, 1);
    post(b, 1);
    expect_doubtful(2);
    post(a, 2);
    post(b, 2);
    expect_doubtful(3);
    expect_exact(1, b);
}

Test(mailbox, huge_counts) {
    post(a, UINT64_MAX - 1);
    expect_exact(UINT64_MAX - 1, a);
    post(a, UINT64_MAX - 2);
    post(b, 1);
    expect_doubtful(UINT64_MAX - 1);
}

Test(mailbox, more_than_was_put_is_unknown_and_starts_anew) {
    post(a, 2);
    expect_unknown(3);
    post(b, 1);
    expect_exact(1, b);
}

Test(mailbox, an_empty_context_among_others_is_never_exact) {
    post(NULL, 1);
    post(a, 1);
    expect_doubtful(2);
    post(a, 1);
    post(NULL, 1);
    expect_doubtful(2);
}

Test(mailbox, a_cancelled_entry_never_was) {
    uint64_t first = reserve(a);
    mailbox_settle(box, first, 0);
    post(b, 1);
    expect_exact(1, b);
    first = reserve(a);
    uint64_t second = reserve(a);
    mailbox_settle(box, first, 0);
    mailbox_settle(box, second, 4);
    expect_exact(4, a);
}

Test(mailbox, a_reader_may_be_faster_than_the_settling) {
    uint64_t ticket = reserve(a);
    expect_exact(1, a);
    mailbox_settle(box, ticket, 1);
    post(b, 1);
    expect_exact(1, b);
}

Test(mailbox, a_late_settle_does_not_reach_the_next_life) {
    uint64_t late = reserve(a);
    struct mailbox *old = box;
    mailbox_free(box);
    box = mailbox_new();
    cr_assert_eq(box, old, "this test needs the same memory");
    uint64_t ticket = reserve(b);
    cr_expect_neq(ticket, late);
    mailbox_settle(box, late, 0);
    mailbox_settle(box, ticket, 1);
    expect_exact(1, b);
}

Test(mailbox, two_open_at_once_have_no_order) {
    uint64_t first = reserve(a), second = reserve(b);
    mailbox_settle(box, second, 1);
    mailbox_settle(box, first, 1);
    expect_doubtful(2);
    first = reserve(a);
    second = reserve(a);
    mailbox_settle(box, second, 1);
    mailbox_settle(box, first, 1);
    expect_exact(2, a);
}

/* Whoever takes a part of a group cannot know which part it is: not the first, and not the rest. */
Test(mailbox, every_part_of_a_group_is_doubtful) {
    uint64_t first = reserve(a), second = reserve(b);
    mailbox_settle(box, first, 1);
    mailbox_settle(box, second, 1);
    expect_doubtful(1);
    expect_doubtful(1);
    post(c, 1);
    expect_exact(1, c);
}

/* B was reserved while the first A was still open: it may have come before both. */
Test(mailbox, a_group_reaches_back_over_equal_entries) {
    uint64_t first = reserve(a), second = reserve(a), third = reserve(b);
    mailbox_settle(box, first, 1);
    mailbox_settle(box, second, 1);
    mailbox_settle(box, third, 1);
    expect_doubtful(1);
}

Test(mailbox, a_group_reaches_back_while_all_are_open) {
    uint64_t tickets[] = {reserve(a), reserve(a), reserve(b)};
    expect_doubtful(1);
    for (int i = 0; i < 3; i++)
        mailbox_settle(box, tickets[i], 1);
}

Test(mailbox, a_group_of_many_keeps_its_first_links) {
    struct context *many[8];
    uint64_t tickets[8];
    for (int i = 0; i < 8; i++)
        tickets[i] = reserve(many[i] = context_named("many"));
    for (int i = 7; i >= 0; i--)
        mailbox_settle(box, tickets[i], 1);
    expect_doubtful(8);
    for (int i = 0; i < 8; i++)
        context_release(many[i]);
}

Test(mailbox, nobody_reads_and_it_stays_small) {
    for (int i = 0; i < 100000; i++)
        post(a, 1);
    cr_expect_eq(context_live(), 3);
    post(b, 1);
    expect_exact(100000, a);
    expect_exact(1, b);
}

static void fill(void) {
    for (int i = 0; i < 256; i++)
        post(i % 2 == 0 ? a : b, 1);
    cr_expect_eq(mailbox_reserve(box, context_retain(c), 1), 0, "there ought to be a limit");
}

Test(mailbox, a_full_one_has_lost_count) {
    fill();
    mailbox_settle(box, 0, 1); /* what a writer without a ticket does */
    expect_unknown(257);
    post(a, 1);
    expect_exact(1, a);
}

/* One unit of a semaphore was read, thousands are still in the kernel: nobody knows whose the next is. */
Test(mailbox, lost_count_stays_lost_until_it_is_empty) {
    fill();
    for (int i = 0; i < 3; i++) {
        struct delivery unit = mailbox_take(box, 1, false, 0);
        cr_expect(!unit.known && unit.context == NULL, "a semaphore's unit: others may be left");
    }
    cr_expect_eq(mailbox_reserve(box, context_retain(c), 1), 0, "nothing is queued until it is empty");
    expect_unknown(1);
    post(c, 1);
    expect_exact(1, c);
}

Test(mailbox, peek_sees_what_is_new) {
    post(a, 1);
    struct delivery first = mailbox_peek_new(box, 0);
    cr_expect(first.known && first.context == a);
    context_release(first.context);
    post(b, 1);
    struct delivery second = mailbox_peek_new(box, 0);
    cr_expect(second.known && second.context == b, "it is \"%s\"", text_of(second.context));
    context_release(second.context);
    struct delivery none = mailbox_peek_new(box, 0);
    cr_expect(!none.known && none.context == NULL);
    post(a, 1);
    post(b, 1);
    struct delivery both = mailbox_peek_new(box, 0);
    cr_expect(both.known && both.ambiguous);
    expect_text(both.context, "A?");
    context_release(both.context);
}

Test(mailbox, peek_sees_an_open_entry_and_not_twice) {
    uint64_t ticket = reserve(a);
    struct delivery first = mailbox_peek_new(box, 0);
    cr_expect_eq(first.context, a);
    context_release(first.context);
    mailbox_settle(box, ticket, 1);
    post(b, 1);
    struct delivery second = mailbox_peek_new(box, 0);
    cr_expect(second.known && !second.ambiguous && second.context == b, "it is \"%s\"",
              text_of(second.context));
    context_release(second.context);
}

/* A carrier that is only ever peeked at empties too, and may count again afterwards. */
Test(mailbox, peek_recovers_from_a_lost_count) {
    fill();
    struct delivery lost = mailbox_peek_new(box, 0);
    cr_expect_not(lost.known);
    lost = mailbox_peek_new(box, 0);
    cr_expect_not(lost.known);
    post(a, 1);
    struct delivery delivery = mailbox_peek_new(box, 0);
    cr_expect(delivery.known && delivery.context == a);
    context_release(delivery.context);
}

/* A writer that finds no place has nothing to settle. */
static void *post_many(void *argument) {
    for (int i = 0; i < 10000; i++)
        mailbox_settle(box, mailbox_reserve(box, context_retain(argument), 1), 1);
    context_thread_end();
    return NULL;
}

/* Three writers, one reader: never more than was put in, and every context is one of the three. */
Test(mailbox, writers_and_a_reader) {
    pthread_t writers[3];
    struct context *contexts[3] = {a, b, c};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&writers[i], NULL, post_many, contexts[i]), 0);
    for (int i = 0; i < 30000; i++) {
        struct delivery delivery = mailbox_take(box, 1, true, 0);
        if (delivery.context != NULL)
            cr_expect(strchr("ABC", text_of(delivery.context)[0]) != NULL);
        context_release(delivery.context);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(writers[i], NULL);
    mailbox_clear(box);
    expect_unknown(1);
}
