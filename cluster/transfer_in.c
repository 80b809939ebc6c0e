/* An arrival: asked for chunk by chunk, written, finished; then the core is told, and when its mark is
 * durable the store is replaced.
 *
 *   IDLE -> FETCHING -> FINISHING -> FINISHED -> STEPPED -> MARKED -> INSTALLING -> IDLE
 *              |            |            |          |         |
 *              `------------+------------+----------'         | (one that the member fetched by itself goes
 *                                        |                    |  from FINISHED to MARKED: its log has all
 *                                        v                    |  that the store holds)
 *                                    DISCARDING               '
 *        nothing came any more; it is no good; the core has no use for it
 */
#include "cluster/transfer_internal.h"

#include <inttypes.h>

#define LED_TURNS 2     /* of a leader without a store, before it hands over */

static struct node *node_of_in(struct worker_job *job)
{
    return container_of(job, struct node, transfer.in.work.job);
}

static bool position_before(struct home_position a, struct home_position b)
{
    return a.file != b.file ? a.file < b.file : a.offset < b.offset;
}

/* The position behind size bytes of one file. */
static struct home_position position_after(const struct home_manifest *manifest,
                                           struct home_position at, uint64_t size)
{
    at.offset += size;
    if (at.offset >= manifest->files[at.file].size)
        at = (struct home_position){at.file + 1, 0};
    return at;
}

static bool is_complete(const struct transfer_in *in, struct home_position at)
{
    return at.file >= in->manifest.count;
}

/* ---- the end ---- */

static void forget(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    for (size_t i = 0; i < in->arrived_count; i++)
        buf_release(&in->arrived[i]);
    raft_message_free(&node->mem, in->message);
    home_manifest_release(&in->manifest);
    store_mark_release(&in->mark);
    *in = (struct transfer_in){.work = in->work};
}

static void say_done(struct node *node, bool arrived)
{
    struct transfer_in *in = &node->transfer.in;
    struct buf frame = {0};
    buf_append_le64(&frame, in->manifest.id);
    buf_append_u8(&frame, arrived);
    (void)transfer_say(node, in->message->from, TRANSFER_KIND_DONE, buf_bytes(&frame));
    buf_release(&frame);
}

static void discard_run(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_job *work = &node->transfer.in.work;
    work->code = home_incoming_discard(node->home, &work->err);
}

static void discard_done(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct raft_message *next = node->transfer.next;
    node->transfer.in.work.in_flight = false;
    node->transfer.next = NULL;
    forget(node);       /* what could not be removed is removed at the next arrival, or start */
    if (next)
        node_core_failed(node, transfer_offered(node, next));
    raft_message_free(&node->mem, next);
    node->wake(node->wake_context);
}

static void discard(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    in->state = IN_DISCARDING;
    transfer_job_start(node, &in->work, WORKER_BULK, discard_run, discard_done);
}

static void give_up(struct node *node, const char *why)
{
    TRACE(node->trace, "arrival ends: %s", why);
    say_done(node, false);
    discard(node);
}

/* ---- fetching ---- */

static bool say_ask(struct node *node, struct home_position at, uint32_t size)
{
    const struct transfer_in *in = &node->transfer.in;
    struct buf frame = {0};
    buf_append_le64(&frame, in->manifest.id);
    buf_append_le32(&frame, (uint32_t)at.file);
    buf_append_le64(&frame, at.offset);
    buf_append_le32(&frame, size);
    bool said = transfer_say(node, in->message->from, TRANSFER_KIND_ASK, buf_bytes(&frame));
    buf_release(&frame);
    return said;
}

static void ask(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    size_t outstanding = 0;
    for (struct home_position at = in->expected; position_before(at, in->asked); outstanding++)
        at = position_after(&in->manifest, at, TRANSFER_CHUNK_BYTES);
    for (; outstanding < TRANSFER_WINDOW && !is_complete(in, in->asked) &&
           in->arrived_count + outstanding < TRANSFER_REQUESTS_MAX;
         outstanding++) {
        uint64_t rest = in->manifest.files[in->asked.file].size - in->asked.offset;
        uint32_t size = rest < TRANSFER_CHUNK_BYTES ? (uint32_t)rest : TRANSFER_CHUNK_BYTES;
        if (!say_ask(node, in->asked, size))
            break;
        in->asked_ns = node_now(node);
        in->asked = position_after(&in->manifest, in->asked, size);
    }
}

