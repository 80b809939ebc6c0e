/* A window on one file of the log: reads ahead in large pieces and hands out borrowed bytes. An
 * overlay, where there is one, stands for the bytes of the file at its place. */
#ifndef WAL_READER_H
#define WAL_READER_H

#include "proto/base/bytes.h"
#include "wal/disk.h"

struct overlay {
    uint64_t segment;           /* 0: there is no overlay */
    uint64_t offset;
    struct buf bytes;
};

struct reader {
    struct disk *disk;
    struct disk_file *file;
    uint64_t segment;
    uint64_t size;              /* of the file */
    const struct overlay *overlay;
    struct buf window;
    uint64_t window_offset;
};

/* Opens the file for reading. Errors: NOT_FOUND, IO. */
MUST_USE enum err_code reader_open(struct reader *reader, struct disk *disk, const char *name,
                                   uint64_t segment, const struct overlay *overlay,
                                   struct err *err);
/* NULL-safe on a zeroed reader. */
void reader_close(struct reader *reader);
/* size bytes at offset, or as many as there are before the end of the file. Borrowed until the next
 * call. Errors: IO. */
MUST_USE enum err_code reader_get(struct reader *reader, uint64_t offset, size_t size,
                                  struct bytes *ret_bytes, struct err *err);

#endif
