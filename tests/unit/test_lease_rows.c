/* Leases in the store: grant, renew and end as entries, and what hangs on a lease whatever is done to its
 * keys. The rows are compared with the keys after every test (store_validate). */
#include "tests/unit/tree_fixture.h"

#include "proto/base/limits.h"

static enum err_code apply_lease(struct tree *tree, enum entry_request_kind kind, int64_t id,
                                 int64_t ttl_s, raft_index renewed)
{
    struct entry_request request = {
        .kind = kind, .lease = {.id = id, .ttl_s = ttl_s}, .lease_renewed = renewed};
    return tree_apply(tree, &request, NULL);
}

static enum err_code grant(struct tree *tree, int64_t id, int64_t ttl_s)
{
    return apply_lease(tree, ENTRY_LEASE_GRANT, id, ttl_s, 0);
}

static enum err_code renew(struct tree *tree, int64_t id)
{
    return apply_lease(tree, ENTRY_LEASE_RENEW, id, 0, 0);
}

static enum err_code revoke(struct tree *tree, int64_t id)
{
    return apply_lease(tree, ENTRY_LEASE_REVOKE, id, 0, 0);
}

/* Whether the lease has ended. */
static bool expire(struct tree *tree, int64_t id, raft_index renewed)
{
    assert_ok(apply_lease(tree, ENTRY_LEASE_EXPIRE, id, 0, renewed));
    return tree->lease.event == LEASE_ENDED;
}

static struct kv_op put_op(const char *key, const char *value, int64_t lease)
{
    return (struct kv_op){.kind = KV_OP_PUT,
                          .put = {.key = bytes_of_text(key),
                                  .value = bytes_of_text(value),
                                  .lease = lease}};
}

static void put(struct tree *tree, const char *key, const char *value, int64_t lease)
{
    struct kv_op op = put_op(key, value, lease);
    assert_ok(tree_ops(tree, &op, 1, NULL));
}

static struct kv_lease_result lease_of(struct tree *tree, int64_t id, int64_t *ret_remaining)
{
    struct kv_lease_result lease;
    kv_rev revision;
    int64_t remaining;
    assert_ok(store_lease(tree->store, id, true, tree->clock + 1500000000, &tree->arena, &lease,
                          &remaining, &revision, &tree->err));
    assert_int_equal(revision, store_revision(tree->store));
    assert_int_equal(lease.id, id);
    if (ret_remaining)
        *ret_remaining = remaining;
    return lease;
}

/* The keys of a lease, a blank behind each; "-": there is no such lease. */
static const char *keys_of(struct tree *tree, int64_t id)
{
    static char text[4096];
    struct kv_lease_result lease;
    kv_rev revision;
    int64_t remaining;
    size_t used = 0;
    enum err_code code = store_lease(tree->store, id, true, 0, &tree->arena, &lease, &remaining,
                                     &revision, &tree->err);
    if (code == ERR_NOT_FOUND) {
        assert_string_equal(tree->err.text, "requested lease not found");
        return "-";
    }
    assert_ok(code);
    text[0] = 0;
    for (size_t i = 0; i < lease.key_count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ",
                                 (int)lease.keys[i].size, (const char *)lease.keys[i].data);
    return text;
}

static uint64_t used(struct tree *tree)
{
    uint64_t used, limit, keys;
    store_quota_get(tree->store, &used, &limit, &keys);
    return used;
}

static void finish(struct tree *tree)
{
    if (store_validate(tree->store, &tree->err) != ERR_OK)
        fail_msg("%s", tree->err.text);
    tree_free(tree);
}

/* ---- a lease's life ---- */

