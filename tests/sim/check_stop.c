/* A safe stop: once the disks of a majority have lost what they had, they refuse to start, the rest stays up,
 * and nothing is decided any more. What had been told before still holds; that is the other checkers'. */
#include "tests/sim/checks_internal.h"
#include "tests/sim/clients_internal.h"

#include <inttypes.h>

static void check_hosts(struct world *world)
{
    const struct membership *membership = world_membership(world);
    for (size_t i = 0; i < world->host_count; i++) {
        const struct sim_host *host = &world->hosts[i];
        bool is_over = host->state == HOST_GONE || host->state == HOST_REFUSED ||
                       (membership && membership_was_removed(membership, host->number));
        if ((world->damaged & ~world->emptied & bit(host->number)) && !is_over)
            world_fail(world, "host %" PRIu64 " lost what it had and was not refused", host->number);
        if ((world->core & bit(host->number)) && host->state != HOST_UP && !is_over)
            world_fail(world, "host %" PRIu64 " died of a majority's damage", host->number);
    }
}

/* What a member may say by itself. */
static bool needs_majority(const struct operation *operation)
{
    return operation->request.kind != KV_RANGE || !operation->request.range.serializable;
}

static void check_answers(struct world *world, int64_t settled_ns)
{
    const struct clients *clients = world->clients;
    for (size_t i = 0; i < clients->operation_count; i++) {
        const struct operation *operation = clients->operations[i];
        if (operation->asked_ns >= settled_ns && operation->outcome == OPERATION_DONE &&
            operation->code == ERR_OK && needs_majority(operation))
            world_fail(world, "client %" PRIu64 ", tag %" PRIu64 ", by host %" PRIu64
                       ": it was answered without a majority of good copies",
                       operation->client, operation->tag, operation->host);
    }
}

void check_stop(struct world *world, int64_t settled_ns, raft_index committed)
{
    if (checks_committed(world) > committed)
        world_fail(world, "entry %" PRIu64 " was committed without a majority of good copies",
                   checks_committed(world));
    check_hosts(world);
    check_answers(world, settled_ns);
}
