/* The raft core: one member's part in agreeing on a log, as a pure state machine.
 *
 * It behaves as etcd-io/raft does, message for message, but for one: a request for votes waits for
 * its own write (why: raft_config.eager_vote_requests, which gives etcd's order back). It never does
 * I/O, never reads a clock (raft_tick is its time) and draws chance only from its seed.
 *
 *     raft_step, raft_tick, raft_propose ...        what happened
 *             |
 *     raft_has_ready -> raft_ready                  what must happen now, and what waits for what
 *             |
 *     raft_advance, or the answers of storage       it has happened
 *
 * Two ways to close a ready, chosen for life by raft_config.async_storage_writes:
 *
 * SYNC. Handle a ready like this, in this order, then call raft_advance, then the next raft_ready:
 *   1. messages            may leave at once, and in parallel with 2 (a leader's appends)
 *   2. snapshot, then entries and hard_state: keep them; flush if must_sync, a snapshot always
 *   3. messages_after      may leave only when 2 is durable (votes, append answers)
 *   4. committed           apply them (some may have become durable just now, by 2)
 *
 * ASYNC. raft_ready may be called again at once; raft_advance never. Among messages two are for
 * local threads, and they are the only way that entries, hard state and committed entries reach
 * storage (the ready's entries, hard_state, snapshot and committed show the same, for printing):
 *   - to RAFT_APPEND_THREAD, type RAFT_MSG_STORAGE_APPEND. Do, in the order in which these
 *     messages came: if snapshot, install it; if entry_count, write the entries, of which the first
 *     cuts off everything stored at its index and above; if one of term, vote, commit is not 0,
 *     {term, vote, commit} is the hard state to write (else leave it alone). If response_count is 0
 *     nothing needs to be flushed, else flush; when all of it is durable AND the log view shows it,
 *     deliver each response in order: `to` is this member: raft_step; else send it to that peer.
 *     Entries must not become visible in the log view before they are durable, nor later than the
 *     responses. Several such messages may share one flush; a response is never dropped and never
 *     overtakes an earlier one.
 *   - to RAFT_APPLY_THREAD, type RAFT_MSG_STORAGE_APPLY. Apply its entries, in order (for
 *     configuration changes call raft_apply_conf_change on the core's thread before its responses
 *     are stepped), then raft_step its one response. Nothing needs to be durable for that. The
 *     entries are committed and already durable in the local log: the core holds back what is not.
 * The two threads do not wait for each other, but a snapshot is installed only when the apply work
 * that was handed out before it is done, or in its place (its answer is then stepped too). While an
 * append is under way the core keeps the entries itself and goes on; an append's answer counts only
 * if the term has not changed since, otherwise a later one covers it.
 *
 * Invariants (etcd's I1, I2): an answer that promises term, vote or entries, and a request for
 * votes, stands among messages_after or responses and never among messages; a leader counts itself,
 * for votes and for entries, only by such a message to itself; committed <= last index; applied <=
 * applying <= committed; term and committed never go back. raft_validate checks what can be
 * checked.
 *
 * Ownership.
 *   - What goes in (messages, entries, contexts) is borrowed for the call. The core takes
 *     references of its own on the payload blobs that it keeps. Entries need no index or term when
 *     proposed.
 *   - What comes out of raft_ready belongs to the core and lives until the next raft_ready (async),
 *     until raft_advance returns (sync), or raft_free. Whoever needs a message longer clones it
 *     (raft_message_clone: one block, blobs shared). Handing a response of such a message to
 *     raft_step before the next raft_ready needs no clone.
 *   - Memory comes from raft_config.mem alone (payload blobs excepted: they are shared with log and
 *     network and abort when there is no memory). In the steady state nothing is allocated: arrays
 *     keep the size they once had.
 *   - A failed allocation makes the core failed: that call and every later fallible one returns
 *     ERR_NO_MEMORY, raft_has_ready says no, and nothing that was half done leaves. The member
 *     stops and restarts from what it has kept, as after a crash. raft_free and raft_validate still
 *     work.
 *
 * Threads: all calls from one thread at a time, and so all calls of the log view.
 */
