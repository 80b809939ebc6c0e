#include "tests/sim/kv_direct.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"

#define CLUSTER_ID 0x10c0
#define FIRST_CLOCK 1795000000000000000LL       /* in November 2026 */
#define TICK_NS 1000000
#define FIRST_LEASE 0x1ea5e0000         /* ids that are picked here begin above */

static void fail(const struct err *err)
{
    fprintf(stderr, "kv_direct: %s\n", err->text);
    abort();
}

/* ---- entries ---- */

static struct blob *encode(struct kv_direct *direct, const struct entry_request *request)
{
    struct blob *payload = entry_request_encode(request);
    direct->clock += TICK_NS;
    entry_stamp_set(payload, direct->clock);
    return payload;
}

static void tell(struct kv_direct *direct, bool own)
{
    size_t count;
    struct err err = {0};
    const struct store_change *changes = store_changes(direct->store, &count);
    struct kv_observer *observer = direct->observer;
    for (size_t i = 0; i < count && observer; i++) {
        const struct store_change *change = &changes[i];
        struct kv_changed changed = {change->key, change->changes, change->top, change->revision, own};
        if (!change->move)
            observer->changed(observer, &changed);
        else if (observer->moved)
            observer->moved(observer, change->move, change->revision, own);
    }
    if (watch_hub_committed(direct->hub, &err) != ERR_OK)
        fail(&err);
}

/* One entry, one batch. The payload is taken. */
static void apply_payload(struct kv_direct *direct, struct blob *payload, bool own,
                          struct store_result *ret)
{
    struct err err = {0};
    struct entry entry = {.term = 1, .index = ++direct->index, .payload = payload};
    store_begin(direct->store);
    if (store_apply(direct->store, &entry, true, ret, &err) != ERR_OK ||
        store_commit(direct->store, &err) != ERR_OK)
        fail(&err);
    blob_unref(payload);
    tell(direct, own);
}

static void apply(struct kv_direct *direct, const struct entry_request *request, bool own,
                  struct store_result *ret)
{
    apply_payload(direct, encode(direct, request), own, ret);
}

/* ---- requests ---- */

static enum err_code run_txn(struct kv_direct *direct, struct kv_request *request)
{
    struct entry_request entry = {.kind = ENTRY_TXN, .privileged = request->privileged,
                                  .txn = request->txn};
    struct store_result result = {0};
    enum err_code code = kv_validate_txn(&request->txn, &request->err);
    if (code != ERR_OK)
        return code;
    direct->writes++;
    apply(direct, &entry, true, &result);
    arena_release(&request->arena);
    request->arena = result.arena;
    request->result = result.result;
    request->revision = result.revision;
    request->err = result.err;
    if (!direct->lose_answers)
        return result.code;
    code = direct->lose_answers;
    if (direct->lose_count && --direct->lose_count == 0)
        direct->lose_answers = ERR_OK;
    return err_set(&request->err, code, "the answer is lost");
}

static enum err_code delay_txn(struct kv_direct *direct, struct kv_request *request)
{
    struct entry_request entry = {.kind = ENTRY_TXN, .privileged = request->privileged,
                                  .txn = request->txn};
    CHECK(!direct->delayed);
    direct->delay_write = false;
    direct->delayed = encode(direct, &entry);
    return err_set(&request->err, ERR_TIMEOUT, "delayed");
}

static enum err_code run_compact(struct kv_direct *direct, struct kv_request *request)
{
    struct entry_request entry = {.kind = ENTRY_COMPACT, .compact = request->compact};
    struct store_result result = {0};
    apply(direct, &entry, true, &result);
    request->revision = result.revision;
    request->err = result.err;
    arena_release(&result.arena);
    return result.code;
}

