/* The host comes first (H3, H4, H12, H14, H19, H20, H22): signals, cancellation, fork and vfork storms, errno
 * and bad pointers. What has no context in it must hold without the shim as well. */
#include "case.h"

#include <link.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdlib.h>
#include <time.h>

extern char **environ;

static _Atomic int destroyed;
static _Atomic bool storm;

/* --- H19: signals --------------------------------------------------------------------------------- */

static ctxshim_key *storm_key;
enum { CALLS_WANTED = 500, PATIENCE = 60 };
static int handler_fd, calls, calls_wanted;
static long refused; /* scopes that did not open: the program itself was never inside the shim */

static void use_everything(int signal_number) {
    int kept = errno;
    char text[128];
    (void)signal_number;
    ctxshim_stack(text, sizeof text);
    ctxshim_get(storm_key);
    ctxshim_scope scope = ctxshim_push("handler"); /* no capture: its release may be inert here */
    ctxshim_pop(&scope);
    eventfd_write(handler_fd, 1);
    close(dup(handler_fd));
    calls++;
    errno = kept;
}

/* Also takes and drops values: what waits to be destroyed is touched by the handler, too. */
static void set_values(int signal_number) {
    static char value;
    use_everything(signal_number);
    int kept = errno;
    ctxshim_scope with = ctxshim_with(storm_key, &value);
    ctxshim_pop(&with);
    errno = kept;
}

static _Atomic long taken, given;

static void give(void *value) {
    (void)value;
    atomic_fetch_add(&given, 1);
}

static void interrupt_at_1_khz(void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    calls_wanted = CALLS_WANTED;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
}

/* So long, and on a machine that is busy with other things until enough signals have come. */

static bool before_the_end_of(struct timespec *end, int seconds) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (end->tv_sec == 0)
        *end = (struct timespec){now.tv_sec + seconds, now.tv_nsec};
    if (calls <= calls_wanted && calls_wanted > 0 && now.tv_sec < end->tv_sec + PATIENCE)
        return true;
    return now.tv_sec < end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec < end->tv_nsec);
}

static void hook_storm(int seconds) {
    struct timespec end = {0};
    struct epoll_event event;
    int epoll = epoll_create1(0);
    while (before_the_end_of(&end, seconds)) {
        int fd = eventfd(0, EFD_NONBLOCK);
        ctxshim_scope clean = ctxshim_attach(NULL), outer = ctxshim_push("storm");
        ctxshim_scope with = ctxshim_with(storm_key, (void *)(uintptr_t)(atomic_load(&taken) + 1));
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
        eventfd_write(fd, 1);
        ctxshim_pop(&with);
        ctxshim_pop(&outer);
        ctxshim_pop(&clean);
        refused += with.node == NULL;
        atomic_fetch_add(&taken, with.node != NULL);
        if (epoll_wait(epoll, &event, 1, 0) == 1)
            hear(fd);
        close(fd);
    }
    while (epoll_wait(epoll, &event, 1, 1) == -1) /* a handler interrupted it */
        EXPECT(errno == EINTR);
    close(epoll);
}

static int tls_of_the_shim(struct dl_phdr_info *object, size_t size, void *bytes) {
    (void)size;
    for (int i = 0; strstr(object->dlpi_name, "libctxshim") != NULL && i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_TLS)
            *(size_t *)bytes = object->dlpi_phdr[i].p_memsz;
    return 0;
}

/* What glibc keeps for libraries that are opened later is little. */
CASE(H9, thread_local_storage_stays_small) {
    size_t bytes = 0;
    dl_iterate_phdr(tls_of_the_shim, &bytes);
    EXPECT(bytes > 0 && bytes < 256);
}

CASE(H19, handlers_use_hooks_and_the_api) {
    storm_key = ctxshim_key_create("storm", give);
    handler_fd = eventfd(0, EFD_NONBLOCK);
    interrupt_at_1_khz(use_everything);
    hook_storm(2);
    signal(SIGUSR1, SIG_IGN);
    EXPECT(calls > CALLS_WANTED);
    close(handler_fd);
    settle();
    EXPECT(atomic_load(&given) == atomic_load(&taken));
    EXPECT(refused == 0);
}

