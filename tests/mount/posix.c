/* usage: posix [--mount] FOLDER
 *
 * System calls on files, what they do and the errors they give, one after the other in FOLDER, which is
 * empty before and after. Where our mount differs from a local filesystem on purpose (hard links, the
 * largest file), --mount says so. Prints a line for each thing that is wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int wrong;
static bool on_mount;

#define TRUE(fact)                                                                                 \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if (!(fact)) {                                                                             \
            printf("line %d: %s (errno %s)\n", __LINE__, #fact, strerrorname_np(errno));           \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)
#define OK(call) TRUE((call) == 0)
#define FAILS(error, call)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if ((call) != -1 || errno != (error)) {                                                    \
            printf("line %d: %s: wanted %s, got %s\n", __LINE__, #call, strerrorname_np(error),    \
                   strerrorname_np(errno));                                                        \
            wrong++;                                                                               \
        }                                                                                          \
    } while (0)

static char big[3 << 20];

static int save(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0)
        return -1;
    bool written = write(file, text, strlen(text)) == (ssize_t)strlen(text);
    return close(file) == 0 && written ? 0 : -1;
}

static bool holds(const char *path, const char *text)
{
    char got[65536];
    int file = open(path, O_RDONLY);
    ssize_t size = file < 0 ? -1 : read(file, got, sizeof(got));
    if (file >= 0)
        close(file);
    return size == (ssize_t)strlen(text) && !memcmp(got, text, (size_t)size);
}

static struct stat stat_of(const char *path)
{
    struct stat stat = {0};
    if (lstat(path, &stat))
        stat.st_nlink = 0;
    return stat;
}

static void check_exclusive(void)
{
    int file = open("lock", O_WRONLY | O_CREAT | O_EXCL, 0600);
    TRUE(file >= 0);
    /* The open is the promise: another one fails before anything was written or closed. */
    FAILS(EEXIST, open("lock", O_WRONLY | O_CREAT | O_EXCL, 0600));
    TRUE(stat_of("lock").st_size == 0 && (stat_of("lock").st_mode & 07777) == 0600);
    TRUE(write(file, "held", 4) == 4);
    OK(close(file));
    TRUE(holds("lock", "held"));
    FAILS(EEXIST, mkdir("lock", 0755));
    FAILS(EEXIST, symlink("x", "lock"));
    FAILS(EEXIST, mkfifo("lock", 0644));
    OK(unlink("lock"));
    FAILS(ENOENT, unlink("lock"));
    OK(symlink("nowhere", "lock"));
    FAILS(EEXIST, open("lock", O_WRONLY | O_CREAT | O_EXCL, 0600));
    OK(unlink("lock"));
}

/* Eight processes; exactly one makes the file. */
static void check_exclusive_race(void)
{
    int made = 0, status;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++)
            if (fork() == 0)
                _exit(open("race", O_WRONLY | O_CREAT | O_EXCL, 0600) >= 0);
        while (wait(&status) > 0)
            made += WEXITSTATUS(status);
        OK(unlink("race"));
    }
    TRUE(made == 10);
}

static void check_unlinked_open(void)
{
    struct stat stat;
    char got[32];
    OK(save("gone", "content"));
    int reader = open("gone", O_RDONLY), writer = open("gone", O_RDWR);
    OK(unlink("gone"));
    TRUE(read(reader, got, sizeof(got)) == 7 && !memcmp(got, "content", 7));
    OK(fstat(reader, &stat));
    TRUE(stat.st_nlink == 0 && stat.st_size == 7);
    TRUE(pwrite(writer, "CON", 3, 0) == 3);
    TRUE(pread(writer, got, sizeof(got), 0) == 7 && !memcmp(got, "CONtent", 7));
    OK(ftruncate(writer, 3));
    OK(fstat(writer, &stat));
    TRUE(stat.st_size == 3);
    OK(close(reader));
    OK(close(writer));
    FAILS(ENOENT, open("gone", O_RDONLY));
    /* A new file of that name is another one. */
    OK(save("gone", "one"));
    reader = open("gone", O_RDONLY);
    OK(unlink("gone"));
    OK(save("gone", "two"));
    TRUE(read(reader, got, sizeof(got)) == 3 && !memcmp(got, "one", 3));
    OK(close(reader));
    TRUE(holds("gone", "two"));
    OK(unlink("gone"));
}

