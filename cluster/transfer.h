/* Snapshots between members: a whole store travels, since the log no longer reaches back far enough.
 *
 *   leader                                        follower
 *     core asks for a snapshot: BUSY
 *     checkpoint (apply token), copy (worker)
 *     core asks again: mark and manifest
 *     MsgSnap  - - - - - - - - - - - - - - - - ->   arrival begun
 *     chunk read (worker)  <- - - - - - - - - - -   asks for chunks, TRANSFER_WINDOW at a time
 *     chunk  - - - - - - - - - - - - - - - - - ->   written (worker), in order
 *     copy closed, core told  <- - - - - - - - -    finished, adopted (worker); done
 *                                                   MsgSnap stepped into the core
 *                                                   mark in the log, flushed (logwriter)
 *                                                   flipped, store reopened (worker), log begins anew
 *
 * Whoever receives asks, so flow control, loss and resuming are one rule: what has not come within
 * TRANSFER_RETRY_NS is asked for again, from the first byte that is missing. While it works it says so as
 * often.
 *
 * A member whose log is whole and whose store is not (home_verdict) is without a store: it votes and
 * acknowledges, applies nothing, and whoever asks it waits. Where it is elected, since nobody else may have
 * all that is committed, it leads until somebody has it, and hands over to one that has a store. It fetches
 * a store by itself, since its core needs no snapshot:
 *
 *     leader; or any other, while nobody leads      member
 *     or the leader is the member
 *                 <- - - - - - - - - - - - - - - -  wanted, each TRANSFER_RETRY_NS
 *     checkpoint, copy
 *     offer: mark and manifest - - - - - - - - ->   arrival begun; chunks as above; finished, adopted
 *                                                   until the log is known to be committed up to the mark
 *                                                   flipped, store opened; entries up to it passed over
 *
 * No mark is written: the log still begins where it did. The store that was given up stays until the flip.
 * A snapshot of the core's that comes meanwhile is taken instead.
 *
 * Invariants
 *   - One copy goes out and one arrives at a time; a second one is BUSY, raft asks again.
 *   - The core hears of a snapshot only when its payload is durable here (I3); a finished arrival that
 *     the core then passes over is discarded.
 *   - The store is replaced only when the mark is flushed, nothing is being applied, and nobody reads
 *     (I7); what is asked for meanwhile waits. What was queued to be applied is in what arrived. A full disk
 *     is waited for.
 *   - A copy's mark is what its own rows say. It and the entries behind it are kept while it is sent, up
 *     to RAFTLOG_HOLD_BYTES (I16).
 *   - raft_report_snapshot is called once in the end for each MsgSnap sent.
 *
 * Loop thread, except the runs of the jobs.
 */
#ifndef CLUSTER_TRANSFER_H
#define CLUSTER_TRANSFER_H

#include "cluster/raft/raft.h"
#include "cluster/worker.h"
#include "mvcc/home.h"
#include "wal/wal.h"

struct node;

enum { TRANSFER_REQUESTS_MAX = 16 };    /* of one receiver, waiting: four windows */

struct transfer_chunk {
    size_t file;
    uint64_t offset;
    uint32_t size;
};

/* Work of a transfer that is done on a worker, one piece at a time. */
struct transfer_job {
    struct worker_job job;
    bool in_flight;
    enum err_code code;
    struct err err;
};

enum transfer_out_state {
    OUT_IDLE,
    OUT_CHECKPOINT,     /* the store makes everything applied durable */
    OUT_COPYING,
    OUT_READY,          /* the core may have it */
    OUT_SENDING,        /* to `to` */
};

struct transfer_out {
    enum transfer_out_state state;
    struct transfer_job work;
    struct home_copy *copy;
    struct blob *configuration, *manifest;      /* of the snapshot */
    raft_id to;
    int64_t since_ns;                           /* of the state; in SENDING: last heard of */
    raft_id wanted_by;                          /* a member without a store: it is offered the copy */
    bool offered;                               /* by this part, not by the core */
    bool handed;                                /* to the core: its MsgSnap is on the way here */
    bool ending;                                /* the copy goes when its job is done */
    struct transfer_chunk requests[TRANSFER_REQUESTS_MAX];
    size_t request_count;
    struct buf chunk;                           /* the job's */
};

