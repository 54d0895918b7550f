/* Keys, values, the graveyard and those who watch for changes. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>

TestSuite(key, .fini = expect_no_contexts, .timeout = 60);

static void *value_of(const struct flow *flow, const struct key *key) {
    return values_get(flow->current != NULL ? flow->current->values : NULL, key);
}

static int set(struct flow *flow, struct key *key, void *value) {
    int error = 0;
    int result = flow_set(flow, key, value, &error);
    cr_assert_eq(error, 0);
    return result;
}

Test(key, set_says_what_it_took) {
    struct flow flow = flow_new();
    struct key *key = key_create("user", count_destroy);
    int a = 0, b = 0;
    cr_expect_eq(set(&flow, key, NULL), 1, "removing what is not there takes nothing");
    cr_expect_eq(flow.current, NULL);
    cr_expect_eq(set(&flow, key, &a), 0);
    struct context *before = flow.current;
    cr_expect_eq(set(&flow, key, &a), 1);
    cr_expect_eq(flow.current, before, "an equal value yields the same context");
    cr_expect_eq(value_of(&flow, key), &a);
    cr_expect_eq(set(&flow, key, &b), 0);
    cr_expect_eq(value_of(&flow, key), &b);
    cr_expect_eq(set(&flow, key, NULL), 0);
    cr_expect_eq(value_of(&flow, key), NULL);
    graveyard_bury();
    cr_expect(a == 1 && b == 1, "destroyed %d and %d times", a, b);
    flow_end(&flow);
    key_destroy(key);
}

Test(key, a_dropped_value_waits_in_the_graveyard) {
    struct flow flow = flow_new();
    struct key *key = key_create("user", count_destroy);
    int value = 0;
    set(&flow, key, &value);
    cr_expect(graveyard_empty());
    flow_end(&flow);
    cr_expect_eq(value, 0, "destroyed while a hook may be on the stack");
    cr_expect_not(graveyard_empty());
    graveyard_bury();
    cr_expect_eq(value, 1);
    cr_expect(graveyard_empty());
    graveyard_bury();
    cr_expect_eq(value, 1);
    key_destroy(key);
}

Test(key, a_captured_context_keeps_the_value) {
    struct flow flow = flow_new();
    struct key *key = key_create("user", count_destroy);
    int value = 0;
    struct scope scope = with(&flow, key, &value);
    struct context *captured = flow_capture(&flow);
    cr_expect_eq(close_scope(&flow, scope), 0);
    cr_expect_eq(value_of(&flow, key), NULL);
    graveyard_bury();
    cr_expect_eq(value, 0);
    cr_expect_eq(values_get(captured->values, key), &value);
    context_release(captured);
    graveyard_bury();
    cr_expect_eq(value, 1);
    flow_end(&flow);
    key_destroy(key);
}

Test(key, a_fork_child_forgets_without_destroy) {
    struct flow flow = flow_new();
    struct key *key = key_create("user", count_destroy);
    int value = 0;
    set(&flow, key, &value);
    flow_end(&flow);
    graveyard_forget();
    cr_expect(graveyard_empty());
    graveyard_bury();
    cr_expect_eq(value, 0);
    key_destroy(key);
}

enum { KEYS_AT_MOST = 1000 };

/* C3, C5: sets `count` keys, changes one, removes one, for each of them; the others never notice. */
static void keys_are_independent(int count, int step) {
    static struct key *keys[KEYS_AT_MOST];
    static int destroyed[KEYS_AT_MOST], other[KEYS_AT_MOST];
    struct flow flow = flow_new();
    for (int i = 0; i < count; i++) {
        destroyed[i] = other[i] = 0;
        keys[i] = key_create("key", count_destroy);
        cr_assert_eq(set(&flow, keys[i], &destroyed[i]), 0);
    }
    struct context *all = flow_capture(&flow);
    for (int changed = 0; changed < count; changed += step) {
        cr_assert_eq(set(&flow, keys[changed], &other[changed]), 0);
        for (int i = 0; i < count; i++)
            cr_assert_eq(value_of(&flow, keys[i]), i == changed ? &other[i] : &destroyed[i]);
        cr_assert_eq(set(&flow, keys[changed], NULL), 0);
        for (int i = 0; i < count; i++)
            cr_assert_eq(value_of(&flow, keys[i]), i == changed ? NULL : &destroyed[i]);
        flow_become(&flow, context_retain(all), true);
    }
    graveyard_bury();
    for (int i = 0; i < count; i++)
        cr_assert(destroyed[i] == 0 && other[i] == (i % step == 0));
    context_release(all);
    flow_end(&flow);
    graveyard_bury();
    for (int i = 0; i < count; i++) {
        cr_assert_eq(destroyed[i], 1);
        key_destroy(keys[i]);
    }
}

