/* One member: its life, the switch that says what a message does to it (by term, by type, by role),
 * and the calls that others make. */
#include "cluster/raft/raft_internal.h"

/* --- life ------------------------------------------------------------------------------------- */

static enum err_code check_config(const struct raft_config *config, struct err *err)
{
    if (config->id == RAFT_NOBODY || is_local_thread(config->id))
        return err_set(err, ERR_INVALID, "no member can have this id");
    if (config->heartbeat_tick == 0)
        return err_set(err, ERR_INVALID, "heartbeat tick must be greater than 0");
    if (config->election_tick <= config->heartbeat_tick)
        return err_set(err, ERR_INVALID, "election tick must be greater than heartbeat tick");
    if (config->max_inflight_messages == 0)
        return err_set(err, ERR_INVALID, "max inflight messages must be greater than 0");
    if (config->max_inflight_bytes != 0 &&
        config->max_inflight_bytes < config->max_size_per_message)
        return err_set(err, ERR_INVALID, "max inflight bytes must be >= max message size");
    if (config->read_only == RAFT_READ_LEASE_BASED && !config->check_quorum)
        return err_set(err, ERR_INVALID, "lease based reads need check quorum");
    return ERR_OK;
}

static void init_log(struct raft_log *log, const struct raft_config *config)
{
    raft_index last = config->log->last_index(config->log);
    log->view = config->log;
    log->offset = log->in_progress = last + 1;
    log->committed = log->applying = log->applied = config->log->first_index(config->log) - 1;
    log->applying_size_max = config->max_committed_size_per_ready
                                 ? config->max_committed_size_per_ready
                                 : config->max_size_per_message;
    /* With 0, as with 1, entries are applied one at a time. */
    log->applying_size_max = max_u64(log->applying_size_max, 1);
}

static enum err_code load_state(struct raft *raft, const struct hard_state *hard, struct err *err)
{
    struct raft_log *log = &raft->log;
    if (!hard_state_is_empty(hard)) {
        if (hard->commit < log->committed || hard->commit > raft_log_last_index(log))
            return err_set(err, ERR_INVALID,
                           "stored commit %" PRIu64 " is out of range [%" PRIu64 ", %" PRIu64 "]",
                           hard->commit, log->committed, raft_log_last_index(log));
        log->committed = hard->commit;
        raft->term = hard->term;
        raft->vote = hard->vote;
    }
    if (raft->config.applied == 0)
        return ERR_OK;
    if (raft->config.applied < log->applied || raft->config.applied > log->committed)
        return err_set(err, ERR_INVALID,
                       "applied %" PRIu64 " is out of range [%" PRIu64 ", %" PRIu64 "]",
                       raft->config.applied, log->applied, log->committed);
    raft_log_applied_to(log, raft->config.applied, 0);
    return ERR_OK;
}

static enum err_code load(struct raft *raft, struct err *err)
{
    struct hard_state hard = {0};
    struct raft_conf_state state = {0};
    init_log(&raft->log, &raft->config);
    raft->config.log->initial_state(raft->config.log, &hard, &state);
    enum err_code code =
        tracker_restore(&raft->tracker, raft_log_last_index(&raft->log), &state, err);
    return code ? code : load_state(raft, &hard, err);
}

enum err_code raft_new(const struct raft_config *config, struct raft **ret_raft, struct err *err)
{
    enum err_code code = check_config(config, err);
    if (code)
        return code;
    struct raft *raft = mem_zalloc(config->mem, sizeof(*raft));
    if (!raft)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    raft->config = *config;
    raft->filling = &raft->outboxes[0];
    rand_init(&raft->rand, config->seed);
    code = load(raft, err);
    if (code) {
        raft_free(raft);
        return code;
    }
    raft_become_follower(raft, raft->term, RAFT_NOBODY);
    raft->last_soft = raft_soft_state(raft);
    raft->last_hard = raft_hard_state(raft);
    *ret_raft = raft;
    return ERR_OK;
}

