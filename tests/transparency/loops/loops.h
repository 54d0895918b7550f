/* What the programs of each event library share: connections that are all ready at once, and words about it.
 */
#ifndef TESTS_TRANSPARENCY_LOOPS_H
#define TESTS_TRANSPARENCY_LOOPS_H

#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS = 40, ROUNDS = 30 };

/* Accepted ones, which do not block, and their peers. */
extern int servers[CONNECTIONS], clients[CONNECTIONS];

void connect_all(void);
/* A question on each connection. */
void ask_all(void);
/* Reads the question of a connection and answers it; says which one it was. False when there was none. */
int serve(int connection);
/* Reads all the answers, and ends the line that serve() began. */
void answers_read(void);

#define MUST(condition)                                                                                      \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(1)))

#endif
