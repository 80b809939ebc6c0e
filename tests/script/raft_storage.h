/* A log kept in memory, as the raft core sees one: for scripts, unit tests and the benchmark. */
#ifndef TESTS_SCRIPT_RAFT_STORAGE_H
#define TESTS_SCRIPT_RAFT_STORAGE_H

#include "cluster/raft/raft.h"

/* entries[i] has index base.index + 1 + i. Whatever has payloads holds references. */
struct raft_storage {
    struct raft_log_view view;
    struct hard_state hard;
    struct raft_conf_state initial;     /* the configuration at the start */
    struct entry_base {
        raft_term term;
        raft_index index;
    } base;
    struct entry *entries;
    size_t count, capacity;
    struct raft_snapshot snapshot;      /* what is offered when asked for one; index 0: BUSY */
};

void raft_storage_init(struct raft_storage *storage);
void raft_storage_release(struct raft_storage *storage);
/* The log begins behind it, empty. */
void raft_storage_install(struct raft_storage *storage, const struct raft_snapshot *snapshot);
/* What is at the first one's index and above is cut off; what is below the base is passed over. */
void raft_storage_append(struct raft_storage *storage, const struct entry *entries, size_t count);
void raft_storage_compact(struct raft_storage *storage, raft_index index);
/* Takes references; the earlier one goes. */
void raft_storage_offer(struct raft_storage *storage, const struct raft_snapshot *snapshot);
/* What a storage thread does with RAFT_MSG_STORAGE_APPEND. */
void raft_storage_write(struct raft_storage *storage, const struct raft_message *message);

struct blob *raft_storage_encode(const struct raft_conf_state *state);

#endif