#ifndef CLUSTER_RAFT_RAFT_H
#define CLUSTER_RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/entry.h"
#include "proto/base/err.h"
#include "proto/base/mem.h"
#include "proto/base/trace.h"

#define RAFT_NOBODY ((raft_id)0)
#define RAFT_APPEND_THREAD ((raft_id)UINT64_MAX)
#define RAFT_APPLY_THREAD ((raft_id)(UINT64_MAX - 1))
#define RAFT_NO_LIMIT UINT64_MAX

#define RAFT_MEMBERS_MAX 64     /* voters (both halves) and learners; the size of each set */
#define RAFT_CHANGES_MAX 64     /* single changes in one configuration change */
#define RAFT_FETCH_MAX 64       /* entries that the log view is asked for at a time */

/* --- configurations --------------------------------------------------------------------------- */

/* Ascending, no id twice, none of them 0. */
struct raft_id_set {
    size_t count;
    raft_id ids[RAFT_MEMBERS_MAX];
};

bool raft_id_set_contains(const struct raft_id_set *set, raft_id id);
/* False when the set is full; adding what is there is fine. */
bool raft_id_set_add(struct raft_id_set *set, raft_id id) MUST_USE;
void raft_id_set_remove(struct raft_id_set *set, raft_id id);

/* Who votes and who listens: raftpb.ConfState. While voters_outgoing is not empty the configuration
 * is joint: decisions need a majority of voters and one of voters_outgoing.
 * Invariants: no learner is a voter of either half; learners_next is within voters_outgoing (they
 * become learners when the joint configuration is left); auto_leave only when joint. */
struct raft_conf_state {
    struct raft_id_set voters, voters_outgoing, learners, learners_next;
    bool auto_leave;
};

/* Appends the protobuf form (raftpb.ConfState): what a snapshot mark's configuration holds. */
void raft_conf_state_encode(const struct raft_conf_state *state, struct buf *buf);
/* Empty bytes are the empty configuration. CORRUPT: malformed, an id 0 or twice, or over
 * RAFT_MEMBERS_MAX; *ret_state is then untouched. Unknown fields are passed over. */
enum err_code raft_conf_state_decode(struct bytes from, struct raft_conf_state *ret_state) MUST_USE;
bool raft_conf_state_equal(const struct raft_conf_state *a, const struct raft_conf_state *b);

enum raft_change_type {         /* values of raftpb.ConfChangeType */
    RAFT_CHANGE_ADD_VOTER = 0,  /* also promotes a learner */
    RAFT_CHANGE_REMOVE = 1,
    RAFT_CHANGE_UPDATE = 2,     /* nothing to raft; carries a context through the log */
    RAFT_CHANGE_ADD_LEARNER = 3,/* also demotes a voter */
};

struct raft_change {
    enum raft_change_type type;
    raft_id id;                 /* 0: the change is passed over */
};

enum raft_transition {          /* values of raftpb.ConfChangeTransition */
    RAFT_TRANSITION_AUTO = 0,           /* simple if it is one change, else JOINT_IMPLICIT */
    RAFT_TRANSITION_JOINT_IMPLICIT = 1, /* joint, left by itself */
    RAFT_TRANSITION_JOINT_EXPLICIT = 2, /* joint, left by a change without changes */
};

/* What a configuration entry carries. No changes and transition AUTO: leave the joint one. */
struct raft_conf_change {
    enum raft_transition transition;
    size_t count;
    struct raft_change changes[RAFT_CHANGES_MAX];
    struct bytes context;       /* opaque; after a decode it points into the payload */
};

/* Appends raftpb.ConfChangeV2, or raftpb.ConfChange with v1 (which is able to carry exactly one
 * change with transition AUTO: INVALID otherwise, and buf is untouched). */
enum err_code raft_conf_change_encode(const struct raft_conf_change *change, bool v1,
                                      struct buf *buf) MUST_USE;
