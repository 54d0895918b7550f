/* H11, H14, H16: what runs after us, cancellation in every blocking call, and stacks that are switched. */
#include "storm.h"

#include <dlfcn.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <threads.h>
#include <time.h>
#include <ucontext.h>

/* --- H11 ------------------------------------------------------------------------------------------ */

static pthread_key_t first_key, second_key;
static _Atomic int destructions, bad_storms;

/* Asks to be called again, as long as libc lets it: the last time nothing of ours is left. */
static void storm_in_destructor(void *value) {
    pthread_key_t key = *(pthread_key_t *)value;
    atomic_fetch_add(&destructions, 1);
    atomic_fetch_add(&bad_storms, storm_once() != 0);
    pthread_setspecific(key, value);
}

static void *set_specific(void *unused) {
    pthread_setspecific(first_key, &first_key);
    pthread_setspecific(second_key, &second_key);
    ctxshim_push("thread with destructors");
    return unused;
}

HOST_CASE(H11, hooks_in_destructors_of_thread_specific_data) {
    pthread_t threads[8];
    REQUIRE(pthread_key_create(&first_key, storm_in_destructor) == 0);
    REQUIRE(pthread_key_create(&second_key, storm_in_destructor) == 0);
    for (int i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, set_specific, NULL) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    printf("%d destructions, %d bad\n", atomic_load(&destructions), atomic_load(&bad_storms));
}

static struct storms at_exit_storms;

static void say_how_it_went(const char *where) {
    bool right = storm_once() == 0;
    printf("%s: %s\n", where, right ? "right" : "wrong");
}
static void at_exit(void) {
    say_how_it_went("in an exit handler");
}
static void on_exit_too(int status, void *unused) {
    (void)unused;
    printf("status %d\n", status);
    say_how_it_went("in another");
}
__attribute__((destructor)) static void last(void) {
    if (at_exit_storms.count > 0)
        say_how_it_went("in a destructor");
}

HOST_CASE(H11, exit_with_threads_at_work) {
    atexit(at_exit);
    on_exit(on_exit_too, NULL);
    storms_begin(&at_exit_storms, 4);
    ctxshim_push("left open");
    exit(0);
}

static void *exit_the_process(void *unused) {
    usleep(20000);
    exit(0);
    return unused;
}

HOST_CASE(H11, the_main_thread_ends_first) {
    pthread_t thread;
    atexit(at_exit);
    storms_begin(&at_exit_storms, 2);
    REQUIRE(pthread_create(&thread, NULL, exit_the_process, NULL) == 0);
    pthread_exit(NULL);
}

HOST_CASE(H11, quick_exit_and_its_handlers) {
    at_quick_exit(at_exit);
    storms_begin(&at_exit_storms, 2);
    fflush(stdout);
    pid_t child = fork();
    int status = -1;
    if (child == 0) {
        setvbuf(stdout, NULL, _IONBF, 0);
        quick_exit(5);
    }
    EXPECT(waitpid(child, &status, 0) == child);
    printf("%d\n", status);
}

HOST_CASE(H11, the_object_is_never_unloaded) {
    void *self = dlopen("libctxshim.so.0", RTLD_NOW | RTLD_NOLOAD);
    for (int i = 0; self != NULL && i < 10; i++)
        dlclose(self);
    EXPECT(storm_once() == 0);
}

static pthread_key_t successor_key;
static _Atomic int generations;

static void *begin_generation(void *unused) {
    pthread_setspecific(successor_key, &successor_key);
    return unused;
}

static void start_successor(void *value) {
    pthread_t thread;
    (void)value;
    if (atomic_fetch_add(&generations, -1) > 0 && pthread_create(&thread, NULL, begin_generation, NULL) == 0)
        pthread_detach(thread);
}

static long resident_pages(void) {
    char text[64] = "";
    long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY);
    if (read(fd, text, sizeof text - 1) > 0)
        sscanf(text, "%*d %ld", &pages);
    close(fd);
    return pages;
}

