/* Cluster settings, the quota, and who may write in the system range. */
#include "tests/unit/tree_fixture.h"

#include "mvcc/config.h"
#include "mvcc/quota.h"
#include "mvcc/system.h"
#include "proto/base/limits.h"

static struct err refusal;

static enum err_code setting(const char *name, const char *value)
{
    refusal.text[0] = 0;
    return config_validate(bytes_of_text(name), bytes_of_text(value), &refusal);
}

static void settings_are_decimal_numbers(void **state)
{
    (void)state;
    assert_ok(setting("quota", "2147483648"));
    assert_ok(setting("quota", "2147483648\n"));    /* as echo leaves it */
    assert_ok(setting("max_file_size", "1048576"));
    assert_ok(setting("history", "0"));
    assert_err(setting("qouta", "1"), INVALID);
    assert_string_equal(refusal.text, "there is no setting \"qouta\"");
    const char *bad[] = {"", "\n", "1 ", "-1", "+1", "0x10", "1\n\n", "18446744073709551616", "1e9"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_err(setting("quota", bad[i]), INVALID);
        assert_string_equal(refusal.text, "setting \"quota\" must be a decimal number");
    }
    assert_err(setting("heartbeat", "1"), INVALID);
    assert_string_equal(refusal.text, "setting \"heartbeat\" must be from 5 to 60000");
    assert_err(setting("quota", "18446744073709551615"), INVALID);
    assert_err(setting("max_file_size", "1500000000"), INVALID);
}

static void settings_have_defaults(void **state)
{
    struct config *config = config_new();
    struct store_settings now;
    struct bytes value = B("77");
    (void)state;
    config_get(config, &now);
    assert_int_equal(now.file_size_max, FILE_SIZE_MAX_DEFAULT);
    assert_int_equal(now.quota_limit, QUOTA_DEFAULT);
    assert_int_equal(now.history_s, 30 * 24 * 3600);
    assert_int_equal(now.election_ms, ELECTION_DEFAULT_MS);
    config_changed(config, B("heartbeat"), &value);
    assert_int_equal(config_current(config)->heartbeat_ms, 77);
    config_get(config, &now);
    assert_int_equal(now.heartbeat_ms, HEARTBEAT_DEFAULT_MS);   /* not published yet */
    config_publish(config);
    config_get(config, &now);
    assert_int_equal(now.heartbeat_ms, 77);
    value = B("nonsense");
    config_changed(config, B("heartbeat"), &value);
    assert_int_equal(config_current(config)->heartbeat_ms, HEARTBEAT_DEFAULT_MS);
    config_changed(config, B("unknown"), NULL);
    config_free(config);
    config_free(NULL);
}

static void settings_in_the_store(void **state)
{
    struct tree *tree = tree_new();
    struct store_settings now;
    (void)state;
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/max_file_size"), B("4\n")));
    assert_err(tree_put_bytes(tree, B(".concordfs/config/nonsense"), B("4")), INVALID);
    assert_err(tree_put_bytes(tree, B(".concordfs/config/quota"), B("much")), INVALID);
    tree_put(tree, "/f", "1234");
    assert_err(tree_put_bytes(tree, B("/f"), B("12345")), TOO_BIG);
    store_settings_get(tree->store, &now);
    assert_int_equal(now.file_size_max, 4);
    store_close(tree->store);
    tree_reopen(tree);
    store_settings_get(tree->store, &now);
    assert_int_equal(now.file_size_max, 4);
    assert_err(tree_put_bytes(tree, B("/f"), B("12345")), TOO_BIG);
    tree_delete(tree, ".concordfs/config/max_file_size");
    tree_put(tree, "/f", "12345");
    tree_free(tree);
}

