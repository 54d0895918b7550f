/* The protocols that the load client speaks. In each, the marker lies beyond the first 64 bytes of a request,
 * and comes back in its answer. */
#include "load.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *load_path = "/";

/* An answer that is known beforehand. Another one may be shorter: waiting for more would not end. */
static bool expect(struct connection *connection, const char *wanted) {
    const size_t length = strlen(wanted);
    do {
        if (!receive_more(connection))
            return false;
        if (strncmp(connection->bytes, wanted, connection->held < length ? connection->held : length) != 0)
            return complain("not the answer expected", connection->bytes);
    } while (connection->held < length);
    return take_answer(connection, length);
}

/* ---- http: a header has the marker. file: the path has it, and so has the file. ---- */

static int http_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size,
                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Padding: " PADDING "\r\nX-Marker: %s\r\n\r\n",
                    load_path, marker);
}

static int file_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size,
                    "GET /" PADDING "/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n",
                    marker);
}

/* With the marker in its body, once. */
static bool http_answer(struct connection *connection, const char *marker) {
    const size_t head = receive_until(connection, "\r\n\r\n");
    if (head == 0)
        return false;
    if (strncmp(connection->bytes, "HTTP/1.1 200 ", 13) != 0)
        return complain("not an answer with status 200", connection->bytes);
    const char *const field = strcasestr(connection->bytes, "\r\nContent-Length:");
    if (field == NULL || field >= connection->bytes + head)
        return complain("an answer without Content-Length", connection->bytes);
    const size_t length = head + strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
    if (!receive_at_least(connection, length))
        return false;
    const char *const echo = strstr(connection->bytes + head, "CTXM-");
    if (echo == NULL || strncmp(echo, marker, strlen(marker)) != 0 || strstr(echo + 1, "CTXM-") != NULL)
        return complain("an answer to another request", connection->bytes);
    return take_answer(connection, length);
}

/* ---- memcached: a meta get; its opaque (O) comes back. By datagrams, each with a frame header. ---- */

#define KEY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define VALUE "a value"
#define STORE "set " KEY " 0 0 7\r\n" VALUE "\r\n"
_Static_assert(sizeof VALUE - 1 == 7, "the length of the value is in the request");

static bool memcached_prepare(struct connection *connection) {
    return send_all(connection, STORE, sizeof STORE - 1) && expect(connection, "STORED\r\n");
}

static int memcached_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size, "mg " KEY " v O%s\r\n", marker);
}

static bool memcached_answer(struct connection *connection, const char *marker) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "VA %zu O%s\r\n" VALUE "\r\n", sizeof VALUE - 1, marker);
    return expect(connection, wanted);
}

/* Request 0; datagram 0 of 1; nothing. One request at a time, so its number says nothing. */
static const char frame[8] = {0, 0, 0, 0, 0, 1, 0, 0};

static bool datagram_answer(struct connection *connection, const char *wanted) {
    const size_t length = sizeof frame + strlen(wanted);
    if (!receive_at_least(connection, length))
        return false;
    if (memcmp(connection->bytes, frame, sizeof frame) != 0 ||
        memcmp(connection->bytes + sizeof frame, wanted, strlen(wanted)) != 0)
        return complain("not the datagram expected", connection->bytes + sizeof frame);
    return take_answer(connection, length);
}

static bool memcached_udp_prepare(struct connection *connection) {
    char request[sizeof frame + sizeof STORE];
    memcpy(request, frame, sizeof frame);
    memcpy(request + sizeof frame, STORE, sizeof STORE);
    return send_all(connection, request, sizeof request - 1) && datagram_answer(connection, "STORED\r\n");
}

static int memcached_udp_request(char *buffer, size_t size, const char *marker) {
    if (size < sizeof frame)
        return -1;
    memcpy(buffer, frame, sizeof frame);
    const int length = memcached_request(buffer + sizeof frame, size - sizeof frame, marker);
    return length < 0 ? length : (int)sizeof frame + length;
}

static bool memcached_udp_answer(struct connection *connection, const char *marker) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "VA %zu O%s\r\n" VALUE "\r\n", sizeof VALUE - 1, marker);
    return datagram_answer(connection, wanted);
}

/* ---- redis: a script stores the marker, logs it and answers with it ---- */

#define SCRIPT                                                                                               \
    "redis.call('SET', KEYS[1], ARGV[1]) redis.log(redis.LOG_WARNING, 'stored ' .. ARGV[1]) return ARGV[1]"

static int redis_request(char *buffer, size_t size, const char *marker) {
    return snprintf(buffer, size,
                    "*5\r\n$4\r\nEVAL\r\n$%zu\r\n" SCRIPT "\r\n$1\r\n1\r\n$%zu\r\n" KEY "\r\n$%zu\r\n%s\r\n",
                    sizeof SCRIPT - 1, sizeof KEY - 1, strlen(marker), marker);
}

static bool redis_answer(struct connection *connection, const char *marker) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "$%zu\r\n%s\r\n", strlen(marker), marker);
    return expect(connection, wanted);
}

/* ---- postgres: the simple query protocol, version 3, where nobody is asked for a password ---- */

static uint32_t big_endian(const char *bytes) {
    const unsigned char *const byte = (const unsigned char *)bytes;
    return (uint32_t)byte[0] << 24 | (uint32_t)byte[1] << 16 | (uint32_t)byte[2] << 8 | byte[3];
}

