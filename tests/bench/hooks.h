/* The cases of the hot hooks: what is called, and what must lie ready for it. */
#ifndef BENCH_HOOKS_H
#define BENCH_HOOKS_H

struct hook_case {
    const char *name;
    void (*ready)(void); /* before each call, not counted; NULL: nothing */
    void (*call)(void);
    int times; /* 0: as many as usual */
};

/* Ended by one without a name. */
extern const struct hook_case hook_cases_bytes[], hook_cases_waits[], hook_cases_scopes[],
    hook_cases_threads[], hook_cases_proxy[];

void hooks_prepare_bytes(void);
void hooks_prepare_waits(void);
void hooks_prepare_threads(void);
void hooks_prepare_proxy(void);

/* A system call that no hook sees: the other side's. */
long raw_call(long number, long a, long b, long c, long d);
/* Ends the program unless the call that this is the result of has succeeded. */
long sure(long result, const char *what);
/* A connection to a listening socket of this program's: the end of a client that is not watched, and ours. */
struct pair {
    int client, server;
};
struct pair connection(void);

#endif
