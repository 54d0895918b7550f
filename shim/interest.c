/* epoll registrations: see interest.h. */
#include "interest.h"

#include "../ctxstore/slab.h"

#include <string.h>

enum { FIRST_BUCKETS = 16, ALWAYS_REPORTED = EPOLLERR | EPOLLHUP };

enum { BELLS_WATCHED = 4 };
struct interest_set {
    void *free_link; /* the slab's, while free */
    struct lock lock;
    uint32_t buckets; /* a power of two */
    uint32_t count;
    struct interest **bucket;
    _Atomic uint64_t reported; /* the serial of its last wait that reported something */
    _Atomic bool lent;         /* other threads read what that had reported */
    /* E2: eventfds and pipes that it watches, by which others wake it up; the latest of them. */
    struct {
        const struct open_file *file; /* NULL: none */
        struct mailbox *mailbox;      /* its; of a closed one it may be another's, which costs a doubt */
        uint32_t generation;
    } bells[BELLS_WATCHED];
    uint32_t next_bell;
};

static struct lock interest_lock; /* guards every open file's list; taken before a set's lock */
static struct slab interests = SLAB(sizeof(struct interest));
static struct slab sets = SLAB(sizeof(struct interest_set));

/* In a fork child both lists may be half changed. What the set knew is dropped: events are unknown. */
static void set_lock(struct interest_set *set) {
    if (lock_take(&set->lock))
        return;
    set->bucket = NULL;
    set->buckets = set->count = 0;
    memset(set->bells, 0, sizeof set->bells);
}

static size_t buckets_size(uint32_t buckets) {
    return buckets * sizeof(struct interest *);
}