static void granted_renewed_and_revoked(void **state)
{
    struct tree *tree = tree_new();
    int64_t remaining;
    (void)state;
    assert_ok(grant(tree, 77, 60));
    assert_int_equal(tree->lease.event, LEASE_GRANTED);
    assert_int_equal(tree->lease.id, 77);
    assert_int_equal(tree->lease.ttl_s, 60);
    assert_int_equal(tree->lease.renewed, tree->index);
    assert_int_equal(used(tree), LEASE_BYTES);
    assert_int_equal(store_revision(tree->store), 1);
    assert_int_equal(lease_of(tree, 77, &remaining).granted_ttl_s, 60);
    assert_int_equal(remaining, 59);            /* 1.5 s later */
    tree->clock += 30 * SECOND;
    lease_of(tree, 77, &remaining);
    assert_int_equal(remaining, 29);
    assert_ok(renew(tree, 77));
    assert_int_equal(tree->lease.event, LEASE_RENEWED);
    assert_int_equal(tree->lease.ttl_s, 60);
    assert_int_equal(tree->lease.renewed, tree->index);
    lease_of(tree, 77, &remaining);
    assert_int_equal(remaining, 59);
    tree->clock += 1000 * SECOND;
    lease_of(tree, 77, &remaining);
    assert_int_equal(remaining, 0);
    assert_ok(revoke(tree, 77));
    assert_int_equal(tree->lease.event, LEASE_ENDED);
    assert_string_equal(keys_of(tree, 77), "-");
    assert_int_equal(used(tree), 0);
    assert_int_equal(store_revision(tree->store), 1);
    finish(tree);
}

static void what_is_refused(void **state)
{
    struct tree *tree = tree_new();
    struct kv_op op = put_op("/a", "1", 5);
    (void)state;
    assert_int_equal(grant(tree, 0, 60), ERR_INVALID);
    assert_int_equal(grant(tree, 1, LEASE_TTL_MAX_S + 1), ERR_TOO_BIG);
    assert_string_equal(tree->err.text, "too large lease TTL");
    assert_ok(grant(tree, 1, LEASE_TTL_MAX_S));
    assert_int_equal(grant(tree, 1, 60), ERR_EXISTS);
    assert_string_equal(tree->err.text, "lease already exists");
    assert_int_equal(tree->lease.event, LEASE_NONE);
    assert_int_equal(renew(tree, 2), ERR_NOT_FOUND);
    assert_string_equal(tree->err.text, "requested lease not found");
    assert_int_equal(revoke(tree, 2), ERR_NOT_FOUND);
    assert_string_equal(tree->err.text, "requested lease not found");
    assert_int_equal(tree_ops(tree, &op, 1, NULL), ERR_NOT_FOUND);
    assert_string_equal(tree->err.text, "requested lease not found");
    assert_null(tree_value(tree, "/a"));
    finish(tree);
}

static void a_short_time_is_raised(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(grant(tree, 1, -5));
    assert_int_equal(tree->lease.ttl_s, LEASE_TTL_MIN_S);
    assert_ok(grant(tree, 2, 3));
    assert_int_equal(tree->lease.ttl_s, 3);
    /* One and a half election timeouts, in whole seconds. */
    tree_put(tree, KV_CONFIG_PREFIX "election", "2100");
    assert_ok(grant(tree, 3, 3));
    assert_int_equal(tree->lease.ttl_s, 4);
    assert_int_equal(lease_of(tree, 3, NULL).granted_ttl_s, 4);
    finish(tree);
}

static void the_quota_bounds_leases(void **state)
{
    struct tree *tree = tree_new();
    static char large[1048576];
    (void)state;
    tree_put(tree, KV_CONFIG_PREFIX "quota", "1048576");
    assert_ok(grant(tree, 1, 60));
    put(tree, "/a", "1", 1);
    memset(large, 'x', sizeof(large) - 1 - 300);
    tree_put(tree, "/b", large);
    int granted = 0;
    while (grant(tree, 2 + granted, 60) == ERR_OK)
        granted++;
    assert_string_equal(tree->err.text, "mvcc: database space exceeded");
    assert_in_range(granted, 1, 10);
    /* Renewing and ending go on. */
    assert_ok(renew(tree, 1));
    assert_ok(revoke(tree, 1));
    assert_ok(revoke(tree, 2));
    assert_ok(grant(tree, 2, 60));
    finish(tree);
}

static void an_expiry_is_void_after_a_renewal(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(grant(tree, 1, 60));
    raft_index granted = tree->index;
    put(tree, "/a", "1", 1);
    assert_ok(renew(tree, 1));
    raft_index renewed = tree->index;
    kv_rev before = store_revision(tree->store);
    assert_false(expire(tree, 1, granted));
    assert_false(expire(tree, 9, granted));
    assert_int_equal(store_revision(tree->store), before);
    assert_string_equal(tree_value(tree, "/a"), "1");
    assert_true(expire(tree, 1, renewed));
    assert_int_equal(store_revision(tree->store), before + 1);
    assert_null(tree_value(tree, "/a"));
    assert_false(expire(tree, 1, renewed));
    /* Another life of the same id. */
    assert_ok(grant(tree, 1, 60));
    assert_false(expire(tree, 1, renewed));
    assert_true(expire(tree, 1, tree->index - 1));
    finish(tree);
}

