/* What a thread publishes to profilers: see otel.h. */
#include "otel.h"

#include "../ctxstore/slab.h"
#include "identity.h"

#include <stddef.h>
#include <string.h>

static struct slab records = SLAB((sizeof(struct otel_record) + 7) / 8 * 8);

_Static_assert(offsetof(struct otel_record, key) == 28, "the layout is the OTEP's");

static void put_number(uint8_t *to, uint64_t number) {
    for (int i = 7; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* How long is the character that begins with this byte? 0: none does. */
static size_t character_length(unsigned char byte) {
    if (byte < 0x80)
        return 1;
    return byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
}

/* Names are what clients and programs say: what is no UTF-8 becomes a question mark, and the last character
 * is whole or not there. Returns the length. */
static size_t make_utf8(char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t size = character_length((unsigned char)text[at]), good = 1;
        while (good < size && at + good < length && ((unsigned char)text[at + good] & 0xc0) == 0x80)
            good++;
        if (good < size && at + good == length)
            return at;
        if (good != size)
            text[at] = '?';
        at += good == size ? size : 1;
    }
    return length;
}

static void fill(struct otel_record *record, const struct identity *identity, const struct context *context) {
    char text[OTEL_TEXT + 1];
    size_t length = context_format(context, text, sizeof text);
    length = make_utf8(text, length < OTEL_TEXT ? length : OTEL_TEXT);
    put_number(record->trace_id, identity->trace_high);
    put_number(record->trace_id + 8, identity->trace_low);
    put_number(record->span_id, identity->span);
    record->valid = 1;
    record->flags = (uint8_t)identity->flags;
    record->key = 0;
    record->length = (uint8_t)length;
    record->attributes_size = (uint16_t)(2 + length);
    memcpy(record->text, text, length);
}

/* A fork child that no hook has seen yet would make its parent's ids again. */
void otel_show(struct thread *thread) {
    struct identity identity;
    otel_attach(NULL);
    if (atomic_load_explicit(process_mine, memory_order_relaxed) == 0 ||
        !identity_of(thread->flow.current, &identity))
        return;
    if (thread->otel == NULL)
        thread->otel = slab_take(&records);
    if (thread->otel == NULL)
        return;
    fill(thread->otel, &identity, thread->flow.current);
    otel_attach(thread->otel);
}

void otel_thread_end(struct thread *thread) {
    otel_attach(NULL);
    if (thread->otel != NULL)
        slab_give(&records, thread->otel);
    thread->otel = NULL;
}
