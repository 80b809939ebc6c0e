/* Exactly once: what a session remembers, refuses and forgets. */
#include "tests/unit/tree_fixture.h"

#include "mvcc/session.h"
#include "proto/base/limits.h"

/* ---- sessions by themselves ---- */

struct fixture {
    struct backend_memory *memory;
    struct backend *backend;
    struct batch *batch;
    struct sessions *sessions;
};

static struct fixture *fixture_new(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->memory = backend_memory_new(0);
    fixture->backend = backend_memory_open(fixture->memory);
    fixture->batch = batch_new(fixture->backend);
    fixture->sessions = sessions_new(fixture->backend, fixture->batch);
    assert_ok(sessions_load(fixture->sessions, NULL));
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    sessions_free(fixture->sessions);
    batch_free(fixture->batch);
    backend_close(fixture->backend);
    backend_memory_free(fixture->memory);
    free(fixture);
}

static void write_batch(struct fixture *fixture)
{
    sessions_flush(fixture->sessions);
    assert_ok(batch_write(fixture->batch, NULL));
    batch_clear(fixture->batch);
}

/* Everything from its rows again. */
static void restart(struct fixture *fixture)
{
    write_batch(fixture);
    sessions_free(fixture->sessions);
    fixture->sessions = sessions_new(fixture->backend, fixture->batch);
    assert_ok(sessions_load(fixture->sessions, NULL));
}

struct seen {
    uint32_t status;
    kv_rev revision;
};

static enum session_verdict begin(struct fixture *fixture, uint64_t session, uint64_t number,
                                  uint64_t lowest, kv_time stamp, struct seen *seen)
{
    enum session_verdict verdict;
    struct seen here = {0};
    assert_ok(sessions_begin(fixture->sessions, session, number, lowest, stamp, &verdict,
                             &here.status, &here.revision, NULL));
    if (seen)
        *seen = here;
    return verdict;
}

static void proceed(struct fixture *fixture, uint64_t session, uint64_t number, uint64_t lowest,
                    kv_time stamp)
{
    assert_int_equal(begin(fixture, session, number, lowest, stamp, NULL), SESSION_PROCEED);
    sessions_finish(fixture->sessions, session, number, (uint32_t)number * 2, (kv_rev)number + 100);
}

static void a_repeat_gets_what_is_stored(void **state)
{
    struct fixture *fixture = fixture_new();
    struct seen seen;
    (void)state;
    assert_ok(sessions_open(fixture->sessions, 7, 1, 1, NULL));
    proceed(fixture, 7, 1, 1, 2);
    proceed(fixture, 7, 3, 1, 3);
    proceed(fixture, 7, 2, 1, 4);       /* numbers may arrive in any order */
    for (int round = 0; round < 2; round++) {
        for (uint64_t number = 1; number <= 3; number++) {
            assert_int_equal(begin(fixture, 7, number, 1, 5, &seen), SESSION_REPEATED);
            assert_int_equal(seen.status, number * 2);
            assert_int_equal(seen.revision, number + 100);
        }
        restart(fixture);
    }
    fixture_free(fixture);
}

static void what_is_unknown(void **state)
{
    struct fixture *fixture = fixture_new();
    (void)state;
    assert_int_equal(begin(fixture, 7, 1, 1, 1, NULL), SESSION_UNKNOWN);
    assert_ok(sessions_open(fixture->sessions, 7, 1, 1, NULL));
    proceed(fixture, 7, 1, 1, 2);
    proceed(fixture, 7, 5, 4, 2);       /* numbers below 4 were answered */
    assert_int_equal(begin(fixture, 7, 1, 1, 2, NULL), SESSION_UNKNOWN);
    assert_int_equal(begin(fixture, 7, 3, 1, 2, NULL), SESSION_UNKNOWN);
    proceed(fixture, 7, 4, 4, 2);
    assert_int_equal(begin(fixture, 7, 4 + SESSION_OPEN_MAX, 4, 2, NULL), SESSION_UNKNOWN);
    assert_int_equal(begin(fixture, 7, UINT64_MAX, 4, 2, NULL), SESSION_UNKNOWN);
    proceed(fixture, 7, 3 + SESSION_OPEN_MAX, 4, 2);
    restart(fixture);
    assert_int_equal(begin(fixture, 7, 3, 1, 2, NULL), SESSION_UNKNOWN);
    assert_int_equal(begin(fixture, 7, 5, 1, 2, NULL), SESSION_REPEATED);
    /* A number above its own lowest_open is open itself. */
    proceed(fixture, 7, 9, 50, 2);
    assert_int_equal(begin(fixture, 7, 9, 9, 2, NULL), SESSION_REPEATED);
    fixture_free(fixture);
}