Test(key, c3_one_to_forty_keys) {
    for (int count = 1; count <= 40; count++)
        keys_are_independent(count, 1);
}

Test(key, c3_a_thousand_keys) {
    keys_are_independent(1000, 97);
}

Test(key, c8_a_new_key_never_sees_an_old_value) {
    struct flow flow = flow_new();
    struct key *old = key_create("key", count_destroy);
    int value = 0;
    set(&flow, old, &value);
    key_destroy(old);
    struct key *fresh[64];
    for (int i = 0; i < 64; i++) {
        fresh[i] = key_create("key", NULL);
        cr_expect_eq(value_of(&flow, fresh[i]), NULL);
    }
    cr_expect_eq(value, 0, "values outlive their key");
    flow_end(&flow);
    graveyard_bury();
    cr_expect_eq(value, 1);
    for (int i = 0; i < 64; i++)
        key_destroy(fresh[i]);
}

Test(key, c10_c11_a_scope_gives_back_the_entry_value) {
    struct flow flow = flow_new();
    struct key *key = key_create("key", NULL);
    int a, b, c;
    struct scope first = with(&flow, key, &a);
    struct scope second = with(&flow, key, &b);
    set(&flow, key, &c);
    set(&flow, key, NULL);
    set(&flow, key, &c);
    cr_expect_eq(close_scope(&flow, second), 0);
    cr_expect_eq(value_of(&flow, key), &a);
    set(&flow, key, &c);
    cr_expect_eq(close_scope(&flow, first), 0);
    cr_expect_eq(value_of(&flow, key), NULL);
    cr_expect_eq(flow.current, NULL);
    flow_end(&flow);
    key_destroy(key);
}

Test(key, set_in_a_loop_keeps_nothing_behind) {
    struct flow flow = flow_new();
    struct key *key = key_create("key", count_destroy);
    static int values[3];
    for (int i = 0; i < 30000; i++)
        cr_assert_eq(set(&flow, key, &values[i % 3]), 0);
    cr_expect_eq(context_live(), 1);
    graveyard_bury();
    cr_expect_eq(values[0] + values[1] + values[2], 29999);
    flow_end(&flow);
    graveyard_bury();
    cr_expect_eq(values[0] + values[1] + values[2], 30000);
    key_destroy(key);
}

Test(key, a_long_name_is_kept) {
    char name[5000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    struct key *key = key_create(name, NULL);
    cr_expect_str_eq(key_name(key), name);
    key_destroy(key);
}

/* C34 */
static struct context *raced;
static pthread_barrier_t barrier;

static void *release_once(void *unused) {
    (void)unused;
    pthread_barrier_wait(&barrier);
    context_release(raced);
    graveyard_bury();
    context_thread_end();
    return NULL;
}

static _Atomic int destroyed_in_race;

static void destroy_in_race(void *value) {
    (void)value;
    atomic_fetch_add(&destroyed_in_race, 1);
}

Test(key, c34_eight_racing_releases_destroy_once) {
    enum { RACERS = 8, ROUNDS = 500 };
    struct key *key = key_create("key", destroy_in_race);
    pthread_barrier_init(&barrier, NULL, RACERS);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t racers[RACERS];
        struct flow flow = flow_new();
        set(&flow, key, &barrier);
        raced = flow_capture(&flow);
        for (int i = 1; i < RACERS; i++)
            context_retain(raced);
        flow_end(&flow);
        for (int i = 0; i < RACERS; i++)
            cr_assert_eq(pthread_create(&racers[i], NULL, release_once, NULL), 0);
        for (int i = 0; i < RACERS; i++)
            pthread_join(racers[i], NULL);
        cr_assert_eq(atomic_load(&destroyed_in_race), round + 1);
    }
    key_destroy(key);
}

/* --- watchers ------------------------------------------------------------------------------------ */

struct notice {
    int calls;
    void *before, *after;
    int switched;
};

