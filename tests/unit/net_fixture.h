/* What the tests of the net on libuv share: a net on a loop of its own, an owner that notes what
 * it hears and CHECKs what the door promises of callbacks, sockets of the system as the other
 * side, and a resolver of names that asks nobody.
 */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "cluster/net_uv.h"
#include "proto/base/limits.h"
#include "tests/test.h"

struct fixture {
    uv_loop_t loop;
    struct net *net;
    bool is_closed;
};

/* Runs the loop, without limit, until something that it brings about holds. */
#define RUN_UNTIL(fixture, condition)                                                              \
    while (!(condition))                                                                           \
    uv_run(&(fixture)->loop, UV_RUN_ONCE)

/* ---- an owner ---- */

enum at { AT_NEVER, AT_CONNECTED, AT_ROOM, AT_READ, AT_DRAINED };

struct end {
    struct net *net;
    struct net_stream *stream;
    struct buf in;
    unsigned connected, drained, closed, reads, rooms;
    enum err_code why;
    char text[ERR_TEXT_SIZE];
    enum at close_at;
    bool echoes;
    uint8_t *room;                      /* given while it is not full */
    size_t room_size, room_used;
};

/* Nonzero while a call of the door is under way. */
static int in_call;

static inline void end_heard(struct end *end, enum at at)
{
    assert_int_equal(in_call, 0);
    assert_int_equal(end->closed, 0);
    if (end->close_at == at)
        net_close(end->net, end->stream);
}

static inline enum err_code end_write(struct end *end, struct buf *from)
{
    in_call++;
    enum err_code code = net_write(end->net, end->stream, from);
    in_call--;
    return code;
}

static inline void end_close(struct end *end)
{
    in_call++;
    net_close(end->net, end->stream);
    in_call--;
}

static inline void end_on_connected(void *context)
{
    struct end *end = context;
    end->connected++;
    assert_int_equal(end->reads, 0);
    end_heard(end, AT_CONNECTED);
}

static inline uint8_t *end_on_room(void *context, size_t *ret_size)
{
    struct end *end = context;
    end->rooms++;
    end_heard(end, AT_ROOM);
    if (end->room_used == end->room_size)
        return NULL;
    *ret_size = end->room_size - end->room_used;
    return end->room + end->room_used;
}

static inline void end_on_read(void *context, struct bytes from)
{
    struct end *end = context;
    end->reads++;
    assert_true(from.size > 0);
    if (end->room_used < end->room_size && from.data == end->room + end->room_used)
        end->room_used += from.size;
    else
        buf_append(&end->in, from);
    if (end->echoes) {
        struct buf back = {0};
        buf_append(&back, from);
        assert_ok(net_write(end->net, end->stream, &back));
    }
    end_heard(end, AT_READ);
}

static inline void end_on_drained(void *context)
{
    struct end *end = context;
    end->drained++;
    assert_int_equal(net_unsent(end->net, end->stream), 0);
    end_heard(end, AT_DRAINED);
}

static inline void end_on_closed(void *context, const struct err *why)
{
    struct end *end = context;
    struct buf late = {0};
    end_heard(end, AT_NEVER + 100);
    end->closed++;
    end->why = why->code;
    snprintf(end->text, sizeof(end->text), "%s", why->text);
    buf_append(&late, BYTES_LITERAL("late"));
    assert_err(net_write(end->net, end->stream, &late), CLOSING);
    assert_int_equal(late.size, 4);
    buf_release(&late);
    assert_true(strlen(net_address(end->net, end->stream)) > 0);
    net_close(end->net, end->stream);
    end->stream = NULL;
}

static const struct net_events end_events = {
    .connected = end_on_connected,
    .room = end_on_room,
    .read = end_on_read,
    .drained = end_on_drained,
    .closed = end_on_closed,
};
static const struct net_events end_events_least = {
    .connected = end_on_connected,
    .read = end_on_read,
    .closed = end_on_closed,
};

static inline void end_connect(struct end *end, struct net *net, const char *address)
{
    struct net_handler handler = {&end_events, end};
    struct err err = {0};
    end->net = net;
    in_call++;
    enum err_code code = net_connect(net, address, &handler, &end->stream, &err);
    in_call--;
    if (code != ERR_OK)
        fail_msg("%s", err.text);
    assert_string_equal(net_address(net, end->stream), address);
}

static inline enum err_code end_send(struct end *end, const char *text)
{
    struct buf buf = {0};
    buf_append(&buf, bytes_of_text(text));
    enum err_code code = end_write(end, &buf);
    assert_int_equal(buf.size, code == ERR_OK ? 0 : strlen(text));
    buf_release(&buf);
    return code;
}

