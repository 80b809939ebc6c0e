/* Rename: what moves, what is in the way, and what survives. */
#include "tests/unit/tree_fixture.h"

#include "proto/base/limits.h"

#define RENAME(one, two, ...) ((struct kv_rename){.from = B(one), .to = B(two), ##__VA_ARGS__})

/* The record of a name, decoded; asserts that it counts. */
static struct meta meta_at(struct tree *tree, const char *directory, const char *name)
{
    struct kv_name found;
    struct meta meta;
    assert_ok(tree_lookup(tree, directory, name, &found));
    assert_true(found.meta_mod_revision > 0);
    assert_ok(meta_decode(found.meta, &tree->arena, &meta));
    return meta;
}

static void a_file_moves(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    int64_t moved = 0;
    (void)state;
    tree_put(tree, "/a", "content");
    uint64_t id = meta_file_id(TREE_CLUSTER, B("/a"), 2, NULL);
    kv_time born = tree->clock;
    assert_ok(tree_rename(tree, RENAME("/a", "/d/b", .value_only = true), &moved));
    assert_int_equal(moved, 1);
    assert_null(tree_value(tree, "/a"));
    assert_string_equal(tree_value(tree, "/d/b"), "content");
    assert_int_equal(store_revision(tree->store), 3);
    assert_string_equal(tree_names(tree, "/"), "d/");
    assert_ok(tree_lookup(tree, "/d/", "b", &name));
    assert_int_equal(name.create_revision, 3);
    assert_int_equal(name.version, 1);
    struct meta meta = meta_at(tree, "/d/", "b");
    assert_int_equal(meta.file_id, id);
    assert_true(meta.has_birth && meta.has_mtime);
    assert_int_equal(meta.birth, born);
    assert_int_equal(meta.mtime, born);
    assert_true(meta_times_count(&meta, name.meta_mod_revision, name.mod_revision));
    assert_false(meta.has_mode || meta.has_owner);
    /* And once more: identity and birth stay what they were. */
    assert_ok(tree_rename(tree, RENAME("/d/b", "/c"), &moved));
    meta = meta_at(tree, "/", "c");
    assert_int_equal(meta.file_id, id);
    assert_int_equal(meta.birth, born);
    assert_int_equal(meta.mtime, born);
    assert_null(tree_value(tree, ".concordfs/meta//d/b"));
    tree_free(tree);
}

static void a_record_moves_along(void **state)
{
    struct tree *tree = tree_new();
    struct meta_xattr xattr = {B("user.k"), B("v")};
    struct meta given = {.type = META_SYMLINK, .has_mode = true, .mode = 0600, .has_owner = true,
                         .uid = 5, .gid = 6, .has_mtime = true, .mtime = 42, .has_atime = true,
                         .atime = 43, .mtime_for = 2, .for_create = 2, .xattrs = &xattr,
                         .xattr_count = 1};
    (void)state;
    tree_put(tree, "/a", "content");
    tree_meta(tree, "/a", &given);
    assert_ok(tree_rename(tree, RENAME("/a", "/b"), NULL));
    struct meta meta = meta_at(tree, "/", "b");
    assert_int_equal(meta.type, META_SYMLINK);
    assert_int_equal(meta.mode, 0600);
    assert_int_equal(meta.uid, 5);
    assert_int_equal(meta.mtime, 42);
    assert_int_equal(meta.atime, 43);
    assert_int_equal(meta.mtime_for, 4);
    assert_int_equal(meta.xattr_count, 1);
    /* A time that was set for an older version is not carried over; the version's own is. */
    tree_put(tree, "/b", "newer");
    kv_time written = tree->clock;
    assert_ok(tree_rename(tree, RENAME("/b", "/c"), NULL));
    meta = meta_at(tree, "/", "c");
    assert_int_equal(meta.mtime, written);
    assert_false(meta.has_atime);
    tree_free(tree);
}

static void a_record_that_does_not_count_stays_behind(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree_put(tree, "/a", "content");
    tree_meta(tree, "/a", &(struct meta){.has_mode = true, .mode = 0600, .for_create = 99});
    assert_ok(tree_rename(tree, RENAME("/a", "/b"), NULL));
    assert_false(meta_at(tree, "/", "b").has_mode);
    assert_null(tree_value(tree, ".concordfs/meta//a"));
    tree_free(tree);
}

