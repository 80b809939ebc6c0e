/* Watches of this member: the hub (mvcc/watch.h) and who drives it. A batch is told by the applier, on
 * the loop, before its answers; everything else in turns: a chunk of what late watches need is read on the
 * loop in each, as long as reading is quick, and longer readings go to a worker, one at a time. */
#include "cluster/node_internal.h"

#include "proto/base/hash.h"

static struct node *node_of(struct kv *kv) { return container_of(kv, struct node, kv); }

void watches_open(struct node *node, uint64_t seed)
{
    node->watches.hub = watch_hub_new(node->store, hash_u64(seed));
}

void watches_release(struct node *node) { watch_hub_free(node->watches.hub); }

void watches_close(struct node *node) { watch_hub_close(node->watches.hub); }

void watches_end(struct node *node) { watch_hub_end(node->watches.hub); }

bool watches_are_closed(const struct node *node)
{
    struct watch_counts counts;
    watch_hub_count(node->watches.hub, &counts);
    return counts.watches == 0 && !watch_hub_is_reading(node->watches.hub);
}

static void read_run(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, watches.job);
    watch_hub_read(node->watches.hub);
}

static void read_done(struct worker_job *job)
{
    struct node *node = container_of(job, struct node, watches.job);
    struct err err = {0};
    enum err_code code = watch_hub_read_done(node->watches.hub, &err);
    if (code != ERR_OK)
        node_fail(node, code, &err);
    node->wake(node->wake_context);
}

bool watches_turn(struct node *node)
{
    if (node_store_is_held(node))     /* the turn after the installation goes on */
        return false;
    struct watches *watches = &node->watches;
    enum watch_work work;
    struct err err = {0};
    int64_t start = node_now(node);
    enum err_code code =
        watch_hub_turn(watches->hub, start >= watches->slow_until_ns, &work, &err);
    if (code != ERR_OK) {
        node_fail(node, code, &err);
        return true;
    }
    int64_t end = node_now(node);
    if (end - start > READ_SLOW_NS)
        watches->slow_until_ns = end + NS_PER_S;
    if (work == WATCH_READ) {
        watches->job = (struct worker_job){.run = read_run, .done = read_done};
        worker_submit(node->worker, WORKER_WORK, &watches->job);
    }
    return work == WATCH_AGAIN;
}

/* ---- the contract ---- */

void watches_watch(struct kv *kv, struct kv_watch *watch)
{
    struct node *node = node_of(kv);
    watch_hub_watch(node->watches.hub, kv, watch);
    node->wake(node->wake_context);
}

void watches_unwatch(struct kv *kv, struct kv_watch *watch)
{
    struct node *node = node_of(kv);
    watch_hub_unwatch(node->watches.hub, watch);
    node->wake(node->wake_context);
}

void watches_pause(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_pause(node_of(kv)->watches.hub, watch);
}

void watches_resume(struct kv *kv, struct kv_watch *watch)
{
    struct node *node = node_of(kv);
    watch_hub_resume(node->watches.hub, watch);
    node->wake(node->wake_context);
}

void watches_progress(struct kv *kv, struct kv_watch *watch)
{
    struct node *node = node_of(kv);
    watch_hub_progress(node->watches.hub, watch);
    node->wake(node->wake_context);
}
