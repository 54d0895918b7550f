/* What the conformance tests share: see behaviour.h. */
#include "behaviour.h"
#include "shim/report.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

_Noreturn void check_failed(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    _exit(1);
}

void check_stack(const char *expected, const char *file, int line) {
    char stack[1024], message[2200];
    ctxshim_stack(stack, sizeof stack);
    if (strcmp(stack, expected) == 0)
        return;
    snprintf(message, sizeof message, "the stack is '%s' (it is '%s')", expected, stack);
    check_failed(file, line, message);
}

/* --- threads ------------------------------------------------------------------------------------- */

pthread_t thread_start(void *(*routine)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, SMALL_STACK) == 0);
    CHECK(pthread_create(&thread, &attributes, routine, argument) == 0);
    pthread_attr_destroy(&attributes);
    return thread;
}

void thread_join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

void on_thread(void *(*routine)(void *), void *argument) {
    thread_join(thread_start(routine, argument));
}

void on_clean_thread(void *(*routine)(void *), void *argument) {
    ctxshim_scope clean = ctxshim_attach(NULL);
    on_thread(routine, argument);
    CHECK(ctxshim_pop(&clean) == 0);
}

/* --- values -------------------------------------------------------------------------------------- */

struct token tokens[TOKENS];

void token_end(void *token) {
    atomic_fetch_add(&((struct token *)token)->ends, 1);
}

bool token_over(const struct token *token) {
    int ends = atomic_load(&token->ends);
    CHECK(ends <= 1);
    return ends == 1;
}

void api_call(void) {
    ctxshim_release(ctxshim_capture());
    CHECK(ctxshim_pop(&(ctxshim_scope){0}) == 0);
    ctxshim_scope scope = ctxshim_push("");
    CHECK(ctxshim_pop(&scope) == 0);
}

/* --- reports ------------------------------------------------------------------------------------- */

static char reports[4096], report_lines[64 * 1024];
static pthread_mutex_t reports_lock = PTHREAD_MUTEX_INITIALIZER;

static void report_keep(enum scope_fault fault, const struct scope_view *scope,
                        const struct scope_view *around) {
    static const char *const words[] = {
        [SCOPE_UNPOPPED] = "left-open", [SCOPE_OUT_OF_ORDER] = "out-of-order", [SCOPE_FOREIGN] = "foreign"};
    char name[256] = "", line[1000];
    context_format(scope->node, name, sizeof name);
    report_text(line, sizeof line, fault, scope, around);
    pthread_mutex_lock(&reports_lock);
    size_t used = strlen(reports);
    snprintf(reports + used, sizeof reports - used, "%s '%s'; ", words[fault], name);
    used = strlen(report_lines);
    snprintf(report_lines + used, sizeof report_lines - used, "%s\n", line);
    pthread_mutex_unlock(&reports_lock);
}

void reports_begin(void) {
    reports[0] = report_lines[0] = '\0';
    scope_report = report_keep;
}

const char *reports_end(void) {
    scope_report = NULL;
    return reports;
}

const char *reports_lines(void) {
    return report_lines;
}

bool line_names(const char *line, void (*function)(void)) {
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    void *address;
    memcpy(&address, &function, sizeof address);
    CHECK(dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol != NULL);
    size_t begin = (size_t)((char *)info.dli_saddr - (char *)info.dli_fbase);
    for (const char *at = strstr(line, "conformance-program+0x"); at != NULL;) {
        size_t offset = strtoul(strstr(at, "+0x") + 1, NULL, 16);
        if (offset >= begin && offset < begin + symbol->st_size)
            return true;
        at = strstr(at + 1, "conformance-program+0x");
    }
    return false;
}

/* --- an event loop ------------------------------------------------------------------------------- */

int loop_new(void) {
    int loop = epoll_create1(EPOLL_CLOEXEC);
    CHECK(loop >= 0);
    return loop;
}

static void loop_control(int loop, int operation, struct watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};
    CHECK(epoll_ctl(loop, operation, watch->fd, &event) == 0);
}

void loop_add(int loop, struct watch *watch, uint32_t events) {
    loop_control(loop, EPOLL_CTL_ADD, watch, events);
}

void loop_change(int loop, struct watch *watch, uint32_t events) {
    loop_control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_remove(int loop, struct watch *watch) {
    loop_control(loop, EPOLL_CTL_DEL, watch, 0);
}

enum { EVENTS_AT_MOST = 64 };

/* The one place of all waits, whatever calls it. */
static __attribute__((noinline)) int loop_wait(int loop, int most_events, int timeout) {
    struct epoll_event events[EVENTS_AT_MOST];
    int count = epoll_wait(loop, events, most_events, timeout);
    CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
    return count;
}

int loop_turn(int loop, int most_events) {
    int count = loop_wait(loop, most_events, PATIENCE_MS);
    CHECK(count != 0);
    return count;
}

void loop_rest(int loop) {
    CHECK(loop_wait(loop, 1, 1) == 0);
}

int timer_new(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(timer >= 0);
    return timer;
}

void timer_arm(int timer, int milliseconds, bool repeating) {
    struct itimerspec when = {.it_value.tv_nsec = milliseconds * 1000000L};
    if (repeating)
        when.it_interval = when.it_value;
    CHECK(timerfd_settime(timer, 0, &when, NULL) == 0);
}

void timer_read(int timer) {
    uint64_t expirations;
    CHECK(read(timer, &expirations, sizeof expirations) == sizeof expirations);
}

void event_post(int event) {
    uint64_t one = 1;
    CHECK(write(event, &one, sizeof one) == sizeof one);
}

uint64_t event_take(int event) {
    uint64_t count = 0;
    CHECK(read(event, &count, sizeof count) == sizeof count);
    return count;
}

/* --- sockets ------------------------------------------------------------------------------------- */

int listener_new(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 64) == 0);
    return listener;
}

int connect_to(int listener) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == 0);
    return fd;
}

void send_all(int fd, const void *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t part = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        CHECK(part > 0);
        sent += (size_t)part;
    }
}

void receive_all(int fd, void *data, size_t size) {
    for (size_t received = 0; received < size;) {
        ssize_t part = recv(fd, (char *)data + received, size - received, 0);
        CHECK(part > 0);
        received += (size_t)part;
    }
}

void make_nonblocking(int fd) {
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

int the_listener;

void *accept_loop(void *connections) {
    char byte = 0;
    for (int i = 0; i < *(int *)connections; i++) {
        int connection = accept(the_listener, NULL, NULL);
        CHECK(connection >= 0);
        send_all(connection, &byte, 1);
        close(connection);
    }
    return NULL;
}

void connect_once(void) {
    char byte = 1;
    int fd = connect_to(the_listener);
    receive_all(fd, &byte, 1);
    close(fd);
}