void raft_free(struct raft *raft)
{
    if (!raft)
        return;
    struct mem *mem = raft->config.mem;
    raft_read_release(raft);
    raft_log_release(&raft->log, mem);
    for (size_t i = 0; i < raft->tracker.count; i++)
        mem_free(mem, raft->tracker.progress[i].inflights.ring);
    outbox_release(&raft->outboxes[0], mem);
    outbox_release(&raft->outboxes[1], mem);
    mem_free(mem, raft);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool is_vote(enum raft_message_type type)
{
    return type == RAFT_MSG_VOTE || type == RAFT_MSG_VOTE_RESP || type == RAFT_MSG_PRE_VOTE ||
           type == RAFT_MSG_PRE_VOTE_RESP;
}

/* Rejections wait for the write too: they may rest on a vote or on entries not yet durable. So does
 * a request for votes: it says how long the log is, and a vote for it must not reach a candidate
 * that has crashed, lost the end of its log and its term, and stands in the same term again. */
static bool waits_for_write(const struct raft *raft, const struct raft_message *message)
{
    enum raft_message_type type = message->type;
    if (MUTANT(VOTE_BEFORE_FLUSH) && type == RAFT_MSG_VOTE_RESP && message->to != raft->config.id)
        return false;
    if (MUTANT(ACK_BEFORE_FLUSH) && type == RAFT_MSG_APP_RESP && message->to != raft->config.id)
        return false;
    return type == RAFT_MSG_APP_RESP || type == RAFT_MSG_VOTE_RESP ||
           type == RAFT_MSG_PRE_VOTE_RESP ||
           (type == RAFT_MSG_VOTE && !raft->config.eager_vote_requests);
}

/* Forwarded requests carry no term: they are the leader's own affair, whoever it is by then. */
static bool has_no_term(enum raft_message_type type)
{
    return type == RAFT_MSG_PROP || type == RAFT_MSG_READ_INDEX;
}

void raft_send(struct raft *raft, struct raft_message message)
{
    if (message.from == RAFT_NOBODY)
        message.from = raft->config.id;
    CHECK(is_vote(message.type) == (message.term != 0));
    if (!is_vote(message.type) && !has_no_term(message.type))
        message.term = raft->term;
    if (waits_for_write(raft, &message)) {
        outbox_push_after(raft, &message);
    } else {
        CHECK(message.to != raft->config.id);
        outbox_push(raft, &message);
    }
}

struct progress *raft_progress(struct raft *raft, raft_id id)
{
    return tracker_find(&raft->tracker, id);
}

static void forward(struct raft *raft, const struct raft_message *message)
{
    raft_send(raft, (struct raft_message){
                        .type = message->type,
                        .to = raft->leader,
                        .from = message->from,
                        .entries = outbox_entries(raft, message->entries, message->entry_count),
                        .entry_count = message->entry_count,
                    });
}

/* --- stepping --------------------------------------------------------------------------------- */

/* A joint configuration that is to be left by itself is left by the leader as soon as all of it is
 * applied. The proposal may be refused while leadership is handed over; it is tried again with each
 * later entry, or by the next leader. */
void raft_applied_to(struct raft *raft, raft_index index, uint64_t size)
{
    index = max_u64(index, raft->log.applied);
    raft_log_applied_to(&raft->log, index, size);
    if (!raft->tracker.config.auto_leave || index < raft->pending_conf_index ||
        raft->role != RAFT_LEADER)
        return;
    struct entry leave = {.type = ENTRY_CONF_CHANGE_V2};
    struct raft_message proposal = {.type = RAFT_MSG_PROP, .entries = &leave, .entry_count = 1};
    enum err_code code = raft_step_propose(raft, &proposal);
    TRACE(raft->config.trace, "raft id=%" PRIu64 " leaves the joint configuration: %s",
          raft->config.id, err_name(code));
}

static void applied_snapshot(struct raft *raft, const struct raft_snapshot *snapshot)
{
    raft_log_stable_snapshot_to(&raft->log, snapshot->mark.index);
    raft_applied_to(raft, snapshot->mark.index, 0);
}

static void step_storage_append_response(struct raft *raft, const struct raft_message *message)
{
    if (message->index != 0)
        raft_log_stable_to(&raft->log, (struct entry_mark){message->log_term, message->index});
    if (message->snapshot)
        applied_snapshot(raft, message->snapshot);
}

static void step_storage_apply_response(struct raft *raft, const struct raft_message *message)
{
    CHECK(message->entry_count > 0);
    raft_applied_to(raft, message->entries[message->entry_count - 1].index,
                    raft_entries_size(message->entries, message->entry_count));
    raft_reduce_uncommitted(raft, raft_payloads_size(message->entries, message->entry_count));
}

static bool from_leader(enum raft_message_type type)
{
    return type == RAFT_MSG_APP || type == RAFT_MSG_HEARTBEAT || type == RAFT_MSG_SNAP;
}

/* False: the message is not considered further. */
static bool step_higher_term(struct raft *raft, const struct raft_message *message)
{
    bool asks = message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_PRE_VOTE;
    if (asks && raft_ignores_vote(raft, message))
        return false;
    /* A pre-vote is about a term that nobody is in yet. A granted one answers with that term; a
     * rejected one with the term of a member that is ahead of us. */
    if (message->type == RAFT_MSG_PRE_VOTE ||
        (message->type == RAFT_MSG_PRE_VOTE_RESP && !message->reject))
        return true;
    raft_become_follower(raft, message->term,
                         from_leader(message->type) ? message->from : RAFT_NOBODY);
    return true;
}

static void step_lower_term(struct raft *raft, const struct raft_message *message)
{
    bool sticky = raft->config.check_quorum || raft->config.pre_vote;
    if (sticky && (message->type == RAFT_MSG_HEARTBEAT || message->type == RAFT_MSG_APP)) {
        /* We may have raised our term while cut off. Requests for votes of such a term are ignored
         * by members with a leader, so this answer is how the leader learns of it. */
        raft_send(raft, (struct raft_message){.type = RAFT_MSG_APP_RESP, .to = message->from});
    } else if (message->type == RAFT_MSG_PRE_VOTE) {
        /* Without an answer a cluster could stand still in which the member with the longest log
         * is in an earlier term. */
        raft_send_vote_response(raft, (struct raft_message){
                                          .type = RAFT_MSG_PRE_VOTE_RESP,
                                          .to = message->from,
                                          .term = raft->term,
                                          .reject = true,
                                      });
    } else if (message->type == RAFT_MSG_STORAGE_APPEND_RESP && message->snapshot) {
        /* Entries may have been replaced since; a snapshot holds committed state in any term. */
        applied_snapshot(raft, message->snapshot);
    }
}

static enum err_code step_leader_about(struct raft *raft, const struct raft_message *message)
{
    struct progress *progress = raft_progress(raft, message->from);
    if (!progress)
        return ERR_OK;
    switch (message->type) {
    case RAFT_MSG_APP_RESP:
        return raft_step_append_response(raft, progress, message);
    case RAFT_MSG_HEARTBEAT_RESP:
        raft_step_heartbeat_response(raft, progress, message);
        break;
    case RAFT_MSG_SNAP_STATUS:
        raft_step_snapshot_status(raft, progress, message->reject);
        break;
    case RAFT_MSG_UNREACHABLE:
        raft_step_unreachable(raft, progress);
        break;
    case RAFT_MSG_TRANSFER_LEADER:
        raft_step_transfer(raft, progress);
        break;
    default:
        break;
    }
    return ERR_OK;
}

static enum err_code step_leader(struct raft *raft, const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_BEAT:
        raft_broadcast_heartbeat(raft);
        return ERR_OK;
    case RAFT_MSG_CHECK_QUORUM:
        raft_check_quorum(raft);
        return ERR_OK;
    case RAFT_MSG_PROP:
        return raft_step_propose(raft, message);
    case RAFT_MSG_READ_INDEX:
        raft_read_request_step(raft, message);
        return ERR_OK;
    default:
        return step_leader_about(raft, message);
    }
}

