/* The load client's parts: connections that keep what has arrived, and protocols on them. */
#ifndef LOAD_H
#define LOAD_H 1
#include <stdbool.h>
#include <stddef.h>

enum { BUFFER = 16384, MARKER = 25 };

/* 64 bytes, so that what follows lies beyond the first 64 of a request. */
#define PADDING "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"

/* One client's connection and what has arrived on it and was not taken yet (a NUL behind it). */
struct connection {
    int fd;
    size_t held;
    char bytes[BUFFER];
};

/* A protocol: writes the request for a marker, and checks the answer. All but request() give false with a
 * message when something is wrong. The first 64 bytes of all requests are the same. */
struct protocol {
    const char *name;
    bool datagrams;
    bool (*prepare)(struct connection *connection); /* once, before the clients start; NULL: nothing to do */
    bool (*greet)(struct connection *connection);   /* on each connection, once; NULL: nothing to do */
    int (*request)(char *buffer, size_t size, const char *marker); /* its length, or what it would be */
    bool (*answer)(struct connection *connection, const char *marker);
};

/* NULL when there is none of this name. */
const struct protocol *protocol_named(const char *name);

/* What the protocol "http" asks for ("/"). */
extern const char *load_path;

/* Says what is wrong, ends the load, returns false. */
bool complain(const char *what, const char *detail);

/* A connected socket to a port of this machine, or -1 with errno. */
int connect_to(int port, bool datagrams);
bool send_all(const struct connection *connection, const char *bytes, size_t size);
/* Waits for more bytes. */
bool receive_more(struct connection *connection);
/* Waits until so many bytes are there. */
bool receive_at_least(struct connection *connection, size_t length);
/* The end of the first line or head that ends in `end`: the offset behind it, 0 on failure. */
size_t receive_until(struct connection *connection, const char *end);
/* Takes an answer of this length. Nothing may follow it: the next request has not been sent yet. */
bool take_answer(struct connection *connection, size_t length);
#endif
