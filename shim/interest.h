/* Which descriptors an epoll watches, and for whom (F2).
 *
 * epoll hands back 64 bits of the program's own. They are not unique: a program may register two
 * descriptors with one pointer, one of them long closed (E8). So registrations are kept by (epoll,
 * descriptor), an event's bits are looked up in reverse, and the program's data is left alone.
 *
 * An interest is in two lists: its set's hash chain (by data), guarded by the set's lock, and its open
 * file's list, guarded by the one interest lock, which is taken first. A registration dies with the
 * last descriptor of its open file, as in the kernel; when its epoll dies first it stays in the file's
 * list, empty, until the file is next looked at. */
#ifndef SHIM_INTEREST_H
#define SHIM_INTEREST_H

#include "openfile.h"

#include <sys/epoll.h>

struct interest_set;

/* A registration. For interest.c, and for who looks on (holders.h). */
struct interest {
    struct interest *next_in_bucket;
    struct interest *next_of_file;
    struct interest_set *set; /* NULL: the epoll died first */
    struct open_file *file;
    struct context *context; /* a reference */
    uint64_t data;
    uint32_t events;
    uint32_t generation; /* of the file */
    int fd;
    struct origin origin; /* of whoever registered it */
    uint16_t let_go;      /* as a cell's */
};

/* NULL without memory. A set may be NULL in all that follow, which is one of nothing: an epoll that is closed
 * while another thread is in a call on it may be another open file by then. */
struct interest_set *interest_set_new(void);
void interest_set_free(struct interest_set *set);

/* Notes that `set` watches `fd`; consumes the reference to the context captured there. */
void interest_add(struct interest_set *set, int fd, struct open_file *file, const struct epoll_event *event,
                  struct context *context);
/* The registration was changed: what it asks for, its data, and who waits now. */
void interest_change(struct interest_set *set, int fd, struct open_file *file,
                     const struct epoll_event *event, struct context *context);
void interest_remove(struct interest_set *set, int fd, struct open_file *file);
void interest_forget_file(struct open_file *file);
/* What the registration of `fd` asks for; 0 when there is none. */
uint32_t interest_asks(const struct interest_set *set, int fd, struct open_file *file);
/* A reference to what it was registered in; NULL: nobody knows, or there are several registrations. */
struct context *interest_context(const struct interest_set *set, struct open_file *file);
/* E0: a wait has reported something, and is named so; another thread has read what that wait reported; has
 * that ever happened before the loop waited again? */
void interest_reports(struct interest_set *set, uint64_t wait);
void interest_read_elsewhere(struct open_file *file, uint64_t wait);
bool interest_is_lent(const struct interest_set *set);
/* E2: does an eventfd or a pipe that it watches hold something that another thread than this (the kernel's
 * number) has written, and nobody has seen yet? */
bool interest_is_woken(struct interest_set *set, int thread);
/* Is the file registered in this set? */
bool interest_watches(const struct interest_set *set, struct open_file *file);

/* What an event is about. */
struct sighting {
    struct open_file *file; /* NULL: not known */
    uint32_t generation;
    uint32_t asked;          /* the events it was registered for */
    struct context *context; /* a reference: captured at the registration */
    bool several;            /* more than one registration fits; this is one of them */
};

/* Looks an event up. When several registrations carry the same data, the one that asked for such an
 * event is taken, and `several` set where that does not settle it. */
struct sighting interest_find(struct interest_set *set, const struct epoll_event *event);

#endif
