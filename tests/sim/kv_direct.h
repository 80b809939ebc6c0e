/* A kv over a store, without raft: every request is answered by kv_direct_turn, in order, on the caller's
 * thread. For tests of what stands on the kv contract, and for a mount of one's own without a member.
 *
 * Tests can act as another host (kv_direct_other_*), and decide how requests end. */
#ifndef TESTS_SIM_KV_DIRECT_H
#define TESTS_SIM_KV_DIRECT_H

#include "mvcc/store.h"
#include "mvcc/watch.h"
#include "proto/kv.h"

struct kv_direct {
    struct kv kv;
    struct store *store;
    struct backend_memory *memory;      /* NULL: the backend was given */
    struct list queue;
    struct watch_hub *hub;
    struct kv_observer *observer;
    uint64_t index;                     /* of the last entry */
    kv_time clock;                      /* stamp of the last entry; 1 ms further for each */
    unsigned capabilities;              /* all that a member has; a test may take some away */
    uint64_t writes;                    /* txns that were applied for requests */
    uint64_t requests;                  /* answered ever */

    /* how requests end */
    enum err_code refuse_writes;        /* not applied, answered with this */
    enum err_code refuse_reads;
    enum err_code lose_answers;         /* applied, and answered with this */
    uint32_t lose_count;                /* how many of the next writes; 0: all */
    bool delay_write;                   /* the next txn is answered TIMEOUT, and kept in delayed */
    struct blob *delayed;
    bool hold_writes;                   /* writes stay in the queue */
    bool hold_reads;                    /* and so do reads that are not serializable */
    bool has_no_leader;                 /* what it would have waited for has not come: writes NO_LEADER,
                                           reads TIMEOUT unless they are serializable */
    struct kv_status status;            /* what kv_status_get says, beside ids and revisions */
};

/* A new store in memory. */
void kv_direct_init(struct kv_direct *direct);
/* On a store that exists or is made; backend is taken. Codes as store_open. */
enum err_code kv_direct_init_on(struct kv_direct *direct, struct backend *backend, struct err *err)
    MUST_USE;
/* The queue must be empty; watches end with CLOSING. */
void kv_direct_release(struct kv_direct *direct);

/* Answers what is queued now, once; how many were answered. What callbacks submit waits for the next.
 * Watches hear of a change as it is applied, and here of all else. */
size_t kv_direct_turn(struct kv_direct *direct);
bool kv_direct_is_idle(const struct kv_direct *direct);

/* ---- another host; applied at once ---- */

kv_rev kv_direct_other_put(struct kv_direct *direct, const char *key, const char *value);
kv_rev kv_direct_other_delete(struct kv_direct *direct, const char *key);
kv_rev kv_direct_other_txn(struct kv_direct *direct, const struct kv_txn *txn);
/* The time of a lease is over, as its leader finds: no clock here finds it by itself. */
void kv_direct_expire(struct kv_direct *direct, int64_t lease);
void kv_direct_compact(struct kv_direct *direct, kv_rev revision);
/* The txn that was delayed comes now; nothing when there is none. */
void kv_direct_apply_delayed(struct kv_direct *direct);

/* What everyone sees: the value of key, appended to ret; false: there is none. */
bool kv_direct_value(struct kv_direct *direct, const char *key, struct buf *ret);

#endif