/* What a thread makes after its end is given back, too. */
HOST_CASE(H11, threads_that_start_their_successor_as_they_end) {
    long before = 0;
    REQUIRE(pthread_key_create(&successor_key, start_successor) == 0);
    for (int round = 0; round < 4; round++) {
        pthread_t first;
        atomic_store(&generations, 500);
        REQUIRE(pthread_create(&first, NULL, begin_generation, NULL) == 0);
        pthread_join(first, NULL);
        while (atomic_load(&generations) >= 0)
            usleep(1000);
        if (round == 0)
            before = resident_pages();
    }
    EXPECT(resident_pages() - before < 1000);
}

#if defined(__x86_64__)
static _Alignas(4096) char own_storage[1 << 16]; /* the shim's and libc's lie below the middle */
static char own_stack[1 << 16] __attribute__((aligned(16)));
static _Atomic int by_hand, by_hand_id;

/* Its end is the system call: it is no thread of libc's. */
static int made_by_hand(void *argument) {
    char text[16];
    for (int i = 0; i < 100; i++) {
        ctxshim_scope scope = ctxshim_push("by hand");
        ctxshim_stack(text, sizeof text);
        ctxshim_pop(&scope);
        ctxshim_release(ctxshim_capture());
        by_hand += close(dup(*(int *)argument)) == 0;
    }
    return 0;
}
#endif

/* Its thread-local storage is all zero, and nothing has set it up. */
HOST_CASE(H11, a_thread_made_by_hand) {
#if defined(__x86_64__)
    int fd = open("/dev/null", O_RDONLY);
    char *storage = own_storage + sizeof own_storage / 2;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_SETTLS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    *(char **)storage = *(char **)(storage + 16) = storage; /* where libc looks for the thread itself */
    REQUIRE(clone(made_by_hand, own_stack + sizeof own_stack, flags, &fd, &by_hand_id, storage, &by_hand_id) >
            0);
    while (atomic_load(&by_hand_id) != 0)
        usleep(1000);
    printf("%d\n", atomic_load(&by_hand));
#endif
}

/* --- H14 ------------------------------------------------------------------------------------------ */

static int pipe_empty[2], pipe_full[2], stream[2], listener_empty, listener_full, never_event, full_event;
static int never_timer, never_epoll, locked_file;
static char fifo[64], lock_file[64];
static struct sockaddr_un full_address;
static socklen_t full_address_size;
static FILE *full_stream, *empty_stream;
static sem_t never_semaphore;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never_signalled = PTHREAD_COND_INITIALIZER;
static mtx_t c11_lock;
static cnd_t c11_never;
static _Atomic int cleaned;

static char bytes[1 << 16];
static struct iovec part = {bytes, sizeof bytes};
static struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
static struct mmsghdr several = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
static const struct timespec far_away = {4000000000, 0};