static void finish(struct node *node);

static void begin_run(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.code =
        home_incoming_begin(node->home, &in->manifest, &in->written, &in->work.err);
}

static void begin_done(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.in_flight = false;
    if (in->work.code != ERR_OK) {
        give_up(node, in->work.err.text);
    } else {
        in->has_begun = true;
        in->expected = in->asked = in->written;
        in->heard_ns = node_now(node);
        if (is_complete(in, in->written))
            finish(node);
        else
            ask(node);
    }
    node->wake(node->wake_context);
}

/* A manifest that cannot be read, or files that are none of a store, end it before it begins. */
static bool take_offer(struct node *node, const struct raft_message *message)
{
    struct transfer_in *in = &node->transfer.in;
    struct err err = {0};
    if (home_manifest_decode(blob_bytes(message->snapshot->data), &in->manifest, &err) != ERR_OK) {
        TRACE(node->trace, "arrival refused: %s", err.text);
        return false;
    }
    in->message = raft_message_clone(&node->mem, message);
    return in->message != NULL;
}

static void fetch(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    TRACE(node->trace, "arrival from=%" PRIu64 " index=%" PRIu64 " bytes=%" PRIu64,
          in->message->from, in->message->snapshot->mark.index, home_manifest_bytes(&in->manifest));
    in->state = IN_FETCHING;
    in->heard_ns = in->asked_ns = node_now(node);
    transfer_job_start(node, &in->work, WORKER_BULK, begin_run, begin_done);
}

enum err_code transfer_offered(struct node *node, const struct raft_message *message)
{
    struct transfer_in *in = &node->transfer.in;
    if (!message->snapshot)
        return ERR_OK;
    /* Nothing new: the core says so to the sender. Its bytes need not travel. */
    if (message->snapshot->mark.index <= raft_committed(node->raft))
        return raft_step(node->raft, message);
    /* Without the files the core must not have it: it would take the log's place for good. */
    if (!node->home || node->stopping)
        return ERR_OK;
    /* A log that falls behind what was fetched is of no use to it. */
    if (in->state == IN_FINISHED && in->is_fetched) {
        node->transfer.next = raft_message_clone(&node->mem, message);
        discard(node);
    }
    if (in->state != IN_IDLE)
        return ERR_OK;
    if (!take_offer(node, message)) {
        forget(node);
        return ERR_OK;
    }
    fetch(node);
    return ERR_OK;
}

/* ---- a store of its own accord ---- */

void transfer_on_offer(struct node *node, raft_id from, struct cursor *cursor)
{
    struct transfer_in *in = &node->transfer.in;
    struct raft_snapshot snapshot = {0};
    snapshot.mark.index = cursor_le64(cursor);
    snapshot.mark.term = cursor_le64(cursor);
    if (cursor->failed || !node->transfer.lacks_store || in->state != IN_IDLE || node->stopping)
        return;
    snapshot.data = blob_copy(cursor->rest);
    struct raft_message message = {
        .type = RAFT_MSG_SNAP, .from = from, .term = snapshot.mark.term, .snapshot = &snapshot};
    if (take_offer(node, &message)) {
        in->is_fetched = true;
        fetch(node);
    } else {
        forget(node);
    }
    blob_unref(snapshot.data);
}

/* Another voter that has the whole log, and a store; NOBODY: none yet. Each in turn: one may know already that it
 * was removed, and never stand. */
static raft_id successor(const struct node *node)
{
    struct raft_status status;
    raft_id first = RAFT_NOBODY, next = RAFT_NOBODY;
    raft_status(node->raft, &status);
    for (size_t i = 0; i < status.progress_count; i++) {
        const struct raft_progress_status *progress = &status.progress[i];
        if (progress->id == status.id || progress->learner || !progress->recent_active ||
            progress->match != status.last_index ||
            raft_id_set_contains(&node->transfer.lacking, progress->id))
            continue;
        if (first == RAFT_NOBODY || progress->id < first)
            first = progress->id;
        if (progress->id > node->transfer.handed_to && (next == RAFT_NOBODY || progress->id < next))
            next = progress->id;
    }
    return next != RAFT_NOBODY ? next : first;
}