static enum err_code run_lease_write(struct kv_direct *direct, struct kv_request *request)
{
    struct entry_request entry = {.kind = request->kind == KV_LEASE_GRANT    ? ENTRY_LEASE_GRANT
                                          : request->kind == KV_LEASE_REVOKE ? ENTRY_LEASE_REVOKE
                                                                             : ENTRY_LEASE_RENEW,
                                  .lease = request->lease};
    struct store_result result = {0};
    if (entry.kind == ENTRY_LEASE_GRANT && entry.lease.id == 0)
        entry.lease.id = FIRST_LEASE + (int64_t)direct->index;
    apply(direct, &entry, true, &result);
    request->revision = result.revision;
    request->err = result.err;
    request->leased = (struct kv_lease_result){.id = result.lease.id,
                                               .ttl_s = result.lease.ttl_s,
                                               .granted_ttl_s = result.lease.ttl_s};
    arena_release(&result.arena);
    return result.code;
}

static enum err_code run_time_to_live(struct kv_direct *direct, struct kv_request *request)
{
    struct kv_lease_result *leased = &request->leased;
    enum err_code code =
        store_lease(direct->store, request->lease.id, request->lease.want_keys, direct->clock,
                    &request->arena, leased, &leased->ttl_s, &request->revision, &request->err);
    if (code != ERR_OK)
        *leased = (struct kv_lease_result){.id = request->lease.id, .ttl_s = -1};
    return code;
}

static enum err_code run_read(struct kv_direct *direct, struct kv_request *request)
{
    struct store *store = direct->store;
    switch (request->kind) {
    case KV_RANGE:
        request->result.kind = KV_OP_RANGE;
        return store_range(store, &request->range, &request->arena, &request->result.range,
                           &request->revision, &request->err);
    case KV_LOOKUP:
        return store_lookup(store, &request->lookup, &request->arena, &request->name,
                            &request->revision, &request->err);
    case KV_LIST:
        return store_list(store, &request->list, &request->arena, &request->listing,
                          &request->revision, &request->err);
    case KV_CURRENT:
        request->revision = store_revision(store);
        return ERR_OK;
    case KV_LEASE_TIME_TO_LIVE:
        return run_time_to_live(direct, request);
    default:
        CHECK(request->kind == KV_LEASE_LIST);
        return store_lease_list(store, &request->arena, &request->leased, &request->revision,
                                &request->err);
    }
}

static bool is_lease_write(const struct kv_request *request)
{
    return request->kind == KV_LEASE_GRANT || request->kind == KV_LEASE_REVOKE ||
           request->kind == KV_LEASE_KEEP_ALIVE;
}

static bool is_write(const struct kv_request *request)
{
    return request->kind == KV_TXN || request->kind == KV_COMPACT || is_lease_write(request);
}

static bool is_serializable(const struct kv_request *request)
{
    return (request->kind == KV_RANGE && request->range.serializable) ||
           (request->kind == KV_LOOKUP && request->lookup.serializable) ||
           (request->kind == KV_LIST && request->list.serializable);
}

static bool is_held(const struct kv_direct *direct, const struct kv_request *request)
{
    if (request->state)
        return false;                   /* it has been canceled */
    return is_write(request) ? direct->hold_writes : direct->hold_reads && !is_serializable(request);
}

static enum err_code run(struct kv_direct *direct, struct kv_request *request)
{
    if (request->state)
        return err_set(&request->err, ERR_CANCELED, "canceled");
    enum err_code refused = is_write(request) ? direct->refuse_writes : direct->refuse_reads;
    if (!refused && direct->has_no_leader && !is_serializable(request))
        refused = is_write(request) ? ERR_NO_LEADER : ERR_TIMEOUT;
    if (refused)
        return err_set(&request->err, refused, "refused");
    if (request->kind == KV_TXN && direct->delay_write)
        return delay_txn(direct, request);
    if (request->kind == KV_TXN)
        return run_txn(direct, request);
    if (request->kind == KV_COMPACT)
        return run_compact(direct, request);
    if (is_lease_write(request))
        return run_lease_write(direct, request);
    return run_read(direct, request);
}

static void turn_watches(struct kv_direct *direct)
{
    struct err err = {0};
    enum watch_work work = WATCH_AGAIN;
    while (work != WATCH_IDLE) {
        enum err_code code = watch_hub_turn(direct->hub, true, &work, &err);
        if (code == ERR_OK && work == WATCH_READ) {
            watch_hub_read(direct->hub);
            code = watch_hub_read_done(direct->hub, &err);
        }
        if (code != ERR_OK)
            fail(&err);
    }
}

