/* What raft decides and wal keeps: entries, the vote, snapshot marks. Field meanings are those of
 * raftpb (etcd-io/raft raftpb/raft.proto). */
#ifndef PROTO_BASE_ENTRY_H
#define PROTO_BASE_ENTRY_H

#include "proto/base/bytes.h"

typedef uint64_t raft_term;
typedef uint64_t raft_index;
typedef uint64_t raft_id;           /* 0 is nobody */

enum entry_type {
    ENTRY_NORMAL = 0,
    ENTRY_CONF_CHANGE = 1,          /* one change, the old form */
    ENTRY_CONF_CHANGE_V2 = 2,       /* one or several, maybe joint */
};

/* One slot of the replicated log. The payload is shared: log, network and apply hold one copy.
 * Whoever stores a struct entry holds a reference of its own on the payload. */
struct entry {
    raft_term term;
    raft_index index;
    enum entry_type type;
    struct blob *payload;           /* NULL is empty */
};

/* What must be durable before an answer that depends on it leaves. */
struct hard_state {
    raft_term term;
    raft_id vote;
    raft_index commit;              /* may lag after a crash */
};

static inline bool hard_state_is_empty(const struct hard_state *state)
{
    return state->term == 0 && state->vote == 0 && state->commit == 0;
}
static inline bool hard_state_equal(const struct hard_state *a, const struct hard_state *b)
{
    return a->term == b->term && a->vote == b->vote && a->commit == b->commit;
}

/* A prefix of the log that has been replaced by state: all entries up to index. */
struct snapshot_mark {
    raft_index index;
    raft_term term;
    struct blob *configuration;     /* encoded membership as of index; opaque to wal; may be NULL */
};

#endif
