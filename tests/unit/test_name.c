/* Names, as they are copied: of every length, at every distance from memory that is not there. */
#include "unit.h"

#include "../../ctxstore/name.h"

#include <sys/mman.h>

TestSuite(name, .timeout = 60, .fini = expect_no_contexts);

enum { PAGE = 4096 };

/* Two pages, and behind them none. */
static char *pages(void) {
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE), 0);
    memset(memory, 'x', 2 * PAGE);
    return memory;
}

static void expect_copied(const char *name, size_t length, bool must) {
    char copy[NAME_INLINE + 8];
    memset(copy, '#', sizeof copy);
    struct name_look look = name_look(name);
    bool copied = look.fit == NAME_FITS;
    if (copied)
        name_copy(copy, name, look);
    cr_assert(look.fit != NAME_LONG || (length > NAME_INLINE && name_length(name) == length));
    cr_assert(copied || !must || length > NAME_INLINE, "%zu bytes", length);
    cr_assert(!copied || length <= NAME_INLINE, "%zu bytes", length);
    if (copied) {
        cr_assert_eq(strnlen(copy, NAME_INLINE), length, "%zu bytes", length);
        cr_assert_eq(memcmp(copy, name, length), 0);
    }
    cr_assert_eq(memcmp(copy + NAME_INLINE, "########", 8), 0, "nothing beyond a name's room");
}

Test(name, is_copied_whole_or_not_at_all) {
    char *memory = pages();
    for (size_t length = 0; length <= 90; length++)
        for (size_t behind = 0; behind < 60; behind++) {
            char *name = memory + 2 * PAGE - 1 - behind - length;
            for (size_t i = 0; i < length; i++)
                name[i] = (char)('a' + (char)i % 26);
            name[length] = '\0';
            expect_copied(name, length, behind + length >= NAME_INLINE);
            memset(name, 'x', length + 1);
        }
    munmap(memory, 3 * PAGE);
}

Test(name, of_known_length_is_stored_whole) {
    const char name[] = "abcdefghijklmnopqrstuvwx";
    for (size_t length = 0; length <= NAME_INLINE; length++) {
        char copy[NAME_INLINE + 8];
        memset(copy, '#', sizeof copy);
        name_store(copy, name, length);
        cr_assert_eq(strnlen(copy, NAME_INLINE), length);
        cr_assert_eq(memcmp(copy, name, length), 0);
        cr_assert_eq(memcmp(copy + NAME_INLINE, "########", 8), 0);
    }
}

/* Of every length, one inside the other: beside their nodes, and as they were. */
Test(name, that_is_long_is_kept_beside_its_node) {
    enum { LONGEST = 300, ROUNDS = 3 };
    char *memory = pages(), expected[LONGEST + 8];
    struct flow flow = flow_new();
    for (int round = 0; round < ROUNDS; round++)
        for (size_t length = 0; length <= LONGEST; length++) {
            char *name = memory + 2 * PAGE - 1 - length - (length * 7 + (size_t)round) % 70;
            for (size_t i = 0; i < length; i++)
                name[i] = (char)('a' + (char)(i % 26));
            name[length] = '\0';
            memcpy(expected, name, length + 1);
            struct scope outer = push(&flow, name), inner = push(&flow, "inner");
            memset(name, 'x', length + 1);
            strcat(expected, " inner");
            expect_text(flow.current, expected);
            cr_assert_eq(close_scope(&flow, inner), 0);
            cr_assert_eq(close_scope(&flow, outer), 0);
        }
    flow_end(&flow);
    munmap(memory, 3 * PAGE);
}
