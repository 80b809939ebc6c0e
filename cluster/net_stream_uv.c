/* Streams.
 *
 *     RESOLVING ──▶ CONNECTING ──▶ OPEN ──▶ LINGERING ──▶ ENDING
 *                        └───────────┼──────────┘            ▲
 *                                    └────▶ BROKEN ──────────┘   (any may go straight to ENDING)
 *
 * RESOLVING, CONNECTING: what is written waits in `queued`. Each address gets a socket of its own;
 * the next is tried when that of the one before is closed. If net_close came meanwhile
 * (`close_asked`) and something is queued, it goes on, and from CONNECTING to LINGERING.
 * OPEN: libuv holds what is unsent.
 * BROKEN: a write failed. What had arrived is still read; the socket's end follows it at once.
 * LINGERING: net_close was called. Ends when both directions have, or when time is over.
 * ENDING: handles are being closed. The last one's callback is closed, and the stream is freed.
 *
 * Every callback into the owner comes from one of libuv's, and none of libuv's functions used here
 * calls back before it returns. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/net_internal_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

enum stream_state {
    STREAM_RESOLVING,
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_BROKEN,
    STREAM_LINGERING,
    STREAM_ENDING,
    STREAM_STATE_COUNT
};

struct net_stream {
    struct net_uv *net;
    struct list link;
    enum stream_state state;
    struct net_handler handler;         /* events NULL: nobody's */
    char *address;
    struct err why;                     /* it ends, or will */

    uv_tcp_t tcp;
    uv_timer_t timer;                   /* of resolving, an attempt to connect, BROKEN, lingering */
    unsigned handle_count;              /* not yet closed */
    bool has_tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;

    struct net_lookup_wait lookup;
    uint16_t port;
    bool is_named;                      /* the address is a name: errors say which number it was */
    union net_sockaddr places[NET_PLACES_MAX];
    size_t place_count, place_next;
    struct list queued;                 /* outs */
    size_t queued_bytes;

    bool close_asked;
    bool has_ended, is_shut;            /* LINGERING: their direction, ours */
    bool owes_drained;
};

/* Bytes that wait for the system. */
struct out {
    struct net_stream *stream;
    struct list link;
    uv_write_t request;
    struct buf bytes;
};

/* ---- states ---- */

static void stream_move(struct net_stream *stream, enum stream_state state)
{
    static const bool allowed[STREAM_STATE_COUNT][STREAM_STATE_COUNT] = {
        [STREAM_RESOLVING] = {[STREAM_CONNECTING] = true, [STREAM_ENDING] = true},
        [STREAM_CONNECTING] = {[STREAM_OPEN] = true, [STREAM_LINGERING] = true,
                               [STREAM_ENDING] = true},
        [STREAM_OPEN] = {[STREAM_BROKEN] = true, [STREAM_LINGERING] = true, [STREAM_ENDING] = true},
        [STREAM_BROKEN] = {[STREAM_ENDING] = true},
        [STREAM_LINGERING] = {[STREAM_ENDING] = true},
    };
    CHECK(allowed[stream->state][state]);
    stream->state = state;
}

static bool is_young(const struct net_stream *stream)
{
    return stream->state == STREAM_RESOLVING || stream->state == STREAM_CONNECTING;
}

static uv_stream_t *uv_of(struct net_stream *stream) { return (uv_stream_t *)&stream->tcp; }

static void on_timer(uv_timer_t *timer);

static void timer_start(struct net_stream *stream, int timeout_ms)
{
    CHECK(uv_timer_start(&stream->timer, on_timer, (uint64_t)timeout_ms, 0) == 0);
}

static struct net_stream *stream_new(struct net_uv *net, const char *address,
                                     enum stream_state state)
{
    struct net_stream *stream = mem_xzalloc(sizeof(*stream));
    stream->net = net;
    stream->state = state;
    stream->address = mem_xstrdup(address);
    list_init(&stream->queued);
    CHECK(uv_timer_init(net->loop, &stream->timer) == 0);
    stream->handle_count = 1;
    list_push_back(&net->streams, &stream->link);
    net->open_count++;
    return stream;
}

