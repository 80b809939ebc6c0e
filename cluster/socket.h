/* The member's local socket, DATA/sock: what the commands talk to (cluster/client.h is their side).
 *
 * A stream of frames: 4 bytes of size, little endian, then a SocketRequest; each is answered by one
 * frame with a SocketResponse, in the order of the requests (proto/kv_pb.h, schema/kv.proto).
 *
 * Never: decides anything. A request becomes one kv_request on the loop; what the store or the log says
 * is the answer.
 *
 * Who may talk: the file has mode 0600, so the daemon's own user and root. The peer's uid is taken from
 * the kernel when it connects: uid 0 and the daemon's own may write inside the system range, anyone
 * else (an administrator may widen the file's mode) may not, and may not stop the member or
 * change who the members are.
 *
 * Invariants
 *   - Answers leave in the order of the requests of their connection.
 *   - At most SOCKET_REQUESTS_MAX requests of a connection are unanswered or unsent; above that its
 *     bytes stay in the kernel. At most SOCKET_CONNECTIONS_MAX connections are served; one more is
 *     answered BUSY and closed.
 *   - A frame that is too large or does not decode is answered (TOO_BIG, INVALID) and its connection
 *     closed after the answers before it.
 *   - A write is answered after options.settle said so: a command's exit means that a watcher on this
 *     host has been told.
 *   - A peer that goes away cancels what it asked for.
 *
 * Loop thread alone.
 */
#ifndef CLUSTER_SOCKET_H
#define CLUSTER_SOCKET_H

#include "proto/kv_pb.h"

struct socket;
struct uv_loop_s;

/* One "concordfs member". Owned by the socket until done has run. */
struct socket_member_call {
    struct socket_member request;   /* borrows from the frame */
    void (*done)(struct socket_member_call *call, enum err_code code);
    struct err err;                 /* when code is not OK */
    struct buf text;                /* the answer */
    void *work;                     /* whoever does it */
};

struct socket_options {
    const char *path;           /* of the socket; a stale one is replaced. Copied */
    struct kv *kv;              /* borrowed until closed */
    void *context;              /* of the calls below, each on the loop thread */
    /* One screen of text for "concordfs status": appended. NULL: status_format of kv_status_get. */
    void (*status)(void *context, struct buf *ret);
    /* A privileged peer asked the member to stop; the answer is sent when it returns. It only begins
     * the stop: socket_close comes later. NULL: refused with NOT_CAPABLE. */
    void (*stop)(void *context);
    /* Calls settled(argument) once, from any thread, maybe before it returns: when everything changed
     * so far has been told to the kernel. Nobody waits longer than SOCKET_SETTLE_MAX_MS for it, and it
     * may come after the socket is gone. NULL: nothing to wait for. */
    void (*settle)(void *context, void (*settled)(void *argument), void *argument);
    /* Calls done once, later or at once; after a cancel soon. Whatever changes the membership comes from a
     * privileged peer. NULL: refused with NOT_CAPABLE. */
    void (*member)(void *context, struct socket_member_call *call);
    void (*member_cancel)(void *context, struct socket_member_call *call);
};

/* Listens. Errors: IO (the folder is not there, not writable, ...; the text names the path). */
enum err_code socket_open(struct socket **ret, struct uv_loop_s *loop,
                          const struct socket_options *options, struct err *err) MUST_USE;
/* Takes no more connections and requests, cancels those in flight, removes the file. closed runs once,
 * on the loop, after the last of them is gone; the socket is freed before it. The kv must still answer
 * (it may answer CLOSING) until then. Answers that are ready are sent first, as far as the peer reads. */
void socket_close(struct socket *socket, void (*closed)(void *context), void *context);

#endif