static void the_counter(void **state)
{
    struct quota *quota = quota_new();
    uint64_t used, keys;
    (void)state;
    assert_ok(quota_check(quota, 10, 10, false, NULL));
    assert_err(quota_check(quota, 10, 11, false, &refusal), NO_SPACE);
    assert_string_equal(refusal.text, "mvcc: database space exceeded");
    quota_charge(quota, 8);
    assert_err(quota_check(quota, 10, 3, false, NULL), NO_SPACE);
    assert_ok(quota_check(quota, 10, 3, true, NULL));
    assert_ok(quota_check(quota, 10, QUOTA_RESERVE + 2, true, NULL));
    assert_err(quota_check(quota, 10, QUOTA_RESERVE + 3, true, NULL), NO_SPACE);
    assert_err(quota_check(quota, 10, UINT64_MAX, false, NULL), NO_SPACE);
    assert_err(quota_check(quota, 4, 0, false, NULL), NO_SPACE);    /* lowered below what is used */
    quota_get(quota, &used, &keys);
    assert_int_equal(used, 0);                                      /* not published yet */
    quota_count_keys(quota, 2);
    quota_publish(quota);
    quota_get(quota, &used, &keys);
    assert_int_equal(used, 8);
    assert_int_equal(keys, 2);
    quota_charge(quota, -9);
    quota_count_keys(quota, -2);
    quota_publish(quota);
    quota_get(quota, &used, &keys);
    assert_int_equal(used, 0);
    assert_int_equal(keys, 0);
    quota_free(quota);
    quota_free(NULL);
}

static void the_counters_row(void **state)
{
    struct backend_memory *memory = backend_memory_new(0);
    struct backend *backend = backend_memory_open(memory);
    struct batch *batch = batch_new(backend);
    struct quota *quota = quota_new();
    struct backend_op op = {.key = B("mquota"), .value = B("short")};
    uint64_t used, keys;
    (void)state;
    assert_ok(quota_load(quota, backend, NULL));
    quota_flush(quota, batch);
    assert_int_equal(batch_count(batch), 0);
    quota_charge(quota, 300);
    quota_count_keys(quota, 3);
    quota_flush(quota, batch);
    assert_ok(batch_write(batch, NULL));
    quota_free(quota);
    quota = quota_new();
    assert_ok(quota_load(quota, backend, NULL));
    quota_get(quota, &used, &keys);
    assert_int_equal(used, 300);
    assert_int_equal(keys, 3);
    assert_ok(backend->ops->write(backend, &op, 1, NULL));
    assert_err(quota_load(quota, backend, NULL), CORRUPT);
    quota_free(quota);
    batch_free(batch);
    backend_close(backend);
    backend_memory_free(memory);
}

static void a_full_store_can_be_emptied(void **state)
{
    struct tree *tree = tree_new();
    static uint8_t content[500 * KIB];
    struct bytes value = bytes_of(content, sizeof(content));
    uint64_t used, limit, keys;
    (void)state;
    tree->unchecked = true;
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/quota"), B("1048576")));
    assert_ok(tree_put_bytes(tree, B("/a"), value));
    assert_ok(tree_put_bytes(tree, B("/b"), value));
    assert_err(tree_put_bytes(tree, B("/c"), value), NO_SPACE);
    assert_string_equal(tree->err.text, "mvcc: database space exceeded");
    tree_meta(tree, "/b", &(struct meta){.has_mode = true, .mode = 0600});  /* from the reserve */
    tree_delete(tree, "/a");
    assert_err(tree_put_bytes(tree, B("/c"), value), NO_SPACE);     /* history holds it still */
    store_quota_get(tree->store, &used, &limit, &keys);
    assert_int_equal(limit, 1048576);
    assert_int_equal(keys, 1);
    struct entry_request compact = {.kind = ENTRY_COMPACT};
    kv_rev revision;
    uint64_t bytes;
    bool done = false;
    compact.compact.revision = store_revision(tree->store);
    assert_ok(tree_apply(tree, &compact, NULL));
    while (!done)
        assert_ok(store_compact_step(tree->store, &done, &revision, &bytes, NULL));
    assert_true(bytes >= sizeof(content));
    assert_err(tree_put_bytes(tree, B("/c"), value), NO_SPACE);     /* told by an entry alone */
    compact.kind = ENTRY_COMPACTED;
    compact.compacted_bytes = bytes;
    assert_ok(tree_apply(tree, &compact, NULL));
    assert_ok(tree_put_bytes(tree, B("/c"), value));
    tree_check(tree);
    tree_free(tree);
}

