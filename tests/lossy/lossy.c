/* liblossy.so: libc's calls that change files, followed (see follow.h). Each does what libc's does
 * and notes it in the journal; a flush notes its start, waits as long as a disk would, and notes its
 * end. The real folder always has the newest state, so the process sees nothing of this.
 *
 * One lock is held over each call and its note, so that the journal's order is the order in which
 * things happened; a flush waits without it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lossy/follow.h"

/* libc's fortified and 64 bit names are the same functions; headers may redirect to either. */
#define ALSO(name, other) extern __typeof(name) other __attribute__((alias(#name)))

/* --- flushing --- */

static int sync_descriptor(int descriptor, int (*real)(int))
{
    uint64_t inode;
    follow_lock();
    if (!follow_descriptor(descriptor, &inode)) {
        follow_unlock();
        return real(descriptor);
    }
    if (follow_is_stream(descriptor))
        follow_note_content(descriptor, inode);
    if (follow_fails(CALL_SYNC)) {
        int error = errno;
        follow_note((struct journal_record){.kind = JOURNAL_SYNC_FAILED, .inode = inode}, "", "");
        follow_unlock();
        errno = error;
        return -1;
    }
    struct journal_record record = {.kind = JOURNAL_SYNC_START, .inode = inode,
                                    .id = follow_new_id()};
    follow_note(record, "", "");
    follow_unlock();
    follow_wait_for_disk();
    follow_lock();
    record.kind = JOURNAL_SYNC_END;
    follow_note(record, "", "");
    follow_unlock();
    return 0;
}

int fsync(int descriptor)
{
    REAL(fsync, int, int);
    return sync_descriptor(descriptor, real_fsync);
}

int fdatasync(int descriptor)
{
    REAL(fdatasync, int, int);
    return sync_descriptor(descriptor, real_fdatasync);
}

/* Promises nothing about durability, and does nothing. */
int sync_file_range(int descriptor, off64_t offset, off64_t size, unsigned flags)
{
    uint64_t inode;
    REAL(sync_file_range, int, int, off64_t, off64_t, unsigned);
    follow_lock();
    bool followed = follow_descriptor(descriptor, &inode);
    follow_unlock();
    return followed ? 0 : real_sync_file_range(descriptor, offset, size, flags);
}

int syncfs(int descriptor)
{
    uint64_t inode;
    REAL(syncfs, int, int);
    follow_lock();
    bool followed = follow_descriptor(descriptor, &inode);
    follow_unlock();
    if (!followed)
        return real_syncfs(descriptor);
    follow_wait_for_disk();
    follow_lock();
    follow_note((struct journal_record){.kind = JOURNAL_SYNC_ALL}, "", "");
    follow_unlock();
    return 0;
}

/* --- writing --- */

/* A synchronous write has filled the cache; its pages now go to the disk. */
static void sync_range(uint64_t inode, uint64_t offset, uint64_t size)
{
    struct journal_record record = {.kind = JOURNAL_RANGE_START, .inode = inode, .offset = offset,
                                    .size = size};
    follow_lock();
    record.id = follow_new_id();
    follow_note(record, "", "");
    follow_unlock();
    follow_wait_for_disk();
    follow_lock();
    record.kind = JOURNAL_RANGE_END;
    follow_note(record, "", "");
    follow_unlock();
}

/* The offset that a write of size bytes, given offset or -1 for the descriptor's, has had. */
static uint64_t offset_of(int descriptor, off_t offset, size_t size, bool appends)
{
    struct stat stat;
    if (appends && fstat(descriptor, &stat) == 0)
        return (uint64_t)stat.st_size - size;
    return offset >= 0 ? (uint64_t)offset : (uint64_t)lseek(descriptor, 0, SEEK_CUR) - size;
}

/* offset -1: at the descriptor's. Called for followed descriptors, with the lock; gives it back. */
static ssize_t write_followed(int descriptor, uint64_t inode, const struct iovec *parts, int count,
                              off_t offset, int flags)
{
    REAL(pwritev2, ssize_t, int, const struct iovec *, int, off_t, int);
    bool is_dsync = follow_is_dsync(descriptor) || (flags & (RWF_DSYNC | RWF_SYNC));
    bool appends = (fcntl(descriptor, F_GETFL) & O_APPEND) || (flags & RWF_APPEND);
    uint64_t at = 0;
    ssize_t size = -1;
    if (!follow_fails(CALL_WRITE))
        size = real_pwritev2(descriptor, parts, count, offset, flags & ~(RWF_DSYNC | RWF_SYNC));
    int error = errno;
    if (size > 0) {
        at = offset_of(descriptor, offset, (size_t)size, appends);
        follow_note_write(inode, at, parts, count, (size_t)size);
    }
    follow_unlock();
    if (size > 0 && is_dsync)
        sync_range(inode, at, (uint64_t)size);
    errno = error;
    return size;
}