CASE(H19, a_storm_without_signals_destroys_everything) {
    storm_key = ctxshim_key_create("storm", give);
    hook_storm(1);
    settle();
    EXPECT(atomic_load(&given) == atomic_load(&taken));
}

CASE(H19, handlers_set_values) {
    storm_key = ctxshim_key_create("storm", give);
    handler_fd = eventfd(0, EFD_NONBLOCK);
    interrupt_at_1_khz(set_values);
    hook_storm(2);
    signal(SIGUSR1, SIG_IGN);
    EXPECT(calls > CALLS_WANTED);
}

/* The same, where the program is nearly always at destroying: each value is destroyed once. */
CASE(H19, handlers_interrupt_destruction) {
    struct timespec end = {0};
    storm_key = ctxshim_key_create("storm", give);
    handler_fd = eventfd(0, EFD_NONBLOCK);
    interrupt_at_1_khz(set_values);
    while (before_the_end_of(&end, 2))
        for (int i = 0; i < 1000; i++) {
            ctxshim_scope with = ctxshim_with(storm_key, (void *)&taken);
            atomic_fetch_add(&taken, with.node != NULL);
            ctxshim_pop(&with);
        }
    signal(SIGUSR1, SIG_IGN);
    settle();
    EXPECT(calls > CALLS_WANTED);
    EXPECT(atomic_load(&given) >= atomic_load(&taken));
    EXPECT(atomic_load(&given) <= atomic_load(&taken) + calls);
}

/* --- H14: cancellation ---------------------------------------------------------------------------- */

enum { READ, ACCEPT, EPOLL_WAIT, EPOLL_PWAIT, RECV, READV, RECVMSG, WRITE, EVENTFD_READ, CONNECT, CALLS };

static int blocking[2], blocking_listener, blocking_epoll, blocking_event, blocking_outbound;
static struct sockaddr_un blocking_address;
static socklen_t blocking_address_size;
static _Atomic int cleaned, entered;

static void clean_up(void *unused) {
    (void)unused;
    atomic_fetch_add(&cleaned, 1);
}

static void *block(void *argument) {
    static char buffer[1 << 16];
    struct epoll_event event;
    struct iovec vector = {buffer, sizeof buffer};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t value;
    pthread_cleanup_push(clean_up, NULL);
    atomic_store(&entered, 1);
    switch ((intptr_t)argument) {
    case READ:
        hear(blocking[0]);
        break;
    case ACCEPT:
        accept(blocking_listener, NULL, NULL);
        break;
    case EPOLL_WAIT:
        epoll_wait(blocking_epoll, &event, 1, -1);
        break;
    case EPOLL_PWAIT:
        epoll_pwait(blocking_epoll, &event, 1, -1, NULL);
        break;
    case RECV:
        recv(blocking[0], buffer, sizeof buffer, 0);
        break;
    case READV:
        (void)!readv(blocking[0], &vector, 1);
        break;
    case RECVMSG:
        recvmsg(blocking[0], &message, 0);
        break;
    case WRITE:
        while (write(blocking[1], buffer, sizeof buffer) > 0)
            ;
        break;
    case EVENTFD_READ:
        eventfd_read(blocking_event, &value);
        break;
    default:
        for (int i = 0; i < 100; i++)
            connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&blocking_address,
                    blocking_address_size);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

/* A full backlog makes connect block. */
static int full_listener(void) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof any.sun_family) == 0 && listen(fd, 0) == 0);
    blocking_address_size = sizeof blocking_address;
    getsockname(fd, (struct sockaddr *)&blocking_address, &blocking_address_size);
    return fd;
}

