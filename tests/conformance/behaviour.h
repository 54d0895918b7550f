/* What the conformance tests share: checks, threads, values that count their ends, and a small event loop. */
#ifndef BEHAVIOUR_H
#define BEHAVIOUR_H

#include "ctxstore/context.h"
#include "ctxstore/flow.h"
#include "shim/ctxshim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BEHAVIOUR(name) void name(void);
#include "conformance.def"
#undef BEHAVIOUR

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A check that fails says where and ends the program: nothing after it would mean anything. Any thread. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            check_failed(__FILE__, __LINE__, #condition);                                                    \
    } while (0)
#define CHECK_STACK(expected) check_stack((expected), __FILE__, __LINE__)
_Noreturn void check_failed(const char *file, int line, const char *what);
void check_stack(const char *expected, const char *file, int line);

/* --- threads ------------------------------------------------------------------------------------- */

enum { SMALL_STACK = 128 * 1024 };

pthread_t thread_start(void *(*routine)(void *), void *argument);
void thread_join(pthread_t thread);
/* Both. */
void on_thread(void *(*routine)(void *), void *argument);
/* Both, in the empty context. */
void on_clean_thread(void *(*routine)(void *), void *argument);

/* --- values -------------------------------------------------------------------------------------- */

/* A value is an address in an array, so that its end can be counted: each must end once. */
enum { TOKENS = 1024 };
struct token {
    _Atomic int ends;
};
extern struct token tokens[TOKENS];
void token_end(void *token);
/* Has it been destroyed? Fails when more than once. */
bool token_over(const struct token *token);
/* A call that gives dropped values their end, and does nothing else. */
void api_call(void);

/* --- reports ------------------------------------------------------------------------------------- */

/* What the store reported since reports_begin, as text: "out-of-order 'Main A'; left-open 'B'; ". */
void reports_begin(void);
const char *reports_end(void);
/* The same as people read them, a line each. */
const char *reports_lines(void);
/* Does the line name a call in this (global) function as module+offset? */
bool line_names(const char *line, void (*function)(void));

/* --- an event loop, as programs write it ----------------------------------------------------------- */

struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events);
    void *argument;
};

int loop_new(void);
void loop_add(int loop, struct watch *watch, uint32_t events);
void loop_change(int loop, struct watch *watch, uint32_t events);
void loop_remove(int loop, struct watch *watch);
/* One wait and its callbacks; fails when nothing comes in five seconds. Returns how many came. */
int loop_turn(int loop, int most_events);
/* A wait that finds nothing, from the loop's own place: the callbacks before are over. */
void loop_rest(int loop);

/* Arms a timerfd, once or repeating; 0 disarms. */
void timer_arm(int timer, int milliseconds, bool repeating);
void timer_read(int timer);
int timer_new(void);
void event_post(int event);
uint64_t event_take(int event);

/* --- sockets on the loopback, free ports ------------------------------------------------------------ */

int listener_new(void);
int connect_to(int listener);
/* As many bytes as asked, on a blocking socket. */
void send_all(int fd, const void *data, size_t size);
void receive_all(int fd, void *data, size_t size);
void make_nonblocking(int fd);

/* A thread that accepts so many connections on `the_listener` and sends each a byte; and such a connection.
 */
extern int the_listener;
void *accept_loop(void *connections);
void connect_once(void);

/* --- the C++ parts (exceptions.cc) ------------------------------------------------------------------- */

/* Runs fn in the context and throws from it. True when the exception arrived. */
bool run_and_throw(ctxshim_context *context, void (*fn)(void *), void *argument);
/* Opens two scopes by the macro, calls `inside` and throws out of both. True when the exception arrived. */
bool scope_and_throw(void (*inside)(void));

#endif
