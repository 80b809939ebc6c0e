/* Every read of the backend fails once, in turn: what was asked answers IO or, where it could do without,
 * the right thing; nothing else, and nothing leaks. */
#include "tests/unit/tree_fixture.h"

/* A backend in front of another whose nth read fails. Iterators count their moves. */
struct faulty {
    struct backend base;
    struct backend *real;
    unsigned reads, fail_at;            /* 0: never */
};

struct faulty_iterator {
    struct backend_iterator base;
    struct backend_iterator *real;
    struct faulty *faulty;
    bool has_failed;
};

static struct faulty *faulty_of(const struct backend *backend)
{
    return container_of(backend, struct faulty, base);
}

static bool fails(struct faulty *faulty)
{
    return ++faulty->reads == faulty->fail_at;
}

static enum err_code faulty_get(struct backend *backend, const struct backend_snapshot *snapshot,
                                struct bytes key, struct buf *ret, struct err *err)
{
    struct faulty *faulty = faulty_of(backend);
    if (fails(faulty))
        return err_set(err, ERR_IO, "a read failed");
    return faulty->real->ops->get(faulty->real, snapshot, key, ret, err);
}

static enum err_code faulty_write(struct backend *backend, const struct backend_op *ops,
                                  size_t count, struct err *err)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->write(real, ops, count, err);
}

static struct backend_snapshot *faulty_snapshot_new(struct backend *backend, bool passing)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->snapshot_new(real, passing);
}

static void faulty_snapshot_free(struct backend *backend, struct backend_snapshot *snapshot)
{
    struct backend *real = faulty_of(backend)->real;
    real->ops->snapshot_free(real, snapshot);
}

static struct faulty_iterator *iterator_of(const struct backend_iterator *iterator)
{
    return container_of(iterator, struct faulty_iterator, base);
}

static void iterator_seek(struct backend_iterator *iterator, struct bytes key)
{
    struct faulty_iterator *it = iterator_of(iterator);
    it->has_failed = it->has_failed || fails(it->faulty);
    it->real->ops->seek(it->real, key);
}
static void iterator_seek_last(struct backend_iterator *iterator)
{
    struct faulty_iterator *it = iterator_of(iterator);
    it->has_failed = it->has_failed || fails(it->faulty);
    it->real->ops->seek_last(it->real);
}
static void iterator_next(struct backend_iterator *iterator)
{
    struct faulty_iterator *it = iterator_of(iterator);
    it->has_failed = it->has_failed || fails(it->faulty);
    it->real->ops->next(it->real);
}
static void iterator_previous(struct backend_iterator *iterator)
{
    struct faulty_iterator *it = iterator_of(iterator);
    it->has_failed = it->has_failed || fails(it->faulty);
    it->real->ops->previous(it->real);
}
static bool iterator_valid(const struct backend_iterator *iterator)
{
    const struct faulty_iterator *it = iterator_of(iterator);
    return !it->has_failed && it->real->ops->valid(it->real);
}
static struct bytes iterator_key(const struct backend_iterator *iterator)
{
    const struct faulty_iterator *it = iterator_of(iterator);
    return it->real->ops->key(it->real);
}
static struct bytes iterator_value(const struct backend_iterator *iterator)
{
    const struct faulty_iterator *it = iterator_of(iterator);
    return it->real->ops->value(it->real);
}
static enum err_code iterator_status(const struct backend_iterator *iterator, struct err *err)
{
    const struct faulty_iterator *it = iterator_of(iterator);
    if (it->has_failed)
        return err_set(err, ERR_IO, "a read failed");
    return it->real->ops->status(it->real, err);
}
static void iterator_free(struct backend_iterator *iterator)
{
    struct faulty_iterator *it = iterator_of(iterator);
    it->real->ops->free(it->real);
    free(it);
}

static struct backend_iterator *faulty_iterator_new(struct backend *backend,
                                                    const struct backend_snapshot *snapshot)
{
    static const struct backend_iterator_ops ops = {
        .seek = iterator_seek, .seek_last = iterator_seek_last, .next = iterator_next,
        .previous = iterator_previous, .valid = iterator_valid, .key = iterator_key,
        .value = iterator_value, .status = iterator_status, .free = iterator_free,
    };
    struct faulty *faulty = faulty_of(backend);
    struct faulty_iterator *it = calloc(1, sizeof(*it));
    it->base.ops = &ops;
    it->faulty = faulty;
    it->real = faulty->real->ops->iterator_new(faulty->real, snapshot);
    return &it->base;
}

static enum err_code faulty_log_current(struct backend *backend, uint64_t *ret, struct err *err)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->log_current(real, ret, err);
}
static bool faulty_log_exists(struct backend *backend, uint64_t number)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->log_exists(real, number);
}
static enum err_code faulty_flush(struct backend *backend, struct err *err)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->flush(real, err);
}
static enum err_code faulty_forget_logs(struct backend *backend, struct err *err)
{
    struct backend *real = faulty_of(backend)->real;
    return real->ops->forget_logs(real, err);
}
static void faulty_close(struct backend *backend)
{
    struct faulty *faulty = faulty_of(backend);
    backend_close(faulty->real);
    free(faulty);
}

static struct faulty *faulty_new(struct backend *real)
{
    static const struct backend_ops ops = {
        .get = faulty_get, .write = faulty_write, .snapshot_new = faulty_snapshot_new,
        .snapshot_free = faulty_snapshot_free, .iterator_new = faulty_iterator_new,
        .log_current = faulty_log_current, .log_exists = faulty_log_exists,
        .flush = faulty_flush, .forget_logs = faulty_forget_logs, .close = faulty_close,
    };
    struct faulty *faulty = calloc(1, sizeof(*faulty));
    faulty->base.ops = &ops;
    faulty->real = real;
    return faulty;
}

