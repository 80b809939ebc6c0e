/* A cluster that begins from a list: nothing is promised before everyone knows everyone's data folder.
 *
 * A hello in either direction tells a generation, which is kept before it is answered. So a connection of this
 * member that was answered means: the other has kept this one's generation, and this one the other's. When
 * that holds of all, no folder of the list can be emptied any more without somebody noticing, and the member
 * may vote. It is then formed, for ever, whatever the others are still waiting for.
 */
#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST_SAY_NS (1 * NS_PER_S)     /* the others are being started, too: no alarm yet */
#define SAY_NS (10 * NS_PER_S)

bool node_is_forming(const struct node *node)
{
    return node->generations && !node->generations->formed && !MUTANT(FORMING_NOT_AWAITED);
}

bool node_was_met_before(const struct node *node) { return node->forming.was_met_before; }

static bool all_met(struct node *node)
{
    const struct membership *membership = &node->membership;
    bool all = true;
    for (size_t i = 0; i < membership->count; i++) {
        raft_id id = membership->members[i].id;
        struct peer_status peer;
        if (id == node->identity.member_id)
            continue;
        if (node->peers && peers_find(node->peers, id, &peer) && peer.connected)
            all &= raft_id_set_add(&node->forming.met, id);
        all &= raft_id_set_contains(&node->forming.met, id);
    }
    return all;
}

static void say_who_is_waited_for(struct node *node)
{
    const struct membership *membership = &node->membership;
    for (size_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        struct peer_status peer;
        if (member->id == node->identity.member_id ||
            raft_id_set_contains(&node->forming.met, member->id))
            continue;
        bool is_known = node->peers && peers_find(node->peers, member->id, &peer);
        node_say(node, "waiting for %s (%s): %s", member->name, member->address,
                 is_known && peer.last_error[0] ? peer.last_error : "not heard yet");
    }
}

static void begin(struct node *node)
{
    struct err err = {0};
    enum err_code code = generations_form(node->generations, &err);
    if (code != ERR_OK) {
        node_fail(node, code, &err);
        return;
    }
    TRACE(node->trace, "formed members=%zu", node->membership.count);
    node_say(node, "all %zu members have met: the cluster begins", node->membership.count);
    node->next_tick_ns = node_now(node);
    if (node->alone)
        node_core_failed(node, raft_campaign(node->raft));
}

void forming_turn(struct node *node)
{
    int64_t now = node_now(node);
    if (!node_is_forming(node))
        return;
    if (all_met(node)) {
        begin(node);
        return;
    }
    if (!node->forming.say_ns)
        node->forming.say_ns = now + FIRST_SAY_NS;
    if (now < node->forming.say_ns)
        return;
    say_who_is_waited_for(node);
    node->forming.say_ns = now + SAY_NS;
}

int64_t forming_next_wake_ns(const struct node *node)
{
    return node_is_forming(node) ? node->forming.say_ns : INT64_MAX;
}

/* ---- hellos ---- */

static const char *name_of(const struct node *node, raft_id id)
{
    const struct membership_member *member = membership_find(&node->membership, id);
    return member && member->name[0] ? member->name : NULL;
}

static enum err_code refuse_another(const struct node *node, raft_id id, struct err *err)
{
    char word[24];
    const char *name = name_of(node, id);
    snprintf(word, sizeof word, "%016" PRIx64, id);
    return err_set(err, ERR_EXISTS,
                   "this cluster exists and knows another data directory of member %s: remove "
                   "%s, then use --join%s", name ? name : word, name ? name : word,
                   node_is_forming(node) ? " (if it has never served anybody: empty the data "
                                           "directories of all its members instead)" : "");
}

/* Of a member that joined, the membership says which folder it has. */
enum err_code forming_hello(struct node *node, raft_id from, uint64_t generation, struct err *err)
{
    const struct membership_member *member = membership_find(&node->membership, from);
    if (!node->generations)
        return ERR_OK;
    if (member && member->generation > MEMBER_RESERVED && member->generation != generation)
        return refuse_another(node, from, err);
    enum err_code code = generations_meet(node->generations, from, generation, err);
    if (code == ERR_EXISTS && MUTANT(EMPTIED_IS_MET))
        code = ERR_OK;
    if (code == ERR_EXISTS)
        return refuse_another(node, from, err);
    node->wake(node->wake_context);
    return code;
}

void forming_refused(struct node *node, enum peer_refusal why, const char *text)
{
    struct err err = {0};
    if (!node_is_forming(node) || why != PEER_REFUSED_MEMBER || node->fault_code != ERR_OK)
        return;
    node->forming.was_met_before = true;
    enum err_code code = err_set(&err, ERR_EXISTS, "%s", text);
    node_fail(node, code, &err);
    node->wake(node->wake_context);
}
