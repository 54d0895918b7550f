/* The process context (OTEP 4719): a mapping of a known name, with a header and, behind it, what to know of
 * the process, in protobuf. Here that is whose threads' records these are (otel.h), and what their attributes
 * are called. No service.name: its reader knows better, and believes us rather than OTEL_SERVICE_NAME.
 *
 * It is not inherited by fork (MADV_DONTFORK); a fork child publishes its own. */
#include "otel.h"

#include "../ctxstore/kernel.h"
#include "options.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#ifndef PR_SET_VMA
#    define PR_SET_VMA 0x53564d41
#    define PR_SET_VMA_ANON_NAME 0
#endif

#ifndef MFD_NOEXEC_SEAL
#    define MFD_NOEXEC_SEAL 8U
#endif

enum { PAGE = 4096, FORMAT_VERSION = 2 };

struct header {
    char signature[8];
    uint32_t version, size;        /* of the payload, bytes */
    _Atomic uint64_t published_at; /* nanoseconds of CLOCK_BOOTTIME; written last, 0 until then */
    const uint8_t *payload;
};

/* --- protobuf ------------------------------------------------------------------------------------------
 */

/* A message that is put together; what finds no room is left out, which cannot be: all of it is ours. */
enum { MESSAGE_ROOM = 1024 };
struct message {
    uint8_t bytes[MESSAGE_ROOM];
    size_t size;
};

enum field {
    CONTEXT_RESOURCE = 1, /* ProcessContext */
    CONTEXT_ATTRIBUTES = 2,
    RESOURCE_ATTRIBUTES = 1,
    PAIR_KEY = 1, /* KeyValue */
    PAIR_VALUE = 2,
    VALUE_STRING = 1, /* AnyValue */
    VALUE_INTEGER = 3,
    VALUE_ARRAY = 5,
    ARRAY_VALUES = 1,
};
enum { WIRE_NUMBER = 0, WIRE_BYTES = 2 };

static void put_byte(struct message *to, unsigned byte) {
    if (to->size < MESSAGE_ROOM)
        to->bytes[to->size++] = (uint8_t)byte;
}

static void put_tag(struct message *to, enum field field, unsigned wire) {
    put_byte(to, (unsigned)field << 3 | wire);
}

static void put_number(struct message *to, uint64_t number) {
    for (; number >= 0x80; number >>= 7)
        put_byte(to, 0x80 | (number & 0x7f));
    put_byte(to, (unsigned)number);
}

static void put_bytes(struct message *to, enum field field, const void *bytes, size_t size) {
    put_tag(to, field, WIRE_BYTES);
    put_number(to, size);
    for (size_t i = 0; i < size; i++)
        put_byte(to, ((const uint8_t *)bytes)[i]);
}

static void put_message(struct message *to, enum field field, const struct message *inner) {
    put_bytes(to, field, inner->bytes, inner->size);
}

static void put_pair(struct message *to, enum field field, const char *key, const struct message *value) {
    struct message pair = {.size = 0};
    put_bytes(&pair, PAIR_KEY, key, strlen(key));
    put_message(&pair, PAIR_VALUE, value);
    put_message(to, field, &pair);
}

static struct message string_value(const char *text) {
    struct message value = {.size = 0};
    put_bytes(&value, VALUE_STRING, text, strlen(text));
    return value;
}

static struct message integer_value(uint64_t number) {
    struct message value = {.size = 0};
    put_tag(&value, VALUE_INTEGER, WIRE_NUMBER);
    put_number(&value, number);
    return value;
}

static struct message names_value(void) {
    struct message value = {.size = 0}, array = {.size = 0}, name = string_value(OTEL_ATTRIBUTE);
    put_message(&array, ARRAY_VALUES, &name);
    put_message(&value, VALUE_ARRAY, &array);
    return value;
}

static struct message payload_make(void) {
    struct message payload = {.size = 0}, resource = {.size = 0};
    struct message pid = integer_value((uint64_t)process_pid());
    struct message schema = string_value("tlsdesc_v1_dev"), names = names_value();
    put_pair(&resource, RESOURCE_ATTRIBUTES, "process.pid", &pid);
    put_message(&payload, CONTEXT_RESOURCE, &resource);
    put_pair(&payload, CONTEXT_ATTRIBUTES, "threadlocal.schema_version", &schema);
    put_pair(&payload, CONTEXT_ATTRIBUTES, "threadlocal.attribute_key_map", &names);
    return payload;
}

/* --- the mapping ---------------------------------------------------------------------------------------
 */

static bool is_error(long result) {
    return result < 0 && result > -4096;
}

static long file_make(unsigned flags) {
    return kernel_call(SYS_memfd_create, (long)"OTEL_CTX", flags, 0, 0, 0, 0);
}

/* A page of a memfd, so that it has a name where the kernel gives none to anonymous memory; or of that. */
static void *page_map(void) {
    long fd = kernel_file_allowed(PAGE) ? file_make(MFD_CLOEXEC | MFD_NOEXEC_SEAL) : -EFBIG, page = -ENOMEM;
    if (fd == -EINVAL) /* before Linux 6.3 */
        fd = file_make(MFD_CLOEXEC);
    if (fd >= 0 && kernel_call(SYS_ftruncate, fd, PAGE, 0, 0, 0, 0) == 0)
        page = kernel_call(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        kernel_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return is_error(page) ? kernel_map(PAGE) : (void *)page;
}

static uint64_t boottime(void) {
    struct timespec now = {0};
    kernel_call(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now, 0, 0, 0, 0);
    uint64_t time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return time != 0 ? time : 1;
}

void otel_publish(void) {
    if (!options.otel)
        return;
    struct message payload = payload_make();
    struct header *made = page_map();
    if (made == NULL)
        return;
    if (kernel_call(SYS_madvise, (long)made, PAGE, MADV_DONTFORK, 0, 0, 0) != 0) {
        kernel_unmap(made, PAGE);
        return;
    }
    memcpy(made + 1, payload.bytes, payload.size);
    made->version = FORMAT_VERSION;
    made->size = (uint32_t)payload.size;
    made->payload = (const uint8_t *)(made + 1);
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(made->signature, "OTEL_CTX", sizeof made->signature);
    atomic_store_explicit(&made->published_at, boottime(), memory_order_seq_cst);
    kernel_call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (long)made, PAGE, (long)"OTEL_CTX", 0);
}
