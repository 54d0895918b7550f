/* What libc calls back: timers, asynchronous reads and writes, messages, names. Each is waited for, so that
 * the callback's steps come at a time that is known. */
#include "ops.h"

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

struct call {
    sem_t over;
    struct dice dice;
    int where;
    _Atomic bool told;
};

static void call_begin(struct call *call) {
    sem_init(&call->over, 0, 0);
    call->dice.state = draw();
    call->where = CROWD;
    call->told = false;
}

static void call_wait(struct call *call) {
    call->told = true;
    while (sem_wait(&call->over) != 0)
        continue;
    sem_destroy(&call->over);
}

static void called(union sigval value) {
    struct call *call = value.sival_ptr;
    gate_wait(&call->told);
    dice = call->dice;
    step(call->where);
    sem_post(&call->over);
}

static struct sigevent event_of(struct call *call) {
    return (struct sigevent){
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = called, .sigev_value.sival_ptr = call};
}

/* One that is armed and deleted before it runs out, or one that runs once. */
void posix_timer(void) {
    struct call call;
    timer_t timer;
    bool runs = chance(70);
    struct itimerspec time = {.it_value = {runs ? 0 : 1000, 100000}}, left;
    call_begin(&call);
    struct sigevent event = event_of(&call);
    if (DO(timer_create, ONE_OF(CLOCK_MONOTONIC, CLOCK_REALTIME), &event, &timer) != 0)
        return;
    DO(timer_settime, timer, 0, &time, NULL);
    if (runs)
        call_wait(&call);
    else
        DO(timer_gettime, timer, &left);
    DO(timer_getoverrun, timer);
    DO(timer_delete, timer);
}

void asynchronous_io(void) {
    struct call call;
    static _Thread_local char buffer[64];
    int fd = (int)kernel_call(SYS_memfd_create, (long)"aio", MFD_CLOEXEC, 0, 0, 0, 0);
    MUST(fd >= 0);
    call_begin(&call);
    struct aiocb block = {
        .aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = sizeof buffer, .aio_sigevent = event_of(&call)};
    struct aiocb64 block64 = {
        .aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = sizeof buffer, .aio_sigevent = event_of(&call)};
    struct aiocb *list[] = {&block};
    struct aiocb64 *list64[] = {&block64};
    struct sigevent whole = event_of(&call);
    unsigned way = below(8);
    long begun = 0;
    switch (way) {
    case 0:
        begun = DO(aio_read, &block);
        break;
    case 1:
        begun = DO(aio_write, &block);
        break;
    case 2:
        begun = DO(aio_read64, &block64);
        break;
    case 3:
        begun = DO(aio_write64, &block64);
        break;
    case 4:
        begun = DO(aio_fsync, O_SYNC, &block);
        break;
    case 5:
        begun = DO(aio_fsync64, O_SYNC, &block64);
        break;
    case 6:
        block.aio_sigevent.sigev_notify = SIGEV_NONE;
        block.aio_lio_opcode = LIO_WRITE;
        begun = DO(lio_listio, LIO_NOWAIT, list, 1, &whole);
        break;
    default:
        block64.aio_sigevent.sigev_notify = SIGEV_NONE;
        block64.aio_lio_opcode = LIO_WRITE;
        begun = DO(lio_listio64, LIO_NOWAIT, list64, 1, &whole);
    }
    if (begun == 0)
        call_wait(&call);
    bool wide = way == 2 || way == 3 || way == 5 || way == 7;
    while (begun == 0 && (wide ? aio_error64(&block64) : aio_error(&block)) == EINPROGRESS)
        kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    if (begun == 0)
        noted("aio", wide ? aio_return64(&block64) : aio_return(&block));
    kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static void look_up(void) {
    struct call call;
    call_begin(&call);
    struct sigevent event = event_of(&call);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    struct gaicb block = {.ar_name = "127.0.0.1", .ar_request = &hints}, *list[] = {&block};
    if (DO(getaddrinfo_a, GAI_NOWAIT, list, 1, &event) != 0)
        return;
    call_wait(&call);
    noted("looked up", gai_error(&block));
    if (block.ar_result != NULL)
        freeaddrinfo(block.ar_result);
}

void message_queue(void) {
    struct call call;
    char name[64];
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
    if (chance(50)) {
        look_up();
        return;
    }
    snprintf(name, sizeof name, "/monkey-%d-%u", getpid(), origin_new());
    mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
    mq_unlink(name);
    if (queue < 0)
        return;
    call_begin(&call);
    struct sigevent event = event_of(&call);
    if (DO(mq_notify, queue, &event) == 0) {
        if (chance(70)) {
            MUST(mq_send(queue, "message", 8, 0) == 0);
            call_wait(&call);
        } else {
            DO(mq_notify, queue, NULL);
        }
    }
    DO(mq_close, queue);
}
