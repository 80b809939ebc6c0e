/* A store with a log of its entries, and a backend whose nth call fails. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "mvcc/store.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"
#include "tests/test.h"

#define B(text) BYTES_LITERAL(text)

static const struct store_options fixture_options = {
    .cluster_id = 7, .member_id = 1, .generation = 2, .create = true};

static inline struct store *fixture_open(struct backend *backend)
{
    struct store_options options = fixture_options;
    struct store *store = NULL;
    struct err err = {0};
    options.backend = backend;
    if (store_open(&store, &options, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return store;
}

/* A store that is closed and opened again: what its backend holds outlives it. */
struct member {
    struct backend_memory *memory;
    struct store *store;
};

static inline void member_begin(struct member *member)
{
    member->memory = backend_memory_new(0);
    member->store = fixture_open(backend_memory_open(member->memory));
}

static inline void member_end(struct member *member)
{
    store_close(member->store);
    backend_memory_free(member->memory);
}

static inline void member_reopen(struct member *member)
{
    store_close(member->store);
    member->store = fixture_open(backend_memory_open(member->memory));
}

/* Applies one entry in a batch of its own; its stamp is 1000 times its index. FAULT kinds are returned. */
static inline enum err_code fixture_apply(struct store *store, const struct entry_request *request,
                                          struct store_result *ret, struct err *err)
{
    struct entry entry = {.term = 1,
                          .index = store_applied(store) + 1,
                          .payload = entry_request_encode(request)};
    entry_stamp_set(entry.payload, (kv_time)entry.index * 1000);
    store_begin(store);
    enum err_code code = store_apply(store, &entry, true, ret, err);
    if (code)
        (void)!store_commit(store, NULL);
    else
        code = store_commit(store, err);
    blob_unref(entry.payload);
    return code;
}

static inline enum err_code fixture_txn(struct store *store, const struct kv_txn *txn,
                                        struct store_result *ret)
{
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true, .txn = *txn};
    struct err err = {0};
    if (fixture_apply(store, &request, ret, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return ret->code;
}

/* One operation; the code and the text of its answer. */
static inline enum err_code fixture_op(struct store *store, struct kv_op op, struct err *ret_err)
{
    struct store_result result;
    enum err_code code =
        fixture_txn(store, &(struct kv_txn){.success = &op, .success_count = 1}, &result);
    arena_release(&result.arena);
    if (ret_err)
        *ret_err = result.err;
    return code;
}

static inline void fixture_put(struct store *store, struct bytes key, struct bytes value)
{
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = key, .value = value}};
    assert_ok(fixture_op(store, op, NULL));
}

static inline void fixture_delete(struct store *store, struct bytes key)
{
    struct kv_op op = {.kind = KV_OP_DELETE, .del = {.key = key}};
    assert_ok(fixture_op(store, op, NULL));
}

static inline enum err_code fixture_compact(struct store *store, kv_rev revision)
{
    struct entry_request request = {.kind = ENTRY_COMPACT, .compact = {.revision = revision}};
    struct store_result result;
    assert_ok(fixture_apply(store, &request, &result, NULL));
    return result.code;
}

static inline uint64_t fixture_walk(struct store *store, kv_rev want)
{
    bool done = false;
    kv_rev revision = 0;
    uint64_t bytes = 0;
    struct err err = {0};
    while (!done)
        if (store_compact_step(store, &done, &revision, &bytes, &err) != ERR_OK)
            fail_msg("%s", err.text);
    assert_int_equal(revision, want);
    return bytes;
}

