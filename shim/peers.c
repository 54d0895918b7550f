/* Peers: see peers.h. */
#include "peers.h"

#include "../ctxstore/slab.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

static struct slab slab = SLAB(sizeof(struct peers));

/* --- addresses ------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001B3);
    hash ^= hash >> 29;
    return hash | 1; /* never 0 */
}

static uint64_t unix_address(const char *path, size_t size) {
    size_t length = path[0] != '\0' ? strnlen(path, size) : size;
    return length > 0 ? mix(UINT64_C(0xCBF29CE484222325), path, length) : 0;
}

uint64_t peer_address(const void *address, size_t size) {
    union {
        sa_family_t family;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_un local;
    } copy = {0};
    size = size < sizeof copy ? size : sizeof copy;
    if (address == NULL || size < sizeof copy.family)
        return 0;
    memcpy(&copy, address, size);
    if (copy.family == AF_INET)
        return (UINT64_C(1) << 56) | (uint64_t)copy.four.sin_port << 32 | copy.four.sin_addr.s_addr;
    if (copy.family == AF_INET6)
        return mix(mix(AF_INET6, &copy.six.sin6_addr, sizeof copy.six.sin6_addr), &copy.six.sin6_port,
                   sizeof copy.six.sin6_port);
    if (copy.family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path))
        return unix_address(copy.local.sun_path, size - offsetof(struct sockaddr_un, sun_path));
    return 0;
}

/* --- the ring -------------------------------------------------------------------------------------- */

static void peers_lock(struct peers *peers) {
    if (!lock_take(&peers->lock))
        peers->used = peers->next = 0;
}

struct peers *peers_new(struct open_file *file) {
    struct peers *peers = slab_take(&slab);
    if (peers == NULL)
        return NULL;
    peers_lock(peers);
    peers->file = file;
    peers->generation = cell_generation(&file->cell);
    peers->used = peers->next = 0;
    lock_give(&peers->lock);
    return peers;
}

void peers_free(struct peers *peers) {
    peers_lock(peers);
    uint32_t used = peers->used;
    peers->file = NULL;
    peers->used = 0;
    lock_give(&peers->lock);
    for (uint32_t i = 0; i < used; i++)
        context_release(peers->ring[i].context);
    slab_give(&slab, peers);
}

/* With the lock held. */
static bool is_for(const struct peer_question *question) {
    return question->peers->file == question->file && question->peers->generation == question->generation;
}

/* With the lock held: where the next is noted. What is outstanding is spared for a while: a busy thread may
 * answer late, where many others answer at once. */
static struct peer *place_for(struct peers *peers) {
    enum { SPARED = 16 };
    uint32_t place = peers->next;
    if (peers->used < PEERS_AT_MOST) {
        peers->used++;
    } else {
        uint32_t spared = 0;
        while (spared < SPARED && peers->ring[(place + spared) % PEERS_AT_MOST].open)
            spared++;
        place = spared < SPARED ? (place + spared) % PEERS_AT_MOST : place;
    }
    peers->next = (place + 1) % PEERS_AT_MOST;
    return &peers->ring[place];
}

void peers_note(const struct peer_question *question, bool asked_us, struct context *context) {
    struct peers *peers = question->peers;
    struct origin origin = origin_here();
    if (__builtin_expect(peers == NULL, 0)) {
        context_release(context);
        return;
    }
    peers_lock(peers);
    if (is_for(question)) {
        bool full = peers->used == PEERS_AT_MOST;
        struct peer *place = place_for(peers);
        struct context *before = full ? place->context : NULL;
        *place = (struct peer){question->address, peers->noted++, context, origin, asked_us, true};
        context = before;
    }
    lock_give(&peers->lock);
    context_release(context);
}

/* What a search found. */
struct found {
    struct peer *newest, *oldest; /* outstanding */
    struct peer *own, *likely;    /* what goes on now, for sure or not */
    struct peer *last;            /* the newest, outstanding or not */
    struct context *others[CONTEXT_LINKS];
    unsigned other_count;
};

/* With the lock held: those that are outstanding with another context than the newest of them. */
static void others_add(struct found *found, const struct peer *peer) {
    if (peer->context != found->newest->context && found->other_count < CONTEXT_LINKS)
        found->others[found->other_count++] = peer->context;
}

