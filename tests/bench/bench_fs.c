/* What people do with files, on our mount, beside the same on ext4 and tmpfs in the same run.
 *
 * usage: bench_fs OURS DAEMON-PID EXT4 TMPFS EMPTY [WORKLOAD..]
 *
 * OURS, EXT4 and TMPFS are folders that may be filled and emptied; EMPTY is the mount of empty-fuse.
 * Places alternate in blocks of a few operations, so that a slow minute of the machine hits all alike.
 * Where ours is durable when the call returns, ext4 is made so too: fsync of the file, and of the
 * folder where a name came, changed or went. tmpfs shows what the system calls alone cost.
 *
 * BENCH_QUICK=1 takes few operations; BENCH_SCALE=N multiplies their number.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PLACES 3
#define CONTENT_SIZE 256        /* a config file */
#define HOT_FILES 64
#define WRITERS 16
#define FLOORS 2                /* the first workloads */
#define TAR_FILES 5000
#define PATH_SIZE 4096

struct place {
    const char *name, *root;
    bool is_ours, is_disk;      /* neither: tmpfs */
    pid_t daemon;
    uint64_t fsyncs;
};

struct workload {
    const char *name;
    long blocks, block;         /* blocks for each place, and operations in a block */
    void (*prepare)(struct place *place);                   /* once for each place; may be NULL */
    void (*before_block)(struct place *place);              /* not measured; may be NULL */
    void (*operation)(struct place *place, long number);    /* number goes on over the blocks */
    void (*whole_block)(struct place *place, long count, struct samples *samples);  /* instead */
    long operations_each;       /* what one operation counts as in a rate; 0 is 1 */
    bool is_large;              /* left out of a quick run */
};

static char content[CONTENT_SIZE];
static bool is_quick;

static void path_of(char *path, const struct place *place, const char *folder, long number)
{
    snprintf(path, PATH_SIZE, "%s/%s/%ld", place->root, folder, number);
}

/* False: it was there. */
static bool make_folder(const struct place *place, const char *folder)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", place->root, folder);
    if (mkdir(path, 0755) == 0)
        return true;
    if (errno != EEXIST)
        bench_die("mkdir %s", path);
    return false;
}

/* ---- durability ---- */

static void sync_file(struct place *place, int fd, const char *path)
{
    if (fsync(fd) != 0)
        bench_die("fsync %s", path);
    __atomic_fetch_add(&place->fsyncs, 1, __ATOMIC_RELAXED);
}

static void sync_folder(struct place *place, const char *folder)
{
    char path[PATH_SIZE];
    if (!place->is_disk)
        return;
    snprintf(path, sizeof(path), "%s/%s", place->root, folder);
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        bench_die("open %s", path);
    sync_file(place, fd, path);
    close(fd);
}

static void save(struct place *place, const char *path, int flags, bool with_fsync)
{
    int fd = open(path, O_WRONLY | flags, 0644);
    if (fd < 0 || write(fd, content, sizeof(content)) != (ssize_t)sizeof(content))
        bench_die("write %s", path);
    if (with_fsync || place->is_disk)
        sync_file(place, fd, path);
    if (close(fd) != 0)
        bench_die("close %s", path);
}

/* ---- one operation each ---- */

static void do_create(struct place *place, long number)
{
    char path[PATH_SIZE];
    path_of(path, place, "create", number);
    save(place, path, O_CREAT | O_TRUNC, false);
    sync_folder(place, "create");
}

static void prepare_create(struct place *place) { make_folder(place, "create"); }

static void prepare_hot(struct place *place)
{
    char path[PATH_SIZE];
    make_folder(place, "hot");
    for (long i = 0; i < HOT_FILES; i++) {
        path_of(path, place, "hot", i);
        save(place, path, O_CREAT | O_TRUNC, false);
    }
}

static void do_overwrite(struct place *place, long number)
{
    char path[PATH_SIZE];
    path_of(path, place, "hot", number % HOT_FILES);
    save(place, path, O_TRUNC, false);
}

static void do_overwrite_fsync(struct place *place, long number)
{
    char path[PATH_SIZE];
    path_of(path, place, "hot", number % HOT_FILES);
    save(place, path, O_TRUNC, true);
}

static void do_replace(struct place *place, long number)
{
    char path[PATH_SIZE], temporary[PATH_SIZE];
    path_of(path, place, "hot", number % HOT_FILES);
    snprintf(temporary, sizeof(temporary), "%s/hot/.new.tmp", place->root);
    save(place, temporary, O_CREAT | O_TRUNC, true);
    if (rename(temporary, path) != 0)
        bench_die("rename %s", path);
    sync_folder(place, "hot");
}

