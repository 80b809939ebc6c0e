/* mvcc/alarm: what an entry that raises the alarm refuses to those behind it, and that it is state. */
#include "tests/unit/store_fixture.h"

static int setup(void **state)
{
    struct member *member = mem_xzalloc(sizeof *member);
    member_begin(member);
    *state = member;
    return 0;
}

static int teardown(void **state)
{
    fixture_validate(((struct member *)*state)->store);
    member_end(*state);
    free(*state);
    return 0;
}

static void set_alarm(struct store *store, bool raised)
{
    struct entry_request request = {.kind = ENTRY_ALARM, .alarm_raised = raised};
    struct store_result result;
    assert_ok(fixture_apply(store, &request, &result, NULL));
    assert_ok(result.code);
    assert_int_equal(store_alarm(store), raised);
}

static struct kv_op put_of(const char *key)
{
    return (struct kv_op){.kind = KV_OP_PUT, .put = {.key = bytes_of_text(key), .value = B("1")}};
}

static void assert_refused(struct store *store, struct kv_op op)
{
    struct err err = {0};
    kv_rev before = store_revision(store);
    assert_err(fixture_op(store, op, &err), NO_SPACE);
    assert_string_equal(err.text, "mvcc: database space exceeded");
    assert_int_equal(store_revision(store), before);
}

static enum err_code lease(struct store *store, enum entry_request_kind kind, int64_t id)
{
    struct entry_request request = {.kind = kind, .lease = {.id = id, .ttl_s = 60}};
    struct store_result result;
    assert_ok(fixture_apply(store, &request, &result, NULL));
    arena_release(&result.arena);
    return result.code;
}

static void what_takes_room_is_refused(void **state)
{
    struct store *store = ((struct member *)*state)->store;
    fixture_put(store, B("/a"), B("1"));
    set_alarm(store, true);
    assert_refused(store, put_of("/b"));
    assert_refused(store, put_of(KV_META_PREFIX "/a"));
    assert_refused(store, (struct kv_op){.kind = KV_OP_RENAME,
                                         .rename = {.from = B("/a"), .to = B("/b")}});
    struct kv_op put = put_of("/b"), range = {.kind = KV_OP_RANGE, .range = {.key = B("/a")}};
    struct store_result result;
    struct kv_txn txn = {.success = &range, .success_count = 1, .failure = &put, .failure_count = 1};
    assert_err(fixture_txn(store, &txn, &result), NO_SPACE);
    arena_release(&result.arena);
    set_alarm(store, false);
    assert_ok(fixture_op(store, put, NULL));
}

static void what_gives_room_goes_on(void **state)
{
    struct store *store = ((struct member *)*state)->store;
    fixture_put(store, B("/d/a"), B("1"));
    fixture_put(store, B("/d/b"), B("1"));
    assert_ok(lease(store, ENTRY_LEASE_GRANT, 5));
    set_alarm(store, true);
    fixture_delete(store, B("/d/a"));
    /* rm of the last name of a folder that stood by its names alone. */
    struct kv_op unlink[] = {{.kind = KV_OP_DELETE, .del = {.key = B("/d/b")}},
                             put_of(KV_DIR_PREFIX "/d")};
    struct store_result result;
    struct kv_txn txn = {.success = unlink, .success_count = 2};
    assert_ok(fixture_txn(store, &txn, &result));
    arena_release(&result.arena);
    struct kv_op setting = {.kind = KV_OP_PUT,
                            .put = {.key = B(KV_CONFIG_PREFIX "history"), .value = B("60")}};
    assert_ok(fixture_op(store, setting, NULL));
    assert_err(lease(store, ENTRY_LEASE_GRANT, 6), NO_SPACE);
    assert_ok(lease(store, ENTRY_LEASE_RENEW, 5));
    assert_ok(lease(store, ENTRY_LEASE_REVOKE, 5));
    kv_rev at = store_revision(store);
    assert_ok(fixture_compact(store, at));
    assert_true(fixture_walk(store, at) > 0);
}