/* A reset takes its time, if little. */
static inline void end_send_until_refused(struct end *end)
{
    enum err_code code;
    do
        code = end_send(end, "hello");
    while (code == ERR_OK);
    assert_int_equal(code, ERR_CLOSING);
}

/* Bytes that tell where they stand. */
static inline struct buf pattern(size_t begin, size_t size)
{
    struct buf buf = {0};
    buf_reserve(&buf, size);
    for (size_t i = begin; i < begin + size; i++)
        buf.data[buf.size++] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return buf;
}

static inline void assert_pattern(struct bytes from)
{
    struct buf expected = pattern(0, from.size);
    assert_bytes_equal(from, buf_bytes(&expected));
    buf_release(&expected);
}

/* ---- sockets of the system ---- */

static inline uint16_t raw_port(int fd)
{
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    return ntohs(at.sin_port);
}

/* Bound, to a port of 127.0.0.1 that nobody else gets. */
static inline int raw_bind(char address[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    snprintf(address, 64, "127.0.0.1:%u", raw_port(fd));
    return fd;
}

static inline int raw_listen(char address[64], int backlog)
{
    int fd = raw_bind(address);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static inline int raw_connect(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Its end says nothing in order. */
static inline void raw_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

/* A stream of ours, connected to a socket of the system's. */
static inline int raw_pair(struct fixture *fixture, struct end *end, int receive_size)
{
    char address[64];
    int listener = raw_bind(address);
    if (receive_size)
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &receive_size, sizeof(receive_size));
    assert_int_equal(listen(listener, 1), 0);
    end_connect(end, fixture->net, address);
    RUN_UNTIL(fixture, end->connected);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

/* Reads what is there. 0 at the end of the stream, -1 when there is nothing yet, -2 on a reset. */
static inline int raw_read(int fd, struct buf *to)
{
    buf_reserve(to, 65536);
    ssize_t got = recv(fd, to->data + to->size, 65536, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN ? -1 : -2;
    to->size += (size_t)got;
    return got > 0;
}

/* ---- whoever is accepted ---- */

struct hall {
    struct net *net;
    struct net_listener *listener;
    char address[80];
    struct end *ends;                   /* taken in the order of coming */
    size_t count, size;
    bool refuses, greets, closes, closes_listener;
    int heir, waiting;                  /* got the closed listener's descriptor; who comes there */
};

static inline bool hall_accepted(void *context, struct net_stream *stream, struct net_handler *ret)
{
    struct hall *hall = context;
    struct buf greeting = {0};
    char heir[64];
    assert_int_equal(in_call, 0);
    assert_true(hall->count < hall->size);
    struct end *end = &hall->ends[hall->count++];
    end->net = hall->net;
    end->stream = stream;
    *ret = (struct net_handler){&end_events, end};
    buf_append(&greeting, BYTES_LITERAL("welcome"));
    if (hall->greets)
        assert_ok(net_write(hall->net, stream, &greeting));
    buf_release(&greeting);
    if (hall->closes)
        net_close(hall->net, stream);
    if (hall->closes_listener) {
        net_listener_close(hall->net, hall->listener);
        hall->listener = NULL;
        hall->heir = raw_listen(heir, 1);
        hall->waiting = raw_connect(raw_port(hall->heir));
    }
    return !hall->refuses;
}

static inline void hall_open(struct hall *hall, struct net *net, const char *host, size_t size)
{
    struct net_acceptor acceptor = {hall_accepted, hall};
    struct err err = {0};
    char address[64];
    snprintf(address, sizeof(address), "%s:0", host);
    hall->net = net;
    hall->ends = calloc(size, sizeof(*hall->ends));
    hall->size = size;
    if (net_listen(net, address, &acceptor, &hall->listener, &err) != ERR_OK)
        fail_msg("%s", err.text);
    snprintf(hall->address, sizeof(hall->address), "%s:%u", host, net_uv_port(hall->listener));
}

/* Everyone in it has had its closed. */
static inline void hall_release(struct hall *hall)
{
    for (size_t i = 0; i < hall->count; i++)
        buf_release(&hall->ends[i].in);
    free(hall->ends);
}

/* ---- names ---- */

/* Stands in front of the C library's, which would ask the network. "gate." hosts wait until the
 * gate opens. */
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_is_open;
static unsigned gate_waiting, names_asked;

static inline void gate_set(bool is_open)
{
    pthread_mutex_lock(&gate_mutex);
    gate_is_open = is_open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_mutex);
}

/* Until so many threads of the pool wait. */
static inline void gate_await(unsigned count)
{
    pthread_mutex_lock(&gate_mutex);
    while (gate_waiting < count)
        pthread_cond_wait(&gate_changed, &gate_mutex);
    pthread_mutex_unlock(&gate_mutex);
}

static inline void gate_pass(const char *node)
{
    pthread_mutex_lock(&gate_mutex);
    names_asked++;
    if (strncmp(node, "gate.", 5) == 0) {
        gate_waiting++;
        pthread_cond_broadcast(&gate_changed);
        while (!gate_is_open)
            pthread_cond_wait(&gate_changed, &gate_mutex);
        gate_waiting--;
    }
    pthread_mutex_unlock(&gate_mutex);
}

static const struct name {
    const char *name;
    const char *addresses[4];
} names[] = {
    {"one.test", {"127.0.0.1"}},
    {"both.test", {"::1", "127.0.0.1"}},
    {"second.test", {"127.0.0.9", "127.0.0.1"}},
    {"foreign.test", {"192.0.2.1", "127.0.0.1"}},
    {"abroad.test", {"192.0.2.1"}},
    {"many.test", {"127.0.0.3", "127.0.0.4", "127.0.0.5"}},
    {"gate.test", {"127.0.0.1"}},
    {"gate.other", {"127.0.0.1"}},
};

static inline struct addrinfo *info_of(const char *text, struct addrinfo *next)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {.v4 = {.sin_family = AF_INET}};
    if (inet_pton(AF_INET, text, &at.v4.sin_addr) != 1) {
        memset(&at, 0, sizeof(at));
        at.v6.sin6_family = AF_INET6;
        if (inet_pton(AF_INET6, text, &at.v6.sin6_addr) != 1)
            abort();
    }
    socklen_t size = at.any.sa_family == AF_INET6 ? sizeof(at.v6) : sizeof(at.v4);
    struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(at));
    info->ai_family = at.any.sa_family;
    info->ai_socktype = SOCK_STREAM;
    info->ai_addrlen = size;
    info->ai_addr = (struct sockaddr *)(info + 1);
    memcpy(info->ai_addr, &at, size);
    info->ai_next = next;
    return info;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    (void)service;
    (void)hints;
    gate_pass(node);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, node) != 0)
            continue;
        *ret = NULL;
        for (int place = 3; place >= 0; place--)
            if (names[i].addresses[place])
                *ret = info_of(names[i].addresses[place], *ret);
        return 0;
    }
    return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *info)
{
    while (info) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

/* ---- life ---- */

static inline struct fixture *fixture_new(int silence_ms, int linger_ms)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct net_uv_options options = {.silence_ms = silence_ms, .linger_ms = linger_ms};
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->net = net_uv_new(&fixture->loop, &options);
    gate_set(false);
    names_asked = 0;
    return fixture;
}

