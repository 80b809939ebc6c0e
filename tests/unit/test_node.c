/* cluster/node: one member through its whole way, with workers and a clock that the test moves. */
#include "tests/unit/node_fixture.h"

/* ---- the tests ---- */

static void one_put_goes_the_whole_way_in_one_turn(void **state)
{
    struct fixture *fixture = *state;
    struct call call;
    put_now(fixture, "/first", "opens the session");
    fixture->tracing = true;
    size_t ran = fixture->worker.ran;
    submit_put(fixture, &call, "/app/port", "8080\n");
    node_turn(fixture->node);
    assert_true(call.ended);
    assert_int_equal(fixture->worker.ran, ran);
    assert_string_equal((buf_append_u8(&fixture->lines, 0), (char *)fixture->lines.data),
                        "propose number=2 bytes=34\n"
                        "ready entries=1 last=5\n"
                        "append index=5 entries=1\n"
                        "flush messages=1\n"
                        "commit index=5\n"
                        "apply index=5 entries=1 revision=3\n"
                        "answer number=2 code=OK revision=3\n");
    kv_request_release(&call.request);
}

static void nothing_is_visible_before_it_is_committed(void **state)
{
    struct fixture *fixture = *state;
    struct call call;
    put_now(fixture, "/a", "old");
    node_hold_commit(fixture->node, true);
    submit_put(fixture, &call, "/a", "new");
    settle(fixture);
    assert_false(call.ended);
    assert_value(fixture, "/a", "old");
    node_hold_commit(fixture->node, false);
    settle(fixture);
    assert_true(call.ended);
    assert_value(fixture, "/a", "new");
    kv_request_release(&call.request);
}

static void a_thousand_at_once_are_one_flush_on_the_disk_thread(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 1000 };
    struct call *calls = mem_xzalloc(COUNT * sizeof *calls);
    char keys[COUNT][16];
    put_now(fixture, "/warm", "session");
    struct kv_status before, after;
    kv_status_get(node_kv(fixture->node), &before);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "/k%04d", i);
        submit_put(fixture, &calls[i], keys[i], "value");
    }
    node_turn(fixture->node);
    for (int i = 0; i < COUNT; i++)
        assert_false(calls[i].ended);
    settle(fixture);
    kv_status_get(node_kv(fixture->node), &after);
    assert_int_equal(after.flushes - before.flushes, 1);
    for (int i = 0; i < COUNT; i++) {
        assert_true(calls[i].ended);
        assert_ok(calls[i].code);
        assert_int_equal(calls[i].request.revision, before.revision + 1 + i);
        kv_request_release(&calls[i].request);
    }
    free(calls);
}

static void kill_and_start(struct fixture *fixture, bool lose_store_tail)
{
    node_abandon(fixture->node);
    fixture->node = NULL;
    sim_worker_init(&fixture->worker);
    if (lose_store_tail)
        lose_what_is_not_durable(fixture);
    start(fixture);
}

static void what_was_answered_is_there_after_a_kill(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 5; round++) {
        char key[16], value[16];
        for (int i = 0; i < 50; i++) {
            snprintf(key, sizeof key, "/r%d/%d", round, i);
            snprintf(value, sizeof value, "%d", round * 100 + i);
            put_now(fixture, key, value);
        }
        kill_and_start(fixture, true);
        for (int r = 0; r <= round; r++)
            for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof key, "/r%d/%d", r, i);
                snprintf(value, sizeof value, "%d", r * 100 + i);
                assert_value(fixture, key, value);
            }
    }
}

static void reads_after_a_restart_wait_for_the_replay(void **state)
{
    struct fixture *fixture = *state;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "/k%d", i);
        put_now(fixture, key, "enough to fill more than one turn's batch with what is replayed");
    }
    node_abandon(fixture->node);
    fixture->node = NULL;
    sim_worker_init(&fixture->worker);
    lose_what_is_not_durable(fixture);
    start_only(fixture);
    struct call call;
    submit_get(fixture, &call, "/k1999");
    for (int i = 0; i < 10; i++) {
        node_turn(fixture->node);
        sim_worker_run_one(&fixture->worker, WORKER_DISK);
    }
    assert_false(call.ended);
    settle(fixture);
    assert_true(call.ended);
    assert_ok(call.code);
    assert_int_equal(call.request.result.range.count, 1);
    kv_request_release(&call.request);
}

