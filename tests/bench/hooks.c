/* The hot hooks, one after the other, for callgrind to count (hooks.sh): each case is called often, and a
 * dump of the counters made that bears its name. What makes a call ready is not counted. Run without valgrind
 * it does the same and tells nothing.
 *
 *   hooks [CASE]
 *
 * The program is one server with one client in it; the client's calls go past all hooks. */
#include "hooks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

enum { WARM = 64, CALLS = 256 };

static int listener;
static struct sockaddr_in address;

/* All six arguments are given: recvfrom writes where the last ones point. */
long raw_call(long number, long a, long b, long c, long d) {
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = 0, x5 __asm__("x5") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

long sure(long result, const char *what) {
    if (result >= 0)
        return result;
    fprintf(stderr, "hooks: %s failed: %s\n", what, strerror(errno));
    exit(1);
}

struct pair connection(void) {
    struct pair pair = {(int)raw_call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0), 0};
    sure(raw_call(SYS_connect, pair.client, (long)&address, sizeof address, 0), "connect");
    pair.server = (int)sure(accept4(listener, NULL, NULL, SOCK_NONBLOCK), "accept4");
    return pair;
}

static void listen_somewhere(void) {
    socklen_t size = sizeof address;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = (int)sure(socket(AF_INET, SOCK_STREAM, 0), "socket");
    sure(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    sure(listen(listener, 64), "listen");
    sure(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
}

static void once(const struct hook_case *one) {
    if (one->ready != NULL) {
        CALLGRIND_TOGGLE_COLLECT;
        one->ready();
        CALLGRIND_TOGGLE_COLLECT;
    }
    one->call();
}

static void count(const struct hook_case *one) {
    char dump[96];
    int calls = one->times != 0 ? one->times : CALLS;
    for (int i = 0; i < WARM; i++)
        once(one);
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < calls; i++)
        once(one);
    snprintf(dump, sizeof dump, "%s / %d", one->name, calls);
    CALLGRIND_DUMP_STATS_AT(dump);
}

static void count_all(const struct hook_case *cases, const char *wanted) {
    for (const struct hook_case *one = cases; one->name != NULL; one++)
        if (wanted == NULL || strcmp(wanted, one->name) == 0)
            count(one);
}

/* On a thread of its own, which has left no loop and no frame. */
static void *proxy(void *wanted) {
    hooks_prepare_proxy();
    count_all(hook_cases_proxy, wanted);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    const char *wanted = argc > 1 ? argv[1] : NULL;
    listen_somewhere();
    hooks_prepare_bytes();
    hooks_prepare_waits();
    count_all(hook_cases_bytes, wanted);
    count_all(hook_cases_waits, wanted);
    count_all(hook_cases_scopes, wanted);
    hooks_prepare_threads();
    count_all(hook_cases_threads, wanted);
    if (pthread_create(&thread, NULL, proxy, (void *)(uintptr_t)wanted) == 0)
        pthread_join(thread, NULL);
    _exit(0);
}
