/* What the files of the core share, and nobody else includes (tests of single files excepted).
 *
 * There is one way out when memory is exhausted: raft_fail, which leaves through longjmp to the
 * call of the public interface that is under way (guard in raft.c), after which the core is failed
 * and hands nothing out. Hence the rule of these files: whoever allocates does so before he changes
 * anything that has to fit together for raft_free (reserve, then fill, then count).
 */
#ifndef CLUSTER_RAFT_RAFT_INTERNAL_H
#define CLUSTER_RAFT_RAFT_INTERNAL_H

#include <inttypes.h>
#include <setjmp.h>

#include "cluster/raft/raft.h"
#include "proto/base/check.h"
#include "proto/base/mutant.h"
#include "proto/base/rand.h"

/* Read requests that wait for a quorum or for the first commit of a term; more are refused. */
#define RAFT_READS_MAX 4096
#define RAFT_ARENA_CHUNK ((size_t)16384)

static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- outbox.c: what the next ready hands out -------------------------------------------------- */

struct outbox_chunk {
    struct outbox_chunk *next;
    size_t size, used;
    max_align_t data[];
};

/* Memory that is taken piece by piece and given back as a whole; pieces never move. */
struct outbox_arena {
    struct outbox_chunk *first, *current;
};

/* Two of these take turns: one is being filled, the other is what the last ready handed out.
 * Invariant: held has one reference for each blob that anything in here points at. */
struct outbox {
    struct outbox_arena arena;
    struct raft_message *messages, *after;
    size_t message_count, message_capacity, after_count, after_capacity;
    struct raft_read_state *reads;
    size_t read_count, read_capacity;
    struct blob **held;
    size_t held_count, held_capacity;
};

_Noreturn void raft_fail(struct raft *raft);
/* Grows *array, of count elements in use, to hold at least that many more. */
void *raft_grow(struct raft *raft, void *array, size_t *capacity, size_t needed, size_t size);
void *outbox_take(struct raft *raft, size_t size);
/* Gives the end of the newest piece back. */
void outbox_trim(struct raft *raft, void *end);
void outbox_hold(struct raft *raft, struct blob *blob);
/* A copy in the outbox, payloads held. */
struct entry *outbox_entries(struct raft *raft, const struct entry *entries, size_t count);
void outbox_hold_entries(struct raft *raft, const struct entry *entries, size_t count);
struct bytes outbox_bytes(struct raft *raft, struct bytes from);
const struct raft_snapshot *outbox_snapshot(struct raft *raft, const struct raft_snapshot *from);
void outbox_push(struct raft *raft, const struct raft_message *message);
void outbox_push_after(struct raft *raft, const struct raft_message *message);
void outbox_push_read(struct raft *raft, raft_index index, struct blob *context);
void outbox_clear(struct outbox *outbox);
void outbox_release(struct outbox *outbox, struct mem *mem);

/* --- progress.c: what a leader knows of each member ------------------------------------------- */

struct inflight {
    raft_index index;               /* of the last entry in the message */
    uint64_t bytes;
};

/* Appends that were sent and not answered, oldest first; a ring that grows up to the bound.
 * Invariant: indexes do not decrease; bytes is the sum; count <= max_inflight_messages. */
struct inflights {
    struct inflight *ring;
    size_t start, count, capacity;
    uint64_t bytes;
};

/* Invariant: match < next; in SNAPSHOT sent_commit == pending_snapshot == next - 1 at first. */
struct progress {
    raft_id id;
    raft_index match;               /* its log is known to equal ours up to here */
    raft_index next;                /* the next entry to send */
    raft_index sent_commit;         /* the highest commit index sent to it */
    raft_index pending_snapshot;    /* SNAPSHOT: index of the one on its way */
    uint64_t read_acked;            /* newest position of reads that it has confirmed */
    enum raft_progress_state state;
    bool recent_active;             /* heard of since the last check of the quorum */
    bool flow_paused;               /* PROBE: sent one, waits; REPLICATE: window was filled */
    bool learner;
    struct inflights inflights;
};

bool inflights_full(const struct raft *raft, const struct inflights *inflights);
void inflights_add(struct raft *raft, struct inflights *inflights, raft_index index,
                   uint64_t bytes);
