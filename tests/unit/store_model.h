/* A store simple enough to be believed: of each of a few keys the list of its versions, in memory. It
 * makes random txns, says what they must answer, and compares ranges at any revision. */
#ifndef TESTS_UNIT_STORE_MODEL_H
#define TESTS_UNIT_STORE_MODEL_H

#include "mvcc/store.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/kv_pb.h"
#include "tests/test.h"

#define MODEL_KEYS_MAX 24
#define MODEL_VERSIONS_MAX 4000
#define MODEL_OPS_MAX 4
#define MODEL_LEASES 4                  /* ids 1 to this */

struct model_version {
    kv_rev revision, create_revision;
    int64_t version, lease;
    bool is_deleted;
    uint8_t fill;                       /* the value is size times this byte */
    uint32_t size;
    kv_time time, create_time;
};

struct model_key {
    struct bytes key;
    bool is_system;
    int meta;                           /* the key that dies with this one; -1 */
    struct model_version versions[MODEL_VERSIONS_MAX];
    size_t count;
};

struct model {
    struct rand rand;
    struct model_key keys[MODEL_KEYS_MAX];
    int key_count;
    kv_rev revision, floor;
    kv_time clock;
    raft_index leases[MODEL_LEASES + 1];        /* granted or renewed last; 0: there is none */
    struct arena arena;                 /* requests of the current entry */
    uint8_t fills[256][4096];
};

static inline int model_key_compare(const void *left, const void *right)
{
    return bytes_compare(((const struct model_key *)left)->key,
                         ((const struct model_key *)right)->key);
}

static inline int model_find(const struct model *model, struct bytes key)
{
    for (int i = 0; i < model->key_count; i++)
        if (bytes_equal(model->keys[i].key, key))
            return i;
    return -1;
}

static inline void model_add(struct model *model, struct bytes key)
{
    struct model_key *one = &model->keys[model->key_count++];
    one->key = key;
    one->is_system = bytes_starts_with(key, BYTES_LITERAL(KV_SYSTEM_PREFIX));
    one->meta = -1;
}

static inline struct model *model_new(uint64_t seed)
{
    static char deep[700];
    struct model *model = calloc(1, sizeof(*model));
    rand_init(&model->rand, seed);
    model->revision = 1;
    model->clock = 1000;
    for (int i = 0; i < 256; i++)
        memset(model->fills[i], i, sizeof(model->fills[i]));
    for (size_t i = 0; i < sizeof(deep); i += 2)
        memcpy(deep + i, "/n", 2);
    model_add(model, BYTES_LITERAL("/a"));
    model_add(model, bytes_of("/a\0", 3));
    model_add(model, bytes_of("/a\0\xff", 4));
    model_add(model, bytes_of("/a\0\0", 4));
    model_add(model, BYTES_LITERAL("/a/b"));
    model_add(model, BYTES_LITERAL("/a/b/c"));
    model_add(model, BYTES_LITERAL("/a/b/d"));
    model_add(model, BYTES_LITERAL("/b"));
    model_add(model, BYTES_LITERAL("/d/e"));
    model_add(model, BYTES_LITERAL("plain"));
    model_add(model, BYTES_LITERAL("x/"));
    model_add(model, BYTES_LITERAL("x//y"));
    model_add(model, BYTES_LITERAL("\xff\xff"));
    model_add(model, bytes_of(deep, sizeof(deep)));
    model_add(model, BYTES_LITERAL(KV_META_PREFIX "/a"));
    model_add(model, BYTES_LITERAL(KV_META_PREFIX "/a/b/c"));
    model_add(model, BYTES_LITERAL(KV_META_PREFIX "plain"));
    model_add(model, BYTES_LITERAL(KV_DIR_PREFIX "/d"));
    qsort(model->keys, (size_t)model->key_count, sizeof(model->keys[0]), model_key_compare);
    for (int i = 0; i < model->key_count; i++) {
        char name[800];
        size_t prefix = sizeof(KV_META_PREFIX) - 1;
        memcpy(name, KV_META_PREFIX, prefix);
        memcpy(name + prefix, model->keys[i].key.data, model->keys[i].key.size);
        model->keys[i].meta = model_find(model, bytes_of(name, prefix + model->keys[i].key.size));
    }
    return model;
}

static inline void model_free(struct model *model)
{
    arena_release(&model->arena);
    free(model);
}

/* The live version of a key at a revision, or NULL. */
static inline const struct model_version *model_at(const struct model *model, int key, kv_rev at)
{
    const struct model_key *one = &model->keys[key];
    for (size_t i = one->count; i-- > 0;)
        if (one->versions[i].revision <= at)
            return one->versions[i].is_deleted ? NULL : &one->versions[i];
    return NULL;
}

