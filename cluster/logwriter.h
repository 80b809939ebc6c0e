/* Writing the log: what the core wants kept -> wal -> flush -> what waited for it.
 *
 * Every append of a turn goes to one buffer and one flush. While a flush is on the disk thread the next
 * one gathers; with nothing else to do the loop flushes by itself (token.h). After the flush, in this
 * order: entries become visible in the raftlog (I4), then the responses that waited for them are
 * stepped or sent (I1, I2).
 *
 * A snapshot that the core restored (its payload is durable already) goes the same way: mark, hard
 * state, flush; then the store is replaced, and only then anything behind it is told (I3, I7). While
 * that goes on nothing is flushed: what comes gathers.
 *
 * A failed write or flush is a fault: the member stops, nothing is retried (I17).
 *
 * Loop thread, except the run of the job.
 */
#ifndef CLUSTER_LOGWRITER_H
#define CLUSTER_LOGWRITER_H

#include "cluster/clock.h"
#include "cluster/raft/raft.h"
#include "cluster/raftlog.h"
#include "cluster/token.h"
#include "cluster/worker.h"
#include "wal/wal.h"

struct logwriter {
    struct wal *wal;
    struct raft *raft;
    struct raftlog *raftlog;
    struct mem *mem;                        /* the core's */
    struct worker *worker;
    struct clock *clock;
    struct trace *trace;
    struct token token;

    struct raft_message **gathering;        /* clones of append messages in the next flush */
    size_t gathering_count, gathering_capacity;
    struct raft_message **flushing;         /* those of the flush in flight */
    size_t flushing_count, flushing_capacity;
    size_t settled;                         /* of flushing: told already */
    bool installing;                        /* flushing[settled] has a snapshot that is being put in
                                               place */
    bool must_flush;                        /* a response waits in gathering, or a mark */
    /* The highest commit index that is in the log's buffer, in the flush in flight, and durable: what a
     * restart is sure to know. */
    raft_index commit_appended, commit_flushing, commit_durable;
    struct hard_state state_appended;       /* the last that is in the log's buffer, or beyond it */
    raft_index mark_appended;               /* likewise */
    struct raft_message **stalled;          /* taken over while the disk had no room for a segment:
                                               appended, in order, once there is */
    size_t stalled_count, stalled_capacity;
    bool no_space;                          /* the last segment asked for was refused */

    struct worker_job job;
    struct wal_flush_job *flush;
    struct worker_job prepare_job;          /* zeroing and recycling of segments */
    struct wal_prepare_job *prepare;
    int64_t prepare_not_before_ns;          /* after NO_SPACE */

    void (*progressed)(struct logwriter *writer);
    void (*send)(struct logwriter *writer, const struct raft_message *message);     /* to a peer */
    /* The snapshot's mark is durable: put its store in place, then call logwriter_installed. */
    void (*install)(struct logwriter *writer, const struct raft_snapshot *snapshot);
    enum err_code code;                     /* of a fault */
    struct err err;
};

/* What a restart knows already. */
void logwriter_begin(struct logwriter *writer, const struct wal_recovery *recovery);
/* No job may be in flight. */
void logwriter_release(struct logwriter *writer);
/* Takes over what a RAFT_MSG_STORAGE_APPEND says; with a full disk it waits here, but for a commit index
 * alone, which is let go: it is found out again. FAULT kinds alone. */
enum err_code logwriter_queue(struct logwriter *writer, const struct raft_message *message) MUST_USE;
/* The mark goes into the next flush; it is above mark_appended, which may be that of a snapshot whose store is
 * still to be put in place. NO_SPACE: not now. */
enum err_code logwriter_mark(struct logwriter *writer, const struct snapshot_mark *mark) MUST_USE;
/* Whether a restart knows that index is committed; if not, the next flush comes soon. */
bool logwriter_commit_is_durable(struct logwriter *writer, raft_index index);
/* Flushes inline or starts a flush, and keeps segments coming. True when something was done inline. */
bool logwriter_turn(struct logwriter *writer, size_t waiting);
/* The store that the snapshot stands for is in place. */
void logwriter_installed(struct logwriter *writer);
static inline bool logwriter_is_idle(const struct logwriter *writer)
{
    return !writer->token.held && !writer->must_flush && !writer->prepare && !writer->installing;
}
/* Makes a prepare in flight end soon. */
void logwriter_stop(struct logwriter *writer);

#endif
