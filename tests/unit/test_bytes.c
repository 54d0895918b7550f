/* Mailboxes of bytes (F4): whose bytes these are, told by order, and where there is none by the bytes. */
#include "../../ctxstore/cell.h"
#include "unit.h"

#include <string.h>

static struct mailbox *box;
static struct context *a, *b;

static void box_open(void) {
    box = mailbox_new_bytes();
    cr_assert_neq(box, NULL);
    a = context_named("A");
    b = context_named("B");
}

static void box_close(void) {
    mailbox_free(box);
    context_release(a);
    context_release(b);
    expect_no_contexts();
}

TestSuite(bytes, .init = box_open, .fini = box_close, .timeout = 60);

static uint64_t reserve(struct context *context, const char *text) {
    uint64_t ticket = mailbox_reserve(box, context_retain(context), strlen(text));
    cr_assert_neq(ticket, 0);
    return ticket;
}

static void commit(uint64_t ticket, const char *text) {
    mailbox_commit(box, ticket, strlen(text), text, strlen(text));
}

static void post(struct context *context, const char *text) {
    commit(reserve(context, text), text);
}

static struct delivery take(const char *text) {
    return mailbox_read(box, strlen(text), text, strlen(text), 1);
}

static void expect_exact(const char *text, struct context *expected) {
    struct delivery delivery = take(text);
    cr_expect(delivery.known && !delivery.ambiguous, "%s: known %d, ambiguous %d", text, delivery.known,
              delivery.ambiguous);
    cr_expect_eq(delivery.context, expected, "%s: another's", text);
    context_release(delivery.context);
}

static void expect_doubtful(const char *text) {
    struct delivery delivery = take(text);
    cr_expect(delivery.known && delivery.ambiguous, "%s: known %d, ambiguous %d", text, delivery.known,
              delivery.ambiguous);
    context_release(delivery.context);
}

static void expect_unknown(const char *text) {
    struct delivery delivery = take(text);
    cr_expect(!delivery.known && !delivery.elsewhere, "%s: known %d", text, delivery.known);
    cr_expect_eq(delivery.context, NULL);
}

Test(bytes, come_in_their_order) {
    post(a, "abcd");
    post(b, "efgh");
    expect_exact("ab", a);
    expect_exact("cd", a);
    expect_exact("efgh", b);
    cr_expect(take("x").elsewhere, "what nobody has written is from elsewhere");
}

Test(bytes, of_several_are_in_doubt_and_the_rest_is_not) {
    post(a, "abcd");
    post(b, "efgh");
    expect_doubtful("abcdef");
    expect_exact("gh", b);
}

/* Two writers inside their calls at once. */
Test(bytes, tell_which_of_two_without_an_order) {
    uint64_t first = reserve(a, "pointerA"), second = reserve(b, "pointerB");
    commit(first, "pointerA");
    commit(second, "pointerB");
    expect_exact("pointerB", b);
    expect_exact("pointerA", a);
}

Test(bytes, that_are_alike_do_not_tell) {
    uint64_t first = reserve(a, "x"), second = reserve(b, "x");
    commit(first, "x");
    commit(second, "x");
    expect_doubtful("x");
    expect_doubtful("x");
    post(a, "x");
    expect_exact("x", a);
}

/* Two readers inside their calls at once: the second may come first to say what it got. */
Test(bytes, tell_which_of_two_readers_got_what) {
    post(a, "pointerA");
    post(b, "pointerB");
    mailbox_read_begin(box);
    mailbox_read_begin(box);
    expect_exact("pointerB", b);
    expect_exact("pointerA", a);
    mailbox_read_end(box);
    mailbox_read_end(box);
}

Test(bytes, that_are_nobodys_show_that_count_was_lost) {
    post(a, "abcd");
    expect_unknown("1234");
    post(b, "efgh");
    expect_unknown("efgh");
    uint64_t doubts = mailbox_doubts(box, false);
    cr_assert_neq(doubts, 0);
    mailbox_seen_empty(box, doubts);
    post(b, "efgh");
    expect_exact("efgh", b);
}

Test(bytes, are_not_found_again_while_somebody_writes) {
    mailbox_miss(box);
    expect_unknown("?");
    uint64_t ticket = reserve(a, "abcd");
    cr_expect_eq(mailbox_doubts(box, true), 0);
    commit(ticket, "abcd");
    uint64_t doubts = mailbox_doubts(box, true);
    cr_assert_neq(doubts, 0);
    commit(reserve(a, "efgh"), "efgh");
    mailbox_seen_empty(box, doubts);
    expect_unknown("efgh");
}

Test(bytes, a_reader_may_be_faster_than_the_settling) {
    uint64_t ticket = reserve(a, "abcdefgh");
    expect_exact("abc", a);
    commit(ticket, "abcdefgh");
    post(b, "ijkl");
    expect_exact("defgh", a);
    expect_exact("ijkl", b);
}

Test(bytes, a_closed_mailbox_keeps_nothing) {
    post(a, "abcd");
    mailbox_close(box);
    cr_expect_eq(mailbox_reserve(box, context_retain(b), 4), 0);
    cr_expect_eq(a->references, 1);
    cr_expect_eq(b->references, 1);
}

Test(bytes, so_many_that_there_is_no_place_are_lost) {
    for (int i = 0; i < 20000; i++)
        post(i % 2 ? a : b, "pointer");
    expect_unknown("pointer");
    cr_expect_eq(a->references, 1);
}

/* Both have had their effect before either comes back: which is read first is a guess. */
Test(bytes, a_wrong_guess_does_not_lose_the_count) {
    uint64_t first = reserve(a, "aaaaaaaa"), second = reserve(b, "bbbbbbbb");
    expect_doubtful("bbbbbbbb");
    commit(second, "bbbbbbbb");
    expect_doubtful("aaaaaaaa");
    commit(first, "aaaaaaaa");
    post(b, "cccccccc");
    expect_exact("cccccccc", b);
}

Test(bytes, after_a_wrong_guess_nobody_else_is_taken_for_it) {
    uint64_t first = reserve(a, "aaaaaaaa"), second = reserve(b, "bbbbbbbb");
    struct context *c = context_named("C");
    uint64_t third = reserve(c, "cccccccc");
    expect_doubtful("bbbbbbbb");
    commit(second, "bbbbbbbb");
    expect_doubtful("aaaaaaaa");
    commit(third, "cccccccc");
    expect_doubtful("cccccccc");
    commit(first, "aaaaaaaa");
    post(b, "dddddddd");
    expect_exact("dddddddd", b);
    context_release(c);
}

Test(bytes, a_right_guess_leaves_no_doubt_behind) {
    uint64_t first = reserve(a, "aaaaaaaa"), second = reserve(b, "bbbbbbbb");
    expect_doubtful("aaaaaaaa");
    commit(second, "bbbbbbbb");
    commit(first, "aaaaaaaa");
    expect_exact("bbbbbbbb", b);
}
