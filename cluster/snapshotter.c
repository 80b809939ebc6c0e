/* Snapshotter: payload durable -> mark in the log -> flush -> release of old segments (etcd I3), for
 * checkpoints. The store's tables are the payload: when LevelDB has dropped the log file of its own
 * that was current at index A, everything up to A is in synced tables (mvcc/checkpoint.c), and our log
 * need not hold it any more.
 *
 * Once a second while anything is applied a worker asks for that A; a rollover of the write buffer
 * (16 MiB) moves it. A mark costs one record in a flush that is due anyway or soon.
 *
 * The same look measures the disk (space.h).
 *
 * Beside it: the walk of a compaction, one step at a time, whenever the apply token is free.
 */
#include "cluster/node_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"

#define SNAPSHOTTER_PERIOD_NS NS_PER_S
#define COMPACTED_REPEAT_NS NS_PER_S    /* far longer than an entry takes to be applied */

static void find_space(struct node *node)
{
    struct err err;
    uint64_t total, free;
    if (!node->home || home_room(node->home, &total, &free, &err) != ERR_OK)
        return;
    node->snapshotter.found.disk_total = total;
    node->snapshotter.found.disk_free = free;
}

static void take_found(struct snapshotter *snapshotter)
{
    snapshotter->durable = snapshotter->found.durable;
    snapshotter->disk_total = snapshotter->found.disk_total;
    snapshotter->disk_free = snapshotter->found.disk_free;
}

void snapshotter_note_configuration(struct node *node, raft_index index)
{
    struct snapshotter *snapshotter = &node->snapshotter;
    struct buf encoded = {0}, membership = {0};
    raft_conf_state_encode(&node->membership.configuration, &encoded);
    membership_encode(&node->membership, &membership);
    if (snapshotter->configuration_count == snapshotter->configuration_capacity) {
        snapshotter->configuration_capacity = 2 * snapshotter->configuration_capacity + 8;
        snapshotter->configurations =
            mem_xrealloc(snapshotter->configurations, snapshotter->configuration_capacity *
                                                          sizeof *snapshotter->configurations);
    }
    snapshotter->configurations[snapshotter->configuration_count++] =
        (struct snapshotter_configuration){index, blob_copy(buf_bytes(&encoded)),
                                           blob_copy(buf_bytes(&membership))};
    buf_release(&encoded);
    buf_release(&membership);
}

/* The first count of them. */
static void forget_configurations(struct snapshotter *snapshotter, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blob_unref(snapshotter->configurations[i].encoded);
        blob_unref(snapshotter->configurations[i].membership);
    }
    snapshotter->configuration_count -= count;
    memmove(&snapshotter->configurations[0], &snapshotter->configurations[count],
            snapshotter->configuration_count * sizeof snapshotter->configurations[0]);
}

/* All but the one that a mark at index, and above, still refers to. */
static void forget_configurations_before(struct snapshotter *snapshotter, raft_index index)
{
    size_t count = 0;
    while (count + 1 < snapshotter->configuration_count &&
           snapshotter->configurations[count + 1].index <= index)
        count++;
    forget_configurations(snapshotter, count);
}

void snapshotter_restart(struct node *node, bool fetched)
{
    struct snapshotter *snapshotter = &node->snapshotter;
    raft_index applied = store_applied(node->store);
    CHECK(!snapshotter->in_flight);
    forget_configurations(snapshotter, snapshotter->configuration_count);
    snapshotter_note_configuration(node, applied);
    snapshotter->durable = applied;
    if (!fetched)
        snapshotter->marked = applied;
    snapshotter->checked_applied = applied;
}

/* As of index; NULL when it is older than what is remembered. */
static const struct snapshotter_configuration *configuration_at(
    const struct snapshotter *snapshotter, raft_index index)
{
    for (size_t i = snapshotter->configuration_count; i-- > 0;)
        if (snapshotter->configurations[i].index <= index)
            return &snapshotter->configurations[i];
    return NULL;
}

struct bytes snapshotter_membership_at(const struct node *node, raft_index index)
{
    const struct snapshotter_configuration *found = configuration_at(&node->snapshotter, index);
    return found ? blob_bytes(found->membership) : BYTES_EMPTY;
}

void snapshotter_open(struct node *node, raft_index marked)
{
    snapshotter_note_configuration(node, store_applied(node->store));
    node->snapshotter.marked = node->snapshotter.released = marked;
    find_space(node);
    take_found(&node->snapshotter);
}

void snapshotter_release(struct node *node)
{
    CHECK(!node->snapshotter.in_flight);
    forget_configurations(&node->snapshotter, node->snapshotter.configuration_count);
    free(node->snapshotter.configurations);
}

/* Not where a later one is in the log, which a snapshot brings whose store is not in place yet. */
static enum err_code mark(struct node *node, raft_index index)
{
    const struct snapshotter_configuration *configuration =
        configuration_at(&node->snapshotter, index);
    struct snapshot_mark mark = {
        .index = index,
        .term = raftlog_term(&node->raftlog, index),
        .configuration = configuration ? configuration->encoded : NULL,
    };
    if (index <= node->snapshotter.marked || index <= node->writer.mark_appended || mark.term == 0 ||
        !mark.configuration)
        return ERR_OK;
    enum err_code code = logwriter_mark(&node->writer, &mark);
    if (code == ERR_OK) {
        node->snapshotter.marked = index;
        TRACE(node->trace, "mark index=%" PRIu64, index);
        forget_configurations_before(&node->snapshotter, index);
    }
    return code == ERR_NO_SPACE ? ERR_OK : code;
}

