/* Following a program: see follow.h. A main loop of GLib's, with one source: a descriptor of signals.
 *
 * All signals are blocked from before the fork, so that none is lost, and none interrupts anything: each is
 * read with what the kernel knows of its sender.
 *   - The terminal's reach the program by themselves, as it is in the same process group: dropped. What
 *     others send is passed on, with its value.
 *   - SIGCHLD says that the program has stopped, or ended, and waitpid which of it. Several that come at once
 *     are one: waitpid is asked until nothing is left. GLib's child watch would tell ends alone.
 *   - The program has stopped: so do we, by the same signal, for whoever waits for us (a shell: Ctrl-Z). We
 *     have stopped for it, and not for the signal, as it may not: editors set the terminal right first, and
 *     what ignores Ctrl-Z goes on. Whoever continues us continues it, too. */
#include "follow.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct following {
    GMainLoop *loop;
    pid_t child;
    int status;
};

static int signals = -1;
static sigset_t mask_before;
static struct sigaction child_before;

/* Whose SIGCHLD is ignored (that is inherited) is told of no child. */
bool follow_begin(void) {
    const struct sigaction told = {.sa_handler = SIG_DFL};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask_before);
    sigaction(SIGCHLD, &told, &child_before);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        follow_undo();
    return signals >= 0;
}

void follow_undo(void) {
    int error = errno;
    sigaction(SIGCHLD, &child_before, NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    errno = error;
}

/* --- what others send ---------------------------------------------------------------------------------- */

/* As it came: with its value, if it has one, and its sender. */
static void pass_on(pid_t child, const struct signalfd_siginfo *signal) {
    siginfo_t info;
    if (signal->ssi_code != SI_QUEUE) {
        kill(child, (int)signal->ssi_signo);
        return;
    }
    memset(&info, 0, sizeof info);
    info.si_signo = (int)signal->ssi_signo;
    info.si_code = SI_QUEUE;
    info.si_pid = (pid_t)signal->ssi_pid;
    info.si_uid = signal->ssi_uid;
    info.si_value.sival_ptr = (void *)(uintptr_t)signal->ssi_ptr;
    syscall(SYS_rt_sigqueueinfo, child, info.si_signo, &info);
}

static bool is_for_child(pid_t child, const struct signalfd_siginfo *signal) {
    return signal->ssi_code != SI_KERNEL && (pid_t)signal->ssi_pid != child;
}

/* --- stopping ------------------------------------------------------------------------------------------ */

/* Takes a signal that is pending; false: it is not. */
static bool take(int number) {
    const struct timespec none = {0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    return sigtimedwait(&one, NULL, &none) == number;
}

static void stop_by(int number) {
    const struct sigaction fate = {.sa_handler = SIG_DFL};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigaction(number, &fate, NULL);
    kill(getpid(), number);
    sigprocmask(SIG_UNBLOCK, &one, NULL); /* here we stop, and here we go on */
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* The program's stop becomes ours. Who continues us leaves a SIGCONT, which has been blocked: if there is
 * none, the signal did not stop us (a terminal's stops nobody whose group is orphaned). */
static void stop_too(pid_t child, int number) {
    siginfo_t state;
    memset(&state, 0, sizeof state);
    if (take(SIGCONT)) { /* a stop would have taken back an earlier one: this is the later */
        kill(child, SIGCONT);
        return;
    }
    stop_by(number);
    if (!take(SIGCONT)) {
        kill(getpid(), SIGSTOP);
        take(SIGCONT);
    }
    waitid(P_PID, (id_t)child, &state, WCONTINUED | WNOHANG); /* a shell continues the whole group */
    if (state.si_pid == 0)
        kill(child, SIGCONT);
}

/* --- the loop ------------------------------------------------------------------------------------------ */

static void child_changed(struct following *following) {
    int status;
    while (waitpid(following->child, &status, WNOHANG | WUNTRACED) == following->child) {
        if (WIFSTOPPED(status)) {
            stop_too(following->child, WSTOPSIG(status));
            continue;
        }
        following->status = status;
        g_main_loop_quit(following->loop);
        return;
    }
}

static gboolean signals_came(gint fd, GIOCondition condition, gpointer data) {
    struct following *following = data;
    struct signalfd_siginfo signal;
    (void)condition;
    while (read(fd, &signal, sizeof signal) == (ssize_t)sizeof signal)
        if (signal.ssi_signo == SIGCHLD)
            child_changed(following);
        else if (is_for_child(following->child, &signal))
            pass_on(following->child, &signal);
    return G_SOURCE_CONTINUE;
}

int follow(pid_t child) {
    struct following following = {g_main_loop_new(NULL, FALSE), child, 0};
    guint source = g_unix_fd_add(signals, G_IO_IN, signals_came, &following);
    g_main_loop_run(following.loop);
    g_source_remove(source);
    g_main_loop_unref(following.loop);
    close(signals);
    return following.status;
}