static void check_rename(void)
{
    char got[32];
    OK(save("a", "A"));
    OK(save("b", "B"));
    FAILS(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    TRUE(holds("a", "A") && holds("b", "B"));
    OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    FAILS(ENOENT, renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_NOREPLACE));
    ino_t b = stat_of("b").st_ino, c = stat_of("c").st_ino;
    OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
    TRUE(holds("b", "A") && holds("c", "B"));
    TRUE(stat_of("b").st_ino == c && stat_of("c").st_ino == b);
    FAILS(ENOENT, renameat2(AT_FDCWD, "b", AT_FDCWD, "absent", RENAME_EXCHANGE));
    FAILS(EINVAL, renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE));
    /* Over an open file: who has it open keeps what it had. */
    int reader = open("c", O_RDONLY);
    OK(rename("b", "c"));
    TRUE(read(reader, got, sizeof(got)) == 1 && got[0] == 'B');
    OK(close(reader));
    TRUE(holds("c", "A"));
    OK(rename("c", "c"));
    /* Through an open writer the name moves along. */
    int writer = open("c", O_WRONLY | O_APPEND);
    OK(rename("c", "moved"));
    TRUE(write(writer, "+", 1) == 1);
    OK(close(writer));
    TRUE(holds("moved", "A+"));
    OK(unlink("moved"));
}

static void check_rename_folders(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("e", 0700));
    OK(save("d/x", "x"));
    OK(save("f", "f"));
    FAILS(ENOTDIR, rename("d", "f"));
    FAILS(EISDIR, rename("f", "e"));
    FAILS(EINVAL, rename("d", "d/below"));
    FAILS(ENOTEMPTY, rename("e", "d"));
    FAILS(ENOENT, rename("absent", "d"));
    FAILS(ENOENT, rename("f", "absent/f"));
    OK(rename("d", "e"));
    TRUE(holds("e/x", "x") && (stat_of("e").st_mode & 07777) == 0755);
    OK(renameat2(AT_FDCWD, "e", AT_FDCWD, "f", RENAME_EXCHANGE));
    TRUE(holds("f/x", "x") && holds("e", "f"));
    FAILS(ENOTEMPTY, rmdir("f"));
    FAILS(EISDIR, unlink("f"));
    FAILS(ENOTDIR, rmdir("e"));
    FAILS(ENOTDIR, open("e/x", O_RDONLY));
    FAILS(EISDIR, open("f", O_WRONLY));
    FAILS(ENOTDIR, open("e", O_RDONLY | O_DIRECTORY));
    OK(unlink("f/x"));
    OK(rmdir("f"));
    OK(unlink("e"));
}

static void check_offsets(void)
{
    char got[64] = "";
    int file = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
    TRUE(write(file, "0123456789", 10) == 10);
    TRUE(lseek(file, 0, SEEK_CUR) == 10 && lseek(file, -3, SEEK_END) == 7);
    TRUE(write(file, "abc", 3) == 3);
    TRUE(pwrite(file, "X", 1, 0) == 1);
    TRUE(pread(file, got, sizeof(got), 0) == 10 && !memcmp(got, "X123456abc", 10));
    TRUE(pread(file, got, sizeof(got), 10) == 0 && pread(file, got, sizeof(got), 1000) == 0);
    OK(ftruncate(file, 4));
    OK(ftruncate(file, 6));
    TRUE(pread(file, got, sizeof(got), 0) == 6 && !memcmp(got, "X123\0\0", 6));
    TRUE(pwrite(file, "end", 3, 9) == 3);
    TRUE(pread(file, got, sizeof(got), 0) == 12 && !memcmp(got, "X123\0\0\0\0\0end", 12));
    struct iovec parts[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};
    TRUE(pwritev(file, parts, 2, 1) == 4);
    OK(fsync(file));
    OK(fdatasync(file));
    FAILS(EINVAL, pread(file, got, 1, -1));
    OK(close(file));
    FAILS(EINVAL, truncate("f", -1));
    OK(truncate("f", 5));
    TRUE(holds("f", "Xabcd"));
    OK(truncate("f", 0));
    TRUE(holds("f", ""));
    file = open("f", O_RDONLY);
    FAILS(EBADF, write(file, "x", 1));
    FAILS(EINVAL, ftruncate(file, 0));
    OK(close(file));
    OK(unlink("f"));
}

