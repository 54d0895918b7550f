/* Answers and their lines of a log: see ledger.h. */
#include "ledger.h"

enum { LOGS_AFTER = 8, PROVEN = 8, SELDOM = 4, LATER = 2 };

/* What is remembered of a loop, and what one frame may add to it. */
enum { OF_LATE = 1024, AT_MOST = 4 * OF_LATE };

bool habits_log_after(const struct habits *habits) {
    return habits != NULL && habits->after >= LOGS_AFTER;
}

static bool logs_for_each(const struct habits *habits, bool exact) {
    return habits != NULL && !exact &&
           (habits->answers < PROVEN || habits->lines * SELDOM >= habits->answers);
}

/* Until a frame is over, or has gone on after a line, the lines for its answers may still come. */
static void learn(struct ledger *ledger, struct habits *habits) {
    if (habits == NULL)
        return;
    habits->answers = (uint16_t)(habits->answers + ledger->answers);
    habits->lines = (uint16_t)(habits->lines + ledger->lines);
    ledger->answers = ledger->lines = 0;
    for (; habits->answers >= OF_LATE || habits->lines >= OF_LATE; habits->lines /= 2)
        habits->answers /= 2;
}

void ledger_opens(struct ledger *ledger, const struct habits *habits, bool various, bool exact) {
    ledger->various = various;
    ledger->watched = various && logs_for_each(habits, exact);
    ledger->debt = ledger->inherited = various && habits != NULL ? habits->owed : 0;
}

static void wake_up_ends(const struct ledger *ledger, struct habits *habits) {
    if (habits != NULL && ledger->answered && !habits_log_after(habits))
        habits->after = ledger->logged ? habits->after + 1 : 0;
}

void ledger_closes(struct ledger *ledger, struct habits *habits, bool woken) {
    if (woken)
        wake_up_ends(ledger, habits);
    learn(ledger, habits);
    if (habits != NULL)
        habits->owed = ledger->debt > ledger->inherited ? ledger->debt - ledger->inherited : 0;
}

void ledger_leaves(struct ledger *ledger) {
    ledger->watched = ledger->various = false;
}

void ledger_wakes_up(struct ledger *ledger, const struct habits *habits) {
    ledger->untouched = habits != NULL && !ledger->answered;
}

void ledger_adopts(struct ledger *ledger, struct habits *habits, bool touched) {
    if (ledger->lines > 0)
        learn(ledger, habits);
    ledger->untouched = ledger->noted = false;
    if (!touched)
        return;
    ledger->touched = true;
    ledger->late = 0;
}

bool ledger_answers(struct ledger *ledger, const struct habits *habits, bool exact, bool woken) {
    ledger->answered = true;
    ledger->logged = ledger->touched = false;
    ledger->fresh = woken;
    ledger->watched = habits != NULL && !exact && (ledger->various || habits->answers < PROVEN);
    ledger->answers += ledger->watched && ledger->answers < AT_MOST;
    if (!ledger->various || !ledger->watched || ledger->noted)
        return false;
    ledger->debt += ledger->debt < UINT8_MAX;
    return ledger->debt > 1 && logs_for_each(habits, exact);
}

void ledger_answers_on(struct ledger *ledger) {
    if (ledger->debt == 0)
        ledger->debt = 1;
}

/* Either each answer has its line, or they come in a later phase: then several follow several. */
static bool pays(struct ledger *ledger) {
    if (ledger->debt == 1 && !ledger->touched)
        ledger->debt = 0;
    if (ledger->debt < LATER)
        return false;
    ledger->late += ledger->late < LATER;
    return ledger->late == LATER;
}

bool ledger_logs(struct ledger *ledger, struct habits *habits) {
    if (ledger->untouched && habits != NULL)
        habits->after = 0;
    ledger->logged |= ledger->fresh;
    ledger->noted = true;
    ledger->lines += ledger->watched && ledger->lines < AT_MOST;
    return ledger->debt > 0 && pays(ledger);
}

bool ledger_owes(const struct ledger *ledger, const struct habits *habits, bool exact) {
    return ledger->debt > 0 && logs_for_each(habits, exact);
}
