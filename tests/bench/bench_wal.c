/* What a flush costs: a log append of 300 bytes against the floor, an overwrite of 4 KiB and
 * fdatasync on a file whose blocks are all written; and the two ways to ask for durability. Each
 * workload is run in turns of a few hundred, so that all of them see the same machine.
 *
 *     bench_wal FOLDER [ROUNDS]       one line a workload: name, p50, p99, operations per second
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "wal/disk.h"
#include "wal/wal.h"

#define TURN 200
#define FLOOR_SIZE (16 * MIB)
#define PAYLOAD_SIZE 300

struct workload {
    const char *name;
    void (*once)(struct workload *workload);
    int descriptor;
    uint64_t offset;
    struct wal *wal;
    raft_index index;
    uint64_t *samples;
    size_t count;
};

static uint8_t block[4096];

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "bench_wal: %s\n", what);
    exit(1);
}

static void floor_sync(struct workload *workload)
{
    if (pwrite(workload->descriptor, block, sizeof block, (off_t)workload->offset) != sizeof block ||
        fdatasync(workload->descriptor) < 0)
        give_up(strerror(errno));
    workload->offset = (workload->offset + sizeof block) % FLOOR_SIZE;
}

static void floor_dsync(struct workload *workload)
{
    struct iovec vector = {block, sizeof block};
    if (pwritev2(workload->descriptor, &vector, 1, (off_t)workload->offset, RWF_DSYNC) !=
        sizeof block)
        give_up(strerror(errno));
    workload->offset = (workload->offset + sizeof block) % FLOOR_SIZE;
}

static void wal_once(struct workload *workload)
{
    struct err err;
    struct entry entry = {1, ++workload->index, ENTRY_NORMAL, blob_new(PAYLOAD_SIZE)};
    memset(entry.payload->data, (int)workload->index, PAYLOAD_SIZE);
    if (wal_append(workload->wal, NULL, &entry, 1, &err) || wal_flush(workload->wal, &err))
        give_up(err.text);
    blob_unref(entry.payload);
}

static int floor_open(const char *folder, const char *name)
{
    char *path = mem_xformat("%s/%s", folder, name);
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (descriptor < 0)
        give_up(strerror(errno));
    for (uint64_t at = 0; at < FLOOR_SIZE; at += sizeof block)
        if (pwrite(descriptor, block, sizeof block, (off_t)at) != sizeof block)
            give_up(strerror(errno));
    fsync(descriptor);
    unlink(path);
    free(path);
    return descriptor;
}

static void run_turn(struct workload *workload)
{
    for (int i = 0; i < TURN; i++) {
        uint64_t start = now_ns();
        workload->once(workload);
        workload->samples[workload->count++] = now_ns() - start;
    }
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void report(struct workload *workload)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < workload->count; i++)
        sum += workload->samples[i];
    qsort(workload->samples, workload->count, sizeof *workload->samples, compare);
    printf("%-14s p50 %7.1f us  p99 %7.1f us  %8.0f ops/s\n", workload->name,
           (double)workload->samples[workload->count / 2] / 1000,
           (double)workload->samples[workload->count * 99 / 100] / 1000,
           1e9 * (double)workload->count / (double)sum);
}

static struct wal *open_wal(struct disk *disk)
{
    struct wal_options options = {.disk = disk, .folder = "bench-wal", .identity = {1, 1, 1},
                                  .create = true, .now_ns = now_ns};
    struct wal_recovery recovery;
    struct wal *wal;
    struct err err;
    if (wal_open(&options, &wal, &recovery, &err))
        give_up(err.text);
    wal_recovery_release(&recovery);
    return wal;
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 20;
    struct disk *disk;
    struct err err;
    if (argc < 2 || rounds < 1)
        give_up("usage: bench_wal FOLDER [ROUNDS]");
    if (disk_posix_new(argv[1], &disk, &err))
        give_up(err.text);
    struct workload workloads[] = {
        {.name = "floor-sync", .once = floor_sync, .descriptor = floor_open(argv[1], "floor-1")},
        {.name = "floor-dsync", .once = floor_dsync, .descriptor = floor_open(argv[1], "floor-2")},
        {.name = "wal-300", .once = wal_once, .wal = open_wal(disk)},
    };
    for (int kind = 0; kind < 3; kind++)
        workloads[kind].samples = mem_xalloc((size_t)rounds * TURN * sizeof(uint64_t));
    for (int round = 0; round < rounds; round++)
        for (int kind = 0; kind < 3; kind++)
            run_turn(&workloads[kind]);
    for (int kind = 0; kind < 3; kind++) {
        report(&workloads[kind]);
        free(workloads[kind].samples);
    }
    wal_abandon(workloads[2].wal);
    close(workloads[0].descriptor);
    close(workloads[1].descriptor);
    disk_posix_free(disk);
    return 0;
}
