#include "cluster/logwriter.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/mutant.h"

#define PREPARE_RETRY_NS (5 * NS_PER_S)     /* after a full disk */

static void fault(struct logwriter *writer, enum err_code code, const struct err *err)
{
    if (writer->code == ERR_OK) {
        writer->code = code;
        writer->err = *err;
        writer->err.code = code;
    }
}

void logwriter_release(struct logwriter *writer)
{
    CHECK(!writer->token.held && !writer->prepare);
    for (size_t i = 0; i < writer->gathering_count; i++)
        raft_message_free(writer->mem, writer->gathering[i]);
    for (size_t i = writer->settled; i < writer->flushing_count; i++)
        raft_message_free(writer->mem, writer->flushing[i]);
    for (size_t i = 0; i < writer->stalled_count; i++)
        raft_message_free(writer->mem, writer->stalled[i]);
    free(writer->stalled);
    free(writer->gathering);
    free(writer->flushing);
}

static void push(struct raft_message ***list, size_t *count, size_t *capacity,
                 struct raft_message *message)
{
    if (*count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 16;
        *list = mem_xrealloc(*list, *capacity * sizeof **list);
    }
    (*list)[(*count)++] = message;
}

static void note_commit(struct logwriter *writer, raft_index commit)
{
    if (commit > writer->commit_appended)
        writer->commit_appended = commit;
}

static struct hard_state state_of(const struct raft_message *message)
{
    return (struct hard_state){message->term, message->vote, message->commit};
}

static void note_state(struct logwriter *writer, const struct hard_state *state)
{
    if (!hard_state_is_empty(state))
        writer->state_appended = *state;
    note_commit(writer, state->commit);
}

static bool is_commit_alone(const struct logwriter *writer, const struct hard_state *state)
{
    return state->term == writer->state_appended.term && state->vote == writer->state_appended.vote;
}

void logwriter_begin(struct logwriter *writer, const struct wal_recovery *recovery)
{
    raft_index commit = recovery->state.commit > recovery->mark.index ? recovery->state.commit
                                                                      : recovery->mark.index;
    writer->state_appended = recovery->state;
    writer->mark_appended = recovery->mark.index;
    writer->commit_appended = writer->commit_flushing = writer->commit_durable = commit;
}

bool logwriter_commit_is_durable(struct logwriter *writer, raft_index index)
{
    if (writer->commit_durable >= index)
        return true;
    writer->must_flush |= writer->commit_appended >= index && writer->commit_flushing < index;
    return false;
}

/* Appends to the log's buffer; the message then waits for its flush. NO_SPACE: nothing happened. */
static enum err_code append(struct logwriter *writer, struct raft_message *message)
{
    struct hard_state state = state_of(message);
    struct err err = {0};
    enum err_code code = ERR_OK;
    if (message->snapshot)
        code = wal_mark(writer->wal, &message->snapshot->mark, &err);
    if (code == ERR_OK)
        code = wal_append(writer->wal, hard_state_is_empty(&state) ? NULL : &state,
                          message->entries, message->entry_count, &err);
    if (code == ERR_NO_SPACE)
        return code;
    if (code != ERR_OK) {
        fault(writer, code, &err);
        raft_message_free(writer->mem, message);
        return code;
    }
    note_state(writer, &state);
    if (message->snapshot) {
        writer->mark_appended = message->snapshot->mark.index;
        note_commit(writer, message->snapshot->mark.index);
    }
    if (message->entry_count)
        TRACE(writer->trace, "append index=%" PRIu64 " entries=%zu", message->entries[0].index,
              message->entry_count);
    writer->must_flush |= message->response_count > 0;
    push(&writer->gathering, &writer->gathering_count, &writer->gathering_capacity, message);
    return ERR_OK;
}

/* It rides with the next flush. NO_SPACE: nothing happened. */
static enum err_code append_state(struct logwriter *writer, const struct hard_state *state)
{
    struct err err = {0};
    enum err_code code = wal_append(writer->wal, state, NULL, 0, &err);
    if (code == ERR_OK)
        note_state(writer, state);
    else if (code != ERR_NO_SPACE)
        fault(writer, code, &err);
    return code;
}

