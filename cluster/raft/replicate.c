/* The log from leader to followers: appending, sending, finding where two logs meet, and what is
 * committed. Paper 5.3, 5.4.2.
 *
 * Where logs meet. A follower whose entry at `index` differs answers with a hint: its highest entry
 * at or below that index whose term is not above the leader's there. The leader does the same with
 * the hint's term in its own log. Each round thus steps over a whole term:
 *
 *   index      1 2 3 4 5 6 7 8 9
 *   leader     1 3 3 3 5 5 5 5 5      probes 9; hint is 6, of term 2; the leader has no term <= 2
 *   follower   1 1 1 1 2 2            above index 1, so it probes 1 next, and they meet. */
#include "cluster/raft/raft_internal.h"

/* --- the leader's own log --------------------------------------------------------------------- */

/* An estimate that may be too low, never too high. Empty payloads are never refused: the first
 * entry of a term and the leaving of a joint configuration must get in. */
static bool increase_uncommitted(struct raft *raft, uint64_t size)
{
    uint64_t limit = raft->config.max_uncommitted_size;
    if (raft->uncommitted_size > 0 && size > 0 && limit != 0 &&
        raft->uncommitted_size + size > limit)
        return false;
    raft->uncommitted_size += size;
    return true;
}

void raft_reduce_uncommitted(struct raft *raft, uint64_t size)
{
    raft->uncommitted_size -= min_u64(raft->uncommitted_size, size);
}

/* Gives the entries term and index. False when the uncommitted tail is too large. The leader's own
 * acknowledgement goes the way of all answers: after the write. */
bool raft_append(struct raft *raft, struct entry *entries, size_t count)
{
    raft_index last = raft_log_last_index(&raft->log);
    for (size_t i = 0; i < count; i++) {
        entries[i].term = raft->term;
        entries[i].index = last + 1 + i;
    }
    if (!increase_uncommitted(raft, raft_payloads_size(entries, count)))
        return false;
    raft_log_append(raft, entries, count);
    if (MUTANT(LEADER_COUNTS_EARLY))
        progress_maybe_update(raft_progress(raft, raft->config.id), last + count);
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_APP_RESP, .to = raft->config.id, .index = last + count});
    return true;
}

static bool refuses_change(const struct raft *raft, const struct raft_conf_change *change)
{
    bool joint = config_is_joint(&raft->tracker.config);
    bool leaves = change->count == 0;
    if (raft->config.disable_conf_change_validation)
        return false;
    return (raft->pending_conf_index > raft->log.applied && !MUTANT(CHANGE_WHILE_PENDING)) ||
           joint != leaves;
}

/* A change that is refused becomes an empty entry in place, so that the entries proposed with it
 * keep their order. */
static void check_change(struct raft *raft, struct entry *entry, size_t place)
{
    struct raft_conf_change change;
    if (entry->type == ENTRY_NORMAL)
        return;
    CHECK(raft_conf_change_decode(entry, &change) == ERR_OK);
    if (refuses_change(raft, &change)) {
        TRACE(raft->config.trace, "raft id=%" PRIu64 " refuses a configuration change",
              raft->config.id);
        *entry = (struct entry){.type = ENTRY_NORMAL};
    } else {
        raft->pending_conf_index = raft_log_last_index(&raft->log) + place + 1;
        if (MUTANT(CHANGE_COUNTS_EARLY) && change.count == 1)
            (void)!raft_apply_conf_change(raft, &change, NULL, NULL);
    }
}