static void check_append(void)
{
    int one = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    int two = open("log", O_WRONLY | O_APPEND);
    TRUE(write(one, "one\n", 4) == 4);
    OK(fsync(one));
    TRUE(write(two, "two\n", 4) == 4);
    OK(fsync(two));
    TRUE(write(one, "three\n", 6) == 6);
    OK(close(one));
    TRUE(write(two, "four\n", 5) == 5);
    OK(close(two));
    TRUE(holds("log", "one\ntwo\nthree\nfour\n"));
    OK(unlink("log"));
}

/* An open file for reading shows what was there when it was opened, or what is there now: whole. */
static void check_reader_beside_writer(void)
{
    char got[64];
    OK(save("f", "old content"));
    int reader = open("f", O_RDONLY);
    OK(save("f", "new"));
    ssize_t size = pread(reader, got, sizeof(got), 0);
    TRUE((size == 11 && !memcmp(got, "old content", 11)) || (size == 3 && !memcmp(got, "new", 3)));
    OK(close(reader));
    TRUE(holds("f", "new"));
    /* What is written and not yet closed: its own process reads it back. */
    int writer = open("f", O_RDWR);
    TRUE(pwrite(writer, "N", 1, 0) == 1);
    TRUE(pread(writer, got, sizeof(got), 0) == 3 && !memcmp(got, "New", 3));
    OK(close(writer));
    TRUE(holds("f", "New"));
    OK(unlink("f"));
}

static void check_times(void)
{
    struct timespec times[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
    OK(save("f", "x"));
    OK(utimensat(AT_FDCWD, "f", times, 0));
    struct stat stat = stat_of("f");
    TRUE(stat.st_mtim.tv_sec == 1500000000 && stat.st_mtim.tv_nsec == 987654321);
    times[1].tv_nsec = UTIME_OMIT;
    times[0].tv_nsec = UTIME_NOW;
    OK(utimensat(AT_FDCWD, "f", times, 0));
    TRUE(stat_of("f").st_mtim.tv_sec == 1500000000);
    struct timespec change = stat_of("f").st_ctim;
    OK(chmod("f", 0600));
    TRUE(stat_of("f").st_mtim.tv_sec == 1500000000);
    stat = stat_of("f");
    TRUE(stat.st_ctim.tv_sec > change.tv_sec ||
         (stat.st_ctim.tv_sec == change.tv_sec && stat.st_ctim.tv_nsec >= change.tv_nsec));
    OK(save("f", "y"));
    TRUE(stat_of("f").st_mtim.tv_sec > 1500000000);
    TRUE((stat_of("f").st_mode & 07777) == 0600);
    /* A folder's time is the last change of its names. */
    OK(mkdir("d", 0755));
    times[0] = times[1] = (struct timespec){1000000000, 0};
    OK(utimensat(AT_FDCWD, "d", times, 0));
    TRUE(stat_of("d").st_mtim.tv_sec == 1000000000);
    OK(save("d/x", "x"));
    TRUE(stat_of("d").st_mtim.tv_sec > 1500000000);
    OK(unlink("d/x"));
    OK(rmdir("d"));
    OK(unlink("f"));
}

static void check_names(void)
{
    char name[300];
    memset(name, 'n', sizeof(name));
    name[255] = 0;
    OK(save(name, "longest"));
    TRUE(holds(name, "longest"));
    OK(unlink(name));
    OK(mkdir(name, 0755));
    OK(rmdir(name));
    name[255] = 'n';
    name[256] = 0;
    FAILS(ENAMETOOLONG, save(name, "x"));
    FAILS(ENAMETOOLONG, mkdir(name, 0755));
    FAILS(ENAMETOOLONG, unlink(name));

    /* Every byte that a name may have, but for the '%' that our mount keeps to itself. */
    unsigned made = 0, listed = 0;
    for (int byte = 1; byte < 256; byte++) {
        char odd[] = {'x', (char)byte, 'y', 0};
        if (byte == '/' || byte == '%')
            continue;
        OK(save(odd, odd));
        TRUE(holds(odd, odd));
        made++;
    }
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] == 'x' && entry->d_name[2] == 'y' && !entry->d_name[3]) {
            TRUE(holds(entry->d_name, entry->d_name));
            OK(unlink(entry->d_name));
            listed++;
        }
    closedir(folder);
    TRUE(made == 253 && listed == made);
    static const char *const odd[] = {" ", "-rf", "...", "..x", "\n", "a\\b", "\xc3\xa4", "\xff\xfe",
                                      "~", "#x#", ".hidden", "'\"", "*", ".fss", ".snapshots"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        OK(save(odd[i], "odd"));
        TRUE(holds(odd[i], "odd"));
        OK(unlink(odd[i]));
    }
    FAILS(ENOENT, open("", O_RDONLY));
    if (on_mount)
        FAILS(EINVAL, save("100%", "x"));
}

