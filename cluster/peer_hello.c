/* Who is at the other end: hellos, refusals, and which frames may come at all. */
#include <stdarg.h>
#include <stdio.h>

#include "cluster/join_frame.h"
#include "cluster/peer_internal.h"
#include "proto/base/check.h"
#include "proto/base/limits.h"

/* --- headers ---------------------------------------------------------------------------------- */

static bool is_own_kind(const struct connection *connection, uint32_t kind)
{
    return kind >= FRAME_OWN && connection->peers->options.handler.frame;
}

static bool kind_is_due(const struct connection *connection, uint32_t kind)
{
    if (connection->outgoing)
        return kind == FRAME_REFUSED ||
               (kind == FRAME_HELLO && connection->state == CONNECTION_HELLO);
    if (connection->state == CONNECTION_HELLO)
        return kind == FRAME_HELLO ||
               (kind == FRAME_JOIN && connection->peers->options.handler.join);
    if (connection->state != CONNECTION_OPEN)
        return false;
    return (kind == FRAME_MESSAGES && connection->channel == PEER_RAFT) ||
           is_own_kind(connection, kind);
}

/* Ids of first frames are looked at when all of them is there: the sentence then says more. */
enum err_code hello_check_header(void *context, const struct frame_header *header, struct err *err)
{
    struct connection *connection = context;
    const struct peers_options *options = &connection->peers->options;
    connection->refusal = PEER_REFUSED_FRAME;
    if (!kind_is_due(connection, header->kind))
        return err_set(err, ERR_INVALID, "a frame of kind %" PRIu32 " is not due here",
                       header->kind);
    if (header->kind == FRAME_HELLO || header->kind == FRAME_REFUSED || header->kind == FRAME_JOIN)
        return ERR_OK;
    if (header->cluster_id != options->cluster_id) {
        connection->refusal = PEER_REFUSED_CLUSTER;
        return err_set(err, ERR_INVALID, "a frame of cluster " ID ", this is " ID,
                       header->cluster_id, options->cluster_id);
    }
    if (header->from != connection->id) {
        connection->refusal = PEER_REFUSED_FROM;
        return err_set(err, ERR_INVALID, "a frame from " ID " on the connection of " ID,
                       header->from, connection->id);
    }
    if (header->to != options->member_id) {
        connection->refusal = PEER_REFUSED_TO;
        return err_set(err, ERR_INVALID, "a frame for " ID ", this is " ID, header->to,
                       options->member_id);
    }
    return ERR_OK;
}

/* --- hellos ----------------------------------------------------------------------------------- */

void hello_write(struct connection *connection)
{
    const struct peers_options *options = &connection->peers->options;
    struct buf buf = {0};
    frame_hello_encode(&(struct frame_hello){.version = FRAME_VERSION,
                                             .cluster_id = options->cluster_id,
                                             .from = options->member_id,
                                             .to = connection->id,
                                             .generation = options->generation,
                                             .channel = connection->channel,
                                             .address = bytes_of_text(
                                                 options->address ? options->address : "")},
                       &buf);
    /* Refused only by a stream that is ending already; closed will say so. */
    if (net_write(options->net, connection->stream, &buf) != ERR_OK)
        buf_release(&buf);
}

