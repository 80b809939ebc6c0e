/* The table of peers and the turns of its owner. What leaves is in peer_lane.c, connections are in
 * peer_connection.c. */
#include <stdlib.h>

#include "cluster/peer_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

/* --- who they are ----------------------------------------------------------------------------- */

/* Of the first peer whose id is not below; count when there is none. */
static size_t place_of(const struct peers *peers, raft_id id)
{
    size_t place = 0;
    while (place < peers->count && peers->table[place]->id < id)
        place++;
    return place;
}

struct peer *peers_get(const struct peers *peers, raft_id id)
{
    size_t place = place_of(peers, id);
    return place < peers->count && peers->table[place]->id == id ? peers->table[place] : NULL;
}

static size_t removed_place(const struct peers *peers, raft_id id)
{
    size_t low = 0, high = peers->removed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (peers->removed[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool peers_is_removed(const struct peers *peers, raft_id id)
{
    size_t place = removed_place(peers, id);
    return place < peers->removed_count && peers->removed[place] == id;
}

struct peer *peers_add(struct peers *peers, raft_id id)
{
    if (peers->count == RAFT_MEMBERS_MAX)
        return NULL;
    struct peer *peer = mem_xzalloc(sizeof(*peer));
    peer->id = id;
    peer_queue_init(&peer->messages, &peers->mem);
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++) {
        list_init(&peer->lanes[i].frames);
        lane_hope(&peer->lanes[i]);
        peer->lanes[i].patience_ns = PEER_LOST_MS * NS_PER_MS;
    }
    size_t place = place_of(peers, id);
    memmove(peers->table + place + 1, peers->table + place,
            (peers->count - place) * sizeof(*peers->table));
    peers->table[place] = peer;
    peers->count++;
    return peer;
}

static void peer_free(struct peer *peer)
{
    peer_queue_release(&peer->messages);
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        lane_clear(&peer->lanes[i]);
    free(peer->address);
    free(peer);
}

/* Its connections have left it. */
static void peer_take_out(struct peers *peers, struct peer *peer)
{
    size_t place = place_of(peers, peer->id);
    CHECK(place < peers->count && peers->table[place] == peer);
    peers->count--;
    memmove(peers->table + place, peers->table + place + 1,
            (peers->count - place) * sizeof(*peers->table));
    peer_free(peer);
}

static void lanes_end(struct peer *peer)
{
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        if (peer->lanes[i].connection)
            connection_end(peer->lanes[i].connection, false);
}

static bool is_heard(const struct peer *peer)
{
    bool heard = false;
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        heard |= peer->incoming[i] != NULL;
    return heard;
}

void peers_drop_unknown(struct peers *peers, struct peer *peer)
{
    if (peer->learned && !is_heard(peer)) {
        peer->learned = false;      /* the address keeps the record alive while its lanes end */
        lanes_end(peer);
        free(peer->address);
        peer->address = NULL;
    }
    bool connected = is_heard(peer);
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        connected |= peer->lanes[i].connection != NULL;
    if (!peer->address && !connected)
        peer_take_out(peers, peer);
}

void peers_learn(struct peers *peers, struct peer *peer, struct bytes address)
{
    bool is_known = peer->address && !peer->learned;
    if (is_known || address.size == 0 ||
        (peer->address && bytes_equal(bytes_of_text(peer->address), address)))
        return;
    free(peer->address);
    peer->address = mem_xalloc(address.size + 1);
    memcpy(peer->address, address.data, address.size);
    peer->address[address.size] = 0;
    peer->learned = true;
    TRACE(peers->options.trace, "peer learned id=" ID " address=%s", peer->id, peer->address);
}

enum err_code peers_set(struct peers *peers, raft_id id, const char *address)
{
    if (id == peers->options.member_id || peers_is_removed(peers, id))
        return ERR_OK;
    struct peer *peer = peers_get(peers, id);
    if (!peer && !(peer = peers_add(peers, id)))
        return ERR_BUSY;
    peer->learned = false;
    if (peer->address && strcmp(peer->address, address) == 0)
        return ERR_OK;
    free(peer->address);
    peer->address = mem_xstrdup(address);
    lanes_end(peer);
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        lane_hope(&peer->lanes[i]);
    TRACE(peers->options.trace, "peer set id=" ID " address=%s", id, address);
    return ERR_OK;
}

/* The address keeps the record alive while its connections leave one after the other. */
static void peer_end(struct peers *peers, struct peer *peer, bool removed)
{
    if (!peer->address)
        peer->address = mem_xstrdup("");
    peer->learned = false;
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++) {
        struct connection *connection = peer->incoming[i];
        if (connection && removed)
            connection_refuse(connection, PEER_REFUSED_REMOVED, false,
                              "member " ID " was removed from cluster " ID,
                              peer->id, peers->options.cluster_id);
        else if (connection)
            connection_end(connection, false);
    }
    lanes_end(peer);
    peer_take_out(peers, peer);
}

static void remember_removed(struct peers *peers, raft_id id)
{
    size_t place = removed_place(peers, id);
    peers->removed =
        mem_xrealloc(peers->removed, (peers->removed_count + 1) * sizeof(*peers->removed));
    memmove(peers->removed + place + 1, peers->removed + place,
            (peers->removed_count - place) * sizeof(*peers->removed));
    peers->removed[place] = id;
    peers->removed_count++;
}

void peers_remove(struct peers *peers, raft_id id)
{
    struct peer *peer = peers_get(peers, id);
    if (peers_is_removed(peers, id))
        return;
    remember_removed(peers, id);
    TRACE(peers->options.trace, "peer removed id=" ID, id);
    if (!peer)
        return;
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        lane_flush(peers, peer, (enum peer_channel)i);
    peer_end(peers, peer, true);
}

void peers_forget(struct peers *peers, raft_id id)
{
    struct peer *peer = peers_get(peers, id);
    if (peer)
        peer_end(peers, peer, false);
}

/* --- turns
 * ------------------------------------------------------------------------------------- */

void peers_flush(struct peers *peers)
{
    int64_t now = peers_now(peers);
    for (size_t i = 0; i < peers->count && !peers->closing; i++) {
        lanes_connect(peers, peers->table[i], now);
        for (int channel = 0; channel < PEER_CHANNEL_COUNT; channel++)
            lane_flush(peers, peers->table[i], (enum peer_channel)channel);
    }
    VERIFY(peers_validate(peers));
}

/* The handler may change the table: the next one is found by its id. */
static void tell_unreachable(struct peers *peers)
{
    const struct peers_handler *handler = &peers->options.handler;
    for (raft_id id = 0;;) {
        size_t place = place_of(peers, id);
        if (place == peers->count)
            return;
        struct peer *peer = peers->table[place];
        id = peer->id + 1;
        if (peer->unreachable || peer->snapshot_lost) {
            bool snapshot = peer->snapshot_lost;
            peer->unreachable = peer->snapshot_lost = false;
            handler->unreachable(handler->context, peer->id, snapshot);
        }
    }
}

void peers_turn(struct peers *peers, int64_t now_ns)
{
    if (peers->closing) {
        if (list_is_empty(&peers->connections))
            peers_finish(peers);
        return;
    }
    LIST_FOR_EACH_SAFE (link, &peers->connections) {
        struct connection *connection = container_of(link, struct connection, link);
        if (connection_has_deadline(connection) && connection->deadline_ns <= now_ns)
            connection_expired(connection);
    }
    for (size_t i = 0; i < peers->count; i++)
        lanes_connect(peers, peers->table[i], now_ns);
    tell_unreachable(peers);
    VERIFY(peers_validate(peers));
}

int64_t peers_next_wake_ns(const struct peers *peers)
{
    int64_t next = INT64_MAX;
    if (peers->closing)
        return list_is_empty(&peers->connections) ? 0 : next;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = peers->table[i];
        if (peer->unreachable || peer->snapshot_lost)
            return 0;
        for (int channel = 0; channel < PEER_CHANNEL_COUNT; channel++)
            if (lane_is_wanted(peer, (enum peer_channel)channel) &&
                peer->lanes[channel].retry_ns < next)
                next = peer->lanes[channel].retry_ns;
    }
    LIST_FOR_EACH (link, &peers->connections) {
        const struct connection *connection = container_of(link, struct connection, link);
        if (connection_has_deadline(connection) && connection->deadline_ns < next)
            next = connection->deadline_ns;
    }
    return next;
}

