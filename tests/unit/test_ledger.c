/* E5: whose a line of a log is (shim/ledger.h). Strategy: a loop is played through, turn by turn, with what
 * its frames answer and log; what the ledger says of each step is held against what the derivation in its
 * header says. A turn is a word: `a` something is read (touched), `A` an answer, `l` a line. */
#include "../../shim/ledger.h"
#include "unit.h"

TestSuite(ledger, .timeout = 20);

/* What a turn has shown. */
struct turn {
    unsigned doubts; /* answers after which a line may be for several */
    unsigned later;  /* lines that came later than their answers */
};

static struct turn play(struct habits *habits, const char *word, bool various, bool exact, bool woken) {
    struct ledger ledger = {0};
    struct turn turn = {0};
    ledger_opens(&ledger, habits, various, exact);
    if (woken)
        ledger_wakes_up(&ledger, habits);
    for (; *word != '\0'; word++) {
        if (*word == 'l')
            turn.later += ledger_logs(&ledger, habits);
        else if (*word == 'A')
            turn.doubts += ledger_answers(&ledger, habits, exact, woken);
        else
            ledger_adopts(&ledger, habits, true);
        if (*word != 'A')
            ledger.fresh = false;
    }
    ledger_closes(&ledger, habits, woken);
    return turn;
}

static struct turn batch(struct habits *habits, const char *word) {
    return play(habits, word, true, false, false);
}

static void repeat(struct habits *habits, const char *word, unsigned times, bool woken) {
    for (unsigned i = 0; i < times; i++)
        play(habits, word, true, false, woken);
}

Test(ledger, E5_a_batch_that_logs_each_answer_is_never_in_doubt) {
    struct habits habits = {0};
    for (unsigned i = 0; i < 1000; i++) {
        struct turn turn = batch(&habits, "aAlaAlaAl");
        cr_assert_eq(turn.doubts + turn.later, 0, "turn %u: %u doubts, %u later", i, turn.doubts, turn.later);
    }
}

Test(ledger, E5_nor_is_one_that_logs_before_each_answer) {
    struct habits habits = {0};
    for (unsigned i = 0; i < 1000; i++) {
        struct turn turn = batch(&habits, "alAalAalA");
        cr_assert_eq(turn.doubts + turn.later, 0, "turn %u: %u doubts, %u later", i, turn.doubts, turn.later);
    }
}

Test(ledger, E5_from_the_second_answer_without_a_line_on_it_is_in_doubt) {
    struct habits habits = {0};
    cr_assert_eq(batch(&habits, "aA").doubts, 0);
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaA").doubts, 1);
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaAaA").doubts, 2);
}

Test(ledger, E5_several_lines_after_several_answers_come_late) {
    struct habits habits = {0};
    cr_assert_eq(batch(&habits, "aAaAaAlll").later, 2, "the first may be a gathered log's");
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaAaAl").later, 0);
}

Test(ledger, E5_what_a_batch_owes_the_next_one_may_log) {
    struct habits habits = {0};
    batch(&habits, "aAaA");
    cr_assert_eq(habits.owed, 2);
    cr_assert_eq(batch(&habits, "ll").later, 1, "in the next turn");
    cr_assert_eq(habits.owed, 0, "and in no later one");
}

Test(ledger, E5_a_loop_that_logs_seldom_owes_nothing) {
    struct habits habits = {0};
    repeat(&habits, "aA", 8, false);
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaAaA").doubts, 0, "it has answered %u and logged %u", habits.answers,
                 habits.lines);
    repeat(&habits, "aAlaAl", 40, false);
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaAaA").doubts, 2, "it logs again: %u answers, %u lines", habits.answers,
                 habits.lines);
}

Test(ledger, E5_a_gathered_log_is_one_line) {
    struct habits habits = {0};
    repeat(&habits, "aAaAaAaAaAaAaAaAl", 8, false);
    habits.owed = 0;
    cr_assert_eq(batch(&habits, "aAaAaA").doubts, 0);
}

Test(ledger, E5_one_event_leaves_no_choice) {
    struct habits habits = {0};
    cr_assert_eq(play(&habits, "aAaAaA", true, true, false).doubts, 0);
    cr_assert_eq(play(&habits, "aAaAaA", false, false, false).doubts, 0);
    cr_assert_eq(play(NULL, "aAaAaAlll", true, false, true).doubts, 0,
                 "and without a loop nothing is learnt");
}

Test(ledger, E5_eight_wake_ups_that_log_after_answering_are_believed) {
    struct habits habits = {0};
    repeat(&habits, "aAlaAl", 7, true);
    cr_assert(!habits_log_after(&habits));
    repeat(&habits, "aAlaAl", 1, true);
    cr_assert(habits_log_after(&habits));
}

Test(ledger, E5_one_that_logs_before_answering_disproves_them) {
    struct habits habits = {0};
    repeat(&habits, "aAlaAl", 7, true);
    repeat(&habits, "laAlaA", 1, true);
    repeat(&habits, "aAlaAl", 7, true);
    cr_assert(!habits_log_after(&habits));
    repeat(&habits, "aAlaAl", 1, true);
    cr_assert(habits_log_after(&habits));
    play(&habits, "l", true, false, true);
    cr_assert(!habits_log_after(&habits), "even later");
}

/* Counters are small: they must neither wrap nor lose their proportion. */
Test(ledger, E5_very_long_frames_are_counted_in_proportion) {
    struct habits habits = {0};
    struct ledger ledger = {0};
    ledger_opens(&ledger, &habits, true, false);
    for (unsigned i = 0; i < 200000; i++) {
        ledger_answers(&ledger, &habits, false, false);
        cr_assert(ledger_owes(&ledger, &habits, false), "after %u answers", i + 1);
        if (i > 0)
            cr_assert_eq(ledger_logs(&ledger, &habits), i > 1, "after %u answers", i + 1);
    }
    ledger_closes(&ledger, &habits, false);
    cr_assert(habits.answers < 1024);
    cr_assert(habits.lines < 1024);
    cr_assert(habits.lines + 8 >= habits.answers);
}