static void c_read(void) {
    (void)!read(pipe_empty[0], bytes, 1);
}
static void c_readv(void) {
    (void)!readv(pipe_empty[0], &part, 1);
}
static void c_recv(void) {
    recv(stream[0], bytes, 1, 0);
}
static void c_recvfrom(void) {
    recvfrom(stream[0], bytes, 1, 0, NULL, NULL);
}
static void c_recvmsg(void) {
    recvmsg(stream[0], &message, 0);
}
static void c_recvmmsg(void) {
    recvmmsg(stream[0], &several, 1, 0, NULL);
}
static void c_write(void) {
    (void)!write(pipe_full[1], bytes, sizeof bytes);
}
static void c_writev(void) {
    (void)!writev(pipe_full[1], &part, 1);
}
static void c_send(void) {
    for (;;)
        send(stream[1], bytes, sizeof bytes, 0);
}
static void c_sendto(void) {
    for (;;)
        sendto(stream[1], bytes, sizeof bytes, 0, NULL, 0);
}
static void c_sendmsg(void) {
    for (;;)
        sendmsg(stream[1], &message, 0);
}
static void c_sendmmsg(void) {
    for (;;)
        sendmmsg(stream[1], &several, 1, 0);
}
static void c_sendfile(void) { /* no point of cancellation: the read behind it is */
    sendfile(stream[1], locked_file, NULL, 1);
    (void)!read(pipe_empty[0], bytes, 1);
}
static void c_accept(void) {
    accept(listener_empty, NULL, NULL);
}
static void c_accept4(void) {
    accept4(listener_empty, NULL, NULL, SOCK_CLOEXEC);
}
static void c_connect(void) {
    for (;;)
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&full_address, full_address_size);
}
static void c_epoll_wait(void) {
    struct epoll_event event;
    epoll_wait(never_epoll, &event, 1, -1);
}
static void c_epoll_pwait(void) {
    struct epoll_event event;
    epoll_pwait(never_epoll, &event, 1, -1, NULL);
}
static void c_epoll_pwait2(void) {
    struct epoll_event event;
    epoll_pwait2(never_epoll, &event, 1, NULL, NULL);
}
static void c_poll(void) {
    struct pollfd ready = {pipe_empty[0], POLLIN, 0};
    poll(&ready, 1, -1);
}
static void c_ppoll(void) {
    struct pollfd ready = {pipe_empty[0], POLLIN, 0};
    ppoll(&ready, 1, NULL, NULL);
}
static void c_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_empty[0], &set);
    select(pipe_empty[0] + 1, &set, NULL, NULL, NULL);
}
static void c_pselect(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_empty[0], &set);
    pselect(pipe_empty[0] + 1, &set, NULL, NULL, NULL, NULL);
}
static void c_eventfd_read(void) {
    eventfd_t value;
    eventfd_read(never_event, &value);
}
static void c_eventfd_write(void) {
    eventfd_write(full_event, 5);
}
static void c_timerfd(void) {
    (void)!read(never_timer, bytes, 8);
}
static void unlock(void *mutex) {
    pthread_mutex_unlock(mutex);
}
static void c_cond_wait(void) {
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, &lock);
    for (;;)
        pthread_cond_wait(&never_signalled, &lock);
    pthread_cleanup_pop(1);
}
static void c_cond_timedwait(void) {
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, &lock);
    for (;;)
        pthread_cond_timedwait(&never_signalled, &lock, &far_away);
    pthread_cleanup_pop(1);
}
static void c_cond_clockwait(void) {
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, &lock);
    for (;;)
        pthread_cond_clockwait(&never_signalled, &lock, CLOCK_MONOTONIC, &far_away);
    pthread_cleanup_pop(1);
}
static void unlock_c11(void *mutex) {
    mtx_unlock(mutex);
}
static void c_cnd_wait(void) {
    mtx_lock(&c11_lock);
    pthread_cleanup_push(unlock_c11, &c11_lock);
    for (;;)
        cnd_wait(&c11_never, &c11_lock);
    pthread_cleanup_pop(1);
}
static void c_cnd_timedwait(void) {
    mtx_lock(&c11_lock);
    pthread_cleanup_push(unlock_c11, &c11_lock);
    for (;;)
        cnd_timedwait(&c11_never, &c11_lock, &far_away);
    pthread_cleanup_pop(1);
}
static void c_sem_wait(void) {
    sem_wait(&never_semaphore);
}
static void c_sem_timedwait(void) {
    sem_timedwait(&never_semaphore, &far_away);
}
static void c_sem_clockwait(void) {
    sem_clockwait(&never_semaphore, CLOCK_MONOTONIC, &far_away);
}
static void c_open(void) {
    open(fifo, O_RDONLY);
}
static void c_openat(void) {
    openat(AT_FDCWD, fifo, O_WRONLY);
}
static void c_creat(void) {
    creat(fifo, 0600);
}
static void c_fcntl(void) {
    struct flock whole = {.l_type = F_WRLCK};
    fcntl(locked_file, F_SETLKW, &whole);
    (void)!read(pipe_empty[0], bytes, 1); /* a lock of our own process does not block */
}
static void c_fgetc(void) {
    fgetc(empty_stream);
}
static void c_fwrite(void) {
    for (;;)
        fwrite(bytes, 1, sizeof bytes, full_stream);
}
static void c_fprintf(void) {
    for (;;)
        fprintf(full_stream, "%200d\n", 5);
}
static void c_fputs(void) {
    for (;;)
        fputs("some line of text\n", full_stream);
}
static void c_fputc(void) {
    for (;;)
        fputc('x', full_stream);
}
static void c_dprintf(void) {
    for (;;)
        dprintf(pipe_full[1], "%200d\n", 5);
}
static void c_sleep(void) {
    sleep(100);
}
static void c_pause(void) {
    pause();
}
static void c_system(void) {
    (void)!system("sleep 5");
}
static void c_sigwait(void) {
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigwait(&set, &number);
}