/* --- looking in ------------------------------------------------------------------------------- */

size_t peers_count(const struct peers *peers)
{
    return peers->count;
}

void peers_status(const struct peers *peers, size_t place, struct peer_status *ret)
{
    CHECK(place < peers->count);
    const struct peer *peer = peers->table[place];
    const struct connection *outgoing = peer->lanes[PEER_RAFT].connection;
    bool connected = outgoing && outgoing->state == CONNECTION_OPEN;
    *ret = (struct peer_status){
        .id = peer->id,
        .address = peer->address ? peer->address : "",
        .connected = connected,
        .heard = peer->incoming[PEER_RAFT],
        .last_contact_ns = peer->last_contact_ns,
        .generation = peer->generation,
        .queued_messages = peer->messages.count,
        .queued_bytes = peer->messages.bytes,
        .dropped = peer->dropped,
        .last_error = connected ? "" : peer->last_error,
    };
}

bool peers_find(const struct peers *peers, raft_id id, struct peer_status *ret)
{
    if (!peers_get(peers, id))
        return false;
    peers_status(peers, place_of(peers, id), ret);
    return true;
}

struct mem *peers_mem(struct peers *peers)
{
    return &peers->mem;
}

static void peer_validate(const struct peers *peers, const struct peer *peer)
{
    bool connected = false;
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++) {
        const struct connection *outgoing = peer->lanes[i].connection, *in = peer->incoming[i];
        CHECK(!outgoing || (outgoing->outgoing && outgoing->peer == peer));
        CHECK(!in || (!in->outgoing && in->peer == peer && in->state == CONNECTION_OPEN));
        CHECK(peer->lanes[i].backoff_ns <= PEER_BACKOFF_MAX_MS * NS_PER_MS);
        CHECK(peer->lanes[i].frames_bytes <= PEER_FRAMES_BYTES_MAX);
        connected |= outgoing || in;
    }
    CHECK(peer->address || connected);
    CHECK(peer->id != peers->options.member_id && !peers_is_removed(peers, peer->id));
    peer_queue_validate(&peer->messages);
}

