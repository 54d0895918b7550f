/* H1: a library whose constructor runs before ours (-z initfirst, loaded after us) and uses everything there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *said = "nothing";

static void *be_thread(void *argument) {
    eventfd_write(*(int *)argument, 4);
    return argument;
}

static int try_all(void) {
    int fd = eventfd(3, EFD_NONBLOCK), two[2], status = -1;
    uint64_t value = 0;
    char byte = 0;
    struct epoll_event event = {.events = EPOLLIN}, got;
    int epoll = epoll_create1(0);
    pthread_t thread;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0 || epoll_wait(epoll, &got, 1, 1000) != 1)
        return 1;
    if (read(fd, &value, 8) != 8 || value != 3 || read(fd, &value, 8) != -1)
        return 2;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, two) != 0 || write(two[0], "x", 1) != 1 ||
        read(two[1], &byte, 1) != 1)
        return 3;
    if (pthread_create(&thread, NULL, be_thread, &fd) != 0 || pthread_join(thread, NULL) != 0)
        return 4;
    if (eventfd_read(fd, &value) != 0 || value != 4)
        return 5;
    pid_t child = fork();
    if (child == 0)
        _exit(write(two[0], "y", 1) == 1 ? 0 : 1);
    if (waitpid(child, &status, 0) != child || status != 0)
        return 6;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    child = vfork();
#pragma GCC diagnostic pop
    if (child == 0)
        _exit(0);
    if (waitpid(child, &status, 0) != child || status != 0)
        return 7;
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *stream = fopen("/dev/null", "w");
    if (memory == MAP_FAILED || stream == NULL || fprintf(stream, "%d\n", 5) != 2 || fputs("x", stream) < 0)
        return 8;
    fclose(stream);
    close(epoll);
    close(fd);
    close(two[0]);
    close(two[1]);
    return 0;
}

__attribute__((constructor)) static void early(void) {
    static const char *const texts[] = {"all right",   "epoll", "eventfd", "socketpair", "thread",
                                        "its eventfd", "fork",  "vfork",   "stdio"};
    said = texts[try_all()];
}

/* Before us or not, it says the same at the end. */
__attribute__((destructor)) static void late(void) {
    static const char *const texts[] = {"all right",   "epoll", "eventfd", "socketpair", "thread",
                                        "its eventfd", "fork",  "vfork",   "stdio"};
    printf("early: %s, late: %s\n", said, texts[try_all()]);
    fflush(stdout);
}
