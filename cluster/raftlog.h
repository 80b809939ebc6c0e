/* Raft storage: the entries that core and peers read, in memory; what of them is durable the log (wal)
 * knows. Holds everything above the last checkpoint, and below it at most RAFTLOG_KEEP_ENTRIES entries
 * and RAFTLOG_KEEP_BYTES bytes for slow members, or RAFTLOG_HOLD_BYTES for one that is being sent them.
 *
 * Invariants
 *   - An entry is here only after the log has flushed it (etcd I4): raftlog_append is called by the
 *     completion of the flush, before the core hears of it.
 *   - first <= last + 1; entries are dense; terms never fall.
 *   - Nothing above applied is ever compacted.
 * Loop thread only. */
#ifndef CLUSTER_RAFTLOG_H
#define CLUSTER_RAFTLOG_H

#include "cluster/raft/raft.h"

struct raftlog {
    struct raft_log_view view;      /* what the core is given */
    struct entry *entries;          /* a ring of capacity (a power of two) */
    size_t capacity, start, count;
    size_t bytes;                   /* payloads */
    raft_index before_index;        /* first - 1: the snapshot's */
    raft_term before_term;
    struct hard_state hard_state;   /* as found at the start */
    struct raft_conf_state configuration;       /* of the core's start */
    size_t keep_entries;            /* below the checkpoint; RAFTLOG_KEEP_ENTRIES at first */
    raft_index hold_above;          /* entries above it are kept for a transfer, up to
                                       RAFTLOG_HOLD_BYTES; 0: there is none */
    /* A snapshot for a member that is behind; what view.snapshot says. NULL: BUSY. */
    enum err_code (*snapshot)(struct raftlog *log, struct raft_snapshot *ret_snapshot);
};

/* before: where the log begins; hard_state and configuration: what the core starts with. */
void raftlog_init(struct raftlog *log, raft_index before_index, raft_term before_term,
                  const struct hard_state *hard_state,
                  const struct raft_conf_state *configuration);
void raftlog_release(struct raftlog *log);

/* Takes references on the payloads. The first entry cuts off what stands at its index and above; a gap,
 * or an entry at or below before_index, is a CHECK. */
void raftlog_append(struct raftlog *log, const struct entry *entries, size_t count);
/* A snapshot was installed: the log begins anew after it. */
void raftlog_reset(struct raftlog *log, raft_index before_index, raft_term before_term);
/* index, or less: what a leader is sending to members that answer stays, as long as it takes no more than
 * RAFTLOG_HOLD_BYTES; else they would need a snapshot in the middle of catching up. */
raft_index raftlog_spare(const struct raftlog *log, const struct raft_status *status, raft_index index);
/* Drops entries from the front so that no more than the bounds stay at or below index. Nothing happens
 * when index is below the first. */
void raftlog_compact(struct raftlog *log, raft_index index);

raft_index raftlog_first(const struct raftlog *log);
raft_index raftlog_last(const struct raftlog *log);
/* Within first..last; borrowed until the log changes. */
const struct entry *raftlog_get(const struct raftlog *log, raft_index index);
/* Also for first - 1; 0 when unknown. */
raft_term raftlog_term(const struct raftlog *log, raft_index index);

#endif