static enum err_code step_from_leader(struct raft *raft, const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MSG_APP:
        raft_step_append(raft, message);
        return ERR_OK;
    case RAFT_MSG_HEARTBEAT:
        return raft_step_heartbeat(raft, message);
    default:
        return raft_step_snapshot(raft, message);
    }
}

static enum err_code step_candidate(struct raft *raft, const struct raft_message *message)
{
    enum raft_message_type awaited =
        raft->role == RAFT_PRE_CANDIDATE ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP;
    if (from_leader(message->type)) {
        raft_become_follower(raft, message->term, message->from);
        return step_from_leader(raft, message);
    }
    if (message->type == RAFT_MSG_PROP)
        return ERR_NO_LEADER;
    if (message->type == awaited)
        raft_step_vote_response(raft, message);
    return ERR_OK;
}

static void step_forget_leader(struct raft *raft)
{
    /* The lease that reads rely on counts from the time at which a leader was last heard of. */
    if (raft->config.read_only != RAFT_READ_LEASE_BASED)
        raft->leader = RAFT_NOBODY;
}

static enum err_code step_follower(struct raft *raft, const struct raft_message *message)
{
    if (from_leader(message->type)) {
        raft->election_elapsed = 0;
        raft->leader = message->from;
        return step_from_leader(raft, message);
    }
    switch (message->type) {
    case RAFT_MSG_PROP:
        if (raft->leader == RAFT_NOBODY || raft->config.disable_proposal_forwarding)
            return ERR_NO_LEADER;
        forward(raft, message);
        break;
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_READ_INDEX:
        if (raft->leader != RAFT_NOBODY)
            forward(raft, message);
        break;
    case RAFT_MSG_FORGET_LEADER:
        step_forget_leader(raft);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        /* No pre-vote: the leader asks for it, so this is no member that was cut off. */
        raft_hup(raft, CAMPAIGN_TRANSFER);
        break;
    case RAFT_MSG_READ_INDEX_RESP:
        outbox_push_read(raft, message->index, message->entries[0].payload);
        break;
    default:
        break;
    }
    return ERR_OK;
}