static void check_depth(void)
{
    int depth = 0, up = open(".", O_RDONLY | O_DIRECTORY);
    for (; depth < 100 && mkdir("deep", 0755) == 0 && chdir("deep") == 0; depth++)
        continue;
    TRUE(depth == 100);
    OK(save("bottom", "bottom"));
    OK(unlink("bottom"));
    for (; depth; depth--) {
        OK(chdir(".."));
        OK(rmdir("deep"));
    }
    OK(fchdir(up));
    OK(close(up));
}

/* On the mount files end at 1 MiB: the write that crosses it fails, what was there stays. */
static void check_largest(void)
{
    if (!on_mount)
        return;
    size_t limit = 1 << 20;
    memset(big, 'b', sizeof(big));
    int file = open("big", O_RDWR | O_CREAT, 0644);
    for (size_t size = 0; size < limit; size += 65536)
        TRUE(pwrite(file, big, 65536, (off_t)size) == 65536);
    FAILS(EFBIG, pwrite(file, "x", 1, (off_t)limit));
    FAILS(EFBIG, ftruncate(file, (off_t)limit + 1));
    FAILS(EFBIG, pwrite(file, "x", 1, (off_t)1 << 40));
    OK(close(file));
    TRUE(stat_of("big").st_size == (off_t)limit);
    FAILS(EFBIG, truncate("big", (off_t)limit + 1));
    file = open("big", O_WRONLY | O_APPEND);
    FAILS(EFBIG, write(file, "x", 1));
    OK(close(file));
    TRUE(stat_of("big").st_size == (off_t)limit);
    OK(unlink("big"));
    /* One write that crosses: part of it or nothing, then EFBIG. */
    file = open("big", O_RDWR | O_CREAT, 0644);
    ssize_t size = 0, total = 0;
    while (total < (ssize_t)sizeof(big) &&
           (size = write(file, big + total, sizeof(big) - (size_t)total)) > 0)
        total += size;
    int error = errno;
    TRUE(size == -1 && error == EFBIG && total <= (ssize_t)limit);
    close(file);
    TRUE(stat_of("big").st_size <= (off_t)limit);
    OK(unlink("big"));
}

static void check_links(void)
{
    OK(save("f", "x"));
    if (on_mount)
        FAILS(EPERM, link("f", "hard"));
    TRUE(stat_of("f").st_nlink == 1);
    nlink_t before = stat_of(".").st_nlink;
    OK(mkdir("d", 0755));
    TRUE(stat_of("d").st_nlink == 2 && stat_of(".").st_nlink == before + 1);
    OK(mkdir("d/e", 0755));
    TRUE(stat_of("d").st_nlink == 3);
    OK(rmdir("d/e"));
    TRUE(stat_of("d").st_nlink == 2);
    OK(rmdir("d"));
    OK(unlink("f"));
}

