/* One connection: its hello, its frames, its end.
 *
 * What a stranger can make this member do: hold PEER_INCOMING_MAX streams for PEER_HELLO_MAX_MS,
 * and read one frame of FRAME_SIZE_FIRST_MAX bytes on each. */
#include <stdio.h>
#include <stdlib.h>

#include "cluster/peer_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

/* --- moves ------------------------------------------------------------------------------------ */

void connection_move(struct connection *connection, enum connection_state state)
{
    static const bool allowed[CONNECTION_STATE_COUNT][CONNECTION_STATE_COUNT] = {
        [CONNECTION_HELLO] = {[CONNECTION_OPEN] = true, [CONNECTION_ENDING] = true,
                              [CONNECTION_JOINING] = true},
        [CONNECTION_OPEN] = {[CONNECTION_ENDING] = true},
        [CONNECTION_JOINING] = {[CONNECTION_ENDING] = true},
    };
    CHECK(allowed[connection->state][state]);
    connection->state = state;
    VERIFY(connection_validate(connection));
}

void connection_validate(const struct connection *connection)
{
    const struct peer *peer = connection->peer;
    CHECK(connection->channel < PEER_CHANNEL_COUNT);
    switch (connection->state) {
    case CONNECTION_HELLO:
        CHECK(!connection->outgoing == !peer);
        break;
    case CONNECTION_OPEN:
        CHECK(peer && peer->id == connection->id);
        break;
    case CONNECTION_ENDING:
        CHECK(!peer);
        break;
    case CONNECTION_JOINING:
        CHECK(!peer && !connection->outgoing);
        break;
    case CONNECTION_STATE_COUNT: CHECK(false);
    }
    if (peer && connection->outgoing)
        CHECK(peer->lanes[connection->channel].connection == connection);
}

static const struct net_events connection_events;

static struct connection *connection_new(struct peers *peers, bool outgoing)
{
    struct connection *connection = mem_xzalloc(sizeof(*connection));
    connection->peers = peers;
    connection->outgoing = outgoing;
    connection->opened_ns = NEVER_NS;
    connection->deadline_ns = peers_now(peers) + PEER_HELLO_MAX_MS * NS_PER_MS;
    list_push_back(&peers->connections, &connection->link);
    peers->incoming_count += !outgoing;
    return connection;
}

void connection_free(struct connection *connection)
{
    connection->peers->incoming_count -= !connection->outgoing;
    list_remove(&connection->link);
    frame_reader_release(&connection->reader);
    free(connection);
}

/* It belongs to its peer no more. The peer may be gone afterwards. */
static void leave(struct connection *connection)
{
    struct peer *peer = connection->peer;
    connection->peer = NULL;
    if (!peer)
        return;
    if (connection->outgoing)
        peer->lanes[connection->channel].connection = NULL;
    else if (peer->incoming[connection->channel] == connection)
        peer->incoming[connection->channel] = NULL;
    peers_drop_unknown(connection->peers, peer);
}

void connection_end(struct connection *connection, bool news)
{
    if (connection->state == CONNECTION_ENDING)
        return;
    connection->news = news && !connection->outgoing && connection->state == CONNECTION_OPEN;
    leave(connection);
    connection_move(connection, CONNECTION_ENDING);
    net_close(connection->peers->options.net, connection->stream);
}

static void send_refusal(struct connection *connection, enum peer_refusal why, const char *text)
{
    const struct peers_options *options = &connection->peers->options;
    const struct frame_header ids = {
        .cluster_id = options->cluster_id,
        .from = options->member_id,
        .to = connection->id,
    };
    struct buf buf = {0};
    frame_refused_encode(&ids, why, text, &buf);
    if (net_write(options->net, connection->stream, &buf) != ERR_OK)
        TRACE(options->trace, "peer refusal-unsent id=" ID, connection->id);
    buf_release(&buf);
}

void connection_refuse(struct connection *connection, enum peer_refusal why, bool news,
                       const char *format, ...)
{
    char text[ERR_TEXT_SIZE];
    va_list args;
    if (connection->state == CONNECTION_ENDING)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    TRACE(connection->peers->options.trace, "peer refuse id=" ID " why=%d text=\"%s\"",
          connection->id, (int)why, text);
    send_refusal(connection, why, text);
    connection_end(connection, news);
}

