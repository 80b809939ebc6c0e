/* tests/sim/kv_direct: leases of the kv contract, without a member. */
#include "tests/test.h"

#include "tests/sim/kv_direct.h"

static enum err_code last_code;

static void on_done(struct kv_request *request, enum err_code code)
{
    (void)request;
    last_code = code;
}

static enum err_code ask(struct kv_direct *direct, struct kv_request *request, enum kv_kind kind,
                         struct kv_lease lease)
{
    *request = (struct kv_request){.kind = kind, .lease = lease, .done = on_done};
    kv_submit(&direct->kv, request);
    assert_int_equal(kv_direct_turn(direct), 1);
    return last_code;
}

static enum err_code put(struct kv_direct *direct, const char *key, int64_t lease)
{
    struct kv_op op = {.kind = KV_OP_PUT, .put = {.key = bytes_of_text(key), .lease = lease}};
    struct kv_request request = {.kind = KV_TXN, .txn = {.success = &op, .success_count = 1},
                                 .done = on_done};
    kv_submit(&direct->kv, &request);
    kv_direct_turn(direct);
    kv_request_release(&request);
    return last_code;
}

static bool exists(struct kv_direct *direct, const char *key)
{
    struct buf value = {0};
    bool found = kv_direct_value(direct, key, &value);
    buf_release(&value);
    return found;
}

static void leases_from_grant_to_end(void **state)
{
    struct kv_direct direct;
    struct kv_request request;
    (void)state;
    kv_direct_init(&direct);
    assert_true(kv_capabilities(&direct.kv) & KV_CAN_LEASE);
    assert_ok(ask(&direct, &request, KV_LEASE_GRANT, (struct kv_lease){.ttl_s = 60}));
    int64_t id = request.leased.id;
    assert_true(id > 0);
    assert_int_equal(request.leased.ttl_s, 60);
    assert_ok(ask(&direct, &request, KV_LEASE_GRANT, (struct kv_lease){.id = 5, .ttl_s = 60}));
    assert_err(ask(&direct, &request, KV_LEASE_GRANT, (struct kv_lease){.id = 5}), EXISTS);
    assert_ok(put(&direct, "/a", id));
    assert_ok(put(&direct, "/b", 5));
    assert_err(put(&direct, "/c", 6), NOT_FOUND);
    assert_ok(ask(&direct, &request, KV_LEASE_LIST, (struct kv_lease){0}));
    assert_int_equal(request.leased.id_count, 2);
    assert_int_equal(request.leased.ids[0], 5);
    kv_request_release(&request);
    direct.clock += 20500000000;
    assert_ok(ask(&direct, &request, KV_LEASE_TIME_TO_LIVE,
                  (struct kv_lease){.id = id, .want_keys = true}));
    assert_int_equal(request.leased.ttl_s, 40);
    assert_int_equal(request.leased.granted_ttl_s, 60);
    assert_int_equal(request.leased.key_count, 1);
    kv_request_release(&request);
    assert_ok(ask(&direct, &request, KV_LEASE_KEEP_ALIVE, (struct kv_lease){.id = id}));
    assert_int_equal(request.leased.ttl_s, 60);
    kv_direct_expire(&direct, id);
    assert_false(exists(&direct, "/a"));
    assert_err(ask(&direct, &request, KV_LEASE_KEEP_ALIVE, (struct kv_lease){.id = id}), NOT_FOUND);
    assert_int_equal(request.leased.ttl_s, 0);
    assert_err(ask(&direct, &request, KV_LEASE_TIME_TO_LIVE, (struct kv_lease){.id = id}),
               NOT_FOUND);
    assert_int_equal(request.leased.ttl_s, -1);
    kv_request_release(&request);
    assert_ok(ask(&direct, &request, KV_LEASE_REVOKE, (struct kv_lease){.id = 5}));
    assert_false(exists(&direct, "/b"));
    direct.refuse_writes = ERR_NO_LEADER;
    assert_err(ask(&direct, &request, KV_LEASE_GRANT, (struct kv_lease){.ttl_s = 60}), NO_LEADER);
    kv_direct_release(&direct);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_from_grant_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