/* Descriptors that are not followed go to the real call, outside the lock: they may wait. */
#define WRITE(descriptor, parts, count, offset, flags, real)                                       \
    do {                                                                                           \
        uint64_t inode;                                                                            \
        follow_lock();                                                                             \
        if (follow_descriptor(descriptor, &inode))                                                 \
            return write_followed(descriptor, inode, parts, count, offset, flags);                 \
        follow_unlock();                                                                           \
        return real;                                                                               \
    } while (0)

ssize_t write(int descriptor, const void *data, size_t size)
{
    REAL(write, ssize_t, int, const void *, size_t);
    struct iovec part = {(void *)data, size};
    WRITE(descriptor, &part, 1, -1, 0, real_write(descriptor, data, size));
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    REAL(pwrite, ssize_t, int, const void *, size_t, off_t);
    struct iovec part = {(void *)data, size};
    WRITE(descriptor, &part, 1, offset, 0, real_pwrite(descriptor, data, size, offset));
}
ALSO(pwrite, pwrite64);

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    REAL(writev, ssize_t, int, const struct iovec *, int);
    WRITE(descriptor, parts, count, -1, 0, real_writev(descriptor, parts, count));
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev, ssize_t, int, const struct iovec *, int, off_t);
    WRITE(descriptor, parts, count, offset, 0, real_pwritev(descriptor, parts, count, offset));
}
ALSO(pwritev, pwritev64);

ssize_t pwritev2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags)
{
    REAL(pwritev2, ssize_t, int, const struct iovec *, int, off_t, int);
    WRITE(descriptor, parts, count, offset, flags,
          real_pwritev2(descriptor, parts, count, offset, flags));
}
ALSO(pwritev2, pwritev64v2);

int vdprintf(int descriptor, const char *format, va_list arguments)
{
    char *text;
    int size = vasprintf(&text, format, arguments);
    if (size < 0)
        return -1;
    ssize_t written = write(descriptor, text, (size_t)size);
    free(text);
    return (int)written;
}

int dprintf(int descriptor, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vdprintf(descriptor, format, arguments);
    va_end(arguments);
    return size;
}

/* --- sizes --- */

static int resize_descriptor(int descriptor, off_t size, int (*real)(int, off_t))
{
    uint64_t inode;
    follow_lock();
    if (!follow_descriptor(descriptor, &inode)) {
        follow_unlock();
        return real(descriptor, size);
    }
    int status = follow_fails(CALL_TRUNCATE) ? -1 : real(descriptor, size);
    if (status == 0)
        follow_note((struct journal_record){.kind = JOURNAL_TRUNCATE, .inode = inode,
                                            .size = (uint64_t)size}, "", "");
    follow_unlock();
    return status;
}

int ftruncate(int descriptor, off_t size)
{
    REAL(ftruncate, int, int, off_t);
    return resize_descriptor(descriptor, size, real_ftruncate);
}
ALSO(ftruncate, ftruncate64);

int truncate(const char *path, off_t size)
{
    REAL(truncate, int, const char *, off_t);
    char place[PATH_MAX];
    if (!follow_path(AT_FDCWD, path, place))
        return real_truncate(path, size);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -1;
    int status = ftruncate(descriptor, size), error = errno;
    close(descriptor);
    errno = error;
    return status;
}
ALSO(truncate, truncate64);

/* Space set aside changes no byte; a size that grows, or a range made zero, does. */
static void note_fallocate(uint64_t inode, int mode, uint64_t offset, uint64_t size,
                           uint64_t size_before)
{
    uint64_t end = offset + size;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        follow_die("fallocate mode %#x is not followed", (unsigned)mode);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        uint64_t stop = (mode & FALLOC_FL_KEEP_SIZE) && end > size_before ? size_before : end;
        if (stop > offset)
            follow_note((struct journal_record){.kind = JOURNAL_WRITE, .inode = inode,
                                                .offset = offset, .size = stop - offset}, "", "");
    } else if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size_before) {
        follow_note((struct journal_record){.kind = JOURNAL_TRUNCATE, .inode = inode, .size = end},
                    "", "");
    }
}

int fallocate(int descriptor, int mode, off_t offset, off_t size)
{
    uint64_t inode;
    struct stat stat;
    REAL(fallocate, int, int, int, off_t, off_t);
    follow_lock();
    if (!follow_descriptor(descriptor, &inode) || fstat(descriptor, &stat)) {
        follow_unlock();
        return real_fallocate(descriptor, mode, offset, size);
    }
    int status = follow_fails(CALL_WRITE) ? -1 : real_fallocate(descriptor, mode, offset, size);
    if (status == 0)
        note_fallocate(inode, mode, (uint64_t)offset, (uint64_t)size, (uint64_t)stat.st_size);
    follow_unlock();
    return status;
}
ALSO(fallocate, fallocate64);