static enum err_code stall(struct logwriter *writer, struct raft_message *clone)
{
    push(&writer->stalled, &writer->stalled_count, &writer->stalled_capacity, clone);
    writer->no_space = true;
    return ERR_OK;
}

enum err_code logwriter_queue(struct logwriter *writer, const struct raft_message *message)
{
    enum err_code code = writer->stalled_count ? ERR_NO_SPACE : ERR_OK;
    bool state_alone = !message->entry_count && !message->response_count && !message->snapshot;
    if (state_alone && code == ERR_OK) {
        struct hard_state state = state_of(message);
        code = append_state(writer, &state);
        /* A commit index is found out again. A term or vote is not: what is acknowledged later may
         * rest on it. */
        if (code != ERR_NO_SPACE || is_commit_alone(writer, &state))
            return code == ERR_NO_SPACE ? ERR_OK : code;
    }
    struct raft_message *clone = raft_message_clone(writer->mem, message);
    if (!clone)
        return ERR_NO_MEMORY;
    if (code == ERR_OK)
        code = append(writer, clone);
    return code == ERR_NO_SPACE ? stall(writer, clone) : code;
}

static void stalled_retry(struct logwriter *writer)
{
    size_t done = 0;
    while (done < writer->stalled_count && append(writer, writer->stalled[done]) != ERR_NO_SPACE)
        done++;
    if (done)
        memmove(writer->stalled, writer->stalled + done,
                (writer->stalled_count - done) * sizeof *writer->stalled);
    writer->stalled_count -= done;
}

enum err_code logwriter_mark(struct logwriter *writer, const struct snapshot_mark *mark)
{
    struct err err = {0};
    CHECK(mark->index > writer->mark_appended);
    enum err_code code = wal_mark(writer->wal, mark, &err);
    if (code == ERR_OK) {
        writer->must_flush = true;
        writer->mark_appended = mark->index;
    } else if (code != ERR_NO_SPACE) {
        fault(writer, code, &err);
    }
    return code;
}

static void deliver(struct logwriter *writer, const struct raft_message *message)
{
    for (size_t i = 0; i < message->response_count; i++) {
        const struct raft_message *response = &message->responses[i];
        enum err_code code = ERR_OK;
        if (response->to == message->from)
            code = raft_step(writer->raft, response);
        else
            writer->send(writer, response);
        if (code != ERR_OK && err_kind(code) == ERR_KIND_FAULT)
            fault(writer, code, &(struct err){.text = "the core refused an answer of the log"});
    }
}

static void settle_one(struct logwriter *writer, struct raft_message *message)
{
    if (writer->code == ERR_OK) {
        raftlog_append(writer->raftlog, message->entries, message->entry_count);
        deliver(writer, message);
    }
    raft_message_free(writer->mem, message);
    writer->settled++;
}

/* What waited in flushing hears that it is kept; with a fault it hears nothing. Stops at a snapshot,
 * until it is installed. */
static void settle(struct logwriter *writer)
{
    while (writer->settled < writer->flushing_count) {
        struct raft_message *message = writer->flushing[writer->settled];
        if (message->snapshot && writer->code == ERR_OK) {
            writer->installing = true;
            writer->install(writer, message->snapshot);
            return;
        }
        settle_one(writer, message);
    }
    writer->flushing_count = writer->settled = 0;
}

void logwriter_installed(struct logwriter *writer)
{
    CHECK(writer->installing);
    struct raft_message *message = writer->flushing[writer->settled];
    writer->installing = false;
    raftlog_reset(writer->raftlog, message->snapshot->mark.index, message->snapshot->mark.term);
    settle_one(writer, message);
    settle(writer);
}

