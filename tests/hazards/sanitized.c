/* H8: a program for the sanitizers: threads, descriptors and memory, nothing wrong in it; with an argument,
 * one fault that each of them reports. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int shared;

static void *work(void *argument) {
    int *fd = argument;
    char *memory = malloc(100);
    eventfd_write(*fd, 1);
    free(memory);
    if (getenv("FAULT") != NULL)
        shared++;
    return NULL;
}

int main(void) {
    pthread_t threads[4];
    int fd = eventfd(0, 0);
    uint64_t sum = 0, value;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, &fd);
    while (sum < 4 && read(fd, &value, sizeof value) == sizeof value)
        sum += value;
    if (getenv("FAULT") != NULL) {
        shared++;
        char *volatile memory = malloc(8);
        memory[0] = 'x';
        free(memory);
        printf("%c\n", memory[0]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close(fd);
    printf("sum %d\n", (int)sum);
    return 0;
}