/* What an entry of type ENTRY_CONF_CHANGE or _V2 says; an empty payload of V2 is "leave".
 * CORRUPT: malformed, unknown type or transition, too many changes. INVALID: another entry type. */
enum err_code raft_conf_change_decode(const struct entry *entry,
                                      struct raft_conf_change *ret_change) MUST_USE;

/* --- messages --------------------------------------------------------------------------------- */

enum raft_message_type {        /* values of raftpb.MessageType */
    RAFT_MSG_HUP,               /* local: campaign */
    RAFT_MSG_BEAT,              /* local: the leader's heartbeat tick */
    RAFT_MSG_PROP,
    RAFT_MSG_APP,
    RAFT_MSG_APP_RESP,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_RESP,
    RAFT_MSG_SNAP,
    RAFT_MSG_HEARTBEAT,
    RAFT_MSG_HEARTBEAT_RESP,
    RAFT_MSG_UNREACHABLE,       /* local */
    RAFT_MSG_SNAP_STATUS,       /* local */
    RAFT_MSG_CHECK_QUORUM,      /* local */
    RAFT_MSG_TRANSFER_LEADER,
    RAFT_MSG_TIMEOUT_NOW,
    RAFT_MSG_READ_INDEX,        /* the request's context is the payload of its one entry */
    RAFT_MSG_READ_INDEX_RESP,
    RAFT_MSG_PRE_VOTE,
    RAFT_MSG_PRE_VOTE_RESP,
    RAFT_MSG_STORAGE_APPEND,    /* these four between core and local threads only */
    RAFT_MSG_STORAGE_APPEND_RESP,
    RAFT_MSG_STORAGE_APPLY,
    RAFT_MSG_STORAGE_APPLY_RESP,
    RAFT_MSG_FORGET_LEADER,
    RAFT_MSG_TYPE_COUNT
};

/* mark.configuration is an encoded raft_conf_state. data is the member's: small state, or what a
 * transfer of tables needs to begin; the core only passes it on. Whoever stores one holds
 * references on both blobs. */
struct raft_snapshot {
    struct snapshot_mark mark;
    struct blob *data;
};

/* raftpb.Message. Which fields a type uses is etcd's affair and the core's; peers carry all. */
struct raft_message {
    enum raft_message_type type;
    bool reject;
    raft_id to, from;
    raft_term term;
    raft_term log_term;
    raft_index index;
    raft_index commit;
    raft_id vote;
    uint64_t reject_hint;
    const struct entry *entries;            /* entry_count of them */
    size_t entry_count;
    const struct raft_snapshot *snapshot;   /* NULL: none */
    struct bytes context;
    const struct raft_message *responses;   /* of storage messages */
    size_t response_count;
};

/* True for types that never come from the network (storage messages included). */
bool raft_message_is_local(enum raft_message_type type);
/* True for types that answer: those from somebody who is not a member are refused. */
bool raft_message_is_response(enum raft_message_type type);
/* A copy in one block (entries, snapshot, context and responses included) with references of its
 * own on every blob; NULL when mem fails. The caller frees it. */
struct raft_message *raft_message_clone(struct mem *mem, const struct raft_message *message);
void raft_message_free(struct mem *mem, struct raft_message *message);      /* NULL is fine */

/* --- the log as the core reads it ------------------------------------------------------------- */

/* What is durable in the local log. The member provides it; it must hold still during a call of the
 * core and may change between calls only by what the core handed out, and by dropping entries from
 * its front (never above applied). Errors: COMPACTED below the first index, FUTURE above the
 * last. */
