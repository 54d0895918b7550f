/* H7: a program that was linked against the condition variables of glibc before 2.3.2. Their functions go by
 * the same names, and another layout. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__x86_64__)
__asm__(".symver pthread_cond_wait,pthread_cond_wait@GLIBC_2.2.5\n"
        ".symver pthread_cond_signal,pthread_cond_signal@GLIBC_2.2.5\n"
        ".symver pthread_cond_broadcast,pthread_cond_broadcast@GLIBC_2.2.5\n"
        ".symver pthread_cond_init,pthread_cond_init@GLIBC_2.2.5\n"
        ".symver pthread_cond_destroy,pthread_cond_destroy@GLIBC_2.2.5");
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static int turn;

static void *play(void *argument) {
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        while (turn != (argument != NULL))
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

int main(void) {
    pthread_t thread;
    alarm(10);
    pthread_cond_init(&changed, NULL);
    pthread_create(&thread, NULL, play, &lock);
    play(NULL);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&changed);
    puts("played");
    return 0;
}
