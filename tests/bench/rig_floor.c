/* The floor's process: what three LevelDBs, and the disk, take for the same work. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "tests/bench/floor_leveldb.h"
#include "tests/bench/rig_internal.h"

#define KEYS 10000
#define FLUSH_SIZE 512                          /* a record of the log with a put of 256 bytes */
#define FLUSH_FILE_SIZE (4 * 1024 * 1024)

struct floors {
    const struct rig_process *options;
    struct floor *stores[RIG_VOTERS];
    int files[2];
    struct rand rand;
    uint64_t revision;
    uint8_t value[RIG_VALUE_MAX];
};

/* ---- LevelDB ---- */

static void run_puts(struct floors *floors, const struct rig_command *command)
{
    for (long i = 0; i < command->count; i++) {
        char key[64];
        snprintf(key, sizeof(key), "/bench/%08" PRIu64, rand_below(&floors->rand, KEYS));
        floors->revision++;
        for (size_t s = 0; s < RIG_VOTERS; s++)
            floor_put(floors->stores[s], key, floors->revision, floors->value,
                      command->puts.value_size, command->batch);
    }
}

/* ---- the disk ---- */

struct flusher {
    int file;
    long count;
    struct rig_put *times;
};

static void *flush_often(void *context)
{
    struct flusher *flusher = context;
    uint8_t bytes[FLUSH_SIZE];
    memset(bytes, 1, sizeof(bytes));
    for (long i = 0; i < flusher->count; i++) {
        const struct iovec vector = {bytes, sizeof(bytes)};
        off_t at = (off_t)((size_t)i * FLUSH_SIZE % FLUSH_FILE_SIZE);
        flusher->times[i].sent_ns = bench_now_ns();
        if (pwritev2(flusher->file, &vector, 1, at, RWF_DSYNC) != (ssize_t)sizeof(bytes))
            bench_die("the floor cannot flush");
        flusher->times[i].answered_ns = bench_now_ns();
    }
    return NULL;
}

static void run_flushes(struct floors *floors, long count)
{
    struct rig_put *times = floors->options->shared->puts;
    struct flusher other = {floors->files[1], count, times + count};
    struct flusher own = {floors->files[0], count, times};
    pthread_t thread;
    if (pthread_create(&thread, NULL, flush_often, &other) != 0)
        bench_die("the floor has no thread");
    flush_often(&own);
    pthread_join(thread, NULL);
    atomic_store(&floors->options->shared->put_count, (size_t)(2 * count));
}

/* Zeroed, as the log's segments are: a flush then writes no metadata of the filesystem. */
static int open_zeroed(const char *folder, int number)
{
    static const uint8_t zeros[64 * 1024];
    char *path = mem_xformat("%s/flush-%d", folder, number);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t at = 0; file >= 0 && at < FLUSH_FILE_SIZE; at += sizeof(zeros))
        if (pwrite(file, zeros, sizeof(zeros), (off_t)at) != (ssize_t)sizeof(zeros))
            bench_die("cannot write %s", path);
    if (file < 0 || fsync(file) != 0)
        bench_die("cannot write %s", path);
    free(path);
    return file;
}

/* ---- life ---- */

static void open_all(struct floors *floors)
{
    const char *folder = floors->options->data_path;
    for (int i = 0; i < RIG_VOTERS; i++) {
        char *path = mem_xformat("%s/leveldb-%d", folder, i);
        floors->stores[i] = floor_open(path);
        free(path);
    }
    for (int i = 0; i < 2; i++)
        floors->files[i] = open_zeroed(folder, i);
    rand_init(&floors->rand, 1);
    for (size_t i = 0; i < sizeof(floors->value); i++)      /* half of it compresses */
        floors->value[i] = i % 2 ? 'x' : (uint8_t)rand_u32(&floors->rand);
}

void rig_floor_main(const struct rig_process *options)
{
    struct floors *floors = mem_xzalloc(sizeof(*floors));
    struct rig_command command;
    floors->options = options;
    open_all(floors);
    while (recv(options->fd, &command, sizeof(command), 0) == (ssize_t)sizeof(command)) {
        struct rig_answer answer = {.order = command.order};
        int64_t begin = bench_now_ns();
        if (command.order == RIG_FLOOR_PUTS)
            run_puts(floors, &command);
        else if (command.order == RIG_FLOOR_FLUSHES)
            run_flushes(floors, command.count);
        answer.ns = bench_now_ns() - begin;
        if (send(options->fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    for (size_t i = 0; i < RIG_VOTERS; i++)
        floor_close(floors->stores[i]);
    free(floors);
}