static void out_free(struct out *out)
{
    buf_release(&out->bytes);
    free(out);
}

static void handle_closed(struct net_stream *stream)
{
    struct net_uv *net = stream->net;
    if (--stream->handle_count)
        return;
    const struct net_events *events = stream->handler.events;
    if (events)
        events->closed(stream->handler.context, &stream->why);
    for (struct list *link; (link = list_pop_front(&stream->queued));)
        out_free(container_of(link, struct out, link));
    list_remove(&stream->link);
    free(stream->address);
    free(stream);
    net_uv_drop(net);
}

static void connect_next(struct net_stream *stream);

/* Of an attempt to connect, or of the stream. */
static void on_tcp_closed(uv_handle_t *handle)
{
    struct net_stream *stream = container_of((uv_tcp_t *)handle, struct net_stream, tcp);
    stream->has_tcp = false;
    if (stream->state != STREAM_ENDING)
        connect_next(stream);
    handle_closed(stream);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)handle, struct net_stream, timer));
}

static void tcp_close(struct net_stream *stream)
{
    if (stream->has_tcp && !uv_is_closing((uv_handle_t *)&stream->tcp))
        uv_close((uv_handle_t *)&stream->tcp, on_tcp_closed);
}

/* For the reason that stands in why. */
static void stream_end(struct net_stream *stream)
{
    if (stream->state == STREAM_ENDING)
        return;
    stream_move(stream, STREAM_ENDING);
    net_lookup_cancel(&stream->lookup);
    tcp_close(stream);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

static void stream_end_asked(struct net_stream *stream)
{
    stream->why = (struct err){0};
    stream_end(stream);
}

/* ---- reasons ---- */

static const char *what_happened(const struct net_uv *net, int error, char ret[64])
{
    switch (error) {
    case UV_ECONNREFUSED: return "refused";
    case UV_ECONNRESET:
    case UV_EPIPE: return "reset";
    case UV_ETIMEDOUT:
        snprintf(ret, 64, "silent for %d ms", net->options.silence_ms);
        return ret;
    }
    return uv_strerror_r(error, ret, 64);
}

static void why_broken(struct net_stream *stream, int error)
{
    char text[64];
    err_set(&stream->why, ERR_IO, "the connection with \"%s\" broke: %s", stream->address,
            what_happened(stream->net, error, text));
}

static void why_unresolved(struct net_stream *stream, const char *text)
{
    err_set(&stream->why, ERR_IO, "cannot connect to \"%s\": the name does not resolve: %s",
            stream->address, text);
}

static void why_not_connected(struct net_stream *stream, const char *text)
{
    char number[NET_ADDRESS_TEXT_SIZE] = "", at[NET_ADDRESS_TEXT_SIZE + 4] = "";
    if (stream->is_named) {
        net_sockaddr_format(&stream->places[stream->place_next - 1], number);
        snprintf(at, sizeof(at), " at %s", number);
    }
    err_set(&stream->why, ERR_IO, "cannot connect to \"%s\"%s: %s", stream->address, at, text);
}

/* ---- writing ---- */

static void tell_drained(struct net_stream *stream)
{
    const struct net_events *events = stream->handler.events;
    if (stream->state != STREAM_OPEN || !stream->owes_drained ||
        uv_stream_get_write_queue_size(uv_of(stream)))
        return;
    stream->owes_drained = false;
    if (events->drained)
        events->drained(stream->handler.context);
}

/* It reads on: the socket's end is behind what has arrived. The timer is for a write that failed
 * for want of memory, after which the socket lives. */
static void stream_break(struct net_stream *stream, int error)
{
    why_broken(stream, error);
    stream_move(stream, STREAM_BROKEN);
    timer_start(stream, stream->net->options.linger_ms);
}

static void on_written(uv_write_t *request, int status)
{
    struct out *out = container_of(request, struct out, request);
    struct net_stream *stream = out->stream;
    out_free(out);
    if (status == 0)
        tell_drained(stream);
    else if (stream->state == STREAM_OPEN)
        stream_break(stream, status);
    else if (stream->state == STREAM_LINGERING)
        stream_end_asked(stream);
}

static struct out *out_new(struct net_stream *stream, struct buf *take)
{
    struct out *out = mem_xzalloc(sizeof(*out));
    out->stream = stream;
    out->bytes = *take;
    *take = (struct buf){0};
    return out;
}

/* Queues the rest with libuv. */
static void out_send(struct out *out, size_t sent)
{
    uv_buf_t rest = uv_buf_init((char *)out->bytes.data + sent, 0);
    rest.len = out->bytes.size - sent;
    out->stream->owes_drained = true;
    CHECK(uv_write(&out->request, uv_of(out->stream), &rest, 1, on_written) == 0);
}

static enum err_code write_now(struct net_stream *stream, struct buf *from)
{
    uv_buf_t all = uv_buf_init((char *)from->data, 0);
    all.len = from->size;
    int sent = uv_try_write(uv_of(stream), &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        stream_break(stream, sent);
        return ERR_CLOSING;
    }
    if (sent == UV_EAGAIN)
        sent = 0;
    if ((size_t)sent == from->size)
        buf_release(from);
    else
        out_send(out_new(stream, from), (size_t)sent);
    return ERR_OK;
}

size_t net_stream_unsent(const struct net *net, const struct net_stream *stream)
{
    CHECK(stream->net == net_uv_of(net));
    if (is_young(stream))
        return stream->queued_bytes;
    return stream->has_tcp ? uv_stream_get_write_queue_size((const uv_stream_t *)&stream->tcp) : 0;
}

enum err_code net_stream_write(struct net *net, struct net_stream *stream, struct buf *from)
{
    size_t unsent = net_stream_unsent(net, stream);
    if (stream->close_asked || (!is_young(stream) && stream->state != STREAM_OPEN))
        return ERR_CLOSING;
    if (unsent && unsent + from->size > NET_UNSENT_BYTES_MAX)
        return ERR_BUSY;
    if (from->size == 0) {
        buf_release(from);
        return ERR_OK;
    }
    if (!is_young(stream))
        return write_now(stream, from);
    stream->queued_bytes += from->size;
    list_push_back(&stream->queued, &out_new(stream, from)->link);
    return ERR_OK;
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct net_stream *stream = container_of((uv_tcp_t *)handle, struct net_stream, tcp);
    const struct net_events *events = stream->handler.events;
    size_t size = 0;
    uint8_t *room = NULL;
    (void)suggested;
    if (stream->state == STREAM_OPEN && events->room)
        room = events->room(stream->handler.context, &size);
    if (room && stream->state == STREAM_OPEN) {
        CHECK(size > 0);
        *ret = uv_buf_init((char *)room, 0);
        ret->len = size;
        return;
    }
    *ret = uv_buf_init(stream->net->read_buffer, NET_READ_SIZE);
}

static void on_read_end(struct net_stream *stream, int error)
{
    switch (stream->state) {
    case STREAM_OPEN:
        if (error == UV_EOF)
            err_set(&stream->why, ERR_CLOSING, "\"%s\" closed the connection", stream->address);
        else
            why_broken(stream, error);
        stream_end(stream);
        break;
    case STREAM_BROKEN:
        stream_end(stream);
        break;
    case STREAM_LINGERING:
        stream->has_ended = true;
        if (stream->is_shut || error != UV_EOF)
            stream_end_asked(stream);
        break;
    default:
        break;
    }
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *buf)
{
    struct net_stream *stream = container_of((uv_tcp_t *)handle, struct net_stream, tcp);
    if (got < 0)
        on_read_end(stream, (int)got);
    else if (got > 0 && (stream->state == STREAM_OPEN || stream->state == STREAM_BROKEN))
        stream->handler.events->read(stream->handler.context, bytes_of(buf->base, (size_t)got));
}

/* ---- lingering ---- */

static void on_shut(uv_shutdown_t *request, int status)
{
    struct net_stream *stream = container_of(request, struct net_stream, shutdown);
    stream->is_shut = true;
    if (stream->state == STREAM_LINGERING && (status < 0 || stream->has_ended))
        stream_end_asked(stream);
}

/* The direction ends behind what libuv still has to send. */
static void linger(struct net_stream *stream)
{
    stream_move(stream, STREAM_LINGERING);
    if (uv_shutdown(&stream->shutdown, uv_of(stream), on_shut) != 0)
        stream_end_asked(stream);
}

void net_stream_close(struct net *net, struct net_stream *stream)
{
    CHECK(stream->net == net_uv_of(net));
    if (stream->close_asked || stream->state == STREAM_ENDING)
        return;
    stream->close_asked = true;
    if (stream->state == STREAM_BROKEN || (is_young(stream) && !stream->queued_bytes)) {
        stream_end_asked(stream);
        return;
    }
    timer_start(stream, stream->net->options.linger_ms);
    if (stream->state == STREAM_OPEN)
        linger(stream);
}

void net_stream_close_all(struct net_uv *net)
{
    LIST_FOR_EACH(link, &net->streams)
        net_stream_close(&net->net, container_of(link, struct net_stream, link));
}

const char *net_stream_address(const struct net *net, const struct net_stream *stream)
{
    CHECK(stream->net == net_uv_of(net));
    return stream->address;
}

/* ---- sockets ---- */

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* Bytes that nobody acknowledges end the stream after silence_ms; where there are none, probes are
 * sent each third of it, and count as bytes. */
static int socket_prepare(const struct net_uv *net, int fd)
{
    int silence_ms = net->options.silence_ms;
    int probe_s = silence_ms / 3000 > 0 ? silence_ms / 3000 : 1;
    int error = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!error)
        error = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, silence_ms);
    if (!error)
        error = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, probe_s);
    if (!error)
        error = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_s);
    return error ? error : set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/* Takes fd, also on failure. */