size_t kv_direct_turn(struct kv_direct *direct)
{
    struct list now, held;
    size_t count = 0;
    list_init(&now);
    list_init(&held);
    list_splice_back(&now, &direct->queue);
    for (struct list *link; (link = list_pop_front(&now)) != NULL;) {
        struct kv_request *request = container_of(link, struct kv_request, link);
        if (is_held(direct, request)) {
            list_push_back(&held, link);
            continue;
        }
        enum err_code code = run(direct, request);
        request->owner = NULL;
        direct->requests++;
        count++;
        request->done(request, code);
    }
    list_splice_back(&held, &direct->queue);
    list_splice_back(&direct->queue, &held);
    turn_watches(direct);
    return count;
}

bool kv_direct_is_idle(const struct kv_direct *direct) { return list_is_empty(&direct->queue); }

/* ---- the contract ---- */

static struct kv_direct *direct_of(struct kv *kv) { return container_of(kv, struct kv_direct, kv); }

static void direct_submit(struct kv *kv, struct kv_request *request)
{
    CHECK(request->owner == NULL && request->done);
    request->owner = kv;
    request->state = NULL;
    list_push_back(&direct_of(kv)->queue, &request->link);
}

static void direct_cancel(struct kv *kv, struct kv_request *request)
{
    request->state = kv;            /* any mark will do */
}

static unsigned direct_capabilities(struct kv *kv) { return direct_of(kv)->capabilities; }

static void direct_status(struct kv *kv, struct kv_status *ret)
{
    struct kv_direct *direct = direct_of(kv);
    *ret = direct->status;
    ret->cluster_id = CLUSTER_ID;
    ret->member_id = ret->leader_id = 1;
    ret->revision = store_revision(direct->store);
    ret->compact_revision = store_compact_revision(direct->store);
    ret->clock = direct->clock;
    ret->applied_index = ret->raft_index = direct->index;
    store_quota_get(direct->store, &ret->quota_used, &ret->quota_limit, &ret->key_count);
    struct store_settings settings;
    store_settings_get(direct->store, &settings);
    ret->file_size_max = settings.file_size_max;
}

static void direct_observe(struct kv *kv, struct kv_observer *observer)
{
    direct_of(kv)->observer = observer;
}

static void direct_watch(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_watch(direct_of(kv)->hub, kv, watch);
}

static void direct_unwatch(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_unwatch(direct_of(kv)->hub, watch);
}

static void direct_watch_pause(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_pause(direct_of(kv)->hub, watch);
}

static void direct_watch_resume(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_resume(direct_of(kv)->hub, watch);
}

static void direct_watch_progress(struct kv *kv, struct kv_watch *watch)
{
    watch_hub_progress(direct_of(kv)->hub, watch);
}

static const struct kv_ops direct_ops = {
    .submit = direct_submit,
    .cancel = direct_cancel,
    .capabilities = direct_capabilities,
    .status = direct_status,
    .observe = direct_observe,
    .watch = direct_watch,
    .unwatch = direct_unwatch,
    .watch_pause = direct_watch_pause,
    .watch_resume = direct_watch_resume,
    .watch_progress = direct_watch_progress,
};

/* ---- life ---- */

enum err_code kv_direct_init_on(struct kv_direct *direct, struct backend *backend, struct err *err)
{
    struct store_options options = {.backend = backend, .cluster_id = CLUSTER_ID, .member_id = 1,
                                    .generation = 1, .create = true};
    memset(direct, 0, sizeof(*direct));
    enum err_code code = store_open(&direct->store, &options, err);
    if (code != ERR_OK)
        return code;
    direct->kv.ops = &direct_ops;
    direct->hub = watch_hub_new(direct->store, CLUSTER_ID);
    list_init(&direct->queue);
    direct->index = store_applied(direct->store);
    direct->clock = store_clock(direct->store);
    if (direct->clock < FIRST_CLOCK)
        direct->clock = FIRST_CLOCK;
    direct->capabilities = KV_CAN_NAMES | KV_CAN_RENAME | KV_CAN_TIMES | KV_CAN_SYSTEM |
                           KV_CAN_WATCH | KV_CAN_OBSERVE | KV_CAN_LEASE;
    direct->status.has_quorum = direct->status.alone = true;
    return ERR_OK;
}

