/* The membership: changes at random, as faults; and the operator, who replaces a host whose start was
 * refused for good: it is removed, a new one joins, and is promoted when it has caught up. */
#include "tests/sim/faults_internal.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "tests/sim/checks.h"

#define NOBODY (WORLD_HOSTS_MAX + 1)     /* no host gets this number */

struct purpose {                        /* of a change */
    enum world_fault kind;
    bool removes_refused, replaces;
};

/* A change of the membership that some host was asked for. */
struct fault_change {
    struct node_change change;
    struct node_ask ask;                /* or that, by a frame */
    struct world *world;
    struct purpose purpose;
};

/* ---- asking ---- */

/* One that joined is known with the folder that it has. */
static struct membership_member record_of(struct world *world, raft_id id)
{
    const struct sim_host *host = world_host(world, id);
    struct membership_member record = sim_host_record(id);
    record.generation = host && host->join ? host->identity.generation : 0;
    return record;
}

/* Who asked gave up, and does not know. */
static void note_doubt(struct world *world, const struct raft_conf_change *change)
{
    for (size_t i = 0; i < change->count; i++)
        if (change->changes[i].type == RAFT_CHANGE_REMOVE ||
            change->changes[i].type == RAFT_CHANGE_ADD_LEARNER)
            world->operator.doubtful |= bit(change->changes[i].id);
        else if (change->changes[i].type == RAFT_CHANGE_ADD_VOTER)
            world->operator.coming |= bit(change->changes[i].id);
}

static void ended(struct fault_change *change, enum err_code code)
{
    struct world *world = change->world;
    TRACE(world->trace, "change code=%s", err_name(code));
    world_note(world, 3, code);
    world->change = NULL;
    if (err_kind(code) == ERR_KIND_UNKNOWN)
        note_doubt(world, &change->change.change);
    if (code == ERR_OK) {
        faults_count(world, change->purpose.kind);
        world->operator.owed += change->purpose.removes_refused;
        if (change->purpose.replaces) {
            faults_count(world, WORLD_replaced_hosts);
            world->operator.owed--;
        }
    }
    free(change);
}

static void change_done(struct node_change *base, enum err_code code)
{
    ended(container_of(base, struct fault_change, change), code);
}

/* What a person was told is so from then on: check_told_asks (check_asks.c). */
static void note_answer(struct world *world, const struct node_ask *ask)
{
    switch (ask->kind) {
    case NODE_ASK_ADD: world->added |= bit(ask->id); break;
    case NODE_ASK_PROMOTE: world->promoted |= bit(ask->id); break;
    case NODE_ASK_REMOVE: world->removed |= bit(ask->id); break;
    case NODE_ASK_UPDATE:
    case NODE_ASK_TRANSFER: break;
    }
}

static void ask_done(struct node_ask *ask, enum err_code code)
{
    struct fault_change *change = container_of(ask, struct fault_change, ask);
    if (code == ERR_OK && ask->member.id == NOBODY)
        world_fail(change->world, "it was told that a member votes that there is not");
    if (code == ERR_OK) {
        faults_count(change->world, WORLD_asks_granted);
        note_answer(change->world, ask);
    } else if (err_kind(code) == ERR_KIND_RESULT || code == ERR_BUSY) {
        faults_count(change->world, WORLD_asks_refused);
    }
    ended(change, code);
}

/* False: a change that nobody can ask for by a frame, such as two at once. */
static bool ask_for(struct world *world, struct sim_host *host, struct fault_change *change)
{
    const struct raft_conf_change *what = &change->change.change;
    raft_id id = what->count ? what->changes[0].id : 0;
    bool is_member = membership_find(world_membership(world), id) != NULL;
    if (what->count != 1 || (int64_t)faults_below(world, 1000) >= PARAM(world->params, asks))
        return false;
    switch (what->changes[0].type) {
    case RAFT_CHANGE_ADD_LEARNER: change->ask.kind = NODE_ASK_ADD; break;
    case RAFT_CHANGE_REMOVE: change->ask.kind = NODE_ASK_REMOVE; break;
    case RAFT_CHANGE_ADD_VOTER: change->ask.kind = NODE_ASK_PROMOTE; break;
    default: return false;
    }
    if (is_member != (change->ask.kind != NODE_ASK_ADD))
        return false;
    change->ask.member = record_of(world, id);
    change->ask.done = ask_done;
    node_ask(host->node, &change->ask);
    return true;
}