static void as_many_as_may_be_open(void **state)
{
    struct fixture *fixture = fixture_new();
    (void)state;
    assert_ok(sessions_open(fixture->sessions, 7, 1, 1, NULL));
    for (uint64_t number = SESSION_OPEN_MAX; number > 0; number--)
        proceed(fixture, 7, number, 1, 2);
    restart(fixture);
    for (uint64_t number = 1; number <= SESSION_OPEN_MAX; number++)
        assert_int_equal(begin(fixture, 7, number, 1, 2, NULL), SESSION_REPEATED);
    proceed(fixture, 7, SESSION_OPEN_MAX + 1, SESSION_OPEN_MAX, 2);
    assert_int_equal(begin(fixture, 7, SESSION_OPEN_MAX, 1, 2, NULL), SESSION_REPEATED);
    assert_int_equal(begin(fixture, 7, 1, 1, 2, NULL), SESSION_UNKNOWN);
    fixture_free(fixture);
}

static void idle_sessions_expire(void **state)
{
    struct fixture *fixture = fixture_new();
    (void)state;
    assert_ok(sessions_open(fixture->sessions, 1, 1, 0, NULL));
    assert_ok(sessions_open(fixture->sessions, 2, 1, 5, NULL));
    proceed(fixture, 1, 1, 1, 10);
    write_batch(fixture);
    assert_true(sessions_exists(fixture->backend, 2));
    assert_ok(sessions_expire(fixture->sessions, 4 + SESSION_IDLE_NS, NULL));
    restart(fixture);
    assert_ok(sessions_expire(fixture->sessions, 5 + SESSION_IDLE_NS, NULL));
    assert_int_equal(begin(fixture, 2, 1, 1, 5 + SESSION_IDLE_NS, NULL), SESSION_UNKNOWN);
    assert_int_equal(begin(fixture, 1, 1, 1, 5 + SESSION_IDLE_NS, NULL), SESSION_REPEATED);
    write_batch(fixture);
    assert_false(sessions_exists(fixture->backend, 2));
    assert_ok(sessions_expire(fixture->sessions, 10 + SESSION_IDLE_NS, NULL));  /* used since */
    assert_int_equal(begin(fixture, 1, 1, 1, 10 + SESSION_IDLE_NS, NULL), SESSION_REPEATED);
    assert_ok(sessions_close(fixture->sessions, 1, NULL));
    assert_ok(sessions_close(fixture->sessions, 1, NULL));
    write_batch(fixture);
    assert_false(sessions_exists(fixture->backend, 1));
    fixture_free(fixture);
}

/* Ended in the batch it was opened or used in: nothing stays. */
static void ended_within_a_batch(void **state)
{
    struct fixture *fixture = fixture_new();
    (void)state;
    assert_ok(sessions_open(fixture->sessions, 1, 1, 0, NULL));
    proceed(fixture, 1, 1, 1, 1);
    assert_ok(sessions_close(fixture->sessions, 1, NULL));
    write_batch(fixture);
    assert_false(sessions_exists(fixture->backend, 1));
    assert_int_equal(begin(fixture, 1, 1, 1, 1, NULL), SESSION_UNKNOWN);
    fixture_free(fixture);
}

static void many_sessions(void **state)
{
    struct fixture *fixture = fixture_new();
    (void)state;
    for (uint64_t id = 1; id <= 500; id++)
        assert_ok(sessions_open(fixture->sessions, id, 1, (kv_time)id, NULL));
    restart(fixture);
    for (uint64_t id = 1; id <= 500; id += 2)
        proceed(fixture, id, 1, 1, 1000);
    assert_ok(sessions_expire(fixture->sessions, 999 + SESSION_IDLE_NS, NULL));
    for (uint64_t id = 1; id <= 500; id++)
        assert_int_equal(begin(fixture, id, 1, 1, 1000, NULL),
                         id % 2 ? SESSION_REPEATED : SESSION_UNKNOWN);
    assert_err(sessions_open(fixture->sessions, 1, 1, 1, NULL), CORRUPT);
    fixture_free(fixture);
}

