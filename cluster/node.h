/* One member: core, log, store, peers and proposals, wired. Knows doors (clock, worker, net, the log's
 * disk, the store's home), not libuv; so the same code runs in the program and under simulated time.
 *
 * All work happens in turns. node_turn does everything that can be done now and returns; the loop
 * calls it after it has heard of anything (a request, a completed job, a timer). One turn:
 *
 *   1. propose    everything that waits becomes entries of the core: one call
 *   2. ready      what the core wants kept -> log; committed -> apply; messages -> peers, one frame each,
 *                 which are with the kernel before the loop does work of its own
 *   3. flush      inline when the loop is alone, else on the disk thread
 *   4. apply      likewise
 *   (1 to 4 again while something was done inline)
 *   5. answer     callbacks of requests; what they submit is done in the next round
 *
 * Cost of one put by a lone client: one entry, one append, one flush (pwritev2 with RWF_DSYNC), one
 * LevelDB batch, no thread hand-off, no wake-up.
 *
 * A proposal is stamped by the leader's node when it is given to the core, whoever made it: max(its
 * clock, the highest stamp in its log or store + 1 ns).
 *
 * About once a second members compare what their stores have become (divergence.h). One whose store is not
 * the others' fences itself: that is a fault, and its store is not opened again; one that lacks a store
 * fetches it from the others and keeps log, vote and identity (transfer.h).
 *
 * A fault (failed write, failed flush, damaged store) ends it: node_fault says why, every request is
 * answered, and nothing is written any more.
 *
 * While its cluster forms (generations.h) it is silent: it takes no message of raft, does not tick and does
 * not vote, until every first member has told its generation and has heard this one's.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_NODE_H
#define CLUSTER_NODE_H

#include "cluster/clock.h"
#include "cluster/datadir.h"
#include "cluster/generations.h"
#include "cluster/membership.h"
#include "cluster/net.h"
#include "cluster/raft/raft.h"
#include "cluster/worker.h"
#include "mvcc/home.h"
#include "mvcc/store.h"
#include "proto/kv.h"
#include "wal/wal.h"

struct node;

struct node_options {
    struct identity identity;
    struct clock *clock;
    struct worker *worker;
    struct store *store;                /* taken */
    struct wal *wal;                    /* taken */
    bool lacks_store;                   /* store only stands for one: see transfer_open_store */
    struct home *home;                  /* where the store lives; NULL: no snapshots to or from others */
    struct net *net;                    /* NULL: no peers */
    const char *listen_address;         /* where it listens for them; NULL: nowhere */
    const char *address;                /* where they reach it; NULL: listen_address */
    struct generations *generations;    /* borrowed; NULL: whoever says hello is who it was */
    void (*say)(void *context, const char *line);   /* to the operator; NULL: nothing is said */
    void *say_context;
    const struct membership_member *known;  /* peers of a member that does not know its cluster yet; */
    size_t known_count;                     /* the membership, once it has one, takes their place */
    size_t log_keep_entries;            /* in memory below a checkpoint; 0: RAFTLOG_KEEP_ENTRIES */
    uint64_t message_size_max;          /* entry bytes in one append; 0: MESSAGE_SIZE_MAX */
    size_t inflight_messages_max;       /* unanswered, to one peer; 0: INFLIGHT_MESSAGES_MAX */
    uint64_t inflight_bytes_max;        /* of entries in them; 0: INFLIGHT_BYTES_MAX */
    uint64_t uncommitted_bytes_max;     /* of a leader; then it takes no more; 0: APPLY_LAG_BYTES_MAX */
    const struct wal_recovery *recovery;/* borrowed for the call */
    const char *data_path;              /* for what it tells the operator; copied; may be NULL */
    int64_t timeo_ms;                   /* 0: TIMEO_DEFAULT_MS */
    uint64_t seed;                      /* of election timeouts and nonces */
    struct trace *trace;                /* may be NULL */
    void (*wake)(void *context);        /* a turn is wanted; called on the loop */
    void *wake_context;
};

/* Starts from what log and store hold. A member whose configuration has it as the one voter campaigns
 * at once. On failure store and wal are closed too. Errors:
 *   CORRUPT   the store's applied index lies outside of what the log holds: text has both numbers
 *   IO, NO_MEMORY */
enum err_code node_open(struct node **ret, const struct node_options *options,
                        struct err *err) MUST_USE;

/* Does what can be done now. Returns true when another turn should follow at once. */
bool node_turn(struct node *node);
/* When a turn is due although nothing happened (monotonic ns); INT64_MAX: never. */
int64_t node_next_wake_ns(const struct node *node);
/* Jobs in flight or requests unanswered: the loop may spin a little before it sleeps. */
bool node_is_busy(const struct node *node);
/* OK while the member lives; else the fault. */
enum err_code node_fault(const struct node *node, struct err *ret_err);

/* What files and commands talk to. Lives as long as the node. */
struct kv *node_kv(struct node *node);
/* For the done of worker jobs of others that share the worker. */
struct store *node_store(struct node *node);