/* ---- the store that is asked ---- */

static struct backend_memory *memory;

static void fill(void)
{
    struct tree *tree = tree_new();
    static uint8_t big[2000];
    struct meta_xattr xattr = {B("user.big"), bytes_of(big, sizeof(big))};
    tree_put(tree, "/a/x", "1");
    assert_ok(tree_put_bytes(tree, B("/a/big"), bytes_of(big, sizeof(big))));
    tree_meta(tree, "/a/x", &(struct meta){.has_mode = true, .mode = 0600, .for_create = 2});
    tree_meta(tree, "/a/p", &(struct meta){.type = META_FIFO});
    tree_mkdir(tree, "/a");
    tree_record(tree, KV_DIR_PREFIX, "/a/d",
                &(struct meta){.type = META_DIRECTORY, .xattrs = &xattr, .xattr_count = 1});
    tree_put(tree, "/a!", "1");
    tree_put(tree, "/a/s/y", "1");
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/heartbeat"), B("70")));
    memory = tree->memory;
    store_close(tree->store);
    arena_release(&tree->arena);
    free(tree);
}

/* Opens what fill made; *ret is NULL when that fails. */
static enum err_code open_faulty(unsigned fail_at, struct store **ret, struct faulty **ret_faulty)
{
    struct err err;
    struct faulty *faulty = faulty_new(backend_memory_open(memory));
    struct store_options options = {.backend = &faulty->base, .cluster_id = TREE_CLUSTER,
                                    .member_id = 1, .generation = 1};
    faulty->fail_at = fail_at;
    *ret_faulty = faulty;
    enum err_code code = store_open(ret, &options, &err);
    if (code)
        *ret = NULL;
    return code;
}

/* Runs what until it gets by without meeting the fault. */
static void with_each_read_failing(enum err_code (*what)(struct store *store, struct arena *arena,
                                                         struct err *err))
{
    unsigned failed = 0;
    fill();
    for (unsigned fail_at = 1;; fail_at++) {
        struct arena arena = {0};
        struct faulty *faulty;
        struct store *store;
        struct err err;
        assert_ok(open_faulty(0, &store, &faulty));
        faulty->reads = 0;
        faulty->fail_at = fail_at;
        enum err_code code = what(store, &arena, &err);
        bool met = faulty->reads >= fail_at;
        assert_true(code == ERR_OK || (met && code == ERR_IO));
        failed += code == ERR_IO;
        arena_release(&arena);
        store_close(store);
        if (!met)
            break;
        if (code == ERR_IO)
            assert_string_equal(err.text, "a read failed");
    }
    assert_true(failed > 0);
    backend_memory_free(memory);
}

static enum err_code look_up(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_lookup lookup = {.directory = B("/a/"), .name = B("d")};
    struct kv_name name;
    kv_rev revision;
    return store_lookup(store, &lookup, arena, &name, &revision, err);
}

static enum err_code look_up_in_the_past(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_lookup lookup = {.directory = B("/a/"), .name = B("s"), .revision = 9};
    struct kv_name name;
    kv_rev revision;
    return store_lookup(store, &lookup, arena, &name, &revision, err);
}

static enum err_code list_now(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_list list = {.directory = B("/a/"), .limit = 10};
    struct kv_list_result result;
    kv_rev revision;
    enum err_code code = store_list(store, &list, arena, &result, &revision, err);
    if (!code)
        assert_int_equal(result.count, 5);
    return code;
}

static enum err_code list_in_the_past(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_list list = {.directory = B("/a/"), .limit = 10, .revision = 9};
    struct kv_list_result result;
    kv_rev revision;
    enum err_code code = store_list(store, &list, arena, &result, &revision, err);
    if (!code)
        assert_int_equal(result.count, 5);
    return code;
}

static enum err_code rename_all(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_op op = {.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/b")}};
    struct entry_request request = {.kind = ENTRY_TXN, .txn = {.success = &op, .success_count = 1}};
    struct entry entry = {.term = 1, .index = store_applied(store) + 1,
                          .payload = entry_request_encode(&request)};
    struct store_result result;
    entry_stamp_set(entry.payload, 5000 * SECOND);
    (void)arena;
    store_begin(store);
    enum err_code code = store_apply(store, &entry, true, &result, err);
    if (!code) {
        assert_int_equal(result.code, ERR_OK);
        arena_release(&result.arena);
    }
    blob_unref(entry.payload);
    return code;
}

static void lookups(void **state)
{
    (void)state;
    with_each_read_failing(look_up);
    with_each_read_failing(look_up_in_the_past);
}

static void listings(void **state)
{
    (void)state;
    with_each_read_failing(list_now);
    with_each_read_failing(list_in_the_past);
}

static void renames(void **state)
{
    (void)state;
    with_each_read_failing(rename_all);
}

static void opening(void **state)
{
    (void)state;
    fill();
    for (unsigned fail_at = 1;; fail_at++) {
        struct faulty *faulty;
        struct store *store;
        enum err_code code = open_faulty(fail_at, &store, &faulty);
        if (code == ERR_OK) {
            bool met = faulty->reads >= fail_at;
            store_close(store);
            assert_false(met);
            break;
        }
        assert_int_equal(code, ERR_IO);
    }
    backend_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups),
        cmocka_unit_test(listings),
        cmocka_unit_test(renames),
        cmocka_unit_test(opening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
