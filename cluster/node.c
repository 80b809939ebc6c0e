#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define ELECTION_TICKS (ELECTION_DEFAULT_MS / HEARTBEAT_DEFAULT_MS)
#define ROUNDS_MAX 8        /* of one turn; then the loop hears other things first */

int64_t node_now(const struct node *node) { return clock_monotonic_ns(node->clock); }

bool node_is_alone(const struct node *node) { return node->alone; }

void node_membership_changed(struct node *node, raft_index since)
{
    const struct membership *membership = &node->membership;
    raft_id self = node->identity.member_id;
    node->alone = membership->count == 1 && membership->members[0].id == self &&
                  membership_is_voter(membership, self);
    node->admits_ns = 0;
    node_peers_update(node, since);
    if (membership_was_removed(membership, self))
        node_removed(node, RAFT_NOBODY);
}

const struct membership *node_membership(const struct node *node) { return &node->membership; }
bool node_was_removed(const struct node *node) { return node->is_removed; }
bool node_lacks_store(const struct node *node) { return node->transfer.lacks_store; }

bool node_is_ending(const struct node *node)
{
    return node->stopping || node->fault_code != ERR_OK || node_was_removed(node);
}
const struct raft *node_raft(const struct node *node) { return node->raft; }

struct store_options node_store_options(const struct node *node)
{
    return (struct store_options){
        .cluster_id = node->identity.cluster_id,
        .member_id = node->identity.member_id,
        .generation = node->identity.generation,
        .trace = node->trace,
    };
}

void node_say(const struct node *node, const char *format, ...)
{
    char line[ERR_TEXT_SIZE + 512];
    va_list arguments;
    if (!node->say)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    node->say(node->say_context, line);
}

void node_fail(struct node *node, enum err_code code, const struct err *err)
{
    if (node->fault_code != ERR_OK)
        return;
    node->fault_code = code;
    node->fault = *err;
    node->fault.code = code;
    if (!node->fault.text[0])
        snprintf(node->fault.text, sizeof node->fault.text, "%s", err_text(code));
    TRACE(node->trace, "fault code=%s", err_name(code));
}

enum err_code node_core_failed(struct node *node, enum err_code code)
{
    if (code != ERR_OK && err_kind(code) == ERR_KIND_FAULT)
        node_fail(node, code, &(struct err){.text = "the raft core failed"});
    return code;
}

/* ---- life ---- */

static enum err_code check_fit(const struct store *store_const, const struct wal_recovery *recovery,
                               struct err *err)
{
    struct store *store = (struct store *)store_const;
    raft_index applied = store_applied(store);
    raft_index last = recovery->entry_count
                          ? recovery->entries[recovery->entry_count - 1].index
                          : recovery->mark.index;
    if (applied > last)
        return err_set(err, ERR_CORRUPT,
                       "the store holds entries up to %" PRIu64 " but the log ends at %" PRIu64
                       ": the log has lost something; nothing was changed", applied, last);
    if (applied < recovery->mark.index)
        return err_set(err, ERR_CORRUPT,
                       "the store holds entries up to %" PRIu64 " but the log begins after %" PRIu64
                       ": the store is older than the log; nothing was changed", applied,
                       recovery->mark.index);
    return ERR_OK;
}

static enum err_code load_membership(struct node *node, struct err *err)
{
    struct buf encoded = {0};
    store_configuration(node->store, &encoded);
    enum err_code code = membership_decode(buf_bytes(&encoded), &node->membership, err);
    buf_release(&encoded);
    return code;
}

static enum err_code snapshot_for_core(struct raftlog *log, struct raft_snapshot *ret_snapshot)
{
    return transfer_snapshot(container_of(log, struct node, raftlog), ret_snapshot);
}

/* What the log remembers of term, vote and commit. A mark or an entry may have been the last thing that a
 * torn flush left: no vote in its term was durable then, so none was sent. */
static struct hard_state hard_state_at_start(const struct wal_recovery *recovery,
                                             raft_index applied)
{
    struct hard_state state = recovery->state;
    size_t count = recovery->entry_count;
    raft_term term = count ? recovery->entries[count - 1].term : recovery->mark.term;
    if (state.term < term)
        state = (struct hard_state){.term = term, .commit = state.commit};
    if (state.commit < applied)
        state.commit = applied;
    if (MUTANT(VOTE_LOST_AT_START))
        state.vote = RAFT_NOBODY;
    if (MUTANT(COMMIT_GUESSED_AT_START) && recovery->entry_count)
        state.commit = recovery->entries[recovery->entry_count - 1].index;
    return state;
}