void inflights_free_to(struct inflights *inflights, raft_index index);
void inflights_reset(struct inflights *inflights);

void progress_become_probe(struct progress *progress);
void progress_become_replicate(struct progress *progress);
void progress_become_snapshot(struct progress *progress, raft_index index);
void progress_sent_entries(struct raft *raft, struct progress *progress, size_t count,
                           uint64_t bytes);
void progress_sent_commit(struct progress *progress, raft_index commit);
bool progress_can_bump_commit(const struct progress *progress, raft_index commit);
bool progress_maybe_update(struct progress *progress, raft_index index);
bool progress_maybe_decrease(struct progress *progress, raft_index rejected, raft_index hint);
bool progress_is_paused(const struct progress *progress);

/* --- config.c, quorum.c: who counts ----------------------------------------------------------- */

/* The configuration, and a progress for each id in it, ascending. */
struct tracker {
    struct raft_conf_state config;
    size_t count;
    struct progress progress[RAFT_MEMBERS_MAX];
};

enum vote_result { VOTE_PENDING = 1, VOTE_LOST, VOTE_WON };

/* How far one voter has come; 0 when nothing is known of it. */
typedef uint64_t acked_function(const void *context, raft_id id);

/* The highest index that a majority has reached; UINT64_MAX for no voters, so that the minimum over
 * both halves of a joint configuration is right. */
uint64_t quorum_committed(const struct raft_id_set *voters, acked_function *acked,
                          const void *context);
uint64_t quorum_joint_committed(const struct raft_conf_state *config, acked_function *acked,
                                const void *context);
/* No voters: won. */
enum vote_result quorum_vote(const struct raft_id_set *voters, const struct raft_id_set *voted,
                             const struct raft_id_set *granted);
enum vote_result quorum_joint_vote(const struct raft_conf_state *config,
                                   const struct raft_id_set *voted,
                                   const struct raft_id_set *granted);

static inline bool config_is_joint(const struct raft_conf_state *config)
{
    return config->voters_outgoing.count > 0;
}
static inline bool config_has_voter(const struct raft_conf_state *config, raft_id id)
{
    return raft_id_set_contains(&config->voters, id) ||
           raft_id_set_contains(&config->voters_outgoing, id);
}

struct progress *tracker_find(struct tracker *tracker, raft_id id);
/* Each takes a tracker and makes the next one of it, in place; on INVALID (said in err) what is in
 * *tracker is of no use. New members start probing at last_index. */
enum err_code tracker_simple(struct tracker *tracker, raft_index last_index,
                             const struct raft_change *changes, size_t count, struct err *err);
enum err_code tracker_enter_joint(struct tracker *tracker, raft_index last_index, bool auto_leave,
                                  const struct raft_change *changes, size_t count, struct err *err);
enum err_code tracker_leave_joint(struct tracker *tracker, struct err *err);
enum err_code tracker_restore(struct tracker *tracker, raft_index last_index,
                              const struct raft_conf_state *state, struct err *err);
enum err_code tracker_check(const struct tracker *tracker, struct err *err);
enum err_code tracker_apply(struct tracker *tracker, raft_index last_index,
                            const struct raft_conf_change *change, struct err *err);

/* --- log.c: stable and unstable entries as one log -------------------------------------------- */

/* unstable[i] is the entry at offset + i, with a reference held. offset may be below the end of
 * what is stored: the next write cuts that off.
 * Invariants: offset <= in_progress <= offset + count; applied <= applying <= committed <= last
 * index. A snapshot here is newer than anything stored; entries follow directly upon it. */
struct raft_log {
    struct raft_log_view *view;
    struct entry *unstable;
    size_t start, count, capacity;      /* the array is used from start on */
    raft_index offset;
    raft_index in_progress;             /* entries before it are being written */
    bool has_snapshot, snapshot_in_progress;
    struct raft_snapshot snapshot;

    raft_index committed, applying, applied;
    uint64_t applying_size, applying_size_max;
    bool applying_paused;               /* enough is being applied; wait for an answer */
};

struct entry_mark {
    raft_term term;
    raft_index index;
};

