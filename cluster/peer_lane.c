/* Lanes: what waits for a peer on a channel, when it is written, and when to connect. */
#include <stdio.h>
#include <stdlib.h>

#include "cluster/peer_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

static_assert(PEER_UNSENT_BYTES_MAX >= FRAME_SIZE_MAX - FRAME_HEADER_SIZE, "two frames in flight");

/* --- connecting ------------------------------------------------------------------------------- */

void lane_hope(struct lane *lane)
{
    lane->retry_ns = 0;
    lane->backoff_ns = PEER_BACKOFF_MIN_MS * NS_PER_MS;
}

/* Longer after each such try: one that takes its time to answer comes to it. */
static void lane_heard(struct peers *peers, struct peer *peer, struct lane *lane)
{
    struct connection *connection = lane->connection;
    if (!connection || connection->state != CONNECTION_HELLO)
        return;
    int64_t begun_ns = connection->deadline_ns - PEER_HELLO_MAX_MS * NS_PER_MS;
    if (peers_now(peers) - begun_ns < lane->patience_ns)
        return;
    TRACE(peers->options.trace, "peer heard and no answer id=" ID " channel=%s", peer->id,
          peer_channel_name(connection->channel));
    lane->patience_ns *= 2;
    connection_end(connection, false);
    lane_hope(lane);
}

void lanes_heard(struct peers *peers, struct peer *peer)
{
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        lane_heard(peers, peer, &peer->lanes[i]);
}

bool lane_is_wanted(const struct peer *peer, enum peer_channel channel)
{
    return peer->address && !peer->lanes[channel].connection &&
           (channel == PEER_RAFT || !list_is_empty(&peer->lanes[channel].frames));
}

void lanes_connect(struct peers *peers, struct peer *peer, int64_t now_ns)
{
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        if (lane_is_wanted(peer, (enum peer_channel)i) && peer->lanes[i].retry_ns <= now_ns)
            connection_open(peers, peer, (enum peer_channel)i);
}

/* Half of the delay is drawn, so that members that lost each other at once do not return at
 * once. */
static void back_off(struct peers *peers, struct lane *lane, int64_t opened_ns, int64_t now)
{
    if (opened_ns != NEVER_NS && now - opened_ns >= PEER_BACKOFF_MAX_MS * NS_PER_MS)
        lane_hope(lane);
    int64_t half = lane->backoff_ns / 2;
    lane->retry_ns = now + half + (int64_t)rand_below(&peers->rand, (uint64_t)half + 1);
    lane->backoff_ns *= 2;
    if (lane->backoff_ns > PEER_BACKOFF_MAX_MS * NS_PER_MS)
        lane->backoff_ns = PEER_BACKOFF_MAX_MS * NS_PER_MS;
}

void lane_clear(struct lane *lane)
{
    for (struct list *link; (link = list_pop_front(&lane->frames));) {
        struct own_frame *frame = container_of(link, struct own_frame, link);
        buf_release(&frame->bytes);
        free(frame);
    }
    lane->frames_bytes = 0;
}