int posix_fallocate(int descriptor, off_t offset, off_t size)
{
    int before = errno, status = fallocate(descriptor, 0, offset, size) ? errno : 0;
    errno = before;
    return status;
}
ALSO(posix_fallocate, posix_fallocate64);

/* --- opening and closing --- */

static bool changes_files(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
}

static int open_followed(int at, const char *path, const char *place, int flags, mode_t mode)
{
    REAL(openat, int, int, const char *, int, ...);
    struct stat before;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        follow_die("O_TMPFILE in the folder is not followed");
    bool existed = fstatat(at, path, &before, 0) == 0;
    if (!existed && (flags & O_CREAT) && follow_fails(CALL_OPEN))
        return -1;
    int descriptor = real_openat(at, path, flags & ~(O_SYNC | O_DSYNC), mode);
    if (descriptor < 0)
        return -1;
    follow_opened(descriptor, place, !existed, flags & (O_SYNC | O_DSYNC));
    if (existed && (flags & O_TRUNC) && before.st_size)
        follow_note((struct journal_record){.kind = JOURNAL_TRUNCATE, .inode = before.st_ino}, "",
                    "");
    return descriptor;
}

int openat(int at, const char *path, int flags, ...)
{
    REAL(openat, int, int, const char *, int, ...);
    char place[PATH_MAX];
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (changes_files(flags) && follow_path(at, path, place)) {
        follow_lock();
        int descriptor = open_followed(at, path, place, flags, mode);
        int error = errno;
        follow_unlock();
        errno = error;
        return descriptor;
    }
    int descriptor = real_openat(at, path, flags, mode);
    follow_closed(descriptor);
    return descriptor;
}
ALSO(openat, openat64);

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return openat(AT_FDCWD, path, flags, mode);
}
ALSO(open, open64);

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return openat(AT_FDCWD, path, flags); }
ALSO(__open_2, __open64_2);
int __openat_2(int at, const char *path, int flags);
int __openat_2(int at, const char *path, int flags) { return openat(at, path, flags); }
ALSO(__openat_2, __openat64_2);

int creat(const char *path, mode_t mode)
{
    return openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
ALSO(creat, creat64);

int close(int descriptor)
{
    REAL(close, int, int);
    if (follow_is_journal(descriptor))
        return 0;               /* a daemon that closes all it does not know */
    follow_lock();
    follow_closed(descriptor);
    follow_unlock();
    return real_close(descriptor);
}

int dup2(int from, int to)
{
    REAL(dup2, int, int, int);
    follow_lock();
    if (from != to)
        follow_closed(to);
    follow_unlock();
    return real_dup2(from, to);
}

int dup3(int from, int to, int flags)
{
    REAL(dup3, int, int, int, int);
    follow_lock();
    follow_closed(to);
    follow_unlock();
    return real_dup3(from, to, flags);
}

int closedir(DIR *listing)
{
    REAL(closedir, int, DIR *);
    follow_lock();
    follow_closed(dirfd(listing));
    follow_unlock();
    return real_closedir(listing);
}

/* --- stdio: the content is noted whole when a stream is flushed --- */

static void note_stream(FILE *stream)
{
    uint64_t inode;
    int descriptor = fileno(stream);
    follow_lock();
    if (follow_is_stream(descriptor) && follow_descriptor(descriptor, &inode))
        follow_note_content(descriptor, inode);
    follow_unlock();
}

static int flags_of(const char *mode)
{
    int flags = *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (*mode == 'w' ? O_TRUNC : O_APPEND);
    if (strchr(mode, '+'))
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    return flags | (strchr(mode, 'x') ? O_EXCL : 0) | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

FILE *fdopen(int descriptor, const char *mode)
{
    REAL(fdopen, FILE *, int, const char *);
    uint64_t inode;
    FILE *stream = real_fdopen(descriptor, mode);
    follow_lock();
    if (stream && changes_files(flags_of(mode)) && follow_descriptor(descriptor, &inode))
        follow_set_stream(descriptor);
    follow_unlock();
    return stream;
}

FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen, FILE *, const char *, const char *);
    char place[PATH_MAX];
    if (!changes_files(flags_of(mode)) || !follow_path(AT_FDCWD, path, place)) {
        FILE *stream = real_fopen(path, mode);
        if (stream)
            follow_closed(fileno(stream));
        return stream;
    }
    int descriptor = openat(AT_FDCWD, path, flags_of(mode), 0666);
    return descriptor < 0 ? NULL : fdopen(descriptor, mode);
}
ALSO(fopen, fopen64);

int fflush(FILE *stream)
{
    REAL(fflush, int, FILE *);
    int status = real_fflush(stream);
    if (stream)
        note_stream(stream);
    return status;
}

