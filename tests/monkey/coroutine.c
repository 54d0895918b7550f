/* Coroutines by ucontext, which take steps of their own and yield to each other. */
#include "ops.h"

#include <stdlib.h>
#include <ucontext.h>

enum { COROUTINES = 4, STACK = 512 * 1024, SWITCHES = 10 };

struct group {
    ucontext_t home, own[COROUTINES];
    char *stacks[COROUTINES];
    unsigned count, running, left[COROUTINES];
    struct dice dice[COROUTINES];
    int where;
};

static _Thread_local struct group *group;

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

/* When one has done its part, all are over: the others are left where they are. */
static void body(void) {
    struct group *mine = group;
    CTXSHIM_SCOPE("coroutine");
    while (mine->left[mine->running]-- > 0) {
        if (chance(60))
            step(mine->where);
        if (chance(10)) {
            CTXSHIM_SCOPE("part");
            step(mine->where);
        }
        unsigned next = below(mine->count);
        if (next != mine->running)
            yield_to(mine, next);
    }
    leave(mine);
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
    dice = mine.dice[0];
    MUST(swapcontext(&mine.home, &mine.own[0]) == 0);
    group = outer;
    here_where = mine.where;
    dice = kept;
    draw();
    for (unsigned i = 0; i < mine.count; i++)
        free(mine.stacks[i]);
}

