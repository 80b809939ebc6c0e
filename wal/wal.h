/* The write-ahead log of one member: entries, hard state and snapshot marks, on disk in the order
 * they were given. The bytes are wal/FORMAT.
 *
 * It never looks into a payload or a configuration, never decides what is committed, never repeats
 * a failed write, and never starts a thread.
 *
 * Invariants:
 *  - What was appended before a wal_flush_begin is on disk when its wal_flush_end returned ERR_OK,
 *    and every later wal_open returns it or refuses the log.
 *  - At most one flush is in flight; appends made meanwhile go to a second buffer and the next flush.
 *  - A bad byte below the durable end is refused with file and offset; above it the tail is cut, and
 *    the recovery says how many bytes.
 *  - No segment is taken out of the log before a mark that covers it is on disk.
 *  - After an error of a write or sync the log is dead: every later call answers IO, and the member
 *    must stop. There is no way back but wal_abandon and, in a new process, wal_open.
 *
 * Threads: all calls belong to the owner's thread, except wal_flush_run and wal_prepare_run, which
 * may be made on any one thread each (also both at once, also beside appends) between their begin
 * and end. The owner hands a job over and back by whatever synchronises its threads.
 *
 *     wal_append(wal, &state, entries, count, err);      on the loop, memory only
 *     job = wal_flush_begin(wal);                        on the loop, memory only
 *     wal_flush_run(job);                                on the loop (inline) or on a disk thread
 *     wal_flush_end(wal, job, err);                      on the loop, memory only
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/entry.h"
#include "proto/base/err.h"
#include "proto/base/trace.h"

struct disk;
struct wal;
struct wal_flush_job;
struct wal_prepare_job;

/* Whose log this is: stamped on every segment, and compared on opening. */
struct wal_identity {
    uint64_t cluster_id;
    raft_id member_id;
    uint64_t generation;        /* drawn at random when the data directory was made */
};

struct wal_options {
    struct disk *disk;          /* must outlive the log */
    const char *folder;         /* in the disk, such as "wal"; made when absent; copied */
    uint64_t segment_size;      /* SEGMENT_SIZE_MIN to 1 GiB, a multiple of 4096; 0 is the default.
                                   Segments that are there keep theirs */
    struct wal_identity identity;
    bool create;                /* begin a new log where there is none. A member that had a log
                                   before must not: it forgot what it promised */
    uint64_t (*now_ns)(void);   /* for stats.flush_last_ns, called where the flush runs; may be NULL */
    struct trace *trace;        /* may be NULL; called on the owner's thread */
};

/* What an opened log holds. wal_recovery_release frees it. */
struct wal_recovery {
    struct snapshot_mark mark;  /* the last one; index 0 when there is none */
    struct hard_state state;    /* the last one; zeros when there is none */
    struct entry *entries;      /* those above the mark, without a gap: mark.index + 1 and on */
    size_t entry_count;
    bool created;               /* the log began with this call */
    bool sealed;                /* the last run stopped cleanly */
    uint64_t dropped_bytes;     /* cut from the tail; 0 is none */
    char dropped_text[256];     /* one line about it for the member's log; "" when none */
    uint32_t opening;           /* the number of this opening, from 1 */
};

void wal_recovery_release(struct wal_recovery *recovery);

/* --- life --- */

/* Opens or begins the log. When it returns ERR_OK all that *ret_recovery says is on disk (segments
 * and folder have been synced, the tail of an unclean stop was read from the disk itself) and this
 * opening is recorded. Blocks; may write one segment of zeros.
 * Errors, each with file and offset where there is one; nothing that was there is changed by any
 * but IO and NO_SPACE, and those leave a log that the next call opens:
 *   NOT_FOUND  no log is there, and create is not set
 *   CONFLICT   the log is of another cluster, member or generation; the text says which
 *   CORRUPT    bytes that were durable are bad, a segment is missing, or a sealed log has a bad byte
 *   INVALID    segment_size is out of bounds
 *   NO_SPACE   for a new segment
 *   IO         the disk */
MUST_USE enum err_code wal_open(const struct wal_options *options, struct wal **ret_wal,
                                struct wal_recovery *ret_recovery, struct err *err);

/* Stops cleanly: flushes what is pending, writes the seal, frees the log. No job may be in flight.
 * The log is freed also on error (IO, NO_SPACE): then the next opening finds no seal, and all that a
 * flush confirmed. A log that is dead is not touched: IO. */
MUST_USE enum err_code wal_close(struct wal *wal, struct err *err);