static enum err_code open_core(struct node *node, const struct node_options *options,
                               struct err *err)
{
    const struct wal_recovery *recovery = options->recovery;
    raft_index applied = store_applied(node->store);
    struct hard_state hard_state = hard_state_at_start(recovery, applied);
    enum err_code code = load_membership(node, err);
    if (code != ERR_OK)
        return code;
    raftlog_init(&node->raftlog, recovery->mark.index, recovery->mark.term, &hard_state,
                 &node->membership.configuration);
    raftlog_append(&node->raftlog, recovery->entries, recovery->entry_count);
    node->raftlog.snapshot = snapshot_for_core;
    if (options->log_keep_entries)
        node->raftlog.keep_entries = options->log_keep_entries;
    node_note_entries(node, recovery->entries, recovery->entry_count);
    struct raft_config config = {
        .id = node->identity.member_id,
        .election_tick = ELECTION_TICKS,
        .heartbeat_tick = 1,
        .log = &node->raftlog.view,
        .mem = &node->mem,
        .applied = applied,
        .async_storage_writes = true,
        .max_size_per_message =
            options->message_size_max ? options->message_size_max : MESSAGE_SIZE_MAX,
        .max_committed_size_per_ready = APPLY_LAG_BYTES_MAX,
        .max_uncommitted_size =
            options->uncommitted_bytes_max ? options->uncommitted_bytes_max : APPLY_LAG_BYTES_MAX,
        .max_inflight_messages =
            options->inflight_messages_max ? options->inflight_messages_max : INFLIGHT_MESSAGES_MAX,
        .max_inflight_bytes =
            options->inflight_bytes_max ? options->inflight_bytes_max : INFLIGHT_BYTES_MAX,
        .step_down_on_removal = true,
        .commit_in_votes = true,
        .check_quorum = true,
        .pre_vote = true,
        .seed = options->seed,
        .trace = options->trace,
    };
    code = raft_new(&config, &node->raft, err);
    node->applier.queued = applied;
    return code;
}

static void on_writer_progress(struct logwriter *writer)
{
    struct node *node = container_of(writer, struct node, writer);
    node->wake(node->wake_context);
}

static void on_applier_progress(struct applier *applier)
{
    struct node *node = container_of(applier, struct node, applier);
    node->wake(node->wake_context);
}

static void send_to_peer(struct logwriter *writer, const struct raft_message *message)
{
    node_peers_send(container_of(writer, struct node, writer), message);
}

static void on_install(struct logwriter *writer, const struct raft_snapshot *snapshot)
{
    (void)snapshot;
    transfer_install(container_of(writer, struct node, writer));
}

static void on_configured(struct applier *applier, const uint64_t token[2], enum err_code code,
                          const struct err *err)
{
    changes_applied(container_of(applier, struct node, applier), token, code, err);
}

static void wire(struct node *node)
{
    node->writer = (struct logwriter){
        .wal = node->wal, .raft = node->raft, .raftlog = &node->raftlog, .mem = &node->mem,
        .worker = node->worker, .clock = node->clock, .trace = node->trace,
        .progressed = on_writer_progress, .send = send_to_peer, .install = on_install,
    };
    node->applier.store = node->store;
    node->applier.hub = node->watches.hub;
    node->applier.raft = node->raft;
    node->applier.mem = &node->mem;
    node->applier.proposer = &node->proposer;
    node->applier.lessor = node->leases.lessor;
    node->applier.divergence = &node->divergence;
    node->applier.worker = node->worker;
    node->applier.clock = node->clock;
    node->applier.trace = node->trace;
    node->applier.progressed = on_applier_progress;
    node->applier.membership = &node->membership;
    node->applier.configured = on_configured;
}

