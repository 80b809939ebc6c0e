/* A member and its peers: what comes goes to the core, what the core says goes out.
 *
 * A proposal that comes from another member is stamped here, before the core sees it, when this member
 * leads; whoever forwards one leaves its slot alone. So no proposer's clock is ever used.
 */
#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define RESET_CAMPAIGN_NS (20 * NS_PER_MS)  /* at most, between a leader's reset and a pre-vote */

/* ---- entries ---- */

void node_note_entries(struct node *node, const struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pending_note(&node->pending, &entries[i]);
        kv_time stamp = entries[i].type == ENTRY_NORMAL ? entry_stamp(blob_bytes(entries[i].payload))
                                                        : 0;
        if (stamp > node->proposer.last_stamp)
            node->proposer.last_stamp = stamp;
    }
}

/* False: no member sends such a proposal. */
static bool stamp_all(struct node *node, const struct raft_message *message)
{
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct entry *entry = &message->entries[i];
        if (entry->type != ENTRY_NORMAL)
            continue;
        if (!entry->payload || entry->payload->size <= ENTRY_STAMP_SIZE)
            return false;
        entry_stamp_set(entry->payload,
                        proposer_next_stamp(&node->proposer, clock_wall_ns(node->clock)));
    }
    return true;
}

/* ---- what comes ---- */

static bool is_held(const struct node *node, const struct entry *entry)
{
    return pending_holds(&node->pending, entry, raft_applied(node->raft));
}

static enum err_code step_stamped(struct node *node, const struct raft_message *message)
{
    return stamp_all(node, message) ? raft_step(node->raft, message) : ERR_INVALID;
}

/* Without what stands in the log already: who repeats it will be told when it is applied. */
static enum err_code step_proposal(struct node *node, const struct raft_message *message)
{
    struct raft_message rest = *message;
    size_t held = 0;
    for (size_t i = 0; i < message->entry_count; i++)
        held += is_held(node, &message->entries[i]);
    if (held == 0)
        return step_stamped(node, message);
    if (held == message->entry_count)
        return ERR_OK;
    struct entry *entries = mem_xalloc((message->entry_count - held) * sizeof *entries);
    rest.entries = entries;
    rest.entry_count = 0;
    for (size_t i = 0; i < message->entry_count; i++)
        if (!is_held(node, &message->entries[i]))
            entries[rest.entry_count++] = message->entries[i];
    enum err_code code = step_stamped(node, &rest);
    free(entries);
    return code;
}

static bool is_from_leader(const struct node *node, const struct raft_message *message)
{
    return message->from == raft_leader(node->raft) &&
           (message->type == RAFT_MSG_APP || message->type == RAFT_MSG_HEARTBEAT ||
            message->type == RAFT_MSG_SNAP);
}

static void step(struct node *node, const struct raft_message *message)
{
    enum err_code code = ERR_OK;
    if (message->type == RAFT_MSG_SNAP)
        code = transfer_offered(node, message);
    else if (message->type == RAFT_MSG_PROP && raft_role(node->raft) == RAFT_LEADER)
        code = step_proposal(node, message);
    else
        code = raft_step(node->raft, message);
    node_core_failed(node, code);
    if (is_from_leader(node, message))
        node->led_ns = node_now(node);
}

static void on_message(void *context, const struct raft_message *message)
{
    struct node *node = context;
    if (node->fault_code != ERR_OK || node_is_forming(node) ||
        membership_was_removed(&node->membership, message->from))
        return;
    step(node, message);
    node->wake(node->wake_context);
}

/* Says nothing but that its sender is there. */
enum { HERE_KIND = PEER_KIND_OWN + 48 };
#define HERE_PERIOD_NS (1 * NS_PER_S)
#define LEADERLESS_NS (2 * ELECTION_DEFAULT_MS * NS_PER_MS)

void node_peers_tell(struct node *node, uint32_t kind, struct bytes bytes)
{
    for (size_t i = 0; i < node->membership.count && node->peers; i++) {
        raft_id to = node->membership.members[i].id;
        if (to != node->identity.member_id)
            (void)!peers_send_frame(node->peers, to, PEER_RAFT, kind, bytes);
    }
}

void node_peers_call(struct node *node, int64_t now)
{
    bool is_led = node->leader_lost_ns == 0 || now - node->leader_lost_ns < HERE_PERIOD_NS;
    if (is_led || !node->peers || now < node->called_ns + HERE_PERIOD_NS)
        return;
    node->called_ns = now;
    node_peers_tell(node, HERE_KIND, BYTES_EMPTY);
}

void node_peers_forget(struct node *node, int64_t now)
{
    raft_id leader = raft_leader(node->raft), self = node->identity.member_id;
    if (leader == RAFT_NOBODY || leader == self || membership_is_voter(&node->membership, self) ||
        now - node->led_ns < LEADERLESS_NS)
        return;
    TRACE(node->trace, "leader=%" PRIu64 " is silent", leader);
    node_core_failed(node, raft_forget_leader(node->raft));
}

/* Every frame, of a kind that is unknown here too, counts as contact. */
static void on_frame(void *context, raft_id from, uint32_t kind, struct bytes bytes)
{
    struct node *node = context;
    if (node->fault_code != ERR_OK || node_is_forming(node))
        return;
    if (transfer_is_frame(kind))
        transfer_on_frame(node, from, kind, bytes);
    else if (asks_is_frame(kind))
        asks_on_frame(node, from, kind, bytes);
    else if (space_is_frame(kind))
        space_on_frame(node, from, bytes);
    else if (divergence_is_frame(kind))
        divergence_on_frame(node, from, bytes);
}

static enum err_code on_hello(void *context, raft_id from, uint64_t generation, struct err *err)
{
    return forming_hello(context, from, generation, err);
}

