/* H9: a library that wants much static thread-local storage, opened at run time. */
int tls_touch(void);

static _Thread_local char room[1024];

int tls_touch(void) {
    room[1023] = 7;
    return room[1023] + room[0];
}