static struct node *node_new(const struct node_options *options)
{
    struct node *node = mem_xzalloc(sizeof *node);
    node->kv.ops = &kv_local_ops;
    node->identity = options->identity;
    node->clock = options->clock;
    node->worker = options->worker;
    node->store = options->store;
    node->wal = options->wal;
    node->home = options->home;
    node->transfer.lacks_store = options->lacks_store;
    node->generations = options->generations;
    node->say = options->say;
    node->say_context = options->say_context;
    node->trace = options->trace;
    node->data_path = options->data_path ? mem_xstrdup(options->data_path) : NULL;
    node->timeo_ns = (options->timeo_ms ? options->timeo_ms : TIMEO_DEFAULT_MS) * NS_PER_MS;
    node->wake = options->wake;
    node->wake_context = options->wake_context;
    node->next_expire_ns = INT64_MAX;
    node->next_tick_ns = node_now(node);
    node->transfer.wanted_ns = node->next_tick_ns - NS_PER_S;
    node->leader_lost_ns = node->next_tick_ns;
    rand_init(&node->rand, options->seed);
    proposer_init(&node->proposer, store_clock(node->store), node->trace);
    pending_init(&node->pending, &node->raftlog);
    node->proposer.pending = &node->pending;
    reads_init(&node->reads);
    list_init(&node->compaction.waiting);
    watches_open(node, options->seed);
    divergence_begin(&node->divergence, store_position(node->store));
    list_init(&node->changes);
    list_init(&node->changed);
    asks_init(node);
    return node;
}

static void node_free(struct node *node)
{
    peers_abandon(node->peers);
    asks_release(node);
    transfer_release(node);
    membership_release(&node->membership);
    applier_release(&node->applier);
    logwriter_release(&node->writer);
    proposer_release(&node->proposer);
    reads_release(&node->reads);
    snapshotter_release(node);
    leases_release(&node->leases);
    watches_release(node);
    raft_free(node->raft);
    raftlog_release(&node->raftlog);
    store_close(node->store);
    free(node->data_path);
    free(node);
}

enum err_code node_open(struct node **ret, const struct node_options *options, struct err *err)
{
    struct node *node = node_new(options);
    enum err_code code = check_fit(node->store, options->recovery, err);
    if (code == ERR_OK)
        code = open_core(node, options, err);
    if (code == ERR_OK)
        code = store_forget_logs(node->store, err);
    if (code == ERR_OK) {
        leases_init(&node->leases, node->raft, &node->proposer, node->clock, options->seed,
                    node->trace);
        code = leases_load(&node->leases, node->store, err);
    }
    if (code == ERR_OK) {
        wire(node);
        logwriter_begin(&node->writer, options->recovery);
        code = node_peers_open(node, options, err);
    }
    if (code == ERR_OK) {
        node_membership_changed(node, 0);
        snapshotter_open(node, options->recovery->mark.index);
        node->term = raft_current_term(node->raft);
        if (node_is_alone(node) && !node_is_forming(node))
            code = node_core_failed(node, raft_campaign(node->raft));
    }
    if (code != ERR_OK) {
        wal_abandon(node->wal);
        node_free(node);
        return code;
    }
    *ret = node;
    return ERR_OK;
}

static void first_membership(const struct membership_member *members, size_t count,
                             struct membership *ret)
{
    struct raft_conf_state configuration = {0};
    struct membership_context context = {.count = count};
    for (size_t i = 0; i < count; i++) {
        context.members[i] = members[i];
        CHECK(raft_id_set_add(&configuration.voters, members[i].id));
    }
    membership_apply(ret, 1, &context, &configuration);
}

enum err_code node_bootstrap(struct store *store, struct wal *wal,
                             const struct membership_member *members, size_t count,
                             struct err *err)
{
    struct membership membership = {0};
    struct buf encoded = {0};
    first_membership(members, count, &membership);
    membership_encode(&membership, &encoded);
    struct entry entry = {.term = 1, .index = 1, .type = ENTRY_CONF_CHANGE_V2};
    store_begin(store);
    enum err_code code = store_apply_configuration(store, &entry, buf_bytes(&encoded), err);
    if (code == ERR_OK)
        code = store_commit(store, err);
    if (code == ERR_OK)
        code = store_checkpoint(store, err);
    buf_clear(&encoded);
    raft_conf_state_encode(&membership.configuration, &encoded);
    struct snapshot_mark mark = {1, 1, blob_copy(buf_bytes(&encoded))};
    struct hard_state hard_state = {.term = 1, .commit = 1};
    if (code == ERR_OK)
        code = wal_mark(wal, &mark, err);
    if (code == ERR_OK)
        code = wal_append(wal, &hard_state, NULL, 0, err);
    if (code == ERR_OK)
        code = wal_flush(wal, err);
    blob_unref(mark.configuration);
    buf_release(&encoded);
    membership_release(&membership);
    return code;
}