struct raft_log_view {
    /* Called once, in raft_new. Both are zero for a new member. */
    void (*initial_state)(struct raft_log_view *view, struct hard_state *ret_hard,
                          struct raft_conf_state *ret_configuration);
    /* One past the snapshot's index; 1 in a new log. */
    raft_index (*first_index)(struct raft_log_view *view);
    /* first_index - 1 when there are no entries. */
    raft_index (*last_index)(struct raft_log_view *view);
    /* Also answers for first_index - 1 (the snapshot's term; 0 for index 0). */
    enum err_code (*term)(struct raft_log_view *view, raft_index index, raft_term *ret_term);
    /* Fills entries low .. high-1 (at most RAFT_FETCH_MAX, all within first..last). Payloads are
     * borrowed: the core takes references before the view changes. COMPACTED: low < first_index. */
    enum err_code (*entries)(struct raft_log_view *view, raft_index low, raft_index high,
                             struct entry *ret_entries);
    /* A snapshot to be sent to a member that is behind the log. References are taken for the
     * caller. BUSY: none can be had now, ask again later. Its index is at least first_index-1, and
     * it should be of what is applied now: a new member refuses one from before it was added. */
    enum err_code (*snapshot)(struct raft_log_view *view, struct raft_snapshot *ret_snapshot);
};

/* --- life ------------------------------------------------------------------------------------- */

enum raft_read_only { RAFT_READ_SAFE, RAFT_READ_LEASE_BASED };

struct raft_config {
    raft_id id;                         /* not 0 */
    uint32_t election_tick;             /* > heartbeat_tick; timeouts are drawn from [e, 2e-1] */
    uint32_t heartbeat_tick;            /* > 0 */
    struct raft_log_view *log;
    struct mem *mem;                    /* outlives the core */
    raft_index applied;                 /* at a restart: not handed out again up to here */
    bool async_storage_writes;
    uint64_t max_size_per_message;      /* entry bytes in one append; 0: one entry each */
    uint64_t max_committed_size_per_ready;  /* bytes being applied; 0: max_size_per_message */
    uint64_t max_uncommitted_size;      /* payload bytes of the uncommitted tail; 0: no limit */
    size_t max_inflight_messages;       /* unanswered appends to one peer; > 0 */
    uint64_t max_inflight_bytes;        /* 0: no limit; else >= max_size_per_message */
    bool check_quorum;
    bool pre_vote;
    enum raft_read_only read_only;      /* LEASE_BASED needs check_quorum */
    bool disable_proposal_forwarding;
    bool disable_conf_change_validation;
    bool step_down_on_removal;
    /* Answers about votes carry what the voter knows to be committed (commit, and its term in log_term),
     * and whoever has that entry takes it for committed. A configuration counts from when it is applied,
     * so of those that a change leaves some may not know yet that it is committed, and those who know may
     * have a longer log and be no voters any more: nobody could be elected. Not etcd's; raft-rs has it. */
    bool commit_in_votes;
    /* Requests for votes leave at once, as etcd's do, instead of after the write of term and vote.
     * Only safe where whoever writes first and then sends everything does so anyway: a candidate
     * that crashes before that write may stand in the same term again with a shorter log, and be
     * elected by votes that it was given for the longer one (played through in tests/script/raft/
     * vote_request_too_early.txt). For conformance scripts. */
    bool eager_vote_requests;
    uint64_t seed;                      /* of election timeouts; members need different ones */
    struct trace *trace;                /* may be NULL */
};

struct raft;

/* A follower with what the log view remembers. The config is copied.
 * INVALID: a bound above does not hold, or the stored configuration or hard state does not fit the
 * log (its commit beyond the last index; applied beyond commit or below first_index-1), said in
 * err. NO_MEMORY. */
enum err_code raft_new(const struct raft_config *config, struct raft **ret_raft,
                       struct err *err) MUST_USE;
void raft_free(struct raft *raft);      /* NULL is fine */

/* --- what happened ---------------------------------------------------------------------------- */

/* Every fallible call below also returns NO_MEMORY, see above. */

