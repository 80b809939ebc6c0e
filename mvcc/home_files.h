/* Files and folders, as home_leveldb.c needs them: each call does one thing and says in words what went
 * wrong. A path is absolute or relative to the process's folder.
 *
 * Errors of each call: NO_SPACE, NO_MEMORY, IO (the text names the path); others where they are named.
 * Any thread.
 */
#ifndef MVCC_HOME_FILES_H
#define MVCC_HOME_FILES_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* As err_set_errno, but a path that is not there is an IO error: it was expected to be. */
enum err_code files_failed(struct err *err, const char *what, const char *path);

enum err_code files_make_folder(const char *path, struct err *err) MUST_USE;
enum err_code files_sync_folder(const char *path, struct err *err) MUST_USE;
/* With all that is in it; what is not there is gone. Not durable: see files_sync_folder. */
enum err_code files_remove(const char *path, struct err *err) MUST_USE;

/* Appends a file's bytes. NOT_FOUND. */
enum err_code files_read(const char *path, struct buf *ret, struct err *err) MUST_USE;
/* A new file; not synced. */
enum err_code files_write(const char *path, struct bytes from, struct err *err) MUST_USE;
/* Replaces a file by rename; durable when it returns. folder/name.new is on the way. */
enum err_code files_replace(const char *folder, const char *name, struct bytes from,
                            struct err *err) MUST_USE;
/* Writes all of from at an offset of an open file. path is for the error. */
enum err_code files_write_at(int fd, const char *path, uint64_t offset, struct bytes from,
                             struct err *err) MUST_USE;
/* Reads size bytes, all of them, from an offset. */
enum err_code files_read_at(const char *path, uint64_t offset, void *to, size_t size,
                            struct err *err) MUST_USE;
/* The size and crc32c of a whole file. */
enum err_code files_sum(const char *path, uint64_t *ret_size, uint32_t *ret_crc,
                        struct err *err) MUST_USE;

#endif