enum err_code raft_step_local(struct raft *raft, const struct raft_message *message)
{
    if (message->type == RAFT_MSG_VOTE_RESP || message->type == RAFT_MSG_PRE_VOTE_RESP)
        raft_learn_commit(raft, message);
    if (message->term > raft->term && !step_higher_term(raft, message))
        return ERR_OK;
    bool is_stale = message->term != 0 && message->term < raft->term;
    if (MUTANT(STALE_LEADER_OBEYED) && message->type == RAFT_MSG_APP && raft->role == RAFT_FOLLOWER)
        is_stale = false;
    if (MUTANT(STALE_APPEND_ANSWER) && message->type == RAFT_MSG_STORAGE_APPEND_RESP)
        is_stale = false;
    if (is_stale) {
        step_lower_term(raft, message);
        return ERR_OK;
    }
    switch (message->type) {
    case RAFT_MSG_HUP:
        raft_hup(raft, raft->config.pre_vote ? CAMPAIGN_PRE_ELECTION : CAMPAIGN_ELECTION);
        return ERR_OK;
    case RAFT_MSG_STORAGE_APPEND_RESP:
        step_storage_append_response(raft, message);
        return ERR_OK;
    case RAFT_MSG_STORAGE_APPLY_RESP:
        step_storage_apply_response(raft, message);
        return ERR_OK;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        raft_step_vote(raft, message);
        return ERR_OK;
    default:
        break;
    }
    if (raft->role == RAFT_LEADER)
        return step_leader(raft, message);
    return raft->role == RAFT_FOLLOWER ? step_follower(raft, message)
                                       : step_candidate(raft, message);
}

/* --- the public interface: one way in, one way out -------------------------------------------- */

enum err_code raft_guard(struct raft *raft, guarded_function *function, const void *argument)
{
    if (raft->failed)
        return ERR_NO_MEMORY;
    if (setjmp(raft->escape) != 0)
        return ERR_NO_MEMORY;
    enum err_code code = function(raft, argument);
    VERIFY(raft_validate(raft));
    return code;
}

static enum err_code step_guarded(struct raft *raft, const void *argument)
{
    return raft_step_local(raft, argument);
}

enum err_code raft_step(struct raft *raft, const struct raft_message *message)
{
    bool from_thread = is_local_thread(message->from);
    if (raft_message_is_local(message->type) && !from_thread)
        return ERR_INVALID;
    if (raft_message_is_response(message->type) && !from_thread &&
        !raft_progress(raft, message->from))
        return ERR_NOT_FOUND;
    if (!from_thread && (message->from == RAFT_NOBODY || !raft_message_is_sound(message)))
        return ERR_INVALID;
    if (message->from == raft->config.id && !raft_message_may_be_own(message->type))
        return ERR_INVALID;
    return raft_guard(raft, step_guarded, message);
}

static enum err_code step_type(struct raft *raft, enum raft_message_type type)
{
    return raft_step_local(raft, &(struct raft_message){.type = type, .from = raft->config.id});
}

static enum err_code tick_leader(struct raft *raft)
{
    enum err_code code = ERR_OK;
    raft->heartbeat_elapsed++;
    if (raft->election_elapsed >= raft->config.election_tick) {
        raft->election_elapsed = 0;
        if (raft->config.check_quorum)
            code = step_type(raft, RAFT_MSG_CHECK_QUORUM);
        raft->transferee = RAFT_NOBODY; /* it took too long: go on leading */
    }
    if (raft->role != RAFT_LEADER || raft->heartbeat_elapsed < raft->config.heartbeat_tick)
        return code;
    raft->heartbeat_elapsed = 0;
    return step_type(raft, RAFT_MSG_BEAT);
}

static enum err_code tick_guarded(struct raft *raft, const void *argument)
{
    (void)argument;
    raft->election_elapsed++;
    if (raft->role == RAFT_LEADER)
        return tick_leader(raft);
    if (!raft_promotable(raft) || raft->election_elapsed < raft->randomized_timeout)
        return ERR_OK;
    raft->election_elapsed = 0;
    return step_type(raft, RAFT_MSG_HUP);
}