static void read_whole(const char *path)
{
    char buffer[65536];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        bench_die("open %s", path);
    while (read(fd, buffer, sizeof(buffer)) > 0)
        continue;
    close(fd);
}

static void do_cat_cold(struct place *place, long number)
{
    char path[PATH_SIZE];
    path_of(path, place, "create", number);
    read_whole(path);
}

/* As root; without, "cold" means not read before. */
static void drop_caches(struct place *place)
{
    (void)place;
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    sync();
    if (fd >= 0) {
        if (write(fd, "3", 1) != 1)
            fprintf(stderr, "caches were not dropped\n");
        close(fd);
    }
}

static void do_cat_hot(struct place *place, long number)
{
    char path[PATH_SIZE];
    (void)number;
    path_of(path, place, "hot", 0);
    read_whole(path);
}

static void do_stat_hot(struct place *place, long number)
{
    char path[PATH_SIZE];
    struct stat found;
    (void)number;
    path_of(path, place, "hot", 0);
    if (stat(path, &found) != 0)
        bench_die("stat %s", path);
}

static void do_stat_missing(struct place *place, long number)
{
    char path[PATH_SIZE];
    struct stat found;
    (void)number;
    path_of(path, place, "hot", 999999);
    if (stat(path, &found) == 0)
        bench_die("%s is there", path);
}

static void do_unlink(struct place *place, long number)
{
    char path[PATH_SIZE];
    path_of(path, place, "create", number);
    if (unlink(path) != 0)
        bench_die("unlink %s", path);
    sync_folder(place, "create");
}

/* ---- listings ---- */

static void list(const struct place *place, const char *folder, long expected, bool with_stat)
{
    char path[PATH_SIZE];
    struct stat found;
    long count = 0;
    snprintf(path, sizeof(path), "%s/%s", place->root, folder);
    DIR *directory = opendir(path);
    if (!directory)
        bench_die("opendir %s", path);
    for (struct dirent *entry; (entry = readdir(directory)); count++)
        if (with_stat && fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0)
            bench_die("stat %s/%s", path, entry->d_name);
    closedir(directory);
    if (count != expected + 2) {
        fprintf(stderr, "%s holds %ld names instead of %ld\n", path, count - 2, expected);
        exit(1);
    }
}

/* Many names at once, from 16 threads, so that filling a folder takes seconds and not minutes. */
struct filler {
    const struct place *place;
    const char *folder;
    long first, count;
};

static void *fill_some(void *context)
{
    const struct filler *filler = context;
    char path[PATH_SIZE];
    for (long i = filler->first; i < filler->count; i += WRITERS) {
        path_of(path, filler->place, filler->folder, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0)
            bench_die("create %s", path);
        close(fd);
    }
    return NULL;
}

static void fill(const struct place *place, const char *folder, long count)
{
    struct filler fillers[WRITERS];
    pthread_t threads[WRITERS];
    if (!make_folder(place, folder))
        return;
    for (long i = 0; i < WRITERS; i++) {
        fillers[i] = (struct filler){place, folder, i, count};
        if (pthread_create(&threads[i], NULL, fill_some, &fillers[i]) != 0)
            bench_die("pthread_create");
    }
    for (long i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}

static void prepare_1000(struct place *place) { fill(place, "names-1000", 1000); }
static void prepare_100000(struct place *place) { fill(place, "names-100000", 100000); }
static void do_readdir_1000(struct place *place, long number)
{
    (void)number;
    list(place, "names-1000", 1000, false);
}
static void do_ls_1000(struct place *place, long number)
{
    (void)number;
    list(place, "names-1000", 1000, true);
}
static void do_readdir_100000(struct place *place, long number)
{
    (void)number;
    list(place, "names-100000", 100000, false);
}
static void do_ls_100000(struct place *place, long number)
{
    (void)number;
    list(place, "names-100000", 100000, true);
}

/* ---- sixteen at once ---- */

struct writer {
    struct place *place;
    long id, count;
    struct samples samples;
};

static void *write_some(void *context)
{
    struct writer *writer = context;
    char path[PATH_SIZE];
    path_of(path, writer->place, "hot", writer->id);
    for (long i = 0; i < writer->count; i++) {
        int64_t begin = bench_now_ns();
        save(writer->place, path, O_TRUNC, false);
        samples_add(&writer->samples, bench_now_ns() - begin);
    }
    return NULL;
}

static void write_in_parallel(struct place *place, long count, struct samples *samples)
{
    struct writer writers[WRITERS] = {0};
    pthread_t threads[WRITERS];
    for (long i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.place = place, .id = i, .count = count / WRITERS};
        if (pthread_create(&threads[i], NULL, write_some, &writers[i]) != 0)
            bench_die("pthread_create");
    }
    for (long i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        for (size_t n = 0; n < writers[i].samples.count; n++)
            samples_add(samples, writers[i].samples.ns[n]);
        samples_release(&writers[i].samples);
    }
}