static enum peer_refusal refuse(enum peer_refusal why, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum peer_refusal refuse(enum peer_refusal why, struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    err->code = ERR_INVALID;
    return why;
}

/* What both sides ask of the other's hello; 0: nothing is wrong. */
static enum peer_refusal hello_check(struct connection *connection,
                                     const struct frame_header *header,
                                     const struct frame_hello *hello, struct err *err)
{
    struct peers *peers = connection->peers;
    const struct peers_options *own = &peers->options;
    if (hello->version != FRAME_VERSION)
        return refuse(PEER_REFUSED_VERSION, err,
                      "member " ID " speaks version %" PRIu32 " of the protocol, member " ID
                      " version %d", hello->from, hello->version, own->member_id, FRAME_VERSION);
    if (hello->cluster_id != own->cluster_id)
        return refuse(PEER_REFUSED_CLUSTER, err,
                      "member " ID " belongs to cluster " ID ", member " ID " to cluster " ID,
                      hello->from, hello->cluster_id, own->member_id, own->cluster_id);
    if (hello->to != own->member_id)
        return refuse(PEER_REFUSED_TO, err, "this is member " ID ", not " ID, own->member_id,
                      hello->to);
    if (peers_is_local_id(peers, hello->from))
        return refuse(PEER_REFUSED_FROM, err, "no peer of member " ID " can have the id " ID,
                      own->member_id, hello->from);
    if (header->cluster_id != hello->cluster_id || header->from != hello->from ||
        header->to != hello->to || hello->channel >= PEER_CHANNEL_COUNT)
        return refuse(PEER_REFUSED_FRAME, err, "a hello that contradicts itself");
    if (peers_is_removed(peers, hello->from))
        return refuse(PEER_REFUSED_REMOVED, err, "member " ID " was removed from cluster " ID,
                      hello->from, own->cluster_id);
    enum err_code code =
        own->handler.hello
            ? own->handler.hello(own->handler.context, hello->from, hello->generation, err)
            : ERR_OK;
    return code == ERR_OK ? 0 : code == ERR_EXISTS ? PEER_REFUSED_MEMBER : PEER_REFUSED_NOT_NOW;
}

/* A newer connection of the same peer takes an older one's place: the older one is dead, and its
 * end says nothing about the peer. */
static void take_place(struct connection *connection, struct peer *peer)
{
    struct connection *older = peer->incoming[connection->channel];
    connection->peer = peer;
    peer->incoming[connection->channel] = connection;
    if (older)
        connection_end(older, false);
}

static void incoming_hello(struct connection *connection, const struct frame_header *header,
                           const struct frame_hello *hello)
{
    struct peers *peers = connection->peers;
    struct err err = {0};
    connection->id = hello->from;
    enum peer_refusal why = hello_check(connection, header, hello, &err);
    if (connection->state == CONNECTION_ENDING)
        return;
    if (why) {
        connection_refuse(connection, why, false, "%s", err.text);
        return;
    }
    /* The member may have removed it in its handler. */
    struct peer *peer = peers_get(peers, hello->from);
    if (peers_is_removed(peers, hello->from)) {
        connection_end(connection, false);
        return;
    }
    if (!peer && !(peer = peers_add(peers, hello->from))) {
        connection_refuse(connection, PEER_REFUSED_FULL, false, "member " ID " has %d peers",
                          peers->options.member_id, RAFT_MEMBERS_MAX);
        return;
    }
    connection->channel = (enum peer_channel)hello->channel;
    take_place(connection, peer);
    connection_move(connection, CONNECTION_OPEN);
    peer->generation = hello->generation;
    peer->last_contact_ns = peers_now(peers);
    peers_learn(peers, peer, hello->address);
    for (int i = 0; i < PEER_CHANNEL_COUNT; i++)
        if (!peer->lanes[i].connection)
            lane_hope(&peer->lanes[i]);
    lanes_heard(peers, peer);
    TRACE(peers->options.trace, "peer accepted id=" ID " channel=%s from=%s", connection->id,
          peer_channel_name(connection->channel),
          net_address(peers->options.net, connection->stream));
    hello_write(connection);
}

static void outgoing_hello(struct connection *connection, const struct frame_header *header,
                           const struct frame_hello *hello)
{
    struct peers *peers = connection->peers;
    struct err err = {0};
    enum peer_refusal why = hello_check(connection, header, hello, &err);
    if (connection->state == CONNECTION_ENDING)
        return;
    if (!why && hello->from != connection->id)
        why = refuse(PEER_REFUSED_FROM, &err, "'%s' is member " ID ", not " ID,
                     connection->peer->address, hello->from, connection->id);
    if (!why && hello->channel != connection->channel)
        why = refuse(PEER_REFUSED_FRAME, &err, "a hello of another channel");
    if (why) {
        connection_give_up(connection, err.text);
        return;
    }
    struct peer *peer = connection->peer;
    connection_move(connection, CONNECTION_OPEN);
    connection->opened_ns = peers_now(peers);
    peer->lanes[connection->channel].patience_ns = PEER_LOST_MS * NS_PER_MS;
    peer->generation = hello->generation;
    peer->last_contact_ns = connection->opened_ns;
    TRACE(peers->options.trace, "peer connected id=" ID " channel=%s", connection->id,
          peer_channel_name(connection->channel));
    lane_flush(peers, peer, connection->channel);
}

void hello_read(struct connection *connection, const struct frame_header *header,
                struct bytes body)
{
    struct frame_hello hello;
    if (frame_hello_decode(body, &hello) != ERR_OK)
        connection_unfit(connection, PEER_REFUSED_FRAME, "a malformed hello");
    else if (connection->outgoing)
        outgoing_hello(connection, header, &hello);
    else
        incoming_hello(connection, header, &hello);
}

void hello_refused(struct connection *connection, struct bytes body)
{
    const struct peers_handler *handler = &connection->peers->options.handler;
    char text[ERR_TEXT_SIZE];
    uint32_t why;
    raft_id id = connection->id;
    if (frame_refused_decode(body, &why, text) != ERR_OK) {
        connection_give_up(connection, "a malformed refusal");
        return;
    }
    connection_give_up(connection, text);
    if (handler->refused)
        handler->refused(handler->context, id, (enum peer_refusal)why, text);
}

/* --- joining ---------------------------------------------------------------------------------- */

void join_read(struct connection *connection, struct bytes body)
{
    struct peers *peers = connection->peers;
    struct join_request request;
    struct err err = {0};
    if (join_request_decode(body, &request, &err) != ERR_OK) {
        connection_refuse(connection, PEER_REFUSED_JOIN, false, "%s", err.text);
        return;
    }
    connection->id = request.member.id;
    if (request.version != FRAME_VERSION) {
        connection_refuse(connection, PEER_REFUSED_VERSION, false,
                          "the joiner speaks version %" PRIu32 " of the protocol, member " ID
                          " version %d", request.version, peers->options.member_id, FRAME_VERSION);
        return;
    }
    connection_move(connection, CONNECTION_JOINING);
    connection->deadline_ns = peers_now(peers) + PEER_JOIN_MAX_MS * NS_PER_MS;
    TRACE(peers->options.trace, "peer join id=" ID " name=%s address=%s", request.member.id,
          request.member.name, request.member.address);
    peers->options.handler.join(peers->options.handler.context, &request);
}

static void joined_write(struct connection *connection, const struct join_answer *answer)
{
    const struct peers_options *options = &connection->peers->options;
    struct buf buf = {0};
    join_answer_encode(answer, options->member_id, &buf);
    if (net_write(options->net, connection->stream, &buf) != ERR_OK)
        TRACE(options->trace, "peer joined-unsent id=" ID, connection->id);
    buf_release(&buf);
    connection_end(connection, false);
}

void peers_join_answer(struct peers *peers, raft_id drawn, const struct join_answer *answer,
                       enum peer_refusal why, const char *text)
{
    LIST_FOR_EACH_SAFE (link, &peers->connections) {
        struct connection *connection = container_of(link, struct connection, link);
        if (connection->state != CONNECTION_JOINING || connection->id != drawn)
            continue;
        if (answer)
            joined_write(connection, answer);
        else
            connection_refuse(connection, why, false, "%s", text);
    }
}
