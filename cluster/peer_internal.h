/* What peer.c, peer_lane.c, peer_connection.c and peer_hello.c share. Nobody else includes it.
 *
 * A peer has lanes, one for each channel, on which this member sends; each has a connection or
 * waits for its next try. Incoming connections belong to a peer from their hello on.
 *
 *     connection      HELLO ----> OPEN ----> ENDING ----> freed (net_events.closed)
 *                        \___________________/
 *     HELLO   outgoing: its hello was written, the answer is awaited; incoming: a hello is awaited
 *     JOINING incoming, from HELLO: it asked to become a member and waits for the answer; then ENDING
 *     OPEN    outgoing: frames are written; incoming: frames are read
 *     ENDING  it belongs to no peer any more; nothing is read from it
 */
#ifndef CLUSTER_PEER_INTERNAL_H
#define CLUSTER_PEER_INTERNAL_H

#include <inttypes.h>

#include "cluster/frame.h"
#include "cluster/peer.h"
#include "cluster/peer_queue.h"
#include "proto/base/list.h"
#include "proto/base/rand.h"

#define ID "%016" PRIx64
#define NEVER_NS INT64_MIN

/* Above this nothing is written to a stream until it is drained, so that one more frame always
 * fits. */
#define PEER_UNSENT_BYTES_MAX (NET_UNSENT_BYTES_MAX - FRAME_SIZE_MAX - FRAME_HEADER_SIZE)

enum connection_state {
    CONNECTION_HELLO,
    CONNECTION_OPEN,
    CONNECTION_ENDING,
    CONNECTION_JOINING,
    CONNECTION_STATE_COUNT
};

struct connection {
    struct list link;               /* of peers->connections */
    struct peers *peers;
    struct net_stream *stream;
    enum connection_state state;
    bool outgoing;
    bool news;                      /* incoming: its end is to be told */
    raft_id id;                     /* 0: an incoming one before its hello */
    enum peer_channel channel;
    struct peer *peer;              /* NULL: before the hello; ENDING */
    struct frame_reader reader;
    enum peer_refusal refusal;      /* of a header that the reader's check did not like */
    int64_t deadline_ns;            /* of HELLO and JOINING */
    int64_t opened_ns;              /* outgoing; NEVER_NS: it was not */
};

struct own_frame {
    struct list link;
    struct buf bytes;               /* the whole frame */
};

struct lane {
    struct connection *connection;  /* NULL: none */
    int64_t retry_ns;               /* then the next try is due */
    int64_t backoff_ns;             /* of the next failure */
    int64_t patience_ns;            /* without an answer of a peer that is heard */
    struct list frames;             /* own_frames */
    size_t frames_bytes;
};

struct peer {
    raft_id id;
    char *address;                  /* NULL: only heard of */
    bool learned;                   /* address is that of its hello: gone with its connections */
    struct lane lanes[PEER_CHANNEL_COUNT];
    struct connection *incoming[PEER_CHANNEL_COUNT];
    struct peer_queue messages;     /* of lane PEER_RAFT */
    bool unreachable, snapshot_lost;        /* to be told by the next turn */
    uint64_t generation, dropped;
    int64_t last_contact_ns;
    char last_error[ERR_TEXT_SIZE];
};

struct peers {
    struct peers_options options;
    char *address;                  /* options.address */
    struct mem mem;
    struct rand rand;
    struct net_listener *listener;
    struct peer *table[RAFT_MEMBERS_MAX];   /* ascending by id */
    size_t count;
    raft_id *removed;               /* ascending */
    size_t removed_count;
    struct list connections;
    size_t incoming_count;          /* among them, those not ENDING included */
    struct raft_received received;  /* the message being delivered */
    bool closing;
    void (*closed)(void *context);
    void *closed_context;
};

static inline int64_t peers_now(struct peers *peers)
{
    return clock_monotonic_ns(peers->options.clock);
}
bool peers_is_removed(const struct peers *peers, raft_id id);
struct peer *peers_get(const struct peers *peers, raft_id id);      /* NULL: none */
/* NULL: the table is full. */
struct peer *peers_add(struct peers *peers, raft_id id);
/* One that only connects has said where it listens. */
void peers_learn(struct peers *peers, struct peer *peer, struct bytes address);
/* A peer that was not set and has no connections is forgotten. */
void peers_drop_unknown(struct peers *peers, struct peer *peer);
/* Frees peers and tells. */
void peers_finish(struct peers *peers);

static inline bool peers_is_local_id(const struct peers *peers, raft_id id)
{
    return id == RAFT_NOBODY || id == RAFT_APPEND_THREAD || id == RAFT_APPLY_THREAD ||
           id == peers->options.member_id;
}
static inline const char *peer_channel_name(enum peer_channel channel)
{
    return channel == PEER_RAFT ? "raft" : "bulk";
}

/* peer_lane.c */
bool lane_is_wanted(const struct peer *peer, enum peer_channel channel);
/* Tries to connect those that are wanted and due. */
void lanes_connect(struct peers *peers, struct peer *peer, int64_t now_ns);
/* Drops the frames that wait. */
void lane_clear(struct lane *lane);
/* The lane's connection failed or ended: what waits is dropped, the next try is later. */
void lane_failed(struct peers *peers, struct peer *peer, enum peer_channel channel,
                 int64_t opened_ns, const char *text);
/* Writes what the stream takes. */
void lane_flush(struct peers *peers, struct peer *peer, enum peer_channel channel);
/* The peer was heard: a try that it has not answered for long is made again. What waits stays. */
void lanes_heard(struct peers *peers, struct peer *peer);
/* The next try is due now, however often it failed before: there is reason to hope. */
void lane_hope(struct lane *lane);

/* peer_connection.c */
bool connection_accepted(void *context, struct net_stream *stream, struct net_handler *ret_handler);
/* Connects that lane, or counts as a failed try. */
void connection_open(struct peers *peers, struct peer *peer, enum peer_channel channel);
/* Closes it in order; it leaves its peer at once. Nothing of it is told but an incoming one's end,
 * if news. */
void connection_end(struct connection *connection, bool news);
/* The same, with a sentence to the other side of an incoming one. */
void connection_refuse(struct connection *connection, enum peer_refusal why, bool news,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
/* An outgoing one is of no use: its lane tries again later. */
void connection_give_up(struct connection *connection, const char *text);
/* What came is not what may come: given up or refused. */
void connection_unfit(struct connection *connection, enum peer_refusal why, const char *text);
void connection_move(struct connection *connection, enum connection_state state);
/* HELLO took too long. */
void connection_expired(struct connection *connection);
void connection_free(struct connection *connection);
void connection_validate(const struct connection *connection);

/* peer_hello.c */
void hello_write(struct connection *connection);
/* For the reader: whether a frame with this header may come now. */
enum err_code hello_check_header(void *context, const struct frame_header *header,
                                 struct err *err) MUST_USE;
void hello_read(struct connection *connection, const struct frame_header *header,
                struct bytes body);
void hello_refused(struct connection *connection, struct bytes body);
void join_read(struct connection *connection, struct bytes body);

static inline bool connection_has_deadline(const struct connection *connection)
{
    return connection->state == CONNECTION_HELLO || connection->state == CONNECTION_JOINING;
}

#endif
