/* The door and time.
 *
 * Whatever one end tells the other is a piece in the list of the end that wrote it: SYN and ACK
 * (the stream comes about), DATA, FIN and RESET (it ends). The first piece of each end is delivered
 * when its time has come and its link is not cut. Besides, an end may be told to end (struct
 * net_stream, end), may have heard nothing for too long, or have lingered long enough.
 * sim_net_advance looks for the earliest of all these, and does it; of several at once the one of
 * the oldest stream. */
#include "tests/sim/sim_net_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster/clock.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define SILENCE_NS (NET_SILENCE_MAX_MS * NS_PER_MS)
#define LINGER_NS (NET_LINGER_MAX_MS * NS_PER_MS)
#define FRAGMENTS_MAX 4

static const struct net_calls sim_calls;

static bool chance(struct sim_net *sim, unsigned of_1000)
{
    return of_1000 && rand_chance(&sim->rand, of_1000, 1000);
}

int64_t sim_net_delay(struct sim_net *sim)
{
    const struct sim_net_faults *faults = &sim->faults;
    int64_t delay = faults->delay_min_ns;
    if (faults->delay_max_ns > delay)
        delay += (int64_t)rand_below(&sim->rand, (uint64_t)(faults->delay_max_ns - delay + 1));
    if (faults->late_ns && chance(sim, faults->late)) {
        delay += (int64_t)rand_below(&sim->rand, (uint64_t)faults->late_ns);
        sim->counters.late++;
    }
    return delay;
}

/* --- hosts and addresses ---------------------------------------------------------------------- */

struct sim_host *sim_net_host_of(struct sim_net *sim, uint64_t id)
{
    for (size_t i = 0; i < sim->host_count; i++)
        if (sim->hosts[i]->id == id)
            return sim->hosts[i];
    CHECK(sim->host_count < SIM_NET_HOSTS_MAX && id);
    struct sim_host *host = mem_xzalloc(sizeof(*host));
    *host = (struct sim_host){{&sim_calls}, sim, id, sim->host_count, {0}, false};
    list_init(&host->listeners);
    sim->hosts[sim->host_count++] = host;
    return host;
}

struct net *sim_net_host(struct sim_net *sim, uint64_t host)
{
    return &sim_net_host_of(sim, host)->door;
}

static struct sim_host *host_at(const struct sim_net *sim, const char *address)
{
    LIST_FOR_EACH (link, &sim->addresses) {
        const struct sim_address *known = container_of(link, struct sim_address, link);
        if (strcmp(known->text, address) == 0)
            return known->host;
    }
    return NULL;
}

static void know_address(struct sim_net *sim, struct sim_host *host, const char *address)
{
    LIST_FOR_EACH (link, &sim->addresses) {
        struct sim_address *known = container_of(link, struct sim_address, link);
        if (strcmp(known->text, address) == 0) {
            known->host = host;
            return;
        }
    }
    struct sim_address *known = mem_xzalloc(sizeof(*known));
    known->host = host;
    known->text = mem_xstrdup(address);
    list_push_back(&sim->addresses, &known->link);
}

static struct net_listener *listener_at(const struct sim_host *host, const char *address)
{
    LIST_FOR_EACH (link, &host->listeners) {
        struct net_listener *listener = container_of(link, struct net_listener, link);
        if (strcmp(listener->address, address) == 0)
            return listener;
    }
    return NULL;
}

