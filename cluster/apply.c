#include "cluster/apply.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/mutant.h"
#include "proto/kv_pb.h"

static size_t payload_size(const struct entry *entry)
{
    return entry->payload ? entry->payload->size : 0;
}

static bool is_configuration(const struct entry *entry) { return entry->type != ENTRY_NORMAL; }

void applier_release(struct applier *applier)
{
    CHECK(!applier->token.held);
    for (size_t i = 0; i < applier->count; i++)
        blob_unref(applier->queue[applier->start + i].payload);
    for (size_t i = 0; i < applier->response_count; i++)
        raft_message_free(applier->mem,
                          applier->responses[applier->response_start + i].message);
    for (size_t i = 0; i < applier->batch; i++)
        blob_unref(applier->items[i].entry.payload);
    free(applier->configuring);
    free(applier->queue);
    free(applier->items);
    free(applier->responses);
}

/* Room for more at the end: what was consumed at the front is given back first. */
static void make_room(struct applier *applier, size_t more)
{
    if (applier->start + applier->count + more <= applier->capacity)
        return;
    if (applier->count)
        memmove(applier->queue, applier->queue + applier->start,
                applier->count * sizeof *applier->queue);
    applier->start = 0;
    size_t capacity = applier->capacity ? applier->capacity : 256;
    while (applier->count + more > capacity / 2)
        capacity *= 2;
    if (capacity != applier->capacity)
        applier->queue = mem_xrealloc(applier->queue, capacity * sizeof *applier->queue);
    applier->capacity = capacity;
}

static void response_push(struct applier *applier, raft_index last, struct raft_message *message)
{
    if (applier->response_start + applier->response_count == applier->response_capacity) {
        if (applier->response_count)
            memmove(applier->responses, applier->responses + applier->response_start,
                    applier->response_count * sizeof *applier->responses);
        applier->response_start = 0;
        if (applier->response_count * 2 >= applier->response_capacity) {
            applier->response_capacity =
                applier->response_capacity ? 2 * applier->response_capacity : 16;
            applier->responses =
                mem_xrealloc(applier->responses,
                             applier->response_capacity * sizeof *applier->responses);
        }
    }
    applier->responses[applier->response_start + applier->response_count++] =
        (struct apply_response){last, message};
}

enum err_code applier_queue(struct applier *applier, const struct raft_message *message)
{
    CHECK(message->entry_count > 0 && message->response_count == 1);
    struct raft_message *response = raft_message_clone(applier->mem, &message->responses[0]);
    if (!response)
        return ERR_NO_MEMORY;
    make_room(applier, message->entry_count);
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct entry *entry = &message->entries[i];
        CHECK(entry->index == applier->queued + 1);
        applier->queued = entry->index;
        applier->bytes += payload_size(entry);
        applier->queue[applier->start + applier->count] = *entry;
        blob_ref(applier->queue[applier->start + applier->count++].payload);
    }
    response_push(applier, applier->queued, response);
    return ERR_OK;
}

/* Moves what makes a batch from the queue into the items: up to a configuration entry. */
static size_t batch_take(struct applier *applier)
{
    size_t bytes = 0;
    applier->batch = 0;
    if (!applier->items)
        applier->items = mem_xalloc(APPLY_BATCH_ENTRIES * sizeof *applier->items);
    while (applier->count && applier->batch < APPLY_BATCH_ENTRIES && bytes < APPLY_BATCH_BYTES &&
           !is_configuration(&applier->queue[applier->start])) {
        struct apply_item *item = &applier->items[applier->batch++];
        item->entry = applier->queue[applier->start++];
        item->want = proposer_wants(applier->proposer, &item->entry);
        item->own = proposer_is_own(applier->proposer, &item->entry);
        applier->count--;
        bytes += payload_size(&item->entry);
    }
    if (applier->count == 0)
        applier->start = 0;
    return bytes;
}

/* Small entries that are no small work: they never run on the loop. */
static bool batch_is_wide(const struct applier *applier)
{
    for (size_t i = 0; i < applier->batch; i++)
        if (entry_request_is_wide(blob_bytes(applier->items[i].entry.payload)))
            return true;
    return false;
}

static void run(struct worker_job *job)
{
    struct applier *applier = container_of(job, struct applier, job);
    struct apply_item *items = applier->items;
    enum err_code code = ERR_OK, end;
    size_t done = 0;
    store_begin(applier->store);
    while (code == ERR_OK && done < applier->batch) {
        code = store_apply(applier->store, &items[done].entry, items[done].want,
                           &items[done].result, &applier->job_err);
        done += code == ERR_OK;
    }
    end = store_commit(applier->store, code == ERR_OK ? &applier->job_err : NULL);
    applier->job_code = code == ERR_OK ? end : code;
    for (size_t i = 0; applier->job_code != ERR_OK && i < done; i++)
        arena_release(&items[i].result.arena);
}

