/* What etcd refuses before it proposes, with its texts. */
#include "tests/test.h"

#include "proto/base/limits.h"
#include "proto/kv.h"

#define B(text) BYTES_LITERAL(text)
#define PUT(name) {.kind = KV_OP_PUT, .put = {.key = B(name)}}
#define DELETE(name, end) {.kind = KV_OP_DELETE, .del = {.key = B(name), .range_end = B(end)}}
#define RENAME(one, two) {.kind = KV_OP_RENAME, .rename = {.from = B(one), .to = B(two)}}
#define OPS(array) array, ARRAY_LENGTH(array)
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *refusal;

static enum err_code validate(const struct kv_op *ops, size_t count)
{
    static struct err err;
    err.text[0] = 0;
    refusal = err.text;
    struct kv_txn txn = {.success = ops, .success_count = count};
    enum err_code code = kv_validate_txn(&txn, &err);
    struct kv_txn other = {.failure = ops, .failure_count = count};
    assert_int_equal(kv_validate_txn(&other, NULL), code);
    return code;
}

static void prefix_ends(void **state)
{
    (void)state;
    struct buf end = {0};
    kv_prefix_end(&end, B("/a/"));
    assert_bytes_equal(buf_bytes(&end), B("/a0"));
    kv_prefix_end(&end, B("a\xff\xff"));
    assert_bytes_equal(buf_bytes(&end), B("b"));
    kv_prefix_end(&end, B("\xff"));
    assert_bytes_equal(buf_bytes(&end), B("\0"));
    kv_prefix_end(&end, BYTES_EMPTY);
    assert_bytes_equal(buf_bytes(&end), B("\0"));
    buf_release(&end);
}

static void ranges(void **state)
{
    (void)state;
    struct err err;
    struct kv_range range = {.key = B("k")};
    assert_ok(kv_validate_range(&range, &err));
    range.sort_order = (enum kv_sort_order)3;
    assert_err(kv_validate_range(&range, &err), INVALID);
    assert_string_equal(err.text, "invalid sort option");
    range = (struct kv_range){.key = BYTES_EMPTY};
    assert_err(kv_validate_range(&range, &err), INVALID);
    assert_string_equal(err.text, "key is not provided");
    static uint8_t large[KEY_SIZE_MAX + 1];
    range.key = bytes_of(large, sizeof(large));
    assert_err(kv_validate_range(&range, &err), TOO_BIG);
}

static void operations(void **state)
{
    (void)state;
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = B("k"), .value = B("v"),
                                                  .ignore_value = true}};
    assert_err(validate(&op, 1), INVALID);
    assert_string_equal(refusal, "value is provided");
    op.put = (struct kv_put){.key = B("k"), .lease = 1, .ignore_lease = true};
    assert_err(validate(&op, 1), INVALID);
    assert_string_equal(refusal, "lease is provided");
    op = (struct kv_op){.kind = KV_OP_DELETE};
    assert_err(validate(&op, 1), INVALID);
    assert_string_equal(refusal, "key is not provided");
    op = (struct kv_op){.kind = KV_OP_RENAME, .rename = {.from = B("a"), .to = B("b"),
                                                         .replace = true, .exchange = true}};
    assert_err(validate(&op, 1), INVALID);
    struct kv_compare compare = {.key = B("k"), .target = (enum kv_compare_target)5};
    struct kv_txn txn = {.compares = &compare, .compare_count = 1};
    assert_err(kv_validate_txn(&txn, NULL), INVALID);
}

static void too_many(void **state)
{
    (void)state;
    struct kv_op ops[TXN_OPS_MAX + 1];
    for (size_t i = 0; i < TXN_OPS_MAX + 1; i++)
        ops[i] = (struct kv_op){.kind = KV_OP_RANGE, .range = {.key = B("k")}};
    assert_ok(validate(ops, TXN_OPS_MAX));
    assert_err(validate(ops, TXN_OPS_MAX + 1), INVALID);
    assert_string_equal(refusal, "too many operations in txn request");
    /* What nests gets what is left. */
    struct kv_op outer = {.kind = KV_OP_TXN, .txn = {.success = ops,
                                                     .success_count = TXN_OPS_MAX - 1}};
    assert_ok(validate(&outer, 1));
    outer.txn.success_count++;
    assert_err(validate(&outer, 1), INVALID);
    struct kv_op deep[TXN_DEPTH_MAX + 1];
    deep[0] = ops[0];
    for (size_t i = 1; i <= TXN_DEPTH_MAX; i++)
        deep[i] = (struct kv_op){.kind = KV_OP_TXN,
                                 .txn = {.success = &deep[i - 1], .success_count = 1}};
    assert_ok(validate(&deep[TXN_DEPTH_MAX - 1], 1));
    assert_err(validate(&deep[TXN_DEPTH_MAX], 1), INVALID);
}

static void duplicate_keys(void **state)
{
    (void)state;
    struct kv_op twice[] = {PUT("a"), PUT("b"), PUT("a")};
    assert_err(validate(OPS(twice)), INVALID);
    assert_string_equal(refusal, "duplicate key given in txn request");
    struct kv_op inside[] = {PUT("b"), DELETE("a", "c")};
    assert_err(validate(OPS(inside)), INVALID);
    struct kv_op open_end[] = {PUT("b"), DELETE("a", "\0")};
    assert_err(validate(OPS(open_end)), INVALID);
    struct kv_op beside[] = {PUT("c"), DELETE("a", "c"), DELETE("a", "b")};
    assert_ok(validate(OPS(beside)));
}

