/* What wal.c, open.c, flush.c and prepare.c share. */
#ifndef WAL_WAL_INTERNAL_H
#define WAL_WAL_INTERNAL_H

#include "proto/base/mutant.h"
#include "wal/folder.h"
#include "wal/record.h"
#include "wal/recover.h"
#include "wal/wal.h"

/* A stretch of framed records that lies in one segment and is written by one call. */
struct piece {
    uint64_t segment, offset;
    size_t start, size;             /* in the batch's bytes */
    bool begins_segment;            /* the spare one below becomes this segment first */
    struct spare spare;
};

/* What one flush carries. */
struct batch {
    struct buf bytes;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    raft_index mark_index;          /* of the last mark in it; 0 for none */
};

/* Entries from index on (up to the next run's index) have this term. */
struct term_run {
    raft_index index;
    raft_term term;
};

struct wal {
    struct disk *disk;
    char *folder;
    uint64_t segment_size;
    struct wal_identity identity;
    uint64_t (*now_ns)(void);
    struct trace *trace;

    /* framing */
    struct record_place place;      /* of the next record; segment 0: none was begun yet */
    uint64_t limit;                 /* size of the segment at place */
    struct batch batches[2];
    int active;                     /* the batch that appends go to */

    /* what the log says so far, restated at each cut */
    struct hard_state state;
    struct snapshot_mark mark;
    raft_index last_index;
    struct term_run *runs;          /* ascending; of the entries above the mark */
    size_t run_count, run_capacity;

    /* files */
    struct disk_file *file;         /* of the segment last flushed to; NULL before the first flush */
    uint64_t durable_segment;
    raft_index durable_mark;
    struct segment *segments;       /* oldest first, up to the one at place */
    size_t segment_count, segment_capacity;
    size_t released_count;          /* of them, at the front */
    struct spare *spares;           /* ready, and promised to no piece */
    size_t spare_count, spare_capacity;
    uint64_t spare_next;

    struct wal_flush_job *flush;    /* in flight */
    struct wal_prepare_job *prepare;
    struct wal_stats stats;         /* the counters only */
    bool dead;
};

/* Appends one record, cutting to a new segment when it does not fit: the spare ones that takes must
 * be there (wal_reserve). */
void wal_frame(struct wal *wal, enum record_type type, uint8_t kind, struct bytes first,
               struct bytes second);
/* Sees to it that records of these sizes, in this order, can be framed; held_back spare segments stay
 * untouched. Errors: TOO_BIG, NO_SPACE, IO (then the log is dead). */
MUST_USE enum err_code wal_reserve(struct wal *wal, const size_t *sizes, size_t count,
                                   size_t held_back, struct err *err);
/* Marks the log as dead and says so; answers IO. */
enum err_code wal_die(struct wal *wal, struct err *err);
enum err_code wal_say_dead(struct err *err);

/* Free a job in flight that nobody runs any more; wal->flush and wal->prepare are NULL then. */
void flush_job_free(struct wal *wal);
void prepare_job_free(struct wal *wal);

void wal_push_segment(struct wal *wal, struct segment segment);
void wal_push_spare(struct wal *wal, struct spare spare);
/* The term of an entry the log holds above the mark, or of the mark; 0 for any other. */
raft_term wal_term_of(const struct wal *wal, raft_index index);
void wal_push_term(struct wal *wal, raft_index index, raft_term term);

#endif