/* An outgoing connection that is of no use: its lane tries again later. */
void connection_give_up(struct connection *connection, const char *text)
{
    struct peers *peers = connection->peers;
    struct peer *peer = connection->peer;
    enum peer_channel channel = connection->channel;
    int64_t opened = connection->opened_ns;
    CHECK(connection->outgoing && peer);
    connection_end(connection, false);
    lane_failed(peers, peer, channel, opened, text);
}

/* What came is not what may come. */
void connection_unfit(struct connection *connection, enum peer_refusal why, const char *text)
{
    if (connection->outgoing)
        connection_give_up(connection, text);
    else
        connection_refuse(connection, why, true, "%s", text);
}

void connection_expired(struct connection *connection)
{
    char text[ERR_TEXT_SIZE];
    if (!connection->outgoing) {
        connection_end(connection, false);
        return;
    }
    snprintf(text, sizeof(text), "no answer from '%s' within %d ms", connection->peer->address,
             PEER_HELLO_MAX_MS);
    connection_give_up(connection, text);
}

/* --- beginning -------------------------------------------------------------------------------- */

static void begin_reading(struct connection *connection)
{
    connection->reader.check = hello_check_header;
    connection->reader.context = connection;
    connection->refusal = PEER_REFUSED_FRAME;
}

void connection_open(struct peers *peers, struct peer *peer, enum peer_channel channel)
{
    struct connection *connection = connection_new(peers, true);
    const struct net_handler handler = {&connection_events, connection};
    struct err err;
    connection->id = peer->id;
    connection->channel = channel;
    if (net_connect(peers->options.net, peer->address, &handler, &connection->stream, &err)) {
        connection_free(connection);
        lane_failed(peers, peer, channel, NEVER_NS, err.text);
        return;
    }
    connection->peer = peer;
    peer->lanes[channel].connection = connection;
    begin_reading(connection);
    hello_write(connection);
}

bool connection_accepted(void *context, struct net_stream *stream, struct net_handler *ret_handler)
{
    struct peers *peers = context;
    if (peers->closing || peers->incoming_count == PEER_INCOMING_MAX) {
        TRACE(peers->options.trace, "peer full incoming=%zu", peers->incoming_count);
        return false;
    }
    struct connection *connection = connection_new(peers, false);
    connection->stream = stream;
    begin_reading(connection);
    *ret_handler = (struct net_handler){&connection_events, connection};
    return true;
}

/* --- messages --------------------------------------------------------------------------------- */

/* Their `from` says whom they are for, and stays when a member that no longer leads passes them
 * on. */
static bool is_forwarded(enum raft_message_type type)
{
    return type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX ||
           type == RAFT_MSG_TRANSFER_LEADER;
}

/* What no correct peer sends. */
static enum err_code message_check(const struct connection *connection,
                                   const struct raft_message *message, struct err *err)
{
    const struct peers *peers = connection->peers;
    bool own = message->from == peers->options.member_id;
    if (raft_message_is_local(message->type))
        return err_set(err, ERR_INVALID, "a message of the local type %d", (int)message->type);
    if (message->to != peers->options.member_id)
        return err_set(err, ERR_INVALID, "a message for " ID, message->to);
    if (is_forwarded(message->type) ? peers_is_local_id(peers, message->from) && !own
                                    : message->from != connection->id)
        return err_set(err, ERR_INVALID, "a message from " ID " on the connection of " ID,
                       message->from, connection->id);
    return ERR_OK;
}

static void deliver(struct connection *connection, struct bytes from)
{
    struct peers *peers = connection->peers;
    const struct peers_handler *handler = &peers->options.handler;
    struct raft_received *received = &peers->received;
    struct err err;
    if (raft_message_decode(from, received, &err) != ERR_OK ||
        message_check(connection, &received->message, &err) != ERR_OK) {
        connection_refuse(connection, PEER_REFUSED_FRAME, true, "%s", err.text);
    } else if (received->message.from == peers->options.member_id ||
               peers_is_removed(peers, received->message.from)) {
        TRACE(peers->options.trace, "peer pass-over from=" ID " by=" ID, received->message.from,
              connection->id);
    } else {
        handler->message(handler->context, &received->message);
    }
    raft_received_clear(received);
}

