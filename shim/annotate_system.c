/* Logs that are no descriptor of the program's: syslog, and journald.
 *
 * syslog gets a prefix in its format, with each % doubled: libc does the rest as ever (%m, LOG_PERROR).
 *
 * journald gets fields, CTXSHIM_OPERATION and CTXSHIM_REQUEST. Not where a program calls sd_journal_send: if
 * we had a function of that name, a program that asks whether libsystemd is there would find it. But all of
 * its clients, libsystemd and others, send one datagram in the native protocol to a socket of a known name,
 * by sendmsg: there the fields go in front, and where the message becomes too long for a datagram it goes
 * without. */
#include "annotate.h"

#include "../ctxstore/kernel.h"

#include <string.h>
#include <sys/un.h>

/* --- syslog ------------------------------------------------------------------------------------------ */

/* In a format of ours libc would take %n for an attack: it lies in memory that can be written. */
static bool has_count(const char *format) {
    static const char between[] = "0123456789 -+#'*.$Ihlqjzt";
    while ((format = strchr(format, '%')) != NULL) {
        format++;
        format += strspn(format, between);
        if (*format == 'n')
            return true;
        format += *format != '\0';
    }
    return false;
}

const char *annotate_syslog_format(const char *format, bool fortified, char *room) {
    struct prefix prefix;
    const char *result = format;
    annotate_prefix(&prefix);
    size_t length = prefix.size > 0 ? strnlen(format, SYSLOG_FORMAT) : 0;
    if (prefix.size > 0 && 2 * prefix.size + length < SYSLOG_FORMAT && !(fortified && has_count(format))) {
        char *to = room;
        for (size_t i = 0; i < prefix.size; i++) {
            *to++ = prefix.text[i];
            if (prefix.text[i] == '%')
                *to++ = '%';
        }
        memcpy(to, format, length + 1);
        result = room;
    }
    annotate_prefix_end(&prefix);
    return result;
}

/* --- journald ---------------------------------------------------------------------------------------- */

/* "/run/systemd/journal/socket", and that of a namespace: "/run/systemd/journal.NAME/socket". */
static bool is_journal(const struct sockaddr_un *address, size_t size) {
    static const char folder[] = "/systemd/journal", name[] = "/socket";
    char path[sizeof address->sun_path + 1];
    size_t start = offsetof(struct sockaddr_un, sun_path);
    if (size <= start || size > sizeof *address || address->sun_family != AF_UNIX)
        return false;
    memcpy(path, address->sun_path, size - start);
    path[size - start] = '\0';
    size_t length = strlen(path);
    const char *at = path;
    while (*at != '\0' && strncmp(at, folder, sizeof folder - 1) != 0)
        at++;
    return *at != '\0' && length >= sizeof name - 1 && strcmp(path + length - (sizeof name - 1), name) == 0;
}

/* The prefix is "[", the text and "] ". Returns the new size. */
static size_t field_put(char *fields, size_t size, const char *key, const struct prefix *prefix) {
    size_t name = strlen(key), length = prefix->size > 3 ? prefix->size - 3 : 0;
    if (length == 0 || size + name + length + 1 > JOURNAL_FIELDS)
        return size;
    memcpy(fields + size, key, name);
    memcpy(fields + size + name, prefix->text + 1, length);
    fields[size + name + length] = '\n';
    return size + name + length + 1;
}

static size_t fields_make(char *fields) {
    struct prefix prefix;
    annotate_prefix(&prefix);
    size_t size = field_put(fields, 0, "CTXSHIM_OPERATION=", &prefix);
    annotate_prefix_end(&prefix);
    annotate_request(&prefix);
    size = field_put(fields, size, "CTXSHIM_REQUEST=", &prefix);
    annotate_prefix_end(&prefix);
    return size;
}

bool annotate_journal_message(const struct msghdr *message, struct journal_message *to) {
    struct sockaddr_un address = {0};
    if (!kernel_peek(&to->message, message, sizeof *message))
        return false;
    size_t count = to->message.msg_iovlen, size = to->message.msg_namelen;
    if (count == 0 || count >= JOURNAL_BUFFERS || size > sizeof address ||
        !kernel_peek(&address, to->message.msg_name, size) || !is_journal(&address, size) ||
        !kernel_peek(to->buffers + 1, to->message.msg_iov, count * sizeof *to->buffers))
        return false;
    to->added = fields_make(to->fields);
    to->buffers[0] = (struct iovec){to->fields, to->added};
    to->message.msg_iov = to->buffers;
    to->message.msg_iovlen = count + 1;
    return to->added > 0;
}