static struct blob *raw_put(uint64_t session, uint64_t number, const char *key, const char *value)
{
    struct kv_op op = {.kind = KV_OP_PUT};
    op.put.key = bytes_of_text(key);
    op.put.value = bytes_of_text(value);
    struct entry_request request = {.kind = ENTRY_TXN, .session = session, .number = number,
                                    .lowest_open = number,
                                    .txn = {.success = &op, .success_count = 1}};
    return entry_request_encode(&request);
}

static void a_repeat_after_a_kill_gets_its_stored_answer(void **state)
{
    struct fixture *fixture = *state;
    struct call call;
    submit_put(fixture, &call, "/counter", "1");
    settle(fixture);
    assert_ok(call.code);
    uint64_t session = call.request.session, number = call.request.number;
    kv_rev revision = call.request.revision;
    kv_request_release(&call.request);
    put_now(fixture, "/counter", "2");
    kill_and_start(fixture, true);
    struct blob *again = raw_put(session, number, "/counter", "1");
    assert_ok(node_propose_raw(fixture->node, again));
    blob_unref(again);
    settle(fixture);
    assert_value(fixture, "/counter", "2");
    struct kv_status status;
    kv_status_get(node_kv(fixture->node), &status);
    assert_int_equal(status.revision, revision + 1);
}

static void a_clean_stop_leaves_nothing_to_replay(void **state)
{
    struct fixture *fixture = *state;
    put_now(fixture, "/a", "1");
    stop_clean(fixture);
    struct wal *wal = NULL;
    struct wal_recovery recovery;
    struct err err;
    assert_ok(open_wal(fixture, false, &wal, &recovery));
    assert_true(recovery.sealed);
    assert_int_equal(recovery.entry_count, 0);
    wal_recovery_release(&recovery);
    assert_ok(wal_close(wal, &err));
    start(fixture);
    assert_value(fixture, "/a", "1");
}

static void a_log_that_lost_entries_is_refused_with_both_numbers(void **state)
{
    struct fixture *fixture = *state;
    put_now(fixture, "/a", "1");
    stop_clean(fixture);
    struct wal_recovery recovery = {.mark = {.index = 2, .term = 1}};
    struct wal_recovery real;
    struct err err;
    struct node_options options = {.identity = {1, MEMBER_ID, 3, "test"},
                                   .clock = &fixture->clock.door,
                                   .worker = &fixture->worker.door, .recovery = &recovery,
                                   .seed = 1, .wake = wake};
    options.store = open_store(fixture, false);
    assert_ok(open_wal(fixture, false, &options.wal, &real));
    wal_recovery_release(&real);
    struct node *node = NULL;
    assert_err(node_open(&node, &options, &err), CORRUPT);
    assert_non_null(strstr(err.text, "log ends at 2"));
    assert_null(node);
    start(fixture);
}

static void requests_end_when_they_are_cancelled_or_late(void **state)
{
    struct fixture *fixture = *state;
    struct call cancelled, late;
    put_now(fixture, "/a", "0");
    node_hold_commit(fixture->node, true);
    submit_put(fixture, &cancelled, "/a", "1");
    submit_put(fixture, &late, "/a", "2");
    settle(fixture);
    kv_cancel(node_kv(fixture->node), &cancelled.request);
    settle(fixture);
    assert_true(cancelled.ended);
    assert_int_equal(cancelled.code, ERR_CANCELED);
    sim_clock_advance(&fixture->clock, 6 * NS_PER_S);
    settle(fixture);
    assert_true(late.ended);
    assert_int_equal(late.code, ERR_TIMEOUT);
    node_hold_commit(fixture->node, false);
    settle(fixture);
    assert_value(fixture, "/a", "2");
    kv_request_release(&cancelled.request);
    kv_request_release(&late.request);
}