static void submit(struct world *world, const struct raft_conf_change *what, struct purpose purpose)
{
    struct sim_host *host =
        faults_below(world, 3) ? world_leader(world) : faults_draw_host(world, faults_is_up);
    if (!host || world->change)
        return;
    struct fault_change *change = mem_xzalloc(sizeof *change);
    change->world = world;
    change->purpose = purpose;
    change->change.change = *what;
    change->change.done = change_done;
    for (size_t i = 0; i < what->count; i++)
        if (what->changes[i].type == RAFT_CHANGE_ADD_LEARNER &&
            membership_find(world_membership(world), what->changes[i].id))
            world->demoted |= bit(what->changes[i].id);
    for (size_t i = 0; i < what->count; i++)
        change->change.members.members[change->change.members.count++] =
            record_of(world, what->changes[i].id);
    world->change = change;
    if (!ask_for(world, host, change))
        node_change_submit(host->node, &change->change);
}

static void submit_one(struct world *world, enum raft_change_type type, uint64_t id,
                       struct purpose purpose)
{
    submit(world, &(struct raft_conf_change){.count = 1, .changes = {{type, id}}}, purpose);
}

/* ---- whom ---- */

static bool is_sound(struct world *world, uint64_t number)
{
    const struct sim_host *host = world_host(world, number);
    return host && world_serves(world, host) && !(world->damaged & bit(number));
}

static size_t voters(const struct membership *membership)
{
    return membership->configuration.voters.count;
}

static bool is_settled(struct world *world, const struct membership *membership)
{
    return membership && !damage_is_forming(world) && membership->count > 0 &&
           membership->configuration.voters_outgoing.count == 0;
}

static bool has_sound_majority(struct world *world, const struct raft_id_set *voters)
{
    size_t sound = 0;
    for (size_t i = 0; i < voters->count; i++)
        sound += is_sound(world, voters->ids[i]);
    return voters->count > 0 && sound > voters->count / 2;
}

/* Those whose removal leaves a majority of sound copies among the rest, whether those in doubt go or stay. */
static bool may_remove(struct world *world, const struct membership *membership, uint64_t id)
{
    struct raft_id_set rest = membership->configuration.voters;
    raft_id_set_remove(&rest, id);
    struct raft_id_set sure = rest;
    damage_without_doubtful(world, &sure);
    return has_sound_majority(world, &rest) && has_sound_majority(world, &sure);
}

/* A learner that has nearly everything; a promoted one that has nothing could hold the others up. */
static bool has_caught_up(struct world *world, uint64_t id)
{
    struct sim_host *leader = world_leader(world), *host = world_host(world, id);
    return leader && is_sound(world, id) && raft_applied(node_raft(host->node)) + 100 >=
                                                raft_applied(node_raft(leader->node));
}

/* One that waits to be a member: an earlier change was not made. */
static bool is_spare(struct world *world, const struct sim_host *host)
{
    const struct membership *membership = world_membership(world);
    return host->node && !host->join && node_membership(host->node)->count == 0 &&
           !membership_find(membership, host->number) &&
           !membership_was_removed(membership, host->number);
}

static struct sim_host *newcomer(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, is_spare);
    return host ? host : world_add_host(world);
}

/* ---- at random ---- */

void operator_add(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (!is_settled(world, membership) || world->change ||
        (int64_t)(membership->count + joiners_unknown(world)) >=
            PARAM(world->params, members) + PARAM(world->params, members_more))
        return;
    if ((int64_t)faults_below(world, 1000) < PARAM(world->params, joining)) {
        (void)joiners_add(world);
        return;
    }
    struct sim_host *host = newcomer(world);
    if (!host)
        return;
    submit_one(world,
                     faults_below(world, 4) ? RAFT_CHANGE_ADD_LEARNER : RAFT_CHANGE_ADD_VOTER,
                     host->number, (struct purpose){.kind = WORLD_joins});
}

void operator_remove(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (!is_settled(world, membership) || world->change || membership->count < 2)
        return;
    uint64_t id = membership->members[faults_below(world, membership->count)].id;
    if (may_remove(world, membership, id))
        submit_one(world, RAFT_CHANGE_REMOVE, id, (struct purpose){.kind = WORLD_removals});
}

/* Whoever asks for that must hear a refusal. */
static void promote_nobody(struct world *world)
{
    struct sim_host *host = faults_draw_host(world, faults_is_up);
    if (!host || (int64_t)faults_below(world, 1000) >= PARAM(world->params, asks))
        return;
    struct fault_change *change = mem_xzalloc(sizeof *change);
    change->world = world;
    change->purpose.kind = WORLD_promotions;
    change->ask.kind = NODE_ASK_PROMOTE;
    change->ask.member = sim_host_record(NOBODY);
    change->ask.done = ask_done;
    world->change = change;
    node_ask(host->node, &change->ask);
}