static void the_list_is_in_order(void **state)
{
    struct tree *tree = tree_new();
    struct kv_lease_result list;
    kv_rev revision;
    static const int64_t ids[] = {1, 2, 5, INT64_MAX, INT64_MIN, -1};
    (void)state;
    assert_ok(store_lease_list(tree->store, &tree->arena, &list, &revision, NULL));
    assert_int_equal(list.id_count, 0);
    for (size_t i = 6; i-- > 0;)
        assert_ok(grant(tree, ids[i], 60));
    put(tree, "/a", "1", 2);
    put(tree, "/b", "1", 2);
    put(tree, "/c", "1", -1);
    assert_ok(store_lease_list(tree->store, &tree->arena, &list, &revision, NULL));
    assert_int_equal(list.id_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(list.ids[i] == ids[i]);
    assert_string_equal(keys_of(tree, -1), "/c ");
    finish(tree);
}

/* ---- what hangs on it ---- */

static void keys_come_and_go(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(grant(tree, 1, 60));
    assert_ok(grant(tree, 2, 60));
    put(tree, "/b", "1", 1);
    put(tree, "/a", "1", 1);
    put(tree, "/a/z", "1", 1);
    put(tree, "plain", "1", 1);
    assert_string_equal(keys_of(tree, 1), "/a /a/z /b plain ");
    put(tree, "/a", "2", 1);                    /* again on the same */
    put(tree, "/b", "2", 2);                    /* on another */
    tree_put(tree, "plain", "2");               /* on none */
    tree_delete(tree, "/a/z");
    assert_string_equal(keys_of(tree, 1), "/a ");
    assert_string_equal(keys_of(tree, 2), "/b ");
    put(tree, "/a/z", "3", 2);                  /* a new life of the key */
    assert_string_equal(keys_of(tree, 2), "/a/z /b ");
    finish(tree);
}

static void ignoring_keeps_and_not_naming_does_not(void **state)
{
    struct tree *tree = tree_new();
    static char large[3000];
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    assert_ok(grant(tree, 1, 60));
    assert_ok(grant(tree, 2, 60));
    put(tree, "/a", "1", 1);
    put(tree, "/large", large, 1);
    struct kv_op op = put_op("/a", "2", 0);
    op.put.ignore_lease = true;
    assert_ok(tree_ops(tree, &op, 1, NULL));
    assert_string_equal(tree_value(tree, "/a"), "2");
    assert_string_equal(keys_of(tree, 1), "/a /large ");
    op = put_op("/large", "", 2);
    op.put.ignore_value = true;
    assert_ok(tree_ops(tree, &op, 1, NULL));
    assert_string_equal(tree_value(tree, "/large"), large);
    assert_string_equal(keys_of(tree, 1), "/a ");
    assert_string_equal(keys_of(tree, 2), "/large ");
    op.put.lease = 0;
    assert_ok(tree_ops(tree, &op, 1, NULL));
    assert_string_equal(tree_value(tree, "/large"), large);
    assert_string_equal(keys_of(tree, 2), "");
    finish(tree);
}

/* All its keys, in byte order, with their records, and the lease: one revision. */
static void an_end_is_one_revision(void **state)
{
    struct tree *tree = tree_new();
    struct kv_lease lease = {.id = 1};
    static const char *const keys[] = {"/a", "/b/c", "/b/d", "plain"};
    (void)state;
    assert_ok(grant(tree, lease.id, 60));
    for (size_t i = 4; i-- > 0;)
        put(tree, keys[i], "1", 1);
    tree_meta(tree, "/b/c", &(struct meta){.has_mode = true, .mode = 0600});
    tree_put(tree, "/kept", "1");
    kv_rev before = store_revision(tree->store);
    uint64_t hash_before, hash_after;
    assert_ok(store_hash(tree->store, &hash_before, NULL));
    assert_ok(revoke(tree, 1));
    assert_ok(store_hash(tree->store, &hash_after, NULL));
    assert_int_not_equal(hash_before, hash_after);
    assert_int_equal(store_revision(tree->store), before + 1);
    assert_string_equal(tree_names(tree, "/"), "kept");
    assert_null(tree_value(tree, KV_META_PREFIX "/b/c"));
    size_t count;
    const struct store_change *changes = store_changes(tree->store, &count);
    size_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(changes[i].revision, before + 1);
        if (changes[i].changes & KV_CHANGED_VALUE)
            assert_bytes_equal(changes[i].key, bytes_of_text(keys[seen++]));
    }
    assert_int_equal(seen, 4);
    finish(tree);
}

