/* cluster/raftlog: append, cut, compact, and what the core is told. */
#include "tests/test.h"

#include "cluster/raftlog.h"
#include "proto/base/limits.h"

static const struct raft_conf_state alone = {.voters = {1, {7}}};

static void append_range(struct raftlog *log, raft_index from, raft_index to, raft_term term,
                         size_t payload_size)
{
    for (raft_index index = from; index <= to; index++) {
        struct entry entry = {term, index, ENTRY_NORMAL, blob_new(payload_size)};
        memset(entry.payload->data, (int)term, payload_size);
        raftlog_append(log, &entry, 1);
        blob_unref(entry.payload);
    }
}

static void an_empty_log_knows_its_snapshot(void **state)
{
    (void)state;
    struct raftlog log;
    raftlog_init(&log, 10, 3, &(struct hard_state){3, 7, 10}, &alone);
    raft_term term = 0;
    struct entry entry;
    assert_int_equal(log.view.first_index(&log.view), 11);
    assert_int_equal(log.view.last_index(&log.view), 10);
    assert_ok(log.view.term(&log.view, 10, &term));
    assert_int_equal(term, 3);
    assert_err(log.view.term(&log.view, 9, &term), COMPACTED);
    assert_err(log.view.term(&log.view, 11, &term), FUTURE);
    assert_err(log.view.entries(&log.view, 10, 11, &entry), COMPACTED);
    assert_err(log.view.entries(&log.view, 11, 12, &entry), FUTURE);
    raftlog_release(&log);
}

static void a_lower_index_cuts_off_the_rest(void **state)
{
    (void)state;
    struct raftlog log;
    raftlog_init(&log, 0, 0, &(struct hard_state){0}, &alone);
    append_range(&log, 1, 1000, 1, 10);
    assert_int_equal(log.bytes, 10000);
    append_range(&log, 501, 600, 2, 20);
    assert_int_equal(raftlog_last(&log), 600);
    assert_int_equal(log.bytes, 500 * 10 + 100 * 20);
    assert_int_equal(raftlog_term(&log, 500), 1);
    assert_int_equal(raftlog_term(&log, 501), 2);
    assert_int_equal(raftlog_term(&log, 601), 0);
    raftlog_release(&log);
}

static void compaction_keeps_what_slow_members_need(void **state)
{
    (void)state;
    struct raftlog log;
    raftlog_init(&log, 0, 0, &(struct hard_state){0}, &alone);
    append_range(&log, 1, 3 * RAFTLOG_KEEP_ENTRIES, 1, 8);
    raftlog_compact(&log, 2 * RAFTLOG_KEEP_ENTRIES);
    assert_int_equal(raftlog_first(&log), RAFTLOG_KEEP_ENTRIES + 1);
    assert_int_equal(raftlog_term(&log, RAFTLOG_KEEP_ENTRIES), 1);
    raftlog_compact(&log, 5);
    assert_int_equal(raftlog_first(&log), RAFTLOG_KEEP_ENTRIES + 1);
    append_range(&log, 3 * RAFTLOG_KEEP_ENTRIES + 1, 3 * RAFTLOG_KEEP_ENTRIES + 50, 2, 8);
    for (raft_index index = raftlog_first(&log); index <= raftlog_last(&log); index++)
        assert_int_equal(raftlog_get(&log, index)->index, index);
    raftlog_release(&log);
}

/* 1 is the leader; 2 catches up; 3 answers no more; 4 is to be found out; 5 gets a snapshot. */
static void what_is_being_sent_stays(void **state)
{
    struct raft_status status = {.progress_count = 5,
                                 .progress = {{1, 90, 91, RAFT_REPLICATE, 0, true, false, false, false, 0},
                                              {2, 40, 60, RAFT_REPLICATE, 0, true, false, false, false, 0},
                                              {3, 10, 11, RAFT_REPLICATE, 0, false, false, false, false, 0},
                                              {4, 0, 20, RAFT_PROBE, 0, true, false, false, false, 0},
                                              {5, 0, 1, RAFT_SNAPSHOT, 80, true, true, false, false, 0}}};
    struct raftlog log = {0};
    (void)state;
    assert_int_equal(raftlog_spare(&log, &status, 80), 40);
    assert_int_equal(raftlog_spare(&log, &status, 30), 30);
    log.bytes = RAFTLOG_HOLD_BYTES + 1;
    assert_int_equal(raftlog_spare(&log, &status, 80), 80);
}

static void compaction_is_bounded_by_bytes_too(void **state)
{
    (void)state;
    struct raftlog log;
    raftlog_init(&log, 0, 0, &(struct hard_state){0}, &alone);
    append_range(&log, 1, 100, 1, MIB);
    raftlog_compact(&log, 90);
    assert_int_equal(raftlog_first(&log), 90 - RAFTLOG_KEEP_BYTES / MIB + 1);
    assert_int_equal(raftlog_last(&log), 100);
    raftlog_release(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_knows_its_snapshot),
        cmocka_unit_test(a_lower_index_cuts_off_the_rest),
        cmocka_unit_test(compaction_keeps_what_slow_members_need),
        cmocka_unit_test(compaction_is_bounded_by_bytes_too),
        cmocka_unit_test(what_is_being_sent_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