void peers_validate(const struct peers *peers)
{
    size_t incoming = 0;
    for (size_t i = 0; i < peers->count; i++) {
        CHECK(i == 0 || peers->table[i - 1]->id < peers->table[i]->id);
        peer_validate(peers, peers->table[i]);
    }
    LIST_FOR_EACH (link, &peers->connections) {
        const struct connection *connection = container_of(link, struct connection, link);
        connection_validate(connection);
        incoming += !connection->outgoing;
    }
    CHECK(incoming == peers->incoming_count && incoming <= PEER_INCOMING_MAX);
}

/* --- life ------------------------------------------------------------------------------------- */

struct peers *peers_new(const struct peers_options *options)
{
    CHECK(options->handler.message && options->handler.unreachable && options->member_id);
    struct peers *peers = mem_xzalloc(sizeof(*peers));
    peers->options = *options;
    peers->address = options->address ? mem_xstrdup(options->address) : NULL;
    peers->options.address = peers->address;
    rand_init(&peers->rand, options->seed);
    list_init(&peers->connections);
    return peers;
}

enum err_code peers_listen(struct peers *peers, const char *address, struct err *err)
{
    const struct net_acceptor acceptor = {connection_accepted, peers};
    CHECK(!peers->listener);
    return net_listen(peers->options.net, address, &acceptor, &peers->listener, err);
}

void peers_close(struct peers *peers, void (*closed)(void *context), void *context)
{
    CHECK(!peers->closing);
    peers->closing = true;
    peers->closed = closed;
    peers->closed_context = context;
    net_listener_close(peers->options.net, peers->listener);
    LIST_FOR_EACH_SAFE (link, &peers->connections)
        connection_end(container_of(link, struct connection, link), false);
}

void peers_abandon(struct peers *peers)
{
    if (!peers)
        return;
    for (struct list *link; (link = list_pop_front(&peers->connections));)
        connection_free(container_of(link, struct connection, link));
    for (size_t i = 0; i < peers->count; i++)
        peer_free(peers->table[i]);
    raft_received_release(&peers->received);
    free(peers->removed);
    free(peers->address);
    free(peers);
}

void peers_finish(struct peers *peers)
{
    void (*closed)(void *context) = peers->closed;
    void *context = peers->closed_context;
    peers_abandon(peers);
    closed(context);
}