static void bad_requests_are_answered_at_the_end_of_the_turn(void **state)
{
    struct fixture *fixture = *state;
    struct call call;
    submit_get(fixture, &call, "");
    settle(fixture);
    assert_int_equal(call.code, ERR_INVALID);
    assert_string_equal(call.request.err.text, "key is not provided");
    kv_request_release(&call.request);
}

/* ---- leases ---- */

static enum err_code lease_now(struct fixture *fixture, enum kv_kind kind, struct kv_lease lease,
                               struct kv_lease_result *ret)
{
    struct call call = {.request = {.kind = kind, .lease = lease, .done = on_done}};
    kv_submit(node_kv(fixture->node), &call.request);
    assert_false(call.ended);
    settle(fixture);
    assert_true(call.ended);
    *ret = call.request.leased;
    ret->keys = NULL;
    ret->ids = NULL;
    kv_request_release(&call.request);
    return call.code;
}

static int64_t grant_now(struct fixture *fixture, int64_t id, int64_t ttl_s)
{
    struct kv_lease_result lease;
    assert_ok(lease_now(fixture, KV_LEASE_GRANT, (struct kv_lease){.id = id, .ttl_s = ttl_s},
                        &lease));
    assert_int_equal(lease.ttl_s, ttl_s);
    return lease.id;
}

static void put_leased(struct fixture *fixture, const char *key, int64_t lease)
{
    struct call call;
    submit_put(fixture, &call, key, "held");
    call.op.put.lease = lease;
    settle(fixture);
    assert_ok(call.code);
    kv_request_release(&call.request);
}

static void a_lease_runs_out_with_its_keys(void **state)
{
    struct fixture *fixture = *state;
    struct kv_lease_result lease;
    int64_t id = grant_now(fixture, 0, 5);
    assert_true(id > 0);
    assert_true(grant_now(fixture, 0, 5) != id);
    put_leased(fixture, "/lock", id);
    sleep_through(fixture, 4 * NS_PER_S);
    assert_ok(lease_now(fixture, KV_LEASE_TIME_TO_LIVE, (struct kv_lease){.id = id}, &lease));
    assert_int_equal(lease.ttl_s, 1);
    assert_int_equal(lease.granted_ttl_s, 5);
    assert_ok(lease_now(fixture, KV_LEASE_KEEP_ALIVE, (struct kv_lease){.id = id}, &lease));
    assert_int_equal(lease.ttl_s, 5);
    sleep_through(fixture, 5 * NS_PER_S - 1);
    assert_value(fixture, "/lock", "held");
    assert_ok(lease_now(fixture, KV_LEASE_LIST, (struct kv_lease){0}, &lease));
    assert_int_equal(lease.id_count, 1);        /* the other was not kept alive */
    sleep_through(fixture, 1);
    assert_value(fixture, "/lock", NULL);
    assert_int_equal(lease_now(fixture, KV_LEASE_KEEP_ALIVE, (struct kv_lease){.id = id}, &lease),
                     ERR_NOT_FOUND);
    assert_int_equal(lease.ttl_s, 0);
    assert_int_equal(
        lease_now(fixture, KV_LEASE_TIME_TO_LIVE, (struct kv_lease){.id = id}, &lease),
        ERR_NOT_FOUND);
    assert_int_equal(lease.ttl_s, -1);
}