enum err_code raft_step_propose(struct raft *raft, const struct raft_message *message)
{
    if (!raft_progress(raft, raft->config.id))
        return ERR_NO_LEADER; /* removed while leading */
    if (raft->transferee != RAFT_NOBODY)
        return ERR_BUSY;
    struct entry *entries = outbox_take(raft, message->entry_count * sizeof(*entries));
    memcpy(entries, message->entries, message->entry_count * sizeof(*entries));
    for (size_t i = 0; i < message->entry_count; i++)
        check_change(raft, &entries[i], i);
    bool accepted = raft_append(raft, entries, message->entry_count);
    outbox_trim(raft, entries);
    if (!accepted)
        return ERR_BUSY;
    raft_broadcast_append(raft);
    return ERR_OK;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* False when nothing was sent. Without if_empty a message without entries is not worth sending. */
bool raft_maybe_send_append(struct raft *raft, struct progress *progress, bool if_empty)
{
    struct raft_log *log = &raft->log;
    raft_term term = 0;
    const struct entry *entries = NULL;
    size_t count = 0;
    if (progress_is_paused(progress))
        return false;
    if (raft_log_term(log, progress->next - 1, &term) != ERR_OK)
        return raft_maybe_send_snapshot(raft, progress);
    /* With a full window still say something now and then: if all of it was lost, the answer to an
     * empty append is what gets us going again. */
    if (progress->state != RAFT_REPLICATE || !inflights_full(raft, &progress->inflights))
        entries = raft_log_slice(raft, progress->next, raft_log_last_index(log) + 1,
                                 raft->config.max_size_per_message, &count);
    if (count == 0 && !if_empty)
        return false;
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_APP,
                        .to = progress->id,
                        .index = progress->next - 1,
                        .log_term = term,
                        .entries = entries,
                        .entry_count = count,
                        .commit = log->committed,
                    });
    progress_sent_entries(raft, progress, count, raft_payloads_size(entries, count));
    progress_sent_commit(progress, log->committed);
    return true;
}

void raft_broadcast_append(struct raft *raft)
{
    for (size_t i = 0; i < raft->tracker.count; i++)
        if (raft->tracker.progress[i].id != raft->config.id)
            raft_maybe_send_append(raft, &raft->tracker.progress[i], true);
}

/* A follower is never told to commit what it is not known to have. */
static void send_heartbeat(struct raft *raft, struct progress *progress, struct bytes context)
{
    raft_index commit = min_u64(progress->match, raft->log.committed);
    if (MUTANT(COMMIT_BEYOND_MATCH))
        commit = min_u64(progress->next - 1, raft->log.committed);
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_HEARTBEAT,
                        .to = progress->id,
                        .commit = commit,
                        .context = context,
                    });
    progress_sent_commit(progress, commit);
}

void raft_broadcast_heartbeat(struct raft *raft)
{
    struct bytes context = raft_read_heartbeat_context(raft);
    for (size_t i = 0; i < raft->tracker.count; i++)
        if (raft->tracker.progress[i].id != raft->config.id)
            send_heartbeat(raft, &raft->tracker.progress[i], context);
}

/* --- the leader hears back -------------------------------------------------------------------- */

static uint64_t match_of(const void *context, raft_id id)
{
    const struct progress *progress = tracker_find((struct tracker *)(uintptr_t)context, id);
    return progress ? progress->match : 0;
}

/* What the majority has, and everyone of the required set. Of an earlier term nothing is committed
 * by count (paper 5.4.2, figure 8). */
bool raft_maybe_commit(struct raft *raft)
{
    uint64_t index = quorum_joint_committed(&raft->tracker.config, match_of, &raft->tracker);
    for (size_t i = 0; i < raft->required.count; i++)
        index = min_u64(index, match_of(&raft->tracker, raft->required.ids[i]));
    if (index <= raft->log.committed)
        return false;
    if (raft_log_term_within(&raft->log, index) != raft->term && !MUTANT(OLD_TERM_BY_COUNT))
        return false;
    raft_log_commit_to(&raft->log, index);
    return true;
}

static void step_rejection(struct raft *raft, struct progress *progress,
                           const struct raft_message *message)
{
    raft_index hint = message->reject_hint;
    if (message->log_term > 0)
        hint = raft_log_find_conflict(&raft->log, hint, message->log_term).index;
    if (!progress_maybe_decrease(progress, message->index, hint))
        return;
    if (progress->state == RAFT_REPLICATE)
        progress_become_probe(progress);
    raft_maybe_send_append(raft, progress, true);
}