static void a_directory_moves(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    struct meta meta;
    int64_t moved = 0;
    (void)state;
    tree_mkdir(tree, "/a");                                     /* 2 */
    tree_put(tree, "/a", "own value");
    tree_put(tree, "/a/x", "1");
    tree_put(tree, "/a/s/y", "2");
    tree_put(tree, "/ab", "not below");
    tree_meta(tree, "/a/pipe", &(struct meta){.type = META_FIFO});
    tree_mkdir(tree, "/a/empty");
    kv_time changed = tree->clock;
    assert_ok(tree_lookup(tree, "/a/", "pipe", &name));
    uint64_t pipe_id = meta_file_id(TREE_CLUSTER, B("/a/pipe"), name.create_revision, NULL);
    assert_ok(tree_rename(tree, RENAME("/a", "/n/b"), &moved));
    assert_int_equal(moved, 4);
    assert_string_equal(tree_names(tree, "/"), "ab n/");
    assert_string_equal(tree_names(tree, "/n/"), "b/");
    assert_string_equal(tree_names(tree, "/n/b/"), "empty/ pipe s/ x");
    assert_string_equal(tree_value(tree, "/n/b"), "own value");
    assert_string_equal(tree_value(tree, "/n/b/s/y"), "2");
    assert_ok(tree_lookup(tree, "/n/b/", "pipe", &name));
    assert_true(name.has_node);
    assert_int_equal(meta_at(tree, "/n/b/", "pipe").file_id, pipe_id);
    assert_ok(tree_lookup(tree, "/n/", "b", &name));
    assert_int_equal(name.directory_count, 2);
    assert_ok(meta_decode(name.directory_record, &tree->arena, &meta));
    assert_int_equal(meta.mode, 0700);
    assert_int_equal(meta.file_id, meta_file_id(TREE_CLUSTER, B("/a"), 2, NULL));
    assert_int_equal(meta.mtime, changed);
    assert_true(meta_times_count(&meta, name.directory_mod_revision, name.change_revision));
    /* The past is where it was. */
    assert_string_equal(tree_names_at(tree, "/a/", store_revision(tree->store) - 1),
                        "empty/ pipe s/ x");
    tree_free(tree);
}

static void what_is_refused(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree_put(tree, "/a", "1");
    tree_put(tree, "/b", "2");
    tree_put(tree, "/d/x", "3");
    kv_rev before = store_revision(tree->store);
    assert_err(tree_rename(tree, RENAME("/none", "/c"), NULL), NOT_FOUND);
    assert_err(tree_rename(tree, RENAME("/a", "/b"), NULL), EXISTS);
    assert_err(tree_rename(tree, RENAME("/a", "/d"), NULL), EXISTS);
    assert_err(tree_rename(tree, RENAME("/a", "/d", .replace = true), NULL), EXISTS);
    assert_err(tree_rename(tree, RENAME("/d", "/d/y"), NULL), INVALID);
    assert_err(tree_rename(tree, RENAME("/d", "/d"), NULL), INVALID);
    assert_err(tree_rename(tree, RENAME("/a", "/none", .exchange = true), NULL), NOT_FOUND);
    assert_err(tree_rename(tree, RENAME("/d/x", "/d", .exchange = true), NULL), INVALID);
    assert_err(tree_rename(tree, RENAME("/d", "/c", .value_only = true), NULL), NOT_FOUND);
    assert_err(tree_rename(tree, RENAME("/a", ".concordfs/pin/x"), NULL), DENIED);
    assert_err(tree_rename(tree, RENAME(".concordfs", "/x"), NULL), DENIED);
    assert_err(tree_rename(tree, RENAME("/a", "/b", .replace = true, .exchange = true), NULL),
               INVALID);
    assert_int_equal(store_revision(tree->store), before);
    tree_free(tree);
}

/* A record for a key that never came is nothing that stands there; it goes. */
static void records_nobody_sees(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a", "1");
    tree_meta(tree, "/b", &(struct meta){.has_mode = true, .mode = 0600});
    assert_err(tree_rename(tree, RENAME("/b", "/c"), NULL), NOT_FOUND);
    assert_err(tree_rename(tree, RENAME("/a", "/b", .exchange = true), NULL), NOT_FOUND);
    assert_ok(tree_rename(tree, RENAME("/a", "/b"), NULL));
    assert_false(meta_at(tree, "/", "b").has_mode);
    tree_meta(tree, "/pipe", &(struct meta){.type = META_FIFO});
    assert_err(tree_rename(tree, RENAME("/b", "/pipe", .value_only = true), NULL), EXISTS);
    assert_ok(tree_rename(tree, RENAME("/pipe", "/b", .value_only = true, .replace = true), NULL));
    assert_ok(tree_lookup(tree, "/", "b", &name));
    assert_true(name.has_node && !name.has_value);
    tree_free(tree);
}

