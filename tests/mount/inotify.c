/* inotify OUT READY PATH..: watches every PATH, makes READY, and appends a line for each event to OUT until
 * it is killed: the path as it was given (and "/name" of what happened in it), then what happened, in
 * words. Reading and closing what was read is not shown. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define PATHS_MAX 64

static const struct {
    unsigned bit;
    const char *word;
} words[] = {
    {IN_CREATE, "create"},          {IN_OPEN, "open"},
    {IN_MODIFY, "modify"},          {IN_CLOSE_WRITE, "close_write"},
    {IN_ATTRIB, "attrib"},          {IN_MOVED_FROM, "moved_from"},
    {IN_MOVED_TO, "moved_to"},      {IN_DELETE, "delete"},
    {IN_DELETE_SELF, "delete_self"}, {IN_MOVE_SELF, "move_self"},
    {IN_Q_OVERFLOW, "overflow"},
};

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0)
        close(fd);
}

static void show(FILE *out, const char *path, const struct inotify_event *event)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (event->mask & words[i].bit)
            fprintf(out, "%s%s%s %s%s\n", path, event->len ? "/" : "", event->len ? event->name : "",
                    words[i].word, event->mask & IN_ISDIR ? " dir" : "");
    fflush(out);
}

int main(int argc, char **argv)
{
    int watches[PATHS_MAX] = {0};
    char room[65536] __attribute__((aligned(__alignof__(struct inotify_event))));
    int fd = inotify_init1(IN_CLOEXEC);
    FILE *out = argc > 3 ? fopen(argv[1], "a") : NULL;
    if (fd < 0 || !out || argc - 3 > PATHS_MAX)
        return 2;
    for (int i = 3; i < argc; i++) {
        watches[i - 3] = inotify_add_watch(fd, argv[i], IN_ALL_EVENTS & ~(IN_ACCESS | IN_CLOSE_NOWRITE));
        if (watches[i - 3] < 0) {
            fprintf(stderr, "inotify: %s: %s\n", argv[i], strerror(errno));
            return 2;
        }
    }
    make_file(argv[2]);
    for (ssize_t size; (size = read(fd, room, sizeof(room))) > 0;) {
        for (char *at = room; at < room + size;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            at += sizeof(*event) + event->len;
            for (int i = 3; i < argc; i++)
                if (watches[i - 3] == event->wd || event->wd < 0)
                    show(out, argv[i], event);
        }
    }
    return 1;
}
