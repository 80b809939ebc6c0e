/* The ready: what has become due since the last one, and which of it waits for which write.
 *
 * In asynchronous mode the work for the two storage threads is put into messages, with the answers
 * that may leave when it is done. The answer to an append says "durable up to our last entry" even
 * when no entry is in it: if the answer to an earlier append was ignored, because the term changed
 * meanwhile, this one covers its entries. */
#include "cluster/raft/raft_internal.h"

/* The leader's own log may be applied before it is flushed only where the member handles one ready
 * as a whole. */
static bool applies_unstable(const struct raft *raft)
{
    return !raft->config.async_storage_writes || MUTANT(APPLY_BEFORE_FLUSH);
}

static bool soft_changed(const struct raft *raft)
{
    return raft->leader != raft->last_soft.leader || raft->role != raft->last_soft.role;
}

static bool hard_changed(const struct raft *raft)
{
    struct hard_state now = raft_hard_state(raft);
    return !hard_state_equal(&now, &raft->last_hard);
}

static bool has_next_snapshot(const struct raft_log *log)
{
    return log->has_snapshot && !log->snapshot_in_progress;
}

bool raft_has_ready(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    const struct outbox *outbox = raft->filling;
    /* A snapshot comes with a later commit, and entries with an answer that waits for them: neither
     * needs looking for. */
    return !raft->failed &&
           (soft_changed(raft) || hard_changed(raft) || outbox->message_count > 0 ||
            outbox->after_count > 0 || outbox->read_count > 0 ||
            raft_log_has_next_committed(log, applies_unstable(raft)));
}

/* --- filling it in ---------------------------------------------------------------------------- */

static void take_states(struct raft *raft, struct raft_ready *ready)
{
    ready->has_soft_state = soft_changed(raft);
    if (ready->has_soft_state)
        ready->soft_state = raft_soft_state(raft);
    ready->has_hard_state = hard_changed(raft);
    if (ready->has_hard_state)
        ready->hard_state = raft_hard_state(raft);
    ready->must_sync = ready->entry_count > 0 || raft->term != raft->last_hard.term ||
                       raft->vote != raft->last_hard.vote;
}

static void take_entries(struct raft *raft, struct raft_ready *ready)
{
    struct raft_log *log = &raft->log;
    size_t in_progress = (size_t)(log->in_progress - log->offset);
    ready->entry_count = log->count - in_progress;
    if (ready->entry_count > 0)
        ready->entries =
            outbox_entries(raft, log->unstable + log->start + in_progress, ready->entry_count);
    if (has_next_snapshot(log))
        ready->snapshot = outbox_snapshot(raft, &log->snapshot);
}

static void take_committed(struct raft *raft, struct raft_ready *ready)
{
    struct raft_log *log = &raft->log;
    raft_index high = log->committed;
    if (!raft_log_has_next_committed(log, applies_unstable(raft)))
        return;
    if (!applies_unstable(raft))
        high = min_u64(high, log->offset - 1);
    ready->committed =
        raft_log_slice(raft, log->applying + 1, high + 1,
                       log->applying_size_max - log->applying_size, &ready->committed_count);
}

static struct raft_message append_response(const struct raft *raft, const struct raft_ready *ready)
{
    struct raft_message response = {
        .type = RAFT_MSG_STORAGE_APPEND_RESP,
        .to = raft->config.id,
        .from = RAFT_APPEND_THREAD,
        .term = raft->term,
        .snapshot = ready->snapshot,
    };
    if (raft->log.count > 0) {
        struct entry_mark last = raft_log_last(&raft->log);
        response.index = last.index;
        response.log_term = last.term;
    }
    return response;
}

static bool needs_append_response(const struct raft *raft, const struct raft_ready *ready)
{
    return raft->log.count > 0 || ready->snapshot;
}

static struct raft_message apply_response(const struct raft *raft, const struct raft_ready *ready)
{
    return (struct raft_message){
        .type = RAFT_MSG_STORAGE_APPLY_RESP,
        .to = raft->config.id,
        .from = RAFT_APPLY_THREAD,
        .entries = ready->committed,
        .entry_count = ready->committed_count,
    };
}

/* --- asynchronous: work as messages ----------------------------------------------------------- */

static void push_append(struct raft *raft, const struct raft_ready *ready)
{
    struct raft_message message = {
        .type = RAFT_MSG_STORAGE_APPEND,
        .to = RAFT_APPEND_THREAD,
        .from = raft->config.id,
        .entries = ready->entries,
        .entry_count = ready->entry_count,
        .snapshot = ready->snapshot,
    };
    if (ready->has_hard_state) {
        message.term = ready->hard_state.term;
        message.vote = ready->hard_state.vote;
        message.commit = ready->hard_state.commit;
    }
    if (needs_append_response(raft, ready)) {
        /* Behind the leader's own acknowledgement, which then finds the entries in memory. */
        struct raft_message response = append_response(raft, ready);
        outbox_push_after(raft, &response);
    }
    message.responses = raft->filling->after;
    message.response_count = raft->filling->after_count;
    outbox_push(raft, &message);
}