/* Begins a clean stop: new requests are answered CLOSING, open ones end, then the peers are closed;
 * node_is_stopped tells when no job is in flight any more and the net is not needed. */
void node_stop(struct node *node);
bool node_is_stopped(const struct node *node);
/* After node_is_stopped (or with the worker's threads already joined): checkpoint, mark and seal when
 * the member is sound, then everything is freed. IO: the data is as after a kill, which is fine. */
enum err_code node_close(struct node *node, struct err *err) MUST_USE;
/* Frees as if the process had been killed: for tests. */
void node_abandon(struct node *node);

/* Prepares the folder's log and store for the first start of one of the cluster's first members, all of
 * them voters: the membership is stored in both, alike on each, and durable when it returns. Consumes
 * nothing. A member that joins a cluster begins with an empty log and store. */
enum err_code node_bootstrap(struct store *store, struct wal *wal,
                             const struct membership_member *members, size_t count,
                             struct err *err) MUST_USE;

/* ---- who belongs to the cluster ---- */

/* A change of the membership, asked for; embedded in its caller, who keeps it until done has run. It is
 * proposed again until it is seen in the log, and acts once, on the membership that this member knows now. */
struct node_change {
    struct raft_conf_change change;     /* context is filled in here */
    struct membership_context members;  /* records of those it adds; the token is filled in here */
    int64_t timeout_ms;                 /* 0: timeo */
    void (*done)(struct node_change *change, enum err_code code);
    struct err err;                     /* when code is not OK */

    struct list link;
    int64_t deadline_ns, tried_ns;
    bool was_proposed;
    enum err_code code;
};

/* The callback runs once, on the loop, never inside this call. Errors:
 *   INVALID, NOT_FOUND, EXISTS   what membership_check and the core say when it is applied
 *   CONFLICT                     the membership is another now; by this very change where a snapshot took
 *                                the place of the entry that made it: whoever asks again looks first
 *   NO_LEADER, CLOSING           nothing happened
 *   TIMEOUT                      it may have happened, or happen yet */
void node_change_submit(struct node *node, struct node_change *change);
/* What people, and joiners, ask of the membership. The leader decides: whoever is asked passes it on. It is
 * refused where it would lose the quorum, by what the leader sees (change_check.h). Embedded in its caller,
 * who keeps it until done has run. */
enum node_ask_kind {
    NODE_ASK_ADD = 1,   /* a learner; with generation MEMBER_RESERVED for a folder that is to come. Of a
                         * name and address that are reserved so, the folder that joins is that member */
    NODE_ASK_REMOVE,
    NODE_ASK_PROMOTE,   /* a learner votes */
    NODE_ASK_UPDATE,    /* its address */
    NODE_ASK_TRANSFER,  /* it leads */
};

struct node_ask {
    enum node_ask_kind kind;
    struct membership_member member;    /* id alone for REMOVE, PROMOTE, TRANSFER */
    bool force;                         /* REMOVE: even so */
    int64_t timeout_ms;                 /* 0: timeo */
    void (*done)(struct node_ask *ask, enum err_code code);
    struct err err;                     /* when code is not OK */
    raft_id id;                         /* of the member that it was about: see ADD */

    struct list link;
    uint64_t number;
    int64_t deadline_ns, tried_ns;
    bool was_sent;
    enum err_code code;
};

/* The callback runs once, on the loop, never inside this call. What is there already is OK. Errors:
 *   NOT_FOUND, READ_ONLY, BUSY   as change_check.h says; nothing happened
 *   INVALID, EXISTS              as membership_check says; nothing happened
 *   NO_LEADER, CLOSING           nothing happened
 *   TIMEOUT                      it may have happened, or happen yet
 *   CANCELED                     likewise */
void node_ask(struct node *node, struct node_ask *ask);
/* Ends it soon with CANCELED, unless it has another end. */
void node_ask_cancel(struct node *node, struct node_ask *ask);
/* Asks the leader to hand over; nothing is told about how it went. */
void node_transfer_leader(struct node *node, raft_id to);
/* As applied last; borrowed until the next turn. */
const struct membership *node_membership(const struct node *node);
/* It was a member and was removed: it serves nobody any more, and ends with the fault REMOVED when the
 * others do not need it to know that. */
bool node_was_removed(const struct node *node);
/* The first members have not all met. */
bool node_is_forming(const struct node *node);
/* A peer knows that this folder is not the one that it met first: the fault of a forming one that nobody
 * will meet. */
bool node_was_met_before(const struct node *node);
/* It has no state: one is being fetched from the others, and whoever asks it waits. */
bool node_lacks_store(const struct node *node);
/* Of a state that arrives as tables: bytes written and in all. False: none does. */
bool node_arrival(const struct node *node, uint64_t *ret_done, uint64_t *ret_whole);
/* For the simulator and status. */
const struct raft *node_raft(const struct node *node);

/* ---- for tests ---- */

/* Proposes an entry of any session and number as it is, as a member that failed over would. */
enum err_code node_propose_raw(struct node *node, struct blob *payload) MUST_USE;
/* Keeps the core from being told that flushes are done: nothing commits until released. */
void node_hold_commit(struct node *node, bool hold);

#endif