static void note(void *before, void *after, int switched, void *arg) {
    struct notice *notice = arg;
    *notice = (struct notice){notice->calls + 1, before, after, switched};
}

static void expect_notice(struct notice *notice, void *before, void *after, int switched) {
    cr_expect(notice->calls == 1 && notice->before == before && notice->after == after &&
                  notice->switched == switched,
              "%d calls, switched %d", notice->calls, notice->switched);
    notice->calls = 0;
}

Test(key, c30_watchers_are_told_of_their_key_only) {
    struct flow flow = flow_new();
    struct key *key = key_create("key", NULL), *other = key_create("other", NULL);
    struct notice notice = {0}, other_notice = {0};
    int a, b;
    cr_expect_not(watch_any());
    cr_assert_eq(watch_add(key, note, &notice), 0);
    cr_assert_eq(watch_add(other, note, &other_notice), 0);
    cr_expect(watch_any());
    set(&flow, key, &a);
    expect_notice(&notice, NULL, &a, 0);
    struct scope scope = with(&flow, key, &b);
    expect_notice(&notice, &a, &b, 0);
    close_scope(&flow, scope);
    expect_notice(&notice, &b, &a, 0);
    set(&flow, key, &a);
    close_scope(&flow, push(&flow, "no value"));
    cr_expect_eq(notice.calls, 0, "nothing changed");
    struct scope hidden = attach(&flow, NULL);
    expect_notice(&notice, &a, NULL, 1);
    close_scope(&flow, hidden);
    expect_notice(&notice, NULL, &a, 1);
    flow_become(&flow, context_retain(flow.current), true);
    cr_expect_eq(notice.calls, 0, "C29: the same context twice notifies nobody");
    flow_end(&flow);
    expect_notice(&notice, &a, NULL, 1);
    cr_expect_eq(other_notice.calls, 0);
    cr_expect_eq(watch_remove(key, &notice), 0);
    cr_expect_eq(watch_remove(key, &notice), ENOENT);
    key_destroy(key);
    key_destroy(other);
    cr_expect_not(watch_any(), "a key's watchers go with it");
}

Test(key, a_root_is_told_alike_when_it_opens_and_closes) {
    struct flow flow = flow_new();
    struct key *key = key_create("key", NULL);
    struct notice notice = {0};
    int a;
    set(&flow, key, &a);
    cr_assert_eq(watch_add(key, note, &notice), 0);
    struct scope scope = root(&flow, NULL, "request");
    expect_notice(&notice, &a, NULL, 0);
    close_scope(&flow, scope);
    expect_notice(&notice, NULL, &a, 0);
    flow_end(&flow);
    key_destroy(key);
}

/* The pair of key and argument names a registration; NULL is an argument like any other. */
Test(key, removing_one_watcher_leaves_the_others) {
    struct flow flow = flow_new();
    struct key *key = key_create("key", NULL);
    struct notice notice = {0};
    int a;
    cr_assert_eq(watch_add(key, note, &notice), 0);
    cr_expect_eq(watch_remove(key, NULL), ENOENT, "nobody registered with NULL");
    set(&flow, key, &a);
    cr_expect_eq(notice.calls, 1, "the other watcher is still there");
    flow_end(&flow);
    key_destroy(key);
}

static struct flow watched;
static struct key *own_key;
static int own_value;

static void set_own(void *before, void *after, int switched, void *arg) {
    (void)before, (void)switched, (void)arg;
    if (after != &own_value && after != NULL)
        set(&watched, own_key, &own_value);
}

Test(key, c32_a_watcher_may_set_its_own_key) {
    int a;
    watched = flow_new();
    own_key = key_create("own", NULL);
    cr_assert_eq(watch_add(own_key, set_own, NULL), 0);
    set(&watched, own_key, &a);
    cr_expect_eq(value_of(&watched, own_key), &own_value);
    flow_end(&watched);
    key_destroy(own_key);
}

/* The maps that are compared must outlive the first watcher's set: many keys, so that their memory
 * is a large block that something else takes at once. */