/* ---- the turn ---- */

static void on_soft_state(struct node *node, const struct raft_soft_state *state)
{
    raft_term term = raft_current_term(node->raft);
    bool moved = state->leader != node->leader || term != node->term;
    TRACE(node->trace, "soft-state leader=%" PRIu64 " role=%d term=%" PRIu64, state->leader,
          (int)state->role, term);
    node->leader = state->leader;
    node->term = term;
    if (state->leader != RAFT_NOBODY)
        node->leader_lost_ns = 0;
    else if (node->leader_lost_ns == 0)     /* each vain election changes the role once more */
        node->leader_lost_ns = node_now(node);
    if (moved && state->leader != RAFT_NOBODY && node->proposer.open_count)
        node_core_failed(node, proposer_repeat(&node->proposer, node->raft, node_now(node), 0,
                                               clock_wall_ns(node->clock)));
}

static void on_message(struct node *node, const struct raft_message *message)
{
    if (message->to == RAFT_APPEND_THREAD) {
        if (message->snapshot)
            transfer_marked(node, message->snapshot);
        node_note_entries(node, message->entries, message->entry_count);
        node_core_failed(node, logwriter_queue(&node->writer, message));
    } else if (message->to == RAFT_APPLY_THREAD) {
        node_core_failed(node, applier_queue(&node->applier, message));
    } else {
        node_peers_send(node, message);
    }
}

static void on_read_state(struct node *node, const struct raft_read_state *state)
{
    reads_state(node, state);
    leases_read_state(&node->leases, state, node_now(node));
}

static void ready_turn(struct node *node)
{
    while (node->fault_code == ERR_OK && raft_has_ready(node->raft)) {
        struct raft_ready ready;
        if (node_core_failed(node, raft_ready(node->raft, &ready)) != ERR_OK)
            return;
        if (ready.entry_count)
            TRACE(node->trace, "ready entries=%zu last=%" PRIu64, ready.entry_count,
                  ready.entries[ready.entry_count - 1].index);
        if (ready.committed_count)
            TRACE(node->trace, "commit index=%" PRIu64,
                  ready.committed[ready.committed_count - 1].index);
        for (size_t i = 0; i < ready.message_count; i++)
            on_message(node, &ready.messages[i]);
        for (size_t i = 0; i < ready.read_state_count; i++)
            on_read_state(node, &ready.read_states[i]);
        if (ready.has_soft_state)
            on_soft_state(node, &ready.soft_state);
    }
}

/* More committed and not applied than this, and proposals wait in their queue. */
static bool is_behind(const struct node *node)
{
    raft_index committed = raft_committed(node->raft), applied = store_applied(node->store);
    return (committed > applied && committed - applied > APPLY_LAG_ENTRIES_MAX) ||
           node->applier.bytes > APPLY_LAG_BYTES_MAX;
}

static void gather_faults(struct node *node)
{
    if (node->writer.code != ERR_OK)
        node_fail(node, node->writer.code, &node->writer.err);
    if (node->applier.code != ERR_OK)
        node_fail(node, node->applier.code, &node->applier.err);
}

static void note_configuration(struct node *node)
{
    raft_index index = node->applier.configuration_index;
    if (!index)
        return;
    node_membership_changed(node, index);
    snapshotter_note_configuration(node, index);
    node->applier.configuration_index = 0;
}

bool node_store_is_held(const struct node *node)
{
    return transfer_holds_store(node) || reopen_holds_store(node);
}

bool node_store_is_quiet(const struct node *node)
{
    return !node->applier.token.held && node->reads.jobs == 0 && !node->snapshotter.in_flight &&
           !node->compaction.in_flight && transfer_is_idle(node) &&
           !watch_hub_is_reading(node->watches.hub);
}

/* The core and what it still hands out, in step with the store. */
static enum err_code join_core(struct node *node, bool fetched, struct err *err)
{
    raft_index applied = store_applied(node->store);
    enum err_code code = ERR_OK;
    if (!fetched) {
        applier_restart(&node->applier, node->store, applied);
    } else {
        code = raft_step_down(node->raft);
        if (code == ERR_OK)
            code = raft_restore_configuration(node->raft, &node->membership.configuration, err);
        applier_skip(&node->applier, node->store, applied);
    }
    node->transfer.lacks_store = false;
    reopen_end(&node->reopen);
    return code;
}