static void fault(struct applier *applier, enum err_code code, const struct err *err)
{
    applier->code = code;
    applier->err = *err;
    applier->err.code = code;
}

/* The store did not take it. */
static void refused(struct applier *applier, enum err_code code, const struct err *err)
{
    if (code != ERR_NO_SPACE) {
        fault(applier, code, err);
        return;
    }
    TRACE(applier->trace, "apply refused: %s", err->text);
    applier_refused(applier);
}

/* Tells observers what the batch changed, each change with whether it was asked for here. */
static void tell_observer(struct applier *applier)
{
    size_t count = 0;
    const struct store_change *changes = store_changes(applier->store, &count);
    if (!applier->observer)
        return;
    const struct apply_item *items = applier->items;
    for (size_t i = 0; i < count; i++) {
        const struct store_change *change = &changes[i];
        bool own = change->entry < applier->batch && items[change->entry].own;
        if (change->move && applier->observer->moved)
            applier->observer->moved(applier->observer, change->move, change->revision, own);
        if (change->move)
            continue;
        struct kv_changed changed = {change->key, change->changes, change->top, change->revision, own};
        applier->observer->changed(applier->observer, &changed);
    }
}

static void tell_divergence(struct applier *applier)
{
    for (size_t i = 0; i < applier->batch && applier->divergence; i++)
        divergence_applied(applier->divergence, applier->items[i].entry.index,
                           applier->items[i].result.hash);
}

/* Before any waiter: whoever asks what is left of a lease it was just given is told. */
static void tell_lessor(struct applier *applier)
{
    int64_t now = clock_monotonic_ns(applier->clock);
    for (size_t i = 0; i < applier->batch && applier->lessor; i++)
        lessor_apply(applier->lessor, &applier->items[i].result.lease, now);
}

/* Steps the core's responses for everything up to index. */
static enum err_code respond(struct applier *applier, raft_index index)
{
    enum err_code code = ERR_OK;
    while (code == ERR_OK && applier->response_count &&
           applier->responses[applier->response_start].last <= index) {
        struct raft_message *message = applier->responses[applier->response_start].message;
        applier->response_start++;
        applier->response_count--;
        code = raft_step(applier->raft, message);
        raft_message_free(applier->mem, message);
    }
    if (applier->response_count == 0)
        applier->response_start = 0;
    return code;
}

/* Everything up to index is done; 0: nothing is. */
static void answer_core(struct applier *applier, raft_index index)
{
    enum err_code code = index ? respond(applier, index) : ERR_OK;
    if (code != ERR_OK)
        fault(applier, code, &(struct err){.text = "the core refused an answer of apply"});
}

static void batch_done(struct applier *applier)
{
    struct apply_item *items = applier->items;
    if (applier->job_code != ERR_OK) {
        refused(applier, applier->job_code, &applier->job_err);
        return;
    }
    raft_index last = items[applier->batch - 1].entry.index;
    TRACE(applier->trace, "apply index=%" PRIu64 " entries=%zu revision=%" PRId64, last,
          applier->batch, store_revision(applier->store));
    tell_divergence(applier);
    tell_observer(applier);
    tell_lessor(applier);
    enum err_code code =
        applier->hub ? watch_hub_committed(applier->hub, &applier->job_err) : ERR_OK;
    if (code != ERR_OK)
        fault(applier, code, &applier->job_err);
    for (size_t i = 0; i < applier->batch; i++) {
        proposer_answer(applier->proposer, &items[i].result);
        arena_release(&items[i].result.arena);
        applier->bytes -= payload_size(&items[i].entry);
        blob_unref(items[i].entry.payload);
    }
    applier->batch = 0;
    answer_core(applier, last);
}

static void done(struct worker_job *job)
{
    struct applier *applier = container_of(job, struct applier, job);
    token_give(&applier->token);
    batch_done(applier);
    applier->progressed(applier);
}

struct configuring {                    /* one configuration entry */
    struct raft_conf_change change;
    struct membership_context context;
    enum err_code verdict;              /* of membership and core */
    struct err err;
};

/* The membership, then the core. RESULT codes: it is refused, and nothing has changed. */
static enum err_code configure(struct applier *applier, const struct entry *entry,
                               struct configuring *ret)
{
    struct raft_conf_state state;
    enum err_code code = raft_conf_change_decode(entry, &ret->change);
    if (code == ERR_OK)
        code = membership_context_decode(ret->change.context, &ret->context);
    if (code != ERR_OK)     /* whoever proposed it: each member reads it alike */
        return err_set(&ret->err, ERR_INVALID, "a configuration entry cannot be read");
    code = membership_check(applier->membership, &ret->change, &ret->context, &ret->err);
    if (code == ERR_OK)
        code = raft_apply_conf_change(applier->raft, &ret->change, &state, &ret->err);
    if (code == ERR_OK) {
        membership_update(applier->membership, &ret->change, &ret->context);
        membership_apply(applier->membership, entry->index, &ret->context, &state);
    }
    return code;
}