static void replace_takes_what_stands_there(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/a", "new");
    tree_put(tree, "/b", "old");
    tree_meta(tree, "/b", &(struct meta){.has_mode = true, .mode = 0600, .for_create = 3});
    assert_ok(tree_rename(tree, RENAME("/a", "/b", .replace = true, .value_only = true), NULL));
    assert_string_equal(tree_value(tree, "/b"), "new");
    assert_false(meta_at(tree, "/", "b").has_mode);
    assert_ok(tree_lookup(tree, "/", "b", &name));
    assert_int_equal(name.version, 1);
    /* A directory takes the place of an empty one; a file does not. */
    tree_mkdir(tree, "/empty");
    tree_put(tree, "/full/x", "1");
    assert_err(tree_rename(tree, RENAME("/b", "/empty", .replace = true), NULL), EXISTS);
    assert_ok(tree_rename(tree, RENAME("/full", "/empty", .replace = true), NULL));
    assert_string_equal(tree_names(tree, "/"), "b empty/");
    assert_ok(tree_lookup(tree, "/", "empty", &name));
    assert_int_equal(name.directory_create_revision, 0);        /* implicit, as full was */
    tree_free(tree);
}

static void the_directory_replaced_into_changed(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    (void)state;
    tree_put(tree, "/d/f", "old");
    tree_put(tree, "/f", "new");
    assert_ok(tree_rename(tree, RENAME("/f", "/d/f", .replace = true, .value_only = true), NULL));
    assert_ok(tree_lookup(tree, "/", "d", &name));
    assert_int_equal(name.change_revision, 4);
    assert_int_equal(name.name_count, 1);
    tree_free(tree);
}

static void own_value_leaves_its_directory(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    tree_put(tree, "/d", "own");
    tree_put(tree, "/d/x", "1");
    assert_ok(tree_rename(tree, RENAME("/d", "/d/own", .value_only = true), NULL));
    assert_string_equal(tree_names(tree, "/d/"), "own x");
    assert_null(tree_value(tree, "/d"));
    assert_ok(tree_rename(tree, RENAME("/d/x", "/d", .value_only = true), NULL));
    assert_string_equal(tree_value(tree, "/d"), "1");
    tree_free(tree);
}

static void exchange(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name one, two;
    int64_t moved = 0;
    (void)state;
    tree_put(tree, "/f", "file");
    tree_put(tree, "/d/x", "1");
    tree_put(tree, "/d/y/z", "2");
    tree_mkdir(tree, "/d/y");
    assert_ok(tree_rename(tree, RENAME("/f", "/d", .exchange = true), &moved));
    assert_int_equal(moved, 3);
    assert_string_equal(tree_names(tree, "/"), "d f/");
    assert_string_equal(tree_names(tree, "/f/"), "x y/");
    assert_string_equal(tree_value(tree, "/d"), "file");
    assert_string_equal(tree_value(tree, "/f/y/z"), "2");
    tree_put(tree, "/a", "A");
    tree_put(tree, "/b", "B");
    assert_ok(tree_lookup(tree, "/", "a", &one));
    assert_ok(tree_lookup(tree, "/", "b", &two));
    uint64_t id = meta_file_id(TREE_CLUSTER, B("/a"), one.create_revision, NULL);
    assert_ok(tree_rename(tree, RENAME("/a", "/b", .exchange = true, .value_only = true), &moved));
    assert_int_equal(moved, 2);
    assert_string_equal(tree_value(tree, "/a"), "B");
    assert_string_equal(tree_value(tree, "/b"), "A");
    assert_int_equal(meta_at(tree, "/", "b").file_id, id);
    tree_free(tree);
}

static void limits(void **state)
{
    struct tree *tree = tree_new();
    char key[32];
    (void)state;
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/rename_keys"), B("3")));
    for (int i = 0; i < 4; i++) {
        sprintf(key, "/d/%d", i);
        tree_put(tree, key, "12345678");
    }
    assert_err(tree_rename(tree, RENAME("/d", "/e"), NULL), TOO_WIDE);
    tree_delete(tree, "/d/3");
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/rename_bytes"), B("20")));
    assert_err(tree_rename(tree, RENAME("/d", "/e"), NULL), TOO_WIDE);
    tree_delete(tree, ".concordfs/config/rename_bytes");
    assert_ok(tree_rename(tree, RENAME("/d", "/e"), NULL));
    /* Far more than the limit is refused before it is gathered. */
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/rename_keys"), B("0")));
    for (int i = 0; i < 12; i++) {
        sprintf(key, "/e/%d", i);
        tree_put(tree, key, "1");
    }
    assert_err(tree_rename(tree, RENAME("/e", "/f"), NULL), TOO_WIDE);
    tree_put(tree, "/f", "1");
    tree_delete(tree, ".concordfs/config/rename_keys");
    assert_err(tree_rename(tree, RENAME("/f", "/e", .replace = true), NULL), EXISTS);
    tree_free(tree);
}