/* Below what is used and its reserve: only deletes, compactions and settings get in. */
static void the_quota_can_be_raised(void **state)
{
    struct tree *tree = tree_new();
    static uint8_t content[900 * KIB];
    struct bytes value = bytes_of(content, sizeof(content));
    (void)state;
    tree->unchecked = true;
    assert_ok(tree_put_bytes(tree, B("/a"), value));
    assert_ok(tree_put_bytes(tree, B("/b"), value));
    assert_ok(tree_put_bytes(tree, B("/c"), value));
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/quota"), B("1048576")));
    assert_err(tree_put_bytes(tree, B("/d"), B("")), NO_SPACE);
    assert_err(tree_put_bytes(tree, B(".concordfs/meta//a"), B("")), NO_SPACE);
    assert_ok(tree_put_bytes(tree, B(".concordfs/config/quota"), B("10485760")));
    assert_ok(tree_put_bytes(tree, B("/d"), value));
    tree_free(tree);
}

static enum err_code may_write(bool privileged, const char *key, const char *text)
{
    struct bytes value = bytes_of_text(text ? text : "");
    return system_check_write(privileged, bytes_of_text(key), text ? &value : NULL, &refusal);
}

static void who_may_write(void **state)
{
    (void)state;
    assert_true(system_is_inside(B(".concordfs/")));
    assert_false(system_is_inside(B(".concordfs")));
    assert_false(system_is_inside(B("/.concordfs/x")));
    assert_ok(may_write(false, "/a", "1"));
    assert_ok(may_write(false, ".concordfs", "1"));
    assert_err(may_write(false, ".concordfs/pin/x", "1"), DENIED);
    assert_string_equal(refusal.text, "permission denied");
    assert_err(may_write(false, ".concordfs/meta//a", NULL), DENIED);
    assert_ok(may_write(true, ".concordfs/pin/x", "1"));
    assert_ok(may_write(true, ".concordfs/meta//a", NULL));
    assert_ok(may_write(true, ".concordfs/dir/", "x"));
    assert_ok(may_write(true, ".concordfs/config/quota", NULL));
    assert_err(may_write(true, ".concordfs/config/quota", "x"), INVALID);
    assert_err(may_write(true, ".concordfs/meta/", "1"), INVALID);
    assert_err(may_write(true, ".concordfs/pin/", "1"), INVALID);
    assert_err(may_write(true, ".concordfs/meta/.concordfs/pin/x", "1"), INVALID);
    assert_err(may_write(true, ".concordfs/what", "1"), INVALID);
    assert_string_equal(refusal.text, "nothing defines \".concordfs/what\"");
}

static size_t count_from(struct tree *tree, struct bytes key, struct bytes end)
{
    struct kv_range range = {.key = key, .range_end = end, .count_only = true};
    struct kv_range_result result;
    kv_rev revision;
    assert_ok(store_range(tree->store, &range, &tree->arena, &result, &revision, NULL));
    return (size_t)result.total;
}

static void ranges_pass_over_it(void **state)
{
    struct tree *tree = tree_new();
    struct kv_op op = {.kind = KV_OP_DELETE, .del = {.key = B("\0"), .range_end = B("\0")}};
    struct kv_op_result result;
    (void)state;
    tree_put(tree, "!", "below");
    tree_put(tree, "/a", "1");
    tree_meta(tree, "/a", &(struct meta){.has_mode = true, .mode = 0600});
    tree_mkdir(tree, "/d");
    assert_ok(tree_put_bytes(tree, B(".concordfs/pin/x"), B("2")));
    assert_int_equal(count_from(tree, B("\0"), B("\0")), 2);
    assert_int_equal(count_from(tree, B(".concordfs/"), B(".concordfs0")), 3);
    assert_ok(tree_ops(tree, &op, 1, &result));
    assert_int_equal(result.txn.results[0].del.deleted, 2);
    /* The record went with its key; pins and directories stand. */
    assert_int_equal(count_from(tree, B(".concordfs/"), B(".concordfs0")), 2);
    assert_string_equal(tree_names(tree, "/"), "d/");
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_decimal_numbers),
        cmocka_unit_test(settings_have_defaults),
        cmocka_unit_test(settings_in_the_store),
        cmocka_unit_test(the_counter),
        cmocka_unit_test(the_counters_row),
        cmocka_unit_test(a_full_store_can_be_emptied),
        cmocka_unit_test(the_quota_can_be_raised),
        cmocka_unit_test(who_may_write),
        cmocka_unit_test(ranges_pass_over_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