enum transfer_in_state {
    IN_IDLE,
    IN_FETCHING,
    IN_FINISHING,       /* verified, made durable, adopted */
    IN_FINISHED,        /* the core is told in the next turn */
    IN_STEPPED,         /* it was told; what it wants shows in its next ready */
    IN_MARKED,          /* it wants it: the log gets the mark */
    IN_INSTALLING,      /* the store is being replaced */
    IN_DISCARDING,
};

struct transfer_in {
    enum transfer_in_state state;
    struct transfer_job work;
    struct raft_message *message;               /* the MsgSnap, a clone */
    struct home_manifest manifest;
    bool has_begun;                             /* its folder is there: chunks are asked for, and taken */
    struct home_position written;               /* the first byte that is not */
    struct home_position expected;              /* the first byte that did not come yet */
    struct home_position asked;                 /* the first byte that was not asked for */
    struct buf arrived[TRANSFER_REQUESTS_MAX];  /* chunks to be written, from written on */
    size_t arrived_count;
    int64_t heard_ns, asked_ns;
    struct store_mark mark;                     /* what the arrival's own rows say */
    bool is_fetched;                            /* the core does not know of it */
    bool install_wanted;
    bool is_flipped;                            /* the store is in place, and not opened yet */
    int64_t install_ns;                         /* not before, since the disk was full; 0: now */
};

struct transfer {
    struct transfer_out out;
    struct transfer_in in;
    struct raft_message *next;  /* a MsgSnap that waits until what was fetched is discarded; NULL: none */
    bool lacks_store;           /* what node->store is stands for the log's mark, and has nothing in it */
    int64_t wanted_ns;          /* when a leader was asked last */
    raft_term led_term;         /* in which it leads without one, */
    size_t asked_members;        /* for a store, while nobody leads */
    unsigned led_turns;         /* for so many TRANSFER_RETRY_NS; */
    struct raft_id_set lacking; /* and who has said in it to lack one, too; */
    raft_id handed_to;          /* whom it tried to hand over to last */
};

/* Frames of this part (peer.h). */
bool transfer_is_frame(uint32_t kind);
void transfer_on_frame(struct node *node, raft_id from, uint32_t kind, struct bytes from_bytes);

/* What the core asks by its log view. */
enum err_code transfer_snapshot(struct node *node, struct raft_snapshot *ret_snapshot);
/* The core sends a MsgSnap. */
void transfer_send(struct node *node, const struct raft_message *message);
/* A MsgSnap was lost on its way. */
void transfer_lost(struct node *node, raft_id to);
/* A MsgSnap came from a peer. FAULT kinds alone. */
enum err_code transfer_offered(struct node *node, const struct raft_message *message) MUST_USE;
/* The core wants this snapshot kept. */
void transfer_marked(struct node *node, const struct raft_snapshot *snapshot);
/* Its mark is durable. */
void transfer_install(struct node *node);

/* Everything that is due. True when it did something that may have made more to do. */
bool transfer_turn(struct node *node);
int64_t transfer_next_wake_ns(const struct node *node);
/* The store is being replaced, or is about to be: nothing may begin to read it or write it. */
bool transfer_holds_store(const struct node *node);
bool transfer_is_idle(const struct node *node);         /* no job in flight */
void transfer_release(struct node *node);

/* At a start: the current store as it fits the log; recovery NULL: a first start. A flip that was interrupted
 * after its mark was flushed is done now; an arrival that no mark names is discarded. A store that is to be
 * fetched is not opened: *ret stands for it, at the log's mark, and *ret_lacks is set (for
 * node_options.lacks_store). Errors: as store_open, home_open;
 *   DIVERGED  the store is condemned: the text says what to do
 *   CORRUPT   it is to be fetched, and knows of entries that the log has lost
 *   INVALID   it is to be fetched, and there is nobody else who could have it; that is called off */
enum err_code transfer_open_store(struct home *home, const struct store_options *options,
                                  const struct wal_recovery *recovery, struct store **ret,
                                  bool *ret_lacks, struct err *err) MUST_USE;

#endif
