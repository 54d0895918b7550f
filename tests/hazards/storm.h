/* Every family of hooks once: what hazards happen in the middle of. */
#ifndef TESTS_HAZARDS_STORM_H
#define TESTS_HAZARDS_STORM_H

#include "../behaviour/case.h"

/* Returns the number of calls that did not do what they must: 0. Keeps no descriptor. Reentrant. */
int storm_once(void);

/* Threads that run storms until told to stop. */
enum { STORMS_AT_MOST = 64 };
struct storms {
    pthread_t threads[STORMS_AT_MOST];
    int count;
    _Atomic bool over;
    _Atomic long done, bad;
};
void storms_begin(struct storms *storms, int count);
/* Returns the number of bad calls; there were `done` storms. */
long storms_end(struct storms *storms);

/* `make hazards` asks for much more of everything. */
int storm_scale(int quick, int thorough);

/* The result of a call and its errno, as two runs of a program can be compared by. */
#define SHOW(call)                                                                                           \
    do {                                                                                                     \
        errno = 12345;                                                                                       \
        long show_result = (long)(call);                                                                     \
        int show_errno = errno;                                                                              \
        printf("%s: %ld, errno %d\n", #call, show_result, show_errno);                                       \
    } while (0)

#endif
