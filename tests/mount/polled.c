/* polled FILE READY COUNT: reads a stream without waiting in read(2): polls, and writes what comes to standard
 * output until COUNT lines have come. READY is made once it has found nothing to read and polls. Fails when
 * poll says that there is something and read finds nothing, and after 20 s without anything. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 20000

static int fail(const char *what)
{
    fprintf(stderr, "polled: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    char room[65536];
    if (argc != 4)
        return 2;
    long count = strtol(argv[3], NULL, 10);
    int fd = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail(argv[1]);
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    if (poll(&wanted, 1, 0) != 0)
        return fail("something is there already");
    if (read(fd, room, sizeof(room)) != -1 || errno != EAGAIN)
        return fail("read does not say EAGAIN");
    int ready = open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (ready < 0)
        return fail(argv[2]);
    close(ready);
    while (count > 0) {
        if (poll(&wanted, 1, WAIT_MS) != 1 || wanted.revents != POLLIN)
            return fail("poll");
        ssize_t size = read(fd, room, sizeof(room));
        if (size <= 0 || fwrite(room, 1, (size_t)size, stdout) != (size_t)size)
            return fail("read");
        for (ssize_t i = 0; i < size; i++)
            count -= room[i] == '\n';
    }
    return 0;
}