void node_installed(struct node *node, bool fetched)
{
    struct err err = {0};
    enum err_code code =
        MUTANT(INSTALL_KEEPS_MEMBERS) ? ERR_OK : load_membership(node, &err);
    if (code == ERR_OK)
        code = join_core(node, fetched, &err);
    if (code == ERR_OK)
        code = leases_load(&node->leases, node->store, &err);
    if (code != ERR_OK) {
        node_fail(node, code, &err);
        return;
    }
    snapshotter_restart(node, fetched);
    divergence_begin(&node->divergence, store_position(node->store));
    node_membership_changed(node, 0);
    watch_hub_reset(node->watches.hub, node->store);
    if (node->observer)
        node->observer->reset(node->observer);
    if (fetched)
        node_say(node, "the state was fetched from the others, up to entry %" PRIu64,
                 store_applied(node->store));
    else
        logwriter_installed(&node->writer);
    /* What was decided in what the snapshot stands for, nobody here was told. */
    if (node->proposer.open_count)
        node_core_failed(node, proposer_repeat(&node->proposer, node->raft, node_now(node), 0,
                                               clock_wall_ns(node->clock)));
}

/* Whether the loop may flush or apply by itself: as a member among others only when no timer of raft's
 * is near, since a slow flush would make it late. */
static size_t inline_waiting(const struct node *node)
{
    size_t waiting = proposer_busy(&node->proposer);
    bool is_near = !node->alone && node->next_tick_ns - node_now(node) < INLINE_TIMER_NS;
    return is_near && waiting < 2 ? 2 : waiting;
}

/* One pass over everything; true when something was done inline that may have made more to do. */
static bool work(struct node *node)
{
    bool may_propose = !is_behind(node) && !node->stopping && !node_store_is_held(node);
    if (may_propose)
        node_core_failed(node, proposer_fill(&node->proposer, node->raft, node_now(node),
                                             clock_wall_ns(node->clock),
                                             rand_u64(&node->rand) | 1));
    node_core_failed(node, leases_turn(&node->leases, node_now(node), may_propose));
    asks_turn(node);
    changes_turn(node);
    ready_turn(node);
    node_peers_flush(node);
    node_peers_tell_removed(node);
    size_t waiting = inline_waiting(node);
    bool done = !node->hold_commit && logwriter_turn(&node->writer, waiting);
    if (done) {
        snapshotter_release_log(node);
        ready_turn(node);
    }
    if (!node_store_is_held(node) && applier_turn(&node->applier, waiting)) {
        done = true;
        ready_turn(node);
    }
    note_configuration(node);
    done |= transfer_turn(node);
    reopen_turn(node);
    gather_faults(node);
    return reads_turn(node) || done;
}

/* A compaction that asked to wait for the rows is told when the walk has ended. */
static bool waits_for_walk(struct node *node, struct kv_request *request)
{
    if (request->kind != KV_COMPACT || !request->compact.physical ||
        request->err.code != ERR_OK || !store_compact_pending(node->store) || node->stopping ||
        node->compaction.is_over)
        return false;
    request->compact.physical = false;
    list_push_back(&node->compaction.waiting, &request->link);
    return true;
}

static bool deliver(struct node *node)
{
    LIST_HEAD(answered);
    list_splice_back(&answered, &node->proposer.answered);
    bool any = !list_is_empty(&answered);
    struct list *link;
    while ((link = list_pop_front(&answered))) {
        struct kv_request *request = container_of(link, struct kv_request, link);
        if (waits_for_walk(node, request))
            continue;
        request->owner = NULL;
        request->done(request, request->err.code);
    }
    watches_end(node);
    return any;
}

static void fail_everything(struct node *node)
{
    proposer_fail(&node->proposer, ERR_CLOSING);
    asks_fail(node, ERR_CLOSING);
    changes_fail(node, ERR_CLOSING);
    reads_fail(node, ERR_CLOSING);
    watches_close(node);
    struct list *link;
    node->compaction.is_over = true;
    while ((link = list_pop_front(&node->compaction.waiting)))
        proposer_done(&node->proposer, container_of(link, struct kv_request, link), ERR_CLOSING);
}

