/* What the debugger's printers are tried on: variables of the types of ctxshim.h. Says "ready" and stays. */
#include <ctxshim.h>
#include <stdio.h>
#include <unistd.h>

ctxshim_scope none, opened, closed, detour;
ctxshim_context *empty, *captured, *released, *wild = (ctxshim_context *)&none;

int main(void) {
    closed = ctxshim_push("a scope that is closed again");
    released = ctxshim_capture();
    ctxshim_pop(&closed);
    opened = ctxshim_push("Main");
    captured = ctxshim_capture();
    detour = ctxshim_suppress_flow();
    ctxshim_release(released); /* last, so that its memory serves nothing else */
    puts("ready");
    fflush(stdout);
    while (1)
        pause();
}