static void listener_free(struct net_listener *listener)
{
    list_remove(&listener->link);
    free(listener->address);
    free(listener);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void push_piece(struct net_stream *stream, enum piece_kind kind, struct bytes bytes)
{
    struct sim_net *sim = stream->host->sim;
    struct piece *piece = mem_xzalloc(sizeof(*piece));
    int64_t due = sim->now_ns + sim_net_delay(sim);
    if (due > stream->last_due_ns)
        stream->last_due_ns = due;
    piece->kind = kind;
    piece->due_ns = stream->last_due_ns;
    buf_append(&piece->bytes, bytes);
    list_push_back(&stream->pieces, &piece->link);
    stream->under_way += bytes.size;
    sim->counters.pieces++;
    sim->counters.bytes += bytes.size;
    sim->counters.held += sim_net_link_is_cut(sim, stream->host, stream->far);
}

static void piece_free(struct net_stream *stream, struct piece *piece)
{
    list_remove(&piece->link);
    stream->under_way -= piece->bytes.size;
    buf_release(&piece->bytes);
    free(piece);
}

static void pieces_clear(struct net_stream *stream)
{
    while (!list_is_empty(&stream->pieces))
        piece_free(stream, container_of(stream->pieces.next, struct piece, link));
}

static struct net_stream *stream_new(struct sim_host *host, struct sim_host *far,
                                     const char *address, enum stream_state state)
{
    struct net_stream *stream = mem_xzalloc(sizeof(*stream));
    stream->host = host;
    stream->far = far;
    stream->address = mem_xstrdup(address);
    stream->state = state;
    stream->made_ns = host->sim->now_ns;
    list_init(&stream->pieces);
    list_push_back(&host->sim->streams, &stream->link);
    return stream;
}

static void stream_free(struct net_stream *stream)
{
    if (stream->other)
        stream->other->other = NULL;
    pieces_clear(stream);
    buf_release(&stream->held);
    list_remove(&stream->link);
    free(stream->address);
    free(stream);
}

void sim_net_end(struct net_stream *stream, int64_t due_ns, bool over_link, enum err_code code,
                 const char *text)
{
    if (stream->end.is_due && !stream->end.over_link)
        return;
    stream->end.is_due = true;
    stream->end.due_ns = due_ns;
    stream->end.over_link = over_link;
    if (code)
        err_set(&stream->end.why, code, "'%s': %s", stream->address, text);
    else
        stream->end.why = (struct err){0};
}

/* The end of one end. The other one hears of it if it has not yet. */
static void finish(struct net_stream *stream, const struct err *why)
{
    struct sim_net *sim = stream->host->sim;
    struct net_stream *other = stream->other;
    struct net_handler handler = stream->handler;
    if (other && other->state == STREAM_LINGERING)
        sim_net_end(other, sim->now_ns, false, ERR_OK, "");
    else if (other)
        sim_net_end(other, sim->now_ns + sim_net_delay(sim), true, ERR_IO, "reset");
    sim->counters.streams_closed++;
    stream_free(stream);
    if (handler.events)
        handler.events->closed(handler.context, why);
}

/* --- the door --------------------------------------------------------------------------------- */

static struct sim_host *host_of(const struct net *net)
{
    return container_of(net, struct sim_host, door);
}

static enum err_code on_listen(struct net *net, const char *address,
                               const struct net_acceptor *acceptor,
                               struct net_listener **ret_listener, struct err *err)
{
    struct sim_host *host = host_of(net), *taken = host_at(host->sim, address);
    if (!*address)
        return err_set(err, ERR_INVALID, "an empty address");
    if (taken && listener_at(taken, address))
        return err_set(err, ERR_IO, "'%s' is in use", address);
    struct net_listener *listener = mem_xzalloc(sizeof(*listener));
    listener->host = host;
    listener->address = mem_xstrdup(address);
    listener->acceptor = *acceptor;
    list_push_back(&host->listeners, &listener->link);
    know_address(host->sim, host, address);
    host->dark = false;
    *ret_listener = listener;
    return ERR_OK;
}

static void on_listener_close(struct net *net, struct net_listener *listener)
{
    CHECK(listener->host == host_of(net));
    listener_free(listener);
}

static enum err_code on_connect(struct net *net, const char *address,
                                const struct net_handler *handler, struct net_stream **ret_stream,
                                struct err *err)
{
    struct sim_host *host = host_of(net);
    struct sim_net *sim = host->sim;
    if (!*address)
        return err_set(err, ERR_INVALID, "an empty address");
    struct net_stream *stream =
        stream_new(host, host_at(sim, address), address, STREAM_CONNECTING);
    stream->handler = *handler;
    sim->counters.connects++;
    if (chance(sim, sim->faults.refuse)) {
        sim->counters.refusals++;
        sim_net_end(stream, sim->now_ns + sim_net_delay(sim), true, ERR_IO, "refused");
    } else {
        push_piece(stream, PIECE_SYN, BYTES_EMPTY);
    }
    *ret_stream = stream;
    return ERR_OK;
}

static size_t unsent_of(const struct net_stream *stream)
{
    size_t taken = stream->host->sim->faults.unsent_bytes;
    return taken && stream->under_way > taken ? stream->under_way - taken : 0;
}

/* In pieces, each with a delay of its own; order stays. */
static void push_data(struct net_stream *stream, struct bytes bytes)
{
    struct sim_net *sim = stream->host->sim;
    if (bytes.size > 1 && chance(sim, sim->faults.fragment)) {
        uint64_t cuts = 1 + rand_below(&sim->rand, FRAGMENTS_MAX - 1);
        sim->counters.fragments++;
        while (cuts-- && bytes.size > 1) {
            size_t size = 1 + rand_below(&sim->rand, bytes.size - 1);
            push_piece(stream, PIECE_DATA, bytes_of(bytes.data, size));
            bytes = bytes_skip(bytes, size);
        }
    }
    push_piece(stream, PIECE_DATA, bytes);
}

static enum err_code on_write(struct net *net, struct net_stream *stream, struct buf *from)
{
    struct sim_net *sim = stream->host->sim;
    size_t unsent = unsent_of(stream);
    CHECK(stream->host == host_of(net));
    if (stream->state == STREAM_LINGERING || (stream->end.is_due && !stream->end.over_link))
        return ERR_CLOSING;
    if (unsent && unsent + from->size > NET_UNSENT_BYTES_MAX)
        return ERR_BUSY;
    if (chance(sim, sim->faults.reset)) {
        sim->counters.resets++;
        sim_net_end(stream, sim->now_ns, false, ERR_IO, "reset");
        if (stream->other && stream->other->state != STREAM_LINGERING)
            sim_net_end(stream->other, sim->now_ns, false, ERR_IO, "reset");
    }
    if (sim->tap)
        sim->tap(sim->tap_context, stream->host->id, buf_bytes(from));
    sim_net_spoil(stream, from);
    if (from->size)
        push_data(stream, buf_bytes(from));
    buf_release(from);
    stream->full |= unsent_of(stream) > 0;
    return ERR_OK;
}

static size_t on_unsent(const struct net *net, const struct net_stream *stream)
{
    CHECK(stream->host == host_of(net));
    return unsent_of(stream);
}

static void linger(struct net_stream *stream, enum piece_kind last)
{
    struct sim_net *sim = stream->host->sim;
    if (stream->state == STREAM_CONNECTING || !stream->other) {
        pieces_clear(stream);
        sim_net_end(stream, sim->now_ns, false, ERR_OK, "");
    } else {
        push_piece(stream, last, BYTES_EMPTY);
    }
    sim->counters.frames_lost += stream->held.size > 0;
    buf_clear(&stream->held);
    stream->end.why = (struct err){0};
    stream->state = STREAM_LINGERING;
    stream->linger_ns = sim->now_ns + LINGER_NS;
}

static void on_close(struct net *net, struct net_stream *stream)
{
    CHECK(stream->host == host_of(net));
    if (stream->state != STREAM_LINGERING)
        linger(stream, PIECE_FIN);
}

static const char *on_address(const struct net *net, const struct net_stream *stream)
{
    CHECK(stream->host == host_of(net));
    return stream->address;
}

static const struct net_calls sim_calls = {
    on_listen, on_listener_close, on_connect, on_write, on_unsent, on_close, on_address,
};

/* --- delivery --------------------------------------------------------------------------------- */

static void deliver_syn(struct net_stream *stream)
{
    struct sim_net *sim = stream->host->sim;
    struct net_listener *listener =
        stream->far && !stream->far->dark ? listener_at(stream->far, stream->address) : NULL;
    char text[32];
    if (stream->far && stream->far->dark) {
        stream->silent_ns = stream->made_ns;
        return;
    }
    if (!listener) {
        sim_net_end(stream, sim->now_ns + sim_net_delay(sim), true, ERR_IO, "refused");
        return;
    }
    snprintf(text, sizeof(text), "host %llu", (unsigned long long)stream->host->id);
    struct net_stream *made = stream_new(stream->far, stream->host, text, STREAM_CONNECTED);
    made->other = stream;
    stream->other = made;
    push_piece(made, PIECE_ACK, BYTES_EMPTY);
    if (listener->acceptor.accepted(listener->acceptor.context, made, &made->handler))
        return;
    sim_net_end(stream, sim->now_ns + sim_net_delay(sim), true, ERR_IO, "reset");
    sim->counters.streams_closed++;
    stream_free(made);
}

static void deliver_data(struct net_stream *to, struct bytes from)
{
    while (from.size && to->state == STREAM_CONNECTED) {
        const struct net_events *events = to->handler.events;
        size_t size = from.size, room_size = 0;
        uint8_t *room = events->room ? events->room(to->handler.context, &room_size) : NULL;
        if (room) {
            CHECK(room_size > 0);
            size = size < room_size ? size : room_size;
            memcpy(room, from.data, size);
        }
        events->read(to->handler.context, bytes_of(room ? room : from.data, size));
        from = bytes_skip(from, size);
    }
}

/* What lies ready is at times read together, as a kernel's buffer gives it. */
static void merge_due(struct net_stream *stream, struct piece *first)
{
    struct sim_net *sim = stream->host->sim;
    while (sim->faults.fragment && first->link.next != &stream->pieces) {
        struct piece *next = container_of(first->link.next, struct piece, link);
        if (next->kind != PIECE_DATA || next->due_ns > sim->now_ns ||
            rand_chance(&sim->rand, 1, 2))
            return;
        buf_append(&first->bytes, buf_bytes(&next->bytes));
        stream->under_way += next->bytes.size;
        piece_free(stream, next);
    }
}

static void tell_drained(struct net_stream *stream)
{
    if (!stream->full || unsent_of(stream))
        return;
    stream->full = false;
    const struct net_events *events = stream->handler.events;
    if (stream->state == STREAM_CONNECTED && events->drained)
        events->drained(stream->handler.context);
}

static void deliver_last(struct net_stream *stream, enum piece_kind kind)
{
    struct sim_net *sim = stream->host->sim;
    struct net_stream *to = stream->other;
    struct err why = {0};
    sim_net_end(stream, sim->now_ns + sim_net_delay(sim), false, ERR_OK, "");
    if (!to || to->state == STREAM_LINGERING)
        return;
    if (kind == PIECE_FIN)
        err_set(&why, ERR_CLOSING, "'%s' closed the connection", to->address);
    else
        err_set(&why, ERR_IO, "'%s': reset", to->address);
    finish(to, &why);
}

static void deliver(struct net_stream *stream)
{
    struct piece *piece = container_of(stream->pieces.next, struct piece, link);
    struct net_stream *to = stream->other;
    enum piece_kind kind = piece->kind;
    if (kind == PIECE_DATA)
        merge_due(stream, piece);
    struct buf bytes = piece->bytes;
    piece->bytes = (struct buf){0};
    stream->under_way -= bytes.size;
    piece_free(stream, piece);
    if (kind == PIECE_SYN) {
        deliver_syn(stream);
    } else if (kind == PIECE_FIN || kind == PIECE_RESET) {
        deliver_last(stream, kind);
    } else if (kind == PIECE_DATA) {
        if (to)
            deliver_data(to, buf_bytes(&bytes));
        else if (stream->silent_ns && !stream->far->dark)
            sim_net_end(stream, stream->host->sim->now_ns, true, ERR_IO, "reset");
        tell_drained(stream);
    } else if (to && to->state == STREAM_CONNECTING) {
        to->state = STREAM_CONNECTED;
        to->handler.events->connected(to->handler.context);
    }
    buf_release(&bytes);
}

/* --- time ------------------------------------------------------------------------------------- */

enum event { EVENT_NONE, EVENT_END, EVENT_PIECE, EVENT_SILENCE, EVENT_LINGERED };

static void earlier(int64_t due_ns, enum event event, int64_t *next_ns, enum event *ret_event)
{
    if (due_ns < *next_ns) {
        *next_ns = due_ns;
        *ret_event = event;
    }
}

static int64_t silence_ns(const struct net_stream *stream)
{
    int64_t since = sim_net_cut_since(stream->host->sim, stream->host, stream->far);
    if (stream->silent_ns && stream->silent_ns < since)
        since = stream->silent_ns;
    if (since == INT64_MAX)
        return since;
    return (since > stream->made_ns ? since : stream->made_ns) + SILENCE_NS;
}

/* What this end does next, if it is before *next_ns, which is then lowered. */
static enum event next_event(const struct net_stream *stream, int64_t *next_ns)
{
    const struct sim_net *sim = stream->host->sim;
    enum event event = EVENT_NONE;
    if (stream->end.is_due &&
        !(stream->end.over_link && sim_net_link_is_cut(sim, stream->far, stream->host)))
        earlier(stream->end.due_ns, EVENT_END, next_ns, &event);
    if (!list_is_empty(&stream->pieces) && !sim_net_link_is_cut(sim, stream->host, stream->far)) {
        const struct piece *piece = container_of(stream->pieces.next, struct piece, link);
        if (stream->state != STREAM_CONNECTING || piece->kind == PIECE_SYN)
            earlier(piece->due_ns, EVENT_PIECE, next_ns, &event);
    }
    if (stream->state == STREAM_LINGERING)
        earlier(stream->linger_ns, EVENT_LINGERED, next_ns, &event);
    else
        earlier(silence_ns(stream), EVENT_SILENCE, next_ns, &event);
    return event;
}

static void happen(struct net_stream *stream, enum event event)
{
    struct err why = {0};
    switch (event) {
    case EVENT_END:
        why = stream->end.why;
        finish(stream, &why);
        break;
    case EVENT_PIECE:
        deliver(stream);
        break;
    case EVENT_SILENCE:
        stream->host->sim->counters.silences++;
        err_set(&why, ERR_IO, "'%s': silent for %d ms", stream->address, NET_SILENCE_MAX_MS);
        finish(stream, &why);
        break;
    case EVENT_LINGERED:
        finish(stream, &why);
        break;
    case EVENT_NONE:
        break;
    }
}

int64_t sim_net_next_ns(const struct sim_net *sim)
{
    int64_t next = sim_net_next_flap_ns(sim);
    LIST_FOR_EACH (link, &sim->streams)
        next_event(container_of(link, struct net_stream, link), &next);
    return next;
}

static bool advance_one(struct sim_net *sim, int64_t now_ns)
{
    struct net_stream *stream = NULL;
    enum event event = EVENT_NONE;
    int64_t next = sim_net_next_flap_ns(sim);
    LIST_FOR_EACH (link, &sim->streams) {
        struct net_stream *candidate = container_of(link, struct net_stream, link);
        enum event found = next_event(candidate, &next);
        if (found) {
            stream = candidate;
            event = found;
        }
    }
    if (next > now_ns)
        return false;
    if (next > sim->now_ns)
        sim->now_ns = next;
    if (stream)
        happen(stream, event);
    else
        sim_net_flap_due(sim);
    return true;
}

size_t sim_net_advance(struct sim_net *sim, int64_t now_ns)
{
    size_t count = 0;
    CHECK(now_ns >= sim->now_ns);
    while (advance_one(sim, now_ns))
        count++;
    sim->now_ns = now_ns;
    return count;
}

/* --- faults of whole streams and hosts -------------------------------------------------------- */

void sim_net_reset(struct sim_net *sim, uint64_t a, uint64_t b)
{
    LIST_FOR_EACH (link, &sim->streams) {
        struct net_stream *stream = container_of(link, struct net_stream, link);
        uint64_t here = stream->host->id, there = stream->far ? stream->far->id : 0;
        bool meant = (!a || here == a || there == a) && (!b || here == b || there == b);
        if (!meant || stream->state != STREAM_CONNECTED)
            continue;
        sim_net_end(stream, sim->now_ns, false, ERR_IO, "reset");
        sim->counters.resets++;
    }
}

static void vanish(struct net_stream *stream, bool silent)
{
    struct sim_net *sim = stream->host->sim;
    if (silent && stream->other)
        stream->other->silent_ns = sim->now_ns ? sim->now_ns : 1;
    if (silent || !stream->other) {
        sim->counters.streams_closed++;
        stream_free(stream);
        return;
    }
    /* The kernel still sends what the process had written. */
    if (stream->state != STREAM_LINGERING)
        linger(stream, PIECE_RESET);
    stream->handler = (struct net_handler){0};
}

void sim_net_crash(struct sim_net *sim, uint64_t id)
{
    struct sim_host *host = sim_net_host_of(sim, id);
    bool silent = chance(sim, sim->faults.silent);
    host->dark = silent;
    sim->counters.crashes_silent += silent;
    sim->counters.crashes_reset += !silent;
    while (!list_is_empty(&host->listeners))
        listener_free(container_of(host->listeners.next, struct net_listener, link));
    LIST_FOR_EACH_SAFE (link, &sim->streams) {
        struct net_stream *stream = container_of(link, struct net_stream, link);
        if (stream->host == host && stream->handler.events)
            vanish(stream, silent);
    }
}

/* --- life and looking in ---------------------------------------------------------------------- */

struct sim_net *sim_net_new(uint64_t seed)
{
    struct sim_net *sim = mem_xzalloc(sizeof(*sim));
    rand_init(&sim->rand, seed);
    list_init(&sim->streams);
    list_init(&sim->addresses);
    return sim;
}

void sim_net_free(struct sim_net *sim)
{
    if (!sim)
        return;
    while (!list_is_empty(&sim->streams))
        stream_free(container_of(sim->streams.next, struct net_stream, link));
    for (struct list *link; (link = list_pop_front(&sim->addresses));) {
        struct sim_address *known = container_of(link, struct sim_address, link);
        free(known->text);
        free(known);
    }
    for (size_t i = 0; i < sim->host_count; i++) {
        struct sim_host *host = sim->hosts[i];
        while (!list_is_empty(&host->listeners))
            listener_free(container_of(host->listeners.next, struct net_listener, link));
        for (size_t j = 0; j < sim->host_count; j++)
            buf_release(&sim->links[i][j].again);
        free(host);
    }
    free(sim);
}

void sim_net_set_faults(struct sim_net *sim, const struct sim_net_faults *faults)
{
    CHECK(faults->delay_min_ns >= 0 && faults->late_ns >= 0);
    sim->faults = *faults;
}

void sim_net_on_written(struct sim_net *sim, sim_net_tap tap, void *context)
{
    sim->tap = tap;
    sim->tap_context = context;
}

void sim_net_on_frames(struct sim_net *sim, sim_net_measure measure)
{
    sim->measure = measure;
}

const struct sim_net_counters *sim_net_counters(const struct sim_net *sim)
{
    return &sim->counters;
}

size_t sim_net_streams(const struct sim_net *sim, uint64_t host)
{
    size_t count = 0;
    LIST_FOR_EACH (link, &sim->streams) {
        const struct net_stream *stream = container_of(link, struct net_stream, link);
        count += stream->handler.events && (!host || stream->host->id == host);
    }
    return count;
}
