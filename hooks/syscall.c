/* syscall(3), which is a door to everything: E13, H28.
 *
 * What the rules care about goes through them; the program's call is passed on untouched, with all its
 * arguments, and is libc's own syscall() in any case, so that it fails, is cancelled and is restarted as
 * without us. Anything else is a jump, with nothing of ours on the stack: a vfork made here returns twice
 * into its caller's frame, as it does without us (H4). What has to be known *before* such a call, a fork's or
 * a futex's, is said and off the stack before the jump.
 *
 * To route one more call: write what happens in terms of shim/rules.h, as its hook does, and add its row to
 * `syscall_routes`. */
#include "../ctxstore/kernel.h"
#include "../shim/annotate.h"
#include "hook.h"
#include "vector.h"

#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>

#if defined(__x86_64__)

extern const enum hook_row hook_body_syscall;
const enum hook_row hook_body_syscall = hook_row_syscall;

/* As the jump below lays it on the stack. */
struct call {
    long number, a, b, c, d, e, f;
    const void *site; /* where it returns to: the last word of the hook's frame */
};

static struct here here_of(const struct call *call) {
    return (struct here){(uintptr_t)&call->site, call->site};
}

static long go(const struct call *call) {
    return REAL(syscall)(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
}

/* --- bytes --------------------------------------------------------------------------------------------- */

static long on_read(const struct call *call) {
    struct passage passage = rules_read_begin((int)call->a, here_of(call));
    long result = go(call);
    rules_read_end(&passage, result, ONE_BUFFER(call->b, (size_t)call->c));
    return result;
}

static long on_readv(const struct call *call) {
    struct passage passage = rules_read_begin((int)call->a, here_of(call));
    long result = go(call);
    rules_read_end(&passage, result, (const struct iovec *)call->b, (int)call->c);
    return result;
}

static long on_recvfrom(const struct call *call) {
    struct passage passage = rules_receive_begin((int)call->a, (int)call->d, here_of(call));
    long result = go(call);
    rules_receive_end(&passage, result, ONE_BUFFER(call->b, (size_t)call->c), (const void *)call->e,
                      (const socklen_t *)call->f);
    return result;
}

static long on_recvmsg(const struct call *call) {
    struct passage passage = rules_receive_begin((int)call->a, (int)call->c, here_of(call));
    long result = go(call);
    rules_message_received(&passage, result, (const struct msghdr *)call->b);
    return result;
}

static long on_recvmmsg(const struct call *call) {
    struct passage passage = rules_receive_begin((int)call->a, (int)call->d, here_of(call));
    long result = go(call);
    rules_messages_received(&passage, (int)result, (const struct mmsghdr *)call->b);
    return result;
}

/* A log that is written here too is none that could be annotated. */
static long on_write(const struct call *call) {
    const void *buffer = (const void *)call->b;
    struct passage passage =
        rules_write_begin((int)call->a, FROM_BUFFER(buffer, (size_t)call->c), here_of(call));
    annotate_ends((int)call->a);
    long result = go(call);
    rules_write_end(&passage, result, (size_t)call->c, buffer);
    return result;
}

static long on_writev(const struct call *call) {
    const struct iovec *buffers = (const struct iovec *)call->b;
    struct passage passage = rules_write_begin(
        (int)call->a, (struct outgoing){.vector = call->c > 0 ? buffers : NULL}, here_of(call));
    annotate_ends((int)call->a);
    long result = go(call);
    if (passage.file != NULL)
        rules_write_end(&passage, result, vector_size(buffers, (size_t)call->c, result),
                        vector_first(buffers, (size_t)call->c, result));
    return result;
}

static long on_sendto(const struct call *call) {
    const void *buffer = (const void *)call->b;
    struct passage passage =
        rules_send_begin((int)call->a, FROM_BUFFER(buffer, (size_t)call->c), (int)call->d, here_of(call));
    annotate_ends((int)call->a);
    long result = go(call);
    rules_send_end(&passage, result, (size_t)call->c, buffer, (const void *)call->e, (socklen_t)call->f);
    return result;
}

static long on_sendmsg(const struct call *call) {
    const struct msghdr *message = (const struct msghdr *)call->b;
    struct passage passage =
        rules_send_begin((int)call->a, (struct outgoing){.message = message}, (int)call->c, here_of(call));
    rules_rights_begin(&passage, message);
    long result = go(call);
    size_t asked = result > 0 ? vector_size(message->msg_iov, message->msg_iovlen, result) : 0;
    rules_message_sent(&passage, result, asked,
                       result > 0 ? vector_first(message->msg_iov, message->msg_iovlen, result) : NULL,
                       message);
    return result;
}

static long on_sendmmsg(const struct call *call) {
    struct passage passage = rules_send_begin((int)call->a, NO_BUFFER, (int)call->d, here_of(call));
    long result = go(call);
    rules_messages_sent(&passage, (int)result, (unsigned)call->c, (const struct mmsghdr *)call->b);
    return result;
}

static long on_sendfile(const struct call *call) {
    struct movement movement = rules_move_begin((int)call->b, (int)call->a, true, false, here_of(call));
    annotate_ends((int)call->a);
    long result = go(call);
    rules_move_end(&movement, result, (size_t)call->d);
    return result;
}

static long on_splice(const struct call *call) {
    bool blocks = ((unsigned)call->f & SPLICE_F_NONBLOCK) == 0;
    struct movement movement = rules_move_begin((int)call->a, (int)call->c, blocks, false, here_of(call));
    long result = go(call);
    rules_move_end(&movement, result, (size_t)call->e);
    return result;
}

static long on_tee(const struct call *call) {
    bool blocks = ((unsigned)call->d & SPLICE_F_NONBLOCK) == 0;
    struct movement movement = rules_move_begin((int)call->a, (int)call->b, blocks, true, here_of(call));
    long result = go(call);
    rules_move_end(&movement, result, (size_t)call->c);
    return result;
}

static long on_vmsplice(const struct call *call) {
    struct movement movement = rules_gift_begin((int)call->a, here_of(call));
    long result = go(call);
    rules_move_end(&movement, result, 1);
    return result;
}

/* --- the life of descriptors --------------------------------------------------------------------------- */

static long on_created(const struct call *call) {
    int fd = (int)go(call);
    rules_fd_created(fd);
    annotate_born(fd);
    return fd;
}

static long on_open(const struct call *call) {
    int fd = (int)go(call);
    rules_fd_created(fd);
    annotate_opened(
        fd, (const char *)(call->number == SYS_open || call->number == SYS_creat ? call->a : call->b));
    return fd;
}

static void born_two(const int *fds) {
    annotate_born(fds[0]);
    annotate_born(fds[1]);
}

static long on_pipe(const struct call *call) {
    long result = go(call);
    const int *fds = (const int *)call->a;
    if (result != 0)
        return result;
    rules_pipe_created(fds[0], fds[1], call->number == SYS_pipe2 ? (int)call->b : 0);
    born_two(fds);
    return 0;
}

static long on_socketpair(const struct call *call) {
    long result = go(call);
    const int *fds = (const int *)call->d;
    if (result != 0)
        return result;
    rules_pair_created(fds[0], fds[1], (int)call->a, (int)call->b);
    born_two(fds);
    return 0;
}

static long on_close(const struct call *call) {
    struct open_file *file = rules_fd_closing((int)call->a);
    long result = go(call);
    rules_fd_closed((int)call->a, file, false);
    return result;
}

static long on_close_range(const struct call *call) {
    if (((unsigned)call->c & ~CLOSE_RANGE_UNSHARE) == 0 && (unsigned)call->a <= (unsigned)call->b)
        rules_fd_range_closing((unsigned)call->a, (unsigned)call->b);
    return go(call);
}

static long on_dup(const struct call *call) {
    annotate_copied((int)call->a);
    long copy = go(call);
    rules_fd_duplicated((int)call->a, (int)copy);
    return copy;
}

static long on_dup2(const struct call *call) {
    annotate_copied((int)call->a);
    struct open_file *before = call->a != call->b ? rules_fd_closing((int)call->b) : NULL;
    long result = go(call);
    rules_fd_closed((int)call->b, before, result < 0);
    rules_fd_duplicated((int)call->a, (int)result);
    return result;
}

static long on_fcntl(const struct call *call) {
    bool copies = (int)call->b == F_DUPFD || (int)call->b == F_DUPFD_CLOEXEC;
    return copies ? on_dup(call) : go(call);
}

/* --- sockets and carriers ------------------------------------------------------------------------------ */

static long on_socket(const struct call *call) {
    int fd = (int)go(call);
    rules_socket_created(fd, (int)call->a, (int)call->b);
    annotate_born(fd);
    return fd;
}

static long on_bind(const struct call *call) {
    long result = go(call);
    if (result == 0)
        rules_bound((int)call->a, (const void *)call->b, (size_t)call->c);
    return result;
}

static long on_listen(const struct call *call) {
    long result = go(call);
    if (result == 0)
        rules_listen((int)call->a);
    return result;
}

static long on_accept(const struct call *call) {
    rules_accept_begin((int)call->a, here_of(call));
    int fd = (int)go(call);
    rules_accept_end(fd);
    annotate_born(fd);
    return fd;
}

static long on_connect(const struct call *call) {
    struct passage passage = rules_connect_begin((int)call->a, here_of(call));
    long result = go(call);
    rules_connect_end(&passage, (int)call->a, (int)result, (const struct sockaddr *)call->b);
    return result;
}

static long on_eventfd(const struct call *call) {
    int fd = (int)go(call);
    rules_eventfd_created(fd, (unsigned)call->a, call->number == SYS_eventfd2 ? (int)call->b : 0);
    return fd;
}

static long on_timerfd(const struct call *call) {
    int fd = (int)go(call);
    rules_timerfd_created(fd);
    return fd;
}

static long on_timer(const struct call *call) {
    struct arming arming = rules_timer_begin((int)call->a, here_of(call));
    long result = go(call);
    rules_timer_end(&arming, (int)result, (const struct itimerspec *)call->c);
    return result;
}

/* --- waits --------------------------------------------------------------------------------------------- */

/* A sixth argument is pushed, and the stack kept aligned: the place is the same without them, so that all
 * waits of a function have one. */
static struct here place_of(const struct call *call, bool six_arguments) {
    struct here here = here_of(call);
    here.address += six_arguments ? 16 : 0;
    return here;
}

static long on_epoll(const struct call *call) {
    int fd = (int)go(call);
    rules_epoll_created(fd);
    return fd;
}

static long on_epoll_ctl(const struct call *call) {
    int epoll = (int)call->a, operation = (int)call->b, fd = (int)call->c;
    const struct epoll_event *event = (const struct epoll_event *)call->d;
    struct registration registration = rules_register_begin(epoll, operation, fd, event, here_of(call));
    int result = (int)go(call);
    rules_register_end(&registration, operation, fd, event, result);
    return result;
}

static long on_epoll_wait(const struct call *call) {
    long milliseconds =
        call->number == SYS_epoll_pwait2 ? rules_milliseconds((const void *)call->d) : (int)call->d;
    struct here here = place_of(call, call->number == SYS_epoll_pwait);
    struct wait wait = rules_wait_begin((int)call->a, (int)call->c, milliseconds, here);
    struct call real = *call;
    real.c = wait.max_events;
    long count = wait.quiet ? 0 : go(&real);
    rules_wait_end(&wait, (const struct epoll_event *)call->b, (int)count);
    return count;
}

static long on_poll(const struct call *call) {
    long milliseconds = call->number == SYS_ppoll ? rules_milliseconds((const void *)call->c) : (int)call->c;
    struct wait wait = rules_poll_begin(milliseconds, here_of(call));
    long result = go(call);
    rules_poll_end(&wait, (const struct pollfd *)call->a, (unsigned long)call->b, (int)result);
    return result;
}

static long on_select(const struct call *call) {
    struct here here = place_of(call, call->number == SYS_pselect6);
    long milliseconds = call->number == SYS_select ? rules_milliseconds_of((const void *)call->e)
                                                   : rules_milliseconds((const void *)call->e);
    struct wait wait = rules_poll_begin(milliseconds, here);
    struct selection selection = {(int)call->a, (const fd_set *)call->b, (const fd_set *)call->c,
                                  (const fd_set *)call->d};
    long result = go(call);
    rules_select_end(&wait, &selection, (int)result);
    return result;
}

/* --- sandboxes ----------------------------------------------------------------------------------------- */

static long shuts_in(const struct call *call) {
    bool open_before = process_shut(true);
    long result = go(call);
    if (result < 0 && open_before)
        process_shut(false);
    return result;
}

static long on_seccomp(const struct call *call) {
    bool sets = call->a == SECCOMP_SET_MODE_STRICT || call->a == SECCOMP_SET_MODE_FILTER;
    return sets ? shuts_in(call) : go(call);
}

static long on_prctl(const struct call *call) {
    return (int)call->a == PR_SET_SECCOMP ? shuts_in(call) : go(call);
}

/* --- what is said before a call that no frame of ours may lie under ------------------------------------ */

/* A child in our memory, on our stack. */
static bool is_vfork(unsigned long flags) {
    return (flags & CLONE_VM) != 0 && (flags & CLONE_VFORK) != 0;
}

static void process_begins(unsigned long flags) {
    if (is_vfork(flags))
        local.guard = GUARD_BORROWED;
    else if ((flags & CLONE_VM) == 0)
        process_did_fork();
}

void syscall_before(const struct call *call);
void syscall_before(const struct call *call) {
    uint64_t flags = 0;
    int wait = (int)call->b & FUTEX_CMD_MASK;
    if (call->number == SYS_futex && (wait == FUTEX_WAIT || wait == FUTEX_WAIT_BITSET))
        rules_futex_waits(here_of(call));
    else if (call->number == SYS_vfork)
        process_begins(CLONE_VM | CLONE_VFORK);
    else if (call->number == SYS_fork)
        process_begins(0);
    else if (call->number == SYS_clone)
        process_begins((unsigned long)call->a);
    else if (call->number == SYS_clone3 && kernel_peek(&flags, (const void *)call->a, sizeof flags))
        process_begins(flags);
}

/* --- the door ------------------------------------------------------------------------------------------ */

typedef long route(const struct call *call);

/* No route, but a mark: something is to be said before the jump. */
route syscall_says;
long syscall_says(const struct call *call) {
    return go(call);
}

enum { SYSCALLS = 512 };
extern route *const syscall_routes[SYSCALLS];
route *const syscall_routes[SYSCALLS] = {
    [SYS_read] = on_read,
    [SYS_readv] = on_readv,
    [SYS_recvfrom] = on_recvfrom,
    [SYS_recvmsg] = on_recvmsg,
    [SYS_recvmmsg] = on_recvmmsg,
    [SYS_write] = on_write,
    [SYS_sendto] = on_sendto,
    [SYS_writev] = on_writev,
    [SYS_sendmsg] = on_sendmsg,
    [SYS_sendmmsg] = on_sendmmsg,
    [SYS_sendfile] = on_sendfile,
    [SYS_socket] = on_socket,
    [SYS_memfd_create] = on_created,
    [SYS_inotify_init] = on_created,
    [SYS_inotify_init1] = on_created,
    [SYS_open] = on_open,
    [SYS_creat] = on_open,
    [SYS_openat] = on_open,
    [SYS_openat2] = on_open,
    [SYS_pipe] = on_pipe,
    [SYS_pipe2] = on_pipe,
    [SYS_socketpair] = on_socketpair,
    [SYS_close] = on_close,
    [SYS_close_range] = on_close_range,
    [SYS_dup] = on_dup,
    [SYS_dup2] = on_dup2,
    [SYS_dup3] = on_dup2,
    [SYS_fcntl] = on_fcntl,
    [SYS_splice] = on_splice,
    [SYS_tee] = on_tee,
    [SYS_vmsplice] = on_vmsplice,
    [SYS_bind] = on_bind,
    [SYS_listen] = on_listen,
    [SYS_accept] = on_accept,
    [SYS_accept4] = on_accept,
    [SYS_connect] = on_connect,
    [SYS_eventfd] = on_eventfd,
    [SYS_eventfd2] = on_eventfd,
    [SYS_timerfd_create] = on_timerfd,
    [SYS_timerfd_settime] = on_timer,
    [SYS_epoll_create] = on_epoll,
    [SYS_epoll_create1] = on_epoll,
    [SYS_epoll_ctl] = on_epoll_ctl,
    [SYS_epoll_wait] = on_epoll_wait,
    [SYS_epoll_pwait] = on_epoll_wait,
    [SYS_epoll_pwait2] = on_epoll_wait,
    [SYS_poll] = on_poll,
    [SYS_ppoll] = on_poll,
    [SYS_select] = on_select,
    [SYS_pselect6] = on_select,
    [SYS_seccomp] = on_seccomp,
    [SYS_prctl] = on_prctl,
    [SYS_futex] = syscall_says,
    [SYS_fork] = syscall_says,
    [SYS_vfork] = syscall_says,
    [SYS_clone] = syscall_says,
    [SYS_clone3] = syscall_says,
};

long syscall_routed(const struct call *call);
long syscall_routed(const struct call *call) {
    return syscall_routes[call->number](call);
}

/* Before the constructor has bound it, this binds it. */
extern char syscall_unbound[] __attribute__((visibility("hidden")));
void *hook_real_syscall = syscall_unbound;

/* Lays a struct call on the stack, with its address in %rdi, and aligns the stack. */
#    define LAY_CALL                                                                                         \
        " movq (%rsp), %r10\n movq 8(%rsp), %r11\n pushq %r10\n pushq %r11\n pushq %r9\n pushq %r8\n"        \
        " pushq %rcx\n pushq %rdx\n pushq %rsi\n pushq %rdi\n subq $8, %rsp\n .cfi_adjust_cfa_offset 72\n"   \
        " leaq 8(%rsp), %rdi\n"
/* Takes it off again, with the arguments as they were. */
#    define TAKE_CALL                                                                                        \
        " addq $8, %rsp\n popq %rdi\n popq %rsi\n popq %rdx\n popq %rcx\n popq %r8\n popq %r9\n"             \
        " addq $16, %rsp\n .cfi_adjust_cfa_offset -72\n"

__asm__(
    ".text\n .p2align 4\n .globl syscall\n .type syscall, %function\nsyscall:\n .cfi_startproc\n endbr64\n"
    " cmpq $512, %rdi\n jae 1f\n leaq syscall_routes(%rip), %rax\n movq (%rax,%rdi,8), %rax\n"
    " testq %rax, %rax\n jne 2f\n"
    "1: jmp *hook_real_syscall(%rip)\n"
    "2: leaq syscall_says(%rip), %r11\n cmpq %r11, %rax\n je 3f\n" LAY_CALL
    " call syscall_routed\n addq $72, %rsp\n .cfi_adjust_cfa_offset -72\n ret\n"
    "3:\n" LAY_CALL " call syscall_before\n" TAKE_CALL
    " jmp *hook_real_syscall(%rip)\n .cfi_endproc\n .size syscall, .-syscall\n");
__asm__(".text\n .p2align 4\n .hidden syscall_unbound\n .globl syscall_unbound\n"
        " .type syscall_unbound, %function\nsyscall_unbound:\n .cfi_startproc\n" LAY_CALL
        " call hooks_bind\n" TAKE_CALL
        " jmp *hook_real_syscall(%rip)\n .cfi_endproc\n .size syscall_unbound, .-syscall_unbound\n");
_Static_assert(SYSCALLS == 512, "the number in the jump");

#endif