static void duplicate_keys_across_nesting(void **state)
{
    (void)state;
    struct kv_op one = PUT("a"), del = DELETE("a", "");
    struct kv_op both[] = {{.kind = KV_OP_TXN, .txn = {NULL, &one, &one, 0, 1, 1}}};
    assert_ok(validate(OPS(both)));     /* then and else exclude each other */
    struct kv_op outside[] = {both[0], PUT("a")};
    assert_err(validate(OPS(outside)), INVALID);
    struct kv_op siblings[] = {both[0], both[0]};
    assert_err(validate(OPS(siblings)), INVALID);
    struct kv_op nested_delete[] = {{.kind = KV_OP_TXN, .txn = {NULL, &del, NULL, 0, 1, 0}},
                                    PUT("a")};
    assert_err(validate(OPS(nested_delete)), INVALID);
    struct kv_op outer_delete[] = {DELETE("a", ""), both[0]};
    assert_err(validate(OPS(outer_delete)), INVALID);
    struct kv_op nested_both[] = {
        {.kind = KV_OP_TXN, .txn = {NULL, &one, &del, 0, 1, 1}}};
    assert_ok(validate(OPS(nested_both)));
}

static void renames_and_writes(void **state)
{
    (void)state;
    struct kv_op below[] = {RENAME("/a", "/b"), PUT("/b/x")};
    assert_err(validate(OPS(below)), INVALID);
    struct kv_op record[] = {PUT(".concordfs/meta//a"), RENAME("/a", "/b")};
    assert_ok(validate(OPS(record)));
    struct kv_op parent[] = {PUT(".concordfs/dir/"), RENAME("/a", "/b"), PUT("/ab")};
    assert_ok(validate(OPS(parent)));
    struct kv_op twice[] = {RENAME("/a", "/b"), RENAME("/c", "/a/x")};
    assert_err(validate(OPS(twice)), INVALID);
    struct kv_op apart[] = {RENAME("/a", "/b"), RENAME("/c", "/d"), DELETE("/b", "")};
    assert_ok(validate(OPS(apart)));
    struct kv_op inner = RENAME("/x", "/b");
    struct kv_op nested[] = {RENAME("/a", "/b"),
                             {.kind = KV_OP_TXN, .txn = {NULL, &inner, NULL, 0, 1, 0}}};
    assert_err(validate(OPS(nested)), INVALID);
}

static bool needs_room(const struct kv_op *ops, size_t count)
{
    struct kv_txn txn = {.success = ops, .success_count = count};
    struct kv_txn other = {.failure = ops, .failure_count = count};
    struct kv_op nested = {.kind = KV_OP_TXN, .txn = other};
    struct kv_txn outer = {.success = &nested, .success_count = 1};
    assert_int_equal(kv_txn_needs_room(&other), kv_txn_needs_room(&txn));
    assert_int_equal(kv_txn_needs_room(&outer), kv_txn_needs_room(&txn));
    return kv_txn_needs_room(&txn);
}

static void what_needs_room(void **state)
{
    (void)state;
    struct kv_op nothing[] = {{.kind = KV_OP_RANGE, .range = {.key = B("/a")}}};
    assert_false(needs_room(OPS(nothing)));
    struct kv_op put[] = {PUT("/a")};
    assert_true(needs_room(OPS(put)));
    struct kv_op beside[] = {DELETE("/a", ""), PUT("/b")};
    assert_true(needs_room(OPS(beside)));
    struct kv_op rename[] = {DELETE("/c", ""), RENAME("/a", "/b")};
    assert_true(needs_room(OPS(rename)));
    struct kv_op all[] = {DELETE("", "\0")};
    assert_false(needs_room(OPS(all)));
}

static void what_needs_none_in_the_system_range(void **state)
{
    (void)state;
    static uint8_t large[VALUE_INLINE_MAX + 1];
    struct kv_op chmod[] = {PUT(".concordfs/meta//d/a")};
    assert_true(needs_room(OPS(chmod)));
    struct kv_op unlink[] = {DELETE("/d/a", ""), PUT(".concordfs/dir//d")};
    assert_false(needs_room(OPS(unlink)));
    unlink[1].put.value = bytes_of(large, VALUE_INLINE_MAX);
    assert_false(needs_room(OPS(unlink)));
    unlink[1].put.value = bytes_of(large, sizeof(large));
    assert_true(needs_room(OPS(unlink)));
    struct kv_op setting[] = {PUT(".concordfs/config/history")};
    assert_false(needs_room(OPS(setting)));
    struct kv_op more[] = {PUT(".concordfs/config/history"), PUT(".concordfs/dir//d")};
    assert_true(needs_room(OPS(more)));
    /* The delete is to stand on the same way. */
    struct kv_txn apart = {.success = &unlink[0], .success_count = 1, .failure = chmod,
                           .failure_count = 1};
    assert_true(kv_txn_needs_room(&apart));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_ends),
        cmocka_unit_test(ranges),
        cmocka_unit_test(operations),
        cmocka_unit_test(too_many),
        cmocka_unit_test(duplicate_keys),
        cmocka_unit_test(duplicate_keys_across_nesting),
        cmocka_unit_test(renames_and_writes),
        cmocka_unit_test(what_needs_room),
        cmocka_unit_test(what_needs_none_in_the_system_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