static void move_on(struct raft *raft, struct progress *progress, raft_index index)
{
    if (progress->state == RAFT_REPLICATE)
        inflights_free_to(&progress->inflights, index);
    else if (progress->state == RAFT_PROBE)
        progress_become_replicate(progress);
    else if (progress->match + 1 >= raft_log_first_index(&raft->log)) {
        /* Whichever snapshot it was: if the log reaches on from here, it is enough. */
        progress_become_probe(progress);
        progress_become_replicate(progress);
    }
}

enum err_code raft_step_append_response(struct raft *raft, struct progress *progress,
                                        const struct raft_message *message)
{
    raft_id from = progress->id;
    bool self = from == raft->config.id;
    progress->recent_active = true;
    if (message->reject && self)
        return ERR_INVALID;
    if (message->reject) {
        step_rejection(raft, progress, message);
        return ERR_OK;
    }
    if (message->index > raft_log_last_index(&raft->log))
        return ERR_INVALID;
    bool probing = progress->match == message->index && progress->state == RAFT_PROBE;
    if (!progress_maybe_update(progress, message->index) && !probing &&
        !MUTANT(LEADER_COUNTS_EARLY))
        return ERR_OK;
    move_on(raft, progress, message->index);
    if (raft_maybe_commit(raft)) {
        raft_read_release_pending(raft);
        raft_broadcast_append(raft);
    } else if (!self && progress_can_bump_commit(progress, raft->log.committed)) {
        raft_maybe_send_append(raft, progress, true);
    }
    /* The window may have opened by several messages. */
    while (!self && raft_maybe_send_append(raft, progress, false))
        continue;
    if (from == raft->transferee && progress->match == raft_log_last_index(&raft->log))
        raft_send_timeout_now(raft, from);
    return ERR_OK;
}

void raft_step_heartbeat_response(struct raft *raft, struct progress *progress,
                                  const struct raft_message *message)
{
    progress->recent_active = true;
    progress->flow_paused = false;
    /* One that is caught up but being probed gets an empty append too, so that it returns to
     * REPLICATE. */
    if (progress->match < raft_log_last_index(&raft->log) || progress->state == RAFT_PROBE)
        raft_maybe_send_append(raft, progress, true);
    if (raft->config.read_only == RAFT_READ_SAFE)
        raft_read_acknowledge(raft, progress, message->context);
}

void raft_step_unreachable(struct raft *raft, struct progress *progress)
{
    if (progress->state == RAFT_REPLICATE)
        progress_become_probe(progress);
    TRACE(raft->config.trace, "raft id=%" PRIu64 " cannot reach=%" PRIu64, raft->config.id,
          progress->id);
}

/* --- the follower ----------------------------------------------------------------------------- */

static void answer_append(struct raft *raft, raft_id to, raft_index index)
{
    raft_send(raft, (struct raft_message){.type = RAFT_MSG_APP_RESP, .to = to, .index = index});
}

static void reject_append(struct raft *raft, const struct raft_message *message)
{
    raft_index start = min_u64(message->index, raft_log_last_index(&raft->log));
    struct entry_mark hint = raft_log_find_conflict(&raft->log, start, message->log_term);
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_APP_RESP,
                        .to = message->from,
                        .index = message->index,
                        .reject = true,
                        .reject_hint = hint.index,
                        .log_term = hint.term,
                    });
}

void raft_step_append(struct raft *raft, const struct raft_message *message)
{
    raft_index last = 0;
    if (message->index < raft->log.committed)
        answer_append(raft, message->from, raft->log.committed);
    else if (raft_log_maybe_append(raft, message, &last))
        answer_append(raft, message->from, last);
    else
        reject_append(raft, message);
}

enum err_code raft_step_heartbeat(struct raft *raft, const struct raft_message *message)
{
    if (message->commit > raft_log_last_index(&raft->log))
        return ERR_CORRUPT; /* the leader knows that we once had it */
    raft_log_commit_to(&raft->log, message->commit);
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_HEARTBEAT_RESP,
                        .to = message->from,
                        .context = outbox_bytes(raft, message->context),
                    });
    return ERR_OK;
}
