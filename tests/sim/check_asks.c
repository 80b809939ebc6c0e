/* Whoever was told that a member was added, promoted or removed by an ask that was answered finds it so. What is
 * told has been applied by the leader; a member that has applied as much as anybody shows it, from then on
 * until somebody asks for something else of that member. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>

static void check_one(struct world *world, const struct membership *membership, uint64_t id)
{
    bool is_gone = membership_was_removed(membership, id);
    if ((world->removed & bit(id)) && !is_gone)
        world_fail(world, "somebody was told that %" PRIu64 " was removed, and it was not", id);
    if ((world->added & bit(id)) && !is_gone && !membership_find(membership, id))
        world_fail(world, "somebody was told that %" PRIu64 " was added, and it was not", id);
    if ((world->promoted & bit(id)) && !is_gone && !(world->demoted & bit(id)) &&
        !membership_is_voter(membership, id))
        world_fail(world, "somebody was told that %" PRIu64 " votes, and it does not", id);
}

void check_asks(struct world *world)
{
    const struct membership *membership = world_membership(world);
    for (uint64_t id = 1; membership && id <= world->host_count && !world->has_failed; id++)
        check_one(world, membership, id);
}
