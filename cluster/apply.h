/* Applying: committed entries -> store -> answers. Strictly in order, one writer at a time.
 *
 * What the core hands out is queued; when the store's token is free the whole queue becomes one batch:
 * on the apply thread, or in the loop's own turn when the loop is alone (token.h). A configuration entry
 * ends a batch: the core must hear of it, on the loop, before the store takes it and before anything
 * after it is applied.
 *
 * A configuration entry that the membership or the core refuses changes nothing on every member alike;
 * its index counts as applied all the same (etcd I10).
 *
 * Order of a batch: entries into the store's batch; batch written; observer; watches; waiters; the core's
 * responses. So nobody hears of what is not yet visible (S3), and the core counts only what is done.
 *
 * Refused by a full disk, the batch stays as it is, nothing is applied, and nobody was told; once the store has
 * been opened again (reopen.h) it is done again.
 *
 * Loop thread, except the run of the job.
 */
#ifndef CLUSTER_APPLY_H
#define CLUSTER_APPLY_H

#include "cluster/clock.h"
#include "cluster/divergence.h"
#include "cluster/membership.h"
#include "cluster/propose.h"
#include "cluster/raft/raft.h"
#include "cluster/token.h"
#include "cluster/worker.h"
#include "mvcc/store.h"
#include "mvcc/watch.h"

#define APPLY_BATCH_ENTRIES 1024
#define APPLY_BATCH_BYTES (4 * MIB)     /* well under the write buffer */

struct apply_item {                     /* of the batch in flight */
    struct entry entry;                 /* holds the queue's reference */
    bool want, own;
    struct store_result result;
};

struct apply_response {                 /* to be stepped once last is applied */
    raft_index last;
    struct raft_message *message;       /* a clone */
};

struct applier {
    struct store *store;
    struct raft *raft;
    struct mem *mem;                    /* the core's, for clones */
    struct proposer *proposer;
    struct kv_observer *observer;       /* may be NULL */
    struct lessor *lessor;              /* hears of leases; may be NULL */
    struct watch_hub *hub;              /* may be NULL */
    struct divergence *divergence;      /* hears of positions; may be NULL */
    struct worker *worker;
    struct clock *clock;
    struct trace *trace;
    struct token token;

    struct entry *queue;                /* a growing array: [start, start + count); each holds a
                                           reference on its payload */
    size_t start, count, capacity;
    size_t bytes;                       /* payloads queued or in flight */
    struct apply_response *responses;
    size_t response_start, response_count, response_capacity;
    raft_index queued;                  /* last index queued */
    raft_index skip;                    /* entries up to here are passed over: the store has them */
    struct membership *membership;      /* the node's; changed by configuration entries alone */
    raft_index configuration_index;     /* last configuration entry applied; 0: told already */

    struct worker_job job;              /* the batch in flight */
    struct apply_item *items;           /* APPLY_BATCH_ENTRIES of them, batch in use */
    size_t batch;
    struct configuring *configuring;    /* the core knows of it, the store does not yet; NULL: none */
    bool no_space;                      /* the store was refused room: see applier_resume */
    enum err_code job_code;
    struct err job_err;

    void (*progressed)(struct applier *applier);   /* a job ended: the loop should take a turn */
    /* A configuration entry was applied, or refused with this code: for whoever asked for it. */
    void (*configured)(struct applier *applier, const uint64_t token[2], enum err_code code,
                       const struct err *err);
    enum err_code code;                 /* of a fault; the member stops */
    struct err err;
};

void applier_release(struct applier *applier);
/* Takes over what a RAFT_MSG_STORAGE_APPLY says. */
enum err_code applier_queue(struct applier *applier, const struct raft_message *message) MUST_USE;
/* Starts, or does, what can be done now. waiting: other requests that want the loop. Returns true when
 * something was done inline. */
bool applier_turn(struct applier *applier, size_t waiting);
/* The store has been replaced by one that holds everything up to index, and no batch is in flight. What is
 * queued up to there, and a batch that was refused, is passed over, and counts as applied. */
void applier_skip(struct applier *applier, struct store *store, raft_index index);
/* Likewise; and the core, which restored a snapshot, goes on behind index. */
void applier_restart(struct applier *applier, struct store *store, raft_index index);
/* A write of the store's was refused for want of room: there is no other until it is opened again. */
static inline void applier_refused(struct applier *applier) { applier->no_space = true; }
/* The store can be written again, and holds what was applied. */
void applier_resume(struct applier *applier);
static inline bool applier_is_idle(const struct applier *applier)
{
    return applier->count == 0 && !applier->token.held;
}

#endif