static void push_apply(struct raft *raft, const struct raft_ready *ready)
{
    struct raft_message *response = outbox_take(raft, sizeof(*response));
    *response = apply_response(raft, ready);
    outbox_push(raft, &(struct raft_message){
                          .type = RAFT_MSG_STORAGE_APPLY,
                          .to = RAFT_APPLY_THREAD,
                          .from = raft->config.id,
                          .entries = ready->committed,
                          .entry_count = ready->committed_count,
                          .responses = response,
                          .response_count = 1,
                      });
}

static void finish_async(struct raft *raft, struct raft_ready *ready)
{
    const struct outbox *outbox = raft->filling;
    CHECK(ready->has_hard_state || !ready->snapshot);
    bool append = ready->entry_count > 0 || ready->has_hard_state || outbox->after_count > 0;
    bool apply = ready->committed_count > 0;
    if (append)
        push_append(raft, ready);
    if (apply)
        push_apply(raft, ready);
    ready->apply = apply ? &outbox->messages[outbox->message_count - 1] : NULL;
    ready->append = append ? &outbox->messages[outbox->message_count - 1 - apply] : NULL;
}

/* --- synchronous: what raft_advance steps ----------------------------------------------------- */

static void finish_sync(struct raft *raft, struct raft_ready *ready)
{
    const struct outbox *outbox = raft->filling;
    size_t room = (outbox->after_count + 2) * sizeof(struct raft_message);
    struct raft_message *others = outbox_take(raft, room), *steps = outbox_take(raft, room);
    size_t other_count = 0, step_count = 0;
    for (size_t i = 0; i < outbox->after_count; i++) {
        if (outbox->after[i].to == raft->config.id)
            steps[step_count++] = outbox->after[i];
        else
            others[other_count++] = outbox->after[i];
    }
    if (needs_append_response(raft, ready))
        steps[step_count++] = append_response(raft, ready);
    if (ready->committed_count > 0)
        steps[step_count++] = apply_response(raft, ready);
    ready->messages_after = others;
    ready->messages_after_count = other_count;
    raft->steps = steps;
    raft->step_count = step_count;
}

/* --- handing over ----------------------------------------------------------------------------- */

static void accept(struct raft *raft, const struct raft_ready *ready)
{
    raft->last_soft = raft_soft_state(raft);
    raft->last_hard = raft_hard_state(raft);
    raft_log_accept_unstable(&raft->log);
    if (ready->committed_count > 0)
        raft_log_accept_applying(&raft->log, ready->committed[ready->committed_count - 1].index,
                                 raft_entries_size(ready->committed, ready->committed_count),
                                 applies_unstable(raft));
    raft->ready_open = !raft->config.async_storage_writes;
    raft->filling = &raft->outboxes[raft->filling == &raft->outboxes[0]];
    outbox_clear(raft->filling);
}

static enum err_code ready_guarded(struct raft *raft, const void *argument)
{
    struct raft_ready *ready = *(struct raft_ready *const *)argument;
    const struct outbox *outbox = raft->filling;
    take_entries(raft, ready);
    take_states(raft, ready);
    take_committed(raft, ready);
    if (raft->config.async_storage_writes)
        finish_async(raft, ready);
    else
        finish_sync(raft, ready);
    ready->messages = outbox->messages;
    ready->message_count = outbox->message_count;
    ready->read_states = outbox->reads;
    ready->read_state_count = outbox->read_count;
    accept(raft, ready);
    return ERR_OK;
}

enum err_code raft_ready(struct raft *raft, struct raft_ready *ret_ready)
{
    CHECK(!raft->ready_open || raft->failed);
    *ret_ready = (struct raft_ready){0};
    enum err_code code = raft_guard(raft, ready_guarded, &ret_ready);
    if (code)
        *ret_ready = (struct raft_ready){0};
    return code;
}

static enum err_code advance_guarded(struct raft *raft, const void *argument)
{
    (void)argument;
    raft->ready_open = false;
    for (size_t i = 0; i < raft->step_count; i++) {
        /* What an answer to oneself cannot do any more, it need not do. */
        enum err_code code = raft_step_local(raft, &raft->steps[i]);
        (void)code;
    }
    raft->step_count = 0;
    return ERR_OK;
}

enum err_code raft_advance(struct raft *raft)
{
    CHECK(!raft->config.async_storage_writes);
    CHECK(raft->ready_open || raft->failed);
    return raft_guard(raft, advance_guarded, NULL);
}