uint64_t raft_entry_size(const struct entry *entry);         /* as raftpb encodes it */
uint64_t raft_entries_size(const struct entry *entries, size_t count);
uint64_t raft_payloads_size(const struct entry *entries, size_t count);

raft_index raft_log_first_index(const struct raft_log *log);
raft_index raft_log_last_index(const struct raft_log *log);
struct entry_mark raft_log_last(const struct raft_log *log);
enum err_code raft_log_term(const struct raft_log *log, raft_index index, raft_term *ret_term);
/* CHECKs that it is there. */
raft_term raft_log_term_within(const struct raft_log *log, raft_index index);
bool raft_log_matches(const struct raft_log *log, struct entry_mark mark);
bool raft_log_is_up_to_date(const struct raft_log *log, struct entry_mark theirs);
/* The highest index at or below this one whose term is not above term (or is not known: term 0). */
struct entry_mark raft_log_find_conflict(const struct raft_log *log, raft_index index,
                                         raft_term term);
/* Entries from low on, below high, of at most size_max bytes but at least one, in the outbox. All
 * of them are in the log; none when low is high. */
const struct entry *raft_log_slice(struct raft *raft, raft_index low, raft_index high,
                                   uint64_t size_max, size_t *ret_count);
void raft_log_append(struct raft *raft, const struct entry *entries, size_t count);
/* A follower's append, behind what is committed. False: the entry before does not match. */
bool raft_log_maybe_append(struct raft *raft, const struct raft_message *message,
                           raft_index *ret_last);
void raft_log_commit_to(struct raft_log *log, raft_index index);
void raft_log_applied_to(struct raft_log *log, raft_index index, uint64_t size);
void raft_log_accept_applying(struct raft_log *log, raft_index index, uint64_t size,
                              bool allow_unstable);
void raft_log_stable_to(struct raft_log *log, struct entry_mark mark);
void raft_log_stable_snapshot_to(struct raft_log *log, raft_index index);
void raft_log_restore(struct raft *raft, const struct raft_snapshot *snapshot);
bool raft_log_has_next_committed(const struct raft_log *log, bool allow_unstable);
bool raft_log_has_next_unstable(const struct raft_log *log);
bool raft_log_has_unapplied_conf_change(struct raft *raft);
void raft_log_accept_unstable(struct raft_log *log);
void raft_log_release(struct raft_log *log, struct mem *mem);

/* --- read.c: reads that wait ------------------------------------------------------------------ */

struct read_request {
    raft_id from;                   /* RAFT_NOBODY or this member: answered by a read state */
    raft_index index;
    struct blob *context;
};

/* A queue of at most RAFT_READS_MAX, with a reference on each context. */
struct read_queue {
    struct read_request *requests;
    size_t count, capacity;
};

void raft_read_request_step(struct raft *raft, const struct raft_message *message);
void raft_read_acknowledge(struct raft *raft, struct progress *progress, struct bytes context);
void raft_read_release_pending(struct raft *raft);
bool raft_read_is_full(const struct raft *raft);
void raft_read_reset(struct raft *raft);
void raft_read_release(struct raft *raft);
/* What a heartbeat carries to confirm all reads that wait; nothing when there are none. */
struct bytes raft_read_heartbeat_context(struct raft *raft);

/* --- the core --------------------------------------------------------------------------------- */

enum campaign { CAMPAIGN_PRE_ELECTION, CAMPAIGN_ELECTION, CAMPAIGN_TRANSFER };

struct raft {
    struct raft_config config;
    raft_term term;
    raft_id vote;
    raft_id leader;
    enum raft_role role;
    struct raft_log log;
    struct tracker tracker;
    struct raft_id_set voted, granted;      /* in the campaign under way */
    struct raft_id_set required;            /* acknowledgements needed besides the majority */

    raft_id transferee;                     /* thesis 3.10 */
    raft_index pending_conf_index;          /* >= the index of the newest change not yet applied */
    uint64_t uncommitted_size;              /* payload bytes; a leader's estimate */

    struct read_queue reads;                /* wait for a quorum; first is reads_confirmed + 1 */
    struct read_queue pending_reads;        /* wait for the first commit of the term */
    uint64_t reads_confirmed;