static void a_lease_is_asked_about_and_revoked(void **state)
{
    struct fixture *fixture = *state;
    struct kv_lease_result lease;
    assert_true(kv_capabilities(node_kv(fixture->node)) & KV_CAN_LEASE);
    grant_now(fixture, 77, 60);
    put_leased(fixture, "/b", 77);
    put_leased(fixture, "/a", 77);
    struct call call = {.request = {.kind = KV_LEASE_TIME_TO_LIVE,
                                    .lease = {.id = 77, .want_keys = true}, .done = on_done}};
    kv_submit(node_kv(fixture->node), &call.request);
    settle(fixture);
    assert_ok(call.code);
    assert_int_equal(call.request.leased.ttl_s, 60);
    assert_int_equal(call.request.leased.key_count, 2);
    assert_bytes_equal(call.request.leased.keys[0], BYTES_LITERAL("/a"));
    assert_bytes_equal(call.request.leased.keys[1], BYTES_LITERAL("/b"));
    kv_request_release(&call.request);
    struct kv_lease again = {.id = 77, .ttl_s = 60};
    assert_int_equal(lease_now(fixture, KV_LEASE_GRANT, again, &lease), ERR_EXISTS);
    assert_ok(lease_now(fixture, KV_LEASE_REVOKE, again, &lease));
    assert_value(fixture, "/a", NULL);
    assert_int_equal(lease_now(fixture, KV_LEASE_REVOKE, again, &lease), ERR_NOT_FOUND);
    submit_put(fixture, &call, "/c", "1");
    call.op.put.lease = 77;
    settle(fixture);
    assert_int_equal(call.code, ERR_NOT_FOUND);
    assert_string_equal(call.request.err.text, "requested lease not found");
    kv_request_release(&call.request);
    assert_ok(lease_now(fixture, KV_LEASE_LIST, (struct kv_lease){0}, &lease));
    assert_int_equal(lease.id_count, 0);
}

/* A member that was stopped, cleanly or not, gives every lease its whole time again. */
static void leases_outlive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 2; round++) {
        int64_t id = grant_now(fixture, 0, 5);
        put_leased(fixture, "/lock", id);
        sleep_through(fixture, 4 * NS_PER_S);
        if (round)
            stop_clean(fixture);
        else
            node_abandon(fixture->node);
        sim_clock_advance(&fixture->clock, 100 * NS_PER_S);
        start(fixture);
        sleep_through(fixture, 5 * NS_PER_S - 1);
        assert_value(fixture, "/lock", "held");
        sleep_through(fixture, NS_PER_S);
        assert_value(fixture, "/lock", NULL);
    }
}

/* Renewals that wait for a flush are in the log before the expiry, and win. */
static void a_renewal_beats_the_expiry_behind_it(void **state)
{
    struct fixture *fixture = *state;
    struct call call = {.request = {.kind = KV_LEASE_KEEP_ALIVE, .lease.id = 77, .done = on_done}};
    grant_now(fixture, 77, 5);
    put_leased(fixture, "/lock", 77);
    node_hold_commit(fixture->node, true);
    sleep_through(fixture, 4 * NS_PER_S);
    kv_submit(node_kv(fixture->node), &call.request);
    settle(fixture);
    sleep_through(fixture, 3 * NS_PER_S);
    assert_false(call.ended);
    node_hold_commit(fixture->node, false);
    settle(fixture);
    assert_ok(call.code);
    kv_request_release(&call.request);
    assert_value(fixture, "/lock", "held");
    sleep_through(fixture, 5 * NS_PER_S);
    assert_value(fixture, "/lock", NULL);
}

static void a_thousand_leases_run_out(void **state)
{
    struct fixture *fixture = *state;
    struct kv_lease_result lease;
    enum { COUNT = 1000 };
    struct call *calls = mem_xzalloc(COUNT * sizeof *calls);
    for (int i = 0; i < COUNT; i++) {
        calls[i].request = (struct kv_request){.kind = KV_LEASE_GRANT, .lease.ttl_s = 2 + i % 3,
                                               .done = on_done};
        kv_submit(node_kv(fixture->node), &calls[i].request);
    }
    settle(fixture);
    assert_ok(lease_now(fixture, KV_LEASE_LIST, (struct kv_lease){0}, &lease));
    assert_int_equal(lease.id_count, COUNT);
    sleep_through(fixture, 6 * NS_PER_S);
    assert_ok(lease_now(fixture, KV_LEASE_LIST, (struct kv_lease){0}, &lease));
    assert_int_equal(lease.id_count, 0);
    for (int i = 0; i < COUNT; i++)
        kv_request_release(&calls[i].request);
    free(calls);
}