static inline void fixture_validate(struct store *store)
{
    struct err err = {0};
    if (store_validate(store, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

/* ---- the backend whose nth call fails ---- */

struct fault_backend {
    struct backend backend;
    struct backend *below;
    uint64_t calls, fail_at;            /* counted from 1; 0: never */
    bool failed;
};

struct fault_iterator {
    struct backend_iterator iterator;
    struct backend_iterator *below;
    struct fault_backend *owner;
    bool failed;
};

static inline struct fault_backend *fault_of(struct backend *backend)
{
    return container_of(backend, struct fault_backend, backend);
}

static inline bool fault_now(struct fault_backend *fault)
{
    bool now = ++fault->calls == fault->fail_at;
    fault->failed = fault->failed || now;
    return now;
}

#define FAULT_CALL(backend, err, call)                                                             \
    (fault_now(fault_of(backend)) ? err_set((err), ERR_IO, "injected") : (call))

static inline enum err_code fault_get(struct backend *backend,
                                      const struct backend_snapshot *snapshot, struct bytes key,
                                      struct buf *ret, struct err *err)
{
    struct backend *below = fault_of(backend)->below;
    return FAULT_CALL(backend, err, below->ops->get(below, snapshot, key, ret, err));
}

static inline enum err_code fault_write(struct backend *backend, const struct backend_op *ops,
                                        size_t count, struct err *err)
{
    struct backend *below = fault_of(backend)->below;
    return FAULT_CALL(backend, err, below->ops->write(below, ops, count, err));
}

static inline struct backend_snapshot *fault_snapshot_new(struct backend *backend, bool passing)
{
    struct backend *below = fault_of(backend)->below;
    return below->ops->snapshot_new(below, passing);
}

static inline void fault_snapshot_free(struct backend *backend, struct backend_snapshot *snapshot)
{
    struct backend *below = fault_of(backend)->below;
    below->ops->snapshot_free(below, snapshot);
}

static inline enum err_code fault_log_current(struct backend *backend, uint64_t *ret,
                                              struct err *err)
{
    struct backend *below = fault_of(backend)->below;
    return FAULT_CALL(backend, err, below->ops->log_current(below, ret, err));
}

static inline bool fault_log_exists(struct backend *backend, uint64_t number)
{
    struct backend *below = fault_of(backend)->below;
    return below->ops->log_exists(below, number);
}

static inline enum err_code fault_flush(struct backend *backend, struct err *err)
{
    struct backend *below = fault_of(backend)->below;
    return FAULT_CALL(backend, err, below->ops->flush(below, err));
}

static inline enum err_code fault_forget_logs(struct backend *backend, struct err *err)
{
    struct backend *below = fault_of(backend)->below;
    return FAULT_CALL(backend, err, below->ops->forget_logs(below, err));
}

static inline void fault_close(struct backend *backend)
{
    struct fault_backend *fault = fault_of(backend);
    backend_close(fault->below);
    fault->below = NULL;
}

static inline struct fault_iterator *fault_iterator_of(const struct backend_iterator *iterator)
{
    return (struct fault_iterator *)container_of(iterator, struct fault_iterator, iterator);
}

static inline void fault_seek(struct backend_iterator *iterator, struct bytes key)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    self->failed = fault_now(self->owner);
    self->below->ops->seek(self->below, key);
}

static inline void fault_seek_last(struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    self->failed = fault_now(self->owner);
    self->below->ops->seek_last(self->below);
}

static inline void fault_next(struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    self->failed = fault_now(self->owner);
    self->below->ops->next(self->below);
}

static inline void fault_previous(struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    self->failed = fault_now(self->owner);
    self->below->ops->previous(self->below);
}

static inline bool fault_valid(const struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    return !self->failed && self->below->ops->valid(self->below);
}

static inline struct bytes fault_key(const struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    return self->below->ops->key(self->below);
}

static inline struct bytes fault_value(const struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    return self->below->ops->value(self->below);
}

static inline enum err_code fault_status(const struct backend_iterator *iterator, struct err *err)
{
    return fault_iterator_of(iterator)->failed ? err_set(err, ERR_IO, "injected") : ERR_OK;
}

static inline void fault_iterator_free(struct backend_iterator *iterator)
{
    struct fault_iterator *self = fault_iterator_of(iterator);
    self->below->ops->free(self->below);
    free(self);
}

static const struct backend_iterator_ops fault_iterator_ops = {
    .seek = fault_seek,
    .seek_last = fault_seek_last,
    .next = fault_next,
    .previous = fault_previous,
    .valid = fault_valid,
    .key = fault_key,
    .value = fault_value,
    .status = fault_status,
    .free = fault_iterator_free,
};

static inline struct backend_iterator *fault_iterator_new(struct backend *backend,
                                                          const struct backend_snapshot *snapshot)
{
    struct fault_iterator *self = mem_xzalloc(sizeof(*self));
    self->owner = fault_of(backend);
    self->iterator.ops = &fault_iterator_ops;
    self->below = self->owner->below->ops->iterator_new(self->owner->below, snapshot);
    return &self->iterator;
}

static const struct backend_ops fault_ops = {
    .get = fault_get,
    .write = fault_write,
    .snapshot_new = fault_snapshot_new,
    .snapshot_free = fault_snapshot_free,
    .iterator_new = fault_iterator_new,
    .log_current = fault_log_current,
    .log_exists = fault_log_exists,
    .flush = fault_flush,
    .forget_logs = fault_forget_logs,
    .close = fault_close,
};

static inline void fault_init(struct fault_backend *fault, struct backend *below, uint64_t fail_at)
{
    *fault = (struct fault_backend){
        .backend.ops = &fault_ops, .below = below, .fail_at = fail_at};
}

#endif