static void on_join(void *context, const struct join_request *request)
{
    asks_join(context, request);
}

static void on_unreachable(void *context, raft_id id, bool snapshot)
{
    struct node *node = context;
    if (node->fault_code != ERR_OK)
        return;
    node_core_failed(node, raft_report_unreachable(node->raft, id));
    if (snapshot)
        transfer_lost(node, id);
    node->wake(node->wake_context);
}

/* The kernel of a leader that died resets its connections: nobody needs to wait for the timeout. One
 * that still reaches a quorum is protected by the others' refusal. */
static void on_connection_lost(void *context, raft_id id, enum peer_channel channel)
{
    struct node *node = context;
    if (node->fault_code != ERR_OK || channel != PEER_RAFT || id != raft_leader(node->raft) ||
        id == node->identity.member_id)
        return;
    TRACE(node->trace, "leader=%" PRIu64 " reset its connection", id);
    node_core_failed(node, raft_forget_leader(node->raft));
    node->campaign_ns =
        node_now(node) + 1 + (int64_t)rand_below(&node->rand, RESET_CAMPAIGN_NS);
    node->wake(node->wake_context);
}

static void on_refused(void *context, raft_id id, enum peer_refusal why, const char *text)
{
    struct node *node = context;
    TRACE(node->trace, "refused by=%" PRIu64 " why=%d: %s", id, (int)why, text);
    if (why == PEER_REFUSED_REMOVED)
        node_removed(node, id);
    forming_refused(node, why, text);
}

/* ---- its own removal ---- */

void node_removed(struct node *node, raft_id told_by)
{
    bool was_known = node->is_removed;
    node->is_removed = true;
    if (told_by != RAFT_NOBODY && !raft_id_set_add(&node->removal_told_by, told_by))
        TRACE(node->trace, "removed, and more say so than can be members");
    if (!was_known)
        TRACE(node->trace, "removed told-by=%" PRIu64, told_by);
}

/* Those who say that it was removed have applied that. When they are a majority of the voters it is of no
 * use to anybody any more. */
static bool majority_told(const struct node *node)
{
    const struct raft_id_set *voters = &node->membership.configuration.voters;
    size_t others = 0, told = 0;
    for (size_t i = 0; i < voters->count; i++) {
        others += voters->ids[i] != node->identity.member_id;
        told += raft_id_set_contains(&node->removal_told_by, voters->ids[i]);
    }
    return told > others / 2;
}

void node_removal_turn(struct node *node)
{
    raft_id self = node->identity.member_id;
    struct err err = {0};
    if (!node->is_removed || !majority_told(node))
        return;
    enum err_code code = err_set(
        &err, ERR_REMOVED,
        "member %016" PRIx64 " was removed from its cluster and never comes back; with another, "
        "empty data directory this host can join as a new member", self);
    node_fail(node, code, &err);
}

/* ---- who they are ---- */

static void set(struct node *node, const struct membership_member *member)
{
    if (member->id == node->identity.member_id || !member->address[0])
        return;
    if (peers_set(node->peers, member->id, member->address) != ERR_OK)
        TRACE(node->trace, "no room for peer=%" PRIu64, member->id);
}

void node_peers_update(struct node *node, raft_index since)
{
    const struct membership *membership = &node->membership;
    for (size_t i = 0; node->peers && i < membership->count; i++)
        set(node, &membership->members[i]);
    node->removals_wait = membership->removed_count > 0;
    node->removals_since = since;
    node_peers_tell_removed(node);
}

void node_peers_tell_removed(struct node *node)
{
    const struct membership *membership = &node->membership;
    if (!node->peers || !node->removals_wait ||
        !logwriter_commit_is_durable(&node->writer, node->removals_since))
        return;
    for (size_t i = 0; i < membership->removed_count; i++) {
        peers_remove(node->peers, membership->removed[i]);
        if (node->generations)
            generations_forget(node->generations, membership->removed[i]);
    }
    node->removals_wait = false;
}

enum err_code node_peers_open(struct node *node, const struct node_options *options,
                              struct err *err)
{
    if (!options->net)
        return ERR_OK;
    struct peers_options peers_options = {
        .net = options->net,
        .clock = node->clock,
        .seed = rand_u64(&node->rand),
        .cluster_id = node->identity.cluster_id,
        .member_id = node->identity.member_id,
        .generation = node->identity.generation,
        .address = options->address ? options->address : options->listen_address,
        .trace = node->trace,
        .handler = {.message = on_message, .frame = on_frame, .unreachable = on_unreachable,
                    .connection_lost = on_connection_lost, .refused = on_refused,
                    .hello = on_hello, .join = on_join, .context = node},
    };
    node->peers = peers_new(&peers_options);
    if (!node->membership.count)
        for (size_t i = 0; i < options->known_count; i++)
            set(node, &options->known[i]);
    return options->listen_address ? peers_listen(node->peers, options->listen_address, err)
                                   : ERR_OK;
}

/* ---- what goes ---- */

void node_peers_send(struct node *node, const struct raft_message *message)
{
    if (!node->peers || node->peers_closing) {
        TRACE(node->trace, "drop message type=%d to=%" PRIu64, (int)message->type, message->to);
        return;
    }
    if (message->type == RAFT_MSG_SNAP)
        transfer_send(node, message);
    else
        peers_send(node->peers, message);
}

static void on_closed(void *context)
{
    struct node *node = context;
    node->peers = NULL;
    node->wake(node->wake_context);
}

void node_peers_close(struct node *node)
{
    if (!node->peers || node->peers_closing)
        return;
    node->peers_closing = true;
    peers_close(node->peers, on_closed, node);
}
