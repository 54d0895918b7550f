/* Behaviour under preload, one case per statement.
 *
 *     CASE(F1, pthread_create_inherits) { ... EXPECT(...); }
 *
 * Each file of cases is compiled twice: into the program `cases`, which runs the case that it is given by
 * name in a process of its own, and into the Criterion binary, where the same line is the test that starts
 * that program under the shim, with a time limit, and looks at its exit status. CASE_WITH sets
 * CTXSHIM_OPTIONS. A HOST_CASE must hold without the shim as well: it is run plain first.
 *
 * Clients in these cases talk through raw system calls (raw_*), so that only the server's side is seen by the
 * shim. Waits are to be written in the case itself, not in a helper: their stack address counts. */
#ifndef TESTS_BEHAVIOUR_CASE_H
#define TESTS_BEHAVIOUR_CASE_H

#include "../../ctxstore/kernel.h"

#include <ctxshim.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef BEHAVIOUR_PROGRAM

struct case_entry {
    const char *name;
    void (*body)(void);
    struct case_entry *next;
};
void case_add(struct case_entry *entry);

#    define CASE_DEFINE(rule, title)                                                                         \
        static void case_##rule##_##title(void);                                                             \
        __attribute__((constructor)) static void add_##rule##_##title(void) {                                \
            static struct case_entry entry = {#rule "/" #title, case_##rule##_##title, NULL};                \
            case_add(&entry);                                                                                \
        }                                                                                                    \
        static void case_##rule##_##title(void)
#    define CASE_WITH(options, rule, title) CASE_DEFINE(rule, title)
#    define CASE(rule, title) CASE_DEFINE(rule, title)
#    define HOST_CASE(rule, title) CASE_DEFINE(rule, title)

#else
#    include <criterion/criterion.h>

void expect_case(const char *name, const char *options, bool plain_too);

#    define CASE_DEFINE(rule, title, options, plain_too)                                                     \
        Test(rule, title, .timeout = 100) {                                                                  \
            expect_case(#rule "/" #title, options, plain_too);                                               \
        }                                                                                                    \
        __attribute__((unused)) static void case_##rule##_##title(void)
#    define CASE_WITH(options, rule, title) CASE_DEFINE(rule, title, options, false)
#    define CASE(rule, title) CASE_DEFINE(rule, title, "", false)
#    define HOST_CASE(rule, title) CASE_DEFINE(rule, title, "", true)

#endif

/* --- what cases say ------------------------------------------------------------------------------- */

void case_fail(const char *file, int line, const char *what, const char *got);
void case_expect_stack(const char *file, int line, const char *expected);
/* The current stack as text, kept until this thread's next call. */
const char *stack_now(void);

/* The rest of the case makes no sense without it: ends the process. */
#define REQUIRE(condition) ((condition) ? (void)0 : (case_fail(__FILE__, __LINE__, #condition, ""), _exit(1)))
#define EXPECT(condition) ((condition) ? (void)0 : case_fail(__FILE__, __LINE__, #condition, ""))
#define EXPECT_STACK(text) case_expect_stack(__FILE__, __LINE__, text)

/* How often each value was destroyed; the value is the address of its count. */
void count_destroy(void *value);
/* Lets what this thread dropped be destroyed: an API call. */
void settle(void);

/* --- what cases use ------------------------------------------------------------------------------- */

/* A listening socket on an address of its own. */
int listen_somewhere(void);
/* Clients, unseen by the shim. */
int raw_connect(int listener);
void raw_write(int fd, const char *text);
/* Reads what is there; waits up to a second. -1: nothing came. */
long raw_read(int fd, char *buffer, size_t size);
void raw_close(int fd);

void watch(int epoll, int operation, int fd, uint32_t events);
void poke(int eventfd);
/* write and read, whose results do not matter here. */
void say_to(int fd, const char *text);
long hear(int fd);
/* Reads in a new thread with an empty context, as a pool's worker would, and expects that stack there. */
void case_expect_reader(const char *file, int line, int fd, const char *expected);
#define expect_reader(fd, expected) case_expect_reader(__FILE__, __LINE__, fd, expected)

#endif
