/* The door to the files of one data folder. disk_posix.c is the real one, tests/sim/sim_disk.c the
 * simulated one. It knows nothing of logs: names, bytes, and what of them survives a power cut.
 *
 * It never buffers, never retries a failed write or sync, and never starts a thread: each call does
 * its work on the thread that calls it and has done it when it returns.
 *
 * What survives:
 *  - bytes written survive once a later disk_sync of that file, or the durable write itself,
 *    returned ERR_OK; until then any part of them may, in units of whole sectors, in any order;
 *  - a file created, renamed or removed is so for good once disk_sync_folder of its folder returned
 *    ERR_OK; until then it may be either way;
 *  - after any error of a write or sync nothing is known of the bytes concerned: whoever holds
 *    promises made with them must stop.
 *
 * Threads: any; two threads may not be inside calls on one file at once, except both reading.
 * Names are relative to the data folder, '/' between folder and file; never absolute, never "..".
 *
 * Errors of all calls: NO_SPACE (disk or quota full), NOT_FOUND (no such file or folder), EXISTS
 * (DISK_CREATE found one), IO (everything else). The text names the file.
 */
#ifndef WAL_DISK_H
#define WAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct disk;
struct disk_file;       /* an open file; owned by who opened it, until disk_close */

enum disk_open_flags {
    DISK_READ = 0,          /* an existing file, to be read only */
    DISK_WRITE = 1,         /* an existing file, to be read and written in place */
    DISK_CREATE = 2,        /* a new file; implies DISK_WRITE */
};

enum disk_read_flags {
    DISK_CACHED = 0,
    DISK_DIRECT = 1,        /* from the disk, past the page cache; where that cannot be, cached */
};

struct disk_calls {
    enum err_code (*open)(struct disk *disk, const char *name, enum disk_open_flags flags,
                          uint64_t size, struct disk_file **ret_file, uint64_t *ret_size,
                          struct err *err);
    void (*close)(struct disk *disk, struct disk_file *file);
    enum err_code (*read)(struct disk *disk, struct disk_file *file, uint64_t offset, void *to,
                          size_t size, enum disk_read_flags flags, size_t *ret_size,
                          struct err *err);
    enum err_code (*write)(struct disk *disk, struct disk_file *file, uint64_t offset,
                           const void *from, size_t size, bool durable, struct err *err);
    enum err_code (*sync)(struct disk *disk, struct disk_file *file, struct err *err);
    enum err_code (*make_folder)(struct disk *disk, const char *name, struct err *err);
    enum err_code (*sync_folder)(struct disk *disk, const char *name, struct err *err);
    enum err_code (*list)(struct disk *disk, const char *folder,
                          void (*on_name)(void *context, const char *name), void *context,
                          struct err *err);
    enum err_code (*rename)(struct disk *disk, const char *from, const char *to, struct err *err);
    enum err_code (*remove)(struct disk *disk, const char *name, struct err *err);
};

/* Implementations embed this. */
struct disk {
    const struct disk_calls *calls;
};

/* Opens a file. size (DISK_CREATE only; else 0) is reserved: the file has that length at once, reads
 * as zeros, and NO_SPACE comes here and not later, where the filesystem can tell. *ret_size (may be
 * NULL) is its length. */
static inline MUST_USE enum err_code
disk_open(struct disk *disk, const char *name, enum disk_open_flags flags, uint64_t size,
          struct disk_file **ret_file, uint64_t *ret_size, struct err *err)
{
    return disk->calls->open(disk, name, flags, size, ret_file, ret_size, err);
}

/* Ends the handle; not a sync. NULL is fine. */
static inline void disk_close(struct disk *disk, struct disk_file *file)
{
    if (file)
        disk->calls->close(disk, file);
}

/* Reads size bytes at offset; fewer only at the end of the file. */
static inline MUST_USE enum err_code
disk_read(struct disk *disk, struct disk_file *file, uint64_t offset, void *to, size_t size,
          enum disk_read_flags flags, size_t *ret_size, struct err *err)
{
    return disk->calls->read(disk, file, offset, to, size, flags, ret_size, err);
}

/* Writes all size bytes at offset; with durable they survive when this returns (as write and then
 * sync would have it, for these bytes). */
static inline MUST_USE enum err_code
disk_write(struct disk *disk, struct disk_file *file, uint64_t offset, const void *from,
           size_t size, bool durable, struct err *err)
{
    return disk->calls->write(disk, file, offset, from, size, durable, err);
}

/* Every byte of the file survives, whoever wrote it and through whichever handle. */
static inline MUST_USE enum err_code disk_sync(struct disk *disk, struct disk_file *file,
                                               struct err *err)
{
    return disk->calls->sync(disk, file, err);
}

/* Makes a folder and syncs the data folder; one that is there already is fine. */
static inline MUST_USE enum err_code disk_make_folder(struct disk *disk, const char *name,
                                                      struct err *err)
{
    return disk->calls->make_folder(disk, name, err);
}

/* name "" is the data folder itself, here and in disk_list. */
static inline MUST_USE enum err_code disk_sync_folder(struct disk *disk, const char *name,
                                                      struct err *err)
{
    return disk->calls->sync_folder(disk, name, err);
}

/* Calls on_name with each name in the folder (without the folder), in no order, "." and ".." left
 * out. on_name must not call the disk. */
static inline MUST_USE enum err_code
disk_list(struct disk *disk, const char *folder, void (*on_name)(void *context, const char *name),
          void *context, struct err *err)
{
    return disk->calls->list(disk, folder, on_name, context, err);
}

/* Takes the place of `to` if there is one. Open handles follow the file. */
static inline MUST_USE enum err_code disk_rename(struct disk *disk, const char *from,
                                                 const char *to, struct err *err)
{
    return disk->calls->rename(disk, from, to, err);
}

static inline MUST_USE enum err_code disk_remove(struct disk *disk, const char *name,
                                                 struct err *err)
{
    return disk->calls->remove(disk, name, err);
}

/* The real door on an existing folder. A durable write is pwritev2(RWF_DSYNC), or pwrite and
 * fdatasync where the system lacks it. Errors: NOT_FOUND, IO. */
MUST_USE enum err_code disk_posix_new(const char *path, struct disk **ret_disk, struct err *err);
/* All its files must be closed. NULL is fine. */
void disk_posix_free(struct disk *disk);

#endif