enum err_code raft_tick(struct raft *raft)
{
    return raft_guard(raft, tick_guarded, NULL);
}

enum err_code raft_campaign(struct raft *raft)
{
    return raft_guard(raft, step_guarded, &(struct raft_message){.type = RAFT_MSG_HUP});
}

enum err_code raft_propose(struct raft *raft, const struct entry *entries, size_t count)
{
    struct raft_message message = {
        .type = RAFT_MSG_PROP,
        .from = raft->config.id,
        .entries = entries,
        .entry_count = count,
    };
    if (!raft_message_is_proposal(&message))
        return ERR_INVALID;
    return raft_guard(raft, step_guarded, &message);
}

enum err_code raft_propose_conf_change(struct raft *raft, const struct raft_conf_change *change,
                                       bool v1)
{
    struct buf buf = {0};
    enum err_code code = raft_conf_change_encode(change, v1, &buf);
    if (code)
        return code;
    struct entry entry = {
        .type = v1 ? ENTRY_CONF_CHANGE : ENTRY_CONF_CHANGE_V2,
        .payload = blob_copy(buf_bytes(&buf)),
    };
    buf_release(&buf);
    code = raft_propose(raft, &entry, 1);
    blob_unref(entry.payload);
    return code;
}

static enum err_code switch_guarded(struct raft *raft, const void *argument)
{
    raft_switch_to(raft, argument);
    return ERR_OK;
}

enum err_code raft_apply_conf_change(struct raft *raft, const struct raft_conf_change *change,
                                     struct raft_conf_state *ret_state, struct err *err)
{
    struct tracker tracker = raft->tracker;
    enum err_code code = tracker_apply(&tracker, raft_log_last_index(&raft->log), change, err);
    if (code == ERR_OK)
        code = raft_guard(raft, switch_guarded, &tracker);
    if (ret_state)
        *ret_state = raft->tracker.config;
    return code;
}

enum err_code raft_restore_configuration(struct raft *raft, const struct raft_conf_state *state,
                                         struct err *err)
{
    struct tracker tracker = {0};
    CHECK(raft->role != RAFT_LEADER);
    enum err_code code = tracker_restore(&tracker, raft_log_last_index(&raft->log), state, err);
    return code == ERR_OK ? raft_guard(raft, switch_guarded, &tracker) : code;
}

enum err_code raft_read_index(struct raft *raft, struct blob *context)
{
    struct entry entry = {.payload = context};
    if (raft_read_is_full(raft))
        return ERR_BUSY;
    return raft_guard(
        raft, step_guarded,
        &(struct raft_message){.type = RAFT_MSG_READ_INDEX, .entries = &entry, .entry_count = 1});
}

enum err_code raft_transfer_leader(struct raft *raft, raft_id transferee)
{
    return raft_guard(raft, step_guarded,
                      &(struct raft_message){.type = RAFT_MSG_TRANSFER_LEADER, .from = transferee});
}

static enum err_code step_down_guarded(struct raft *raft, const void *argument)
{
    (void)argument;
    if (raft->role == RAFT_LEADER)
        raft_become_follower(raft, raft->term, RAFT_NOBODY);
    return ERR_OK;
}

enum err_code raft_step_down(struct raft *raft)
{
    return raft_guard(raft, step_down_guarded, NULL);
}

enum err_code raft_forget_leader(struct raft *raft)
{
    return raft_guard(raft, step_guarded, &(struct raft_message){.type = RAFT_MSG_FORGET_LEADER});
}

enum err_code raft_report_unreachable(struct raft *raft, raft_id peer)
{
    return raft_guard(raft, step_guarded,
                      &(struct raft_message){.type = RAFT_MSG_UNREACHABLE, .from = peer});
}

enum err_code raft_report_snapshot(struct raft *raft, raft_id peer, bool failed)
{
    return raft_guard(
        raft, step_guarded,
        &(struct raft_message){.type = RAFT_MSG_SNAP_STATUS, .from = peer, .reject = failed});
}

static enum err_code required_guarded(struct raft *raft, const void *argument)
{
    raft->required = *(const struct raft_id_set *)argument;
    if (raft->role == RAFT_LEADER && raft_maybe_commit(raft)) {
        raft_read_release_pending(raft);
        raft_broadcast_append(raft);
    }
    return ERR_OK;
}

enum err_code raft_set_required(struct raft *raft, const struct raft_id_set *ids)
{
    return raft_guard(raft, required_guarded, ids);
}
