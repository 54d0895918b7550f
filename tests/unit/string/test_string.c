/* The shim's own functions of <string.h> (H8) beside libc's. Strategy: shim/string.c is compiled with other
 * names for its functions; every length, alignment and distance from memory that is not there. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *own_memcpy(void *restrict to, const void *restrict from, size_t size);
void *own_memmove(void *to, const void *from, size_t size);
void *own_memset(void *memory, int byte, size_t size);
int own_memcmp(const void *one, const void *other, size_t size);
size_t own_strlen(const char *text);

enum { PAGE = 4096, LONGEST = 300, SHIFTS = 20, ROOM = 600 };

/* Two pages, and behind them none. */
static char *pages(void) {
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE), 0);
    return memory;
}

Test(string, a_length_is_found_up_to_the_end_of_memory) {
    char *memory = pages(), *end = memory + 2 * PAGE;
    for (size_t length = 0; length < LONGEST; length++)
        for (size_t gap = 0; gap < 70; gap++) {
            char *text = end - 1 - length - gap;
            memset(memory, 0x81, 2 * PAGE);
            memset(text, length % 2 ? 'x' : 0x80, length);
            text[length] = '\0';
            cr_assert_eq(own_strlen(text), length, "%zu bytes, %zu before the end", length, gap);
        }
    munmap(memory, 3 * PAGE);
}

/* Twice the same random bytes. */
static void fill(char *one, char *other) {
    for (size_t i = 0; i < ROOM; i++)
        one[i] = other[i] = (char)random();
}

Test(string, what_is_copied_and_filled_is_no_more_and_no_less) {
    char from[ROOM], expected[ROOM], found[ROOM];
    for (size_t size = 0; size < LONGEST; size++)
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            fill(from, from);
            fill(expected, found);
            memcpy(expected + shift + 7, from + shift, size);
            cr_assert_eq(own_memcpy(found + shift + 7, from + shift, size), found + shift + 7);
            cr_assert_eq(memcmp(found, expected, ROOM), 0, "copied: %zu bytes from %zu", size, shift);
            memset(expected + shift, (int)size * 3, size);
            cr_assert_eq(own_memset(found + shift, (int)size * 3, size), found + shift);
            cr_assert_eq(memcmp(found, expected, ROOM), 0, "filled: %zu bytes from %zu", size, shift);
        }
}

Test(string, what_overlaps_is_moved_whole) {
    char expected[ROOM], found[ROOM];
    for (size_t size = 0; size < LONGEST; size++)
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            fill(expected, found);
            memmove(expected + 10, expected + shift, size);
            own_memmove(found + 10, found + shift, size);
            cr_assert_eq(memcmp(found, expected, ROOM), 0, "%zu bytes from %zu", size, shift);
        }
}

static int sign(int number) {
    return (number > 0) - (number < 0);
}

/* Wherever the first difference is, and whatever comes after it. */
Test(string, compares_what_lies_anywhere) {
    char one[ROOM], other[ROOM];
    for (size_t size = 0; size <= 40; size++)
        for (size_t shift = 0; shift < 9; shift++)
            for (size_t at = 0; at <= size; at++) {
                memset(one, 'a', sizeof one);
                memset(other, 'a', sizeof other);
                one[shift + at] =
                    '\x80'; /* greater, for bytes have no sign; at the end it is not looked at */
                other[shift + size] = 'b';
                if (at + 1 < size)
                    other[shift + size - 1] = '\xff';
                int expected = at < size ? 1 : 0;
                cr_assert_eq(sign(own_memcmp(one + shift, other + shift, size)), expected, "%zu, %zu, %zu",
                             size, shift, at);
                cr_assert_eq(sign(own_memcmp(other + shift, one + shift, size)), -expected);
            }
}
