/* Each call of the backend fails once: what the store was asked says IO and nothing worse, and what was
 * written before is whole when it is opened again. */
#include "mvcc/batch.h"
#include "tests/unit/store_fixture.h"

#define STEPS 15

static struct bytes large_value(void)
{
    static uint8_t value[3000];
    memset(value, 'v', sizeof(value));
    return bytes_of(value, sizeof(value));
}

/* The entry of a step; an index has the same entry in every run. */
static struct entry_request step_request(raft_index index, struct kv_op *op, struct kv_compare *compare)
{
    struct entry_request request = {.kind = ENTRY_TXN, .privileged = true};
    request.txn = (struct kv_txn){.success = op, .success_count = 1};
    *op = (struct kv_op){.kind = KV_OP_PUT, .put = {.key = B("/a/b"), .value = B("small")}};
    switch (index) {
    case 1:
        request = (struct entry_request){.kind = ENTRY_SESSION_OPEN, .number = 9};
        break;
    case 2:
        request.session = 1;
        request.number = request.lowest_open = 1;
        break;
    case 3:
        op->put.key = B("/a/c");
        op->put.value = large_value();
        break;
    case 4:
        op->put.key = B(KV_META_PREFIX "/a/b");
        op->put.value = BYTES_EMPTY;
        break;
    case 5:
        *compare = (struct kv_compare){.key = B("/a/"), .range_end = B("/a0"),
                                       .target = KV_COMPARE_CREATE, .result = KV_GREATER};
        request.txn.compares = compare;
        request.txn.compare_count = 1;
        *op = (struct kv_op){.kind = KV_OP_RENAME, .rename = {.from = B("/a"), .to = B("/z")}};
        break;
    case 6:
        *op = (struct kv_op){.kind = KV_OP_DELETE,
                             .del = {.key = B("/z/b"), .want_previous = true}};
        break;
    case 7:
        op->put.key = B("/z/c");
        break;
    case 8:
        request = (struct entry_request){.kind = ENTRY_COMPACT, .compact = {.revision = 6}};
        break;
    case 9:
        *op = (struct kv_op){.kind = KV_OP_DELETE, .del = {.key = B("/"), .range_end = B("0")}};
        break;
    case 10:
    case 12:
        request = (struct entry_request){.kind = ENTRY_LEASE_GRANT,
                                         .lease = {.id = (int64_t)index, .ttl_s = 60}};
        break;
    case 11:
        op->put.lease = 10;
        break;
    case 13:
        request = (struct entry_request){.kind = ENTRY_LEASE_RENEW, .lease.id = 12};
        break;
    case 14:
        request = (struct entry_request){.kind = ENTRY_LEASE_REVOKE, .lease.id = 10};
        break;
    default:
        op->put.lease = 12;
        break;
    }
    return request;
}

static enum err_code apply_steps(struct store *store, struct err *err)
{
    while (store_applied(store) < STEPS) {
        struct kv_op op;
        struct kv_compare compare;
        struct store_result result;
        struct entry_request request = step_request(store_applied(store) + 1, &op, &compare);
        enum err_code code = fixture_apply(store, &request, &result, err);
        arena_release(&result.arena);
        if (code)
            return code;
        assert_int_equal(result.code, ERR_OK);
    }
    return ERR_OK;
}

static enum err_code read_leases(struct store *store, struct arena *arena, struct err *err)
{
    struct kv_lease_result lease;
    struct lessor *lessor = lessor_new();
    int64_t remaining;
    kv_rev revision;
    enum err_code code =
        store_lease(store, 12, true, 0, arena, &lease, &remaining, &revision, err);
    if (!code)
        code = store_lease_list(store, arena, &lease, &revision, err);
    if (!code)
        code = store_lease_load(store, lessor, 0, err);
    assert_true(code || (lease.id_count == 1 && lessor_count(lessor) == 1));
    lessor_free(lessor);
    return code;
}

static enum err_code read_things(struct store *store, struct err *err)
{
    struct arena arena = {0};
    struct kv_range range = {.key = B("/"), .range_end = B("0")};
    struct kv_range_result ranged;
    struct kv_lookup lookup = {.directory = B("/z/"), .name = B("c")};
    struct kv_list list = {.directory = B("/"), .limit = 10, .revision = 7};
    struct kv_list_result listed;
    struct kv_name name;
    kv_rev revision;
    kv_time time;
    range.revision = 6;
    enum err_code code = store_range(store, &range, &arena, &ranged, &revision, err);
    if (!code)
        code = store_lookup(store, &lookup, &arena, &name, &revision, err);
    if (!code || code == ERR_NOT_FOUND)
        code = store_list(store, &list, &arena, &listed, &revision, err);
    if (!code)
        code = store_time(store, 7, &time, err);
    if (!code)
        code = read_leases(store, &arena, err);
    arena_release(&arena);
    return code;
}

static enum err_code walk(struct store *store, struct err *err)
{
    bool done = false;
    kv_rev revision;
    uint64_t bytes;
    enum err_code code = ERR_OK;
    while (!done && !code)
        code = store_compact_step(store, &done, &revision, &bytes, err);
    return code;
}