/* A message from a peer, or an answer from a local thread or to oneself by way of one. The member
 * sees to it that no frame from the network claims to be from a local thread or from this member.
 * OK: also when it was stale or of no use and has been passed over.
 * INVALID: a local message that does not come from a local thread ("cannot step raft local
 *   message"), or a message that no correct peer sends (an entry array that is not dense, a
 *   snapshot whose configuration cannot be read, an append answer beyond our log): it is passed
 *   over.
 * NOT_FOUND: an answer from somebody who is not a member ("cannot step as peer not found").
 * CORRUPT: a leader counts on entries that this member has acknowledged and no longer has: its log
 *   cannot be trusted, the member must stop.
 * NO_LEADER, BUSY: as raft_propose, for a proposal forwarded by a follower. */
enum err_code raft_step(struct raft *raft, const struct raft_message *message) MUST_USE;

/* One tick of the member's timer. */
enum err_code raft_tick(struct raft *raft) MUST_USE;

/* Start an election now (with pre_vote, a pre-vote). Nothing happens when this member leads, may
 * not campaign (learner, removed, snapshot pending), or has unapplied configuration changes. */
enum err_code raft_campaign(struct raft *raft) MUST_USE;

/* Append these entries (type and payload count; index and term are given by the core) or forward
 * them to the leader, all or none. An accepted proposal may still be lost.
 * A configuration change that is refused (one is pending, or it does not fit the current state) is
 * replaced in place by an empty normal entry: its proposer sees at apply that it did not happen.
 * Nothing happened ("raft proposal dropped") when:
 * NO_LEADER: there is none, or this member leads but was removed, or it would have to forward and
 *   disable_proposal_forwarding is set.
 * BUSY: leadership is being transferred, or the uncommitted tail is at max_uncommitted_size.
 * INVALID: count is 0, or a configuration change that cannot be decoded. */
enum err_code raft_propose(struct raft *raft, const struct entry *entries, size_t count) MUST_USE;
/* The same with one configuration change; with v1 in the old form. INVALID also: it cannot be. */
enum err_code raft_propose_conf_change(struct raft *raft, const struct raft_conf_change *change,
                                       bool v1) MUST_USE;

/* To be called when a configuration entry is applied, in log order, with what it decoded to, on
 * every member; *ret_state (may be NULL) is what holds from then on, to be kept with the applied
 * state.
 * INVALID: the change makes no sense here (removes all voters, is simple but changes several, joint
 * twice, leaves when not joint, too many members), said in err; nothing changes, on every member
 * alike, and *ret_state is the unchanged configuration. A change may also be left out when the
 * member refuses it; then the call is left out. */
enum err_code raft_apply_conf_change(struct raft *raft, const struct raft_conf_change *change,
                                     struct raft_conf_state *ret_state, struct err *err) MUST_USE;

/* Ask for an index that, once applied, makes a read linearizable. The answer comes as a read state
 * with the same context, or never (no leader, a lost message, a new leader): repeat with a context
 * never used before. Takes a reference on the context. */
enum err_code raft_read_index(struct raft *raft, struct blob *context) MUST_USE;

/* Ask the leader (this member or another) to hand over to that member. Given up by the leader after
 * one election timeout; proposals are BUSY meanwhile. */
enum err_code raft_transfer_leader(struct raft *raft, raft_id transferee) MUST_USE;
/* A leader gives up in its term, as when its quorum is not heard of: whoever runs it has reason to
 * think that it is late (its loop stalled). Nothing happens in other roles. */
enum err_code raft_step_down(struct raft *raft) MUST_USE;
/* What state is known to hold, all configurations up to its index applied: the state came by another way
 * than a snapshot of the core's, and the entries up to it are passed over. Not of a leader. INVALID: it
 * contradicts itself; nothing has changed. */
enum err_code raft_restore_configuration(struct raft *raft, const struct raft_conf_state *state,
                                         struct err *err) MUST_USE;
/* A follower forgets who leads, so that it may grant pre-votes. Not with LEASE_BASED reads. */
enum err_code raft_forget_leader(struct raft *raft) MUST_USE;
/* The last message to that peer was lost: appends to it go one at a time until it answers. */
enum err_code raft_report_unreachable(struct raft *raft, raft_id peer) MUST_USE;
/* A snapshot sent to that peer has arrived or will not. Must be called in the end for each. */
enum err_code raft_report_snapshot(struct raft *raft, raft_id peer, bool failed) MUST_USE;

