/* Proposals: requests out, answers in, each exactly once.
 *
 * A member's writes belong to its session, a piece of replicated state that is opened through the log.
 * A request gets the session and the next number, is registered here BEFORE it is proposed, and its
 * payload is kept until it is answered; when leadership moves it is proposed again, and the store
 * answers a repeat with what it stored. So a save is done once, whatever fails over.
 *
 *     waiting --(session open, room)--> open --(its entry is applied)--> answered
 *
 * Invariants
 *   - Numbers are given in order of submission; lowest_open <= every open number < next_number.
 *   - At most SESSION_OPEN_MAX are open; the rest waits, at most PROPOSE_WAITING_MAX of it.
 *   - A request is in exactly one of: waiting, the ring, answered list; its done runs once.
 * Loop thread only.
 */
#ifndef CLUSTER_PROPOSE_H
#define CLUSTER_PROPOSE_H

#include "cluster/pending.h"
#include "cluster/raft/raft.h"
#include "mvcc/store.h"
#include "proto/kv.h"
#include "proto/kv_pb.h"

#define PROPOSE_WAITING_MAX 16384       /* beyond it the caller hears BUSY at once */
#define PROPOSE_RING_SIZE 2048          /* above SESSION_OPEN_MAX, a power of two */
#define PROPOSE_BATCH_MAX 256           /* entries in one call of the core */

struct proposal {                       /* one open number */
    struct kv_request *request;         /* NULL: nobody waits any more */
    struct blob *payload;               /* NULL: the slot is free */
    bool repeated;                      /* was proposed more than once */
    bool refused;                       /* the core had no room for a repeat, which is owed */
    int64_t sent_ns;                    /* when it was last */
};

struct proposer {
    struct list waiting;                /* kv_requests, oldest first */
    size_t waiting_count, open_count;
    struct proposal ring[PROPOSE_RING_SIZE];
    uint64_t session;                   /* 0: none yet */
    uint64_t next_number, lowest_open;
    uint64_t nonce;                     /* of the opening under way; 0: none */
    int64_t opening_since_ns;
    kv_time last_stamp;
    struct list answered;               /* kv_requests whose done is to be called, in order */
    const struct pending *pending;      /* what need not be repeated; NULL: everything is */
    struct trace *trace;
};

void proposer_init(struct proposer *proposer, kv_time last_stamp, struct trace *trace);
/* Every request must have been answered. */
void proposer_release(struct proposer *proposer);

/* Whether a request is of a kind that is proposed. */
bool proposer_takes(const struct kv_request *request);
/* Takes a request of kind TXN, COMPACT, LEASE_GRANT (leased.id is the id it gets), LEASE_REVOKE or
 * LEASE_KEEP_ALIVE. Its answer may be in the answered list at once. */
void proposer_submit(struct proposer *proposer, struct kv_request *request);
/* Takes it out wherever it is and answers it with CANCELED. */
void proposer_cancel(struct proposer *proposer, struct kv_request *request);

/* Proposes what may be: opens a session first if there is none. wall_ns is this node's clock, for the
 * stamp when this member leads. OK also when nothing could be proposed (no leader, core busy): it is
 * tried again in the next turn. FAULT kinds from the core. */
enum err_code proposer_fill(struct proposer *proposer, struct raft *raft, int64_t now_ns,
                            kv_time wall_ns, uint64_t nonce) MUST_USE;
/* What is open and was sent before that time is proposed again; 0: everything, as after leadership has
 * moved. Not what stands in the leader's log, as far as is known here. What the core refuses is owed to the next
 * call; one that leads repeats nothing else: what its core took is on its way to its log. */
enum err_code proposer_repeat(struct proposer *proposer, struct raft *raft, int64_t now_ns,
                              int64_t before_ns, kv_time wall_ns) MUST_USE;
/* The stamp of the next entry: above every earlier one. */
kv_time proposer_next_stamp(struct proposer *proposer, kv_time wall_ns);

/* An entry of the member itself: of no session, and nobody waits for it. NO_LEADER, BUSY: nothing was
 * proposed. FAULT kinds. */
enum err_code proposer_propose_own(struct proposer *proposer, struct raft *raft,
                                   const struct entry_request *request, kv_time wall_ns) MUST_USE;
/* A copy of a payload that was proposed before, with a stamp of its own. Errors as proposer_propose_own. */
enum err_code proposer_propose_again(struct proposer *proposer, struct raft *raft,
                                     const struct blob *payload, kv_time wall_ns) MUST_USE;

/* Whether somebody here waits for what this entry did: it decides if the full answer is built. */
bool proposer_wants(const struct proposer *proposer, const struct entry *entry);
/* Whether that somebody is the observer's owner, and no guest. */
bool proposer_is_own(const struct proposer *proposer, const struct entry *entry);
/* An entry was applied. Moves the answer (arena included) to whoever waits. */
void proposer_answer(struct proposer *proposer, struct store_result *result);

/* Answers, with the code, whatever has been waiting beyond its deadline: RETRY kinds for what was
 * never proposed, TIMEOUT for what was. Returns the next deadline, or INT64_MAX. */
int64_t proposer_expire(struct proposer *proposer, int64_t now_ns, bool has_leader);
/* Somebody has not been answered. What was proposed and is past its deadline is open, and nobody waits. */
bool proposer_is_waited_for(const struct proposer *proposer);
/* The member stops: answers everything. */
void proposer_fail(struct proposer *proposer, enum err_code code);

/* Puts a request on the answered list. */
void proposer_done(struct proposer *proposer, struct kv_request *request, enum err_code code);

/* Requests whose answer still needs work of this member. */
static inline size_t proposer_busy(const struct proposer *proposer)
{
    return proposer->waiting_count + proposer->open_count;
}

#endif
