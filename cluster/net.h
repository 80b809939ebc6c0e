/* Door: byte streams between members. net_uv.c is TCP over libuv, tests/sim/sim_net.c the simulated
 * net. It knows nothing of what the bytes say.
 *
 * It never retries, never frames, never logs, and never copies what is written: a buffer is taken
 * and freed when the system has its bytes.
 *
 * Invariants
 *   - No callback runs inside a call of this door, and none after closed.
 *   - For every stream that its owner holds (connect answered OK; accepted answered true) closed
 *     runs exactly once; the stream is gone when it returns. A failed connect has closed as its
 *     only callback.
 *   - Bytes arrive in the order in which they were written, each once, or the stream ends.
 *   - A stream whose bytes the other side has not acknowledged for NET_SILENCE_MAX_MS ends with an
 *     error, also when nothing tells that the other side is gone (TCP_USER_TIMEOUT; keep-alive
 *     where nothing is written).
 *   - Small writes are not held back (TCP_NODELAY): whoever writes has gathered what belongs
 *     together.
 *
 * Ownership: streams and listeners belong to the net; their owner keeps the pointer until closed
 * (listener: until net_listener_close). An address is a text: "host:port" or "[v6]:port" for TCP,
 * any text in the simulator.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_NET_H
#define CLUSTER_NET_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/limits.h"

struct net;
struct net_stream;
struct net_listener;

/* What an owner hears of its stream; each may call the door, net_close included. All are needed but
 * room and drained. */
struct net_events {
    /* A stream of connect: bytes written since connect was called are on their way. */
    void (*connected)(void *context);
    /* Where the next bytes should go, if the owner has a place for them (the rest of a large
     * frame): *ret_size bytes, above 0, that stay put until the next callback. NULL: the net's own
     * buffer. */
    uint8_t *(*room)(void *context, size_t *ret_size);
    /* Bytes came, 1 or more; borrowed for the call, or lying in what room gave. */
    void (*read)(void *context, struct bytes from);
    /* Everything written has been handed to the system: net_unsent is 0 again. */
    void (*drained)(void *context);
    /* The end. why->code: OK net_close was called; CLOSING the other side ended it in order; IO it
     * broke or never came about (why->text: refused, reset, silent, ..., with the address). */
    void (*closed)(void *context, const struct err *why);
};

struct net_handler {
    const struct net_events *events;        /* static */
    void *context;
};

struct net_acceptor {
    /* Somebody connected. True: the callee is the owner and *ret_handler is filled in. False: the
     * stream ends at once. The stream may be written to before this returns. */
    bool (*accepted)(void *context, struct net_stream *stream, struct net_handler *ret_handler);
    void *context;
};

struct net_calls {
    enum err_code (*listen)(struct net *net, const char *address,
                            const struct net_acceptor *acceptor, struct net_listener **ret_listener,
                            struct err *err);
    void (*listener_close)(struct net *net, struct net_listener *listener);
    enum err_code (*connect)(struct net *net, const char *address,
                             const struct net_handler *handler, struct net_stream **ret_stream,
                             struct err *err);
    enum err_code (*write)(struct net *net, struct net_stream *stream, struct buf *from);
    size_t (*unsent)(const struct net *net, const struct net_stream *stream);
    void (*close)(struct net *net, struct net_stream *stream);
    const char *(*address)(const struct net *net, const struct net_stream *stream);
};

/* Implementations embed this. */
struct net {
    const struct net_calls *calls;
};

/* acceptor is copied. INVALID: not an address. IO: in use, not ours, ...; the text names it. */
static inline MUST_USE enum err_code net_listen(struct net *net, const char *address,
                                                const struct net_acceptor *acceptor,
                                                struct net_listener **ret_listener, struct err *err)
{
    return net->calls->listen(net, address, acceptor, ret_listener, err);
}
/* No accepted after this; streams that were accepted go on. NULL is fine. */
static inline void net_listener_close(struct net *net, struct net_listener *listener)
{
    if (listener)
        net->calls->listener_close(net, listener);
}
/* Begins to connect. INVALID: not an address. Everything else is told by closed. */
static inline MUST_USE enum err_code net_connect(struct net *net, const char *address,
                                                 const struct net_handler *handler,
                                                 struct net_stream **ret_stream, struct err *err)
{
    return net->calls->connect(net, address, handler, ret_stream, err);
}
/* Takes the buffer (*from is empty again) and sends it behind what was written before; allowed from
 * connect on. One call is one system call at best; nothing is copied.
 * BUSY: more than NET_UNSENT_BYTES_MAX would be unsent (a buffer of any size is taken when nothing
 * is). CLOSING: the stream is ending. *from is untouched then. */
static inline MUST_USE enum err_code net_write(struct net *net, struct net_stream *stream,
                                               struct buf *from)
{
    return net->calls->write(net, stream, from);
}
/* Bytes written that the system has not taken yet. */
static inline size_t net_unsent(const struct net *net, const struct net_stream *stream)
{
    return net->calls->unsent(net, stream);
}
/* Nothing is read any more; what was written is still sent as far as the other side takes it within
 * NET_LINGER_MAX_MS; then closed runs. Twice is fine. */
static inline void net_close(struct net *net, struct net_stream *stream)
{
    net->calls->close(net, stream);
}
/* Of the other side, for people; lives as long as the stream. */
static inline const char *net_address(const struct net *net, const struct net_stream *stream)
{
    return net->calls->address(net, stream);
}

#endif
