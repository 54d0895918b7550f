/* Logs to syslog and journald, in the scope "100% done". Modes:
 *
 * - syslog: a line with LOG_PERROR, on stderr, too; one that is masked; one with %n, which must count;
 * - journal PATH: two fields to a socket of that name, where it listens itself, in a request and then in a
 * scope of it; prints what came, and the results;
 * - json: lines that are JSON and others, whole and in pieces; prints on stderr what the calls gave;
 * - wide: the same to a wide stream, buffered and not;
 * - names: says which of journald's functions a program finds. */
#include <ctxshim.h>
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>
#include <wchar.h>

static int log_lines(void) {
    int counted = 0;
    openlog("subject", LOG_PERROR, LOG_USER);
    errno = ENOENT;
    syslog(LOG_INFO, "value %d: %m", 7);
    setlogmask(LOG_UPTO(LOG_ERR));
    syslog(LOG_INFO, "masked");
    setlogmask(LOG_UPTO(LOG_DEBUG));
    syslog(LOG_INFO, "12345%n6", &counted);
    closelog();
    return counted >= 5 ? 0 : 1;
}

static int send_fields(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char came[4096];
    int journal = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (bind(journal, (struct sockaddr *)&address, sizeof address) != 0)
        return 1;
    struct iovec fields[] = {{"MESSAGE=hello\n", 14}, {"PRIORITY=6\n", 11}};
    struct msghdr message = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = fields, .msg_iovlen = 2};
    ctxshim_scope request = ctxshim_root("job"), step;
    for (int i = 0; i < 2; i++) {
        ssize_t sent = sendmsg(client, &message, MSG_NOSIGNAL);
        ssize_t size = recv(journal, came, sizeof came, 0);
        printf("%.*s%zd\n", (int)size, came, sent);
        if (i == 0)
            step = ctxshim_push("100% done");
    }
    ctxshim_pop(&step);
    ctxshim_pop(&request);
    return 0;
}

static long say(const char *text) {
    return write(STDOUT_FILENO, text, strlen(text));
}

static int json_lines(void) {
    CTXSHIM_SCOPE("GET \"x\"\\\xff \u00e9\n");
    printf("{\"level\":2}\n{ \"a\":3}\n");
    fflush(stdout);
    long mixed = say("{\"level\":1}\n{}\n"), piece = say("{\"two\":1,"),
         rest = say("\"three\":2}\n{\"four\":4}\n");
    long other = say("plain\n");
    fprintf(stderr, "%ld %ld %ld %ld\n", mixed, piece, rest, other);
    return 0;
}

static int wide_lines(void) {
    CTXSHIM_SCOPE("GET \"x\"\\\xff \u00e9 \U0001f600");
    fwprintf(stdout, L"{\"level\":%d}\n{}\n", 1);
    fwprintf(stdout, L"{\"level\":%d}\n{ \"a\":\"\u00e9\"}\n", 2);
    fputws(L"{\"two\":1,", stdout);
    fputws(L"\"three\":2}\n", stdout);
    fputws(L"plain\n", stdout);
    return fwprintf(stderr, L"{\"five\":%d}\n", 5) == 11 ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    setlocale(LC_ALL, "C.UTF-8");
    ctxshim_scope scope = ctxshim_push("100% done");
    int result = 2;
    if (strcmp(mode, "syslog") == 0)
        result = log_lines();
    else if (strcmp(mode, "journal") == 0 && argc > 2)
        result = send_fields(argv[2]);
    else if (strcmp(mode, "json") == 0)
        result = json_lines();
    else if (strcmp(mode, "wide") == 0)
        result = wide_lines();
    else if (strcmp(mode, "names") == 0)
        result =
            dlsym(RTLD_DEFAULT, "sd_journal_send") != NULL || dlsym(RTLD_DEFAULT, "sd_journal_print") != NULL;
    ctxshim_pop(&scope);
    return result;
}