/* Frees the log as if the process had been killed: pending appends are lost, there is no seal. A job
 * in flight must have been run or never be run; it is freed. NULL is fine. */
void wal_abandon(struct wal *wal);

/* --- appending: memory only, unless a burst outran the segments prepared ahead --- */

/* Appends state (NULL: unchanged) and entries; payloads are copied. The first entry's index is at
 * most one above the last entry's and above the mark's, the following ones count up. An index that
 * is there already replaces that entry and all after it: by this later record, nothing is erased.
 * Errors: TOO_BIG (an entry does not fit a record or a segment), NO_SPACE (a segment is needed and
 * there is no room for one; appends may be tried again later): nothing was appended, all else goes
 * on. Entries leave the last spare segment alone, so state without entries, and marks, go on being
 * taken on a full disk for long. IO: the log is dead. */
MUST_USE enum err_code wal_append(struct wal *wal, const struct hard_state *state,
                                  const struct entry *entries, size_t count, struct err *err);

/* Appends the mark: all up to mark->index has been replaced by state that is durable already. If the
 * log holds an entry of that index and term, those after it stay; else none does, and the next
 * entry is mark->index + 1. mark->index is not below an earlier mark's. Copies the configuration.
 * Errors: as wal_append. */
MUST_USE enum err_code wal_mark(struct wal *wal, const struct snapshot_mark *mark,
                                struct err *err);

/* Framed and not yet handed to a flush. */
uint64_t wal_pending_bytes(const struct wal *wal);

/* --- flushing --- */

/* Takes all that is pending. NULL when nothing is, or the log is dead. No flush may be in flight. */
struct wal_flush_job *wal_flush_begin(struct wal *wal);
/* Writes and syncs. Touches nothing but the job. */
void wal_flush_run(struct wal_flush_job *job);
/* Ends the job and frees it. ERR_OK: it is on disk. IO (also for a disk that was full): the log is
 * dead and nothing is known about what the job carried. */
MUST_USE enum err_code wal_flush_end(struct wal *wal, struct wal_flush_job *job, struct err *err);
/* The three in one, on this thread; ERR_OK also when nothing was pending. */
MUST_USE enum err_code wal_flush(struct wal *wal, struct err *err);

/* --- segments --- */

/* Entries up to index are no longer needed from the log: segments that hold only such may be reused.
 * A mark of at least that index must have been flushed. Memory only: wal_prepare_run does it. */
void wal_release(struct wal *wal, raft_index index);

/* Work for a worker: released segments become spare ones (or go, above WAL_SPARE_KEPT), and one
 * segment of zeros is written when fewer than WAL_SPARE_COUNT are ready. NULL: nothing to do, a job
 * is in flight, or the log is dead. Ask after each wal_release and each wal_flush_end. */
struct wal_prepare_job *wal_prepare_begin(struct wal *wal);
void wal_prepare_run(struct wal_prepare_job *job);
/* Makes a run in progress end soon; any thread. */
void wal_prepare_stop(struct wal_prepare_job *job);
/* Ends the job and frees it. NO_SPACE: there is no room for a spare segment, the log lives on what
 * it has; ask again later. IO: the log is dead. */
MUST_USE enum err_code wal_prepare_end(struct wal *wal, struct wal_prepare_job *job,
                                       struct err *err);

/* One to cut to while the next is being written, and one held back for a full disk. */
#define WAL_SPARE_COUNT 2
/* Released segments are kept up to this many spare ones. Above WAL_SPARE_COUNT, because a segment is
 * released later than the one that followed it was prepared: so the log goes round in the files it
 * has, and no more zeros are written. */
#define WAL_SPARE_KEPT 4

/* --- looking --- */

struct wal_stats {
    uint64_t flush_count;
    uint64_t flushed_bytes;         /* framing included */
    uint64_t flush_last_ns;         /* writing and syncing of the last flush; 0 without now_ns */
    uint64_t segment_first, segment_last;
    uint64_t segment_count;         /* those released and not yet reused included */
    uint64_t spare_count;           /* ready; below WAL_SPARE_COUNT for long means a full disk */
    uint64_t inline_count;          /* segments made on the owner's thread: a burst, or no worker */
    uint64_t bytes_in_use;          /* on disk, spare segments included */
    raft_index mark_index;          /* of the last mark that is on disk */
    raft_index last_index;          /* of the last entry appended, or the mark's */
    bool dead;
};

void wal_get_stats(const struct wal *wal, struct wal_stats *ret_stats);
bool wal_is_dead(const struct wal *wal);

#endif