/* ---- programs ---- */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[4 * PATH_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    if (system(command) != 0) {
        fprintf(stderr, "failed: %s\n", command);
        exit(1);
    }
}

/* The disk's copy is flushed once at the end, which is what a person would do. */
static void sync_whole(struct place *place, const char *folder)
{
    if (!place->is_disk)
        return;
    run("sync -f '%s/%s'", place->root, folder);
    place->fsyncs++;
}

static void clear_programs(struct place *place)
{
    run("rm -rf '%s/tar' '%s/git'", place->root, place->root);
    make_folder(place, "tar");
}

static void do_tar(struct place *place, long number)
{
    (void)number;
    run("tar -xf \"$BENCH_TAR\" -C '%s/tar'", place->root);
    sync_whole(place, "tar");
}

static void do_git(struct place *place, long number)
{
    (void)number;
    run("git -c core.hooksPath=/dev/null clone -q --no-hardlinks \"$BENCH_GIT\" '%s/git'",
        place->root);
    sync_whole(place, "git");
}

/* ---- floors ---- */

static void do_floor_write(struct place *place, long number)
{
    static int fd = -1;
    static char block[4096];
    char path[PATH_SIZE];
    if (!place->is_disk)
        return;
    if (fd < 0) {
        snprintf(path, sizeof(path), "%s/floor", place->root);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        for (int i = 0; i < 256; i++)
            if (fd < 0 || pwrite(fd, block, sizeof(block), i * 4096L) != 4096)
                bench_die("write %s", path);
        fsync(fd);
    }
    if (pwrite(fd, block, sizeof(block), number % 256 * 4096) != 4096 || fdatasync(fd) != 0)
        bench_die("floor");
}

static int empty_fd;

static void do_floor_getattr(struct place *place, long number)
{
    struct stat found;
    (void)number;
    if (place->is_disk && fstat(empty_fd, &found) != 0)
        bench_die("stat of the empty mount");
}

static const struct workload workloads[] = {
    {"floor-write", 20, 50, NULL, NULL, do_floor_write, NULL, 0, false},
    {"floor-getattr", 20, 50, NULL, NULL, do_floor_getattr, NULL, 0, false},
    {"create", 40, 50, prepare_create, NULL, do_create, NULL, 0, false},
    {"overwrite", 40, 50, prepare_hot, NULL, do_overwrite, NULL, 0, false},
    {"overwrite-fsync", 40, 50, prepare_hot, NULL, do_overwrite_fsync, NULL, 0, false},
    {"replace", 40, 50, prepare_hot, NULL, do_replace, NULL, 0, false},
    {"cat-cold", 10, 50, NULL, drop_caches, do_cat_cold, NULL, 0, false},
    {"cat-hot", 20, 200, prepare_hot, NULL, do_cat_hot, NULL, 0, false},
    {"stat-hot", 20, 200, prepare_hot, NULL, do_stat_hot, NULL, 0, false},
    {"stat-missing", 20, 200, prepare_hot, NULL, do_stat_missing, NULL, 0, false},
    {"readdir-1000", 10, 5, prepare_1000, NULL, do_readdir_1000, NULL, 0, false},
    {"ls-l-1000", 10, 5, prepare_1000, NULL, do_ls_1000, NULL, 0, false},
    {"unlink", 40, 50, NULL, NULL, do_unlink, NULL, 0, false},
    {"writers-16", 10, 320, prepare_hot, NULL, NULL, write_in_parallel, 0, false},
    {"tar-x-5000", 3, 1, NULL, clear_programs, do_tar, NULL, TAR_FILES, true},
    {"git-clone", 3, 1, NULL, clear_programs, do_git, NULL, 0, false},
    {"readdir-100000", 3, 1, prepare_100000, NULL, do_readdir_100000, NULL, 0, true},
    {"ls-l-100000", 3, 1, prepare_100000, NULL, do_ls_100000, NULL, 0, true},
};

/* ---- running ---- */

/* Ours says it itself; the others' are the calls that were made. */
static uint64_t flushes_of(const struct place *place)
{
    char path[PATH_SIZE], line[512];
    unsigned long long flushes = 0;
    if (!place->is_ours)
        return place->fsyncs;
    snprintf(path, sizeof(path), "%s/.fs/status", place->root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "flushes: %llu", &flushes) == 1)
            break;
    if (file)
        fclose(file);
    return flushes;
}