/* With the lock held. */
static void look_at(struct found *found, struct peer *peer, const struct context *current) {
    if (found->last == NULL || found->last->noted < peer->noted)
        found->last = peer;
    if (peer->context != NULL && context_descends_surely(current, peer->context))
        found->own = peer;
    if (peer->context != NULL && context_descends(current, peer->context))
        found->likely = peer;
    if (peer->open && (found->newest == NULL || found->newest->noted < peer->noted))
        found->newest = peer;
    if (peer->open && (found->oldest == NULL || found->oldest->noted > peer->noted))
        found->oldest = peer;
}

/* With the lock held. */
static struct found search(const struct peer_question *question, bool asked_us,
                           const struct context *current) {
    struct found found = {0};
    struct peers *peers = question->peers;
    for (int pass = 0; pass < 2 && (pass == 0 || found.newest != found.oldest); pass++)
        for (uint32_t i = 0; i < peers->used; i++) {
            struct peer *peer = &peers->ring[i];
            bool asked = question->address == PEER_ANY || peer->address == question->address;
            if (!asked || peer->asked_us != asked_us)
                continue;
            if (pass == 0)
                look_at(&found, peer, current);
            else if (peer->open)
                others_add(&found, peer);
        }
    return found;
}

/* With the lock held. A context that may be empty cannot be marked. */
static struct outstanding tell(const struct found *found, uint64_t flow) {
    struct outstanding outstanding = {.any = true, .ambiguous = found->other_count > 0};
    struct context *newest = found->newest->context;
    if (!outstanding.ambiguous)
        outstanding.context = context_retain(newest);
    else
        outstanding.context = context_ambiguous(newest != NULL ? newest : found->others[0], found->others,
                                                found->other_count, flow);
    return outstanding;
}

/* With the lock held: the newest, if that is what goes on now for sure. Who answers at once need not search.
 */
static struct peer *newest_own(const struct peer_question *question, const struct context *current) {
    struct peers *peers = question->peers;
    if (peers->used == 0)
        return NULL;
    struct peer *peer = &peers->ring[(peers->next + PEERS_AT_MOST - 1) % PEERS_AT_MOST];
    bool asked = question->address == PEER_ANY || peer->address == question->address;
    bool own = asked && peer->asked_us && peer->open && peer->context != NULL &&
               context_descends_surely(current, peer->context);
    return own ? peer : NULL;
}

struct outstanding peers_answer(const struct peer_question *question, const struct context *current,
                                uint64_t flow) {
    struct outstanding outstanding = {0};
    struct peers *peers = question->peers;
    if (__builtin_expect(peers == NULL, 0))
        return outstanding;
    peers_lock(peers);
    struct found found = {0};
    bool alive = is_for(question);
    found.own = alive ? newest_own(question, current) : NULL;
    if (alive && found.own == NULL)
        found = search(question, true, current);
    struct peer *over = found.own != NULL ? found.own : found.likely != NULL ? found.likely : found.oldest;
    if (found.own != NULL)
        outstanding = (struct outstanding){.any = true, .own = true};
    else if (found.likely != NULL)
        outstanding = (struct outstanding){.any = true, .context = context_retain(found.likely->context)};
    else if (found.newest != NULL)
        outstanding = tell(&found, flow);
    if (over != NULL)
        over->open = false;
    if (over != NULL && over == found.own) /* else it is a guess which */
        context_answered(over->context);
    lock_give(&peers->lock);
    return outstanding;
}

struct outstanding peers_reply(const struct peer_question *question, bool look, uint64_t flow) {
    struct outstanding outstanding = {0};
    struct peers *peers = question->peers;
    if (__builtin_expect(peers == NULL, 0))
        return outstanding;
    peers_lock(peers);
    struct found found = is_for(question) ? search(question, false, NULL) : (struct found){0};
    if (found.newest != NULL)
        outstanding = tell(&found, flow);
    else if (found.last != NULL)
        outstanding = (struct outstanding){.any = true, .context = context_retain(found.last->context)};
    if (!look && found.oldest != NULL)
        found.oldest->open = false;
    lock_give(&peers->lock);
    return outstanding;
}