static inline struct bytes model_value(const struct model *model,
                                       const struct model_version *version)
{
    return bytes_of(model->fills[version->fill], version->size);
}

static inline bool model_covers(const struct model *model, int key, struct bytes from,
                                struct bytes end)
{
    struct bytes one = model->keys[key].key;
    bool in_system = bytes_starts_with(from, BYTES_LITERAL(KV_SYSTEM_PREFIX));
    if (end.size == 0)
        return bytes_equal(one, from);
    if (bytes_compare(one, from) < 0 || (model->keys[key].is_system && !in_system))
        return false;
    return (end.size == 1 && end.data[0] == 0) || bytes_compare(one, end) < 0;
}

/* ---- changes ---- */

static inline struct model_version *model_push(struct model *model, int key)
{
    struct model_key *one = &model->keys[key];
    assert_true(one->count < MODEL_VERSIONS_MAX);
    struct model_version *version = &one->versions[one->count++];
    *version = (struct model_version){.revision = model->revision + 1, .time = model->clock};
    return version;
}

static inline void model_put(struct model *model, int key, uint8_t fill, uint32_t size,
                             int64_t lease)
{
    const struct model_version *found = model_at(model, key, INT64_MAX);
    struct model_version old = {0};
    if (found)
        old = *found;
    struct model_version *now = model_push(model, key);
    now->fill = fill;
    now->lease = lease;
    now->size = size;
    now->version = old.version + 1;
    now->create_revision = found ? old.create_revision : now->revision;
    now->create_time = found ? old.create_time : now->time;
}

static inline void model_delete(struct model *model, int key)
{
    model_push(model, key)->is_deleted = true;
    int meta = model->keys[key].meta;
    if (!model->keys[key].is_system && meta >= 0 && model_at(model, meta, INT64_MAX))
        model_push(model, meta)->is_deleted = true;
}

/* ---- answers ---- */

static inline void model_check_item(const struct model *model, const struct kv_item *item, int key,
                                    const struct model_version *want)
{
    assert_bytes_equal(item->key, model->keys[key].key);
    assert_int_equal(item->mod_revision, want->revision);
    assert_int_equal(item->create_revision, want->create_revision);
    assert_int_equal(item->version, want->version);
    assert_int_equal(item->lease, want->lease);
    assert_int_equal(item->size, want->size);
    assert_bytes_equal(item->value, model_value(model, want));
}

/* A range in key order without limit, with values. */
static inline void model_check_range(const struct model *model, const struct kv_range *range,
                                     kv_rev at, const struct kv_range_result *result)
{
    size_t count = 0;
    for (int i = 0; i < model->key_count; i++) {
        const struct model_version *version = model_at(model, i, at);
        if (!version || !model_covers(model, i, range->key, range->range_end))
            continue;
        if (range->limit == 0 || count < (size_t)range->limit) {
            assert_true(count < result->count);
            model_check_item(model, &result->items[count], i, version);
        }
        count++;
    }
    bool is_cut = range->limit > 0 && count > (size_t)range->limit;
    assert_int_equal(result->total, count);
    assert_int_equal(result->count, is_cut ? (size_t)range->limit : count);
    assert_int_equal(result->more, is_cut);
}

static inline bool model_number_holds(enum kv_compare_result result, int64_t have, int64_t want)
{
    return result == KV_EQUAL     ? have == want
           : result == KV_GREATER ? have > want
           : result == KV_LESS    ? have < want
                                  : have != want;
}

static inline bool model_holds_one(const struct model *model, const struct kv_compare *compare,
                                   const struct model_version *version)
{
    int64_t number = 0;
    if (compare->target == KV_COMPARE_VALUE)
        return version && model_number_holds(compare->result,
                                             bytes_compare(model_value(model, version),
                                                           compare->value),
                                             0);
    if (version && compare->target == KV_COMPARE_VERSION)
        number = version->version;
    if (version && compare->target == KV_COMPARE_CREATE)
        number = version->create_revision;
    if (version && compare->target == KV_COMPARE_MOD)
        number = version->revision;
    if (version && compare->target == KV_COMPARE_LEASE)
        number = version->lease;
    return model_number_holds(compare->result, number, compare->number);
}

static inline bool model_holds(const struct model *model, const struct kv_compare *compare)
{
    bool any = false;
    for (int i = 0; i < model->key_count; i++) {
        const struct model_version *version = model_at(model, i, model->revision);
        if (!version || !model_covers(model, i, compare->key, compare->range_end))
            continue;
        any = true;
        if (!model_holds_one(model, compare, version))
            return false;
    }
    return any || model_holds_one(model, compare, NULL);
}

/* ---- random requests ---- */

