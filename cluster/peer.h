/* The connections of one member: raft messages and the member's own frames to and from its peers,
 * in frames (cluster/frame.h) over byte streams (cluster/net.h).
 *
 *     peers_send        queues a message (payloads are referenced, not copied)
 *     peers_send_frame  queues bytes of the member's own
 *     peers_flush       once a turn: what is queued leaves, one write per connection
 *     peers_turn        timers: connecting, backing off, giving up; tells what was lost
 *
 * A connection carries one direction of one channel: who connects sends. To each peer go two
 * channels, RAFT (always connected) and BULK (connected when there is something to send), so that a
 * heartbeat never waits behind a transfer. Who connects says HELLO (version, features, cluster,
 * from, to, generation, channel, address); the other side answers with its own HELLO or with REFUSED
 * and a sentence, and nothing else. Messages leave after the answer.
 *
 * Who connects without having been set is a peer as long as it is connected, and is answered at the
 * address of its hello: a member that is behind does not know yet who leads, or asks for its vote.
 *
 * It never decides anything about membership, never reorders messages of a peer, never repeats one,
 * and never sends to or accepts from an id that was removed. It does not read clocks but
 * options.clock, and draws chance from options.seed alone.
 *
 * Invariants
 *   - A message is delivered only if its `to` is this member; its `from` is that of the hello, or,
 *     of a forwarded request (PROP, READ_INDEX, TRANSFER_LEADER name whom they are for), another
 *     member. Nothing from a local thread (RAFT_APPEND_THREAD, ...), of a local type or with
 *     responses is delivered: the connection is closed with a sentence. A forwarded request that
 *     comes back to the member named in it is passed over.
 *   - Of the append answers queued for a peer in one turn the last alone is sent (the last says
 *     all); the order of everything else is kept.
 *   - No frame makes anything be allocated before its header is checked (CRC, ids, kind, size).
 *   - Queues are bounded (limits.h). What does not fit, and what waits when a connection fails, is
 *     dropped and reported by unreachable; raft repeats it.
 *   - No callback runs inside peers_send, peers_send_frame, peers_flush, peers_set or peers_remove.
 *   - A connection accepted from a peer replaces an older one of that peer and channel.
 *
 * Cost, per peer and turn: one allocation and one net_write for the frame, whatever it holds; each
 * payload is copied once into it; each message is one block in the queue. Received: a frame that
 * lies within one read is decoded where it lies, a larger one is read into a buffer of its size;
 * either way each payload is copied once, into a blob of its own.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_PEER_H
#define CLUSTER_PEER_H

#include "cluster/clock.h"
#include "cluster/net.h"
#include "cluster/raft/raft.h"

struct peers;

enum peer_channel { PEER_RAFT, PEER_BULK, PEER_CHANNEL_COUNT };

/* Why a member refuses a connection; travels as a number. */
enum peer_refusal {
    PEER_REFUSED_VERSION = 1,   /* another version of the protocol */
    PEER_REFUSED_CLUSTER,       /* of another cluster */
    PEER_REFUSED_TO,            /* the hello is for another member than this */
    PEER_REFUSED_FROM,          /* the sender's id cannot be: 0, a local thread's, this member's */
    PEER_REFUSED_REMOVED,       /* the sender was removed from the cluster */
    PEER_REFUSED_MEMBER,        /* handler.hello said EXISTS: another data folder than the one it knows */
    PEER_REFUSED_FRAME,         /* a malformed frame or message */
    PEER_REFUSED_FULL,          /* no room for another peer */
    PEER_REFUSED_JOIN,          /* of a request to join: the sentence says why; it is final */
    PEER_REFUSED_JOIN_LATER,    /* likewise, but asking again may help */
    PEER_REFUSED_NOT_NOW,       /* handler.hello cannot say yes: its disk fails, ... It says nothing of the sender */
};

/* Kinds of the member's own frames: numbers from here on, up to UINT16_MAX. */
#define PEER_KIND_OWN 64

/* Each is called on the loop, from the net's callbacks or from peers_turn. It may call everything
 * here but peers_close and peers_abandon. Those marked optional may be NULL. */
struct join_request;
struct join_answer;

struct peers_handler {
    /* Borrowed for the call; payload blobs have one reference, so that a leader may still fill in
     * the stamps of proposals. Whoever keeps one takes a reference, and writes before that. */
    void (*message)(void *context, const struct raft_message *message);
    /* bytes are borrowed for the call. Optional: such a frame is then refused. */
    void (*frame)(void *context, raft_id from, uint32_t kind, struct bytes bytes);
    /* Messages to that peer were lost, once for all since the last call: raft_report_unreachable.
     * snapshot: a MsgSnap among them: raft_report_snapshot(failed). One that was written to the
     * stream before it broke is not among them: whether it arrived is not known. */
    void (*unreachable)(void *context, raft_id id, bool snapshot);
    /* A connection from that peer ended, and not because this side wanted it or another replaced
     * it. On RAFT it may mean that a leader is gone. Optional. */
    void (*connection_lost)(void *context, raft_id id, enum peer_channel channel);
    /* That peer refuses this member; text is its sentence. Repeated with each attempt. Optional. */
    void (*refused)(void *context, raft_id id, enum peer_refusal why, const char *text);
    /* A hello (of a connection in either direction) whose cluster, ids and version are right.
     * Anything but OK refuses it with err's sentence: EXISTS for good, anything else for now. Optional: all
     * are fine. */
    enum err_code (*hello)(void *context, raft_id from, uint64_t generation, struct err *err);
    void *context;
    /* Somebody asks to become a member: answered by peers_join_answer, which may come at once. Borrowed for
     * the call. Optional: such a connection is then refused. */
    void (*join)(void *context, const struct join_request *request);
};

