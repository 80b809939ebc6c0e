/* Readers and a writer of one file, for tests of torn reads.
 *
 *     torn write FILE SECONDS rewrite|rename   alternates two contents of 200 KiB
 *     torn read FILE SECONDS                   the file is always one of the two, whole
 *     torn line FILE SECONDS                   the file is never empty, and ends with a newline
 *     torn among FILE SECONDS STOP CONTENT..   the file is always one of these (each argument without its
 *                                              last character), until the file STOP exists
 *
 * "among" says "reading" once it has read the file. A reader prints "read N times", and "mapped N times,
 * N refused"; or what it saw, with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SIZE (200 * 1024)

static char content[4 * SIZE];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool save(const char *path, int letter)
{
    static char data[SIZE];
    memset(data, letter, sizeof(data));
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0)
        return false;
    for (size_t written = 0; written < sizeof(data);) {
        size_t part = sizeof(data) - written < 30000 ? sizeof(data) - written : 30000;
        ssize_t size = write(file, data + written, part);
        if (size <= 0)
            return false;
        written += (size_t)size;
    }
    return close(file) == 0;
}

static int write_until(const char *path, double end, const char *way)
{
    char other[4096];
    snprintf(other, sizeof(other), "%s.new", path);
    for (unsigned i = 0; now() < end; i++) {
        bool renames = !strcmp(way, "rename");
        if (!save(renames ? other : path, i % 2 ? 'A' : 'B') || (renames && rename(other, path))) {
            perror(path);
            return 1;
        }
    }
    return 0;
}

/* The whole file into content; its size, or -1: not there (yet). */
static ssize_t read_whole(const char *path)
{
    size_t size = 0;
    int file = open(path, O_RDONLY);
    if (file < 0 && errno == ENOENT)
        return -1;
    if (file < 0) {
        printf("open: %s\n", strerror(errno));
        exit(1);
    }
    for (ssize_t part = 1; part;) {
        /* In pieces, so that a replacement may come between two of them. */
        size_t want = sizeof(content) - size < 10000 ? sizeof(content) - size : 10000;
        part = read(file, content + size, want);
        if (part < 0) {
            printf("read at %zu: %s\n", size, strerror(errno));
            exit(1);
        }
        size += (size_t)part;
    }
    struct stat stat;
    if (fstat(file, &stat) || (size_t)stat.st_size != size) {
        printf("fstat says %lld bytes, %zu were read\n", (long long)stat.st_size, size);
        exit(1);
    }
    close(file);
    return (ssize_t)size;
}

static void check_one_of_two(const char *data, size_t size)
{
    if (size == SIZE && (data[0] == 'A' || data[0] == 'B') && !memcmp(data, data + 1, size - 1))
        return;
    size_t changes = 0;
    for (size_t i = 1; i < size; i++)
        changes += data[i] != data[i - 1];
    printf("%zu bytes, %zu changes of letter\n", size, changes);
    exit(1);
}

static sigjmp_buf refused;
static unsigned mappings, refusals;

static void on_bus_error(int number)
{
    (void)number;
    siglongjmp(refused, 1);
}

/* A private mapping is a reader too. Pages that would mix two revisions are refused by EIO, which a
 * mapping shows as SIGBUS (mappings share the node's page cache): never a mixture. */
static void check_mapping(const char *path)
{
    static char copy[SIZE];
    signal(SIGBUS, on_bus_error);
    int file = open(path, O_RDONLY);
    char *data = file < 0 ? MAP_FAILED : mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        printf("mapping: %s\n", strerror(errno));
        exit(1);
    }
    if (sigsetjmp(refused, 1) == 0) {
        memcpy(copy, data, SIZE);
        check_one_of_two(copy, SIZE);
        mappings++;
    } else {
        refusals++;
    }
    munmap(data, SIZE);
    close(file);
}

static int read_until(const char *path, double end, bool two)
{
    unsigned times = 0;
    while (now() < end) {
        ssize_t size = read_whole(path);
        if (size < 0)
            continue;
        times++;
        if (two)
            check_one_of_two(content, (size_t)size);
        else if (size < 2 || content[size - 1] != '\n') {
            printf("%zd bytes\n", size);
            return 1;
        }
        if (two && times % 16 == 0)
            check_mapping(path);
    }
    printf("read %u times\n", times);
    if (two)
        printf("mapped %u times, %u refused\n", mappings, refusals);
    return times ? 0 : 1;
}

static bool is_among(size_t size, char **contents)
{
    for (; *contents; contents++)
        if (strlen(*contents) == size + 1 && !memcmp(*contents, content, size))
            return true;
    return false;
}

static int among(const char *path, double end, char **rest)
{
    unsigned times = 0;
    while (now() < end) {
        bool last = access(rest[0], F_OK) == 0;
        ssize_t size = read_whole(path);
        times++;
        if (size < 0 || !is_among((size_t)size, rest + 1)) {
            printf("%zd bytes: %.*s\n", size, size > 0 ? (int)size : 0, content);
            return 1;
        }
        if (times == 1) {
            printf("reading\n");
            fflush(stdout);
        }
        if (last)
            break;
        usleep(500);
    }
    printf("read %u times\n", times);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    double end = now() + atof(argv[3]);
    if (!strcmp(argv[1], "write") && argc == 5)
        return write_until(argv[2], end, argv[4]);
    if (!strcmp(argv[1], "read"))
        return read_until(argv[2], end, true);
    if (!strcmp(argv[1], "line"))
        return read_until(argv[2], end, false);
    if (!strcmp(argv[1], "among") && argc > 5)
        return among(argv[2], end, argv + 4);
    return 2;
}