HOST_CASE(H14, a_blocked_thread_can_be_cancelled) {
    ctxshim_key *key = ctxshim_key_create("key", count_destroy);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, blocking) == 0);
    blocking_listener = listen_somewhere();
    blocking_epoll = epoll_create1(0);
    blocking_event = eventfd(0, 0);
    blocking_outbound = full_listener();
    for (intptr_t call = 0; call < CALLS; call++) {
        pthread_t thread;
        void *result;
        atomic_store(&destroyed, 0);
        atomic_store(&entered, 0);
        ctxshim_scope with = ctxshim_with(key, (void *)&destroyed);
        REQUIRE(pthread_create(&thread, NULL, block, (void *)call) == 0);
        ctxshim_pop(&with);
        while (!atomic_load(&entered))
            usleep(100);
        usleep(20000);
        REQUIRE(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        EXPECT(result == PTHREAD_CANCELED);
        EXPECT(atomic_load(&cleaned) == call + 1);
        bool waits = call == CONNECT || call == WRITE; /* what was written or connected is still there */
        EXPECT(atomic_load(&destroyed) == (waits && ctxshim_active() ? atomic_load(&destroyed) : 1));
    }
}

/* A write that was cancelled left a place reserved: it is given up. */
static void *write_until_cancelled(void *unused) {
    ctxshim_push("cancelled");
    for (;;)
        eventfd_write(blocking_event, UINT64_MAX - 1);
    return unused;
}

CASE(H14, a_cancelled_write_leaves_nothing_in_the_mailbox) {
    pthread_t thread;
    blocking_event = eventfd(0, 0);
    REQUIRE(pthread_create(&thread, NULL, write_until_cancelled, NULL) == 0);
    struct pollfd written = {blocking_event, POLLIN, 0}; /* the first write; the second one waits */
    REQUIRE(kernel_call(SYS_poll, (long)&written, 1, 30000, 0, 0, 0) == 1);
    usleep(50000);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    expect_reader(blocking_event, "cancelled");
    ctxshim_scope a = ctxshim_push("A");
    poke(blocking_event);
    ctxshim_pop(&a);
    expect_reader(blocking_event, "A");
}

/* A write that a handler interrupts keeps its place, though the handler writes too. */
static void write_other(int signal_number) {
    (void)signal_number;
    eventfd_write(handler_fd, 1);
}

static void *write_and_wait(void *unused) {
    ctxshim_scope a = ctxshim_push("A");
    EXPECT(eventfd_write(blocking_event, 1) == 0);
    ctxshim_pop(&a);
    return unused;
}

CASE(H19, a_handlers_write_does_not_cancel_the_one_it_interrupts) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = write_other, .sa_flags = SA_RESTART};
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_fd = eventfd(0, 0);
    blocking_event = eventfd(0, 0);
    ctxshim_scope first = ctxshim_push("first");
    REQUIRE(eventfd_write(blocking_event, UINT64_MAX - 1) == 0);
    ctxshim_pop(&first);
    REQUIRE(pthread_create(&thread, NULL, write_and_wait, NULL) == 0);
    usleep(50000);
    pthread_kill(thread, SIGUSR1);
    usleep(50000);
    expect_reader(blocking_event, "first");
    pthread_join(thread, NULL);
    expect_reader(blocking_event, "A");
}

/* --- H3, H4: fork and vfork ----------------------------------------------------------------------- */

static void *be_busy(void *argument) {
    ctxshim_key *key = argument;
    while (atomic_load(&storm)) {
        struct epoll_event event;
        int epoll = epoll_create1(0), fd = eventfd(1, EFD_NONBLOCK);
        ctxshim_scope scope = ctxshim_push("busy");
        ctxshim_set(key, (void *)&destroyed);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
        poke(fd);
        epoll_wait(epoll, &event, 1, 0);
        hear(fd);
        close(fd);
        close(epoll);
        ctxshim_pop(&scope);
    }
    return NULL;
}

static void *be_thread(void *argument) {
    *(char *)argument = 'x';
    return NULL;
}