/* A record that hangs on the lease by itself goes with its key, or alone. */
static void records_may_hang_too(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(grant(tree, 1, 60));
    put(tree, "/a", "1", 1);
    put(tree, KV_META_PREFIX "/a", "", 1);
    put(tree, KV_PIN_PREFIX "p", "", 1);
    assert_string_equal(keys_of(tree, 1), KV_META_PREFIX "/a " KV_PIN_PREFIX "p /a ");
    tree_delete(tree, "/a");
    assert_string_equal(keys_of(tree, 1), KV_PIN_PREFIX "p ");
    put(tree, "/a", "1", 1);
    put(tree, KV_META_PREFIX "/a", "", 1);
    assert_ok(revoke(tree, 1));
    assert_null(tree_value(tree, "/a"));
    assert_null(tree_value(tree, KV_META_PREFIX "/a"));
    assert_null(tree_value(tree, KV_PIN_PREFIX "p"));
    finish(tree);
}

static void a_rename_takes_them_along(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(grant(tree, 1, 60));
    assert_ok(grant(tree, 2, 60));
    put(tree, "/d/a", "1", 1);
    put(tree, "/d/b", "1", 2);
    tree_put(tree, "/d/c", "1");
    assert_ok(tree_rename(tree, (struct kv_rename){.from = B("/d"), .to = B("/e")}, NULL));
    assert_string_equal(keys_of(tree, 1), "/e/a ");
    assert_string_equal(keys_of(tree, 2), "/e/b ");
    assert_ok(tree_rename(
        tree, (struct kv_rename){.from = B("/e/a"), .to = B("/e/b"), .exchange = true}, NULL));
    assert_string_equal(keys_of(tree, 1), "/e/b ");
    assert_string_equal(keys_of(tree, 2), "/e/a ");
    /* What is replaced lets go. */
    assert_ok(tree_rename(
        tree, (struct kv_rename){.from = B("/e/b"), .to = B("/e/a"), .replace = true}, NULL));
    assert_string_equal(keys_of(tree, 1), "/e/a ");
    assert_string_equal(keys_of(tree, 2), "");
    assert_ok(revoke(tree, 1));
    assert_string_equal(tree_names(tree, "/e/"), "c");
    finish(tree);
}

/* ---- txns ---- */

static void compares_see_leases(void **state)
{
    struct tree *tree = tree_new();
    struct kv_compare compare = {
        .key = B("/a"), .target = KV_COMPARE_LEASE, .result = KV_EQUAL, .number = 1};
    struct kv_op then = put_op("/a", "2", 0), otherwise = put_op("/else", "1", 1);
    struct entry_request request = {
        .kind = ENTRY_TXN,
        .txn = {&compare, &then, &otherwise, 1, 1, 1},
    };
    struct kv_op_result result;
    (void)state;
    assert_ok(grant(tree, 1, 60));
    put(tree, "/a", "1", 1);
    assert_ok(tree_apply(tree, &request, &result));
    assert_true(result.txn.succeeded);
    assert_ok(tree_apply(tree, &request, &result));
    assert_false(result.txn.succeeded);
    assert_string_equal(keys_of(tree, 1), "/else ");
    finish(tree);
}

/* Deep in a txn: only what is on the chosen way is asked whether its lease is there, and all of it before
 * anything is done. */