static int tcp_open(struct net_stream *stream, int fd)
{
    CHECK(!stream->has_tcp);
    CHECK(uv_tcp_init(stream->net->loop, &stream->tcp) == 0);
    stream->has_tcp = true;
    stream->handle_count++;
    if (fd < 0)
        return fd;
    int error = socket_prepare(stream->net, fd);
    if (!error)
        error = uv_tcp_open(&stream->tcp, fd);
    if (error)
        close(fd);
    return error;
}

static void read_start(struct net_stream *stream)
{
    CHECK(uv_read_start(uv_of(stream), on_alloc, on_read) == 0);
}

void net_stream_accept(struct net_uv *net, int fd, const union net_sockaddr *from,
                       const struct net_acceptor *acceptor)
{
    char address[NET_ADDRESS_TEXT_SIZE];
    struct net_handler handler = {0};
    net_sockaddr_format(from, address);
    struct net_stream *stream = stream_new(net, address, STREAM_OPEN);
    if (tcp_open(stream, fd) != 0) {
        stream_end(stream);
        return;
    }
    read_start(stream);
    if (!acceptor->accepted(acceptor->context, stream, &handler)) {
        stream_end(stream);
        return;
    }
    CHECK(handler.events);
    stream->handler = handler;
}

/* ---- connecting ---- */

