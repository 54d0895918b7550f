/* Prints, as a Python dictionary, where in the shim's objects the debugger finds what it shows. Built from
 * the very headers that the library is built from, so that the extension needs no debug information of it,
 * and each library file comes with the layout of its own.
 *
 * A member is (offset, size) in bytes, a bit field (offset, mask) under "bits". */
#include "../../shim/census.h"
#include "../../shim/command/words.h"

#include <stdio.h>
#include <string.h>

#define MEMBER(type, member)                                                                                 \
    printf("    \"%s.%s\": (%zu, %zu),\n", #type, #member, offsetof(struct type, member),                    \
           sizeof(((struct type *)0)->member))
#define SIZE(type) printf("    \"%s\": %zu,\n", #type, sizeof(struct type))
#define NUMBER(name) printf("    \"%s\": %llu,\n", #name, (unsigned long long)(name))

/* offsetof takes no bit field: all ones in it, which is 0 less 1, say where it is. Once for each. */
#define BITS(type, member)                                                                                   \
    do {                                                                                                     \
        static struct type all;                                                                              \
        all.member--;                                                                                        \
        print_bits(#type "." #member, &all, sizeof all);                                                     \
    } while (0)

static void print_bits(const char *name, const void *object, size_t size) {
    const unsigned char *bytes = object;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0) {
            printf("    \"%s\": (%zu, %u),\n", name, i, (unsigned)bytes[i]);
            return;
        }
}

static void print_words(const char *name, const char *const *words, size_t count) {
    printf("    \"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        if (words[i] != NULL)
            printf("\"%s\", ", words[i]);
        else
            printf("None, ");
    printf("],\n");
}

int main(void) {
    printf("LAYOUT = {\n    \"order\": \"%s\",\n",
           __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "little" : "big");
    printf("    \"layout\": %llu,\n", (unsigned long long)CENSUS_LAYOUT);
    MEMBER(census, layout);
    MEMBER(census, records);
    MEMBER(thread, next);
    MEMBER(thread, tid);
    MEMBER(thread, flow.current);
    MEMBER(thread, depth);
    MEMBER(thread, frames);
    MEMBER(thread, inherited);
    NUMBER(FRAMES_DEEPEST);
    SIZE(frame);
    MEMBER(frame, provenance.evidence);
    MEMBER(frame, provenance.carrier);
    MEMBER(frame, provenance.fd);
    MEMBER(frame, provenance.by);
    MEMBER(frame, provenance.since);
    NUMBER(EVIDENCE_START);
    MEMBER(context, parent);
    MEMBER(context, serial);
    MEMBER(context, references);
    MEMBER(context, marks);
    NUMBER(CONTEXT_CLOSED);
    MEMBER(context, text);
    MEMBER(context, long_text);
    MEMBER(context, root.word);
    MEMBER(context, root.number);
    MEMBER(context, root.renamed);
    MEMBER(context, links);
    BITS(context, kind);
    BITS(context, long_name);
    MEMBER(context_name, length);
    SIZE(context_name);
    NUMBER(CONTEXT_OPERATION);
    NUMBER(CONTEXT_ROOT);
    NUMBER(CONTEXT_AMBIGUOUS);
    print_words("evidences", evidences, sizeof evidences / sizeof *evidences);
    print_words("carriers", carriers, sizeof carriers / sizeof *carriers);
    puts("}");
    return 0;
}
