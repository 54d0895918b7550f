/* H7: a program that was linked against an older libc: condition variables of before 2.3.2, timers of
 * before 2.3.3 and of before 2.34, lists of requests of before 2.4, and the posix_spawn that made a shell of
 * a program without a first line. Their functions go by today's names. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
__asm__(".symver pthread_cond_wait,pthread_cond_wait@GLIBC_2.2.5\n"
        ".symver pthread_cond_timedwait,pthread_cond_timedwait@GLIBC_2.2.5\n"
        ".symver pthread_cond_signal,pthread_cond_signal@GLIBC_2.2.5\n"
        ".symver pthread_cond_broadcast,pthread_cond_broadcast@GLIBC_2.2.5\n"
        ".symver pthread_cond_init,pthread_cond_init@GLIBC_2.2.5\n"
        ".symver pthread_cond_destroy,pthread_cond_destroy@GLIBC_2.2.5\n"
        ".symver old_timer_create,timer_create@GLIBC_2.2.5\n"
        ".symver old_timer_settime,timer_settime@GLIBC_2.2.5\n"
        ".symver old_timer_gettime,timer_gettime@GLIBC_2.2.5\n"
        ".symver old_timer_getoverrun,timer_getoverrun@GLIBC_2.2.5\n"
        ".symver old_timer_delete,timer_delete@GLIBC_2.2.5\n"
        ".symver timer_create,timer_create@GLIBC_2.3.3\n"
        ".symver timer_settime,timer_settime@GLIBC_2.3.3\n"
        ".symver timer_gettime,timer_gettime@GLIBC_2.3.3\n"
        ".symver timer_getoverrun,timer_getoverrun@GLIBC_2.3.3\n"
        ".symver timer_delete,timer_delete@GLIBC_2.3.3\n"
        ".symver lio_listio,lio_listio@GLIBC_2.2.5\n"
        ".symver posix_spawn,posix_spawn@GLIBC_2.2.5\n"
        ".symver posix_spawnp,posix_spawnp@GLIBC_2.2.5");
typedef int old_timer; /* a place in libc's table */
int old_timer_create(clockid_t clock, struct sigevent *event, old_timer *timer);
int old_timer_settime(old_timer timer, int flags, const struct itimerspec *value, struct itimerspec *before);
int old_timer_gettime(old_timer timer, struct itimerspec *value);
int old_timer_getoverrun(old_timer timer);
int old_timer_delete(old_timer timer);
#else
typedef timer_t old_timer;
#    define old_timer_create timer_create
#    define old_timer_settime timer_settime
#    define old_timer_gettime timer_gettime
#    define old_timer_getoverrun timer_getoverrun
#    define old_timer_delete timer_delete
#endif

/* --- condition variables ----------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static int turn;

static void *play(void *argument) {
    struct timespec late = {.tv_sec = time(NULL) + 60};
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        while (turn != (argument != NULL))
            if (i % 3 == 0)
                pthread_cond_timedwait(&changed, &lock, &late);
            else
                pthread_cond_wait(&changed, &lock);
        turn = !turn;
        if (i % 2 == 0)
            pthread_cond_signal(&changed);
        else
            pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* What the older kind keeps lies in eight bytes: nobody may write behind them. */
static void conditions(void) {
    struct {
        uint64_t old;
        char behind[sizeof(pthread_cond_t) - sizeof(uint64_t)];
    } small;
    pthread_t thread;
    memset(&small, 'x', sizeof small);
    pthread_cond_init((pthread_cond_t *)&small, NULL);
    pthread_cond_destroy((pthread_cond_t *)&small);
    size_t kept = 0;
    while (kept < sizeof small.behind && small.behind[kept] == 'x')
        kept++;
    printf("%s behind a condition variable\n", kept == sizeof small.behind ? "untouched" : "written");
    pthread_cond_init(&changed, NULL);
    pthread_create(&thread, NULL, play, &lock);
    play(NULL);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&changed);
    puts("played");
}

/* --- timers ------------------------------------------------------------------------------------------ */

static int fired[2];

static void fire(union sigval value) {
    if (write(fired[1], &value.sival_int, sizeof value.sival_int) != sizeof value.sival_int)
        abort();
}

static int next_fired(void) {
    int value = -1;
    return read(fired[0], &value, sizeof value) == sizeof value ? value : -1;
}

static void timers(void) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = fire};
    struct itimerspec soon = {.it_value.tv_nsec = 1000000}, left;
    old_timer older = -1;
    timer_t timer;
    if (pipe(fired) != 0)
        abort();
    event.sigev_value.sival_int = 1;
    int status = old_timer_create(CLOCK_MONOTONIC, &event, &older);
    printf("created %d, the %dth\n", status, (int)older);
    status = old_timer_settime(older, 0, &soon, NULL);
    printf("set %d, fired %d\n", status, next_fired());
    status = old_timer_gettime(older, &left);
    printf("got %d, left %ld, overrun %d\n", status, left.it_value.tv_nsec, old_timer_getoverrun(older));
    printf("deleted %d\n", old_timer_delete(older));
    event.sigev_value.sival_int = 2;
    status = timer_create(CLOCK_MONOTONIC, &event, &timer);
    status |= timer_settime(timer, 0, &soon, NULL);
    printf("set %d, fired %d\n", status, next_fired());
    status = timer_gettime(timer, &left);
    printf("got %d, left %ld, overrun %d\n", status, left.it_value.tv_nsec, timer_getoverrun(timer));
    printf("deleted %d\n", timer_delete(timer));
}

/* --- lists of requests, programs ------------------------------------------------------------------------ */

static void requests(void) {
    char text[6] = "";
    struct aiocb block = {.aio_fildes = open("old.txt", O_RDWR | O_CREAT | O_TRUNC, 0700),
                          .aio_buf = "asked",
                          .aio_nbytes = 5,
                          .aio_lio_opcode = LIO_WRITE};
    struct aiocb *list[] = {&block};
    printf("listed %d", lio_listio(LIO_WAIT, list, 1, NULL));
    while (aio_error(&block) == EINPROGRESS) /* the older kind does not wait, whatever it is told */
        aio_suspend((const struct aiocb *const *)list, 1, NULL);
    printf(", read %d: %s\n", (int)pread(block.aio_fildes, text, 5, 0), text);
    close(block.aio_fildes);
}

static void spawn(void) {
    FILE *script = fopen("old.txt", "w");
    char *arguments[] = {"old", NULL}, *environment[] = {"GREETING=a shell's child", NULL};
    pid_t child = -1;
    int status = -1;
    fputs("echo \"$GREETING\"; exit 7\n", script);
    fclose(script);
    fflush(stdout);
    int error = posix_spawn(&child, "./old.txt", NULL, NULL, arguments, environment);
    if (error == 0)
        waitpid(child, &status, 0);
    printf("spawned %d, status %d\n", error, status);
    unlink("old.txt");
}

int main(void) {
    alarm(30);
    conditions();
    timers();
    requests();
    spawn();
    return 0;
}