/* What was sent and not seen in the log since: the message, or the leader, was lost; or the core took nothing
 * more then. */
static void repeat(struct node *node, int64_t now)
{
    if (now < node->repeat_ns)
        return;
    node->repeat_ns = now + PROPOSAL_REPEAT_NS;
    if (raft_leader(node->raft) != RAFT_NOBODY && node->proposer.open_count)
        node_core_failed(node, proposer_repeat(&node->proposer, node->raft, now,
                                               now - PROPOSAL_PATIENCE_NS,
                                               clock_wall_ns(node->clock)));
}

static void expire(struct node *node, int64_t now)
{
    int64_t writes = proposer_expire(&node->proposer, now, node->leader != RAFT_NOBODY);
    int64_t reads = reads_expire(node, now);
    node->next_expire_ns = writes < reads ? writes : reads;
}

static bool needs_ticks(const struct node *node)
{
    return !(node_is_alone(node) && raft_role(node->raft) == RAFT_LEADER);
}

/* A loop that stalled for half an election timeout may have been replaced meanwhile. */
static void tick(struct node *node, int64_t now)
{
    int64_t period = HEARTBEAT_DEFAULT_MS * NS_PER_MS;
    if (!needs_ticks(node) || node_is_forming(node)) {
        node->next_tick_ns = now;
        node->campaign_ns = 0;
        return;
    }
    if (now - node->next_tick_ns > ELECTION_DEFAULT_MS * NS_PER_MS / 2)
        node_core_failed(node, raft_step_down(node->raft));
    for (int i = 0; i < 4 && node->next_tick_ns <= now; i++) {
        node->next_tick_ns += period;
        node_core_failed(node, raft_tick(node->raft));
    }
    if (node->next_tick_ns <= now)
        node->next_tick_ns = now + period;
    if (node->campaign_ns && now >= node->campaign_ns) {
        node->campaign_ns = 0;
        if (raft_leader(node->raft) == RAFT_NOBODY)
            node_core_failed(node, raft_campaign(node->raft));
    }
    node_peers_forget(node, now);
    node_peers_call(node, now);
}

/* No job is in flight, and everyone was told. */
static bool jobs_are_done(const struct node *node)
{
    return !node->writer.token.held && !node->writer.prepare && !node->applier.token.held &&
           !node->snapshotter.in_flight && !node->compaction.in_flight && node->reads.jobs == 0 &&
           transfer_is_idle(node) && reopen_is_idle(&node->reopen) && !node->space.in_flight &&
           list_is_empty(&node->proposer.answered) &&
           list_is_empty(&node->changed) && list_is_empty(&node->asks.finished) &&
           watches_are_closed(node);
}

/* The peers are not needed any more. What waits for a store, or for room, is in the log. */
static bool requests_are_done(const struct node *node)
{
    bool applies = !node->applier.no_space && !node_store_is_held(node);
    bool flushes = !node->writer.installing;
    return !proposer_is_waited_for(&node->proposer) && !(node->writer.must_flush && flushes) &&
           (applier_is_idle(&node->applier) || !applies);
}

/* A last frame of raft is not waited for: whoever misses one asks. */
static void node_peers_end(struct node *node)
{
    node_peers_flush(node);
    node_peers_close(node);
    if (node->peers)
        peers_turn(node->peers, node_now(node));
}

