/* Looking in: what a member knows, and whether it fits together. */
#include "cluster/raft/raft_internal.h"

static void progress_status(const struct raft *raft, const struct progress *progress,
                            struct raft_progress_status *ret_status)
{
    *ret_status = (struct raft_progress_status){
        .id = progress->id,
        .match = progress->match,
        .next = progress->next,
        .state = progress->state,
        .pending_snapshot = progress->pending_snapshot,
        .recent_active = progress->recent_active,
        .paused = progress_is_paused(progress),
        .learner = progress->learner,
        .inflight_count = progress->inflights.count,
        .inflight_full = inflights_full(raft, &progress->inflights),
    };
}

void raft_status(const struct raft *raft, struct raft_status *ret_status)
{
    ret_status->id = raft->config.id;
    ret_status->hard_state = raft_hard_state(raft);
    ret_status->soft_state = raft_soft_state(raft);
    ret_status->applied = raft->log.applied;
    ret_status->first_index = raft_log_first_index(&raft->log);
    ret_status->last_index = raft_log_last_index(&raft->log);
    ret_status->transferee = raft->transferee;
    ret_status->configuration = raft->tracker.config;
    ret_status->progress_count = raft->role == RAFT_LEADER ? raft->tracker.count : 0;
    for (size_t i = 0; i < ret_status->progress_count; i++)
        progress_status(raft, &raft->tracker.progress[i], &ret_status->progress[i]);
}

raft_id raft_leader(const struct raft *raft)
{
    return raft->leader;
}
enum raft_role raft_role(const struct raft *raft)
{
    return raft->role;
}
raft_term raft_current_term(const struct raft *raft)
{
    return raft->term;
}
raft_index raft_committed(const struct raft *raft)
{
    return raft->log.committed;
}
raft_index raft_applied(const struct raft *raft)
{
    return raft->log.applied;
}

void raft_configuration(const struct raft *raft, struct raft_conf_state *ret_state)
{
    *ret_state = raft->tracker.config;
}

bool raft_committed_in_term(const struct raft *raft)
{
    return raft->role == RAFT_LEADER &&
           raft_log_term_within(&raft->log, raft->log.committed) == raft->term;
}

void raft_set_randomized_election_timeout(struct raft *raft, uint32_t ticks)
{
    raft->randomized_timeout = ticks;
}

/* --- invariants ------------------------------------------------------------------------------- */

static void validate_log(const struct raft_log *log)
{
    CHECK(log->applied <= log->applying);
    CHECK(log->applying <= log->committed);
    CHECK(log->committed <= raft_log_last_index(log));
    CHECK(log->offset <= log->in_progress);
    CHECK(log->in_progress <= log->offset + log->count);
    CHECK(log->start + log->count <= log->capacity);
    CHECK(!log->has_snapshot || log->offset > log->snapshot.mark.index);
    CHECK(log->has_snapshot || !log->snapshot_in_progress);
    for (size_t i = 0; i < log->count; i++) {
        const struct entry *entry = &log->unstable[log->start + i];
        CHECK(entry->index == log->offset + i);
        CHECK(i == 0 || entry->term >= entry[-1].term);
    }
}

static void validate_progress(const struct raft *raft, const struct progress *progress)
{
    const struct inflights *inflights = &progress->inflights;
    uint64_t bytes = 0;
    CHECK(progress->match < progress->next);
    CHECK(inflights->count <= inflights->capacity);
    CHECK(inflights->count <= raft->config.max_inflight_messages);
    CHECK(progress->state == RAFT_REPLICATE || inflights->count == 0);
    CHECK(progress->state == RAFT_SNAPSHOT || progress->pending_snapshot == 0);
    for (size_t i = 0; i < inflights->count; i++)
        bytes += inflights->ring[(inflights->start + i) % inflights->capacity].bytes;
    CHECK(bytes == inflights->bytes);
    CHECK(raft->role != RAFT_LEADER || progress->match <= raft_log_last_index(&raft->log));
}

static void validate_tracker(const struct raft *raft)
{
    const struct tracker *tracker = &raft->tracker;
    CHECK(tracker_check(tracker, NULL) == ERR_OK);
    for (size_t i = 0; i < tracker->count; i++) {
        CHECK(i == 0 || tracker->progress[i - 1].id < tracker->progress[i].id);
        CHECK(config_has_voter(&tracker->config, tracker->progress[i].id) ||
              raft_id_set_contains(&tracker->config.learners, tracker->progress[i].id));
        validate_progress(raft, &tracker->progress[i]);
    }
}

static void validate_role(const struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER || raft->leader == raft->config.id);
    CHECK(raft->role == RAFT_LEADER || raft->leader != raft->config.id);
    CHECK(raft->role == RAFT_LEADER || raft->transferee == RAFT_NOBODY);
    CHECK(raft->role == RAFT_LEADER || raft->reads.count == 0);
    CHECK(raft->role != RAFT_CANDIDATE || raft->vote == raft->config.id);
    CHECK(raft->role != RAFT_LEADER || raft->vote == raft->config.id);
}

void raft_validate(const struct raft *raft)
{
    if (raft->failed)
        return; /* stopped in the middle; only what raft_free needs still holds */
    validate_log(&raft->log);
    validate_tracker(raft);
    validate_role(raft);
    CHECK(raft->filling->after_count > 0 || !raft_log_has_next_unstable(&raft->log));
    CHECK(raft->reads.count <= RAFT_READS_MAX);
    CHECK(raft->pending_reads.count <= RAFT_READS_MAX);
}