static void the_log_is_released_behind_checkpoints(void **state)
{
    struct fixture *fixture = *state;
    char *value = mem_xzalloc(20001);
    memset(value, 'x', 20000);
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "/big%d", i % 10);
        put_now(fixture, key, value);
        sim_clock_advance(&fixture->clock, 2 * NS_PER_S);
        settle(fixture);
    }
    free(value);
    stop_clean(fixture);
    struct wal *wal = NULL;
    struct wal_recovery recovery;
    struct wal_stats stats;
    struct err err;
    assert_ok(open_wal(fixture, false, &wal, &recovery));
    wal_get_stats(wal, &stats);
    assert_true(stats.segment_first > 1);
    assert_true(stats.bytes_in_use < 200 * 20000);
    wal_recovery_release(&recovery);
    assert_ok(wal_close(wal, &err));
    start(fixture);
}

static void a_physical_compaction_ends_when_the_rows_are_gone(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++)
        put_now(fixture, "/a", "x");
    struct kv_status status;
    kv_status_get(node_kv(fixture->node), &status);
    struct call call = {.request = {.kind = KV_COMPACT, .done = on_done}};
    call.request.compact = (struct kv_compact){status.revision, true};
    kv_submit(node_kv(fixture->node), &call.request);
    settle(fixture);
    assert_true(call.ended);
    assert_ok(call.code);
    assert_false(store_compact_pending(node_store(fixture->node)));
    kv_status_get(node_kv(fixture->node), &status);
    assert_int_equal(status.compact_revision, status.revision);
    assert_int_equal(status.quota_used, 3);
    kv_request_release(&call.request);
}

/* Killed between the end of the walk and the leader's word of it. */
static void what_a_walk_freed_is_told_after_a_kill(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 20; i++)
        put_now(fixture, "/a", "x");
    struct kv_status status;
    kv_rev revision;
    uint64_t bytes;
    kv_status_get(node_kv(fixture->node), &status);
    struct call call = {.request = {.kind = KV_COMPACT, .done = on_done}};
    call.request.compact = (struct kv_compact){status.revision, false};
    kv_submit(node_kv(fixture->node), &call.request);
    for (int i = 0; i < 100 && !store_compact_owes(node_store(fixture->node), &revision, &bytes); i++) {
        node_turn(fixture->node);
        sim_worker_run_all(&fixture->worker);
    }
    assert_true(store_compact_owes(node_store(fixture->node), &revision, &bytes));
    assert_true(call.ended);
    kv_request_release(&call.request);
    kill_and_start(fixture, false);
    assert_false(store_compact_owes(node_store(fixture->node), &revision, &bytes));
    kv_status_get(node_kv(fixture->node), &status);
    assert_int_equal(status.quota_used, 3);
}

static void an_expired_session_is_opened_again_and_nothing_is_done_twice(void **state)
{
    struct fixture *fixture = *state;
    put_now(fixture, "/a", "1");
    sim_clock_advance(&fixture->clock, SESSION_IDLE_NS + NS_PER_S);
    struct kv_status before, after;
    kv_status_get(node_kv(fixture->node), &before);
    struct call calls[3];
    const char *keys[] = {"/b", "/c", "/d"};
    for (int i = 0; i < 3; i++)
        submit_put(fixture, &calls[i], keys[i], "2");
    settle(fixture);
    for (int i = 0; i < 3; i++) {
        assert_true(calls[i].ended);
        assert_ok(calls[i].code);
        assert_int_equal(calls[i].request.revision, before.revision + 1 + i);
        kv_request_release(&calls[i].request);
    }
    kv_status_get(node_kv(fixture->node), &after);
    assert_int_equal(after.revision, before.revision + 3);
}

struct watching {
    struct kv_observer observer;
    struct buf lines;
};