static void nested_puts(void **state)
{
    struct tree *tree = tree_new();
    struct kv_compare missing = {
        .key = B("/no"), .target = KV_COMPARE_VERSION, .result = KV_GREATER, .number = 0};
    struct kv_op with_one = put_op("/one", "1", 1), with_nine = put_op("/nine", "1", 9);
    struct kv_op inner = {.kind = KV_OP_TXN,
                          .txn = {&missing, &with_nine, &with_one, 1, 1, 1}};
    struct kv_op ops[] = {put_op("/first", "1", 1), inner};
    (void)state;
    assert_ok(grant(tree, 1, 60));
    assert_ok(tree_ops(tree, ops, 2, NULL));
    assert_string_equal(keys_of(tree, 1), "/first /one ");
    tree_put(tree, "/no", "is there");
    tree_delete(tree, "/first");
    assert_int_equal(tree_ops(tree, ops, 2, NULL), ERR_NOT_FOUND);
    assert_string_equal(keys_of(tree, 1), "/one ");
    assert_null(tree_value(tree, "/first"));
    /* Let go and taken again. */
    struct kv_op deletes = {.kind = KV_OP_DELETE, .del = {.key = B("/"), .range_end = B("0")}};
    struct kv_op nested = {.kind = KV_OP_TXN, .txn = {.success = &with_one, .success_count = 1}};
    assert_ok(tree_ops(tree, &deletes, 1, NULL));
    assert_string_equal(keys_of(tree, 1), "");
    assert_ok(tree_ops(tree, &nested, 1, NULL));
    assert_string_equal(keys_of(tree, 1), "/one ");
    finish(tree);
}

static void several_entries_of_one_batch(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree->unchecked = true;
    tree->group = 5;
    assert_ok(grant(tree, 1, 60));
    put(tree, "/a", "1", 1);
    put(tree, "/b", "1", 1);
    assert_ok(renew(tree, 1));
    assert_ok(revoke(tree, 1));
    assert_int_equal(tree->pending, 0);
    assert_string_equal(keys_of(tree, 1), "-");
    assert_null(tree_value(tree, "/a"));
    finish(tree);
}

/* ---- histories, sessions, restarts ---- */

static void compaction_leaves_leases_alone(void **state)
{
    struct tree *tree = tree_new();
    bool done = false;
    (void)state;
    assert_ok(grant(tree, 1, 60));
    put(tree, "/a", "1", 1);
    put(tree, "/a", "2", 1);
    put(tree, "/b", "1", 1);
    tree_delete(tree, "/b");
    struct entry_request request = {.kind = ENTRY_COMPACT,
                                    .compact.revision = store_revision(tree->store)};
    assert_ok(tree_apply(tree, &request, NULL));
    while (!done) {
        kv_rev revision;
        uint64_t bytes;
        assert_ok(store_compact_step(tree->store, &done, &revision, &bytes, NULL));
    }
    assert_string_equal(keys_of(tree, 1), "/a ");
    assert_ok(revoke(tree, 1));
    assert_null(tree_value(tree, "/a"));
    finish(tree);
}

static void once_whatever_is_repeated(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    assert_ok(tree_apply(tree, &(struct entry_request){.kind = ENTRY_SESSION_OPEN}, NULL));
    tree->session = tree->index;
    tree->lowest_open = 1;
    tree->number = 1;
    assert_ok(grant(tree, 1, 1));
    tree->number = 2;
    assert_int_equal(grant(tree, 1, 1), ERR_EXISTS);
    tree->number = 3;
    assert_ok(renew(tree, 1));
    raft_index renewed = tree->index;
    for (int round = 0; round < 2; round++) {
        tree->number = 1;
        assert_ok(grant(tree, 1, 1));
        assert_true(tree->repeated);
        assert_int_equal(tree->lease.event, LEASE_NONE);
        assert_int_equal(tree->lease.id, 1);
        assert_int_equal(tree->lease.ttl_s, LEASE_TTL_MIN_S);
        tree->number = 2;
        assert_int_equal(grant(tree, 1, 1), ERR_EXISTS);
        assert_string_equal(tree->err.text, "lease already exists");
        tree->number = 3;
        assert_int_equal(renew(tree, 1), round ? ERR_NOT_FOUND : ERR_OK);
        assert_int_equal(tree->lease.ttl_s, round ? 0 : LEASE_TTL_MIN_S);
        if (round)
            break;
        tree->number = 4;
        assert_ok(revoke(tree, 1));
        assert_ok(revoke(tree, 1));
        assert_true(tree->repeated);
        tree->number = 5;
        assert_int_equal(revoke(tree, 1), ERR_NOT_FOUND);
        assert_int_equal(revoke(tree, 1), ERR_NOT_FOUND);
        assert_true(tree->repeated);
        assert_string_equal(tree->err.text, "requested lease not found");
    }
    tree->session = 0;
    assert_false(expire(tree, 1, renewed));
    finish(tree);
}