/* The handler may end the connection. */
static void on_messages(struct connection *connection, struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct bytes message;
    while (connection->state == CONNECTION_OPEN && frame_message_next(&cursor, &message))
        deliver(connection, message);
    if (cursor.failed)
        connection_refuse(connection, PEER_REFUSED_FRAME, true, "a malformed frame of messages");
}

/* --- the net's callbacks ---------------------------------------------------------------------- */

static void on_frame(struct connection *connection, const struct frame_header *header,
                     struct bytes body)
{
    const struct peers_handler *handler = &connection->peers->options.handler;
    if (connection->state == CONNECTION_OPEN)
        connection->peer->last_contact_ns = peers_now(connection->peers);
    if (connection->state == CONNECTION_OPEN && !connection->outgoing)
        lanes_heard(connection->peers, connection->peer);
    switch (header->kind) {
    case FRAME_HELLO: hello_read(connection, header, body); break;
    case FRAME_REFUSED: hello_refused(connection, body); break;
    case FRAME_MESSAGES: on_messages(connection, body); break;
    case FRAME_JOIN: join_read(connection, body); break;
    default: handler->frame(handler->context, connection->id, header->kind, body);
    }
}

static void on_connected(void *context)
{
    struct connection *connection = context;
    TRACE(connection->peers->options.trace, "peer reached id=" ID, connection->id);
}

static uint8_t *on_room(void *context, size_t *ret_size)
{
    struct connection *connection = context;
    return connection->state == CONNECTION_ENDING ? NULL
                                                  : frame_room(&connection->reader, ret_size);
}

static void on_read(void *context, struct bytes from)
{
    struct connection *connection = context;
    struct frame_header header;
    struct bytes body;
    struct err err;
    bool whole = true;
    while (whole && connection->state != CONNECTION_ENDING) {
        if (frame_next(&connection->reader, &from, &whole, &header, &body, &err) != ERR_OK) {
            connection_unfit(connection, connection->refusal, err.text);
            return;
        }
        if (whole)
            on_frame(connection, &header, body);
    }
}

static void on_drained(void *context)
{
    struct connection *connection = context;
    if (connection->outgoing && connection->state == CONNECTION_OPEN)
        lane_flush(connection->peers, connection->peer, connection->channel);
}

/* Whether the end of an incoming connection that was open is the end of hearing from that peer. */
static bool is_news(const struct connection *connection)
{
    const struct peers *peers = connection->peers;
    const struct peer *peer = peers_get(peers, connection->id);
    return connection->news && !peers->closing && !peers_is_removed(peers, connection->id) &&
           !(peer && peer->incoming[connection->channel]);
}

static void on_closed(void *context, const struct err *why)
{
    struct connection *connection = context;
    struct peers *peers = connection->peers;
    const struct peers_handler *handler = &peers->options.handler;
    raft_id id = connection->id;
    enum peer_channel channel = connection->channel;
    if (connection->state != CONNECTION_ENDING) {
        struct peer *peer = connection->peer;
        connection->news = !connection->outgoing && connection->state == CONNECTION_OPEN;
        leave(connection);
        connection_move(connection, CONNECTION_ENDING);
        if (connection->outgoing)
            lane_failed(peers, peer, channel, connection->opened_ns, why->text);
    }
    bool news = is_news(connection);
    connection_free(connection);
    if (peers->closing && list_is_empty(&peers->connections)) {
        peers_finish(peers);
    } else if (news) {
        TRACE(peers->options.trace, "peer lost id=" ID " channel=%s", id,
              peer_channel_name(channel));
        if (handler->connection_lost)
            handler->connection_lost(handler->context, id, channel);
    }
}

static const struct net_events connection_events = {
    .connected = on_connected,
    .room = on_room,
    .read = on_read,
    .drained = on_drained,
    .closed = on_closed,
};
