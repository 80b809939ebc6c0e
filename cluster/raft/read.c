/* ReadIndex: which index a read must wait for, without writing to the log. Thesis 6.4.
 *
 * SAFE: the leader notes its commit index, then asks a quorum whether it still leads. One heartbeat
 * serves everyone who waits: it carries the position of the newest request, and the position that a
 * quorum has confirmed answers all requests up to it. Positions count from the start of the term of
 * office, so an answer from another one (another term) cannot be mistaken for it.
 * LEASE_BASED: the quorum heard of within the election timeout is taken for the answer.
 *
 * A leader that has not committed in its own term does not know what is committed: requests
 * wait. So do those to the only voter, which etcd answers at once: after a restart its commit index can
 * lie below what it told before. */
#include "cluster/raft/raft_internal.h"

static void queue_push(struct raft *raft, struct read_queue *queue, struct read_request request)
{
    if (queue->count == RAFT_READS_MAX)
        return; /* lost, as on the network: the asker repeats */
    queue->requests = raft_grow(raft, queue->requests, &queue->capacity, queue->count + 1,
                                sizeof(*queue->requests));
    blob_ref(request.context);
    queue->requests[queue->count++] = request;
}

static void queue_drop(struct read_queue *queue, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blob_unref(queue->requests[i].context);
    queue->count -= count;
    if (queue->count > 0)
        memmove(queue->requests, queue->requests + count, queue->count * sizeof(*queue->requests));
}

bool raft_read_is_full(const struct raft *raft)
{
    return raft->reads.count == RAFT_READS_MAX || raft->pending_reads.count == RAFT_READS_MAX;
}

static void answer(struct raft *raft, const struct read_request *request)
{
    if (request->from == RAFT_NOBODY || request->from == raft->config.id) {
        outbox_push_read(raft, request->index, request->context);
        return;
    }
    struct entry context = {.payload = request->context};
    raft_send(raft, (struct raft_message){
                        .type = RAFT_MSG_READ_INDEX_RESP,
                        .to = request->from,
                        .index = request->index,
                        .entries = outbox_entries(raft, &context, 1),
                        .entry_count = 1,
                    });
}

static uint64_t newest_position(const struct raft *raft)
{
    return raft->reads_confirmed + raft->reads.count;
}

struct bytes raft_read_heartbeat_context(struct raft *raft)
{
    uint8_t position[8];
    if (raft->reads.count == 0)
        return BYTES_EMPTY;
    put_le64(position, newest_position(raft));
    return outbox_bytes(raft, bytes_of(position, sizeof(position)));
}

static void begin(struct raft *raft, struct read_request request)
{
    const struct raft_conf_state *config = &raft->tracker.config;
    bool is_only_voter = config->voters.count == 1 && !config_is_joint(config) &&
                         config_has_voter(config, raft->config.id);
    request.index = raft->log.committed;
    if (is_only_voter || raft->config.read_only == RAFT_READ_LEASE_BASED ||
        MUTANT(READ_WITHOUT_QUORUM)) {
        answer(raft, &request);
        return;
    }
    queue_push(raft, &raft->reads, request);
    struct progress *self = raft_progress(raft, raft->config.id);
    if (self)
        self->read_acked = newest_position(raft);
    raft_broadcast_heartbeat(raft);
}

void raft_read_request_step(struct raft *raft, const struct raft_message *message)
{
    struct read_request request = {
        .from = message->from,
        .index = raft->log.committed,
        .context = message->entries[0].payload,
    };
    if (!raft_committed_in_term(raft) && !MUTANT(READ_BEFORE_OWN_COMMIT))
        queue_push(raft, &raft->pending_reads, request);
    else
        begin(raft, request);
}

static uint64_t position_of(const void *context, raft_id id)
{
    const struct progress *progress = tracker_find((struct tracker *)(uintptr_t)context, id);
    CHECK(progress); /* only voters are asked about */
    return progress->read_acked;
}

void raft_read_acknowledge(struct raft *raft, struct progress *progress, struct bytes context)
{
    if (context.size != sizeof(uint64_t))
        return;
    progress->read_acked = max_u64(progress->read_acked, get_le64(context.data));
    uint64_t position = quorum_joint_committed(&raft->tracker.config, position_of, &raft->tracker);
    position = min_u64(position, newest_position(raft));
    if (position <= raft->reads_confirmed)
        return;
    size_t confirmed = (size_t)(position - raft->reads_confirmed);
    for (size_t i = 0; i < confirmed; i++)
        answer(raft, &raft->reads.requests[i]);
    raft->reads_confirmed = position;
    queue_drop(&raft->reads, confirmed);
}

void raft_read_release_pending(struct raft *raft)
{
    size_t count = raft->pending_reads.count;
    if (count == 0)
        return;
    CHECK(raft_committed_in_term(raft)); /* nothing else has just been committed */
    for (size_t i = 0; i < count; i++)
        begin(raft, raft->pending_reads.requests[i]);
    queue_drop(&raft->pending_reads, count);
}

/* The start of a term of office, or its end: who waited asks again. */
void raft_read_reset(struct raft *raft)
{
    queue_drop(&raft->reads, raft->reads.count);
    queue_drop(&raft->pending_reads, raft->pending_reads.count);
    raft->reads_confirmed = 0;
}

void raft_read_release(struct raft *raft)
{
    raft_read_reset(raft);
    mem_free(raft->config.mem, raft->reads.requests);
    mem_free(raft->config.mem, raft->pending_reads.requests);
}