/* Everything once, in a child. */
static int use_hooks(ctxshim_key *key) {
    char done = 0;
    pthread_t thread;
    atomic_store(&storm, false);
    alarm(20);
    be_busy(key);
    int listener = listen_somewhere(), client = raw_connect(listener), server = accept(listener, NULL, NULL);
    raw_write(client, "x");
    hear(server);
    say_to(server, "y");
    struct epoll_event event = {.events = EPOLLOUT};
    int epoll = epoll_create1(0), fd = eventfd(0, 0);
    bool right = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 && epoll_wait(epoll, &event, 1, 1000) == 1;
    ctxshim_scope scope = ctxshim_push("child");
    right = right && pthread_create(&thread, NULL, be_thread, &done) == 0 && pthread_join(thread, NULL) == 0;
    right = right && done == 'x' && ctxshim_pop(&scope) == 0;
    return right ? 0 : 1;
}

HOST_CASE(H3, three_hundred_forks_from_busy_threads) {
    pthread_t threads[8];
    ctxshim_key *key = ctxshim_key_create("key", NULL);
    atomic_store(&storm, true);
    for (int i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, be_busy, key) == 0);
    for (int i = 0; i < 300; i++) {
        int status = -1;
        ctxshim_scope scope = ctxshim_push("forking");
        pid_t child = fork();
        if (child == 0)
            _exit(use_hooks(key));
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
        ctxshim_pop(&scope);
    }
    atomic_store(&storm, false);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

/* A vfork child shares our memory and has descriptors of its own: what it closes stays open here. */
static void expect_all_as_it_was(int event_fd, int server, int client) {
    expect_reader(event_fd, "A");
    raw_write(client, "question");
    EXPECT(hear(server) == 8);
    EXPECT_STACK("conn#1 req#1");
}

static void open_all(int *event_fd, int *server, int *client) {
    int listener = listen_somewhere();
    *client = raw_connect(listener);
    *server = accept(listener, NULL, NULL);
    *event_fd = eventfd(0, 0);
    ctxshim_scope a = ctxshim_push("A");
    poke(*event_fd);
    ctxshim_pop(&a);
}

CASE(H4, a_vfork_child_closes_only_its_own) {
    int event_fd, server, client, status = -1;
    open_all(&event_fd, &server, &client);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    pid_t child = vfork();
#pragma GCC diagnostic pop
    if (child == 0) {
        close(event_fd);
        dup2(0, server);
        close_range(3, ~0U, 0);
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    expect_all_as_it_was(event_fd, server, client);
}

CASE(H4, posix_spawn_closes_only_the_childs) {
    int event_fd, server, client, status = -1;
    char *arguments[] = {"true", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    open_all(&event_fd, &server, &client);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, event_fd);
    posix_spawn_file_actions_adddup2(&actions, 0, server);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    REQUIRE(posix_spawnp(&child, "true", &actions, NULL, arguments, environ) == 0);
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(system("true") == 0);
    FILE *stream = popen("true", "r");
    EXPECT(stream != NULL && pclose(stream) == 0);
    expect_all_as_it_was(event_fd, server, client);
}

/* --- H12, H22: errno and bad pointers ------------------------------------------------------------- */

#define EXPECT_ERROR(call, error)                                                                            \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        EXPECT((call) == -1);                                                                                \
        EXPECT(errno == (error));                                                                            \
    } while (0)
#define EXPECT_SUCCESS(call)                                                                                 \
    do {                                                                                                     \
        errno = 12345;                                                                                       \
        EXPECT((call) >= 0);                                                                                 \
        EXPECT(errno == 12345);                                                                              \
    } while (0)

/* Not constants, or the compiler would know better. */
static char *volatile bad_pointer = (char *)8;
static volatile int minus_one = -1;

/* A listener, both ends of a connection to it, made in every process alike. */
static int pair_listener, pair_client, pair_server;

static void pair_open(void) {
    pair_listener = listen_somewhere();
    pair_client = raw_connect(pair_listener);
    EXPECT_SUCCESS(pair_server = accept4(pair_listener, NULL, NULL, SOCK_NONBLOCK));
}