static inline uint32_t model_draw(struct model *model, uint32_t bound)
{
    return (uint32_t)rand_below(&model->rand, bound);
}

static inline struct bytes model_draw_key(struct model *model)
{
    return model->keys[model_draw(model, (uint32_t)model->key_count)].key;
}

/* Of [key, end): one key, up to another, or to the end. */
static inline struct bytes model_draw_end(struct model *model, struct bytes key)
{
    struct bytes end = model_draw_key(model);
    if (model_draw(model, 3) == 0)
        return BYTES_EMPTY;
    if (model_draw(model, 4) == 0 || bytes_compare(end, key) <= 0)
        return bytes_of("\0", 1);
    return end;
}

static inline struct kv_range model_draw_range(struct model *model)
{
    struct kv_range range = {.key = model_draw_key(model)};
    range.range_end = model_draw_end(model, range.key);
    range.limit = model_draw(model, 3) == 0 ? 1 + model_draw(model, 4) : 0;
    if (model_draw(model, 2) && model->revision > model->floor)
        range.revision = model->floor + 1 +
                         model_draw(model, (uint32_t)(model->revision - model->floor));
    return range;
}

static inline struct kv_compare model_draw_compare(struct model *model)
{
    struct kv_compare compare = {.key = model_draw_key(model),
                                 .target = (enum kv_compare_target)model_draw(model, 5),
                                 .result = (enum kv_compare_result)model_draw(model, 4)};
    compare.range_end = model_draw_end(model, compare.key);
    compare.number = model_draw(model, 2) ? 0 : model_draw(model, (uint32_t)model->revision + 2);
    if (compare.target == KV_COMPARE_LEASE)
        compare.number = model_draw(model, MODEL_LEASES + 1);
    if (compare.target == KV_COMPARE_VALUE)
        compare.value = bytes_of(model->fills[model_draw(model, 6)], model_draw(model, 20));
    return compare;
}

static inline uint32_t model_draw_size(struct model *model)
{
    static const uint32_t sizes[] = {0, 3, 17, 1024, 1025, 3000};
    return sizes[model_draw(model, 6)];
}

/* One that is there, or 0. */
static inline int64_t model_draw_lease(struct model *model)
{
    uint32_t id = model_draw(model, 2 * MODEL_LEASES);
    return id <= MODEL_LEASES && model->leases[id] ? id : 0;
}

/* One operation on a key that no other of this txn writes (used). */
static inline struct kv_op model_draw_op(struct model *model, bool *used, int depth)
{
    struct kv_op op = {.kind = KV_OP_RANGE, .range = model_draw_range(model)};
    int key = (int)model_draw(model, (uint32_t)model->key_count);
    uint32_t kind = model_draw(model, 10);
    if (kind == 0 && depth == 0) {
        op = (struct kv_op){.kind = KV_OP_TXN};
        return op;
    }
    if (kind < 3 || used[key])
        return op;
    used[key] = true;
    /* The record dies with its key: a txn that writes both says more than one thing about it. */
    if (model->keys[key].meta >= 0)
        used[model->keys[key].meta] = true;
    if (kind < 8)
        return (struct kv_op){.kind = KV_OP_PUT,
                              .put = {.key = model->keys[key].key,
                                      .value = bytes_of(model->fills[model_draw(model, 6)],
                                                        model_draw_size(model)),
                                      .lease = model_draw_lease(model),
                                      .want_previous = model_draw(model, 2)}};
    return (struct kv_op){.kind = KV_OP_DELETE,
                          .del = {.key = model->keys[key].key,
                                  .want_previous = model_draw(model, 2)}};
}

static inline struct kv_op *model_draw_ops(struct model *model, bool *used, size_t *ret_count,
                                           int depth);

static inline struct kv_txn model_draw_txn(struct model *model, bool *used, int depth)
{
    struct kv_txn txn = {.compare_count = model_draw(model, 3)};
    struct kv_compare *compares = ARENA_NEW_ARRAY(&model->arena, struct kv_compare, 3);
    for (size_t i = 0; i < txn.compare_count; i++)
        compares[i] = model_draw_compare(model);
    txn.compares = compares;
    txn.success = model_draw_ops(model, used, &txn.success_count, depth);
    txn.failure = model_draw_ops(model, used, &txn.failure_count, depth);
    return txn;
}

static inline struct kv_op *model_draw_ops(struct model *model, bool *used, size_t *ret_count,
                                           int depth)
{
    struct kv_op *ops = ARENA_NEW_ARRAY(&model->arena, struct kv_op, MODEL_OPS_MAX);
    *ret_count = model_draw(model, MODEL_OPS_MAX + 1);
    for (size_t i = 0; i < *ret_count; i++) {
        ops[i] = model_draw_op(model, used, depth);
        if (ops[i].kind == KV_OP_TXN)
            ops[i].txn = model_draw_txn(model, used, depth + 1);
    }
    return ops;
}

