/* Callbacks on threads that libc starts for them: F6. Where a sigevent asks for one (SIGEV_THREAD), libc is
 * given a door to the program's function (door.h) and the program's value as it is; so whatever happens to
 * the timer, the queue or the request meanwhile, the right function is called with the right value.
 *
 * libc reads a sigevent before the call returns, but for the one in an aiocb, which it reads at the end:
 * there the door is put into the program's aiocb, when there is a context to carry.
 *
 * Timers and lists of requests come in older kinds too, which are left alone (H7). */
#include "door.h"
#include "versions.h"

#include <aio.h>
#include <mqueue.h>
#include <netdb.h>

typedef void callback_function(union sigval value);

DOORS(callback_doors, callback_arrived);

__attribute__((used, visibility("hidden"))) void callback_arrived(union sigval value, long second, long third,
                                                                  unsigned door);
void callback_arrived(union sigval value, long second, long third, unsigned door) {
    uintptr_t function = door_leads_to(&callback_doors, door);
    (void)second;
    (void)third;
    rules_callback_begin(function, value.sival_ptr);
    ((callback_function *)function)(value);
}

/* The program's function, if this asks for a call of one that has a door; else 0. */
static uintptr_t function_of(const struct sigevent *event) {
    if (event == NULL || event->sigev_notify != SIGEV_THREAD || event->sigev_notify_function == NULL)
        return 0;
    uintptr_t function = door_behind(&callback_doors, (uintptr_t)event->sigev_notify_function);
    return door_for(&callback_doors, function) != function ? function : 0;
}

static void lead_through_door(struct sigevent *event, uintptr_t function) {
    event->sigev_notify_function = (callback_function *)door_for(&callback_doors, function);
}

/* --- timers ------------------------------------------------------------------------------------------ */

HOOK(int, timer_create, (clockid_t clock, struct sigevent *restrict event, timer_t *restrict timer)) {
    uintptr_t function = function_of(event);
    if (function == 0)
        return REAL(timer_create)(clock, event, timer);
    struct sigevent ours = *event;
    lead_through_door(&ours, function);
    int result = REAL(timer_create)(clock, &ours, timer);
    if (result == 0)
        rules_callback_timer((uintptr_t)*timer, function, event->sigev_value.sival_ptr);
    return result;
}
HOOK_OLDER_VERSION(timer_create, "GLIBC_2.3.3");
HOOK_VERSION(timer_create, "GLIBC_2.34");

HOOK(int, timer_settime,
     (timer_t timer, int flags, const struct itimerspec *restrict value,
      struct itimerspec *restrict before)) {
    struct callback_arming arming = rules_callback_timer_begin((uintptr_t)timer, HERE);
    int result = REAL(timer_settime)(timer, flags, value, before);
    rules_callback_timer_end(&arming, result, value);
    return result;
}
HOOK_OLDER_VERSION(timer_settime, "GLIBC_2.3.3");
HOOK_VERSION(timer_settime, "GLIBC_2.34");

/* Before the real call: afterwards the number may be another timer's. */
HOOK(int, timer_delete, (timer_t timer)) {
    rules_callback_over(CALLBACK_TIMER, (uintptr_t)timer);
    return REAL(timer_delete)(timer);
}
HOOK_OLDER_VERSION(timer_delete, "GLIBC_2.3.3");
HOOK_VERSION(timer_delete, "GLIBC_2.34");

/* The family whole: an object without versions of its own gets the older kind from libc, and a timer of ours.
 */
HOOK(int, timer_gettime, (timer_t timer, struct itimerspec *value)) {
    return REAL(timer_gettime)(timer, value);
}
HOOK_OLDER_VERSION(timer_gettime, "GLIBC_2.3.3");
HOOK_VERSION(timer_gettime, "GLIBC_2.34");

HOOK(int, timer_getoverrun, (timer_t timer)) {
    return REAL(timer_getoverrun)(timer);
}
HOOK_OLDER_VERSION(timer_getoverrun, "GLIBC_2.3.3");
HOOK_VERSION(timer_getoverrun, "GLIBC_2.34");

/* --- message queues ---------------------------------------------------------------------------------- */

HOOK(int, mq_notify, (mqd_t queue, const struct sigevent *event)) {
    uintptr_t function = function_of(event);
    uint64_t armed = 0;
    struct sigevent ours;
    if (function != 0) {
        ours = *event;
        lead_through_door(&ours, function);
        armed = rules_callback_arm(CALLBACK_QUEUE, (uintptr_t)queue, function, event->sigev_value.sival_ptr,
                                   HERE);
    }
    int result = REAL(mq_notify)(queue, function != 0 ? &ours : event);
    rules_callback_armed(CALLBACK_QUEUE, (uintptr_t)queue, armed, result == 0);
    return result;
}