static uint32_t bucket_of(const struct interest_set *set, uint64_t data) {
    return (uint32_t)(data * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (set->buckets - 1);
}

struct interest_set *interest_set_new(void) {
    struct interest_set *set = slab_take(&sets);
    if (set == NULL)
        return NULL;
    set_lock(set);
    set->bucket = NULL;
    set->buckets = set->count = 0;
    memset(set->bells, 0, sizeof set->bells);
    atomic_store_explicit(&set->reported, 0, memory_order_relaxed);
    atomic_store_explicit(&set->lent, false, memory_order_relaxed);
    lock_give(&set->lock);
    return set;
}

/* With the set locked. */
static bool set_resize(struct interest_set *set, uint32_t buckets) {
    struct interest **bucket = block_take(buckets_size(buckets)), **old = set->bucket;
    uint32_t old_buckets = set->buckets;
    if (bucket == NULL)
        return false;
    memset(bucket, 0, buckets_size(buckets));
    set->bucket = bucket;
    set->buckets = buckets;
    for (uint32_t i = 0; i < old_buckets; i++)
        for (struct interest *interest = old[i], *next; interest != NULL; interest = next) {
            next = interest->next_in_bucket;
            struct interest **place = &bucket[bucket_of(set, interest->data)];
            interest->next_in_bucket = *place;
            *place = interest;
        }
    if (old != NULL)
        block_give(old, buckets_size(old_buckets));
    return true;
}

/* With the set locked. */
static void set_link(struct interest_set *set, struct interest *interest) {
    bool fits = set->count < set->buckets;
    if (!fits && !set_resize(set, set->buckets != 0 ? set->buckets * 2 : FIRST_BUCKETS) && set->buckets == 0)
        return;
    struct interest **place = &set->bucket[bucket_of(set, interest->data)];
    interest->next_in_bucket = *place;
    *place = interest;
    set->count++;
}

/* With the set locked. */
static void set_unlink(struct interest_set *set, struct interest *interest) {
    if (set->buckets == 0)
        return;
    struct interest **place = &set->bucket[bucket_of(set, interest->data)];
    while (*place != NULL && *place != interest)
        place = &(*place)->next_in_bucket;
    if (*place == interest) {
        *place = interest->next_in_bucket;
        set->count--;
    }
}

/* With the set locked. */
static void forget_bell(struct interest_set *set, const struct open_file *file) {
    for (unsigned i = 0; i < BELLS_WATCHED; i++)
        if (set->bells[i].file == file)
            set->bells[i].file = NULL;
}

/* With the interest lock held: takes it out of its set. Returns its context, to be released later. */
static struct context *interest_orphan(struct interest *interest) {
    struct interest_set *set = interest->set;
    struct context *context = interest->context;
    if (set == NULL)
        return NULL;
    set_lock(set);
    set_unlink(set, interest);
    forget_bell(set, interest->file);
    lock_give(&set->lock);
    interest->set = NULL;
    interest->context = NULL;
    return context;
}

/* With the interest lock held. */
static struct interest *interest_of(const struct interest_set *set, int fd, const struct open_file *file) {
    struct interest *interest = file->interests;
    while (interest != NULL && (interest->set != set || interest->fd != fd))
        interest = interest->next_of_file;
    return interest;
}

static void files_lock(struct open_file *file) {
    if (!lock_take(&interest_lock))
        file->interests = NULL;
}

/* With the set locked. */
static void watch_bell(struct interest_set *set, struct open_file *file) {
    enum file_kind kind = file_kind(file);
    if ((kind != FILE_EVENTFD && kind != FILE_PIPE) || file->mailbox == NULL)
        return;
    uint32_t place = set->next_bell++ % BELLS_WATCHED;
    set->bells[place].file = file;
    set->bells[place].mailbox = file->mailbox;
    set->bells[place].generation = cell_generation(&file->cell);
}

bool interest_is_woken(struct interest_set *set, int thread) {
    if (__builtin_expect(set == NULL, 0))
        return false;
    bool woken = false;
    set_lock(set);
    for (unsigned i = 0; i < BELLS_WATCHED && !woken; i++) {
        const struct open_file *file = set->bells[i].file;
        woken = file != NULL && cell_generation(&file->cell) == set->bells[i].generation &&
                mailbox_has_others(set->bells[i].mailbox, thread);
    }
    lock_give(&set->lock);
    return woken;
}

void interest_add(struct interest_set *set, int fd, struct open_file *file, const struct epoll_event *event,
                  struct context *context) {
    if (__builtin_expect(set == NULL, 0)) {
        context_release(context);
        return;
    }
    struct interest *interest = slab_take(&interests);
    if (interest == NULL) {
        context_release(context);
        return;
    }
    *interest = (struct interest){.set = set,
                                  .file = file,
                                  .context = context,
                                  .data = event->data.u64,
                                  .events = event->events,
                                  .generation = cell_generation(&file->cell),
                                  .fd = fd,
                                  .origin = origin_here()};
    files_lock(file);
    interest->next_of_file = file->interests;
    file->interests = interest;
    set_lock(set);
    set_link(set, interest);
    watch_bell(set, file);
    lock_give(&set->lock);
    lock_give(&interest_lock);
}

void interest_change(struct interest_set *set, int fd, struct open_file *file,
                     const struct epoll_event *event, struct context *context) {
    if (__builtin_expect(set == NULL, 0)) {
        context_release(context);
        return;
    }
    struct origin origin = origin_here();
    files_lock(file);
    struct interest *interest = interest_of(set, fd, file);
    if (interest != NULL) {
        set_lock(set);
        set_unlink(set, interest);
        interest->data = event->data.u64;
        interest->events = event->events;
        struct context *before = interest->context;
        interest->context = context;
        interest->origin = origin;
        interest->let_go = 0;
        context = before;
        set_link(set, interest);
        lock_give(&set->lock);
    }
    lock_give(&interest_lock);
    context_release(context);
}

void interest_remove(struct interest_set *set, int fd, struct open_file *file) {
    if (__builtin_expect(set == NULL, 0))
        return;
    struct context *context = NULL;
    files_lock(file);
    struct interest *interest = interest_of(set, fd, file);
    if (interest != NULL) {
        context = interest_orphan(interest);
        struct interest **place = &file->interests;
        while (*place != NULL && *place != interest)
            place = &(*place)->next_of_file;
        if (*place == interest)
            *place = interest->next_of_file;
        slab_give(&interests, interest);
    }
    lock_give(&interest_lock);
    context_release(context);
}

uint32_t interest_asks(const struct interest_set *set, int fd, struct open_file *file) {
    if (__builtin_expect(set == NULL, 0))
        return 0;
    files_lock(file);
    const struct interest *interest = interest_of(set, fd, file);
    uint32_t events = interest != NULL ? interest->events : 0;
    lock_give(&interest_lock);
    return events;
}

bool interest_watches(const struct interest_set *set, struct open_file *file) {
    if (__builtin_expect(set == NULL, 0))
        return false;
    files_lock(file);
    const struct interest *interest = file->interests;
    while (interest != NULL && interest->set != set)
        interest = interest->next_of_file;
    lock_give(&interest_lock);
    return interest != NULL;
}

struct context *interest_context(const struct interest_set *set, struct open_file *file) {
    if (__builtin_expect(set == NULL, 0))
        return NULL;
    struct context *context = NULL;
    unsigned found = 0;
    files_lock(file);
    for (const struct interest *interest = file->interests; interest != NULL;
         interest = interest->next_of_file)
        if (interest->set == set && found++ == 0)
            context = context_retain(interest->context);
    lock_give(&interest_lock);
    if (found == 1 && !context_over(context))
        return context;
    context_release(context);
    return NULL;
}

void interest_reports(struct interest_set *set, uint64_t wait) {
    if (__builtin_expect(set == NULL, 0))
        return;
    atomic_store_explicit(&set->reported, wait, memory_order_relaxed);
}

void interest_read_elsewhere(struct open_file *file, uint64_t wait) {
    files_lock(file);
    for (const struct interest *interest = file->interests; interest != NULL;
         interest = interest->next_of_file)
        if (interest->set != NULL &&
            atomic_load_explicit(&interest->set->reported, memory_order_relaxed) == wait)
            atomic_store_explicit(&interest->set->lent, true, memory_order_relaxed);
    lock_give(&interest_lock);
}

bool interest_is_lent(const struct interest_set *set) {
    if (__builtin_expect(set == NULL, 0))
        return false;
    return atomic_load_explicit(&set->lent, memory_order_relaxed);
}

void interest_forget_file(struct open_file *file) {
    while (true) {
        struct context *context = NULL;
        files_lock(file);
        struct interest *interest = file->interests;
        if (interest != NULL) {
            file->interests = interest->next_of_file;
            context = interest_orphan(interest);
            slab_give(&interests, interest);
        }
        lock_give(&interest_lock);
        context_release(context);
        if (interest == NULL)
            return;
    }
}

/* Every interest of the set becomes an orphan in its file's list; contexts are dropped at once. */
void interest_set_free(struct interest_set *set) {
    bool intact = lock_take(&interest_lock);
    set_lock(set);
    for (uint32_t i = 0; intact && i < set->buckets; i++)
        for (struct interest *interest = set->bucket[i]; interest != NULL;
             interest = interest->next_in_bucket) {
            context_release(interest->context);
            interest->context = NULL;
            interest->set = NULL;
        }
    if (set->bucket != NULL)
        block_give(set->bucket, buckets_size(set->buckets));
    set->bucket = NULL;
    set->buckets = set->count = 0;
    lock_give(&set->lock);
    lock_give(&interest_lock);
    slab_give(&sets, set);
}

/* Could this registration have asked for this event? */
static bool explains(const struct interest *interest, const struct epoll_event *event) {
    return (event->events & ~(uint32_t)ALWAYS_REPORTED & ~interest->events) == 0;
}

/* With the set locked. */
static struct interest *set_find(const struct interest_set *set, const struct epoll_event *event,
                                 bool *several) {
    struct interest *found = NULL;
    if (set->buckets == 0)
        return NULL;
    struct interest *interest = set->bucket[bucket_of(set, event->data.u64)];
    for (; interest != NULL; interest = interest->next_in_bucket) {
        if (interest->data != event->data.u64 || !explains(interest, event))
            continue;
        *several = found != NULL;
        found = interest;
        if (*several)
            break;
    }
    return found;
}

struct sighting interest_find(struct interest_set *set, const struct epoll_event *event) {
    if (__builtin_expect(set == NULL, 0))
        return (struct sighting){0};
    struct sighting sighting = {0};
    struct context *over = NULL;
    set_lock(set);
    struct interest *interest = set_find(set, event, &sighting.several);
    if (interest != NULL) {
        if (context_over(interest->context)) { /* a registration does not keep a request that has ended */
            over = interest->context;
            interest->context = NULL;
            if (cell_let_go != NULL)
                interest->let_go = cell_let_go(&interest->context, over, interest->origin);
        }
        sighting.file = interest->file;
        sighting.generation = interest->generation;
        sighting.asked = interest->events;
        sighting.context = context_retain(interest->context);
    }
    lock_give(&set->lock);
    context_release(over);
    return sighting;
}
