/* Logs agree; what was committed never changes or vanishes; nothing is committed before a majority holds it.
 * Paper figure 3: log matching, leader completeness, state machine safety.
 *
 * What counts as committed is what a member hands out to be applied: that is committed, and in its own log.
 * A member's log in memory shows what its flushes have confirmed. What a host that is down has kept is what
 * it had when it was up last, entry by entry; that its disk still has it is seen when it comes back.
 *
 * Whoever tells of a committed entry first, leader or not, a majority holds it by then: a leader committed it
 * when it had counted one, followers learn of it from leaders, and those that were counted keep the entry for
 * good (leader completeness), also when they die or are removed. So it need not be known when it was committed,
 * but only by which configuration. A leader that tells first shows that. Else it is one that was made by an entry
 * below: the last such, or the one before it when whoever committed had not applied the last one yet. It had not
 * more than one to apply: none is proposed before the one before it is applied by its leader (thesis 4.1), and
 * who takes that proposal, or votes after it, hears with it that the one before is committed. */
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

/* ---- who holds what ---- */

void check_log_keep(struct world *world, const struct sim_host *host)
{
    struct seen_log *kept = &checks_of(world)->hosts[host->number - 1].log;
    const struct raftlog *log = &host->node->raftlog;
    kept->first = raftlog_first(log);
    kept->count = (size_t)(raftlog_last(log) + 1 - kept->first);
    if (kept->count > kept->capacity) {
        kept->capacity = 2 * kept->count;
        kept->terms = mem_xrealloc(kept->terms, kept->capacity * sizeof *kept->terms);
    }
    for (size_t i = 0; i < kept->count; i++)
        kept->terms[i] = raftlog_term(log, kept->first + i);
}

static bool held(const struct seen_log *kept, raft_index index, raft_term term)
{
    if (index < kept->first || index == 0)
        return true;
    return index - kept->first < kept->count &&
           (term == 0 || kept->terms[index - kept->first] == term);
}

bool check_log_holds(struct world *world, raft_id id, raft_index index, raft_term term)
{
    struct sim_host *host = world_host(world, id);
    if (!host)
        return false;
    if (!host->node || (world->emptied & bit(host->number)))
        return held(&checks_of(world)->hosts[id - 1].log, index, term);
    const struct raftlog *log = &host->node->raftlog;
    if (index < raftlog_first(log))
        return true;
    return index <= raftlog_last(log) && (term == 0 || raftlog_term(log, index) == term);
}

static bool majority_holds(struct world *world, const struct raft_id_set *voters,
                           const struct entry *entry)
{
    size_t holding = 0;
    for (size_t i = 0; i < voters->count; i++)
        holding += check_log_holds(world, voters->ids[i], entry->index, entry->term);
    return voters->count == 0 || holding > voters->count / 2;
}

static bool is_held_by(struct world *world, const struct raft_conf_state *state,
                       const struct entry *entry)
{
    return majority_holds(world, &state->voters, entry) &&
           majority_holds(world, &state->voters_outgoing, entry);
}

/* ---- configurations ---- */

static void insert_configuration(struct checks *checks, size_t place, raft_index index,
                                 const struct raft_conf_state *state)
{
    struct seen_configuration *all = checks->configurations;
    if (checks->configuration_count == checks->configuration_capacity) {
        checks->configuration_capacity =
            checks->configuration_capacity ? 2 * checks->configuration_capacity : 16;
        all = mem_xrealloc(all, checks->configuration_capacity * sizeof *all);
        checks->configurations = all;
    }
    memmove(&all[place + 1], &all[place], (checks->configuration_count++ - place) * sizeof *all);
    all[place] = (struct seen_configuration){index, *state};
}

/* How many are made by entries below index. */
static size_t configurations_below(const struct checks *checks, raft_index index)
{
    size_t count = checks->configuration_count;
    while (count > 0 && checks->configurations[count - 1].index >= index)
        count--;
    return count;
}

static bool is_configuration(const struct checks *checks, size_t place,
                             const struct raft_conf_state *state)
{
    return place < checks->configuration_count &&
           raft_conf_state_equal(&checks->configurations[place].state, state);
}

/* Of entries that leave the configuration as it is, as a change of an address, the first counts. */
static void note_configuration(struct world *world, const struct sim_host *host)
{
    struct checks *checks = checks_of(world);
    const struct membership *membership = node_membership(host->node);
    struct seen_host *seen = &checks->hosts[host->number - 1];
    if (membership->index == seen->configured || membership->index == 0)
        return;
    seen->configured = membership->index;
    size_t place = configurations_below(checks, membership->index + 1);
    if (place > 0 && is_configuration(checks, place - 1, &membership->configuration))
        return;
    if (is_configuration(checks, place, &membership->configuration))
        checks->configurations[place].index = membership->index;
    else
        insert_configuration(checks, place, membership->index, &membership->configuration);
}

/* ---- what is committed ---- */

/* By the configuration of the leader that committed it and tells of it first: not where that changed in the same
 * step, since it is not known then which one counted. */
static bool is_held_by_own(struct world *world, struct sim_host *host, const struct entry *entry)
{
    struct raft_conf_state state;
    raft_configuration(host->node->raft, &state);
    return is_held_by(world, &state, entry);
}

static bool is_held_by_known(struct world *world, const struct entry *entry)
{
    const struct checks *checks = checks_of(world);
    size_t count = configurations_below(checks, entry->index);
    for (size_t i = count; i > 0 && i + 2 > count; i--)
        if (is_held_by(world, &checks->configurations[i - 1].state, entry))
            return true;
    return count == 0;
}

static void check_majority(struct world *world, struct sim_host *host, const struct entry *entry)
{
    bool is_own = raft_role(host->node->raft) == RAFT_LEADER && check_count_is_settled(world, host);
    if (!(is_own ? is_held_by_own(world, host, entry) : is_held_by_known(world, entry)))
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
    note_configuration(world, host);
    if (seen->checked + 1 < raftlog_first(log)) {   /* a snapshot came */
        seen->checked = raftlog_first(log) - 1;
        host->counters.installs++;
    }
    host->counters.reopenings += host->node->reopen.times > seen->reopenings;
    seen->reopenings = host->node->reopen.times;
    while (seen->checked < last && !world->has_failed)
        check_entry(world, host, raftlog_get(log, ++seen->checked));
    seen->term = raft_current_term(host->node->raft);
    if (raft_applied(host->node->raft) > checks_of(world)->committed_count)
        world_fail(world, "host %" PRIu64 " applied %" PRIu64 ", of which nobody told", host->number,
                   raft_applied(host->node->raft));
}
