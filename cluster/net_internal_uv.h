/* What the files of the net on libuv share: net_uv.c (life, the door), net_stream_uv.c (streams),
 * net_listen_uv.c (listeners), net_lookup_uv.c (names).
 */
#ifndef CLUSTER_NET_INTERNAL_UV_H
#define CLUSTER_NET_INTERNAL_UV_H

#include <pthread.h>

#include <uv.h>

#include "cluster/net_address.h"
#include "cluster/net_uv.h"
#include "proto/base/list.h"

#define NET_PLACES_MAX 8                /* addresses of one name; the rest of an answer is left */
#define NET_READ_SIZE 65536

/* ---- the net ---- */

struct net_uv {
    struct net net;
    uv_loop_t *loop;
    struct net_uv_options options;      /* no zeros */
    pthread_t thread;
    uv_timer_t anchor;                  /* never runs: its end comes after net_uv_close */
    struct list streams, listeners, lookups;
    size_t open_count;                  /* of all these, and the anchor */
    struct list answers;                /* of look-ups that nobody waited for; not counted */
    bool is_closing;
    void (*closed)(void *context);
    void *closed_context;
    char read_buffer[NET_READ_SIZE];    /* of whatever stream is being read */
};

/* CHECKs that it is one of ours and this its thread. */
struct net_uv *net_uv_of(const struct net *net);
/* One of the things counted in open_count is gone; the net may be gone afterwards. */
void net_uv_drop(struct net_uv *net);

/* ---- names ---- */

/* Embedded in whoever waits for a name. */
struct net_lookup_wait {
    struct list link;
    struct net_lookup *lookup;          /* NULL: does not wait */
    /* error: of libuv, negative, or 0 and 1 to NET_PLACES_MAX places (borrowed) with port 0. */
    void (*done)(struct net_lookup_wait *wait, int error, const union net_sockaddr *places,
                 size_t count);
};

/* done is called later, once, unless cancelled. An error of libuv: it is not called at all. */
int net_lookup(struct net_uv *net, const char *host, struct net_lookup_wait *wait);
void net_lookup_cancel(struct net_lookup_wait *wait);
/* True: an answer was left, as done's. It is gone then. */
bool net_lookup_take(struct net_uv *net, const char *host, union net_sockaddr ret[NET_PLACES_MAX],
                     size_t *ret_count);
void net_lookup_forget_all(struct net_uv *net);
/* Waits for the answer. Errors as done's. */
int net_lookup_now(struct net_uv *net, const char *host, union net_sockaddr ret[NET_PLACES_MAX],
                   size_t *ret_count);

/* ---- streams ---- */

/* Offers a connected socket to the acceptor. Takes fd. */
void net_stream_accept(struct net_uv *net, int fd, const union net_sockaddr *from,
                       const struct net_acceptor *acceptor);

enum err_code net_stream_connect(struct net *net, const char *address,
                                 const struct net_handler *handler, struct net_stream **ret_stream,
                                 struct err *err);
enum err_code net_stream_write(struct net *net, struct net_stream *stream, struct buf *from);
size_t net_stream_unsent(const struct net *net, const struct net_stream *stream);
void net_stream_close(struct net *net, struct net_stream *stream);
const char *net_stream_address(const struct net *net, const struct net_stream *stream);
void net_stream_close_all(struct net_uv *net);

/* ---- listeners ---- */

enum err_code net_listener_open(struct net *net, const char *address,
                                const struct net_acceptor *acceptor,
                                struct net_listener **ret_listener, struct err *err);
void net_listener_end(struct net *net, struct net_listener *listener);
void net_listener_end_all(struct net_uv *net);

#endif