/* What was written before is on its way when the owner hears of it. */
static void stream_connected(struct net_stream *stream)
{
    stream->place_next = stream->place_count;
    read_start(stream);
    for (struct list *link; (link = list_pop_front(&stream->queued));)
        out_send(container_of(link, struct out, link), 0);
    stream->queued_bytes = 0;
    if (stream->close_asked) {
        linger(stream);
        return;
    }
    uv_timer_stop(&stream->timer);
    stream_move(stream, STREAM_OPEN);
    stream->handler.events->connected(stream->handler.context);
}

static void attempt_failed(struct net_stream *stream, const char *text)
{
    why_not_connected(stream, text);
    if (!stream->close_asked)
        uv_timer_stop(&stream->timer);
    tcp_close(stream);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct net_stream *stream = container_of(request, struct net_stream, connect);
    char text[64];
    if (stream->state == STREAM_ENDING || uv_is_closing((uv_handle_t *)&stream->tcp))
        return;
    if (status == 0)
        stream_connected(stream);
    else
        attempt_failed(stream, what_happened(stream->net, status, text));
}

/* How long the address that is tried now may be silent. */
static int turn_ms(const struct net_stream *stream)
{
    int all_ms = stream->net->options.silence_ms;
    if (stream->place_next == stream->place_count)
        return all_ms;
    if (all_ms > NET_CONNECT_TURNS_MS)
        all_ms = NET_CONNECT_TURNS_MS;
    return all_ms / ((int)stream->place_count - 1);
}

