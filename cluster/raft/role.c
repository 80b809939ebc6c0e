/* The roles, and what is forgotten on the way from one to another.
 *
 *              timeout               pre-votes won            votes won
 *   FOLLOWER ---------> PRE_CANDIDATE ---------> CANDIDATE ------------> LEADER
 *      ^                     | lost                  | lost                 | quorum not active,
 *      |                     |                       |                      | removed
 *      +---------------------+-----------------------+----------------------+
 *                 and from everywhere: somebody has a higher term
 *
 * Without pre-vote, or told by the leader (TIMEOUT_NOW), a follower becomes a candidate at once. */
#include "cluster/raft/raft_internal.h"

void raft_draw_timeout(struct raft *raft)
{
    uint32_t base = raft->config.election_tick;
    raft->randomized_timeout = base + (uint32_t)rand_below(&raft->rand, base);
}

static void reset_progress(struct raft *raft, struct progress *progress)
{
    struct progress fresh = {
        .id = progress->id,
        .next = raft_log_last_index(&raft->log) + 1,
        .learner = progress->learner,
        .inflights = progress->inflights,
    };
    inflights_reset(&fresh.inflights);
    if (fresh.id == raft->config.id)
        fresh.match = fresh.next - 1;
    *progress = fresh;
}

static void reset(struct raft *raft, raft_term term)
{
    if (raft->term != term) {
        raft->term = term;
        raft->vote = RAFT_NOBODY;
    }
    raft->leader = raft->transferee = RAFT_NOBODY;
    raft->election_elapsed = raft->heartbeat_elapsed = 0;
    raft_draw_timeout(raft);
    raft->voted.count = raft->granted.count = 0;
    for (size_t i = 0; i < raft->tracker.count; i++)
        reset_progress(raft, &raft->tracker.progress[i]);
    raft->pending_conf_index = 0;
    raft->uncommitted_size = 0;
    raft_read_reset(raft);
}

static void trace_role(struct raft *raft, const char *role)
{
    TRACE(raft->config.trace, "raft id=%" PRIu64 " role=%s term=%" PRIu64 " leader=%" PRIu64,
          raft->config.id, role, raft->term, raft->leader);
}

void raft_become_follower(struct raft *raft, raft_term term, raft_id leader)
{
    CHECK(term >= raft->term);
    reset(raft, term);
    raft->leader = leader;
    raft->role = RAFT_FOLLOWER;
    trace_role(raft, "follower");
}

/* Changes neither term nor vote: whoever only asks promises nothing. */
void raft_become_pre_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    raft->voted.count = raft->granted.count = 0;
    raft->leader = RAFT_NOBODY;
    raft->role = RAFT_PRE_CANDIDATE;
    trace_role(raft, "pre-candidate");
}

void raft_become_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    reset(raft, raft->term + 1);
    raft->vote = raft->config.id;
    raft->role = RAFT_CANDIDATE;
    trace_role(raft, "candidate");
}

void raft_become_leader(struct raft *raft)
{
    CHECK(raft->role == RAFT_CANDIDATE);
    reset(raft, raft->term);
    raft->leader = raft->config.id;
    raft->role = RAFT_LEADER;
    struct progress *self = raft_progress(raft, raft->config.id);
    CHECK(self);
    progress_become_replicate(self);
    self->recent_active = true;
    /* There may be a change in the tail that is not applied yet; so none is accepted before all of
     * it is. Scanning for one could be long. */
    raft->pending_conf_index = raft_log_last_index(&raft->log);
    /* Only an entry of the own term commits by count, earlier ones with it (paper 5.4.2). */
    struct entry empty = {.type = ENTRY_NORMAL};
    CHECK(raft_append(raft, &empty, 1));
    trace_role(raft, "leader");
}