/* A repeated answer is the first one, whatever the alarm says by then. */
static void it_decides_when_an_entry_is_first_applied(void **state)
{
    struct store *store = ((struct member *)*state)->store;
    struct entry_request open = {.kind = ENTRY_SESSION_OPEN, .number = 1};
    struct store_result result;
    assert_ok(fixture_apply(store, &open, &result, NULL));
    struct kv_op put = put_of("/a"), other = put_of("/b");
    struct entry_request first = {.kind = ENTRY_TXN, .session = result.session, .number = 1,
                                  .lowest_open = 1, .txn = {.success = &put, .success_count = 1}};
    struct entry_request second = first;
    second.number = 2;
    second.txn.success = &other;
    assert_ok(fixture_apply(store, &first, &result, NULL));
    assert_ok(result.code);
    arena_release(&result.arena);
    set_alarm(store, true);
    assert_ok(fixture_apply(store, &second, &result, NULL));
    assert_err(result.code, NO_SPACE);
    assert_ok(fixture_apply(store, &first, &result, NULL));
    assert_ok(result.code);
    assert_true(result.repeated);
    arena_release(&result.arena);
    set_alarm(store, false);
    assert_ok(fixture_apply(store, &second, &result, NULL));
    assert_err(result.code, NO_SPACE);
    assert_string_equal(result.err.text, "mvcc: database space exceeded");
}

static void it_is_state(void **state)
{
    struct member *one = *state, two;
    uint64_t hashes[2];
    member_begin(&two);
    struct store *stores[] = {one->store, two.store};
    for (size_t i = 0; i < 2; i++) {
        fixture_put(stores[i], B("/a"), B("1"));
        set_alarm(stores[i], true);
        assert_refused(stores[i], put_of("/b"));
        assert_ok(store_hash(stores[i], &hashes[i], NULL));
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(store_position(stores[0]).hash == store_position(stores[1]).hash);
    /* It shows in both hashes: another entry of the same size does not lead to the same. */
    set_alarm(one->store, false);
    set_alarm(two.store, true);
    assert_ok(store_hash(one->store, &hashes[0], NULL));
    assert_ok(store_hash(two.store, &hashes[1], NULL));
    assert_true(hashes[0] != hashes[1]);
    assert_true(store_position(one->store).hash != store_position(two.store).hash);
    member_end(&two);
}

static void it_survives_a_restart(void **state)
{
    struct member *member = *state;
    member_reopen(member);
    assert_false(store_alarm(member->store));
    set_alarm(member->store, true);
    member_reopen(member);
    assert_true(store_alarm(member->store));
    assert_refused(member->store, put_of("/a"));
    set_alarm(member->store, false);
    member_reopen(member);
    assert_false(store_alarm(member->store));
    fixture_put(member->store, B("/a"), B("1"));
}

/* Between two entries of one batch, as it was between two batches. */
static void batches_do_not_matter(void **state)
{
    struct store *store = ((struct member *)*state)->store;
    struct kv_op put = put_of("/a");
    struct entry_request requests[] = {
        {.kind = ENTRY_ALARM, .alarm_raised = true},
        {.kind = ENTRY_TXN, .txn = {.success = &put, .success_count = 1}},
        {.kind = ENTRY_ALARM},
        {.kind = ENTRY_TXN, .txn = {.success = &put, .success_count = 1}},
    };
    const enum err_code wanted[] = {ERR_OK, ERR_NO_SPACE, ERR_OK, ERR_OK};
    store_begin(store);
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct store_result result;
        struct entry entry = {.term = 1, .index = i + 1,
                              .payload = entry_request_encode(&requests[i])};
        assert_ok(store_apply(store, &entry, false, &result, NULL));
        assert_int_equal(result.code, wanted[i]);
        assert_false(store_alarm(store));       /* published with the batch */
        arena_release(&result.arena);
        blob_unref(entry.payload);
    }
    assert_ok(store_commit(store, NULL));
    assert_false(store_alarm(store));
    assert_int_equal(store_revision(store), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_takes_room_is_refused),
        TEST(what_gives_room_goes_on),
        TEST(it_decides_when_an_entry_is_first_applied),
        TEST(it_is_state),
        TEST(it_survives_a_restart),
        TEST(batches_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
