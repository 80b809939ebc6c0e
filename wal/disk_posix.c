/* The real files of one data folder, by plain system calls relative to a descriptor of it.
 *
 * A durable write asks for it in the write itself (RWF_DSYNC): on a file whose blocks are all
 * written already this is one flush of the device or one forced write, and no metadata. */
#include "wal/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"

#define DIRECT_ALIGN 4096
#define DIRECT_BUFFER_SIZE (256 * 1024)

struct disk_posix {
    struct disk disk;
    int folder;
    char *path;
    atomic_bool no_dsync;       /* the system refused RWF_DSYNC once */
    atomic_int open_files;
};

struct disk_file {
    int descriptor;
    char *name;
};

static struct disk_posix *posix_of(struct disk *disk)
{
    return container_of(disk, struct disk_posix, disk);
}

static enum err_code posix_error(struct disk *disk, struct err *err, int errnum, const char *verb,
                                 const char *name)
{
    if (errnum == EEXIST)
        return err_set(err, ERR_EXISTS, "cannot %s \"%s/%s\": it exists", verb,
                       posix_of(disk)->path, name);
    return err_set_errno(err, errnum, "cannot %s \"%s/%s\"", verb, posix_of(disk)->path, name);
}

/* EOPNOTSUPP and EINVAL come from filesystems that cannot reserve: then zeros are written later. */
static int reserve(int descriptor, uint64_t size)
{
    int done;
    do
        done = fallocate(descriptor, 0, 0, (off_t)size);
    while (done < 0 && errno == EINTR);
    if (done == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
        return errno;
    return ftruncate(descriptor, (off_t)size) < 0 ? errno : 0;
}

static enum err_code posix_open(struct disk *disk, const char *name, enum disk_open_flags flags,
                                uint64_t size, struct disk_file **ret_file, uint64_t *ret_size,
                                struct err *err)
{
    struct disk_posix *posix = posix_of(disk);
    int mode = flags == DISK_CREATE ? O_RDWR | O_CREAT | O_EXCL
               : flags == DISK_WRITE ? O_RDWR : O_RDONLY;
    int descriptor = openat(posix->folder, name, mode | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return posix_error(disk, err, errno, flags == DISK_CREATE ? "create" : "open", name);
    int errnum = flags == DISK_CREATE && size > 0 ? reserve(descriptor, size) : 0;
    struct stat stat;
    if (!errnum && fstat(descriptor, &stat) < 0)
        errnum = errno;
    if (errnum) {
        if (flags == DISK_CREATE)
            (void)unlinkat(posix->folder, name, 0);
        close(descriptor);
        return posix_error(disk, err, errnum, "open", name);
    }
    struct disk_file *file = mem_xzalloc(sizeof *file);
    *file = (struct disk_file){descriptor, mem_xstrdup(name)};
    atomic_fetch_add(&posix->open_files, 1);
    *ret_file = file;
    if (ret_size)
        *ret_size = (uint64_t)stat.st_size;
    return ERR_OK;
}

static void posix_close(struct disk *disk, struct disk_file *file)
{
    atomic_fetch_sub(&posix_of(disk)->open_files, 1);
    close(file->descriptor);
    free(file->name);
    free(file);
}

static int read_fully(int descriptor, uint64_t offset, uint8_t *to, size_t size, size_t *ret_size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(descriptor, to + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_size = done;
    return 0;
}

/* Through an aligned buffer and a descriptor of its own. EINVAL at the open means that the
 * filesystem has no direct reads; such a one (tmpfs) has no disk that could differ either. */
static int read_direct(struct disk *disk, struct disk_file *file, uint64_t offset, uint8_t *to,
                       size_t size, size_t *ret_size)
{
    int descriptor = openat(posix_of(disk)->folder, file->name, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (descriptor < 0)
        return errno == EINVAL ? read_fully(file->descriptor, offset, to, size, ret_size) : errno;
    uint8_t *block = aligned_alloc(DIRECT_ALIGN, DIRECT_BUFFER_SIZE);
    CHECK(block);
    size_t done = 0;
    int errnum = 0;
    while (done < size) {
        uint64_t start = (offset + done) / DIRECT_ALIGN * DIRECT_ALIGN;
        size_t skip = (size_t)(offset + done - start), got = 0;
        errnum = read_fully(descriptor, start, block, DIRECT_BUFFER_SIZE, &got);
        if (errnum || got <= skip)
            break;
        size_t part = got - skip < size - done ? got - skip : size - done;
        memcpy(to + done, block + skip, part);
        done += part;
        if (got < DIRECT_BUFFER_SIZE)
            break;
    }
    free(block);
    close(descriptor);
    *ret_size = done;
    return errnum;
}

static enum err_code posix_read(struct disk *disk, struct disk_file *file, uint64_t offset,
                                void *to, size_t size, enum disk_read_flags flags,
                                size_t *ret_size, struct err *err)
{
    size_t got = 0;
    int errnum = flags == DISK_DIRECT ? read_direct(disk, file, offset, to, size, &got)
                                      : read_fully(file->descriptor, offset, to, size, &got);
    if (errnum)
        return posix_error(disk, err, errnum, "read", file->name);
    *ret_size = got;
    return ERR_OK;
}

/* One attempt; falls back for good when the system does not know the flag. */
static ssize_t write_some(struct disk_posix *posix, int descriptor, uint64_t offset,
                          const uint8_t *from, size_t size, bool durable, bool *ret_durable)
{
    *ret_durable = false;
    if (durable && !atomic_load_explicit(&posix->no_dsync, memory_order_relaxed)) {
        struct iovec vector = {(void *)(uintptr_t)from, size};
        ssize_t done = pwritev2(descriptor, &vector, 1, (off_t)offset, RWF_DSYNC);
        if (done >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) {
            *ret_durable = true;
            return done;
        }
        atomic_store_explicit(&posix->no_dsync, true, memory_order_relaxed);
    }
    return pwrite(descriptor, from, size, (off_t)offset);
}

static enum err_code posix_write(struct disk *disk, struct disk_file *file, uint64_t offset,
                                 const void *from, size_t size, bool durable, struct err *err)
{
    struct disk_posix *posix = posix_of(disk);
    bool all_durable = true;
    for (size_t done = 0; done < size;) {
        bool part_durable;
        ssize_t part = write_some(posix, file->descriptor, offset + done,
                                  (const uint8_t *)from + done, size - done, durable,
                                  &part_durable);
        if (part < 0 && errno == EINTR)
            continue;
        if (part <= 0)
            return posix_error(disk, err, part < 0 ? errno : EIO, "write", file->name);
        done += (size_t)part;
        all_durable = all_durable && part_durable;
    }
    if (durable && !all_durable && fdatasync(file->descriptor) < 0)
        return posix_error(disk, err, errno, "sync", file->name);
    return ERR_OK;
}

static enum err_code posix_sync(struct disk *disk, struct disk_file *file, struct err *err)
{
    if (fdatasync(file->descriptor) < 0)
        return posix_error(disk, err, errno, "sync", file->name);
    return ERR_OK;
}

static enum err_code posix_sync_folder(struct disk *disk, const char *name, struct err *err)
{
    int descriptor = openat(posix_of(disk)->folder, name[0] ? name : ".",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return posix_error(disk, err, errno, "open", name);
    int errnum = fsync(descriptor) < 0 ? errno : 0;
    close(descriptor);
    return errnum ? posix_error(disk, err, errnum, "sync", name) : ERR_OK;
}

static enum err_code posix_make_folder(struct disk *disk, const char *name, struct err *err)
{
    if (mkdirat(posix_of(disk)->folder, name, 0700) < 0 && errno != EEXIST)
        return posix_error(disk, err, errno, "make", name);
    return posix_sync_folder(disk, "", err);
}

static enum err_code posix_list(struct disk *disk, const char *folder,
                                void (*on_name)(void *context, const char *name), void *context,
                                struct err *err)
{
    int descriptor = openat(posix_of(disk)->folder, folder[0] ? folder : ".",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return posix_error(disk, err, errno, "open", folder);
    DIR *stream = fdopendir(descriptor);
    if (!stream) {
        int errnum = errno;
        close(descriptor);
        return posix_error(disk, err, errnum, "list", folder);
    }
    struct dirent *row;
    for (errno = 0; (row = readdir(stream)); errno = 0)
        if (strcmp(row->d_name, ".") != 0 && strcmp(row->d_name, "..") != 0)
            on_name(context, row->d_name);
    int errnum = errno;
    closedir(stream);
    return errnum ? posix_error(disk, err, errnum, "list", folder) : ERR_OK;
}

static enum err_code posix_rename(struct disk *disk, const char *from, const char *to,
                                  struct err *err)
{
    int folder = posix_of(disk)->folder;
    if (renameat(folder, from, folder, to) < 0)
        return posix_error(disk, err, errno, "rename", from);
    return ERR_OK;
}

static enum err_code posix_remove(struct disk *disk, const char *name, struct err *err)
{
    if (unlinkat(posix_of(disk)->folder, name, 0) < 0)
        return posix_error(disk, err, errno, "remove", name);
    return ERR_OK;
}

static const struct disk_calls posix_calls = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .make_folder = posix_make_folder,
    .sync_folder = posix_sync_folder,
    .list = posix_list,
    .rename = posix_rename,
    .remove = posix_remove,
};

enum err_code disk_posix_new(const char *path, struct disk **ret_disk, struct err *err)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return err_set_errno(err, errno, "cannot open \"%s\"", path);
    struct disk_posix *posix = mem_xzalloc(sizeof *posix);
    posix->disk.calls = &posix_calls;
    posix->folder = folder;
    posix->path = mem_xstrdup(path);
    *ret_disk = &posix->disk;
    return ERR_OK;
}

void disk_posix_free(struct disk *disk)
{
    if (!disk)
        return;
    struct disk_posix *posix = posix_of(disk);
    CHECK(atomic_load(&posix->open_files) == 0);
    close(posix->folder);
    free(posix->path);
    free(posix);
}
