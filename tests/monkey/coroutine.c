/* Coroutines by ucontext, which take steps of their own and yield to each other. */
#include "ops.h"

#include <stdlib.h>
#include <ucontext.h>

enum { COROUTINES = 4, STACK = 512 * 1024, SWITCHES = 10 };

struct group {
    ucontext_t home, own[COROUTINES];
    char *stacks[COROUTINES];
    unsigned count, running, left[COROUTINES];
    bool over[COROUTINES];
    struct dice dice[COROUTINES];
    int where;
};

static _Thread_local struct group *group;
_Atomic bool abandoned;

static void yield_to(struct group *mine, unsigned next) {
    unsigned before = mine->running;
    mine->dice[before] = dice;
    mine->running = next;
    dice = mine->dice[next];
    hook_used(HOOK_swapcontext);
    MUST(swapcontext(&mine->own[before], &mine->own[next]) == 0);
}

static void leave(struct group *mine) {
    hook_used(HOOK_setcontext);
    setcontext(&mine->home);
    abort();
}

/* Anyone who has something left to do, or `count`. */
static unsigned next_of(const struct group *mine) {
    unsigned first = below(mine->count);
    for (unsigned i = 0; i < mine->count; i++)
        if (mine->left[(first + i) % mine->count] > 0)
            return (first + i) % mine->count;
    return mine->count;
}

static void part(struct group *mine) {
    CTXSHIM_SCOPE("coroutine");
    unsigned next = next_of(mine);
    if (chance(30) && next < mine->count && next != mine->running)
        yield_to(mine, next);
    if (chance(60))
        step(mine->where);
    if (chance(10)) {
        CTXSHIM_SCOPE("part");
        step(mine->where);
    }
}

/* Now and then one ends it for all, and who has not come to its end never will. */
static void body(void) {
    struct group *mine = group;
    while (mine->left[mine->running] > 0) {
        part(mine);
        mine->left[mine->running]--;
        unsigned next = next_of(mine);
        if (next < mine->count && next != mine->running)
            yield_to(mine, next);
    }
    mine->over[mine->running] = true;
    if (chance(2)) {
        abandoned = true;
        memset(mine->over, true, sizeof mine->over);
        leave(mine);
    }
}

static unsigned next_not_over(const struct group *mine) {
    unsigned at = 0;
    while (at < mine->count && mine->over[at])
        at++;
    return at;
}

void run_coroutines(void) {
    struct group mine = {.count = 1 + below(COROUTINES), .where = here_where}, *outer = group;
    struct dice kept = dice;
    for (unsigned i = 0; i < mine.count; i++) {
        mine.left[i] = 1 + below(SWITCHES);
        mine.dice[i].state = draw();
        mine.stacks[i] = malloc(STACK);
        MUST(mine.stacks[i] != NULL && getcontext(&mine.own[i]) == 0);
        mine.own[i].uc_stack.ss_sp = mine.stacks[i];
        mine.own[i].uc_stack.ss_size = STACK;
        mine.own[i].uc_link = &mine.home;
        hook_used(HOOK_makecontext);
        makecontext(&mine.own[i], body, 0);
    }
    group = &mine;
    for (unsigned next; (next = next_not_over(&mine)) < mine.count;) {
        mine.running = next;
        dice = mine.dice[next];
        MUST(swapcontext(&mine.home, &mine.own[next]) == 0);
    }
    group = outer;
    here_where = mine.where;
    dice = kept;
    draw();
    for (unsigned i = 0; i < mine.count; i++)
        free(mine.stacks[i]);
}
