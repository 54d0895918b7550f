/* F9, E9, E11: what is made of a queue's sections, against a program that knows the truth. Strategy: threads
 * are played by actors that take random steps, one section at a time (a mutex allows no more); each item
 * carries the request that put it in, and at each dequeue what the shim says is held against it: right,
 * wrong, or unknown.
 *
 * In queues that the design calls known nothing may be wrong and little unknown; in all others nothing may be
 * wrong. The figures are printed. UNIT_SEED sets the seed. */
#include "../../shim/queue.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

enum { ITEMS = 20000, WAITING = 64, ACTORS = 8 };

enum order { FIFO, LIFO, ANY };

/* A kind of program. */
struct program {
    const char *name;
    enum order order;
    unsigned producers, consumers;
    bool signals_always;  /* else only when somebody sleeps */
    bool signals_outside; /* after its section, and not in it */
    bool unwatched;       /* nobody answers: no evidence */
    bool answers_here;    /* by the consumer itself; else by a third thread, in the order of completion */
    bool drains;          /* a consumer takes all there is in one section */
    bool busy;            /* there is always something in it */
    bool rarely;          /* ... of 1000 */
    unsigned idle;        /* sections that put nothing in, of 100 */
    bool idle_inside;     /* ... from where others do */
    bool idle_again;      /* ... for the request that was put in last */
    unsigned produces;    /* consumers that put in more, of 100 */
    unsigned shuffled;    /* answers that come out of order, of 100 */
    unsigned timeouts;    /* wake-ups by the clock, of 100 */
};

struct item {
    struct context *request;
};

struct actor {
    enum { READY, ASLEEP, WORKING } state;
    bool timed_out, busy;
    uint64_t flow;
    struct item item;
    struct queue_handoff handoff;
    struct queue_pending pending;
};

struct play {
    struct program program;
    struct queue *queue;
    uint32_t life;
    struct item waiting[WAITING];
    unsigned waiting_count;
    struct item done[WAITING * 2];
    unsigned done_count;
    struct actor consumers[ACTORS], producers[ACTORS];
    struct context *newest; /* a reference: of the request that was put in last */
    unsigned requests, right, wrong, unknown;
    unsigned late_unknown; /* in the second half */
};

