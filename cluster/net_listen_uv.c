/* Listeners. libuv's own way of accepting closes whoever waits when the process is out of
 * descriptors, and would take the last of them before that; so the sockets are polled and accepted
 * from here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cluster/net_internal_uv.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

#define BACKLOG 128
#define ACCEPTS_AT_ONCE 16              /* then others have their turn */

struct place {
    uv_poll_t poll;
    struct net_listener *listener;
    int fd;
};

struct net_listener {
    struct net_uv *net;
    struct list link;
    struct net_acceptor acceptor;
    struct place places[NET_PLACES_MAX];
    size_t count;
    uv_timer_t pause;
    size_t handle_count;                /* not yet closed */
    uint16_t port;
    bool is_closing;
};

/* ---- accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void polls_start(struct net_listener *listener)
{
    for (size_t i = 0; i < listener->count; i++)
        CHECK(uv_poll_start(&listener->places[i].poll, UV_READABLE, on_readable) == 0);
}

static void on_pause_over(uv_timer_t *timer)
{
    polls_start(container_of(timer, struct net_listener, pause));
}

static void listener_pause(struct net_listener *listener)
{
    for (size_t i = 0; i < listener->count; i++)
        CHECK(uv_poll_stop(&listener->places[i].poll) == 0);
    CHECK(uv_timer_start(&listener->pause, on_pause_over, NET_ACCEPT_PAUSE_MS, 0) == 0);
}

/* A new descriptor is the lowest that was free: its number tells how many are taken at least. */
static bool is_reserved(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (rlim_t)fd + NET_DESCRIPTORS_RESERVED >= limit.rlim_cur;
}

/* False: nobody waits, or nobody may come in now. */
static bool accept_one(struct place *place)
{
    struct net_listener *listener = place->listener;
    union net_sockaddr from = {0};
    socklen_t size = sizeof(from);
    int fd = accept4(place->fd, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        listener_pause(listener);
        return false;
    }
    if (fd < 0)                         /* an error of the one who came is his */
        return errno != EAGAIN && errno != EWOULDBLOCK;
    if (is_reserved(fd)) {
        close(fd);
        listener_pause(listener);
        return false;
    }
    net_stream_accept(listener->net, fd, &from, &listener->acceptor);
    return !listener->is_closing;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct place *place = container_of(poll, struct place, poll);
    (void)events;
    if (status < 0) {
        listener_pause(place->listener);
        return;
    }
    for (int i = 0; i < ACCEPTS_AT_ONCE && accept_one(place); i++)
        continue;
}

/* ---- opening ---- */

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* A descriptor that listens, or -1 and errno. */
static int listen_at(const union net_sockaddr *at)
{
    int family = at->any.sa_family, saved;
    bool is_v6 = family == AF_INET6;
    bool is_any = is_v6 && IN6_IS_ADDR_UNSPECIFIED(&at->v6.sin6_addr);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
        (!is_v6 || set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any) == 0) &&
        bind(fd, &at->any, net_sockaddr_size(at)) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static uint16_t bound_port(int fd)
{
    union net_sockaddr at = {0};
    socklen_t size = sizeof(at);
    CHECK(getsockname(fd, &at.any, &size) == 0);
    return net_sockaddr_port(&at);
}

/* Of the addresses of a name those that are not ours are passed over, as long as one is. 0, or
 * errno with everything closed again. */
static int listen_at_all(union net_sockaddr *places, size_t count, uint16_t *port, int *ret_fds,
                         size_t *ret_count)
{
    int error = 0;
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        net_sockaddr_set_port(&places[i], *port);
        int fd = listen_at(&places[i]);
        if (fd >= 0) {
            ret_fds[done++] = fd;
            *port = bound_port(fd);
            continue;
        }
        error = errno;
        if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
            continue;
        while (done)
            close(ret_fds[--done]);
        return error;
    }
    *ret_count = done;
    return done ? 0 : error;
}

static struct net_listener *listener_new(struct net_uv *net, const struct net_acceptor *acceptor,
                                         const int *fds, size_t count)
{
    struct net_listener *listener = mem_xzalloc(sizeof(*listener));
    listener->net = net;
    listener->acceptor = *acceptor;
    listener->count = count;
    list_push_back(&net->listeners, &listener->link);
    net->open_count++;
    CHECK(uv_timer_init(net->loop, &listener->pause) == 0);
    listener->handle_count = count + 1;
    for (size_t i = 0; i < count; i++) {
        listener->places[i].listener = listener;
        listener->places[i].fd = fds[i];
        CHECK(uv_poll_init(net->loop, &listener->places[i].poll, fds[i]) == 0);
    }
    polls_start(listener);
    return listener;
}

enum err_code net_listener_open(struct net *net, const char *address,
                                const struct net_acceptor *acceptor,
                                struct net_listener **ret_listener, struct err *err)
{
    struct net_uv *own = net_uv_of(net);
    struct net_address parsed;
    union net_sockaddr places[NET_PLACES_MAX];
    int fds[NET_PLACES_MAX];
    size_t count = 1;
    if (own->is_closing)
        return err_set(err, ERR_CLOSING, "cannot listen on \"%s\": the net is closing", address);
    enum err_code code = net_address_parse(address, &parsed, err);
    if (code != ERR_OK)
        return code;
    if (!net_address_number(&parsed, &places[0])) {
        int error = net_lookup_now(own, parsed.host, places, &count);
        if (error)
            return err_set(err, ERR_IO, "cannot listen on \"%s\": the name does not resolve: %s",
                           address, uv_strerror(error));
    }
    int error = listen_at_all(places, count, &parsed.port, fds, &count);
    if (error)
        return err_set(err, ERR_IO, "cannot listen on \"%s\": %s", address,
                       uv_strerror(uv_translate_sys_error(error)));
    *ret_listener = listener_new(own, acceptor, fds, count);
    (*ret_listener)->port = parsed.port;
    return ERR_OK;
}

uint16_t net_uv_port(const struct net_listener *listener) { return listener->port; }

/* ---- the end ---- */

static void handle_closed(struct net_listener *listener)
{
    struct net_uv *net = listener->net;
    if (--listener->handle_count)
        return;
    free(listener);
    net_uv_drop(net);
}

static void on_poll_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_poll_t *)handle, struct place, poll)->listener);
}

static void on_pause_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)handle, struct net_listener, pause));
}

void net_listener_end(struct net *net, struct net_listener *listener)
{
    CHECK(listener->net == net_uv_of(net));
    CHECK(!listener->is_closing);
    listener->is_closing = true;
    list_remove(&listener->link);
    for (size_t i = 0; i < listener->count; i++) {
        uv_close((uv_handle_t *)&listener->places[i].poll, on_poll_closed);
        close(listener->places[i].fd);
    }
    uv_close((uv_handle_t *)&listener->pause, on_pause_closed);
}

void net_listener_end_all(struct net_uv *net)
{
    LIST_FOR_EACH_SAFE(link, &net->listeners)
        net_listener_end(&net->net, container_of(link, struct net_listener, link));
}