static void put_big_endian(char *bytes, uint32_t number) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(number >> (24 - 8 * i));
}

/* The next message: its type; its body and that one's length behind *at, which moves on. 0 on failure. */
static char next_message(struct connection *connection, size_t *at, const char **body, size_t *length) {
    if (!receive_at_least(connection, *at + 5))
        return 0;
    const char type = connection->bytes[*at];
    const size_t whole = 1 + big_endian(connection->bytes + *at + 1);
    if (whole < 5 || whole > BUFFER || !receive_at_least(connection, *at + whole))
        return 0;
    *body = connection->bytes + *at + 5;
    *length = whole - 5;
    *at += whole;
    if (type == 'E') {
        complain("the server says", *body);
        return 0;
    }
    return type;
}

static bool postgres_greet(struct connection *connection) {
    static const char words[] =
        "user\0ctxshim\0database\0postgres\0"; /* and one more 0 that the compiler adds */
    char request[8 + sizeof words];
    put_big_endian(request, sizeof request);
    put_big_endian(request + 4, 3 << 16);
    memcpy(request + 8, words, sizeof words);
    if (!send_all(connection, request, sizeof request))
        return false;
    size_t at = 0;
    const char *body;
    size_t length;
    char type;
    do {
        type = next_message(connection, &at, &body, &length);
        if (type == 'R' && big_endian(body) != 0)
            return complain("the server asks for a password", "");
    } while (type != 0 && type != 'Z');
    return type == 'Z' && take_answer(connection, at);
}

static int postgres_request(char *buffer, size_t size, const char *marker) {
    const int length = snprintf(buffer, size, "Q....SELECT /* " PADDING " */ '%s'", marker);
    if (length > 0 && (size_t)length < size)
        put_big_endian(buffer + 1, (uint32_t)length);
    return length + 1; /* the text's end is part of the message */
}

/* One row of one column. */
static bool postgres_answer(struct connection *connection, const char *marker) {
    const size_t wanted = strlen(marker);
    size_t at = 0;
    int rows = 0;
    const char *body;
    size_t length;
    char type;
    do {
        type = next_message(connection, &at, &body, &length);
        if (type != 'D')
            continue;
        rows++;
        if (length != 6 + wanted || memcmp(body + 6, marker, wanted) != 0)
            return complain("an answer to another request", body + 6);
    } while (type != 0 && type != 'Z');
    if (type == 'Z' && rows != 1)
        return complain("not one row", connection->bytes);
    return type == 'Z' && take_answer(connection, at);
}

/* ---- dns: a question for the address of <63 bytes>.<marker>.test; the question comes back in the answer
 * ---- */

static const char dns_head[12] = {0, 0, 1, 0, 0, 1,
                                  0, 0, 0, 0, 0, 0}; /* number 0; recursion desired; one question */
static const char dns_tail[10] = {4, 't', 'e', 's', 't', 0, 0, 1, 0, 1}; /* the root; type A, class IN */

/* Room for 128 bytes is enough. Returns the length. */
static int dns_question(char *buffer, const char *marker) {
    char *at = buffer;
    *at++ = 63;
    memset(at, 'p', 63);
    at += 63;
    *at++ = (char)strlen(marker);
    memcpy(at, marker, strlen(marker));
    at += strlen(marker);
    memcpy(at, dns_tail, sizeof dns_tail);
    return (int)(at + sizeof dns_tail - buffer);
}

static int dns_request(char *buffer, size_t size, const char *marker) {
    if (size < 512)
        return -1;
    memcpy(buffer, dns_head, sizeof dns_head);
    return (int)sizeof dns_head + dns_question(buffer + sizeof dns_head, marker);
}

static bool dns_answer(struct connection *connection, const char *marker) {
    char question[128];
    const size_t length = (size_t)dns_question(question, marker);
    if (!receive_at_least(connection, sizeof dns_head + length))
        return false;
    const unsigned char *const head = (const unsigned char *)connection->bytes;
    if ((head[2] & 0x80) == 0 || (head[3] & 0x0f) != 0 || head[7] == 0)
        return complain("not an answer with an address", connection->bytes + sizeof dns_head);
    if (memcmp(connection->bytes + sizeof dns_head, question, length) != 0)
        return complain("an answer to another question", connection->bytes + sizeof dns_head);
    return take_answer(connection, connection->held);
}

static const struct protocol protocols[] = {
    {"http", false, NULL, NULL, http_request, http_answer},
    {"file", false, NULL, NULL, file_request, http_answer},
    {"memcached", false, memcached_prepare, NULL, memcached_request, memcached_answer},
    {"memcached-udp", true, memcached_udp_prepare, NULL, memcached_udp_request, memcached_udp_answer},
    {"redis", false, NULL, NULL, redis_request, redis_answer},
    {"postgres", false, NULL, postgres_greet, postgres_request, postgres_answer},
    {"dns", true, NULL, NULL, dns_request, dns_answer}};

const struct protocol *protocol_named(const char *name) {
    for (size_t i = 0; name != NULL && i < sizeof protocols / sizeof protocols[0]; i++) {
        if (strcmp(name, protocols[i].name) == 0)
            return &protocols[i];
    }
    return NULL;
}
