/* Context leaks, as they are found: what is kept of each, and where (record.h). With `leaks` off nothing here
 * is ever called. */
#ifndef SHIM_LEAKS_H
#define SHIM_LEAKS_H

#include "../ctxstore/flow.h"
#include "record.h"

/* With `leaks`: maps the region, and listens for what the store finds. False without memory. */
bool leaks_start(void);
/* In a fork child: the parent's region is the parent's. */
void leaks_forked(void);

/* What is known of a leak; what is not is NULL or 0. */
struct leak {
    enum leak_kind kind;
    uint16_t site, other_site; /* site.h */
    const char *operations;    /* the path, as ctxshim_stack has it */
    const char *about;         /* what holds it, what it was misused against */
    const char *how;           /* how the context came there */
    uint64_t age;              /* nanoseconds */
    int tid;                   /* of the thread that it is about; 0: this one */
};
/* Notes it; the same kind at the same place is counted only. Inside the guard; not async-signal-safe. */
void leaks_note(const struct leak *leak);

/* Work began: `fresh` is its context, `what` says what it is. Notes it when another request's is current, or
 * an unclosed scope of one: what the program does for the one may show up in the other (leaks_ingress.c).
 * Inside the guard, before it is adopted. */
struct thread;
void leaks_ingress_slow(struct thread *thread, const struct context *fresh, const char *what);
/* ctxshim_root is about to begin a request from here. */
void leaks_root_slow(struct thread *thread, struct here here);

/* Looks for contexts that are held though their request is over (leaks_survey.c); each is noted once. Inside
 * the guard. */
void leaks_survey(void);
void leaks_survey_forked(void);
/* What holds it, and how it came there, in words (leaks_about.c). */
struct holding;
void leaks_about_holder(const struct holding *holding, char *buffer, size_t size);
void leaks_how_it_came(const struct holding *holding, char *buffer, size_t size);
/* The process comes to its end: what is open or alive now is left behind. Changes nothing. */
void leaks_left(void);
/* Prints what was found where options say (leaks_print.c). */
void leaks_print(void);
/* Begins to keep which values are alive (leaks_values.c). */
void leaks_values_start(void);
void leaks_values_forked(void);
/* Notes the values alive that nothing reaches; inside the guard. */
void leaks_values_left(void);
/* A signal asks for a report (leaks_signal.c). */
void leaks_signal_start(void);
/* If one has asked, but not where a report could be made: now. Inside the guard, and no lock of ours held. */
extern _Atomic bool leaks_asked;
void leaks_answer(void);

/* The region, or NULL; and whether it is in a file, for a command to read. */
extern struct record_header *leaks_region;
extern bool leaks_recorded;

/* In a fork child: serials and the clock (context_clock) at the fork. */
struct leaks_inherited {
    uint64_t below;
    uint32_t until;
};
extern struct leaks_inherited leaks_inherited;
/* Was it made before the fork? */
static inline bool leaks_is_inherited(uint64_t serial) {
    return serial < leaks_inherited.below;
}

static inline void leaks_ingress(struct thread *thread, const struct context *fresh, const char *what) {
    if (__builtin_expect(leaks_region != NULL, 0))
        leaks_ingress_slow(thread, fresh, what);
}
static inline void leaks_root(struct thread *thread, struct here here) {
    if (__builtin_expect(leaks_region != NULL, 0))
        leaks_root_slow(thread, here);
}

#endif
