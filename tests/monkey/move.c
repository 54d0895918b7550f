/* Bytes that go from one descriptor to another, and positions in files. Nothing that could block: a pipe may
 * be ready and have no room for two pages. */
#include "ops.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

void move_bytes(void) {
    int way = (int)below(6);
    int from = pick_fd(way < 2 ? DATA : way == 3 ? PIPE_IN : PIPE_IN | STREAMS);
    int to = pick_fd(way < 3 ? STREAMS | PIPE_OUT : PIPE_OUT);
    off_t at = below(100);
    loff_t from_at = 0;
    struct iovec part = {fill_buffer(500), 1 + below(500)};
    if (!fd_never_blocks(from) || !fd_never_blocks(to) || !may_write(to))
        return;
    size_t size = 1 + below(1000);
    switch (way) {
    case 0:
        DO(sendfile, to, from, chance(50) ? &at : NULL, size);
        break;
    case 1:
        DO(sendfile64, to, from, NULL, size);
        break;
    case 3:
        DO(tee, from, to, size, SPLICE_F_NONBLOCK);
        break;
    case 4:
        DO(vmsplice, to, &part, 1, SPLICE_F_NONBLOCK);
        break;
    default:
        DO(splice, from, chance(5) ? &from_at : NULL, to, NULL, size, SPLICE_F_NONBLOCK);
    }
    has_written(to);
}

static void seek_stream(int fd) {
    int copy = dup(fd);
    FILE *stream = copy >= 0 ? fdopen(copy, "r+") : NULL;
    fpos_t place;
    fpos64_t place64;
    if (stream == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    DO(fseek, stream, 3, SEEK_SET);
    DO(fseeko, stream, 2, SEEK_CUR);
    DO(fseeko64, stream, 1, SEEK_END);
    DO_NOTHING(rewind, stream);
    if (fgetpos(stream, &place) == 0)
        DO(fsetpos, stream, &place);
    if (fgetpos64(stream, &place64) == 0)
        DO(fsetpos64, stream, &place64);
    DO(fclose, stream);
}

static void map_and_look(int fd) {
    char *shown = chance(50) ? DO_POINTER(mmap, NULL, 100, PROT_READ, MAP_SHARED, fd, 0)
                             : DO_POINTER(mmap64, NULL, 100, PROT_READ, MAP_PRIVATE, fd, 0);
    noted("mapped", shown != MAP_FAILED);
    if (shown != MAP_FAILED)
        munmap(shown, 100);
}

void seek_file(void) {
    struct slot *slot = slot_pick(DATA);
    int fd = slot_fd(slot);
    struct iovec part = {fill_buffer(50), 50};
    if (slot == NULL || slot->kind != DATA)
        return;
    switch (below(19)) {
    case 0:
        DO(lseek, fd, below(100), (int)ONE_OF(SEEK_SET, SEEK_END, SEEK_CUR, 99));
        break;
    case 1:
        DO(lseek64, fd, 0, SEEK_SET);
        break;
    case 2:
        DO(pwrite, fd, part.iov_base, 50, below(100));
        break;
    case 3:
        DO(pwrite64, fd, part.iov_base, 50, below(100));
        break;
    case 4:
        DO(pwritev, fd, &part, 1, below(100));
        break;
    case 5:
        DO(pwritev64, fd, &part, 1, below(100));
        break;
    case 6:
        DO(pwritev2, fd, &part, 1, below(100), 0);
        break;
    case 7:
        DO(pwritev64v2, fd, &part, 1, below(100), 0);
        break;
    case 8:
        DO(ftruncate, fd, below(2000));
        break;
    case 9:
        DO(ftruncate64, fd, below(2000));
        break;
    case 10:
        DO(fallocate, fd, 0, 0, 1 + below(100));
        break;
    case 11:
        DO(fallocate64, fd, 0, 0, 1 + below(100));
        break;
    case 12:
        DO(posix_fallocate, fd, 0, 1 + below(100));
        break;
    case 13:
        DO(posix_fallocate64, fd, 0, 1 + below(100));
        break;
    case 14:
    case 15:
        map_and_look(fd);
        break;
    default:
        seek_stream(fd);
    }
}