static inline void fixture_on_closed(void *context)
{
    struct fixture *fixture = context;
    assert_int_equal(in_call, 0);
    assert_false(fixture->is_closed);
    fixture->is_closed = true;
}

/* Nothing of the net is left on the loop. */
static inline void fixture_free(struct fixture *fixture)
{
    gate_set(true);
    if (fixture->net) {
        in_call++;
        net_uv_close(fixture->net, fixture_on_closed, fixture);
        in_call--;
        RUN_UNTIL(fixture, fixture->is_closed);
    }
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
}

static inline int fixture_setup(void **state)
{
    *state = fixture_new(0, 0);
    return 0;
}

/* Silence and lingering are over soon. */
static inline int fixture_setup_hasty(void **state)
{
    *state = fixture_new(200, 200);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static inline void end_finish(struct fixture *fixture, struct end *end)
{
    if (!end->closed)
        end_close(end);
    RUN_UNTIL(fixture, end->closed);
    buf_release(&end->in);
}

static inline void hall_finish(struct fixture *fixture, struct hall *hall)
{
    for (size_t i = 0; i < hall->count; i++)
        RUN_UNTIL(fixture, hall->ends[i].closed);
    net_listener_close(hall->net, hall->listener);
    hall_release(hall);
}

static inline void assert_fails(struct fixture *fixture, const char *address, const char *text)
{
    struct end end = {0};
    end_connect(&end, fixture->net, address);
    assert_ok(end_send(&end, "hello"));
    RUN_UNTIL(fixture, end.closed);
    assert_int_equal(end.connected + end.drained + end.reads + end.rooms, 0);
    assert_int_equal(end.why, ERR_IO);
    assert_non_null(strstr(end.text, address));
    if (!strstr(end.text, text))
        fail_msg("\"%s\" does not say \"%s\"", end.text, text);
}

/* Writes until the system takes no more; how much was written. */
static inline size_t fill(struct end *end)
{
    size_t written = 0;
    while (net_unsent(end->net, end->stream) == 0) {
        struct buf buf = pattern(written, 1 * MIB);
        assert_ok(end_write(end, &buf));
        written += 1 * MIB;
    }
    return written;
}

#endif
