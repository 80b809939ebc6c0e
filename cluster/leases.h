/* Leases on a member: its lessor (mvcc/lease.h) kept beside the store, promoted and demoted as the member
 * leads or not, and what has run out proposed as an entry of the member's own.
 *
 * An expiry ends locks that others hold, so it is proposed only by a member that is certain to lead now
 * (etcd I20): struct activity below. What makes a mistake harmless all the same stands in the entry: it
 * names the renewal it saw, and a renewal that comes before it in the log makes it void.
 *
 * Never: threads, clocks but by now_ns and the proposer's stamp, entries of another member.
 *
 * Loop thread only.
 */
#ifndef CLUSTER_LEASES_H
#define CLUSTER_LEASES_H

#include "cluster/clock.h"
#include "cluster/propose.h"
#include "cluster/raft/raft.h"
#include "mvcc/lease.h"
#include "mvcc/store.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"

/* ---- the rule ---- */

/* A loop that has not turned for longer does not know who leads: its process was stopped, or starved.
 * Three ticks: a follower waits at least six before it asks for votes. (A machine that was suspended saw
 * no time pass; but neither did its deadlines, and what it proposes in a term that is over is lost.) */
#define ACTIVE_GAP_NS (3 * HEARTBEAT_DEFAULT_MS * NS_PER_MS)

/* Whether a leader is active: since its loop last fell silent for more than ACTIVE_GAP_NS, and since it
 * was elected, a round of ReadIndex that began afterwards was confirmed. A round that began before says
 * nothing about what happened in the silence, however late it is confirmed.
 *
 * So: silences and elections begin a new epoch; a round belongs to the epoch it began in; its
 * confirmation proves that epoch and no other. */
struct activity {
    int64_t noted_ns;                   /* the loop turned last */
    uint64_t epoch, proven;             /* equal: active; proven is never ahead */
};

void activity_init(struct activity *activity, int64_t now_ns);
/* The loop turns. Called before anything is concluded from what a turn brings. */
void activity_note(struct activity *activity, int64_t now_ns);
/* Elected, or not leading any more: what was proven counts no longer. */
void activity_void(struct activity *activity);
/* A round that began in this epoch is confirmed. */
void activity_confirm(struct activity *activity, uint64_t epoch);
bool activity_is_proven(const struct activity *activity);

/* ---- the member's ---- */

struct leases {
    struct lessor *lessor;
    struct raft *raft;
    struct proposer *proposer;
    struct clock *clock;                /* for stamps */
    struct store *store;
    struct trace *trace;
    struct activity activity;
    raft_term term;                     /* that it was promoted in */
    struct rand rand;                   /* contexts */
    struct blob *round;                 /* context of the round under way; NULL: none */
    uint64_t round_epoch;
    int64_t retry_ns;                   /* nothing is tried before */
};

/* Borrows everything. Knows no lease before leases_load. */
void leases_init(struct leases *leases, struct raft *raft, struct proposer *proposer,
                 struct clock *clock, uint64_t seed, struct trace *trace);
void leases_release(struct leases *leases);
/* Takes over the leases of a store, at an opening and after an install, before anything is served from
 * it. Borrows the store until the next call. IO, CORRUPT. */
enum err_code leases_load(struct leases *leases, struct store *store, struct err *err) MUST_USE;

/* In each turn, after proposals were made (a renewal that waits here goes before an expiry). Follows the
 * member's role, and proposes what has run out: at once when active, else it asks for a round first.
 * may_propose: false while applying lags behind (renewals may wait) and when the member stops. OK also
 * when the core refused; it is tried again. FAULT kinds of the core. */
enum err_code leases_turn(struct leases *leases, int64_t now_ns, bool may_propose) MUST_USE;
/* A round was confirmed; those of others are passed over. */
void leases_read_state(struct leases *leases, const struct raft_read_state *state, int64_t now_ns);
/* When a turn is due; INT64_MAX: not before something is applied. */
int64_t leases_next_ns(const struct leases *leases);

/* Of a KV_LEASE_TIME_TO_LIVE that the store has answered: what is left, exact where this member leads. */
void leases_fill(const struct leases *leases, int64_t now_ns, struct kv_lease_result *lease);

#endif