bool node_turn(struct node *node)
{
    int64_t now = node_now(node);
    if (node->fault_code == ERR_OK) {
        tick(node, now);
        repeat(node, now);
        if (now >= node->next_expire_ns)
            expire(node, now);
        if (node->peers)
            peers_turn(node->peers, now);
        forming_turn(node);
        node_removal_turn(node);
    }
    if (node->fault_code != ERR_OK || (node->stopping && requests_are_done(node)))
        node_peers_end(node);
    if (node_was_removed(node))
        fail_everything(node);
    bool more = true;
    for (int round = 0; round < ROUNDS_MAX && more; round++) {
        bool done = node->fault_code == ERR_OK && work(node);
        if (node->fault_code != ERR_OK)
            fail_everything(node);
        more = deliver(node) || done;
        more |= changes_deliver(node);
        more |= asks_deliver(node);
    }
    if (node->fault_code == ERR_OK) {
        snapshotter_release_log(node);
        snapshotter_turn(node);
        compaction_turn(node);
        divergence_turn(node);
        space_turn(node);
        more |= watches_turn(node);
        more |= !list_is_empty(&node->proposer.answered) || raft_has_ready(node->raft) ||
                leases_next_ns(&node->leases) <= now;
    }
    node_peers_flush(node);
    return more;
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t node_next_wake_ns(const struct node *node)
{
    if (node->peers && node->peers_closing)
        return peers_next_wake_ns(node->peers);
    if (node->fault_code != ERR_OK)
        return INT64_MAX;
    int64_t next = earlier(node->next_expire_ns, changes_next_wake_ns(node));
    next = earlier(next, earlier(asks_next_wake_ns(node), forming_next_wake_ns(node)));
    next = earlier(next, earlier(transfer_next_wake_ns(node), reopen_next_wake_ns(node)));
    next = earlier(next, earlier(divergence_next_wake_ns(node), space_next_wake_ns(node)));
    if (node->peers)
        next = earlier(next, peers_next_wake_ns(node->peers));
    if (node->campaign_ns)
        next = earlier(next, node->campaign_ns);
    next = earlier(next, leases_next_ns(&node->leases));
    if (node->proposer.open_count)
        next = earlier(next, node->repeat_ns);
    if (needs_ticks(node) && !node_is_forming(node))
        next = earlier(next, node->next_tick_ns);
    if (snapshotter_wants_look(node) && node->snapshotter.due_ns < next)
        next = node->snapshotter.due_ns;
    if (node->writer.prepare_not_before_ns && node->writer.prepare_not_before_ns < next)
        next = node->writer.prepare_not_before_ns;
    return next;
}

bool node_is_busy(const struct node *node)
{
    return proposer_busy(&node->proposer) || node->writer.token.held ||
           node->applier.token.held || !reads_are_idle(&node->reads);
}

enum err_code node_fault(const struct node *node, struct err *ret_err)
{
    if (node->fault_code != ERR_OK && ret_err)
        *ret_err = node->fault;
    return node->fault_code;
}

struct kv *node_kv(struct node *node) { return &node->kv; }
struct store *node_store(struct node *node) { return node->store; }

/* ---- the end ---- */

void node_stop(struct node *node)
{
    if (node->stopping)
        return;
    node->stopping = true;
    logwriter_stop(&node->writer);
    /* What was never proposed did not happen; what was is finished below, by node_turn. */
    struct list *link;
    while ((link = list_pop_front(&node->proposer.waiting))) {
        node->proposer.waiting_count--;
        proposer_done(&node->proposer, container_of(link, struct kv_request, link), ERR_CLOSING);
    }
    reads_fail(node, ERR_CLOSING);
    watches_close(node);
    asks_fail(node, ERR_CLOSING);
    changes_fail(node, ERR_CLOSING);
}

bool node_is_stopped(const struct node *node)
{
    bool is_over = node->fault_code != ERR_OK || (node->stopping && requests_are_done(node));
    return is_over && jobs_are_done(node) && !node->peers;
}

enum err_code node_close(struct node *node, struct err *err)
{
    fail_everything(node);
    deliver(node);
    changes_deliver(node);
    asks_deliver(node);
    enum err_code code = node->fault_code;
    if (code == ERR_OK)
        code = snapshotter_finish(node, err);
    else if (err)
        *err = node->fault;
    if (code == ERR_OK) {
        code = wal_close(node->wal, err);
    } else {
        wal_abandon(node->wal);
    }
    node_free(node);
    return code;
}

void node_transfer_leader(struct node *node, raft_id to)
{
    node_core_failed(node, raft_transfer_leader(node->raft, to));
    node->wake(node->wake_context);
}

/* Whoever is killed tells nobody: those who asked it over the net hear of it by their connection. */
void node_abandon(struct node *node)
{
    node->peers_closing = true;
    fail_everything(node);
    deliver(node);
    changes_deliver(node);
    asks_deliver(node);
    wal_abandon(node->wal);
    node_free(node);
}

/* ---- for tests ---- */

enum err_code node_propose_raw(struct node *node, struct blob *payload)
{
    return proposer_propose_again(&node->proposer, node->raft, payload,
                                  clock_wall_ns(node->clock));
}

void node_hold_commit(struct node *node, bool hold) { node->hold_commit = hold; }