static void run_block(const struct workload *workload, struct place *place, long block, long size,
                      struct samples *samples)
{
    if (workload->before_block)
        workload->before_block(place);
    uint64_t flushes = flushes_of(place);
    int64_t cpu = place->daemon ? bench_cpu_ns(place->daemon) : 0, begin = bench_now_ns();
    if (workload->whole_block)
        workload->whole_block(place, size, samples);
    for (long i = 0, last = begin; i < size && workload->operation; i++) {
        workload->operation(place, block * size + i);
        int64_t now = bench_now_ns();
        samples_add(samples, now - last);
        last = now;
    }
    samples->wall_ns += bench_now_ns() - begin;
    samples->cpu_ns += place->daemon ? bench_cpu_ns(place->daemon) - cpu : 0;
    samples->flushes += flushes_of(place) - flushes;
    samples->operations += (uint64_t)(size * (workload->operations_each ? workload->operations_each : 1));
}

static void print_floor(const struct workload *workload, struct samples *samples)
{
    printf("%-16s p50 %8.1f us  p99 %8.1f us\n", workload->name, samples_at(&samples[1], 0.5),
           samples_at(&samples[1], 0.99));
}

static void print(const struct workload *workload, struct samples *samples)
{
    double ours = samples_at(&samples[0], 0.5), ext4 = samples_at(&samples[1], 0.5);
    printf("%-16s p50 %8.1f us  p99 %8.1f us %8.0f/s  cpu %6.1f us  flushes %.2f | "
           "ext4 p50 %8.1f p99 %8.1f %8.0f/s fsyncs %.2f | tmpfs p50 %7.1f | "
           "ours/ext4 %.2f (%.1f/%.1f us)\n",
           workload->name, ours, samples_at(&samples[0], 0.99), samples_rate(&samples[0]),
           samples_cpu_us(&samples[0]), samples_flushes(&samples[0]), ext4,
           samples_at(&samples[1], 0.99), samples_rate(&samples[1]), samples_flushes(&samples[1]),
           samples_at(&samples[2], 0.5), ext4 > 0 ? ours / ext4 : 0, ours, ext4);
    fflush(stdout);
}

static void run_workload(const struct workload *workload, struct place *places)
{
    struct samples samples[PLACES] = {0};
    long blocks = workload->blocks, size = workload->block;
    if (is_quick && blocks > 4)
        blocks = 4;
    else if (!is_quick && size > 1)
        blocks *= bench_setting("BENCH_SCALE", 1);
    for (int i = 0; i < PLACES && workload->prepare; i++)
        workload->prepare(&places[i]);
    for (long block = 0; block < blocks; block++)
        for (int i = 0; i < PLACES; i++)
            run_block(workload, &places[i], block, size, &samples[i]);
    if (!strncmp(workload->name, "floor", 5))
        print_floor(workload, samples);
    else
        print(workload, samples);
    for (int i = 0; i < PLACES; i++)
        samples_release(&samples[i]);
}

static bool is_wanted(const struct workload *workload, int count, char **names)
{
    if (count == 0)
        return !(is_quick && workload->is_large);
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], workload->name))
            return true;
    /* what these read or remove, create makes */
    bool needs_create = false;
    for (int i = 0; i < count; i++)
        needs_create |= !strcmp(names[i], "cat-cold") || !strcmp(names[i], "unlink");
    return needs_create && !strcmp(workload->name, "create");
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: %s OURS DAEMON-PID EXT4 TMPFS EMPTY [WORKLOAD..]\n", argv[0]);
        return 2;
    }
    struct place places[PLACES] = {
        {.name = "ours", .root = argv[1], .is_ours = true, .daemon = atoi(argv[2])},
        {.name = "ext4", .root = argv[3], .is_disk = true},
        {.name = "tmpfs", .root = argv[4]},
    };
    is_quick = bench_setting("BENCH_QUICK", 0) != 0;
    memset(content, 'x', sizeof(content));
    empty_fd = open(argv[5], O_RDONLY | O_DIRECTORY);
    if (empty_fd < 0)
        bench_die("open %s", argv[5]);
    printf("%d cores, files of %d bytes, %s run\n", bench_cores(), CONTENT_SIZE,
           is_quick ? "quick" : "full");
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
        if (is_wanted(&workloads[i], argc - 6, argv + 6))
            run_workload(&workloads[i], places);
    for (int i = 0; i < FLOORS && argc == 6; i++)   /* is the machine still what it was? */
        run_workload(&workloads[i], places);
    close(empty_fd);
    return 0;
}
