/* What a leader counts.
 *   - What it takes a member to hold, that member holds durably (and if it has gone on to a later term, has
 *     held: it may have been replaced since). Paper figure 2: matchIndex.
 *   - It counts by the configuration that is applied, and of the changes that it has proposed itself at
 *     most one is not applied (thesis 4.1). */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

bool check_count_is_settled(struct world *world, struct sim_host *host)
{
    const struct seen_host *seen = &checks_of(world)->hosts[host->number - 1];
    struct raft_conf_state state;
    raft_configuration(host->node->raft, &state);
    return seen->has_configuration && raft_conf_state_equal(&state, &seen->configuration);
}

void check_count_note(struct world *world, struct sim_host *host)
{
    struct seen_host *seen = &checks_of(world)->hosts[host->number - 1];
    if (check_count_is_settled(world, host))
        return;
    raft_configuration(host->node->raft, &seen->configuration);
    seen->has_configuration = true;
}

/* Whether the member has all up to match of this leader's log, as far as the leader shows what it is. */
static bool holds(struct world *world, const struct sim_host *leader, const struct sim_host *host,
                  raft_index match)
{
    return check_log_holds(world, host->number, match, raftlog_term(&leader->node->raftlog, match));
}

/* The term that it has gone on to. The log may know a later one than the state: of what was being written as the
 * member died the entries may be there, and the state behind them not. */
static raft_term term_of(struct world *world, const struct sim_host *host)
{
    if (!host->node || (world->emptied & bit(host->number)))
        return checks_of(world)->hosts[host->number - 1].term;
    const struct raftlog *log = &host->node->raftlog;
    raft_term term = raft_current_term(host->node->raft), last = raftlog_term(log, raftlog_last(log));
    return last > term ? last : term;
}

static void check_match(struct world *world, struct sim_host *leader,
                        const struct raft_progress_status *progress)
{
    const struct sim_host *host = world_host(world, progress->id);
    raft_term term = raft_current_term(leader->node->raft);
    if (!host || term_of(world, host) > term || holds(world, leader, host, progress->match))
        return;
    world_fail(world,
               "host %" PRIu64 ", leading term %" PRIu64 ", counts entry %" PRIu64 " of host %" PRIu64
               ", which does not hold it",
               leader->number, term, progress->match, progress->id);
}

static void check_configuration(struct world *world, struct sim_host *leader)
{
    const struct node *node = leader->node;
    const struct raftlog *log = &node->raftlog;
    raft_term term = raft_current_term(node->raft);
    struct raft_conf_state state;
    size_t pending = 0;
    raft_configuration(node->raft, &state);
    if (!raft_conf_state_equal(&state, &node->membership.configuration))
        world_fail(world, "host %" PRIu64 " leads by another configuration than it has applied",
                   leader->number);
    raft_index index = raft_applied(node->raft) + 1;
    for (index = index < raftlog_first(log) ? raftlog_first(log) : index;
         index <= raftlog_last(log); index++) {
        const struct entry *entry = raftlog_get(log, index);
        pending += entry->term == term && entry->type != ENTRY_NORMAL;
    }
    if (pending > 1)
        world_fail(world, "host %" PRIu64 " has %zu changes of the configuration under way in term "
                   "%" PRIu64, leader->number, pending, term);
}

void check_count(struct world *world, struct sim_host *host)
{
    struct raft_status status;
    if (raft_role(host->node->raft) != RAFT_LEADER)
        return;
    raft_status(host->node->raft, &status);
    for (size_t i = 0; i < status.progress_count; i++)
        check_match(world, host, &status.progress[i]);
    check_configuration(world, host);
}
