/* The journal of the lossy rig: everything a process did to one folder, in order.
 *
 * liblossy.so writes it while the process runs, lossy-restore replays it after the process was
 * killed. A record is one write to an O_APPEND file, so a record that a kill cut in half is the last
 * one and is left out: its call had not returned.
 *
 * A file is named by its inode number. CREATE and OPEN say which path has it at that moment; a
 * number that is used again comes with a new CREATE.
 */
#ifndef TESTS_LOSSY_JOURNAL_H
#define TESTS_LOSSY_JOURNAL_H

#include <stdint.h>

#define JOURNAL_MAGIC 0x7c0551edu

enum journal_kind {
    JOURNAL_OPEN = 1,       /* path exists and has this inode */
    JOURNAL_CREATE,         /* path is a new empty file with this inode and mode */
    JOURNAL_WRITE,          /* size bytes at offset; data follows unless they are all zero */
    JOURNAL_TRUNCATE,       /* the file has now this size */
    JOURNAL_SYNC_START,     /* a flush of the inode begins; id tells which */
    JOURNAL_SYNC_END,       /* it has succeeded: what was written before its start is durable */
    JOURNAL_SYNC_FAILED,    /* what is dirty is marked clean, and is not durable */
    JOURNAL_RANGE_START,    /* a synchronous write of size bytes at offset has filled the cache */
    JOURNAL_RANGE_END,      /* and its pages are durable */
    JOURNAL_SYNC_ALL,       /* everything before it is durable */
    JOURNAL_MKDIR,          /* path */
    JOURNAL_SYMLINK,        /* path; data is the target */
    JOURNAL_UNLINK,         /* path, a file or a folder */
    JOURNAL_RENAME,         /* path to other */
    JOURNAL_EXCHANGE,       /* path with other */
    JOURNAL_LINK,           /* other is one more name of path */
};

/* Followed by path, other and data, each of its size; paths are relative to the folder, "" itself. */
struct journal_record {
    uint32_t magic, kind;
    uint64_t inode, id;
    uint64_t offset, size;
    uint32_t mode, path_size, other_size, data_size;
};

#endif
