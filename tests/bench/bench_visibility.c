/* From a save on one host to inotify on another.
 *
 * usage: bench_visibility DIR-A DIR-B COUNT [NAME]
 *
 * Two mounts of the same tree. A file is saved under A, again and again; what counts is from before the
 * close that saves it to the event that says so under B, and what that close itself took. The content is
 * looked at under B after each event.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PATIENCE_MS 30000
#define FILES 8                         /* saved in turn, so that none is of the last event's time */

struct watch {
    int fd;
    char folder[512];
};

static void save(const char *path, const char *text, int64_t *ret_closing_ns, int64_t *ret_closed_ns)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        bench_die("cannot write %s", path);
    *ret_closing_ns = bench_now_ns();
    if (close(fd) != 0)
        bench_die("cannot save %s", path);
    *ret_closed_ns = bench_now_ns();
}

/* When the next event of that name was there. */
static int64_t wait_for(const struct watch *watch, const char *name)
{
    char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    for (;;) {
        struct pollfd poll_fd = {.fd = watch->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, PATIENCE_MS) != 1) {
            errno = ETIMEDOUT;
            bench_die("nothing is heard of %s/%s", watch->folder, name);
        }
        int64_t now = bench_now_ns();
        ssize_t size = read(watch->fd, room, sizeof(room));
        for (char *at = room; size > 0 && at < room + size;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            if (event->len && !strcmp(event->name, name))
                return now;
            at += sizeof(*event) + event->len;
        }
    }
}

static void expect(const char *path, const char *text)
{
    char found[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, found, sizeof(found) - 1);
    if (size < 0 || strcmp(found, text) != 0)
        bench_die("%s has \"%s\" and not \"%s\"", path, found, text);
    close(fd);
}

static void drain(const struct watch *watch)
{
    char room[4096];
    struct pollfd poll_fd = {.fd = watch->fd, .events = POLLIN};
    while (poll(&poll_fd, 1, 5) == 1 && read(watch->fd, room, sizeof(room)) > 0)
        ;
}

static void run(const char *from, const char *to, long count, struct samples *ret_seen,
                struct samples *ret_saves)
{
    struct watch watch = {.fd = inotify_init1(IN_CLOEXEC)};
    char path[600], seen_path[600], name[32], text[32];
    snprintf(path, sizeof(path), "%s/visibility", from);
    mkdir(path, 0755);
    snprintf(watch.folder, sizeof(watch.folder), "%s/visibility", to);
    for (int i = 0; i < FILES; i++) {
        int64_t closing, closed;
        snprintf(path, sizeof(path), "%s/visibility/file-%d", from, i);
        save(path, "first", &closing, &closed);
    }
    if (watch.fd < 0 || inotify_add_watch(watch.fd, watch.folder, IN_CLOSE_WRITE) < 0)
        bench_die("cannot watch %s", watch.folder);
    for (long i = 0; i < count; i++) {
        int64_t closing, closed;
        snprintf(name, sizeof(name), "file-%ld", i % FILES);
        snprintf(path, sizeof(path), "%s/visibility/%s", from, name);
        snprintf(seen_path, sizeof(seen_path), "%s/%s", watch.folder, name);
        snprintf(text, sizeof(text), "save %ld", i);
        drain(&watch);
        save(path, text, &closing, &closed);
        samples_add(ret_seen, wait_for(&watch, name) - closing);
        samples_add(ret_saves, closed - closing);
        expect(seen_path, text);
    }
    close(watch.fd);
}

int main(int argc, char **argv)
{
    struct samples seen = {0}, saves = {0};
    long count = argc > 3 ? atol(argv[3]) : 0;
    if (count < 1) {
        fprintf(stderr, "usage: %s DIR-A DIR-B COUNT [NAME]\n", argv[0]);
        return 2;
    }
    run(argv[1], argv[2], count, &seen, &saves);
    double p99 = samples_at(&seen, 0.99) / 1000, limit = samples_at(&saves, 0.99) / 1000 + 3;
    printf("%-16s p50 %8.2f ms  p99 %8.2f ms | the close that saves p50 %.2f ms, p99 %.2f ms\n",
           argc > 4 ? argv[4] : "visibility", samples_at(&seen, 0.5) / 1000, p99,
           samples_at(&saves, 0.5) / 1000, samples_at(&saves, 0.99) / 1000);
    if (p99 <= limit)
        printf("  goal: visibility p99 at most that of a put + 3 ms = %.2f ms: met (%.2f)\n", limit, p99);
    else
        printf("  goal: visibility p99 at most that of a put + 3 ms = %.2f ms: missed by a factor of "
               "%.2f (%.2f)\n", limit, p99 / limit, p99);
    samples_release(&seen);
    samples_release(&saves);
    return 0;
}
