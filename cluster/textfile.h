/* Small text files of the data folder that are written as a whole: identity, generations, joining, options.
 * The last line is "crc32c " and the sum of all before it.
 *
 * A reader finds the old content or the new, never a mix, whatever dies when. Knows the door to the disk alone.
 */
#ifndef CLUSTER_TEXTFILE_H
#define CLUSTER_TEXTFILE_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "wal/disk.h"

#define TEXTFILE_SIZE_MAX (64 * 1024)

/* The content is text and its sum; durable when it returns, its name included. Errors: IO, NO_SPACE. */
enum err_code textfile_write(struct disk *disk, const char *name, struct bytes text,
                             struct err *err) MUST_USE;
/* Appends the content without the line of the sum. Errors: NOT_FOUND there is no such file; CORRUPT the sum
 * is wrong or missing, or the file is larger than TEXTFILE_SIZE_MAX; IO. */
enum err_code textfile_read(struct disk *disk, const char *name, struct buf *ret,
                            struct err *err) MUST_USE;
/* Durably; none there is fine. */
enum err_code textfile_remove(struct disk *disk, const char *name, struct err *err) MUST_USE;

/* Pure: the line of the sum appended, and checked and taken off. */
void textfile_seal(struct buf *text);
bool textfile_unseal(struct bytes *text);

#endif
