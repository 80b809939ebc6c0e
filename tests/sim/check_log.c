/* Logs agree; what was committed never changes or vanishes; nothing is committed before a majority holds it.
 * Paper figure 3: log matching, leader completeness, state machine safety.
 *
 * What counts as committed is what a member hands out to be applied: that is committed, and in its own log.
 * A member's log in memory shows what its flushes have confirmed. What a host that is down has kept is what
 * it had when it was up last; that its disk still has it is seen when it comes back. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

#include "proto/base/mem.h"

static void take(struct world *world, const struct entry *entry, int64_t until_ns)
{
    struct checks *checks = checks_of(world);
    if (checks->committed_count == checks->committed_capacity) {
        checks->committed_capacity =
            checks->committed_capacity ? 2 * checks->committed_capacity : 1024;
        checks->committed =
            mem_xrealloc(checks->committed, checks->committed_capacity * sizeof *checks->committed);
    }
    checks->committed[checks->committed_count++] = (struct committed){
        entry->term, entry->type, blob_ref(entry->payload), world->now_ns, until_ns};
}

static bool holds(struct world *world, raft_id id, const struct entry *entry)
{
    struct sim_host *host = world_host(world, id);
    if (!host)
        return false;
    if (!host->node || (world->emptied & bit(host->number)))
        return checks_of(world)->hosts[id - 1].last >= entry->index;
    const struct raftlog *log = &host->node->raftlog;
    return entry->index < raftlog_first(log) || raftlog_term(log, entry->index) == entry->term;
}

static bool majority_holds(struct world *world, const struct raft_id_set *voters,
                           const struct entry *entry)
{
    size_t holding = 0;
    for (size_t i = 0; i < voters->count; i++)
        holding += holds(world, voters->ids[i], entry);
    return voters->count == 0 || holding > voters->count / 2;
}

/* By the configuration of the leader that committed it. Where that changes in the same step it is not known
 * which one counted. */
static void check_majority(struct world *world, struct sim_host *host, const struct entry *entry)
{
    struct raft_conf_state state;
    if (raft_role(host->node->raft) != RAFT_LEADER || !check_count_is_settled(world, host))
        return;
    raft_configuration(host->node->raft, &state);
    if (!majority_holds(world, &state.voters, entry) ||
        !majority_holds(world, &state.voters_outgoing, entry))
        world_fail(world, "host %" PRIu64 " committed %" PRIu64 " before a majority held it",
                   host->number, entry->index);
}

static void compare(struct world *world, struct sim_host *host, const struct entry *entry)
{
    const struct committed *committed = &checks_of(world)->committed[entry->index - 1];
    bool equal = committed->term == entry->term && committed->type == entry->type &&
                 bytes_equal(blob_bytes(committed->payload), blob_bytes(entry->payload));
    if (!equal)
        world_fail(world,
                   "host %" PRIu64 " has another entry %" PRIu64 " (term %" PRIu64
                   ") than was committed (term %" PRIu64 ")",
                   host->number, entry->index, entry->term, committed->term);
}

static void check_entry(struct world *world, struct sim_host *host, const struct entry *entry)
{
    struct checks *checks = checks_of(world);
    if (entry->index <= checks->committed_count) {
        compare(world, host, entry);
    } else if (entry->index == checks->committed_count + 1) {
        check_majority(world, host, entry);
        take(world, entry,
             host->busy_until_ns > world->now_ns ? host->busy_until_ns : world->now_ns);
    } else {
        world_fail(world, "host %" PRIu64 " committed %" PRIu64 ", nobody %" PRIu64, host->number,
                   entry->index, checks->committed_count + 1);
    }
}

/* The entry that every first member begins with stands in no log. */
static void take_first(struct world *world)
{
    if (checks_of(world)->committed_count == 0)
        take(world, &(struct entry){.term = 1, .index = 1, .type = ENTRY_CONF_CHANGE_V2},
             world->now_ns);
}

void check_log(struct world *world, struct sim_host *host)
{
    struct seen_host *seen = &checks_of(world)->hosts[host->number - 1];
    const struct raftlog *log = &host->node->raftlog;
    raft_index last = host->node->applier.queued;
    take_first(world);
    if (seen->checked + 1 < raftlog_first(log)) {   /* a snapshot came */
        seen->checked = raftlog_first(log) - 1;
        host->counters.installs++;
    }
    host->counters.reopenings += host->node->reopen.times > seen->reopenings;
    seen->reopenings = host->node->reopen.times;
    while (seen->checked < last && !world->has_failed)
        check_entry(world, host, raftlog_get(log, ++seen->checked));
    seen->last = raftlog_last(log);
    seen->term = raft_current_term(host->node->raft);
    if (raft_applied(host->node->raft) > checks_of(world)->committed_count)
        world_fail(world, "host %" PRIu64 " applied %" PRIu64 ", of which nobody told", host->number,
                   raft_applied(host->node->raft));
}
