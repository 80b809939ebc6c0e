/* The subject of the rig's own test: does what its arguments say, then dies by SIGKILL.
 *
 *     create F  write F OFFSET SIZE CHAR  dwrite (the same, synchronous)  append F SIZE CHAR
 *     sync F  truncate F SIZE  stdio F TEXT  rename F G  exchange F G
 *     unlink F  mkdir F  link F G  symlink TARGET F  threads F COUNT (each writes its page, and syncs
 *     it when its number is even)
 *
 * A step that fails prints its errno's name as "STEP: text" on stdout and goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char **next;

static const char *word(void)
{
    if (!*next) {
        fputs("writer: a step lacks its words\n", stderr);
        exit(2);
    }
    return *next++;
}

static long number(void) { return strtol(word(), NULL, 0); }

static int write_at(const char *path, long offset, size_t size, int fill, int flags)
{
    char *data = malloc(size + 1);
    memset(data, fill, size);
    struct iovec part = {data, size};
    int file = open(path, offset < 0 ? O_WRONLY | O_APPEND : O_WRONLY);
    ssize_t written = offset < 0 ? write(file, data, size) : pwritev2(file, &part, 1, offset, flags);
    int error = errno;
    free(data);
    close(file);
    errno = error;
    return written == (ssize_t)size ? 0 : -1;
}

static int sync_path(const char *path)
{
    int file = open(path, O_RDONLY);
    int status = fsync(file), error = errno;
    close(file);
    errno = error;
    return status;
}

static int stdio(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");
    return stream && fputs(text, stream) >= 0 && fflush(stream) == 0 &&
                   fsync(fileno(stream)) == 0 && fclose(stream) == 0
               ? 0
               : -1;
}

struct worker {
    pthread_t thread;
    const char *path;
    long number;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (int i = 0; i < 20; i++)
        write_at(worker->path, worker->number * 4096, 4096, 'a' + i, 0);
    if (worker->number % 2 == 0)
        write_at(worker->path, worker->number * 4096, 4096, 'Z', RWF_DSYNC);
    return NULL;
}

static int threads(const char *path, long count)
{
    struct worker workers[64];
    for (long i = 0; i < count; i++) {
        workers[i] = (struct worker){.path = path, .number = i};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (long i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    return 0;
}

static int step(const char *name)
{
    const char *path = word();
    if (!strcmp(name, "create")) {
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
        return file < 0 ? -1 : close(file);
    }
    if (!strcmp(name, "write") || !strcmp(name, "dwrite")) {
        long offset = number(), size = number();
        return write_at(path, offset, (size_t)size, *word(), *name == 'd' ? RWF_DSYNC : 0);
    }
    if (!strcmp(name, "append")) {
        long size = number();
        return write_at(path, -1, (size_t)size, *word(), 0);
    }
    if (!strcmp(name, "truncate"))
        return truncate(path, number());
    if (!strcmp(name, "sync"))
        return sync_path(path);
    if (!strcmp(name, "stdio"))
        return stdio(path, word());
    if (!strcmp(name, "rename"))
        return rename(path, word());
    if (!strcmp(name, "exchange"))
        return renameat2(AT_FDCWD, path, AT_FDCWD, word(), RENAME_EXCHANGE);
    if (!strcmp(name, "link"))
        return link(path, word());
    if (!strcmp(name, "symlink"))
        return symlink(path, word());
    if (!strcmp(name, "unlink"))
        return unlink(path);
    if (!strcmp(name, "mkdir"))
        return mkdir(path, 0750);
    if (!strcmp(name, "threads"))
        return threads(path, number());
    fprintf(stderr, "writer: no step \"%s\"\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    next = argv + (argc > 0);
    while (*next) {
        const char *name = word();
        if (step(name)) {
            printf("%s: %s\n", name, strerror(errno));
            fflush(stdout);
        }
    }
    raise(SIGKILL);
    return 1;
}
