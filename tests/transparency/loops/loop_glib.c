/* GLib's main loop: priorities, sources that remove themselves, idle calls, timers, signals, children, calls
 * from other threads, and a loop within a loop. */
#include "loops.h"

#include <glib-unix.h>
#include <signal.h>

static GMainLoop *loop;
static int served, ticks, again;
static guint sources[CONNECTIONS];

static gboolean put_off(gpointer unused) {
    (void)unused;
    printf(" later");
    return G_SOURCE_REMOVE;
}

static void watch(int connection);

static gboolean asked(gint fd, GIOCondition what, gpointer argument) {
    int connection = GPOINTER_TO_INT(argument);
    (void)fd;
    MUST(what & G_IO_IN);
    served += serve(connection);
    if (connection % 10 == 0)
        g_idle_add_full(G_PRIORITY_HIGH, put_off, NULL, NULL);
    if (served == CONNECTIONS)
        g_main_loop_quit(loop);
    if (again)
        watch(connection);
    return again ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static void watch(int connection) {
    sources[connection] = g_unix_fd_add_full(connection % 3, servers[connection], G_IO_IN, asked,
                                             GINT_TO_POINTER(connection), NULL);
}

static void rounds(void) {
    for (int round = 0; round < ROUNDS; round++) {
        served = 0;
        ask_all();
        g_main_loop_run(loop);
        answers_read();
        while (g_main_context_iteration(NULL, FALSE))
            continue;
    }
}

static void over(GPid pid, gint status, gpointer unused) {
    (void)unused;
    printf("child %d\n", status >> 8);
    g_spawn_close_pid(pid);
    g_main_loop_quit(loop);
}

static gboolean signalled(gpointer unused) {
    GMainLoop *inner = g_main_loop_new(NULL, FALSE);
    (void)unused;
    puts("signal");
    g_timeout_add(2, (GSourceFunc)(void (*)(void))g_main_loop_quit, inner);
    g_main_loop_run(inner);
    g_main_loop_unref(inner);
    puts("after a loop within");
    fflush(stdout);
    GPid pid;
    char *arguments[] = {"sh", "-c", "exit 7", NULL};
    MUST(g_spawn_async(NULL, arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                       &pid, NULL));
    g_child_watch_add(pid, over, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean tick(gpointer unused) {
    (void)unused;
    printf("tick %d\n", ++ticks);
    if (ticks < 5)
        return G_SOURCE_CONTINUE;
    raise(SIGUSR1);
    return G_SOURCE_REMOVE;
}

static gboolean called(gpointer number) {
    printf("called %d\n", GPOINTER_TO_INT(number));
    if (GPOINTER_TO_INT(number) == 20)
        g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

static gpointer call(gpointer unused) {
    for (int i = 1; i <= 20; i++)
        g_idle_add(called, GINT_TO_POINTER(i));
    return unused;
}

int main(void) {
    loop = g_main_loop_new(NULL, FALSE);
    connect_all();
    for (int i = 0; i < CONNECTIONS; i++)
        watch(i);
    rounds();
    again = 1;
    rounds();
    for (int i = 0; i < CONNECTIONS; i++)
        MUST(g_source_remove(sources[i]));
    g_unix_signal_add(SIGUSR1, signalled, NULL);
    g_timeout_add(2, tick, NULL);
    g_main_loop_run(loop);
    g_thread_join(g_thread_new("caller", call, NULL));
    g_main_loop_run(loop);
    puts("done");
    return 0;
}
