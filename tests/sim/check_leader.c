/* One leader per term: paper figure 3, election safety. And who cannot have one says so. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

#include "proto/base/mem.h"

void check_leader(struct world *world, struct sim_host *host)
{
    struct checks *checks = checks_of(world);
    const struct raft *raft = host->node->raft;
    raft_term term = raft_current_term(raft);
    if (raft_role(raft) != RAFT_LEADER)
        return;
    for (size_t i = checks->term_count; i-- > 0;)
        if (checks->terms[i].term == term) {
            if (checks->terms[i].leader != host->number)
                world_fail(world, "term %" PRIu64 " has two leaders: %" PRIu64 " and %" PRIu64, term,
                           checks->terms[i].leader, host->number);
            return;
        }
    if (checks->term_count == checks->term_capacity) {
        checks->term_capacity = checks->term_capacity ? 2 * checks->term_capacity : 64;
        checks->terms =
            mem_xrealloc(checks->terms, checks->term_capacity * sizeof *checks->terms);
    }
    checks->terms[checks->term_count++] = (struct seen_term){term, host->number, world->now_ns};
    world->totals.faults[WORLD_elections]++;
}

void check_left_alone(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++) {
        struct sim_host *host = &world->hosts[i];
        struct kv_status status;
        if (host->state != HOST_UP || world->core & bit(host->number) ||
            node_membership(host->node)->count == 0)
            continue;
        kv_status_get(node_kv(host->node), &status);
        if (status.has_quorum)
            world_fail(world, "host %" PRIu64 " is cut off from a majority and says that it has one",
                       host->number);
    }
}