static uint64_t random_state;
static unsigned draw(unsigned below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

static int mutex, condition;
static const char put_site, idle_site, take_site;
static const struct queue_place take_place = {&take_site, 100};

static void wake_one(struct play *play) {
    for (unsigned i = 0; i < play->program.consumers; i++) {
        struct actor *consumer = &play->consumers[(i + draw(ACTORS)) % play->program.consumers];
        if (consumer->state != ASLEEP)
            continue;
        queue_wakes(play->queue, play->life);
        consumer->state = READY;
        return;
    }
}

static bool anybody_sleeps(const struct play *play) {
    for (unsigned i = 0; i < play->program.consumers; i++)
        if (play->consumers[i].state == ASLEEP)
            return true;
    return false;
}

/* The section before got no signal. */
static void begin_section(struct actor *actor) {
    queue_refute(&actor->pending);
    actor->pending = (struct queue_pending){0};
}

static void put(struct play *play, struct actor *actor) {
    if (play->waiting_count == WAITING)
        return;
    struct context *request = context_root(NULL, "req#", ++play->requests, actor->flow);
    begin_section(actor);
    context_release(play->newest);
    play->newest = context_retain(request);
    play->waiting[play->waiting_count++] = (struct item){request};
    bool signals = play->program.signals_always || anybody_sleeps(play);
    bool inside = signals && !play->program.signals_outside;
    actor->pending =
        queue_put(play->queue, play->life, &put_site, inside, context_retain(request), actor->flow);
    if (inside)
        actor->pending = (struct queue_pending){0};
    if (signals)
        wake_one(play);
    if (signals && !inside) {
        queue_confirm(&actor->pending);
        actor->pending = (struct queue_pending){0};
    }
}

static void look(struct play *play, struct actor *actor) {
    begin_section(actor);
    struct context *context = play->program.idle_again ? context_retain(play->newest) : NULL;
    actor->pending = queue_put(play->queue, play->life, play->program.idle_inside ? &put_site : &idle_site,
                               false, context, actor->flow);
}

static struct item take_item(struct play *play) {
    unsigned at = 0;
    if (play->program.order == LIFO)
        at = play->waiting_count - 1;
    else if (play->program.order == ANY)
        at = draw(play->waiting_count);
    struct item item = play->waiting[at];
    for (unsigned i = at + 1; i < play->waiting_count; i++)
        play->waiting[i - 1] = play->waiting[i];
    play->waiting_count--;
    return item;
}

static void compare(struct play *play, const struct actor *actor) {
    if (!actor->handoff.sure || actor->handoff.context == NULL) {
        play->unknown++;
        play->late_unknown += play->requests > ITEMS / 2;
    } else if (actor->handoff.context == actor->item.request) {
        play->right++;
    } else {
        play->wrong++;
    }
}

static void finish(struct play *play, struct item item) {
    if (!play->program.unwatched)
        queue_answered(item.request);
    context_release(item.request);
}

static void take(struct play *play, struct actor *actor) {
    begin_section(actor);
    bool expired = actor->timed_out;
    if (actor->busy)
        queue_busy(play->queue, play->life, false);
    actor->busy = false;
    if (play->waiting_count == 0 && !expired) {
        queue_sleeps(play->queue, play->life, true);
        actor->state = ASLEEP;
        return;
    }
    queue_busy(play->queue, play->life, true);
    actor->busy = true;
    actor->handoff = queue_take(play->queue, play->life, take_place, actor->timed_out, actor->flow);
    actor->timed_out = false;
    if (play->waiting_count == 0) {
        context_release(actor->handoff.context);
        return;
    }
    actor->item = take_item(play);
    compare(play, actor);
    while (play->program.drains && play->waiting_count > 0)
        finish(play, take_item(play));
    actor->state = WORKING;
}

static void work(struct play *play, struct actor *actor) {
    if (play->program.answers_here && !play->program.unwatched) {
        if (actor->handoff.tag.queue != 0)
            queue_judge(actor->handoff.tag, actor->handoff.context == actor->item.request);
        queue_answered(actor->item.request);
        context_release(actor->item.request);
    } else {
        play->done[play->done_count++] = actor->item;
    }
    context_release(actor->handoff.context);
    actor->state = READY;
    if (draw(100) < play->program.produces)
        put(play, actor);
}

static void answer(struct play *play) {
    if (play->done_count == 0)
        return;
    unsigned at = draw(100) < play->program.shuffled ? draw(play->done_count) : 0;
    struct item item = play->done[at];
    for (unsigned i = at + 1; i < play->done_count; i++)
        play->done[i - 1] = play->done[i];
    play->done_count--;
    finish(play, item);
}

static void consumer_steps(struct play *play, struct actor *actor) {
    if (actor->state == READY)
        take(play, actor);
    else if (actor->state == WORKING && play->done_count < WAITING)
        work(play, actor);
    else if (actor->state == ASLEEP && draw(100) < play->program.timeouts) {
        queue_wakes(play->queue, play->life);
        actor->state = READY;
        actor->timed_out = true;
    }
}

static void producer_steps(struct play *play, struct actor *actor) {
    for (unsigned burst = draw(12) == 0 ? draw(20) : draw(2); burst > 0; burst--)
        put(play, actor);
    while (play->program.busy && play->waiting_count < WAITING / 2)
        put(play, actor);
    if (draw(100) < play->program.idle || (play->program.rarely && draw(1000) == 0))
        look(play, actor);
}

static void play_step(struct play *play) {
    unsigned who = draw(play->program.producers + 3 * play->program.consumers + 3);
    if (who < play->program.producers)
        producer_steps(play, &play->producers[who]);
    else if (who < play->program.producers + 3 * play->program.consumers)
        consumer_steps(play, &play->consumers[(who - play->program.producers) % play->program.consumers]);
    else
        answer(play);
}

static void play_end(struct play *play) {
    for (unsigned i = 0; i < play->program.consumers; i++)
        if (play->consumers[i].state == WORKING)
            work(play, &play->consumers[i]);
    while (play->waiting_count > 0)
        finish(play, take_item(play));
    while (play->done_count > 0)
        answer(play);
    context_release(play->newest);
    queue_forget(&mutex);
}

static struct play play_program(struct program program) {
    static struct play play;
    const char *seed = getenv("UNIT_SEED");
    play = (struct play){.program = program};
    random_state = seed != NULL ? strtoull(seed, NULL, 0) : UINT64_C(0x9E3779B97F4A7C15);
    for (unsigned i = 0; i < ACTORS; i++) {
        play.consumers[i].flow = 100 + i;
        play.producers[i].flow = 200 + i;
    }
    play.queue = queue_begin(&mutex, &condition, 120);
    cr_assert(play.queue != NULL);
    play.life = queue_generation(play.queue);
    if (program.busy)
        producer_steps(&play, &play.producers[0]);
    while (play.requests < ITEMS)
        play_step(&play);
    play_end(&play);
    fprintf(stderr, "%-44s %6u right %4u wrong %6u unknown\n", program.name, play.right, play.wrong,
            play.unknown);
    return play;
}

/* What the design calls known: nothing wrong, and unknown only while it has to prove itself. */
static void expect_known(struct program program) {
    struct play play = play_program(program);
    cr_expect(play.wrong == 0, "%s: %u wrong", program.name, play.wrong);
    cr_expect(play.late_unknown == 0 && play.unknown < 500, "%s: %u unknown, %u in the second half",
              program.name, play.unknown, play.late_unknown);
}

static void expect_never_wrong(struct program program) {
    struct play play = play_program(program);
    cr_expect(play.wrong == 0, "%s: %u wrong", program.name, play.wrong);
}

TestSuite(queue, .fini = expect_no_contexts);

Test(queue, one_worker) {
    expect_known((struct program){"one worker", .producers = 1, .consumers = 1, .signals_always = true});
}

Test(queue, a_pool) {
    expect_known((struct program){"a pool", .producers = 1, .consumers = 4, .signals_always = true});
}

Test(queue, two_producers) {
    expect_known((struct program){"two producers", .producers = 2, .consumers = 3, .signals_always = true});
}

Test(queue, signals_only_to_who_sleeps) {
    expect_known((struct program){"signals only when somebody sleeps", .producers = 2, .consumers = 2});
}

Test(queue, signals_after_the_section) {
    expect_known((struct program){"signals after the section", .producers = 2, .consumers = 2,
                                  .signals_outside = true});
}

Test(queue, consumers_answer) {
    expect_known((struct program){"consumers answer themselves", .producers = 1, .consumers = 3,
                                  .answers_here = true});
}

Test(queue, consumers_produce) {
    expect_known((struct program){"consumers that produce", .producers = 1, .consumers = 3, .produces = 30});
}

/* Nobody has seen it empty, so that nothing has added up: the order of its answers tells. */
Test(queue, never_empty) {
    expect_known((struct program){"never empty, one worker", .producers = 1, .consumers = 1,
                                  .signals_always = true, .busy = true});
    expect_known((struct program){"never empty, a pool", .producers = 2, .consumers = 4,
                                  .signals_always = true, .busy = true, .answers_here = true});
}

Test(queue, never_empty_and_not_in_order) {
    expect_never_wrong((struct program){"never empty, a stack", LIFO, .producers = 1, .consumers = 4,
                                        .signals_always = true, .busy = true});
    expect_never_wrong((struct program){"never empty, any order", ANY, .producers = 1, .consumers = 4,
                                        .signals_always = true, .busy = true});
    expect_never_wrong((struct program){"never empty, all taken at once", .producers = 1, .consumers = 2,
                                        .signals_always = true, .busy = true, .drains = true});
    expect_never_wrong((struct program){"never empty, a place that may put something in", .producers = 2,
                                        .consumers = 2, .busy = true, .idle = 20, .idle_inside = true});
    expect_never_wrong((struct program){"never empty, answers out of order", .producers = 1, .consumers = 3,
                                        .signals_always = true, .busy = true, .shuffled = 50});
}

Test(queue, other_sections) {
    expect_known((struct program){"sections elsewhere that put nothing in", .producers = 2, .consumers = 2,
                                  .idle = 20});
}

Test(queue, timeouts) {
    expect_known((struct program){"consumers that time out", .producers = 1, .consumers = 2, .timeouts = 20});
}

/* A full queue, say: rare enough to come when everything has been believed for long. */
Test(queue, sections_that_rarely_put_nothing_in) {
    struct play play =
        play_program((struct program){"rarely nothing, else with a signal", .producers = 2, .consumers = 2,
                                      .rarely = true, .idle_inside = true, .signals_always = true});
    cr_expect(play.wrong == 0 && play.late_unknown < ITEMS / 20, "%u wrong, %u unknown in the second half",
              play.wrong, play.late_unknown);
}

/* What put nothing in looks like what put something in while nobody slept, but for whom it was for: nobody,
 * or a request that has put in something already. */
Test(queue, sections_that_rarely_put_nothing_in_and_never_signal) {
    struct program program = {"rarely nothing, and signals only to sleepers", .producers = 2, .consumers = 2,
                              .rarely = true, .idle_inside = true};
    struct play play = play_program(program);
    cr_expect(play.wrong == 0 && play.late_unknown < ITEMS / 20, "%u wrong, %u unknown in the second half",
              play.wrong, play.late_unknown);
    program.name = "the same, after a request's own";
    program.idle_again = true;
    play = play_program(program);
    cr_expect(play.wrong == 0 && play.late_unknown < ITEMS / 20, "%u wrong, %u unknown in the second half",
              play.wrong, play.late_unknown);
}

Test(queue, sections_that_may_put_in) {
    expect_never_wrong((struct program){"the same place puts something in, or not", .producers = 2,
                                        .consumers = 2, .idle = 20, .idle_inside = true});
}

Test(queue, answers_out_of_order) {
    expect_never_wrong(
        (struct program){"answers out of order, 10 of 100", .producers = 1, .consumers = 3, .shuffled = 10});
    expect_never_wrong(
        (struct program){"answers out of order, 50 of 100", .producers = 1, .consumers = 3, .shuffled = 50});
}

Test(queue, last_in_first_out) {
    expect_never_wrong((struct program){"a stack, one worker", LIFO, .producers = 1, .consumers = 1});
    expect_never_wrong((struct program){"a stack, a pool", LIFO, .producers = 2, .consumers = 4});
    expect_never_wrong((struct program){"a stack, consumers answer", LIFO, .producers = 2, .consumers = 4,
                                        .answers_here = true});
}

Test(queue, any_order) {
    expect_never_wrong((struct program){"any order, one worker", ANY, .producers = 1, .consumers = 1});
    expect_never_wrong((struct program){"any order, a pool", ANY, .producers = 2, .consumers = 4});
    expect_never_wrong(
        (struct program){"any order, answers shuffled", ANY, .producers = 1, .consumers = 3, .shuffled = 50});
}

Test(queue, taken_all_at_once) {
    expect_never_wrong(
        (struct program){"all taken in one section", .producers = 1, .consumers = 1, .drains = true});
    expect_never_wrong(
        (struct program){"all taken in one section, a pool", .producers = 2, .consumers = 3, .drains = true});
}

Test(queue, without_evidence_it_is_silent) {
    struct play play =
        play_program((struct program){"nobody answers", .producers = 1, .consumers = 2, .unwatched = true});
    cr_expect(play.right == 0 && play.wrong == 0, "%u right, %u wrong", play.right, play.wrong);
}

/* It says nothing before it has been seen empty: so nothing has to wait in it until then. */
Test(queue, a_candidate_keeps_nobody_alive) {
    struct queue *queue = queue_begin(&mutex, &condition, take_place.depth);
    struct context *request = context_root(NULL, "req#", 1, 1);
    for (int i = 0; i < 4; i++)
        queue_put(queue, queue_generation(queue), &put_site, true, context_retain(request), 1);
    cr_expect(queue->length == 4 && atomic_load(&request->references) == 1);
    context_release(request);
    queue_forget(&mutex);
}
