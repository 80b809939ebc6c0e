/* What was asked for once changes the membership once at most, however many copies of it are committed. Which
 * entry made the membership is what members tell; what it asked for stands in the committed log. */
#include "tests/sim/checks_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"

/* False: nobody asked for it. */
static bool token_of(const struct checks *checks, raft_index index, uint64_t ret[2])
{
    const struct committed *committed = &checks->committed[index - 1];
    struct entry entry = {.term = committed->term, .index = index, .type = committed->type,
                          .payload = committed->payload};
    struct raft_conf_change *change = mem_xzalloc(sizeof *change);
    struct membership_context *context = mem_xzalloc(sizeof *context);
    bool is_read = committed->type != ENTRY_NORMAL &&
                   raft_conf_change_decode(&entry, change) == ERR_OK &&
                   membership_context_decode(change->context, context) == ERR_OK;
    ret[0] = is_read ? context->token[0] : 0;
    ret[1] = is_read ? context->token[1] : 0;
    free(change);
    free(context);
    return ret[0] || ret[1];
}

static void note(struct checks *checks, struct seen_change change)
{
    if (checks->change_count == checks->change_capacity) {
        checks->change_capacity = checks->change_capacity ? 2 * checks->change_capacity : 32;
        checks->changes =
            mem_xrealloc(checks->changes, checks->change_capacity * sizeof *checks->changes);
    }
    checks->changes[checks->change_count++] = change;
}

void check_change(struct world *world, struct sim_host *host)
{
    struct checks *checks = checks_of(world);
    struct seen_host *seen = &checks->hosts[host->number - 1];
    struct seen_change change = {.index = node_membership(host->node)->index};
    if (change.index == seen->changed || change.index <= 1 || change.index > checks->committed_count)
        return;
    seen->changed = change.index;
    if (!token_of(checks, change.index, change.token))
        return;
    for (size_t i = 0; i < checks->change_count; i++) {
        const struct seen_change *other = &checks->changes[i];
        if (other->token[0] != change.token[0] || other->token[1] != change.token[1])
            continue;
        if (other->index != change.index)
            world_fail(world, "what was asked for once changed the membership at %" PRIu64 " and at %"
                       PRIu64, other->index, change.index);
        return;
    }
    note(checks, change);
}
