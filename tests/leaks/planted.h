/* Programs that leak a context, each in one way, and their clean twins: `planted NAME
 * leak|clean|stay|stay-clean`. A line with the comment HERE and a name is the one that the report has to
 * name.
 *
 * They are small servers: the client's side goes through raw system calls, which the shim does not see. Here
 * is what they share; one file for each kind of holder. */
#ifndef TESTS_LEAKS_PLANTED_H
#define TESTS_LEAKS_PLANTED_H

#include <ctxshim.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

#define LEAK(name, kind, api) void name(bool leak);
#include "cases.def"
#undef LEAK

/* Ends the program when it did not hold. */
void need(bool held, const char *what);

extern struct sockaddr_in server_address;
extern int listener; /* -1: not yet */
int client_connect(void);
void client_ask(int client);

/* One connection with a request on it. */
struct served {
    int client, connection;
};
struct served serve(void);
void answer(const struct served *served);
/* Answered and closed: the request is over. */
void finish(const struct served *served);

/* A thread that says `started`, and stays until it `may_end`. */
extern _Atomic bool started, may_end;
void *linger(void *nothing);
void wait_started(void);

#endif
