/* Out: what a copy's reader asks for. In: transfer_in.c. Both: the frames between them.
 *
 * A leader whose follower fails halfway, or goes away, hears nothing for TRANSFER_PATIENCE_NS; then the
 * copy goes and the core is told that the snapshot failed. A copy that the core asked for and did not
 * use goes after the same time.
 */
#include "cluster/transfer_internal.h"

#include <inttypes.h>

void transfer_job_start(struct node *node, struct transfer_job *work, enum worker_lane lane,
                        void (*run)(struct worker_job *job), void (*done)(struct worker_job *job))
{
    CHECK(!work->in_flight);
    work->in_flight = true;
    work->code = ERR_OK;
    work->err = (struct err){0};
    work->job = (struct worker_job){.run = run, .done = done};
    worker_submit(node->worker, lane, &work->job);
}

static struct node *node_of_out(struct worker_job *job)
{
    return container_of(job, struct node, transfer.out.work.job);
}

static void to_state(struct node *node, enum transfer_out_state state)
{
    struct transfer_out *out = &node->transfer.out;
    out->state = state;
    out->since_ns = node_now(node);
}

/* ---- frames ---- */

bool transfer_is_frame(uint32_t kind)
{
    return kind >= TRANSFER_KIND_ASK && kind <= TRANSFER_KIND_OFFER;
}

/* False: no such peer, or its queue is full. Whoever waits for it asks again. */
bool transfer_say(struct node *node, raft_id to, enum transfer_kind kind, struct bytes bytes)
{
    bool is_bulk = kind == TRANSFER_KIND_CHUNK || kind == TRANSFER_KIND_OFFER;
    enum peer_channel channel = is_bulk ? PEER_BULK : PEER_RAFT;
    return node->peers && peers_send_frame(node->peers, to, channel, kind, bytes) == ERR_OK;
}

/* ---- the end of a copy ---- */

static void forget_copy(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    home_copy_close(out->copy);
    blob_unref(out->configuration);
    blob_unref(out->manifest);
    out->copy = NULL;
    out->configuration = out->manifest = NULL;
    out->request_count = 0;
    out->handed = out->offered = out->ending = false;
    out->wanted_by = RAFT_NOBODY;
    node->raftlog.hold_above = 0;
    to_state(node, OUT_IDLE);
}

/* The copy is of no more use. */
static void out_end(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    if (out->work.in_flight)
        out->ending = true;
    else
        forget_copy(node);
}

static void out_report(struct node *node, bool failed)
{
    struct transfer_out *out = &node->transfer.out;
    raft_id to = out->to;
    if (out->state != OUT_SENDING || out->ending)
        return;
    TRACE(node->trace, "transfer to=%" PRIu64 " %s", to, failed ? "failed" : "arrived");
    bool offered = out->offered;
    out_end(node);
    if (!offered)
        node_core_failed(node, raft_report_snapshot(node->raft, to, failed));
}

/* ---- making a copy ---- */

static void copy_run(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_out *out = &node->transfer.out;
    out->work.code =
        home_copy_open(node->home, store_backend(node->store), &out->copy, &out->work.err);
}

/* A copy that failed: the disk is full, or files went while it was made. The core asks again. */
static bool copy_failed(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    if (out->work.code == ERR_OK && !out->ending)
        return false;
    TRACE(node->trace, "transfer copy code=%s: %s", err_name(out->work.code), out->work.err.text);
    if (out->work.code == ERR_CORRUPT)
        node_fail(node, out->work.code, &out->work.err);
    forget_copy(node);
    return true;
}

/* The snapshot that the core hands out: what the copy's own rows say. */
static enum err_code describe(struct transfer_out *out, struct err *err)
{
    struct membership membership = {0};
    struct buf encoded = {0};
    enum err_code code =
        membership_decode(buf_bytes(&out->copy->mark.configuration), &membership, err);
    if (code == ERR_OK) {
        raft_conf_state_encode(&membership.configuration, &encoded);
        out->configuration = blob_copy(buf_bytes(&encoded));
        buf_clear(&encoded);
        home_manifest_encode(&out->copy->manifest, &encoded);
        out->manifest = blob_copy(buf_bytes(&encoded));
    }
    buf_release(&encoded);
    membership_release(&membership);
    return code;
}

static void copy_done(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_out *out = &node->transfer.out;
    out->work.in_flight = false;
    if (out->work.code == ERR_OK)
        out->work.code = describe(out, &out->work.err);
    if (!copy_failed(node)) {
        node->raftlog.hold_above = out->copy->mark.applied;
        to_state(node, OUT_READY);
        TRACE(node->trace, "transfer copy index=%" PRIu64 " bytes=%" PRIu64,
              out->copy->mark.applied, home_manifest_bytes(&out->copy->manifest));
    }
    node->wake(node->wake_context);
}

