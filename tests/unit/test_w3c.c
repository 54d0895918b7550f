/* The W3C's text formats: what is one, what is not, and that nothing reads or writes beyond its end. */
#include "../../shim/w3c.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static bool is_parent(const char *text) {
    struct traceparent parent;
    return traceparent_parse(text, &parent);
}

Test(w3c, traceparent_is_read_and_written) {
    struct traceparent parent;
    char text[TRACEPARENT + 1];
    cr_assert(traceparent_parse("00-" TRACE "-" SPAN "-01", &parent));
    cr_expect(memcmp(parent.trace_id, TRACE, TRACE_ID) == 0 && memcmp(parent.span_id, SPAN, SPAN_ID) == 0);
    cr_expect_eq(parent.flags, 1);
    traceparent_format(&parent, text);
    cr_expect_str_eq(text, "00-" TRACE "-" SPAN "-01");
    cr_assert(traceparent_parse("00-" TRACE "-" SPAN "-ff", &parent));
    traceparent_format(&parent, text);
    cr_expect_str_eq(text, "00-" TRACE "-" SPAN "-03"); /* bits that are not known yet are not passed on */
    cr_assert(traceparent_parse("cc-" TRACE "-" SPAN "-02-more", &parent));
    traceparent_format(&parent, text);
    cr_expect_str_eq(text, "00-" TRACE "-" SPAN "-02");
}

Test(w3c, what_is_no_traceparent) {
    static const char *const wrong[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-01 ",
        "ff-" TRACE "-" SPAN "-01",
        "0x-" TRACE "-" SPAN "-01",
        "01-" TRACE "-" SPAN "-01more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "-" SPAN "-0g",
        "00 " TRACE "-" SPAN "-01",
        " 00-" TRACE "-" SPAN "-01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_not(is_parent(wrong[i]), "\"%s\"", wrong[i]);
}

static const char *cleaned(const char *text) {
    static char to[BAGGAGE_ROOM];
    cr_expect_eq(baggage_copy(text, to, sizeof to), strlen(to));
    return to;
}

Test(w3c, baggage_keeps_what_is_right) {
    cr_expect_str_eq(cleaned(""), "");
    cr_expect_str_eq(cleaned("a=1"), "a=1");
    cr_expect_str_eq(cleaned("a=1,b=,c=%20x"), "a=1,b=,c=%20x");
    cr_expect_str_eq(cleaned(" a = 1 ; p = 2;q ,\tb=2 "), "a = 1 ; p = 2;q,b=2");
    cr_expect_str_eq(cleaned("a,=1,b b=1,c=\"x\",d=1,,e=x\\y,f=1 2,g=1;=2,h=\x80,i=9"), "d=1,i=9");
}

/* At least 64 members and 8192 bytes; never a part of one. */
Test(w3c, baggage_is_bounded) {
    char text[4 * BAGGAGE_ROOM] = "", to[BAGGAGE_ROOM];
    size_t length = 0;
    for (int i = 0; i < 64; i++)
        length += (size_t)sprintf(text + length, "%sk%02d=%0123d", i > 0 ? "," : "", i, i);
    cr_assert_eq(length, 64 * 128 - 1);
    cr_expect_eq(baggage_copy(text, to, sizeof to), length);
    cr_expect_str_eq(to, text);
    strcpy(text + length, ",more=1,x=");
    cr_expect_eq(baggage_copy(text, to, sizeof to), length);
    for (int i = 0; i < 1000; i++)
        sprintf(text + 4 * (size_t)i, "a=%d%s", i % 10, i < 999 ? "," : "");
    cr_expect_eq(baggage_copy(text, to, sizeof to), 4 * (size_t)BAGGAGE_MEMBERS - 1);
    cr_expect_eq(baggage_copy("abc=1,d=2", to, 4), 3);
    cr_expect_str_eq(to, "d=2");
    cr_expect_eq(baggage_copy("a=1", to, 0), 0);
}

Test(w3c, percent_encoding_goes_there_and_back) {
    char encoded[3 * 256], decoded[256], *end = encoded;
    for (int byte = 1; byte < 256; byte++) {
        char *before = end;
        end = percent_put(end, (unsigned char)byte);
        cr_expect_eq((size_t)(end - before), percent_length((unsigned char)byte));
    }
    cr_assert_eq(percent_decode(encoded, (size_t)(end - encoded), decoded, sizeof decoded), 255);
    for (int byte = 1; byte < 256; byte++)
        cr_expect_eq((unsigned char)decoded[byte - 1], byte);
    cr_expect_eq(percent_decode("%4", 2, decoded, 9), SIZE_MAX);
    cr_expect_eq(percent_decode("%", 1, decoded, 9), SIZE_MAX);
    cr_expect_eq(percent_decode("%00", 3, decoded, 9), SIZE_MAX);
    cr_expect_eq(percent_decode("%zz", 3, decoded, 9), SIZE_MAX);
    cr_expect_eq(percent_decode("abc", 3, decoded, 2), SIZE_MAX);
    cr_expect_eq(percent_decode("", 0, decoded, 0), 0);
}

/* Texts at random, of what the formats are made of, each in memory of its own that ends where it ends. */
Test(w3c, anything_may_come_in) {
    static const char alphabet[] = "00fa-=,;% \t\"\\x\x80\xff";
    unsigned state = 1;
    for (int round = 0; round < 200000; round++) {
        size_t length = (state = state * 1103515245U + 12345U) >> 16 & 63;
        char *text = malloc(length + 1), to[40], decoded[40];
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[((state = state * 1103515245U + 12345U) >> 16) % (sizeof alphabet - 1)];
        text[length] = '\0';
        struct traceparent parent;
        traceparent_parse(text, &parent);
        size_t copied = baggage_copy(text, to, sizeof to);
        cr_assert(copied < sizeof to && to[copied] == '\0' && copied <= length);
        char again[40];
        cr_assert_eq(baggage_copy(to, again, sizeof again), copied); /* what is right stays so */
        size_t size = percent_decode(text, length, decoded, sizeof decoded);
        cr_assert(size == SIZE_MAX || size <= length);
        free(text);
    }
}
