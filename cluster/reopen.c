#include "cluster/reopen.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cluster/node_internal.h"
#include "proto/base/mem.h"

/* What opening writes, and the replay behind it: a write buffer that becomes a table, and the next one's log. */
#define REOPEN_ROOM (2 * WRITE_BUFFER_SIZE)

static void wait_for_room(struct node *node, int64_t due_ns)
{
    node->reopen.state = REOPEN_WAITING;
    node->reopen.due_ns = due_ns;
}

/* ---- what is applied again ---- */

/* What is in memory and was applied: the tables hold all that is before it. */
static void gather(struct node *node)
{
    struct reopen *reopen = &node->reopen;
    raft_index first = raftlog_first(&node->raftlog), applied = store_applied(node->store);
    reopen->count = applied >= first ? (size_t)(applied - first + 1) : 0;
    reopen->entries = mem_xalloc((reopen->count + 1) * sizeof *reopen->entries);
    reopen->configurations = mem_xzalloc((reopen->count + 1) * sizeof *reopen->configurations);
    for (size_t i = 0; i < reopen->count; i++) {
        reopen->entries[i] = *raftlog_get(&node->raftlog, first + i);
        blob_ref(reopen->entries[i].payload);
        if (reopen->entries[i].type != ENTRY_NORMAL)
            reopen->configurations[i] = snapshotter_membership_at(node, first + i);
    }
}

static void release(struct reopen *reopen)
{
    for (size_t i = 0; i < reopen->count; i++)
        blob_unref(reopen->entries[i].payload);
    free(reopen->entries);
    free(reopen->configurations);
    reopen->entries = NULL;
    reopen->configurations = NULL;
    reopen->count = 0;
}

/* ---- the job ---- */

static void run(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, reopen.job);
    struct reopen *reopen = &node->reopen;
    struct store_options options = node_store_options(node);
    struct store_replay replay = {reopen->entries, reopen->configurations, reopen->count};
    if (store_backend(node->store))
        store_detach(node->store);
    reopen->code = home_open(node->home, false, &options.backend, &reopen->err);
    if (reopen->code == ERR_OK)
        reopen->code = store_reattach(node->store, &options, &replay, &reopen->err);
}

static void done(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, reopen.job);
    struct reopen *reopen = &node->reopen;
    token_give(&node->applier.token);
    release(reopen);
    reopen->is_detached = reopen->code != ERR_OK;
    TRACE(node->trace, "reopen applied=%" PRIu64 " code=%s", store_applied(node->store),
          err_name(reopen->code));
    wait_for_room(node, node_now(node) + REOPEN_PERIOD_NS);
    if (reopen->code == ERR_OK) {
        reopen->state = REOPEN_FINE;
        reopen->times++;
        applier_resume(&node->applier);
        node_say(node, "there is room on the disk again: the store goes on behind entry %" PRIu64,
                 store_applied(node->store));
    } else if (reopen->code != ERR_NO_SPACE) {
        node_fail(node, reopen->code, &reopen->err);
    }
    node->wake(node->wake_context);
}

static void begin(struct node *node)
{
    struct reopen *reopen = &node->reopen;
    reopen->state = REOPEN_RUNNING;
    gather(node);
    token_take(&node->applier.token);
    reopen->job = (struct worker_job){.run = run, .done = done};
    worker_submit(node->worker, WORKER_APPLY, &reopen->job);
}

/* ---- turns ---- */

static void was_refused(struct node *node)
{
    if (!node->home) {
        node_fail(node, ERR_IO, &(struct err){.text = "the store was refused room"});
        return;
    }
    node_say(node, "the disk is full: nothing is applied until there is room again");
    node->snapshotter.disk_free = 0;        /* whatever was measured before; to be measured again */
    node->snapshotter.due_ns = 0;
    wait_for_room(node, node_now(node) + REOPEN_PERIOD_NS);
}

static bool has_room(const struct node *node)
{
    return node->snapshotter.disk_total == 0 || node->snapshotter.disk_free >= REOPEN_ROOM;
}

void reopen_turn(struct node *node)
{
    struct reopen *reopen = &node->reopen;
    int64_t now = node_now(node);
    if (reopen->state == REOPEN_FINE && node->applier.no_space)
        was_refused(node);
    if (reopen->state == REOPEN_WAITING && now >= reopen->due_ns && !node->stopping) {
        reopen->due_ns = now + REOPEN_PERIOD_NS;
        reopen->state = has_room(node) ? REOPEN_WANTED : REOPEN_WAITING;
    }
    /* A store that is to take this one's place needs none of it, and may be what home_open would find. */
    if (reopen->state == REOPEN_WANTED && node_store_is_quiet(node) && !transfer_holds_store(node))
        begin(node);
}

int64_t reopen_next_wake_ns(const struct node *node)
{
    return node->reopen.state == REOPEN_WAITING && !node->stopping ? node->reopen.due_ns : INT64_MAX;
}

bool reopen_holds_store(const struct node *node)
{
    const struct reopen *reopen = &node->reopen;
    return reopen->is_detached || reopen->state == REOPEN_WANTED || reopen->state == REOPEN_RUNNING;
}
