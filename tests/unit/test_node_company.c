/* cluster/node: a member that has company, or is to have some. */
#include "cluster/node_internal.h"
#include "tests/unit/node_fixture.h"

/* A vain election changes who the member would vote for, not since when nobody leads. */
static void a_quorum_is_lost_since_it_was_lost(void **state)
{
    struct fixture *fixture = *state;
    struct kv_status status;
    for (int second = 0; second < 20; second++) {
        kv_status_get(node_kv(fixture->node), &status);
        assert_false(status.has_quorum);
        assert_true(status.quorum_lost_ns >= second * NS_PER_S);
        sleep_through(fixture, NS_PER_S);
    }
    assert_true(status.member_count == 3);
}

/* A flush that was torn may leave an entry and not the term that goes with it. */
static void a_term_is_known_from_the_last_entry(void **state)
{
    struct fixture *fixture = *state;
    struct wal *wal = NULL;
    struct wal_recovery recovery;
    struct kv_status status;
    stop_clean(fixture);
    assert_ok(open_wal(fixture, false, &wal, &recovery));
    struct entry entry = {.term = recovery.state.term + 9, .index = recovery.mark.index + 1};
    assert_int_equal(recovery.entry_count, 0);
    assert_ok(wal_append(wal, NULL, &entry, 1, NULL));
    assert_ok(wal_close(wal, NULL));
    wal_recovery_release(&recovery);
    start_only(fixture);
    kv_status_get(node_kv(fixture->node), &status);
    assert_int_equal(status.raft_term, entry.term);
    settle(fixture);
}

/* A look at the store may end while the mark of a snapshot is in the log whose store is not in place yet. */
static void no_mark_goes_behind_a_later_one(void **state)
{
    struct fixture *fixture = *state;
    struct wal_stats before, after;
    put_now(fixture, "/a", "1");
    sleep_through(fixture, 2 * NS_PER_S);
    wal_get_stats(fixture->node->wal, &before);
    raft_index mark = fixture->node->writer.mark_appended;
    fixture->node->writer.mark_appended = before.last_index + 100;
    put_now(fixture, "/a", "2");
    assert_ok(store_checkpoint(node_store(fixture->node), NULL));
    sleep_through(fixture, 2 * NS_PER_S);
    wal_get_stats(fixture->node->wal, &after);
    assert_int_equal(after.mark_index, before.mark_index);
    fixture->node->writer.mark_appended = mark;
    put_now(fixture, "/a", "3");
    assert_ok(store_checkpoint(node_store(fixture->node), NULL));
    sleep_through(fixture, 2 * NS_PER_S);
    wal_get_stats(fixture->node->wal, &after);
    assert_true(after.mark_index > before.mark_index);
}

struct admission {
    struct node_change change;
    bool ended;
};

static void on_admitted(struct node_change *change, enum err_code code)
{
    struct admission *admission = container_of(change, struct admission, change);
    assert_ok(code);
    admission->ended = true;
}

static void admit(struct fixture *fixture, struct admission *admission)
{
    const struct membership_member learner = {.id = 8, .name = "b"};
    *admission = (struct admission){
        .change = {.change = {.count = 1, .changes = {{RAFT_CHANGE_ADD_LEARNER, learner.id}}},
                   .members = {.count = 1, .members = {learner}}, .done = on_admitted}};
    node_change_submit(fixture->node, &admission->change);
    settle(fixture);
}

static void heard_nothing(struct kv_observer *observer, const struct kv_changed *changed)
{
    (void)observer;
    (void)changed;
}

/* A mount believes names for KV_ALONE_MS because its member is alone. */
static void whoever_believes_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    struct kv_observer observer = {.changed = heard_nothing};
    struct admission admission;
    struct kv_status status;
    kv_observe(node_kv(fixture->node), &observer);
    kv_status_get(node_kv(fixture->node), &status);
    assert_true(status.alone);
    admit(fixture, &admission);
    for (int waited_ms = 0; waited_ms < KV_ADMIT_MS; waited_ms += 50) {
        kv_status_get(node_kv(fixture->node), &status);
        assert_false(status.alone || admission.ended);
        assert_int_equal(status.member_count, 1);
        sleep_through(fixture, 50 * NS_PER_MS);
    }
    assert_true(admission.ended);
    kv_status_get(node_kv(fixture->node), &status);
    assert_false(status.alone);
    assert_int_equal(status.member_count, 2);
    kv_observe(node_kv(fixture->node), NULL);
}

static void nobody_is_waited_for_without_a_mount(void **state)
{
    struct fixture *fixture = *state;
    struct admission admission;
    admit(fixture, &admission);
    assert_true(admission.ended);
}