static void run(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, snapshotter.job);
    if (store_backend(node->store))
        node->snapshotter.found.durable = MUTANT(MARK_BEFORE_DURABLE)
                                              ? store_applied(node->store)
                                              : store_durable_index(node->store);
    find_space(node);
}

static void done(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, snapshotter.job);
    node->snapshotter.in_flight = false;
    take_found(&node->snapshotter);
    if (node->fault_code == ERR_OK && !node->stopping &&
        mark(node, node->snapshotter.durable) != ERR_OK)
        node_fail(node, node->writer.code, &node->writer.err);
    node->wake(node->wake_context);
}

bool snapshotter_wants_look(const struct node *node)
{
    const struct snapshotter *snapshotter = &node->snapshotter;
    bool waits_for_room = node->reopen.state == REOPEN_WAITING;
    if (snapshotter->in_flight || node->stopping || transfer_holds_store(node) ||
        (reopen_holds_store(node) && !waits_for_room))
        return false;
    return space_is_watched(node) || store_applied(node->store) != snapshotter->checked_applied ||
           snapshotter->durable > snapshotter->marked;
}

void snapshotter_turn(struct node *node)
{
    struct snapshotter *snapshotter = &node->snapshotter;
    int64_t now = node_now(node);
    if (now < snapshotter->due_ns || !snapshotter_wants_look(node))
        return;
    snapshotter->checked_applied = store_applied(node->store);
    snapshotter->due_ns = now + SNAPSHOTTER_PERIOD_NS;
    snapshotter->in_flight = true;
    snapshotter->job = (struct worker_job){.run = run, .done = done};
    worker_submit(node->worker, WORKER_WORK, &snapshotter->job);
}

void snapshotter_release_log(struct node *node)
{
    struct wal_stats stats;
    wal_get_stats(node->wal, &stats);
    if (stats.mark_index <= node->snapshotter.released || node->writer.installing)
        return;         /* an installed snapshot's mark counts once its store is in place */
    struct raft_status status;
    raft_status(node->raft, &status);
    node->snapshotter.released = stats.mark_index;
    raftlog_compact(&node->raftlog, raftlog_spare(&node->raftlog, &status, stats.mark_index));
    wal_release(node->wal, stats.mark_index);
}

enum err_code snapshotter_finish(struct node *node, struct err *err)
{
    if (node->transfer.lacks_store || node->applier.no_space || !store_backend(node->store))
        return wal_flush(node->wal, err);
    enum err_code code = store_checkpoint(node->store, err);
    if (code != ERR_OK)
        return code;
    code = mark(node, store_durable_index(node->store));
    return code == ERR_OK ? wal_flush(node->wal, err) : code;
}

/* ---- compaction ---- */

static void step_run(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, compaction.job);
    struct compaction *compaction = &node->compaction;
    kv_rev revision;
    uint64_t bytes;
    compaction->code =
        store_compact_step(node->store, &compaction->done, &revision, &bytes, &compaction->err);
}

/* The leader tells everyone how much its walk has freed; a member with another figure has diverged. */
static enum err_code propose_compacted(struct node *node, kv_rev revision, uint64_t bytes)
{
    struct entry_request request = {
        .kind = ENTRY_COMPACTED,
        .compact.revision = revision,
        .compacted_bytes = bytes,
    };
    return proposer_propose_own(&node->proposer, node->raft, &request, clock_wall_ns(node->clock));
}

/* Until it is applied: the entry may be lost with its leader. */
static void tell_owed(struct node *node)
{
    struct compaction *compaction = &node->compaction;
    raft_term term = raft_current_term(node->raft);
    int64_t now = node_now(node);
    kv_rev revision;
    uint64_t bytes;
    if (raft_role(node->raft) != RAFT_LEADER ||
        !store_compact_owes(node->store, &revision, &bytes))
        return;
    bool is_on_its_way = revision == compaction->told_revision && term == compaction->told_term &&
                         now < compaction->tell_again_ns;
    if (is_on_its_way || propose_compacted(node, revision, bytes) != ERR_OK)
        return;
    compaction->told_revision = revision;
    compaction->told_term = term;
    compaction->tell_again_ns = now + COMPACTED_REPEAT_NS;
}

static void walk_ended(struct node *node)
{
    struct list *link;
    while ((link = list_pop_front(&node->compaction.waiting)))
        proposer_done(&node->proposer, container_of(link, struct kv_request, link), ERR_OK);
}

static void step_done(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, compaction.job);
    node->compaction.in_flight = false;
    token_give(&node->applier.token);
    if (node->compaction.code == ERR_NO_SPACE)
        applier_refused(&node->applier);
    else if (node->compaction.code != ERR_OK)
        node_fail(node, node->compaction.code, &node->compaction.err);
    node->wake(node->wake_context);
}

void compaction_turn(struct node *node)
{
    struct compaction *compaction = &node->compaction;
    if (compaction->in_flight || node->applier.token.held || node->applier.no_space || node->stopping ||
        node_store_is_held(node))
        return;
    tell_owed(node);
    if (!store_compact_pending(node->store)) {
        walk_ended(node);
        return;
    }
    compaction->in_flight = true;
    compaction->job = (struct worker_job){.run = step_run, .done = step_done};
    token_take(&node->applier.token);
    worker_submit(node->worker, WORKER_APPLY, &compaction->job);
}