static void checkpoint_run(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_job *work = &node->transfer.out.work;
    work->code = store_checkpoint(node->store, &work->err);
}

static void checkpoint_done(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_out *out = &node->transfer.out;
    out->work.in_flight = false;
    token_give(&node->applier.token);
    if (out->work.code == ERR_NO_SPACE)
        applier_refused(&node->applier);
    if (!copy_failed(node)) {
        to_state(node, OUT_COPYING);
        transfer_job_start(node, &out->work, WORKER_WORK, copy_run, copy_done);
    }
    node->wake(node->wake_context);
}

static void begin(struct node *node)
{
    if (node->transfer.out.state != OUT_IDLE || !node->home || node->stopping)
        return;
    to_state(node, OUT_CHECKPOINT);
    node->wake(node->wake_context);
}

enum err_code transfer_snapshot(struct node *node, struct raft_snapshot *ret_snapshot)
{
    struct transfer_out *out = &node->transfer.out;
    begin(node);
    if (out->state != OUT_READY || out->handed || out->ending)
        return ERR_BUSY;
    *ret_snapshot = (struct raft_snapshot){
        .mark = {out->copy->mark.applied, out->copy->mark.term, blob_ref(out->configuration)},
        .data = blob_ref(out->manifest),
    };
    out->handed = true;
    return ERR_OK;
}

/* ---- sending ---- */

void transfer_send(struct node *node, const struct raft_message *message)
{
    struct transfer_out *out = &node->transfer.out;
    bool is_ours = out->state == OUT_READY && out->handed && !out->ending &&
                   message->snapshot->mark.index == out->copy->mark.applied;
    if (!is_ours) {
        node_core_failed(node, raft_report_snapshot(node->raft, message->to, true));
        return;
    }
    out->to = message->to;
    to_state(node, OUT_SENDING);
    TRACE(node->trace, "transfer to=%" PRIu64 " index=%" PRIu64, message->to,
          message->snapshot->mark.index);
    peers_send(node->peers, message);
}

void transfer_lost(struct node *node, raft_id to)
{
    if (node->transfer.out.to == to && !node->transfer.out.offered)
        out_report(node, true);
}

static void chunk_run(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_out *out = &node->transfer.out;
    const struct transfer_chunk *chunk = &out->requests[0];
    buf_clear(&out->chunk);
    buf_append_le64(&out->chunk, out->copy->manifest.id);
    buf_append_le32(&out->chunk, (uint32_t)chunk->file);
    buf_append_le64(&out->chunk, chunk->offset);
    uint8_t *place = buf_extend(&out->chunk, chunk->size);
    out->work.code = home_copy_read(out->copy, chunk->file, chunk->offset, place, chunk->size,
                                    &out->work.err);
}

static void chunk_next(struct node *node);

static void chunk_done(struct worker_job *job)
{
    struct node *node = node_of_out(job);
    struct transfer_out *out = &node->transfer.out;
    out->work.in_flight = false;
    if (out->ending) {
        forget_copy(node);
    } else if (out->work.code == ERR_OK) {
        (void)transfer_say(node, out->to, TRANSFER_KIND_CHUNK, buf_bytes(&out->chunk));
        out->request_count--;
        memmove(&out->requests[0], &out->requests[1],
                out->request_count * sizeof out->requests[0]);
        chunk_next(node);
    } else {
        out_report(node, true);
    }
    node->wake(node->wake_context);
}

static void chunk_next(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    if (out->request_count && !out->work.in_flight && !out->ending)
        transfer_job_start(node, &out->work, WORKER_BULK, chunk_run, chunk_done);
}

static void on_ask(struct node *node, raft_id from, struct cursor *cursor)
{
    struct transfer_out *out = &node->transfer.out;
    uint64_t id = cursor_le64(cursor);
    struct transfer_chunk chunk;
    chunk.file = cursor_le32(cursor);
    chunk.offset = cursor_le64(cursor);
    chunk.size = cursor_le32(cursor);
    bool is_sound = !cursor->failed && chunk.size <= TRANSFER_CHUNK_BYTES;
    if (out->state != OUT_SENDING || out->ending || from != out->to || !is_sound ||
        id != out->copy->manifest.id)
        return;
    out->since_ns = node_now(node);
    if (chunk.size == 0 || out->request_count == TRANSFER_REQUESTS_MAX)
        return;
    out->requests[out->request_count++] = chunk;
    chunk_next(node);
}

/* ---- to a member that lacks a store ---- */