/* A large value is not written again; it lives as long as the last version that refers to it. */
static void large_values_are_referred_to(void **state)
{
    struct tree *tree = tree_new();
    static uint8_t content[100 * KIB];
    struct kv_range range = {.key = B("/c")};
    struct kv_range_result result;
    struct entry_request compact = {.kind = ENTRY_COMPACT};
    kv_rev revision, done;
    uint64_t used, limit, keys, after, bytes;
    bool finished = false;
    (void)state;
    memset(content, 'x', sizeof(content));
    assert_ok(tree_put_bytes(tree, B("/a"), bytes_of(content, sizeof(content))));
    store_quota_get(tree->store, &used, &limit, &keys);
    assert_int_equal(keys, 1);
    assert_ok(tree_rename(tree, RENAME("/a", "/b"), NULL));
    assert_ok(tree_rename(tree, RENAME("/b", "/c"), NULL));
    store_quota_get(tree->store, &after, &limit, &keys);
    assert_true(after - used < KIB);
    assert_int_equal(keys, 1);
    compact.compact.revision = store_revision(tree->store);
    assert_ok(tree_apply(tree, &compact, NULL));
    while (!finished)
        assert_ok(store_compact_step(tree->store, &finished, &done, &bytes, NULL));
    assert_int_equal(done, compact.compact.revision);
    assert_ok(store_range(tree->store, &range, &tree->arena, &result, &revision, NULL));
    assert_int_equal(result.count, 1);
    assert_bytes_equal(result.items[0].value, bytes_of(content, sizeof(content)));
    compact.kind = ENTRY_COMPACTED;
    compact.compacted_bytes = bytes;
    assert_ok(tree_apply(tree, &compact, NULL));
    store_quota_get(tree->store, &after, &limit, &keys);
    assert_true(after >= sizeof(content) && after < sizeof(content) + KIB);
    tree_free(tree);
}

/* As a filesystem does it: an implicit directory gets a record in the same txn, first. */
static void with_other_operations(void **state)
{
    struct tree *tree = tree_new();
    struct kv_name name;
    struct meta meta = {.type = META_DIRECTORY, .file_id = 4711};
    struct buf record = {0};
    struct kv_op_result result;
    (void)state;
    tree_put(tree, "/s/a/x", "1");
    meta_encode(&meta, &record);
    struct kv_op ops[] = {
        {.kind = KV_OP_PUT, .put = {.key = B(".concordfs/dir//s/a"), .value = buf_bytes(&record)}},
        {.kind = KV_OP_PUT, .put = {.key = B(".concordfs/dir//s"), .value = buf_bytes(&record)}},
        {.kind = KV_OP_RENAME, .rename = RENAME("/s/a", "/t/a")},
    };
    struct kv_txn txn = {.success = ops, .success_count = 3};
    assert_ok(kv_validate_txn(&txn, &tree->err));
    assert_ok(tree_ops(tree, ops, 3, &result));
    assert_int_equal(result.txn.results[2].rename.moved, 1);
    assert_string_equal(tree_names(tree, "/"), "s/ t/");
    assert_string_equal(tree_names(tree, "/s/"), "");
    assert_ok(tree_lookup(tree, "/t/", "a", &name));
    assert_ok(meta_decode(name.directory_record, &tree->arena, &meta));
    assert_int_equal(meta.file_id, 4711);
    buf_release(&record);
    tree_free(tree);
}

static void equal_on_every_member(void **state)
{
    uint64_t hashes[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tree *tree = tree_new();
        tree_put(tree, "/a/x", "1");
        tree_meta(tree, "/a/p", &(struct meta){.type = META_SOCKET});
        tree_put(tree, "/b", "2");
        if (i) {
            store_close(tree->store);
            tree_reopen(tree);
        }
        assert_ok(tree_rename(tree, RENAME("/a", "/b", .exchange = true), NULL));
        assert_ok(store_hash(tree->store, &hashes[i], NULL));
        tree_free(tree);
    }
    assert_int_equal(hashes[0], hashes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_moves),
        cmocka_unit_test(a_record_moves_along),
        cmocka_unit_test(a_record_that_does_not_count_stays_behind),
        cmocka_unit_test(a_directory_moves),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(records_nobody_sees),
        cmocka_unit_test(replace_takes_what_stands_there),
        cmocka_unit_test(the_directory_replaced_into_changed),
        cmocka_unit_test(own_value_leaves_its_directory),
        cmocka_unit_test(exchange),
        cmocka_unit_test(limits),
        cmocka_unit_test(large_values_are_referred_to),
        cmocka_unit_test(with_other_operations),
        cmocka_unit_test(equal_on_every_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
