/* What the debugger is tried on: variables of the types of ctxshim.h, and a function that is called for one
 * job after the other. Says "ready", and goes on and on. */
#include <ctxshim.h>
#include <stdio.h>
#include <unistd.h>

ctxshim_scope none, opened, closed, detour;
ctxshim_context *empty, *captured, *released, *wild = (ctxshim_context *)&none;

static __attribute__((noinline)) void handle(int job) {
    (void)job;
    usleep(1000);
}

int main(void) {
    closed = ctxshim_push("a scope that is closed again");
    released = ctxshim_capture();
    ctxshim_pop(&closed);
    opened = ctxshim_push("Main");
    captured = ctxshim_capture();
    detour = ctxshim_suppress_flow();
    /* Memory that is free is used again, the last first: from now on that is what `spare` had. */
    ctxshim_scope spare = ctxshim_push("spare");
    ctxshim_release(released);
    ctxshim_pop(&spare);
    puts("ready");
    fflush(stdout);
    for (int job = 0;; job++) {
        char name[16];
        snprintf(name, sizeof name, "job %d", job % 10);
        CTXSHIM_SCOPE(name);
        handle(job);
    }
}