static void on_wanted(struct node *node, raft_id from)
{
    struct transfer_out *out = &node->transfer.out;
    bool leads = raft_role(node->raft) == RAFT_LEADER;
    raft_id leader = raft_leader(node->raft);
    bool may = leads || ((leader == RAFT_NOBODY || leader == from) && !node->transfer.lacks_store);
    if (!may || !membership_find(&node->membership, from))
        return;
    if (node->transfer.lacks_store) {
        (void)!raft_id_set_add(&node->transfer.lacking, from);
        return;
    }
    begin(node);
    if (out->state == OUT_CHECKPOINT || out->state == OUT_COPYING || out->state == OUT_READY)
        out->wanted_by = from;
}

/* Unless the core was quicker. */
static void offer(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    struct buf frame = {0};
    if (out->state != OUT_READY || out->handed || out->ending || out->wanted_by == RAFT_NOBODY)
        return;
    buf_append_le64(&frame, out->copy->mark.applied);
    buf_append_le64(&frame, out->copy->mark.term);
    buf_append(&frame, blob_bytes(out->manifest));
    out->to = out->wanted_by;
    out->offered = true;
    to_state(node, OUT_SENDING);
    TRACE(node->trace, "transfer offered to=%" PRIu64 " index=%" PRIu64, out->to,
          out->copy->mark.applied);
    if (!transfer_say(node, out->to, TRANSFER_KIND_OFFER, buf_bytes(&frame)))
        out_report(node, true);
    buf_release(&frame);
}

static void on_done(struct node *node, raft_id from, struct cursor *cursor)
{
    struct transfer_out *out = &node->transfer.out;
    uint64_t id = cursor_le64(cursor);
    bool arrived = cursor_u8(cursor) == 1;
    if (!cursor->failed && out->state == OUT_SENDING && from == out->to && out->copy &&
        id == out->copy->manifest.id)
        out_report(node, !arrived);
}

void transfer_on_frame(struct node *node, raft_id from, uint32_t kind, struct bytes from_bytes)
{
    struct cursor cursor = cursor_of(from_bytes);
    switch (kind) {
    case TRANSFER_KIND_ASK: on_ask(node, from, &cursor); break;
    case TRANSFER_KIND_CHUNK: transfer_on_chunk(node, from, &cursor); break;
    case TRANSFER_KIND_DONE: on_done(node, from, &cursor); break;
    case TRANSFER_KIND_WANTED: on_wanted(node, from); break;
    case TRANSFER_KIND_OFFER: transfer_on_offer(node, from, &cursor); break;
    }
    node->wake(node->wake_context);
}

/* ---- turns ---- */

/* The longest that a state may last; the checkpoint and the copy take as long as they take. */
static bool out_is_late(const struct node *node)
{
    const struct transfer_out *out = &node->transfer.out;
    bool waits = out->state == OUT_READY || out->state == OUT_SENDING;
    return waits && !out->ending && node_now(node) >= out->since_ns + TRANSFER_PATIENCE_NS;
}

static void out_turn(struct node *node)
{
    struct transfer_out *out = &node->transfer.out;
    if (out->state == OUT_CHECKPOINT && !out->work.in_flight && !node->applier.token.held &&
        !node_store_is_held(node)) {
        token_take(&node->applier.token);
        transfer_job_start(node, &out->work, WORKER_APPLY, checkpoint_run, checkpoint_done);
    }
    offer(node);
    bool is_wanted = raft_role(node->raft) == RAFT_LEADER || out->wanted_by != RAFT_NOBODY;
    if (out->state == OUT_SENDING && (out_is_late(node) || !is_wanted))
        out_report(node, true);
    else if (out->state == OUT_READY && !out->ending && (out_is_late(node) || !is_wanted))
        out_end(node);
}

bool transfer_turn(struct node *node)
{
    out_turn(node);
    return transfer_in_turn(node);
}

int64_t transfer_next_wake_ns(const struct node *node)
{
    const struct transfer_out *out = &node->transfer.out;
    int64_t next = transfer_in_next_wake_ns(node);
    bool waits = (out->state == OUT_READY || out->state == OUT_SENDING) && !out->ending;
    int64_t due = out->since_ns + TRANSFER_PATIENCE_NS;
    return waits && due < next ? due : next;
}

bool transfer_is_idle(const struct node *node)
{
    return !node->transfer.out.work.in_flight && !node->transfer.in.work.in_flight;
}

void transfer_release(struct node *node)
{
    CHECK(transfer_is_idle(node));
    forget_copy(node);
    buf_release(&node->transfer.out.chunk);
    transfer_in_release(node);
}