struct peers_options {
    struct net *net;            /* borrowed until closed */
    struct clock *clock;        /* likewise; monotonic alone */
    uint64_t seed;              /* of back-off */
    uint64_t cluster_id;
    raft_id member_id;
    uint64_t generation;        /* of this member's data folder */
    const char *address;        /* where it can be reached, for its hellos; NULL: nowhere. Copied */
    struct trace *trace;        /* may be NULL */
    struct peers_handler handler;
};

/* ---- life ---- */

struct peers *peers_new(const struct peers_options *options);
/* Takes connections at this address too; at most one address. As net_listen. */
enum err_code peers_listen(struct peers *peers, const char *address, struct err *err) MUST_USE;
/* Ends every connection; what is queued is dropped, what was written is still sent. closed runs
 * once, later, from the net or from peers_turn; peers is freed before it. No handler call after
 * this one. */
void peers_close(struct peers *peers, void (*closed)(void *context), void *context);
/* Frees memory and nothing else: for a member whose net has vanished (sim_net_crash). NULL is
 * fine. */
void peers_abandon(struct peers *peers);

/* ---- who they are ---- */

/* A peer and where it listens: connects from now on. A new address replaces the old one and its
 * connections. This member's own id and removed ones are passed over.
 * BUSY: more than RAFT_MEMBERS_MAX peers. */
enum err_code peers_set(struct peers *peers, raft_id id, const char *address) MUST_USE;
/* Never again anything to or from this id; known or not. Its connections are told REFUSED_REMOVED,
 * and what was written before is still sent: a removed member hears of its removal. */
void peers_remove(struct peers *peers, raft_id id);
/* Forgets a peer that is not (yet) a member, without holding it against the id. */
void peers_forget(struct peers *peers, raft_id id);

/* ---- use ---- */

/* Queues a message for message->to. Borrowed for the call: references are taken on its payloads. An
 * unknown or removed peer, a full queue: dropped (and reported, if the peer is known). A proposal
 * of many entries may travel as several, in order. */
void peers_send(struct peers *peers, const struct raft_message *message);
/* Queues a frame of the member's own (kind from PEER_KIND_OWN on). bytes are copied, once. It
 * leaves behind the frames of the same channel sent before; nothing is promised about messages.
 * Frames that wait when a connection fails are lost silently: whoever asked asks again.
 * NOT_FOUND: no such peer, or removed. BUSY: the queue is full. TOO_BIG: over FRAME_SIZE_MAX. */
enum err_code peers_send_frame(struct peers *peers, raft_id to, enum peer_channel channel,
                               uint32_t kind, struct bytes bytes) MUST_USE;
/* Tells everyone who asked to join with that drawn id, and still waits: with the answer, or (NULL) refused
 * for that reason with the sentence. Nobody waits any more: fine, they ask again. */
void peers_join_answer(struct peers *peers, raft_id drawn, const struct join_answer *answer,
                       enum peer_refusal why, const char *text);
/* Hands what is queued to the net: to be called at the end of a turn. One MESSAGES frame per peer
 * as long as its messages fit FRAME_MESSAGES_BYTES. */
void peers_flush(struct peers *peers);
/* Timers and reports. At least when peers_next_wake_ns says so. */
void peers_turn(struct peers *peers, int64_t now_ns);
/* Monotonic; INT64_MAX: never. */
int64_t peers_next_wake_ns(const struct peers *peers);

/* ---- looking in ---- */

struct peer_status {
    raft_id id;
    const char *address;        /* borrowed until the next call; "": it only connects to us */
    bool connected;             /* ours to it, on RAFT: messages leave */
    bool heard;                 /* its to us, on RAFT, is open */
    int64_t last_contact_ns;    /* monotonic; a frame from it on any connection; 0: never */
    uint64_t generation;        /* of its last good hello; 0: none yet */
    size_t queued_messages, queued_bytes;
    uint64_t dropped;           /* messages, since peers_new */
    const char *last_error;     /* borrowed; "" when connected: why not */
};

/* Known peers (set, or heard of and not removed), ascending by id. */
size_t peers_count(const struct peers *peers);
void peers_status(const struct peers *peers, size_t place, struct peer_status *ret);
/* False: no such peer. */
bool peers_find(const struct peers *peers, raft_id id, struct peer_status *ret);

/* CHECKs what this header and the ones below it promise. */
void peers_validate(const struct peers *peers);
/* For tests: the handle that queued messages come from, to let its nth call fail. */
struct mem *peers_mem(struct peers *peers);

#endif