Test(key, c32_watchers_after_one_that_sets_see_a_whole_map) {
    enum { KEYS = 30 };
    struct key *keys[KEYS];
    static int values[KEYS], changed;
    struct notice notice = {0};
    watched = flow_new();
    for (int i = 0; i < KEYS; i++) {
        keys[i] = key_create("key", NULL);
        set(&watched, keys[i], &values[i]);
    }
    own_key = keys[0];
    cr_assert_eq(watch_add(keys[0], set_own, NULL), 0);
    cr_assert_eq(watch_add(keys[KEYS - 1], note, &notice), 0);
    set(&watched, keys[0], &changed);
    cr_expect_eq(notice.calls, 0, "its key did not change, and it was told %d times", notice.calls);
    cr_expect_eq(value_of(&watched, keys[0]), &own_value);
    flow_end(&watched);
    for (int i = 0; i < KEYS; i++)
        key_destroy(keys[i]);
}

Test(key, c32_a_scope_survives_a_watcher_that_sets_its_key) {
    int a, entry;
    watched = flow_new();
    own_key = key_create("own", NULL);
    set(&watched, own_key, &entry);
    cr_assert_eq(watch_add(own_key, set_own, NULL), 0);
    int error = 0;
    struct scope scope = flow_with(&watched, own_key, &a, HERE, &error);
    cr_expect(context_is(scope.node, scope.serial), "the scope names a node that is gone");
    watch_remove(own_key, NULL);
    cr_expect_eq(close_scope(&watched, scope), 0);
    cr_expect_eq(value_of(&watched, own_key), &entry);
    flow_end(&watched);
    key_destroy(own_key);
}

static int endless;

static void set_for_ever(void *before, void *after, int switched, void *arg) {
    (void)before, (void)switched;
    static int two[2];
    endless++;
    if (after != NULL)
        set(&watched, arg, after == &two[0] ? &two[1] : &two[0]);
}

Test(key, c32_a_watcher_that_never_stops_is_cut_off) {
    int a;
    watched = flow_new();
    struct key *key = key_create("own", NULL);
    cr_assert_eq(watch_add(key, set_for_ever, key), 0);
    set(&watched, key, &a);
    cr_expect(endless > 1 && endless < 100, "%d notices", endless);
    flow_end(&watched);
    key_destroy(key);
}

Test(key, more_watchers_than_there_is_room_for_are_refused) {
    struct key *key = key_create("key", NULL);
    static struct notice notices[1000];
    int taken = 0;
    while (taken < 1000 && watch_add(key, note, &notices[taken]) == 0)
        taken++;
    cr_expect(taken >= 16, "room for %d", taken);
    cr_expect_eq(watch_add(key, note, &notices[0]), taken < 1000 ? ENOMEM : 0,
                 "ctxshim.h knows ENOMEM alone");
    key_destroy(key);
    cr_expect_not(watch_any());
}

/* --- references in stock ----------------------------------------------------------------------------------
 */

static void set_and_drop(struct key *key) {
    struct flow flow = flow_new();
    int value;
    for (int i = 0; i < 1000; i++) {
        struct scope scope = with(&flow, key, &value);
        close_scope(&flow, scope);
    }
    flow_end(&flow);
}

Test(key, whose_values_are_gone_leaves_its_number_to_the_next) {
    struct key *many[3 * KEY_STOCKS];
    for (int i = 0; i < 3 * KEY_STOCKS; i++)
        many[i] = key_create("of many", NULL);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3 * KEY_STOCKS; i++)
            set_and_drop(many[i]);
    for (int i = 0; i < 3 * KEY_STOCKS; i++)
        key_destroy(many[i]);
    struct key *next = key_create("next", NULL);
    cr_expect(next->number <= 3 * KEY_STOCKS, "number %u", next->number);
    key_destroy(next);
}

static void *sets_and_ends(void *key) {
    set_and_drop(key);
    local_end();
    return NULL;
}

Test(key, is_held_by_no_thread_that_has_ended) {
    struct key *key = key_create("passing", NULL);
    uint32_t number = key->number;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, sets_and_ends, key), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(atomic_load(&key->references), 1);
    key_destroy(key);
    struct key *next = key_create("next", NULL);
    cr_expect_eq(next->number, number);
    key_destroy(next);
}

Test(key, lives_as_long_as_a_value_of_another_thread) {
    struct flow flow = flow_new();
    struct key *key = key_create("kept", count_destroy);
    int value = 0;
    struct scope scope = with(&flow, key, &value);
    key_destroy(key);
    cr_expect_str_eq(key_name(key), "kept");
    close_scope(&flow, scope);
    graveyard_bury();
    flow_end(&flow);
}