/* Another member, each in turn, learners too: a learner's store may reach to the log where the voters' do not.
 * NOBODY: there is none. */
static raft_id next_member(struct node *node)
{
    const struct membership *membership = &node->membership;
    for (size_t i = 0; i < membership->count; i++) {
        raft_id id = membership->members[node->transfer.asked_members++ % membership->count].id;
        if (id != node->identity.member_id)
            return id;
    }
    return RAFT_NOBODY;
}

static void ask_for_store(struct node *node, raft_id id)
{
    TRACE(node->trace, "store wanted of=%" PRIu64, id);
    (void)!transfer_say(node, id, TRANSFER_KIND_WANTED, BYTES_EMPTY);
}

/* Those who follow say within a period or so that they lack a store: two that do would hand over to each
 * other for ever. Where nobody takes over, any member's store will do: one that has a store may know already that
 * it was removed, which this leader cannot. If it was told that it was removed itself, those who know do not
 * hear it any more, and those who hear it let nobody else lead: then it ceases to. */
static void lead_turn(struct node *node)
{
    struct transfer *transfer = &node->transfer;
    raft_term term = raft_current_term(node->raft);
    if (transfer->led_term != term) {
        transfer->led_term = term;
        transfer->led_turns = 0;
        transfer->lacking.count = 0;
        transfer->handed_to = RAFT_NOBODY;
    }
    raft_id to = ++transfer->led_turns > LED_TURNS ? successor(node) : RAFT_NOBODY;
    TRACE(node->trace, "leads and lacks a store, hands over to=%" PRIu64, to);
    if (to != RAFT_NOBODY) {
        transfer->handed_to = to;
        node_core_failed(node, raft_transfer_leader(node->raft, to));
    }
    if (transfer->led_turns <= 2 * LED_TURNS)
        return;
    if (to == RAFT_NOBODY && node->is_removed)
        node_core_failed(node, raft_step_down(node->raft));
    else
        ask_for_store(node, next_member(node));
}

/* Nobody may be elected before this member is: its log is the longest, and holds changes of the membership
 * that it cannot apply without a store, so it does not stand. Then any member's store will do. */
static void want_turn(struct node *node)
{
    raft_id leader = raft_leader(node->raft);
    int64_t now = node_now(node);
    if (now < node->transfer.wanted_ns + TRANSFER_RETRY_NS)
        return;
    node->transfer.wanted_ns = now;
    if (leader == node->identity.member_id)
        lead_turn(node);
    else if (leader != RAFT_NOBODY)
        ask_for_store(node, leader);
    else if (node->leader_lost_ns && now - node->leader_lost_ns > TRANSFER_LEADERLESS_NS)
        ask_for_store(node, next_member(node));
}

/* Whether the log knows by itself, even after a crash, that all of it is committed: then the store may take
 * its place. The leader sees to it that this comes. */
static void fetched_turn(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    raft_index index = in->mark.applied;
    if (index < node->snapshotter.marked) {
        TRACE(node->trace, "arrival ends: it is older than the log");
        discard(node);
    } else if (logwriter_commit_is_durable(&node->writer, index)) {
        if (raftlog_term(&node->raftlog, index) == in->mark.term) {
            in->state = IN_MARKED;
            in->install_wanted = true;
        } else {
            TRACE(node->trace, "arrival ends: its last entry is not the log's");
            discard(node);
        }
    }
}

/* ---- writing ---- */

static void write_run(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.code = home_incoming_write(node->home, in->written.file, in->written.offset,
                                        buf_bytes(&in->arrived[0]), &in->written, &in->work.err);
}

static void write_next(struct node *node);

static void write_done(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.in_flight = false;
    in->heard_ns = node_now(node);      /* what came while this took long is still to be looked at */
    buf_release(&in->arrived[0]);
    in->arrived_count--;
    memmove(&in->arrived[0], &in->arrived[1], in->arrived_count * sizeof in->arrived[0]);
    in->arrived[in->arrived_count] = (struct buf){0};
    if (in->work.code != ERR_OK) {
        give_up(node, in->work.err.text);
    } else if (is_complete(in, in->written)) {
        finish(node);
    } else {
        write_next(node);
        ask(node);
    }
    node->wake(node->wake_context);
}

static void write_next(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    if (in->arrived_count && !in->work.in_flight)
        transfer_job_start(node, &in->work, WORKER_BULK, write_run, write_done);
}

