/* A voter whose data folder was emptied never votes or counts again: it waits for the others, as a first member
 * does, and is told. Design: a first start completes only when all have kept everyone's generation. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

static bool takes_part(const struct sim_host *host)
{
    return raft_current_term(host->node->raft) > 1 || raft_leader(host->node->raft) != RAFT_NOBODY;
}

bool check_emptied(struct world *world, struct sim_host *host)
{
    bool is_emptied = world->emptied & bit(host->number);
    if (is_emptied && (!sim_host_is_forming(host) || takes_part(host)))
        world_fail(world, "host %" PRIu64 " was emptied and takes part again", host->number);
    else if (sim_host_is_forming(host) && takes_part(host))
        world_fail(world, "host %" PRIu64 " takes part before the first members have met", host->number);
    return is_emptied;
}
