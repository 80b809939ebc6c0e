/* Reads a log from its folder and decides what of it stands: the walk along the records, and the
 * rule of the tail. Changes nothing on disk; wal/open.c acts on what is found here.
 *
 * The rule. The walk stops at the first place where no next record stands. That is the end of the
 * log, unless behind it a record stands, whole and in its place, that was written after a flush had
 * returned (record_is_durable_mark): then bytes are bad that were on disk, and the log is refused.
 * In a log that was sealed the walk must stop just behind the seal, and nothing may stand there that
 * did not when it was sealed.
 */
#ifndef WAL_RECOVER_H
#define WAL_RECOVER_H

#include "wal/folder.h"
#include "wal/reader.h"
#include "wal/replay.h"
#include "wal/seal.h"

/* One segment of the log. */
struct segment {
    uint64_t number;
    uint64_t size;
    raft_index last_index;      /* of the entries in it that a mark must cover before it may go */
    bool fresh;                 /* zeros beneath */
};

struct recover {
    struct disk *disk;
    const char *name;           /* of the folder; borrowed */
    struct wal_identity identity;
    struct folder folder;
    struct replay replay;
    struct segment *segments;   /* those walked with a good head */
    size_t segment_count;
    struct record_place end;    /* where the walk stopped; segment 0: there is no log */
    bool end_is_seal;           /* the last record is a SEAL */
    enum record_fault fault;    /* what stands there; FINE at the end of a full last segment */
    uint64_t fault_segment;     /* the file it was found in: end.segment, or one whose head is bad */
    uint64_t durable_offset;    /* of the last durable mark walked over, in end.segment */
    /* what was found behind the end */
    uint64_t tail_end;          /* in end.segment: up to here something of this log was written */
    uint32_t opening_max;       /* seen anywhere */
    struct overlay overlay;     /* what the disk holds where the page cache says otherwise */
};

/* Reads the folder (which must exist) and the log. On success recover holds what stands, and
 * recover_release frees it; on error it is released already.
 * Errors: CONFLICT, INVALID, CORRUPT (wal_open), IO, NOT_FOUND (no folder). */
MUST_USE enum err_code recover_read(struct recover *recover, struct disk *disk, const char *name,
                                    const struct wal_identity *identity, struct err *err);
void recover_release(struct recover *recover);

#endif