static void observe_change(struct kv_observer *observer, const struct kv_changed *changed)
{
    struct watching *watching = container_of(observer, struct watching, observer);
    buf_append_format(&watching->lines, "%.*s %u %zu %" PRId64 " %d\n", (int)changed->key.size,
                      (const char *)changed->key.data, changed->changes, changed->top,
                      changed->revision, changed->own);
}

static void observe_move(struct kv_observer *observer, const struct kv_move *move, kv_rev revision,
                         bool own)
{
    struct watching *watching = container_of(observer, struct watching, observer);
    buf_append_format(&watching->lines, "%.*s to %.*s %" PRId64 " %d\n", (int)move->from.size,
                      (const char *)move->from.data, (int)move->to.size, (const char *)move->to.data,
                      revision, own);
}

static void observers_hear_before_the_answer(void **state)
{
    struct fixture *fixture = *state;
    struct watching watching = {.observer = {.changed = observe_change, .moved = observe_move}};
    kv_observe(node_kv(fixture->node), &watching.observer);
    put_now(fixture, "/x", "1");
    put_now(fixture, "/x", "2");
    struct blob *foreign = raw_put(0, 0, "/y", "3");
    assert_ok(node_propose_raw(fixture->node, foreign));
    blob_unref(foreign);
    settle(fixture);
    struct call call = {.op = {.kind = KV_OP_RENAME, .rename = {.from = BYTES_LITERAL("/x"), .to = BYTES_LITERAL("/z")}}};
    submit_op(fixture, &call);
    settle(fixture);
    assert_ok(call.code);
    kv_request_release(&call.request);
    buf_append_u8(&watching.lines, 0);
    assert_string_equal((char *)watching.lines.data, "/x 5 0 2 1\n/x 1 2 3 1\n/y 5 2 4 0\n/x to /z 5 1\n"
                        "/x 5 2 5 1\n/z 5 2 5 1\n/z 2 2 5 1\n");
    buf_release(&watching.lines);
    kv_observe(node_kv(fixture->node), NULL);
}

struct heard {
    struct kv_watch watch;
    struct buf lines;
    const struct call *call;            /* whose answer must come later */
};

static void hear_created(struct kv_watch *watch, kv_rev revision)
{
    buf_append_format(&container_of(watch, struct heard, watch)->lines, "created %" PRId64 "\n",
                      revision);
}

static void hear_events(struct kv_watch *watch, const struct kv_event *const *events, size_t count,
                        kv_rev revision)
{
    struct heard *heard = container_of(watch, struct heard, watch);
    assert_true(!heard->call || !heard->call->ended);
    for (size_t i = 0; i < count; i++)
        buf_append_format(&heard->lines, "%" PRId64 " %.*s\n", events[i]->item.mod_revision,
                          (int)events[i]->item.value.size,
                          (const char *)events[i]->item.value.data);
    assert_true(events[count - 1]->item.mod_revision <= revision);
}

static void hear_progress(struct kv_watch *watch, kv_rev revision)
{
    buf_append_format(&container_of(watch, struct heard, watch)->lines, "progress %" PRId64 "\n",
                      revision);
}

static void hear_ended(struct kv_watch *watch, enum err_code code, kv_rev compact_revision)
{
    buf_append_format(&container_of(watch, struct heard, watch)->lines, "%s %" PRId64 "\n",
                      err_name(code), compact_revision);
}

static void hear(struct fixture *fixture, struct heard *heard, kv_rev start)
{
    *heard = (struct heard){.watch = {.key = BYTES_LITERAL("/x"), .start_revision = start,
                                      .created = hear_created, .events = hear_events,
                                      .progress = hear_progress, .ended = hear_ended}};
    kv_watch(node_kv(fixture->node), &heard->watch);
}

static void assert_heard(struct heard *heard, const char *lines)
{
    buf_append_u8(&heard->lines, 0);
    assert_string_equal((char *)heard->lines.data, lines);
    buf_release(&heard->lines);
}