/* Where each address tried so far failed, why says how the last did. */
static void connect_next(struct net_stream *stream)
{
    char text[64];
    if (stream->place_next == stream->place_count) {
        if (stream->close_asked)
            stream_end_asked(stream);
        else
            stream_end(stream);
        return;
    }
    const union net_sockaddr *at = &stream->places[stream->place_next++];
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = tcp_open(stream, fd < 0 ? -errno : fd);
    if (!error)
        error = uv_tcp_connect(&stream->connect, &stream->tcp, &at->any, on_connect);
    if (error)
        attempt_failed(stream, what_happened(stream->net, error, text));
    else if (!stream->close_asked)
        timer_start(stream, turn_ms(stream));
}

static void connect_first(struct net_stream *stream, size_t count)
{
    for (size_t i = 0; i < count; i++)
        net_sockaddr_set_port(&stream->places[i], stream->port);
    stream->place_count = count;
    stream_move(stream, STREAM_CONNECTING);
    connect_next(stream);
}

static void on_resolved(struct net_lookup_wait *wait, int error, const union net_sockaddr *places,
                        size_t count)
{
    struct net_stream *stream = container_of(wait, struct net_stream, lookup);
    if (error) {
        why_unresolved(stream, uv_strerror(error));
        if (stream->close_asked)
            stream_end_asked(stream);
        else
            stream_end(stream);
        return;
    }
    memcpy(stream->places, places, count * sizeof(*places));
    connect_first(stream, count);
}

static void resolve(struct net_stream *stream, const char *host)
{
    size_t count;
    if (net_lookup_take(stream->net, host, stream->places, &count)) {
        connect_first(stream, count);
        return;
    }
    timer_start(stream, stream->net->options.silence_ms);
    int error = net_lookup(stream->net, host, &stream->lookup);
    if (error) {
        why_unresolved(stream, uv_strerror(error));
        stream_end(stream);
    }
}

enum err_code net_stream_connect(struct net *net, const char *address,
                                 const struct net_handler *handler, struct net_stream **ret_stream,
                                 struct err *err)
{
    struct net_uv *own = net_uv_of(net);
    struct net_address parsed;
    if (own->is_closing)
        return err_set(err, ERR_CLOSING, "cannot connect to \"%s\": the net is closing", address);
    enum err_code code = net_address_parse(address, &parsed, err);
    if (code != ERR_OK)
        return code;
    if (parsed.port == 0)
        return err_set(err, ERR_INVALID, "\"%s\" is not an address to connect to: port 0", address);
    struct net_stream *stream = stream_new(own, address, STREAM_RESOLVING);
    stream->handler = *handler;
    stream->port = parsed.port;
    stream->lookup.done = on_resolved;
    *ret_stream = stream;
    stream->is_named = !net_address_number(&parsed, &stream->places[0]);
    if (stream->is_named)
        resolve(stream, parsed.host);
    else
        connect_first(stream, 1);
    return ERR_OK;
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    struct net_stream *stream = container_of(timer, struct net_stream, timer);
    char text[64];
    if (stream->close_asked) {
        stream_end_asked(stream);
    } else if (stream->state == STREAM_RESOLVING) {
        snprintf(text, sizeof(text), "no answer within %d ms", stream->net->options.silence_ms);
        why_unresolved(stream, text);
        stream_end(stream);
    } else if (stream->state == STREAM_CONNECTING) {
        snprintf(text, sizeof(text), "silent for %d ms", turn_ms(stream));
        attempt_failed(stream, text);
    } else {
        CHECK(stream->state == STREAM_BROKEN);
        stream_end(stream);
    }
}
