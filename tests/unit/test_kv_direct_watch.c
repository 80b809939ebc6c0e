/* tests/sim/kv_direct keeps the contract of watches, as a member does. */
#include "tests/sim/kv_direct.h"

#include <inttypes.h>

#include "proto/base/check.h"
#include "tests/test.h"

struct heard {
    struct kv_watch watch;
    struct buf lines;
};

static void on_created(struct kv_watch *watch, kv_rev revision)
{
    buf_append_format(&container_of(watch, struct heard, watch)->lines, "created %" PRId64 "\n",
                      revision);
}

static void on_events(struct kv_watch *watch, const struct kv_event *const *events, size_t count,
                      kv_rev revision)
{
    struct heard *heard = container_of(watch, struct heard, watch);
    (void)revision;
    for (size_t i = 0; i < count; i++)
        buf_append_format(&heard->lines, "%" PRId64 " %.*s\n", events[i]->item.mod_revision,
                          (int)events[i]->item.key.size, (const char *)events[i]->item.key.data);
}

static void on_ended(struct kv_watch *watch, enum err_code code, kv_rev compact_revision)
{
    buf_append_format(&container_of(watch, struct heard, watch)->lines, "%s %" PRId64 "\n",
                      err_name(code), compact_revision);
}

static void assert_heard(struct heard *heard, const char *lines)
{
    buf_append_u8(&heard->lines, 0);
    assert_string_equal((char *)heard->lines.data, lines);
    buf_release(&heard->lines);
}

static void watches_hear_of_other_hosts(void **state)
{
    struct kv_direct direct;
    struct heard heard = {.watch = {.key = BYTES_LITERAL("/"), .range_end = BYTES_LITERAL("0"),
                                    .start_revision = 2, .created = on_created,
                                    .events = on_events, .ended = on_ended}};
    struct heard gone = heard;
    (void)state;
    kv_direct_init(&direct);
    kv_direct_other_put(&direct, "/a", "1");
    kv_watch(&direct.kv, &heard.watch);
    kv_direct_other_put(&direct, "/b", "1");
    kv_direct_turn(&direct);
    assert_heard(&heard, "created 2\n2 /a\n3 /b\n");
    kv_watch_pause(&direct.kv, &heard.watch);
    kv_direct_other_delete(&direct, "/b");
    kv_direct_compact(&direct, 3);
    kv_direct_turn(&direct);
    assert_int_equal(heard.lines.size, 0);
    kv_watch_resume(&direct.kv, &heard.watch);
    kv_direct_turn(&direct);
    assert_heard(&heard, "4 /b\n");
    kv_watch(&direct.kv, &gone.watch);
    kv_direct_turn(&direct);
    assert_heard(&gone, "created 4\nCOMPACTED 3\n");
    kv_unwatch(&direct.kv, &gone.watch);
    kv_direct_release(&direct);
    assert_heard(&heard, "CLOSING 0\n");
}

static void on_done(struct kv_request *request, enum err_code code)
{
    (void)request;
    assert_ok(code);
}

static void submit(struct kv_direct *direct, struct kv_request *request)
{
    request->done = on_done;
    kv_submit(&direct->kv, request);
    kv_direct_turn(direct);
    kv_request_release(request);
}

static void watches_hear_of_the_end_of_a_lease(void **state)
{
    struct kv_direct direct;
    struct kv_request grant = {.kind = KV_LEASE_GRANT, .lease = {.id = 5, .ttl_s = 60}};
    struct kv_op ops[] = {
        {.kind = KV_OP_PUT, .put = {.key = BYTES_LITERAL("/b"), .lease = 5}},
        {.kind = KV_OP_PUT, .put = {.key = BYTES_LITERAL("/a"), .lease = 5}},
    };
    struct kv_request put = {.kind = KV_TXN, .txn = {.success = ops, .success_count = 2}};
    struct heard heard = {.watch = {.key = BYTES_LITERAL("/"), .range_end = BYTES_LITERAL("0"),
                                    .no_put = true, .created = on_created, .events = on_events,
                                    .ended = on_ended}};
    (void)state;
    kv_direct_init(&direct);
    kv_watch(&direct.kv, &heard.watch);
    submit(&direct, &grant);
    submit(&direct, &put);
    kv_direct_expire(&direct, 5);
    assert_heard(&heard, "created 1\n3 /a\n3 /b\n");
    kv_direct_release(&direct);
    assert_heard(&heard, "CLOSING 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watches_hear_of_other_hosts),
        cmocka_unit_test(watches_hear_of_the_end_of_a_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