static void watches_hear_before_the_answer_and_end_with_the_node(void **state)
{
    struct fixture *fixture = *state;
    struct heard now, past;
    struct call call;
    assert_true(kv_capabilities(node_kv(fixture->node)) & KV_CAN_WATCH);
    put_now(fixture, "/x", "1");
    hear(fixture, &now, 0);
    hear(fixture, &past, 1);
    now.call = &call;
    submit_put(fixture, &call, "/x", "2");
    settle(fixture);
    assert_ok(call.code);
    now.call = NULL;
    kv_request_release(&call.request);
    assert_heard(&now, "created 2\n3 2\n");
    assert_heard(&past, "created 2\n2 1\n3 2\n");
    kv_watch_pause(node_kv(fixture->node), &past.watch);
    put_now(fixture, "/x", "3");
    kv_watch_progress(node_kv(fixture->node), &now.watch);
    settle(fixture);
    assert_heard(&now, "4 3\nprogress 4\n");
    kv_watch_resume(node_kv(fixture->node), &past.watch);
    settle(fixture);
    assert_heard(&past, "4 3\n");
    kv_unwatch(node_kv(fixture->node), &now.watch);
    stop_clean(fixture);
    assert_heard(&now, "CANCELED 0\n");
    assert_heard(&past, "CLOSING 0\n");
}

static void late_watches_are_read_for_by_a_worker(void **state)
{
    struct fixture *fixture = *state;
    struct heard late, compacted;
    struct call call = {0};
    for (int i = 0; i < 2 * RANGE_CHUNK_ROWS; i++)
        put_now(fixture, i ? "/y" : "/x", "1");
    hear(fixture, &late, 1);
    while (node_turn(fixture->node))
        continue;
    assert_heard(&late, "created 129\n");
    assert_int_equal(fixture->worker.waiting, 1);
    settle(fixture);
    assert_heard(&late, "2 1\n");
    hear(fixture, &compacted, 2);
    kv_watch_pause(node_kv(fixture->node), &compacted.watch);
    settle(fixture);
    call.request.kind = KV_COMPACT;
    call.request.compact.revision = 100;
    call.request.done = on_done;
    kv_submit(node_kv(fixture->node), &call.request);
    settle(fixture);
    assert_ok(call.code);
    kv_request_release(&call.request);
    assert_heard(&compacted, "created 129\nCOMPACTED 100\n");
    put_now(fixture, "/x", "2");
    assert_heard(&late, "130 2\n");
    stop_clean(fixture);
    assert_heard(&late, "CLOSING 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMBER(one_put_goes_the_whole_way_in_one_turn),
        MEMBER(nothing_is_visible_before_it_is_committed),
        MEMBER(a_thousand_at_once_are_one_flush_on_the_disk_thread),
        MEMBER(what_was_answered_is_there_after_a_kill),
        MEMBER(reads_after_a_restart_wait_for_the_replay),
        MEMBER(a_repeat_after_a_kill_gets_its_stored_answer),
        MEMBER(a_clean_stop_leaves_nothing_to_replay),
        MEMBER(a_log_that_lost_entries_is_refused_with_both_numbers),
        MEMBER(requests_end_when_they_are_cancelled_or_late),
        MEMBER(bad_requests_are_answered_at_the_end_of_the_turn),
        MEMBER(an_expired_session_is_opened_again_and_nothing_is_done_twice),
        MEMBER(observers_hear_before_the_answer),
        MEMBER(watches_hear_before_the_answer_and_end_with_the_node),
        MEMBER(late_watches_are_read_for_by_a_worker),
        MEMBER(the_log_is_released_behind_checkpoints),
        MEMBER(a_physical_compaction_ends_when_the_rows_are_gone),
        MEMBER(what_a_walk_freed_is_told_after_a_kill),
        MEMBER(a_lease_runs_out_with_its_keys),
        MEMBER(a_lease_is_asked_about_and_revoked),
        MEMBER(leases_outlive_a_restart),
        MEMBER(a_renewal_beats_the_expiry_behind_it),
        MEMBER(a_thousand_leases_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