/* What is found at an opening is what the lessor is told. */
static void a_restart_knows_them(void **state)
{
    struct tree *tree = tree_new();
    struct lessor *lessor = lessor_new();
    struct lease_change due;
    (void)state;
    assert_ok(grant(tree, 1, 60));
    assert_ok(grant(tree, 2, 30));
    put(tree, "/a", "1", 2);
    assert_ok(renew(tree, 1));
    raft_index renewed = tree->index;
    store_close(tree->store);
    tree_reopen(tree);
    lessor_apply(lessor, &(struct lease_change){LEASE_GRANTED, 99, 5, 1}, 0);
    assert_ok(store_lease_load(tree->store, lessor, 1000 * SECOND, &tree->err));
    assert_int_equal(lessor_count(lessor), 2);
    lessor_promote(lessor, 1000 * SECOND, 0);
    assert_false(lessor_due(lessor, 1030 * SECOND - 1, &due));
    assert_true(lessor_due(lessor, 1030 * SECOND, &due));
    assert_int_equal(due.id, 2);
    assert_true(lessor_due(lessor, 1060 * SECOND, &due));
    assert_int_equal(due.id, 1);
    assert_int_equal(due.renewed, renewed);
    assert_true(expire(tree, 2, 2));
    assert_null(tree_value(tree, "/a"));
    lessor_free(lessor);
    finish(tree);
}

/* ---- rows that do not fit ---- */

static void damage(struct tree *tree, struct bytes key, const struct bytes *value, const char *text)
{
    struct batch *batch = batch_new(tree->backend);
    struct bytes found;
    struct buf kept = {0};
    bool was_there = batch_get(batch, key, &found, NULL) == ERR_OK;
    if (was_there)
        buf_assign(&kept, found);
    if (value)
        batch_put(batch, key, *value);
    else
        batch_delete(batch, key);
    assert_ok(batch_write(batch, NULL));
    assert_int_equal(store_validate(tree->store, &tree->err), ERR_CORRUPT);
    assert_non_null(strstr(tree->err.text, text));
    if (was_there)
        batch_put(batch, key, buf_bytes(&kept));
    else
        batch_delete(batch, key);
    assert_ok(batch_write(batch, NULL));
    assert_ok(store_validate(tree->store, &tree->err));
    batch_free(batch);
    buf_release(&kept);
}

#define ROW(id, key) B("l\0\0\0\0\0\0\0" id key)

static void damage_is_seen(void **state)
{
    struct tree *tree = tree_new();
    struct lessor *lessor = lessor_new();
    (void)state;
    assert_ok(grant(tree, 1, 60));
    assert_ok(grant(tree, 2, 60));
    put(tree, "/a", "1", 1);
    tree_put(tree, "/b", "1");
    damage(tree, ROW("\x01", "/a"), NULL, "keys with a lease and their rows");
    damage(tree, ROW("\x01", "/b"), &B(""), "does not hang on it");
    damage(tree, ROW("\x01", "/c"), &B(""), "does not hang on it");
    damage(tree, ROW("\x03", "/a"), &B(""), "does not hang on it");
    damage(tree, ROW("\x01", ""), NULL, "does not hang on it");
    damage(tree, ROW("\x02", ""), &B("?"), "lease 2 of the store does not decode");
    damage(tree, B("l\0"), &B(""), "column 'l'");
    struct batch *batch = batch_new(tree->backend);
    batch_put(batch, ROW("\x02", ""), B("\x01"));
    assert_ok(batch_write(batch, NULL));
    assert_int_equal(store_lease_load(tree->store, lessor, 0, &tree->err), ERR_CORRUPT);
    batch_free(batch);
    lessor_free(lessor);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(granted_renewed_and_revoked),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_short_time_is_raised),
        cmocka_unit_test(the_quota_bounds_leases),
        cmocka_unit_test(an_expiry_is_void_after_a_renewal),
        cmocka_unit_test(the_list_is_in_order),
        cmocka_unit_test(keys_come_and_go),
        cmocka_unit_test(ignoring_keeps_and_not_naming_does_not),
        cmocka_unit_test(an_end_is_one_revision),
        cmocka_unit_test(records_may_hang_too),
        cmocka_unit_test(a_rename_takes_them_along),
        cmocka_unit_test(compares_see_leases),
        cmocka_unit_test(nested_puts),
        cmocka_unit_test(several_entries_of_one_batch),
        cmocka_unit_test(compaction_leaves_leases_alone),
        cmocka_unit_test(once_whatever_is_repeated),
        cmocka_unit_test(a_restart_knows_them),
        cmocka_unit_test(damage_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