/* Everything a store does; the first error ends it. */
static enum err_code life(struct backend *backend, struct store **ret, struct err *err)
{
    struct store_options options = fixture_options;
    uint64_t hash;
    options.backend = backend;
    enum err_code code = store_open(ret, &options, err);
    if (code) {
        *ret = NULL;
        return code;
    }
    code = apply_steps(*ret, err);
    if (!code)
        code = read_things(*ret, err);
    if (!code)
        code = walk(*ret, err);
    if (!code)
        code = store_validate(*ret, err);
    if (!code)
        code = store_hash(*ret, &hash, err);
    return code ? code : store_checkpoint(*ret, err);
}

static uint64_t expected_hash(void)
{
    struct backend_memory *memory = backend_memory_new(0);
    struct store *store;
    uint64_t hash;
    struct err err = {0};
    if (life(backend_memory_open(memory), &store, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_ok(store_hash(store, &hash, NULL));
    store_close(store);
    backend_memory_free(memory);
    return hash;
}

/* After the fault: opened again on what is there, the rest applied. */
static void check_recovers(struct backend_memory *memory, uint64_t expected)
{
    struct store *store;
    uint64_t hash;
    struct err err = {0};
    if (life(backend_memory_open(memory), &store, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_ok(store_hash(store, &hash, NULL));
    assert_int_equal(hash, expected);
    store_close(store);
}

static void test_each_call_fails_once(void **state)
{
    (void)state;
    uint64_t expected = expected_hash();
    struct fault_backend fault = {.failed = true};
    uint64_t told = 0, n = 1;
    for (; fault.failed; n++) {
        struct backend_memory *memory = backend_memory_new(0);
        struct store *store;
        struct err err = {0};
        fault_init(&fault, backend_memory_open(memory), n);
        enum err_code code = life(&fault.backend, &store, &err);
        assert_true(code == ERR_OK || code == ERR_IO);
        assert_true(code == ERR_OK || fault.failed);
        told += code == ERR_IO;
        store_close(store);
        check_recovers(memory, expected);
        backend_memory_free(memory);
    }
    /* Only a log that cannot be noted right away is passed over. */
    assert_true(n > 100);
    assert_true(told + 12 > n);
}

/* A backend's row before the batch's that cannot be read: the iterator ends with the error, and does not
 * stand on the batch's row as if nothing were before it. Each call fails in its turn. */
static void test_iterator_fails_before_the_batch(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct fault_backend fault;
    fault_init(&fault, backend_memory_open(memory), 0);
    struct batch *batch = batch_new(&fault.backend);
    for (char name[] = "ka"; name[1] < 'd'; name[1]++)
        batch_put(batch, bytes_of(name, 2), B("below"));
    assert_ok(batch_write(batch, NULL));
    batch_clear(batch);
    batch_put(batch, B("kd"), B("batch"));
    batch_put(batch, B("k"), B("batch"));
    struct view view = view_of_batch(batch, &fault.backend);
    struct view_iterator *iterator = view_iterator_new(&view);
    fault.failed = true;
    for (uint64_t n = 1; fault.failed; n++) {
        fault.failed = false;
        fault.fail_at = fault.calls + n;
        bool reached = false;
        view_iterator_seek_before(iterator, B("kb"));   /* on ka; on to kb, kc, kd after a turn */
        for (const char *want = "abcd"; *want && view_iterator_valid(iterator); want++) {
            assert_int_equal(view_iterator_key(iterator).data[1], *want);
            reached = *want == 'd';
            if (!reached)
                view_iterator_next(iterator);
        }
        assert_int_equal(reached, !fault.failed);
        assert_int_equal(view_iterator_status(iterator, NULL), fault.failed ? ERR_IO : ERR_OK);
    }
    view_iterator_free(iterator);
    batch_free(batch);
    backend_close(&fault.backend);
    backend_memory_free(memory);
}

/* After a failed write the store refuses every other one, and what it would be is not asked. */
static void test_dead_after_failed_write(void **state)
{
    (void)state;
    struct backend_memory *memory = backend_memory_new(0);
    struct fault_backend fault;
    struct err err = {0};
    fault_init(&fault, backend_memory_open(memory), 0);
    struct store *store = fixture_open(&fault.backend);
    struct kv_op op;
    struct kv_compare compare;
    struct entry_request request = step_request(3, &op, &compare);
    struct store_result result;
    bool done;
    kv_rev revision;
    uint64_t bytes, hash;
    assert_ok(fixture_apply(store, &request, &result, &err));
    arena_release(&result.arena);
    raft_index applied = store_applied(store);
    uint64_t before = fault.calls;
    assert_ok(fixture_apply(store, &request, &result, &err));
    arena_release(&result.arena);
    fault.fail_at = fault.calls + (fault.calls - before);       /* the last call is the write */
    assert_err(fixture_apply(store, &request, &result, &err), IO);
    arena_release(&result.arena);
    assert_int_equal(store_applied(store), applied + 1);
    assert_err(fixture_apply(store, &request, &result, &err), IO);
    assert_err(store_checkpoint(store, &err), IO);
    assert_err(store_compact_step(store, &done, &revision, &bytes, &err), IO);
    assert_err(store_hash(store, &hash, &err), IO);
    assert_err(store_validate(store, &err), IO);
    store_close(store);
    backend_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails_once),
        cmocka_unit_test(test_iterator_fails_before_the_batch),
        cmocka_unit_test(test_dead_after_failed_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