HOOK(int, mq_close, (mqd_t queue)) {
    rules_callback_over(CALLBACK_QUEUE, (uintptr_t)queue);
    return REAL(mq_close)(queue);
}

/* --- asynchronous I/O -------------------------------------------------------------------------------- */

static uint64_t request_arm(struct sigevent *event, struct here here) {
    uintptr_t function = function_of(event);
    if (function == 0)
        return 0;
    uint64_t armed = rules_callback_arm(CALLBACK_ONCE, 0, function, event->sigev_value.sival_ptr, here);
    if (armed != 0)
        lead_through_door(event, function);
    return armed;
}

typedef int request_function(struct aiocb *);

static int request(request_function *real, struct aiocb *block, struct here here) {
    uint64_t armed = request_arm(&block->aio_sigevent, here);
    int result = real(block);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}

typedef int request64_function(struct aiocb64 *);

static int request64(request64_function *real, struct aiocb64 *block, struct here here) {
    uint64_t armed = request_arm(&block->aio_sigevent, here);
    int result = real(block);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}

HOOK(int, aio_read, (struct aiocb * block)) {
    return request(REAL(aio_read), block, HERE);
}

HOOK(int, aio_read64, (struct aiocb64 * block)) {
    return request64(REAL(aio_read64), block, HERE);
}

HOOK(int, aio_write, (struct aiocb * block)) {
    return request(REAL(aio_write), block, HERE);
}

HOOK(int, aio_write64, (struct aiocb64 * block)) {
    return request64(REAL(aio_write64), block, HERE);
}

HOOK(int, aio_fsync, (int operation, struct aiocb *block)) {
    uint64_t armed = request_arm(&block->aio_sigevent, HERE);
    int result = REAL(aio_fsync)(operation, block);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}

HOOK(int, aio_fsync64, (int operation, struct aiocb64 *block)) {
    uint64_t armed = request_arm(&block->aio_sigevent, HERE);
    int result = REAL(aio_fsync64)(operation, block);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}

/* A list whose call fails may have begun some of its requests; what is armed for the others waits until this
 * value comes again. */
HOOK(int, lio_listio,
     (int mode, struct aiocb *const blocks[restrict], int count, struct sigevent *restrict event)) {
    struct sigevent ours, *given = event;
    uint64_t armed = 0;
    for (int i = 0; i < count; i++)
        if (blocks[i] != NULL && blocks[i]->aio_lio_opcode != LIO_NOP)
            request_arm(&blocks[i]->aio_sigevent, HERE);
    if (mode == LIO_NOWAIT && event != NULL) {
        ours = *event;
        given = &ours;
        armed = request_arm(given, HERE);
    }
    int result = REAL(lio_listio)(mode, blocks, count, given);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}
HOOK_OLDER_VERSION(lio_listio, "GLIBC_2.4");
HOOK_VERSION(lio_listio, "GLIBC_2.34");

HOOK(int, lio_listio64,
     (int mode, struct aiocb64 *const blocks[restrict], int count, struct sigevent *restrict event)) {
    struct sigevent ours, *given = event;
    uint64_t armed = 0;
    for (int i = 0; i < count; i++)
        if (blocks[i] != NULL && blocks[i]->aio_lio_opcode != LIO_NOP)
            request_arm(&blocks[i]->aio_sigevent, HERE);
    if (mode == LIO_NOWAIT && event != NULL) {
        ours = *event;
        given = &ours;
        armed = request_arm(given, HERE);
    }
    int result = REAL(lio_listio64)(mode, blocks, count, given);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}
HOOK_OLDER_VERSION(lio_listio64, "GLIBC_2.4");
HOOK_VERSION(lio_listio64, "GLIBC_2.34");

/* --- names ------------------------------------------------------------------------------------------- */

HOOK(int, getaddrinfo_a,
     (int mode, struct gaicb *list[restrict], int count, struct sigevent *restrict event)) {
    struct sigevent ours, *given = event;
    uint64_t armed = 0;
    if (mode == GAI_NOWAIT && event != NULL) {
        ours = *event;
        given = &ours;
        armed = request_arm(given, HERE);
    }
    int result = REAL(getaddrinfo_a)(mode, list, count, given);
    rules_callback_armed(CALLBACK_ONCE, 0, armed, result == 0);
    return result;
}