HOST_CASE(H12, errno_is_the_calls_own) {
    char byte;
    struct epoll_event event = {.events = EPOLLIN};
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int epoll, fd, timer, two[2];
    struct itimerspec soon = {.it_value.tv_nsec = 1}, bad = {.it_value.tv_nsec = -1};
    pair_open();
    EXPECT_ERROR(read(pair_server, &byte, 1), EAGAIN);
    EXPECT_ERROR(recv(pair_server, &byte, 1, 0), EAGAIN);
    EXPECT_ERROR(recvfrom(pair_server, &byte, 1, 0, NULL, NULL), EAGAIN);
    EXPECT_ERROR(recvmsg(pair_server, &message, 0), EAGAIN);
    EXPECT_ERROR(readv(pair_server, &vector, 1), EAGAIN);
    raw_write(pair_client, "123456");
    EXPECT_SUCCESS(read(pair_server, &byte, 1));
    EXPECT_SUCCESS(recv(pair_server, &byte, 1, MSG_PEEK));
    EXPECT_SUCCESS(readv(pair_server, &vector, 1));
    EXPECT_SUCCESS(recvmsg(pair_server, &message, 0));
    EXPECT_SUCCESS(write(pair_server, "x", 1));
    EXPECT_SUCCESS(writev(pair_server, &vector, 1));
    EXPECT_SUCCESS(send(pair_server, "x", 1, 0));
    EXPECT_SUCCESS(sendmsg(pair_server, &message, 0));
    EXPECT_SUCCESS(epoll = epoll_create1(0));
    EXPECT_SUCCESS(epoll_ctl(epoll, EPOLL_CTL_ADD, pair_server, &event));
    EXPECT_ERROR(epoll_ctl(epoll, EPOLL_CTL_ADD, pair_server, &event), EEXIST);
    EXPECT_ERROR(epoll_ctl(epoll, 99, pair_server, &event), EINVAL);
    EXPECT_ERROR(epoll_ctl(-1, EPOLL_CTL_ADD, pair_server, &event), EBADF);
    EXPECT_ERROR(epoll_ctl(epoll, EPOLL_CTL_DEL, pair_listener, NULL), ENOENT);
    EXPECT_SUCCESS(epoll_wait(epoll, &event, 1, 0));
    EXPECT_ERROR(epoll_wait(epoll, &event, 0, 0), EINVAL);
    EXPECT_ERROR(epoll_wait(epoll, &event, minus_one, 0), EINVAL);
    EXPECT_ERROR(epoll_wait(-1, &event, 1, 0), EBADF);
    EXPECT_SUCCESS(fd = eventfd(0, EFD_NONBLOCK));
    EXPECT_ERROR(eventfd(0, -1), EINVAL);
    EXPECT_ERROR(read(fd, &byte, 1), EINVAL);
    EXPECT_ERROR(hear(fd), EAGAIN);
    EXPECT_SUCCESS(eventfd_write(fd, 1));
    EXPECT_SUCCESS(hear(fd));
    EXPECT_SUCCESS(timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    EXPECT_ERROR(timerfd_create(-1, 0), EINVAL);
    EXPECT_SUCCESS(timerfd_settime(timer, 0, &soon, NULL));
    EXPECT_ERROR(timerfd_settime(timer, 0, &bad, NULL), EINVAL);
    EXPECT_ERROR(timerfd_settime(fd, 0, &soon, NULL), EINVAL);
    EXPECT_ERROR(accept(fd, NULL, NULL), ENOTSOCK);
    EXPECT_ERROR(listen(fd, 1), ENOTSOCK);
    EXPECT_ERROR(connect(-1, NULL, 0), EBADF);
    EXPECT_ERROR(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    EXPECT_SUCCESS(pipe(two));
    EXPECT_SUCCESS(dup(fd));
    EXPECT_SUCCESS(dup2(fd, 100));
    EXPECT_ERROR(dup2(-1, 100), EBADF);
    EXPECT_ERROR(dup3(fd, fd, 0), EINVAL);
    EXPECT_SUCCESS(fcntl(fd, F_DUPFD, 50));
    EXPECT_ERROR(fcntl(-1, F_DUPFD, 50), EBADF);
    EXPECT_SUCCESS(fcntl(fd, F_GETFL));
    EXPECT_SUCCESS(fcntl(fd, F_SETFL, O_NONBLOCK));
    EXPECT_SUCCESS(close(fd));
    EXPECT_ERROR(close(fd), EBADF);
    EXPECT_ERROR(open("/nonexistent", O_RDONLY), ENOENT);
    EXPECT_ERROR(openat(-1, "x", O_RDONLY), EBADF);
    EXPECT_SUCCESS(open("/dev/null", O_RDWR | O_CREAT, 0600));
    EXPECT(fopen("/nonexistent", "r") == NULL && errno == ENOENT);
    EXPECT_SUCCESS(close(pair_server));
}

/* A read that fails may have taken what there was. */
static void refill(int fd) {
    poke(fd);
    raw_write(pair_client, "12345678");
}

HOST_CASE(H22, bad_pointers_give_efault) {
    char *bad = bad_pointer;
    struct epoll_event event = {.events = EPOLLIN};
    struct iovec vector = {bad, 8};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int epoll = epoll_create1(0), fd = eventfd(1, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    pair_open();
    raw_write(pair_client, "12345678");
    for (int which = 0; which < 2; which++) {
        int to = which == 0 ? fd : pair_server;
        refill(fd);
        EXPECT_ERROR(read(to, bad, 8), EFAULT);
        EXPECT_ERROR(write(to, bad, 8), EFAULT);
        EXPECT_ERROR(readv(to, (struct iovec *)bad, 1), EFAULT);
        EXPECT_ERROR(writev(to, (struct iovec *)bad, 1), EFAULT);
        refill(fd);
        EXPECT_ERROR(readv(to, &vector, 1), EFAULT);
        EXPECT_ERROR(writev(to, &vector, 1), EFAULT);
    }
    refill(fd);
    EXPECT_ERROR(recv(pair_server, bad, 8, 0), EFAULT);
    raw_write(pair_client, "12345678");
    EXPECT_ERROR(send(pair_server, bad, 8, 0), EFAULT);
    EXPECT_ERROR(recvmsg(pair_server, (struct msghdr *)bad, 0), EFAULT);
    EXPECT_ERROR(sendmsg(pair_server, (struct msghdr *)bad, 0), EFAULT);
    raw_write(pair_client, "12345678");
    EXPECT_ERROR(recvmsg(pair_server, &message, 0), EFAULT);
    EXPECT_ERROR(sendmsg(pair_server, &message, 0), EFAULT);
    EXPECT_ERROR(sendmmsg(pair_server, (struct mmsghdr *)bad, 1, 0), EFAULT);
    raw_write(pair_client, "12345678");
    EXPECT_ERROR(recvmmsg(pair_server, (struct mmsghdr *)bad, 1, MSG_DONTWAIT, NULL), EFAULT);
    EXPECT_ERROR(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, (struct epoll_event *)bad), EFAULT);
    EXPECT_ERROR(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, NULL), EFAULT);
    EXPECT_SUCCESS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    EXPECT_ERROR(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, (struct epoll_event *)bad), EFAULT);
    EXPECT_SUCCESS(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, (struct epoll_event *)bad));
    EXPECT_SUCCESS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    refill(fd);
    EXPECT_ERROR(epoll_wait(epoll, (struct epoll_event *)bad, 4, 0), EFAULT);
    EXPECT_ERROR(timerfd_settime(timer, 0, (struct itimerspec *)bad, NULL), EFAULT);
    EXPECT_ERROR(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)bad, 16), EFAULT);
    EXPECT_ERROR(pipe((int *)bad), EFAULT);
    EXPECT_ERROR(open(bad, O_RDONLY), EFAULT);
}