void operator_promote(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (!is_settled(world, membership) || world->change)
        return;
    const struct raft_id_set *learners = &membership->configuration.learners;
    if (learners->count == 0 && faults_below(world, 2))
        promote_nobody(world);
    if (learners->count == 0)
        return;
    uint64_t id = learners->ids[faults_below(world, learners->count)];
    if (has_caught_up(world, id))
        submit_one(world, RAFT_CHANGE_ADD_VOTER, id, (struct purpose){.kind = WORLD_promotions});
}

/* A learner takes a voter's place, or two voters come or go at once. */
void operator_change_two(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (!membership || world->change)
        return;
    const struct raft_conf_state *state = &membership->configuration;
    if (state->voters_outgoing.count && !state->auto_leave) {
        submit(world, &(struct raft_conf_change){0}, (struct purpose){.kind = WORLD_joint_changes});
        return;
    }
    if (!is_settled(world, membership) || state->learners.count == 0 || voters(membership) < 2)
        return;
    uint64_t in = state->learners.ids[faults_below(world, state->learners.count)];
    uint64_t out = state->voters.ids[faults_below(world, state->voters.count)];
    if (!is_sound(world, in) || !may_remove(world, membership, out))
        return;
    submit(
        world,
        &(struct raft_conf_change){
            .transition = (enum raft_transition)faults_below(world, 3),
            .count = 2,
            .changes = {{RAFT_CHANGE_ADD_VOTER, in},
                        {faults_below(world, 2) ? RAFT_CHANGE_REMOVE : RAFT_CHANGE_ADD_LEARNER, out}},
        },
        (struct purpose){.kind = WORLD_joint_changes});
}

/* It is heard and hears nothing: a leader that hands over like that does not know that it did. */
static void make_deaf(struct world *world, const struct sim_host *host)
{
    for (uint64_t other = 1; other <= world->host_count; other++)
        if (other != host->number)
            world->cut[other] |= bit(host->number);
    world_refresh_cuts(world);
}

void operator_transfer(struct world *world)
{
    const struct membership *membership = world_membership(world);
    struct sim_host *host = faults_below(world, 2) ? world_leader(world)
                                                   : faults_draw_host(world, faults_is_up);
    if (!membership || !host || voters(membership) == 0)
        return;
    world->transfer.to =
        membership->configuration.voters.ids[faults_below(world, voters(membership))];
    world->transfer.term = 0;
    node_transfer_leader(host->node, world->transfer.to);
    if (faults_below(world, 2))
        make_deaf(world, host);
}

/* A transfer counts when a leader was seen to try, and the one it meant leads the term that follows. */
void operator_after(struct world *world, struct sim_host *host)
{
    struct raft_status status;
    if (!world->transfer.to || raft_role(host->node->raft) != RAFT_LEADER)
        return;
    raft_term term = raft_current_term(host->node->raft);
    if (host->number == world->transfer.to && world->transfer.term &&
        term == world->transfer.term + 1) {
        faults_count(world, WORLD_transfers);
        world->transfer.to = 0;
        return;
    }
    raft_status(host->node->raft, &status);
    if (status.transferee == world->transfer.to)
        world->transfer.term = term;
}

/* ---- replacing ---- */

static uint64_t refused_member(struct world *world, const struct membership *membership)
{
    for (size_t i = 0; i < membership->count; i++) {
        const struct sim_host *host = world_host(world, membership->members[i].id);
        if (host && host->state == HOST_REFUSED)
            return host->number;
    }
    return 0;
}

static void replace_next(struct world *world, const struct membership *membership)
{
    uint64_t refused = refused_member(world, membership);
    if (refused && may_remove(world, membership, refused)) {
        submit_one(world, RAFT_CHANGE_REMOVE, refused,
                   (struct purpose){.kind = WORLD_removals, .removes_refused = true});
        return;
    }
    struct sim_host *host = world->operator.owed ? newcomer(world) : NULL;
    if (host)
        submit_one(world, RAFT_CHANGE_ADD_LEARNER, host->number,
                   (struct purpose){.kind = WORLD_joins, .replaces = true});
}

static bool has_work(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        if (world->hosts[i].state == HOST_REFUSED)
            return true;
    return world->operator.owed > 0;
}

void operator_heard_of_refusal(struct world *world)
{
    if (world->operator.next_ns == INT64_MAX)
        world->operator.next_ns = world->now_ns + faults_ms(world, 100, 2000);
}

int64_t operator_next_ns(const struct world *world)
{
    return world->is_healed ? INT64_MAX : world->operator.next_ns;
}

void operator_step(struct world *world)
{
    const struct membership *membership = world_membership(world);
    if (world->now_ns < operator_next_ns(world))
        return;
    world->operator.next_ns =
        has_work(world) ? world->now_ns + faults_ms(world, 100, 2000) : INT64_MAX;
    if (is_settled(world, membership) && !world->change)
        replace_next(world, membership);
}