void transfer_on_chunk(struct node *node, raft_id from, struct cursor *cursor)
{
    struct transfer_in *in = &node->transfer.in;
    uint64_t id = cursor_le64(cursor);
    struct home_position at;
    at.file = cursor_le32(cursor);
    at.offset = cursor_le64(cursor);
    if (in->state != IN_FETCHING || !in->has_begun || cursor->failed || from != in->message->from ||
        id != in->manifest.id || is_complete(in, in->expected) || at.file != in->expected.file ||
        at.offset != in->expected.offset || in->arrived_count == TRANSFER_REQUESTS_MAX)
        return;         /* asked for twice, or of an earlier arrival */
    uint64_t rest = in->manifest.files[at.file].size - at.offset;
    if (cursor->rest.size != (rest < TRANSFER_CHUNK_BYTES ? rest : TRANSFER_CHUNK_BYTES))
        return;
    buf_append(&in->arrived[in->arrived_count++], cursor->rest);
    in->heard_ns = node_now(node);
    in->expected = position_after(&in->manifest, in->expected, cursor->rest.size);
    if (position_before(in->asked, in->expected))
        in->asked = in->expected;
    write_next(node);
    ask(node);
}

/* ---- finishing ---- */

static void finish_run(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    struct err *err = &in->work.err;
    struct store_options options = node_store_options(node);
    in->work.code = home_incoming_finish(node->home, err);
    if (in->work.code == ERR_OK)
        in->work.code = home_incoming_open(node->home, &options.backend, err);
    if (in->work.code != ERR_OK)
        return;
    in->work.code = store_adopt(&options, &in->mark, err);
    backend_close(options.backend);
}

/* Whether what arrived is what the message says it is. */
static bool fits(const struct transfer_in *in)
{
    const struct snapshot_mark *mark = &in->message->snapshot->mark;
    return in->mark.applied == mark->index && in->mark.term == mark->term;
}

static void finish_done(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.in_flight = false;
    if (in->work.code != ERR_OK) {
        give_up(node, in->work.err.text);
    } else if (!fits(in)) {
        give_up(node, "the state that arrived is of another index than its snapshot");
    } else {
        say_done(node, true);
        in->state = IN_FINISHED;
    }
    node->wake(node->wake_context);
}

static void finish(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    in->state = IN_FINISHING;
    transfer_job_start(node, &in->work, WORKER_WORK, finish_run, finish_done);
}

/* ---- installing ---- */

void transfer_marked(struct node *node, const struct raft_snapshot *snapshot)
{
    struct transfer_in *in = &node->transfer.in;
    CHECK(in->state == IN_STEPPED);
    CHECK(snapshot->mark.index == in->message->snapshot->mark.index);
    in->state = IN_MARKED;
}

void transfer_install(struct node *node)
{
    CHECK(node->transfer.in.state == IN_MARKED);
    node->transfer.in.install_wanted = true;
}

bool transfer_holds_store(const struct node *node)
{
    const struct transfer_in *in = &node->transfer.in;
    return node->transfer.lacks_store || in->install_wanted || in->state == IN_INSTALLING;
}

static void install_run(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_job *work = &node->transfer.in.work;
    struct store_options options = node_store_options(node);
    if (store_backend(node->store))
        store_detach(node->store);
    if (!node->transfer.in.is_flipped)
        work->code = home_flip(node->home, &work->err);
    node->transfer.in.is_flipped |= work->code == ERR_OK;
    if (work->code == ERR_OK)
        work->code = home_open(node->home, false, &options.backend, &work->err);
    if (work->code == ERR_OK)
        work->code = store_attach(node->store, &options, &work->err);
}

static void install_done(struct worker_job *job)
{
    struct node *node = node_of_in(job);
    struct transfer_in *in = &node->transfer.in;
    in->work.in_flight = false;
    token_give(&node->applier.token);
    if (in->work.code == ERR_NO_SPACE) {
        TRACE(node->trace, "install waits: %s", in->work.err.text);
        in->state = IN_MARKED;
        in->install_wanted = true;
        in->install_ns = node_now(node) + TRANSFER_RETRY_NS;
        node->wake(node->wake_context);
        return;
    }
    if (in->work.code != ERR_OK) {
        node_fail(node, in->work.code, &in->work.err);
    } else {
        TRACE(node->trace, "install index=%" PRIu64, store_applied(node->store));
        node_installed(node, in->is_fetched);
    }
    forget(node);
    node->wake(node->wake_context);
}

