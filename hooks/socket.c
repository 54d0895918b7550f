/* Sockets: F4 (socketpair), F7 (accept, bind), F8 (connect), and the birth of their descriptors (H6). */
#include "../shim/annotate.h"
#include "hook.h"

HOOK(int, socket, (int domain, int type, int protocol)) {
    int fd = REAL(socket)(domain, type, protocol);
    rules_socket_created(fd, domain, type);
    annotate_born(fd);
    return fd;
}

HOOK(int, socketpair, (int domain, int type, int protocol, int fds[2])) {
    int result = REAL(socketpair)(domain, type, protocol, fds);
    if (result == 0)
        rules_pair_created(fds[0], fds[1], domain, type);
    for (int i = 0; result == 0 && i < 2; i++)
        annotate_born(fds[i]);
    return result;
}

HOOK(int, bind, (int fd, __CONST_SOCKADDR_ARG address, socklen_t address_size)) {
    int result = REAL(bind)(fd, address, address_size);
    if (result == 0)
        rules_bound(fd, ANY_ADDRESS(address), address_size);
    return result;
}

HOOK(int, listen, (int fd, int backlog)) {
    int result = REAL(listen)(fd, backlog);
    if (result == 0)
        rules_listen(fd);
    return result;
}

HOOK(int, accept, (int listener, __SOCKADDR_ARG address, socklen_t *address_size)) {
    rules_accept_begin(listener, HERE);
    int fd = REAL(accept)(listener, address, address_size);
    rules_accept_end(fd);
    annotate_born(fd);
    return fd;
}

HOOK(int, accept4, (int listener, __SOCKADDR_ARG address, socklen_t *address_size, int flags)) {
    rules_accept_begin(listener, HERE);
    int fd = REAL(accept4)(listener, address, address_size, flags);
    rules_accept_end(fd);
    annotate_born(fd);
    return fd;
}

HOOK(int, connect, (int fd, __CONST_SOCKADDR_ARG address, socklen_t address_size)) {
    struct passage passage = rules_connect_begin(fd, HERE);
    int result = REAL(connect)(fd, address, address_size);
    rules_connect_end(&passage, fd, result, ANY_ADDRESS(address));
    return result;
}