void lane_failed(struct peers *peers, struct peer *peer, enum peer_channel channel,
                 int64_t opened_ns, const char *text)
{
    struct lane *lane = &peer->lanes[channel];
    lane->connection = NULL;
    back_off(peers, lane, opened_ns, peers_now(peers));
    lane_clear(lane);
    snprintf(peer->last_error, sizeof(peer->last_error), "%s", text);
    TRACE(peers->options.trace, "peer failed id=" ID " channel=%s text=\"%s\"", peer->id,
          peer_channel_name(channel), text);
    if (channel != PEER_RAFT)
        return;
    bool snapshot;
    size_t dropped = peer_queue_clear(&peer->messages, &snapshot);
    peer->dropped += dropped;
    peer->unreachable |= dropped || opened_ns != NEVER_NS;
    peer->snapshot_lost |= snapshot;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Everything that fits into one frame, in one buffer of its size. */
static bool messages_encode(struct peers *peers, struct peer *peer, struct buf *ret)
{
    const struct frame_header header = {
        .kind = FRAME_MESSAGES,
        .cluster_id = peers->options.cluster_id,
        .from = peers->options.member_id,
        .to = peer->id,
    };
    size_t count;
    bool snapshot = false;
    buf_reserve(ret, FRAME_HEADER_SIZE + peer_queue_batch(&peer->messages, &count));
    frame_begin(ret);
    while (count--) {
        const struct raft_message *message = peer_queue_front(&peer->messages)->message;
        snapshot |= message->type == RAFT_MSG_SNAP;
        frame_message_append(ret, message);
        peer_queue_pop(&peer->messages);
    }
    frame_end(ret, 0, &header);
    return snapshot;
}

/* One buffer; false when the stream took none. */
static bool lane_write(struct peers *peers, struct peer *peer, enum peer_channel channel)
{
    struct lane *lane = &peer->lanes[channel];
    struct buf buf = {0};
    bool snapshot = false;
    if (channel == PEER_RAFT && peer->messages.count) {
        snapshot = messages_encode(peers, peer, &buf);
    } else if (!list_is_empty(&lane->frames)) {
        struct list *link = list_pop_front(&lane->frames);
        struct own_frame *frame = container_of(link, struct own_frame, link);
        buf = frame->bytes;
        lane->frames_bytes -= buf.size;
        free(frame);
    } else {
        return false;
    }
    enum err_code code = net_write(peers->options.net, lane->connection->stream, &buf);
    CHECK(code == ERR_OK || code == ERR_CLOSING);
    if (code)
        peer->snapshot_lost |= snapshot;
    buf_release(&buf);
    return !code;
}

void lane_flush(struct peers *peers, struct peer *peer, enum peer_channel channel)
{
    struct connection *connection = peer->lanes[channel].connection;
    if (!connection || connection->state != CONNECTION_OPEN)
        return;
    struct net *net = peers->options.net;
    while (net_unsent(net, connection->stream) <= PEER_UNSENT_BYTES_MAX &&
           lane_write(peers, peer, channel))
        ;
}

/* --- queueing --------------------------------------------------------------------------------- */

static void queue_message(struct peers *peers, struct peer *peer,
                          const struct raft_message *message)
{
    if (peer->address && peer_queue_push(&peer->messages, message))
        return;
    peer->dropped++;
    peer->unreachable = true;
    peer->snapshot_lost |= message->type == RAFT_MSG_SNAP;
    TRACE(peers->options.trace, "peer drop id=" ID " type=%d queued=%zu", peer->id,
          (int)message->type, peer->messages.count);
}

/* Proposals are independent of each other: what waits at a follower leaves in messages of the size
 * that appends have. */
static void queue_proposals(struct peers *peers, struct peer *peer,
                            const struct raft_message *message)
{
    struct raft_message part = *message;
    for (size_t begin = 0, end = 0; begin < message->entry_count; begin = end) {
        size_t size = 0;
        do
            size += raft_entry_wire_size(&message->entries[end++]);
        while (end < message->entry_count && end - begin < MESSAGE_ENTRIES_MAX &&
               size + raft_entry_wire_size(&message->entries[end]) <= MESSAGE_SIZE_MAX);
        part.entries = message->entries + begin;
        part.entry_count = end - begin;
        queue_message(peers, peer, &part);
    }
}

void peers_send(struct peers *peers, const struct raft_message *message)
{
    struct peer *peer = peers_get(peers, message->to);
    CHECK(message->response_count == 0 && message->to != peers->options.member_id);
    if (!peer)
        TRACE(peers->options.trace, "peer unknown id=" ID " type=%d", message->to,
              (int)message->type);
    else if (message->type == RAFT_MSG_PROP)
        queue_proposals(peers, peer, message);
    else
        queue_message(peers, peer, message);
}

enum err_code peers_send_frame(struct peers *peers, raft_id to, enum peer_channel channel,
                               uint32_t kind, struct bytes bytes)
{
    const struct frame_header header = {
        .kind = kind,
        .cluster_id = peers->options.cluster_id,
        .from = peers->options.member_id,
        .to = to,
    };
    struct peer *peer = peers_get(peers, to);
    CHECK(kind >= PEER_KIND_OWN && kind <= FRAME_KIND_MAX && channel < PEER_CHANNEL_COUNT);
    if (!peer || !peer->address || peers->closing)
        return ERR_NOT_FOUND;
    if (bytes.size > FRAME_SIZE_MAX)
        return ERR_TOO_BIG;
    struct lane *lane = &peer->lanes[channel];
    if (lane->frames_bytes + FRAME_HEADER_SIZE + bytes.size > PEER_FRAMES_BYTES_MAX)
        return ERR_BUSY;
    struct own_frame *frame = mem_xzalloc(sizeof(*frame));
    buf_reserve(&frame->bytes, FRAME_HEADER_SIZE + bytes.size);
    frame_begin(&frame->bytes);
    buf_append(&frame->bytes, bytes);
    frame_end(&frame->bytes, 0, &header);
    lane->frames_bytes += frame->bytes.size;
    list_push_back(&lane->frames, &frame->link);
    return ERR_OK;
}
