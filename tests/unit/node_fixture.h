/* One member with workers and a clock that the test moves, and words for what it is asked. */
#ifndef TESTS_UNIT_NODE_FIXTURE_H
#define TESTS_UNIT_NODE_FIXTURE_H

#include "tests/test.h"

#include <inttypes.h>

#include "cluster/node.h"
#include "proto/base/limits.h"
#include "proto/base/mem.h"
#include "proto/kv_pb.h"
#include "tests/sim/sim_worker.h"
#include "wal/disk.h"

#define MEMBER_ID 7

struct fixture {
    char *folder;
    struct disk *disk;
    struct home_memory *home;
    struct sim_worker worker;
    struct sim_clock clock;
    struct node *node;
    struct trace trace;
    bool tracing;
    struct buf lines;
};

static inline void collect(struct trace *trace, const char *line)
{
    struct fixture *fixture = container_of(trace, struct fixture, trace);
    if (fixture->tracing)
        buf_append_format(&fixture->lines, "%s\n", line);
}

static inline void wake(void *context) { (void)context; }

static inline struct store *open_store(struct fixture *fixture, bool create)
{
    struct store *store = NULL;
    struct err err;
    struct store_options options = {.cluster_id = 1, .member_id = MEMBER_ID, .generation = 3,
                                    .create = create};
    assert_ok(home_open(home_memory_door(fixture->home), create, &options.backend, &err));
    assert_ok(store_open(&store, &options, &err));
    return store;
}

static inline enum err_code open_wal(struct fixture *fixture, bool create, struct wal **ret,
                              struct wal_recovery *recovery)
{
    struct err err;
    struct wal_options options = {.disk = fixture->disk, .folder = "wal",
                                  .segment_size = SEGMENT_SIZE_MIN,
                                  .identity = {1, MEMBER_ID, 3}, .create = create};
    return wal_open(&options, ret, recovery, &err);
}

static inline void settle(struct fixture *fixture)
{
    bool more = true;
    while (more) {
        more = node_turn(fixture->node);
        more |= sim_worker_run_all(&fixture->worker) > 0;
    }
    struct err err;
    if (node_fault(fixture->node, &err) != ERR_OK)
        fail_msg("the member stopped: %s", err.text);
}

static inline void start_only(struct fixture *fixture)
{
    struct wal_recovery recovery;
    struct err err;
    struct node_options options = {
        .identity = {1, MEMBER_ID, 3, "test"}, .clock = &fixture->clock.door,
        .worker = &fixture->worker.door, .recovery = &recovery, .seed = 42,
        .home = home_memory_door(fixture->home), .trace = &fixture->trace, .wake = wake, .wake_context = fixture,
    };
    options.store = open_store(fixture, false);
    assert_ok(open_wal(fixture, false, &options.wal, &recovery));
    assert_ok(node_open(&fixture->node, &options, &err));
    wal_recovery_release(&recovery);
}

static inline void start(struct fixture *fixture)
{
    start_only(fixture);
    settle(fixture);
}

static inline int setup_member_of(void **state, size_t count)
{
    const struct membership_member members[] = {{.id = MEMBER_ID}, {.id = 8}, {.id = 9}};
    struct fixture *fixture = mem_xzalloc(sizeof *fixture);
    struct err err;
    fixture->trace.write = collect;
    fixture->folder = test_folder_new();
    assert_ok(disk_posix_new(fixture->folder, &fixture->disk, &err));
    fixture->home = home_memory_new(MIB);
    sim_worker_init(&fixture->worker);
    sim_clock_init(&fixture->clock);
    struct wal *wal = NULL;
    struct wal_recovery recovery;
    struct store *store = open_store(fixture, true);
    assert_ok(open_wal(fixture, true, &wal, &recovery));
    assert_ok(node_bootstrap(store, wal, members, count, &err));
    store_close(store);
    wal_recovery_release(&recovery);
    assert_ok(wal_close(wal, &err));
    start(fixture);
    *state = fixture;
    return 0;
}

static inline int setup(void **state) { return setup_member_of(state, 1); }
static inline int setup_of_three(void **state) { return setup_member_of(state, 3); }

/* Of a member that was killed. */
static inline void lose_what_is_not_durable(struct fixture *fixture)
{
    struct backend_memory *memory = home_memory_current(fixture->home);
    backend_memory_crash(memory, backend_memory_durable(memory));
}

static inline void stop_clean(struct fixture *fixture)
{
    struct err err;
    node_stop(fixture->node);
    settle(fixture);
    assert_true(node_is_stopped(fixture->node));
    assert_ok(node_close(fixture->node, &err));
    fixture->node = NULL;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->node)
        stop_clean(fixture);
    disk_posix_free(fixture->disk);
    home_memory_free(fixture->home);
    test_folder_remove(fixture->folder);
    buf_release(&fixture->lines);
    free(fixture);
    return 0;
}

/* A request and how it ended. */
struct call {
    struct kv_request request;
    struct kv_op op;
    bool ended;
    enum err_code code;
};

static inline void on_done(struct kv_request *request, enum err_code code)
{
    struct call *call = container_of(request, struct call, request);
    assert_false(call->ended);
    call->ended = true;
    call->code = code;
}

static inline void submit_op(struct fixture *fixture, struct call *call)
{
    call->request.kind = KV_TXN;
    call->request.txn = (struct kv_txn){.success = &call->op, .success_count = 1};
    call->request.done = on_done;
    kv_submit(node_kv(fixture->node), &call->request);
    assert_false(call->ended);
}

static inline void submit_put(struct fixture *fixture, struct call *call, const char *key,
                       const char *value)
{
    *call = (struct call){.op = {.kind = KV_OP_PUT}};
    call->op.put.key = bytes_of_text(key);
    call->op.put.value = bytes_of_text(value);
    submit_op(fixture, call);
}

static inline void submit_get(struct fixture *fixture, struct call *call, const char *key)
{
    *call = (struct call){0};
    call->request.kind = KV_RANGE;
    call->request.range.key = bytes_of_text(key);
    call->request.done = on_done;
    kv_submit(node_kv(fixture->node), &call->request);
    assert_false(call->ended);
}

static inline void assert_value(struct fixture *fixture, const char *key, const char *value)
{
    struct call call;
    submit_get(fixture, &call, key);
    settle(fixture);
    assert_true(call.ended);
    assert_ok(call.code);
    assert_int_equal(call.request.result.range.count, value ? 1 : 0);
    if (value)
        assert_bytes_equal(call.request.result.range.items[0].value, bytes_of_text(value));
    kv_request_release(&call.request);
}

static inline void put_now(struct fixture *fixture, const char *key, const char *value)
{
    struct call call;
    submit_put(fixture, &call, key, value);
    settle(fixture);
    assert_true(call.ended);
    assert_ok(call.code);
    kv_request_release(&call.request);
}

/* Sleeps as long as the member says that it may. */
static inline void sleep_through(struct fixture *fixture, int64_t ns)
{
    int64_t end = fixture->clock.now_ns + ns;
    while (fixture->clock.now_ns < end) {
        int64_t next = node_next_wake_ns(fixture->node);
        next = next > end ? end : next;
        assert_true(next >= fixture->clock.now_ns);
        sim_clock_advance(&fixture->clock, next - fixture->clock.now_ns);
        settle(fixture);
    }
}

#define MEMBER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