void kv_direct_init(struct kv_direct *direct)
{
    struct err err = {0};
    struct backend_memory *memory = backend_memory_new(0);
    if (kv_direct_init_on(direct, backend_memory_open(memory), &err) != ERR_OK)
        fail(&err);
    direct->memory = memory;
}

void kv_direct_release(struct kv_direct *direct)
{
    CHECK(list_is_empty(&direct->queue));
    blob_unref(direct->delayed);
    watch_hub_close(direct->hub);
    watch_hub_end(direct->hub);
    watch_hub_free(direct->hub);
    store_close(direct->store);
    if (direct->memory)
        backend_memory_free(direct->memory);
}

/* ---- another host ---- */

kv_rev kv_direct_other_txn(struct kv_direct *direct, const struct kv_txn *txn)
{
    struct entry_request entry = {.kind = ENTRY_TXN, .privileged = true, .txn = *txn};
    struct store_result result = {0};
    apply(direct, &entry, false, &result);
    CHECK(result.code == ERR_OK);
    arena_release(&result.arena);
    return result.revision;
}

kv_rev kv_direct_other_put(struct kv_direct *direct, const char *key, const char *value)
{
    struct kv_op op = {.kind = KV_OP_PUT,
                       .put = {.key = bytes_of_text(key), .value = bytes_of_text(value)}};
    return kv_direct_other_txn(direct, &(struct kv_txn){.success = &op, .success_count = 1});
}

kv_rev kv_direct_other_delete(struct kv_direct *direct, const char *key)
{
    struct kv_op op = {.kind = KV_OP_DELETE, .del = {.key = bytes_of_text(key)}};
    return kv_direct_other_txn(direct, &(struct kv_txn){.success = &op, .success_count = 1});
}

void kv_direct_expire(struct kv_direct *direct, int64_t lease)
{
    struct entry_request entry = {.kind = ENTRY_LEASE_REVOKE, .lease.id = lease};
    struct store_result result = {0};
    apply(direct, &entry, false, &result);
    CHECK(result.code == ERR_OK);
    arena_release(&result.arena);
}

void kv_direct_compact(struct kv_direct *direct, kv_rev revision)
{
    struct entry_request entry = {.kind = ENTRY_COMPACT, .compact = {.revision = revision}};
    struct store_result result = {0};
    struct err err = {0};
    apply(direct, &entry, false, &result);
    CHECK(result.code == ERR_OK);
    arena_release(&result.arena);
    for (bool done = false; !done;) {
        kv_rev compacted;
        uint64_t bytes;
        if (store_compact_step(direct->store, &done, &compacted, &bytes, &err) != ERR_OK)
            fail(&err);
    }
}

void kv_direct_apply_delayed(struct kv_direct *direct)
{
    struct store_result result = {0};
    struct blob *payload = direct->delayed;
    if (!payload)
        return;
    direct->delayed = NULL;
    direct->clock += TICK_NS;
    entry_stamp_set(payload, direct->clock);
    apply_payload(direct, payload, true, &result);
    arena_release(&result.arena);
}

bool kv_direct_value(struct kv_direct *direct, const char *key, struct buf *ret)
{
    struct kv_range range = {.key = bytes_of_text(key)};
    struct kv_range_result result;
    struct arena arena = {0};
    struct err err = {0};
    kv_rev revision;
    if (store_range(direct->store, &range, &arena, &result, &revision, &err) != ERR_OK)
        fail(&err);
    bool found = result.count == 1;
    if (found)
        buf_append(ret, result.items[0].value);
    arena_release(&arena);
    return found;
}
