/* The load client's connections: to ports of this machine only. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

int connect_to(int port, bool datagrams) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    const int fd = socket(AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (!datagrams)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool send_all(const struct connection *connection, const char *bytes, size_t size) {
    while (size > 0) {
        const ssize_t sent = send(connection->fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return complain("send", strerror(errno));
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool receive_more(struct connection *connection) {
    if (connection->held + 1 >= sizeof connection->bytes)
        return complain("the answer is too long", connection->bytes);
    ssize_t got;
    do {
        got = recv(connection->fd, connection->bytes + connection->held,
                   sizeof connection->bytes - connection->held - 1, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return complain("recv", strerror(errno));
    if (got == 0)
        return complain("the server closed the connection", connection->bytes);
    connection->held += (size_t)got;
    connection->bytes[connection->held] = '\0';
    return true;
}

bool receive_at_least(struct connection *connection, size_t length) {
    while (connection->held < length) {
        if (!receive_more(connection))
            return false;
    }
    return true;
}

size_t receive_until(struct connection *connection, const char *end) {
    const char *found;
    while ((found = strstr(connection->bytes, end)) == NULL) {
        if (!receive_more(connection))
            return 0;
    }
    return (size_t)(found - connection->bytes) + strlen(end);
}

bool take_answer(struct connection *connection, size_t length) {
    if (connection->held != length)
        return complain("bytes behind the answer", connection->bytes);
    connection->held = 0;
    connection->bytes[0] = '\0';
    return true;
}
