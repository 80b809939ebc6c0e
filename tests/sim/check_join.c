/* Who joins is one member, however often it dies on the way, and stays that one: it asks as what it drew, its
 * identity is the same at every start, and in no membership does a name stand for another id. That it votes in
 * the end is what the end of a run waits for (sim_run.c); that it is a member once it was told, check_asks.c's. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/sim_join.h"

void check_join_start(struct world *world, const struct sim_host *host)
{
    const struct datadir *folder = &host->join->folder;
    const struct start *start = &host->join->opening.start;
    raft_id id = folder->has_identity ? folder->identity.member_id : start->joining.id;
    uint64_t generation =
        folder->has_identity ? folder->identity.generation : start->joining.generation;
    if (!folder->has_identity && host->join->identity_stood)
        world_fail(world, "host %" PRIu64 " has no identity any more", host->number);
    else if (id != host->number || generation != host->identity.generation)
        world_fail(world, "host %" PRIu64 " comes back as another member: %" PRIx64 ", generation %" PRIx64,
                   host->number, id, generation);
    else if (folder->has_identity && (folder->identity.cluster_id != host->identity.cluster_id ||
                                      strcmp(folder->identity.name, host->identity.name) != 0))
        world_fail(world, "host %" PRIu64 " joined another cluster, or as \"%s\"", host->number,
                   folder->identity.name);
}

/* Before anything counts members by a bit each. */
void check_join_members(struct world *world, const struct sim_host *host)
{
    const struct membership *membership = node_membership(host->node);
    for (size_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        struct membership_member record = sim_host_record(member->id);
        bool is_named = member->name[0] != 0;       /* not before its store has come */
        if (member->id > world->host_count || (is_named && strcmp(member->name, record.name) != 0))
            world_fail(world, "host %" PRIu64 " knows %" PRIx64 " as \"%s\"", host->number, member->id,
                       member->name);
    }
}

void check_joins_end(struct world *world)
{
    const struct membership *membership = world_membership(world);
    for (uint64_t id = 1; membership && id <= world->host_count; id++)
        if (world->denied & bit(id) && !membership_was_removed(membership, id))
            world_fail(world, "host %" PRIu64 " was not let in, and was never removed: %s", id,
                       world_host(world, id)->last_refusal);
}
