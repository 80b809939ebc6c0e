/* The names in a log's folder, and the files that are not yet or no longer part of the log.
 *
 *     0000000000000003.seg    segment 3 of the log
 *     0000000000000007.zero   a spare one: zeros, written and synced
 *     0000000000000008.used   a spare one: a segment that was released, with its old bytes
 *     0000000000000009.tmp    a spare one being written; removed at the next opening
 *     seal                    the last run stopped cleanly (wal/seal.h); seal.tmp likewise
 *
 * A spare one has a number of its own, unique among the spares. A segment comes into the log by a
 * rename and leaves it by a rename, so its blocks stay where they are. Other names are left alone.
 */
#ifndef WAL_FOLDER_H
#define WAL_FOLDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/disk.h"

#define FOLDER_NAME_SIZE 512        /* folder and file, with the NUL */
#define FOLDER_SLICE_SIZE (128 * 1024)    /* whoever flushes on that disk meanwhile waits for one of them */

struct spare {
    uint64_t number;
    bool fresh;                     /* zeros beneath */
};

struct folder {
    uint64_t *segments;             /* ascending */
    size_t segment_count;
    struct spare *spares;
    size_t spare_count;
    uint64_t spare_next;            /* above every spare's number */
    bool sealed;                    /* there is a seal */
    char (*leftovers)[32];          /* names of *.tmp */
    size_t leftover_count;
};

enum folder_kind { FOLDER_SEGMENT, FOLDER_ZERO, FOLDER_USED, FOLDER_TEMPORARY };

/* "folder/0000000000000003.seg"; returns to. */
char *folder_name(char to[FOLDER_NAME_SIZE], const char *folder, enum folder_kind kind,
                  uint64_t number);
char *folder_spare_name(char to[FOLDER_NAME_SIZE], const char *folder, struct spare spare);
char *folder_path(char to[FOLDER_NAME_SIZE], const char *folder, const char *name);

/* Lists the folder. Errors: NOT_FOUND, IO. */
MUST_USE enum err_code folder_read(struct disk *disk, const char *name,
                                   struct folder *ret_folder, struct err *err);
void folder_release(struct folder *folder);

/* Writes a spare segment of zeros under a temporary name, in slices that are on disk one by one so
 * that nobody else's flush waits for all of them, renames it and syncs the folder. stop (may be
 * NULL), once true, ends it with CANCELED. On any error the temporary file is removed again.
 * Errors: NO_SPACE, IO, CANCELED. */
MUST_USE enum err_code folder_make_spare(struct disk *disk, const char *folder, uint64_t number,
                                         uint64_t size, const atomic_bool *stop, struct err *err);

/* Renames and syncs the folder. Errors: IO, NO_SPACE. */
MUST_USE enum err_code folder_move(struct disk *disk, const char *folder, const char *from,
                                   const char *to, struct err *err);
/* Removes and syncs the folder. Errors: IO, NO_SPACE. */
MUST_USE enum err_code folder_drop(struct disk *disk, const char *folder, const char *name,
                                   struct err *err);

#endif