int fclose(FILE *stream)
{
    REAL(fclose, int, FILE *);
    REAL(fflush, int, FILE *);
    real_fflush(stream);
    note_stream(stream);
    follow_lock();
    follow_closed(fileno(stream));
    follow_unlock();
    return real_fclose(stream);
}

/* --- names --- */

/* Notes a call on one path that has succeeded. */
static void note_path(uint32_t kind, const char *place, const char *other, mode_t mode)
{
    follow_note((struct journal_record){.kind = kind, .mode = mode & 07777}, place, other);
}

int unlinkat(int at, const char *path, int flags)
{
    REAL(unlinkat, int, int, const char *, int);
    char place[PATH_MAX];
    struct stat stat;
    if (!follow_path(at, path, place))
        return real_unlinkat(at, path, flags);
    follow_lock();
    bool is_ours = fstatat(at, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISSOCK(stat.st_mode) &&
                   !S_ISFIFO(stat.st_mode);
    int status = is_ours && follow_fails(CALL_UNLINK) ? -1 : real_unlinkat(at, path, flags);
    if (status == 0 && is_ours)
        note_path(JOURNAL_UNLINK, place, "", 0);
    follow_unlock();
    return status;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path)
{
    int status = unlink(path);
    return status && (errno == EISDIR || errno == EPERM) ? rmdir(path) : status;
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    REAL(renameat2, int, int, const char *, int, const char *, unsigned);
    char place[PATH_MAX], other[PATH_MAX];
    bool from_ours = follow_path(from_at, from, place), to_ours = follow_path(to_at, to, other);
    if (!from_ours && !to_ours)
        return real_renameat2(from_at, from, to_at, to, flags);
    if (from_ours != to_ours)
        follow_die("a rename across the folder's edge: %s to %s", from, to);
    follow_lock();
    int status = follow_fails(CALL_RENAME)
                     ? -1
                     : real_renameat2(from_at, from, to_at, to, flags);
    if (status == 0)
        note_path(flags & RENAME_EXCHANGE ? JOURNAL_EXCHANGE : JOURNAL_RENAME, place, other, 0);
    follow_unlock();
    return status;
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return renameat2(from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
    REAL(linkat, int, int, const char *, int, const char *, int);
    char place[PATH_MAX], other[PATH_MAX];
    bool from_ours = follow_path(from_at, from, place), to_ours = follow_path(to_at, to, other);
    if (to_ours && !from_ours)
        follow_die("a link across the folder's edge: %s to %s", from, to);
    if (!to_ours)
        return real_linkat(from_at, from, to_at, to, flags);
    follow_lock();
    int status = real_linkat(from_at, from, to_at, to, flags);
    if (status == 0)
        note_path(JOURNAL_LINK, place, other, 0);
    follow_unlock();
    return status;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *target, int at, const char *path)
{
    REAL(symlinkat, int, const char *, int, const char *);
    char place[PATH_MAX];
    if (!follow_path(at, path, place))
        return real_symlinkat(target, at, path);
    follow_lock();
    int status = real_symlinkat(target, at, path);
    if (status == 0)
        note_path(JOURNAL_SYMLINK, place, target, 0);
    follow_unlock();
    return status;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int mkdirat(int at, const char *path, mode_t mode)
{
    REAL(mkdirat, int, int, const char *, mode_t);
    char place[PATH_MAX];
    if (!follow_path(at, path, place))
        return real_mkdirat(at, path, mode);
    follow_lock();
    int status = real_mkdirat(at, path, mode);
    if (status == 0)
        note_path(JOURNAL_MKDIR, place, "", mode);
    follow_unlock();
    return status;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* --- what cannot be followed --- */

static bool is_followed(int descriptor)
{
    uint64_t inode;
    follow_lock();
    bool followed = follow_descriptor(descriptor, &inode);
    follow_unlock();
    return followed;
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    REAL(mmap, void *, void *, size_t, int, int, int, off_t);
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && !(flags & MAP_ANONYMOUS) &&
        is_followed(descriptor))
        follow_die("a shared writable mapping is not followed");
    return real_mmap(address, size, protection, flags, descriptor, offset);
}
ALSO(mmap, mmap64);

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                        unsigned flags)
{
    REAL(copy_file_range, ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    if (is_followed(to)) {
        errno = EXDEV;
        return -1;
    }
    return real_copy_file_range(from, from_offset, to, to_offset, size, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
    REAL(sendfile, ssize_t, int, int, off_t *, size_t);
    if (is_followed(to)) {
        errno = EINVAL;
        return -1;
    }
    return real_sendfile(to, from, offset, size);
}
ALSO(sendfile, sendfile64);

ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
               unsigned flags)
{
    REAL(splice, ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    if (is_followed(to)) {
        errno = EINVAL;
        return -1;
    }
    return real_splice(from, from_offset, to, to_offset, size, flags);
}