static void install_begin(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    in->install_wanted = false;
    in->state = IN_INSTALLING;
    token_take(&node->applier.token);
    transfer_job_start(node, &in->work, WORKER_APPLY, install_run, install_done);
}

/* ---- turns ---- */

static bool is_at_work(const struct transfer_in *in)
{
    return (in->state == IN_FETCHING || in->state == IN_FINISHING) && in->work.in_flight;
}

/* The sender gives up whom it hears nothing of, and a slow disk may take long to write, or to read it all again.
 * One that never answers is not waited for: others want the sender's copy. */
static int64_t next_sign_ns(const struct transfer_in *in)
{
    int64_t next = in->asked_ns + TRANSFER_RETRY_NS;
    return next < in->heard_ns + TRANSFER_WORK_NS ? next : INT64_MAX;
}

static void working_turn(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    int64_t now = node_now(node);
    if (now < next_sign_ns(in))
        return;
    TRACE(node->trace, "arrival is still at work");
    in->asked_ns = now;
    (void)!say_ask(node, in->written, 0);
}

static void fetching_turn(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    int64_t now = node_now(node);
    if (in->work.in_flight || in->arrived_count)
        return;
    if (now >= in->heard_ns + TRANSFER_PATIENCE_NS) {
        give_up(node, "nothing came any more");
        return;
    }
    if (now >= in->asked_ns + TRANSFER_RETRY_NS && now >= in->heard_ns + TRANSFER_RETRY_NS) {
        in->asked = in->expected;
        in->asked_ns = now;
        ask(node);
    }
}

bool transfer_in_turn(struct node *node)
{
    struct transfer_in *in = &node->transfer.in;
    if (is_at_work(in))
        working_turn(node);
    switch (in->state) {
    case IN_IDLE:
        if (node->transfer.lacks_store && !node->stopping)
            want_turn(node);
        return false;
    case IN_FETCHING:
        fetching_turn(node);
        return false;
    case IN_FINISHED:
        if (in->is_fetched) {
            fetched_turn(node);
            return in->state != IN_FINISHED;
        }
        in->state = IN_STEPPED;
        node_core_failed(node, raft_step(node->raft, in->message));
        return true;
    case IN_STEPPED:        /* its ready came, and did not ask for it */
        if (!raft_has_ready(node->raft))
            discard(node);
        return false;
    case IN_MARKED:
        if (node_now(node) >= in->install_ns)
            in->install_ns = 0;
        if (in->install_wanted && !in->install_ns && node_store_is_quiet(node))
            install_begin(node);
        return false;
    default:
        return false;
    }
}

int64_t transfer_in_next_wake_ns(const struct node *node)
{
    const struct transfer_in *in = &node->transfer.in;
    if (in->state == IN_IDLE && node->transfer.lacks_store && !node->stopping)
        return node->transfer.wanted_ns + TRANSFER_RETRY_NS;
    if (in->state == IN_MARKED && in->install_ns)
        return in->install_ns;
    if (is_at_work(in))
        return next_sign_ns(in);
    if (in->state != IN_FETCHING || in->arrived_count)
        return INT64_MAX;
    int64_t from = in->asked_ns > in->heard_ns ? in->asked_ns : in->heard_ns;
    int64_t retry = from + TRANSFER_RETRY_NS, end = in->heard_ns + TRANSFER_PATIENCE_NS;
    return retry < end ? retry : end;
}

void transfer_in_release(struct node *node)
{
    raft_message_free(&node->mem, node->transfer.next);
    node->transfer.next = NULL;
    forget(node);
}

bool node_arrival(const struct node *node, uint64_t *ret_done, uint64_t *ret_whole)
{
    const struct transfer_in *in = &node->transfer.in;
    if (in->state == IN_IDLE || in->state == IN_DISCARDING)
        return false;
    *ret_whole = home_manifest_bytes(&in->manifest);
    *ret_done = in->written.offset;
    for (size_t i = 0; i < in->manifest.count && i < in->written.file; i++)
        *ret_done += in->manifest.files[i].size;
    return true;
}