static enum err_code keep_membership(struct applier *applier, const struct entry *entry,
                                     struct err *err)
{
    struct buf encoded = {0};
    membership_encode(applier->membership, &encoded);
    store_begin(applier->store);
    enum err_code code =
        store_apply_configuration(applier->store, entry, buf_bytes(&encoded), err);
    enum err_code end = store_commit(applier->store, code == ERR_OK ? err : NULL);
    buf_release(&encoded);
    return code == ERR_OK ? end : code;
}

/* One configuration entry, on the loop: core first, and once, then the store in a batch of its own. */
static void apply_configuration(struct applier *applier)
{
    struct entry *entry = &applier->queue[applier->start];
    raft_index index = entry->index;
    struct err err = {0};
    if (!applier->configuring) {
        applier->configuring = mem_xzalloc(sizeof *applier->configuring);
        applier->configuring->verdict = configure(applier, entry, applier->configuring);
    }
    struct configuring *configuring = applier->configuring;
    enum err_code verdict = configuring->verdict;
    enum err_code code = err_kind(verdict) == ERR_KIND_FAULT ? verdict : ERR_OK;
    if (code == ERR_OK)
        code = keep_membership(applier, entry, &err);
    if (code == ERR_NO_SPACE) {
        refused(applier, code, &err);
        return;
    }
    if (code == ERR_OK) {
        applier->configuration_index = index;
        if (applier->divergence)
            divergence_applied(applier->divergence, index, store_position(applier->store).hash);
        TRACE(applier->trace, "apply configuration index=%" PRIu64 " code=%s", index,
              err_name(verdict));
        applier->configured(applier, configuring->context.token, verdict, &configuring->err);
        applier->bytes -= payload_size(entry);
        blob_unref(entry->payload);
        applier->start++;
        applier->count--;
        code = respond(applier, index);
    }
    if (code != ERR_OK)
        fault(applier, code, verdict == code ? &configuring->err : &err);
    free(configuring);
    applier->configuring = NULL;
}

/* What the store has already. */
static void pass_over(struct applier *applier)
{
    raft_index last = 0;
    while (applier->count && applier->queue[applier->start].index <= applier->skip) {
        struct entry *entry = &applier->queue[applier->start++];
        applier->count--;
        applier->bytes -= payload_size(entry);
        last = entry->index;
        blob_unref(entry->payload);
    }
    answer_core(applier, last);
}

/* A batch that was refused, and that the new store holds. */
static void batch_drop(struct applier *applier)
{
    raft_index last = applier->batch ? applier->items[applier->batch - 1].entry.index : 0;
    for (size_t i = 0; i < applier->batch; i++) {
        applier->bytes -= payload_size(&applier->items[i].entry);
        blob_unref(applier->items[i].entry.payload);
    }
    applier->batch = 0;
    free(applier->configuring);
    applier->configuring = NULL;
    applier->no_space = false;
    answer_core(applier, last);
}

void applier_skip(struct applier *applier, struct store *store, raft_index index)
{
    CHECK(!applier->token.held);
    CHECK(!applier->batch || applier->items[applier->batch - 1].entry.index <= index);
    applier->store = store;
    applier->skip = index;
    batch_drop(applier);
    pass_over(applier);
}

void applier_restart(struct applier *applier, struct store *store, raft_index index)
{
    CHECK(index >= applier->queued);
    applier_skip(applier, store, index);
    CHECK(applier->count == 0 && applier->response_count == 0);
    applier->queued = index;
}

void applier_resume(struct applier *applier)
{
    CHECK(applier->no_space && !applier->token.held);
    applier->no_space = false;
    if (MUTANT(REFUSED_BATCH_LOST))
        applier->batch = 0;
}

bool applier_turn(struct applier *applier, size_t waiting)
{
    bool again = applier->batch > 0;
    if (applier->token.held || applier->no_space || applier->code != ERR_OK ||
        (applier->count == 0 && !again))
        return false;
    if (!again && applier->queue[applier->start].index <= applier->skip) {
        pass_over(applier);
        return true;
    }
    if (!again && is_configuration(&applier->queue[applier->start])) {
        apply_configuration(applier);
        return true;
    }
    size_t bytes = again ? APPLY_BATCH_BYTES : batch_take(applier);
    applier->job = (struct worker_job){.run = run, .done = done};
    int64_t now = clock_monotonic_ns(applier->clock);
    bool may_inline =
        token_may_inline(&applier->token, now, waiting, bytes) && !batch_is_wide(applier);
    token_take(&applier->token);
    if (!may_inline) {
        worker_submit(applier->worker, WORKER_APPLY, &applier->job);
        return false;
    }
    run(&applier->job);
    int64_t end = clock_monotonic_ns(applier->clock);
    token_took(&applier->token, end, end - now);
    token_give(&applier->token);
    batch_done(applier);
    return true;
}