#define CALL(name)                                                                                           \
    { #name, c_##name }
static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    CALL(read),          CALL(readv),      CALL(recv),           CALL(recvfrom),       CALL(recvmsg),
    CALL(recvmmsg),      CALL(write),      CALL(writev),         CALL(send),           CALL(sendto),
    CALL(sendmsg),       CALL(sendmmsg),   CALL(sendfile),       CALL(accept),         CALL(accept4),
    CALL(connect),       CALL(epoll_wait), CALL(epoll_pwait),    CALL(epoll_pwait2),   CALL(poll),
    CALL(ppoll),         CALL(select),     CALL(pselect),        CALL(eventfd_read),   CALL(eventfd_write),
    CALL(timerfd),       CALL(cond_wait),  CALL(cond_timedwait), CALL(cond_clockwait), CALL(cnd_wait),
    CALL(cnd_timedwait), CALL(sem_wait),   CALL(sem_timedwait),  CALL(sem_clockwait),  CALL(open),
    CALL(openat),        CALL(creat),      CALL(fcntl),          CALL(fgetc),          CALL(fwrite),
    CALL(fprintf),       CALL(fputs),      CALL(fputc),          CALL(dprintf),        CALL(sleep),
    CALL(pause),         CALL(system),     CALL(sigwait)};

static int filled_pipe(int ends[2]) {
    REQUIRE(pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        ;
    while (write(ends[1], bytes, 1) > 0)
        ;
    return fcntl(ends[1], F_SETFL, 0);
}

static void prepare_all(void) {
    static char *const names[] = {fifo, lock_file};
    int again[2], second[2];
    REQUIRE(pipe(pipe_empty) == 0 && filled_pipe(pipe_full) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
    listener_empty = listen_somewhere();
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    listener_full = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(listener_full, (struct sockaddr *)&any, sizeof any.sun_family) == 0);
    REQUIRE(listen(listener_full, 0) == 0);
    full_address_size = sizeof full_address;
    getsockname(listener_full, (struct sockaddr *)&full_address, &full_address_size);
    never_event = eventfd(0, 0);
    full_event = eventfd(0, 0);
    REQUIRE(eventfd_write(full_event, UINT64_MAX - 1) == 0);
    never_timer = timerfd_create(CLOCK_MONOTONIC, 0);
    never_epoll = epoll_create1(0);
    for (size_t i = 0; i < 2; i++)
        snprintf(names[i], sizeof fifo, "/tmp/ctxshim-hazard-%d-%zu", getpid(), i);
    REQUIRE(mkfifo(fifo, 0600) == 0);
    locked_file = open(lock_file, O_RDWR | O_CREAT | O_EXCL, 0600);
    unlink(lock_file);
    REQUIRE(filled_pipe(again) == 0 && pipe(second) == 0);
    full_stream = fdopen(again[1], "w");
    empty_stream = fdopen(second[0], "r");
    sem_init(&never_semaphore, 0, 0);
    mtx_init(&c11_lock, mtx_plain);
    cnd_init(&c11_never);
}

static void clean_up(void *unused) {
    (void)unused;
    atomic_fetch_add(&cleaned, 1);
}

static _Atomic bool entered;

static void *block_in(void *argument) {
    pthread_cleanup_push(clean_up, NULL);
    atomic_store(&entered, true);
    calls[(intptr_t)argument].call();
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel_each(const char *how, int wait) {
    ctxshim_scope scope = ctxshim_push("cancelled");
    for (intptr_t i = 0; i < (intptr_t)(sizeof calls / sizeof *calls); i++) {
        pthread_t thread;
        void *result = NULL;
        atomic_store(&cleaned, 0);
        atomic_store(&entered, false);
        REQUIRE(pthread_create(&thread, NULL, block_in, (void *)i) == 0);
        while (!atomic_load(&entered))
            usleep(100);
        usleep((useconds_t)wait);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("%s: %s %s, cleaned %d\n", how, calls[i].name,
               result == PTHREAD_CANCELED ? "was cancelled" : "came back", atomic_load(&cleaned));
        fflush(stdout);
        EXPECT(storm_once() == 0);
    }
    ctxshim_pop(&scope);
}

HOST_CASE(H14, a_thread_is_cancelled_in_every_blocking_call) {
    alarm(60);
    prepare_all();
    cancel_each("blocked", 15000);
    unlink(fifo);
    _exit(0);
}

HOST_CASE(H14, a_thread_is_cancelled_before_every_blocking_call) {
    alarm(60);
    prepare_all();
    cancel_each("at once", 0);
    unlink(fifo);
    _exit(0);
}

/* A cancellation that is switched off, or comes in the middle of hooks that are no point of it. */
static void *cancelled_in_a_storm(void *unused) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    atomic_store(&entered, true);
    while (!atomic_load(&cleaned))
        EXPECT(storm_once() == 0);
    pthread_setcancelstate(state, NULL);
    pthread_testcancel();
    return unused;
}

HOST_CASE(H14, a_cancellation_that_waits) {
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result = NULL;
        atomic_store(&cleaned, 0);
        REQUIRE(pthread_create(&thread, NULL, cancelled_in_a_storm, NULL) == 0);
        usleep((useconds_t)i * 100);
        pthread_cancel(thread);
        atomic_store(&cleaned, 1);
        pthread_join(thread, &result);
        EXPECT(result == PTHREAD_CANCELED);
    }
}