static void rows_that_do_not_decode(void **state)
{
    static const uint8_t key[] = {'s', 0, 0, 0, 0, 0, 0, 0, 7};
    const struct bytes bad[] = {
        BYTES_EMPTY, B("12345678"), B("12345678\x01\x01"), B("12345678\x01\x00z"),
        B("12345678\x01\xff\xff\x7f"), B("12345678\x01\x02\x01\x01\x01\x00\x01\x01"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fixture *fixture = fixture_new();
        struct backend_op op = {.key = bytes_of(key, sizeof(key)), .value = bad[i]};
        struct err err;
        assert_ok(fixture->backend->ops->write(fixture->backend, &op, 1, NULL));
        assert_err(sessions_load(fixture->sessions, &err), CORRUPT);
        assert_non_null(strstr(err.text, "session 7"));
        op.key.size--;
        assert_ok(fixture->backend->ops->write(fixture->backend, &op, 1, NULL));
        assert_err(sessions_load(fixture->sessions, &err), CORRUPT);
        fixture_free(fixture);
    }
}

/* ---- in the store ---- */

static uint64_t open_session(struct tree *tree)
{
    struct entry_request request = {.kind = ENTRY_SESSION_OPEN};
    tree->session = 0;
    tree->number = 4711;
    assert_ok(tree_apply(tree, &request, NULL));
    tree->lowest_open = 1;
    return tree->session = tree->index;
}

static void nothing_is_done_twice(void **state)
{
    struct tree *tree = tree_new();
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = B("/f"), .value = B("1"),
                                                  .want_previous = true}};
    struct kv_op_result result;
    (void)state;
    open_session(tree);
    assert_true(store_session_exists(tree->store, tree->session));
    tree->number = 1;
    assert_ok(tree_ops(tree, &op, 1, NULL));
    tree->number = 2;
    op.put.value = B("2");
    for (int i = 0; i < 3; i++) {
        assert_ok(tree_ops(tree, &op, 1, &result));
        assert_int_equal(tree->repeated, i > 0);
        assert_int_equal(store_revision(tree->store), 3);
        assert_true(result.txn.results[0].put.has_previous);
        assert_bytes_equal(result.txn.results[0].put.previous.value, B("1"));
        if (i == 1) {
            store_close(tree->store);
            tree_reopen(tree);
        }
    }
    tree->number = 3;
    tree->lowest_open = 3;
    assert_ok(tree_ops(tree, &op, 1, NULL));
    tree->number = 2;
    assert_err(tree_ops(tree, &op, 1, NULL), SESSION_LOST);
    assert_int_equal(store_revision(tree->store), 4);
    tree_free(tree);
}

/* A refusal is an answer too, and is given again though it would succeed now. */
static void refusals_are_remembered(void **state)
{
    struct tree *tree = tree_new();
    struct kv_op op = {.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/b")}};
    (void)state;
    open_session(tree);
    tree->number = 1;
    assert_err(tree_ops(tree, &op, 1, NULL), NOT_FOUND);
    tree->number = 2;
    assert_ok(tree_put_bytes(tree, B("/a"), B("1")));
    tree->number = 1;
    assert_err(tree_ops(tree, &op, 1, NULL), NOT_FOUND);
    assert_true(tree->repeated);
    tree_free(tree);
}

static void expired_by_stamps(void **state)
{
    struct tree *tree = tree_new();
    (void)state;
    uint64_t session = open_session(tree);
    tree->session = tree->number = 0;
    tree->clock += SESSION_IDLE_NS - 2 * SECOND;
    tree_put(tree, "/a", "1");
    assert_true(store_session_exists(tree->store, session));
    tree_put(tree, "/a", "2");
    assert_false(store_session_exists(tree->store, session));
    tree->session = session;
    tree->number = 1;
    assert_err(tree_put_bytes(tree, B("/a"), B("3")), SESSION_LOST);
    assert_int_equal(store_revision(tree->store), 3);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_gets_what_is_stored),
        cmocka_unit_test(what_is_unknown),
        cmocka_unit_test(as_many_as_may_be_open),
        cmocka_unit_test(idle_sessions_expire),
        cmocka_unit_test(ended_within_a_batch),
        cmocka_unit_test(many_sessions),
        cmocka_unit_test(rows_that_do_not_decode),
        cmocka_unit_test(nothing_is_done_twice),
        cmocka_unit_test(refusals_are_remembered),
        cmocka_unit_test(expired_by_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
