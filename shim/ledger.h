/* E5: whose a line of a log is, in a frame that works for several requests.
 *
 * A log carries nothing, so a line is for whoever its frame works for when it is written. Where a request is
 * read, logged and answered in one go that is right. Three habits of programs make it wrong:
 *
 *   The line comes before the answer, or after it. A wake-up that drains a queue learns whose work it did
 *   from each answer, and only from there. Between two answers the line is the first one's if this program
 *   logs after answering, and the second one's if before. `after` counts, for each loop, wake-ups in a row
 *   that ended with a line after their last answer, where none began with one; from LOGS_AFTER on it is
 *   believed.
 *
 *   The lines come in a later phase. A batch answers A, B, C and then logs a, b, c: perhaps in its next
 *   wake-up. Each answer without a line is a debt:
 *
 *      debt 0   a line is for whom the frame works
 *      debt 1   a line is for the one that was answered, and pays, unless something else was touched between
 *      debt 2.. a line may be for any of them: after each touch the frame is in doubt
 *
 *   A second line at debt 2 or more shows that lines do come later: that contradicts the batch, and its loop
 *   turns exact (E1), where a frame has one event and so no choice. What a batch owes at its end, but for
 * what it had inherited itself, the next one inherits.
 *
 *   There is no line for each answer. A loop that logs seldom would be in doubt for ever, so answers and the
 *   lines that follow them are counted: fewer than one in SELDOM, of PROVEN at least, and it owes none.
 * Several answers and then one line are a gathered log, which counts as one line.
 *
 * Plain data of one thread: a frame has a ledger, a loop its habits (NULL: no loop, nothing is learnt). No
 * function here decides what is current; each says what its caller has to know for that. `exact`: the frame
 * has one event at most, and what it works for is not a choice. */
#ifndef SHIM_LEDGER_H
#define SHIM_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a loop has shown of late. */
struct habits {
    uint16_t answers, lines; /* in frames that were watched */
    uint8_t after;           /* wake-ups in a row that logged after they had answered */
    uint8_t owed;            /* by its last batch */
};

/* What a frame has answered and logged. */
struct ledger {
    uint16_t answers, lines; /* counted, and not learnt from yet */
    uint8_t debt, inherited; /* of the debt: what the batch before has left */
    uint8_t late;            /* lines since something was touched, at debt 2 or more */
    bool various;            /* its events had several contexts, or none: it may work for several requests */
    bool watched;            /* its answers and lines are counted */
    bool untouched;          /* of a wake-up, and nothing has told yet whose work it does */
    bool answered, logged;   /* it has answered; and logged since */
    bool fresh;              /* no hook was entered since it answered */
    bool touched;            /* something else was touched since it answered */
    bool noted;              /* a line came since something was touched: that has its own */
};

/* Are lines after an answer known to be for that answer? */
bool habits_log_after(const struct habits *habits);

/* A wait has opened the frame. */
void ledger_opens(struct ledger *ledger, const struct habits *habits, bool various, bool exact);
/* It is over. `woken`: it was a wake-up's. */
void ledger_closes(struct ledger *ledger, struct habits *habits, bool woken);
/* Its loop has been left: what goes on is one request's. */
void ledger_leaves(struct ledger *ledger);

/* Does it have to hear of every hook? */
static inline bool ledger_listens(const struct ledger *ledger) {
    return ledger->untouched || ledger->fresh || ledger->watched;
}

/* It was a wake-up that opened it, or was read in it. */
void ledger_wakes_up(struct ledger *ledger, const struct habits *habits);
/* Something was adopted on better evidence than the wait's. `touched`: by what the frame did, and not for the
 * sake of a doubt. */
void ledger_adopts(struct ledger *ledger, struct habits *habits, bool touched);
/* It has answered a request. True: a line that comes now may be for several. */
bool ledger_answers(struct ledger *ledger, const struct habits *habits, bool exact, bool woken);
/* It went on with an answer whose beginning was another frame's: that line may still come, too. */
void ledger_answers_on(struct ledger *ledger);
/* A line was written. True: lines do come later than their answers. */
bool ledger_logs(struct ledger *ledger, struct habits *habits);
/* May the line for an answer of it still come? */
bool ledger_owes(const struct ledger *ledger, const struct habits *habits, bool exact);

#endif