    uint32_t election_elapsed, heartbeat_elapsed, randomized_timeout;
    struct rand rand;

    struct outbox outboxes[2];
    struct outbox *filling;                 /* one of them */
    struct raft_soft_state last_soft;       /* as last handed out */
    struct hard_state last_hard;
    bool ready_open;                        /* SYNC: handed out, not yet advanced */
    const struct raft_message *steps;       /* SYNC: what raft_advance steps */
    size_t step_count;

    bool failed;
    jmp_buf escape;
};

static inline bool is_local_thread(raft_id id)
{
    return id == RAFT_APPEND_THREAD || id == RAFT_APPLY_THREAD;
}
static inline struct hard_state raft_hard_state(const struct raft *raft)
{
    return (struct hard_state){raft->term, raft->vote, raft->log.committed};
}
static inline struct raft_soft_state raft_soft_state(const struct raft *raft)
{
    return (struct raft_soft_state){raft->leader, raft->role};
}

/* message.c */
bool raft_message_is_proposal(const struct raft_message *message);
bool raft_message_may_be_own(enum raft_message_type type);
/* Whether a correct peer could have sent it. */
bool raft_message_is_sound(const struct raft_message *message);

/* raft.c */
typedef enum err_code guarded_function(struct raft *raft, const void *argument);
/* Calls it so that raft_fail comes back to here. */
enum err_code raft_guard(struct raft *raft, guarded_function *function, const void *argument);
enum err_code raft_step_local(struct raft *raft, const struct raft_message *message);
void raft_send(struct raft *raft, struct raft_message message);
void raft_applied_to(struct raft *raft, raft_index index, uint64_t size);
struct progress *raft_progress(struct raft *raft, raft_id id);

/* role.c */
void raft_become_follower(struct raft *raft, raft_term term, raft_id leader);
void raft_become_pre_candidate(struct raft *raft);
void raft_become_candidate(struct raft *raft);
void raft_become_leader(struct raft *raft);
void raft_draw_timeout(struct raft *raft);

/* election.c */
bool raft_promotable(struct raft *raft);
void raft_hup(struct raft *raft, enum campaign campaign);
void raft_campaign_as(struct raft *raft, enum campaign campaign);
void raft_step_vote(struct raft *raft, const struct raft_message *message);
void raft_step_vote_response(struct raft *raft, const struct raft_message *message);
/* With what is committed, if commit_in_votes. */
void raft_send_vote_response(struct raft *raft, struct raft_message response);
void raft_learn_commit(struct raft *raft, const struct raft_message *response);
bool raft_ignores_vote(const struct raft *raft, const struct raft_message *message);
void raft_check_quorum(struct raft *raft);
void raft_step_transfer(struct raft *raft, struct progress *progress);
void raft_send_timeout_now(struct raft *raft, raft_id to);

/* replicate.c */
bool raft_append(struct raft *raft, struct entry *entries, size_t count);
enum err_code raft_step_propose(struct raft *raft, const struct raft_message *message);
void raft_broadcast_append(struct raft *raft);
void raft_broadcast_heartbeat(struct raft *raft);
bool raft_maybe_send_append(struct raft *raft, struct progress *progress, bool if_empty);
bool raft_maybe_commit(struct raft *raft);
void raft_step_append(struct raft *raft, const struct raft_message *message);
enum err_code raft_step_append_response(struct raft *raft, struct progress *progress,
                               const struct raft_message *message);
enum err_code raft_step_heartbeat(struct raft *raft, const struct raft_message *message);
void raft_step_heartbeat_response(struct raft *raft, struct progress *progress,
                                  const struct raft_message *message);
void raft_step_unreachable(struct raft *raft, struct progress *progress);
void raft_reduce_uncommitted(struct raft *raft, uint64_t size);

/* snapshot.c */
bool raft_maybe_send_snapshot(struct raft *raft, struct progress *progress);
enum err_code raft_step_snapshot(struct raft *raft, const struct raft_message *message);
void raft_step_snapshot_status(struct raft *raft, struct progress *progress, bool failed);

/* config.c */
void raft_switch_to(struct raft *raft, const struct tracker *tracker);

#endif
