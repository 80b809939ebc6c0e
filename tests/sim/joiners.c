/* Hosts that come by themselves: they ask a member to let them in, and later ask for their vote, as the
 * program does (sim_join.h). Nobody proposes anything for them. */
#include "tests/sim/faults_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/base/check.h"
#include "tests/sim/sim_join.h"

#define START_CALLS 80          /* of the disk, in a first start; about */

/* ---- whom they ask ---- */

static bool may_be_asked(struct world *world, const struct sim_host *host)
{
    const struct membership *membership = world_membership(world);
    return host->state == HOST_UP && (!world->is_healed || world->core & bit(host->number)) &&
           membership && membership_find(membership, host->number);
}

/* Someone who is up, mostly; or the first host, whatever became of it. */
static void choose_asked(struct world *world, struct sim_host *host)
{
    const struct sim_host *asked = faults_draw_host(world, may_be_asked);
    if (!asked || (!world->is_healed && faults_below(world, 8) == 0))
        asked = &world->hosts[0];
    memcpy(host->join->at, asked->address, sizeof asked->address);
}

void joiners_prepare(struct world *world, struct sim_host *host)
{
    choose_asked(world, host);
    bool may_die = !world->is_healed && !(world->damaged & bit(host->number));
    if (may_die && PARAM(world->params, die_in_io) && faults_below(world, 4) == 0)
        sim_disk_stop(host->disk, sim_disk_calls(host->disk) + 1 + faults_below(world, START_CALLS));
}

void joiners_started(struct world *world, struct sim_host *host)
{
    if (host->state == HOST_ASKING && !(world->asking & bit(host->number)))
        faults_count(world, WORLD_joiners);
    if (host->state == HOST_ASKING)
        world->asking |= bit(host->number);
}

struct sim_host *joiners_add(struct world *world)
{
    struct sim_host *host = world_new_host(world);
    if (!host)
        return NULL;
    sim_join_prepare(host, faults_below(world, 5) == 0);
    (void)world_start_host(world, host);
    return host;
}

/* ---- what becomes of them ---- */

static bool is_over(const struct membership *membership, const struct sim_host *host)
{
    return host->state == HOST_GONE || host->state == HOST_REFUSED ||
           (membership && membership_was_removed(membership, host->number));
}

bool joiners_is_pending(struct world *world, const struct sim_host *host)
{
    const struct membership *membership = world_membership(world);
    if (!host->join || is_over(membership, host))
        return false;
    return !host->join->identity_stood || !membership ||
           !membership_find(membership, host->number) ||
           (!host->join->stays_learner && !membership_is_voter(membership, host->number));
}

size_t joiners_unknown(struct world *world)
{
    const struct membership *membership = world_membership(world);
    size_t count = 0;
    for (size_t i = 0; i < world->host_count; i++)
        count += joiners_is_pending(world, &world->hosts[i]) &&
                 !(membership && membership_find(membership, world->hosts[i].number));
    return count;
}

/* In a joint configuration that somebody must leave, nobody can join: the operator does not come back. */
const struct sim_host *joiners_missing(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (membership && membership->configuration.voters_outgoing.count &&
        !membership->configuration.auto_leave)
        return NULL;
    for (size_t i = 0; i < world->host_count; i++)
        if (world->core & bit(world->hosts[i].number) && joiners_is_pending(world, &world->hosts[i]))
            return &world->hosts[i];
    return NULL;
}

static void note_told(struct world *world, const struct sim_host *host)
{
    uint64_t self = bit(host->number);
    if (!host->join->was_told || world->added & self)
        return;
    world->added |= self;
    faults_count(world, WORLD_joins_told);
}

void joiners_died(struct world *world, struct sim_host *host)
{
    note_told(world, host);
    if (host->join->identity_stood)
        return;
    world->died_joining |= bit(host->number);
    faults_count(world, WORLD_deaths_joining);
}

/* Refused for good by whom it asked: it was removed while it asked, or that is wrong (check_join.c). */
void joiners_refused(struct world *world, struct sim_host *host)
{
    joiners_died(world, host);
    if (host->join->code != ERR_DENIED)
        return;
    TRACE(world->trace, "host=%" PRIu64 " denied: %s", host->number, host->last_refusal);
    world->denied |= bit(host->number);
    host->state = HOST_GONE;
}

void joiners_after(struct world *world, struct sim_host *host)
{
    const struct membership *membership = node_membership(host->node);
    uint64_t self = bit(host->number);
    note_told(world, host);
    if (world->died_joining & self && host->join->identity_stood) {
        world->died_joining &= ~self;
        faults_count(world, WORLD_joined_after_death);
    }
    if (!(world->voting & self) && membership_is_voter(membership, host->number)) {
        world->voting |= self;
        faults_count(world, WORLD_joiners_voting);
    }
}