/* Ids whose acknowledgement of an entry is needed before it commits, besides the majority; replaces
 * the earlier set (empty at first). What a smaller set sets free commits at once; a larger one
 * takes nothing back. An id that is no member acknowledges nothing, so that commit stands still
 * until the caller takes it out: the caller alone knows when it is no longer needed. */
enum err_code raft_set_required(struct raft *raft, const struct raft_id_set *ids) MUST_USE;

/* --- what must happen ------------------------------------------------------------------------- */

enum raft_role { RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER, RAFT_PRE_CANDIDATE };

struct raft_soft_state {
    raft_id leader;
    enum raft_role role;
};

struct raft_read_state {
    raft_index index;           /* apply up to here, then read */
    struct blob *context;
};

/* Zero, NULL or empty: there is nothing of that kind. See the head for order and life. */
struct raft_ready {
    bool has_soft_state, has_hard_state;
    bool must_sync;                         /* what is kept must be durable before messages_after */
    struct raft_soft_state soft_state;      /* when it changed */
    struct hard_state hard_state;           /* when it changed */
    const struct raft_snapshot *snapshot;   /* to install before the entries */
    const struct entry *entries;            /* to append; the first cuts off what is at its index */
    size_t entry_count;
    const struct entry *committed;          /* to apply */
    size_t committed_count;
    const struct raft_read_state *read_states;
    size_t read_state_count;
    const struct raft_message *messages;    /* async: ends with those to the local threads */
    size_t message_count;
    const struct raft_message *messages_after;  /* sync: to peers, after the flush. async: none */
    size_t messages_after_count;
    const struct raft_message *append, *apply;  /* async: those two among messages, or NULL */
};

bool raft_has_ready(const struct raft *raft);
/* Fills *ret_ready and takes note that it is being handled: nothing in it is handed out again.
 * SYNC: not before the last one was closed by raft_advance (CHECKed). On NO_MEMORY *ret_ready is
 * empty. */
enum err_code raft_ready(struct raft *raft, struct raft_ready *ret_ready) MUST_USE;
/* SYNC only: the last ready has been handled as a whole. */
enum err_code raft_advance(struct raft *raft) MUST_USE;

/* --- looking in ------------------------------------------------------------------------------- */

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };

struct raft_progress_status {
    raft_id id;
    raft_index match, next;
    enum raft_progress_state state;
    raft_index pending_snapshot;
    bool recent_active, paused, learner, inflight_full;
    size_t inflight_count;
};

struct raft_status {
    raft_id id;
    struct hard_state hard_state;
    struct raft_soft_state soft_state;
    raft_index applied;
    raft_index first_index, last_index;
    raft_id transferee;
    struct raft_conf_state configuration;
    size_t progress_count;                  /* only on a leader; ascending by id */
    struct raft_progress_status progress[RAFT_MEMBERS_MAX];
};

void raft_status(const struct raft *raft, struct raft_status *ret_status);
/* The parts that are asked for often. */
raft_id raft_leader(const struct raft *raft);               /* RAFT_NOBODY when unknown */
enum raft_role raft_role(const struct raft *raft);
raft_term raft_current_term(const struct raft *raft);
raft_index raft_committed(const struct raft *raft);
raft_index raft_applied(const struct raft *raft);
void raft_configuration(const struct raft *raft, struct raft_conf_state *ret_state);
/* A leader whose own term has a committed entry: what it applied is current (ReadIndex works). */
bool raft_committed_in_term(const struct raft *raft);

/* CHECKs every invariant of the core. For tests, the simulator and --enable-debug. */
void raft_validate(const struct raft *raft);

/* For tests and scripts: overrides the drawn timeout until the next draw. */
void raft_set_randomized_election_timeout(struct raft *raft, uint32_t ticks);

#endif