/* --- H16 ------------------------------------------------------------------------------------------ */

enum { COROUTINES = 250, ROUNDS = 20, COROUTINE_STACK = 64 << 10 };
struct coroutine {
    ucontext_t own, *back;
    int event, number;
    long sum;
};

static _Thread_local struct coroutine *running;

static void coroutine_body(void) {
    struct coroutine *self = running;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t value = 0;
        eventfd_write(self->event, (eventfd_t)self->number + 1);
        swapcontext(&self->own, self->back);
        if (eventfd_read(self->event, &value) == 0)
            self->sum += (long)value;
    }
}

static void *run_coroutines(void *argument) {
    struct coroutine *all = calloc(COROUTINES, sizeof *all);
    char *stacks = mmap(NULL, (size_t)COROUTINES * COROUTINE_STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ucontext_t loop;
    for (int i = 0; i < COROUTINES; i++) {
        all[i] = (struct coroutine){.back = &loop, .event = eventfd(0, EFD_NONBLOCK), .number = i};
        getcontext(&all[i].own);
        all[i].own.uc_stack.ss_sp = stacks + (size_t)i * COROUTINE_STACK;
        all[i].own.uc_stack.ss_size = COROUTINE_STACK;
        all[i].own.uc_link = &loop;
        makecontext(&all[i].own, coroutine_body, 0);
    }
    for (int round = 0; round <= ROUNDS; round++)
        for (int i = 0; i < COROUTINES; i++) {
            running = &all[i];
            swapcontext(&loop, &all[i].own);
        }
    for (int i = 0; i < COROUTINES; i++) {
        *(long *)argument += all[i].sum;
        close(all[i].event);
    }
    munmap(stacks, (size_t)COROUTINES * COROUTINE_STACK);
    free(all);
    return NULL;
}

HOST_CASE(H16, a_thousand_coroutines_over_four_threads) {
    pthread_t threads[4];
    long sums[4] = {0};
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, run_coroutines, &sums[i]) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        printf("%ld\n", sums[i]);
    }
}