/* The disk is measured once a second while anything is applied, and while there is cause. */
static void leave(struct fixture *fixture, uint64_t free_bytes, bool alarm)
{
    struct kv_status status;
    home_memory_set_free(fixture->home, free_bytes);
    put_now(fixture, "/measured", "1");
    sleep_through(fixture, 3 * NS_PER_S);
    kv_status_get(node_kv(fixture->node), &status);
    assert_int_equal(status.is_alarmed, alarm);
    assert_int_equal(status.members[0].is_low, alarm);
}

/* What the alarm refuses never gets into the log. */
static void an_alarm_refuses_before_it_is_proposed(void **state)
{
    struct fixture *fixture = *state;
    struct kv_status before, after;
    struct call put, del = {.op = {.kind = KV_OP_DELETE, .del.key = BYTES_LITERAL("/a")}};
    put_now(fixture, "/a", "1");
    leave(fixture, SPACE_LOW, false);
    leave(fixture, SPACE_LOW - 1, true);
    kv_status_get(node_kv(fixture->node), &before);
    submit_put(fixture, &put, "/b", "1");
    settle(fixture);
    assert_err(put.code, NO_SPACE);
    assert_string_equal(put.request.err.text, "mvcc: database space exceeded");
    kv_status_get(node_kv(fixture->node), &after);
    assert_int_equal(after.raft_index, before.raft_index);
    submit_op(fixture, &del);
    settle(fixture);
    assert_ok(del.code);
    kv_request_release(&put.request);
    kv_request_release(&del.request);
    home_memory_set_free(fixture->home, 2 * (uint64_t)SPACE_LOW - 1);  /* not enough yet */
    sleep_through(fixture, 3 * NS_PER_S);
    assert_true(store_alarm(node_store(fixture->node)));
    home_memory_set_free(fixture->home, 2 * (uint64_t)SPACE_LOW);
    sleep_through(fixture, 3 * NS_PER_S);
    assert_false(store_alarm(node_store(fixture->node)));
    put_now(fixture, "/b", "1");
}

/* What is applied stays readable; what was in the log is applied when there is room, once. */
static void a_full_disk_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    struct call put, late;
    put_now(fixture, "/a", "1");
    put_now(fixture, "/a", "2");
    struct store_position before = store_position(node_store(fixture->node));
    home_memory_fill(fixture->home, true);
    submit_put(fixture, &put, "/b", "1");
    settle(fixture);
    sleep_through(fixture, 2 * NS_PER_S);
    assert_false(put.ended);
    submit_put(fixture, &late, "/c", "1");
    settle(fixture);
    assert_err(late.code, NO_SPACE);
    assert_int_equal(store_position(node_store(fixture->node)).hash, before.hash);
    home_memory_fill(fixture->home, false);
    sleep_through(fixture, 3 * NS_PER_S);
    assert_true(put.ended);
    assert_ok(put.code);
    assert_value(fixture, "/a", "2");
    assert_value(fixture, "/b", "1");
    put_now(fixture, "/c", "1");
    kv_request_release(&put.request);
    kv_request_release(&late.request);
}

static void a_member_on_a_full_disk_stops_and_starts(void **state)
{
    struct fixture *fixture = *state;
    struct call put;
    put_now(fixture, "/a", "1");
    home_memory_fill(fixture->home, true);
    submit_put(fixture, &put, "/b", "1");
    settle(fixture);
    sleep_through(fixture, NS_PER_S);
    node_stop(fixture->node);
    sleep_through(fixture, 2 * TIMEO_DEFAULT_MS * NS_PER_MS);
    assert_true(put.ended);
    assert_err(put.code, TIMEOUT);
    assert_true(node_is_stopped(fixture->node));
    assert_ok(node_close(fixture->node, NULL));
    home_memory_fill(fixture->home, false);
    start(fixture);
    assert_value(fixture, "/a", "1");
    assert_value(fixture, "/b", "1");       /* it stood in the log */
    kv_request_release(&put.request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_quorum_is_lost_since_it_was_lost, setup_of_three, teardown),
        cmocka_unit_test_setup_teardown(a_term_is_known_from_the_last_entry, setup_of_three, teardown),
        MEMBER(no_mark_goes_behind_a_later_one),
        MEMBER(whoever_believes_is_waited_for),
        MEMBER(nobody_is_waited_for_without_a_mount),
        MEMBER(an_alarm_refuses_before_it_is_proposed),
        MEMBER(a_full_disk_is_waited_for),
        MEMBER(a_member_on_a_full_disk_stops_and_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