static void flushed(struct logwriter *writer)
{
    struct err err = {0};
    enum err_code code = wal_flush_end(writer->wal, writer->flush, &err);
    writer->flush = NULL;
    if (code != ERR_OK)
        fault(writer, code, &err);
    else
        writer->commit_durable = writer->commit_flushing;
    if (code == ERR_OK && writer->flushing_count)
        TRACE(writer->trace, "flush messages=%zu", writer->flushing_count);
    settle(writer);
}

static void flush_run(struct worker_job *job)
{
    wal_flush_run(container_of(job, struct logwriter, job)->flush);
}

static void flush_done(struct worker_job *job)
{
    struct logwriter *writer = container_of(job, struct logwriter, job);
    token_give(&writer->token);
    flushed(writer);
    writer->progressed(writer);
}

static void prepare_run(struct worker_job *job)
{
    wal_prepare_run(container_of(job, struct logwriter, prepare_job)->prepare);
}

static void prepare_done(struct worker_job *job)
{
    struct logwriter *writer = container_of(job, struct logwriter, prepare_job);
    struct err err = {0};
    enum err_code code = wal_prepare_end(writer->wal, writer->prepare, &err);
    writer->prepare = NULL;
    writer->no_space = code == ERR_NO_SPACE;
    if (writer->no_space)
        writer->prepare_not_before_ns = clock_monotonic_ns(writer->clock) + PREPARE_RETRY_NS;
    else if (code != ERR_OK)
        fault(writer, code, &err);
    stalled_retry(writer);
    writer->progressed(writer);
}

static void prepare_turn(struct logwriter *writer)
{
    if (writer->prepare)
        return;
    if (writer->prepare_not_before_ns &&
        clock_monotonic_ns(writer->clock) < writer->prepare_not_before_ns)
        return;
    writer->prepare_not_before_ns = 0;
    writer->prepare = wal_prepare_begin(writer->wal);
    if (!writer->prepare)
        return;
    writer->prepare_job = (struct worker_job){.run = prepare_run, .done = prepare_done};
    worker_submit(writer->worker, WORKER_WORK, &writer->prepare_job);
}

void logwriter_stop(struct logwriter *writer)
{
    if (writer->prepare)
        wal_prepare_stop(writer->prepare);
}

static void swap_lists(struct logwriter *writer)
{
    struct raft_message **list = writer->flushing;
    size_t capacity = writer->flushing_capacity;
    writer->flushing = writer->gathering;
    writer->flushing_count = writer->gathering_count;
    writer->flushing_capacity = writer->gathering_capacity;
    writer->gathering = list;
    writer->gathering_count = 0;
    writer->gathering_capacity = capacity;
    writer->must_flush = false;
    writer->commit_flushing = writer->commit_appended;
}

bool logwriter_turn(struct logwriter *writer, size_t waiting)
{
    if (writer->code != ERR_OK)
        return false;
    if (!writer->must_flush || writer->token.held || writer->installing) {
        prepare_turn(writer);
        return false;
    }
    size_t bytes = (size_t)wal_pending_bytes(writer->wal);
    writer->flush = wal_flush_begin(writer->wal);
    swap_lists(writer);
    if (MUTANT(FLUSH_TOLD_EARLY))
        settle(writer);
    if (!writer->flush) {               /* what was asked for is on disk already */
        if (wal_is_dead(writer->wal))
            fault(writer, ERR_IO, &(struct err){.text = "the log is dead"});
        else
            writer->commit_durable = writer->commit_flushing;
        settle(writer);
        return true;
    }
    int64_t now = clock_monotonic_ns(writer->clock);
    bool may_inline = token_may_inline(&writer->token, now, waiting, bytes);
    token_take(&writer->token);
    if (!may_inline) {
        writer->job = (struct worker_job){.run = flush_run, .done = flush_done};
        worker_submit(writer->worker, WORKER_DISK, &writer->job);
        return false;
    }
    wal_flush_run(writer->flush);
    int64_t end = clock_monotonic_ns(writer->clock);
    token_took(&writer->token, end, end - now);
    token_give(&writer->token);
    flushed(writer);
    return true;
}