/* A txn that lives until the next one. Now and then a delete of a range by itself. */
static inline struct kv_txn model_draw_request(struct model *model)
{
    bool used[MODEL_KEYS_MAX] = {false};
    arena_clear(&model->arena);
    if (model_draw(model, 12) > 0)
        return model_draw_txn(model, used, 0);
    struct kv_op *op = ARENA_NEW(&model->arena, struct kv_op);
    op->kind = KV_OP_DELETE;
    op->del.key = model_draw_key(model);
    op->del.range_end = model_draw_end(model, op->del.key);
    op->del.want_previous = true;
    return (struct kv_txn){.success = op, .success_count = 1};
}

/* ---- doing them, and comparing with the answer (NULL: there is none to compare) ---- */

struct model_path {
    bool holds;
    struct model_path *nested;
};

static inline struct model_path *model_decide(struct model *model, const struct kv_txn *txn)
{
    struct model_path *path = ARENA_NEW(&model->arena, struct model_path);
    path->holds = true;
    for (size_t i = 0; i < txn->compare_count; i++)
        path->holds = path->holds && model_holds(model, &txn->compares[i]);
    size_t count = path->holds ? txn->success_count : txn->failure_count;
    const struct kv_op *ops = path->holds ? txn->success : txn->failure;
    path->nested = ARENA_NEW_ARRAY(&model->arena, struct model_path, count);
    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == KV_OP_TXN)
            path->nested[i] = *model_decide(model, &ops[i].txn);
    return path;
}

static inline void model_do_delete(struct model *model, const struct kv_delete *del,
                                   const struct kv_op_result *result)
{
    int64_t count = 0;
    for (int i = 0; i < model->key_count; i++) {
        const struct model_version *old = model_at(model, i, INT64_MAX);
        if (!old || !model_covers(model, i, del->key, del->range_end))
            continue;
        if (result && del->want_previous)
            model_check_item(model, &result->del.previous[count], i, old);
        count++;
        model_delete(model, i);
    }
    if (result)
        assert_int_equal(result->del.deleted, count);
}

static inline void model_do_put(struct model *model, const struct kv_put *put,
                                const struct kv_op_result *result)
{
    int key = model_find(model, put->key);
    const struct model_version *old = model_at(model, key, INT64_MAX);
    if (result) {
        assert_int_equal(result->put.has_previous, put->want_previous && old);
        if (result->put.has_previous)
            model_check_item(model, &result->put.previous, key, old);
    }
    model_put(model, key, put->value.size ? put->value.data[0] : 0, (uint32_t)put->value.size,
              put->lease);
}

static inline void model_do(struct model *model, const struct kv_txn *txn,
                            const struct model_path *path, const struct kv_txn_result *result)
{
    size_t count = path->holds ? txn->success_count : txn->failure_count;
    const struct kv_op *ops = path->holds ? txn->success : txn->failure;
    if (result) {
        assert_int_equal(result->succeeded, path->holds);
        assert_int_equal(result->count, count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct kv_op_result *one = result ? &result->results[i] : NULL;
        const struct kv_op *op = &ops[i];
        if (op->kind == KV_OP_PUT)
            model_do_put(model, &op->put, one);
        else if (op->kind == KV_OP_DELETE)
            model_do_delete(model, &op->del, one);
        else if (op->kind == KV_OP_TXN)
            model_do(model, &op->txn, &path->nested[i], one ? &one->txn : NULL);
        else if (one)
            model_check_range(model, &op->range,
                              op->range.revision ? op->range.revision : INT64_MAX, &one->range);
    }
}

static inline bool model_changed(const struct model *model)
{
    for (int i = 0; i < model->key_count; i++) {
        const struct model_key *key = &model->keys[i];
        if (key->count && key->versions[key->count - 1].revision > model->revision)
            return true;
    }
    return false;
}

/* Applies the txn; its answer is compared. */
static inline void model_apply(struct model *model, const struct kv_txn *txn, kv_time stamp,
                               const struct kv_txn_result *result)
{
    model->clock = stamp;
    struct model_path *path = model_decide(model, txn);
    model_do(model, txn, path, result);
    if (model_changed(model))
        model->revision++;
}

/* A lease ends, and its keys with it. */
static inline void model_lease_end(struct model *model, int64_t id, kv_time stamp)
{
    model->clock = stamp;
    model->leases[id] = 0;
    for (int i = 0; i < model->key_count; i++) {
        const struct model_version *live = model_at(model, i, INT64_MAX);
        if (live && live->lease == id)
            model_delete(model, i);
    }
    if (model_changed(model))
        model->revision++;
}

#endif
