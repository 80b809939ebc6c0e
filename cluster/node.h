/* One member: core, log, store and proposals, wired. Knows doors (clock, worker, the log's disk, the
 * store's backend), not libuv; so the same code runs in the program and under simulated time.
 *
 * All work happens in turns. node_turn does everything that can be done now and returns; the loop
 * calls it after it has heard of anything (a request, a completed job, a timer). One turn:
 *
 *   1. propose    everything that waits becomes entries of the core: one call
 *   2. ready      what the core wants kept -> log; committed -> apply; messages -> peers
 *   3. flush      inline when the loop is alone, else on the disk thread
 *   4. apply      likewise
 *   (1 to 4 again while something was done inline)
 *   5. answer     callbacks of requests; what they submit is done in the next round
 *
 * Cost of one put by a lone client: one entry, one append, one flush (pwritev2 with RWF_DSYNC), one
 * LevelDB batch, no thread hand-off, no wake-up.
 *
 * A fault (failed write, failed flush, damaged store) ends it: node_fault says why, every request is
 * answered, and nothing is written any more.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_NODE_H
#define CLUSTER_NODE_H

#include "cluster/clock.h"
#include "cluster/datadir.h"
#include "cluster/raft/raft.h"
#include "cluster/worker.h"
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
    const struct wal_recovery *recovery;/* borrowed for the call */
    const char *data_path;              /* for status and free space; copied; may be NULL */
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

/* Begins a clean stop: new requests are answered CLOSING, open ones end; node_is_stopped tells when no
 * job is in flight any more. */
void node_stop(struct node *node);
bool node_is_stopped(const struct node *node);
/* After node_is_stopped (or with the worker's threads already joined): checkpoint, mark and seal when
 * the member is sound, then everything is freed. IO: the data is as after a kill, which is fine. */
enum err_code node_close(struct node *node, struct err *err) MUST_USE;
/* Frees as if the process had been killed: for tests. */
void node_abandon(struct node *node);

/* Prepares the folder's log and store for the first start of a member that is alone: membership is
 * this member, stored in both, durable when it returns. Consumes nothing. */
enum err_code node_bootstrap(struct store *store, struct wal *wal, raft_id id, kv_time now,
                             struct err *err) MUST_USE;

/* ---- for tests ---- */

/* Proposes an entry of any session and number as it is, as a member that failed over would. */
enum err_code node_propose_raw(struct node *node, struct blob *payload) MUST_USE;
/* Keeps the core from being told that flushes are done: nothing commits until released. */
void node_hold_commit(struct node *node, bool hold);

#endif