static void check_removed_folder(void)
{
    OK(mkdir("d", 0755));
    int folder = open("d", O_RDONLY | O_DIRECTORY);
    OK(rmdir("d"));
    FAILS(ENOENT, openat(folder, "x", O_WRONLY | O_CREAT, 0644));
    FAILS(ENOENT, mkdirat(folder, "x", 0755));
    OK(close(folder));
    FAILS(ENOENT, rmdir("d"));
    FAILS(ENOENT, save("d/x", "x"));
    TRUE(stat_of("d").st_nlink == 0);
}

static void check_maps(void)
{
    OK(save("f", "mapped content"));
    int file = open("f", O_RDONLY);
    char *data = mmap(NULL, 14, PROT_READ, MAP_PRIVATE, file, 0);
    TRUE(data != MAP_FAILED && !memcmp(data, "mapped content", 14));
    OK(close(file));
    /* Replaced or removed, a mapping keeps what it had. */
    OK(unlink("f"));
    OK(save("f", "other and longer content"));
    TRUE(data != MAP_FAILED && !memcmp(data, "mapped content", 14));
    if (data != MAP_FAILED)
        munmap(data, 14);
    if (on_mount) {
        file = open("f", O_RDWR);
        errno = 0;
        TRUE(mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED &&
             errno == ENODEV);
        OK(close(file));
    }
    OK(unlink("f"));
}

static void check_locks(void)
{
    int status;
    OK(save("f", "x"));
    int one = open("f", O_RDWR), two = open("f", O_RDWR);
    OK(flock(one, LOCK_EX | LOCK_NB));
    FAILS(EWOULDBLOCK, flock(two, LOCK_EX | LOCK_NB));
    OK(flock(one, LOCK_UN));
    OK(flock(two, LOCK_SH | LOCK_NB));
    OK(flock(one, LOCK_SH | LOCK_NB));
    OK(flock(one, LOCK_UN));
    OK(flock(two, LOCK_UN));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    OK(fcntl(one, F_SETLK, &lock));
    if (fork() == 0)
        _exit(fcntl(two, F_SETLK, &lock) == -1 && (errno == EAGAIN || errno == EACCES));
    wait(&status);
    TRUE(WEXITSTATUS(status) == 1);
    lock.l_type = F_UNLCK;
    OK(fcntl(one, F_SETLK, &lock));
    OK(close(one));
    OK(close(two));
    OK(unlink("f"));
}

static void check_other_calls(void)
{
    struct statvfs statvfs_of;
    OK(statvfs(".", &statvfs_of));
    TRUE(statvfs_of.f_namemax == 255 && statvfs_of.f_blocks > 0);
    int file = open("f", O_RDWR | O_CREAT | O_TRUNC, 0666);
    TRUE((stat_of("f").st_mode & 07777) == 0644 && stat_of("f").st_uid == getuid());
    TRUE(write(file, "0123456789", 10) == 10);
    TRUE(lseek(file, 3, SEEK_DATA) == 3 && lseek(file, 3, SEEK_HOLE) == 10);
    OK(fchmod(file, 0640));
    OK(fchown(file, 1000, 1000));
    OK(close(file));
    TRUE((stat_of("f").st_mode & 07777) == 0640 && stat_of("f").st_uid == 1000);
    TRUE(holds("f", "0123456789"));
    OK(access("f", R_OK | W_OK));
    OK(unlink("f"));
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    OK(fsync(folder));
    FAILS(EISDIR, read(folder, big, 1));
    OK(close(folder));
}

static bool is_empty(void)
{
    unsigned count = 0;
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
                 strcmp(entry->d_name, "there");
    closedir(folder);
    return count == 0;
}

int main(int argc, char **argv)
{
    static void (*const checks[])(void) = {
        check_exclusive, check_exclusive_race, check_unlinked_open,  check_rename,
        check_rename_folders, check_offsets,   check_append,         check_reader_beside_writer,
        check_times,     check_names,          check_depth,          check_largest,
        check_links,     check_removed_folder, check_maps,           check_locks,
        check_other_calls};
    on_mount = argc > 1 && !strcmp(argv[1], "--mount");
    if (argc != 2 + on_mount || chdir(argv[1 + on_mount]))
        return 2;
    umask(022);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        checks[i]();
        TRUE(is_empty());
    }
    return wrong ? 1 : 0;
}
