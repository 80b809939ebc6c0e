/* One log out of a stable and an unstable part: asking and cutting over the border, pages, and what
 * is dropped when a write is done. */
#include "tests/unit/raft_fixture.h"

/* A member that has entries 1 .. count of that term in its stored log, all of them committed. */
static struct raft_log *store(struct fixture *fixture, raft_index count, raft_term term)
{
    for (raft_index index = 1; index <= count; index++) {
        struct entry entry = {term, index, ENTRY_NORMAL, NULL};
        raft_storage_append(&fixture->storage, &entry, 1);
    }
    fixture->storage.hard = (struct hard_state){term, 0, count};
    start(fixture);
    return &fixture->raft->log;
}

static void append(struct fixture *fixture, raft_index first, size_t count, raft_term term)
{
    struct entry entries[3 * RAFT_FETCH_MAX];
    assert_true(count <= ARRAY_COUNT(entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){term, first + i, ENTRY_NORMAL, NULL};
    raft_log_append(fixture->raft, entries, count);
}

static void assert_mark(struct entry_mark mark, raft_term term, raft_index index)
{
    assert_int_equal(mark.term, term);
    assert_int_equal(mark.index, index);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void test_terms_on_both_sides(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 3, 1);
    raft_term term = 99;
    append(fixture, 4, 2, 2);
    assert_ok(raft_log_term(log, 0, &term));
    assert_int_equal(term, 0);
    assert_ok(raft_log_term(log, 3, &term));
    assert_int_equal(term, 1);
    assert_ok(raft_log_term(log, 4, &term));
    assert_int_equal(term, 2);
    assert_err(raft_log_term(log, 6, &term), FUTURE);
    raft_storage_compact(&fixture->storage, 2);
    assert_ok(raft_log_term(log, 2, &term)); /* of the last one that is gone */
    assert_err(raft_log_term(log, 1, &term), COMPACTED);
    assert_mark(raft_log_last(log), 2, 5);
}

/* Paper 5.4.1: the later last term, then the longer log. */
static void test_up_to_date(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 3, 2);
    assert_true(raft_log_is_up_to_date(log, (struct entry_mark){2, 3}));
    assert_true(raft_log_is_up_to_date(log, (struct entry_mark){2, 4}));
    assert_true(raft_log_is_up_to_date(log, (struct entry_mark){3, 1}));
    assert_false(raft_log_is_up_to_date(log, (struct entry_mark){2, 2}));
    assert_false(raft_log_is_up_to_date(log, (struct entry_mark){1, 9}));
}

/* Back over a whole term at a time; to nothing when all terms are later, and to where the log
 * begins when that is not known. */
static void test_where_logs_may_meet(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 3, 2);
    append(fixture, 4, 3, 4);
    assert_mark(raft_log_find_conflict(log, 6, 4), 4, 6);
    assert_mark(raft_log_find_conflict(log, 6, 3), 2, 3);
    assert_mark(raft_log_find_conflict(log, 2, 3), 2, 2);
    assert_mark(raft_log_find_conflict(log, 6, 1), 0, 0);
    assert_mark(raft_log_find_conflict(log, 9, 4), 0, 9);
    raft_storage_compact(&fixture->storage, 2);
    assert_mark(raft_log_find_conflict(log, 6, 1), 0, 1);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void assert_slice(struct fixture *fixture, raft_index low, raft_index high,
                         uint64_t size_max, size_t expected)
{
    size_t count = 99;
    const struct entry *entries = raft_log_slice(fixture->raft, low, high, size_max, &count);
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(entries[i].index, low + i);
}

/* Larger than what is fetched at a time, over the border, and with a bound that lies in the first
 * page, in a later one, on the border and in the unstable part. */
static void test_slices(void **state)
{
    struct fixture *fixture = *state;
    struct entry entry = {1, 1, ENTRY_NORMAL, NULL};
    const uint64_t size = raft_entry_size(&entry); /* of one whose index is below 128 */
    store(fixture, 100, 1);
    append(fixture, 101, 20, 1);
    assert_slice(fixture, 1, 1, RAFT_NO_LIMIT, 0);
    assert_slice(fixture, 1, 121, RAFT_NO_LIMIT, 120);
    assert_slice(fixture, 1, 121, 0, 1);
    assert_slice(fixture, 1, 121, size - 1, 1);
    assert_slice(fixture, 1, 121, 2 * size - 1, 1);
    assert_slice(fixture, 1, 121, 2 * size, 2);
    assert_slice(fixture, 1, 121, RAFT_FETCH_MAX * size, RAFT_FETCH_MAX);
    assert_slice(fixture, 1, 121, (RAFT_FETCH_MAX + 1) * size, RAFT_FETCH_MAX + 1);
    assert_slice(fixture, 1, 121, 100 * size, 100);
    assert_slice(fixture, 1, 121, 110 * size, 110);
    assert_slice(fixture, 110, 121, 0, 1);
}

static void test_unapplied_change_in_a_later_page(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 150, 1);
    assert_false(raft_log_has_unapplied_conf_change(fixture->raft));
    fixture->storage.entries[139].type = ENTRY_CONF_CHANGE_V2; /* of index 140 */
    assert_true(raft_log_has_unapplied_conf_change(fixture->raft));
    raft_log_applied_to(log, 140, 0);
    assert_false(raft_log_has_unapplied_conf_change(fixture->raft));
    raft_log_applied_to(log, 150, 0);
    assert_false(raft_log_has_unapplied_conf_change(fixture->raft));
}

/* --- writing ---------------------------------------------------------------------------------- */

static void assert_unstable(const struct raft_log *log, raft_index offset, raft_index in_progress,
                            size_t count)
{
    assert_int_equal(log->offset, offset);
    assert_int_equal(log->in_progress, in_progress);
    assert_int_equal(log->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(log->unstable[log->start + i].index, offset + i);
}

/* What is written is dropped in front, and its room is used again. */
static void test_room_is_used_again(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 0, 0);
    append(fixture, 1, 6, 1);
    raft_log_accept_unstable(log);
    raft_log_stable_to(log, (struct entry_mark){1, 4});
    assert_unstable(log, 5, 7, 2);
    size_t capacity = log->capacity;
    append(fixture, 7, capacity - 3, 1);
    assert_unstable(log, 5, 7, capacity - 1);
    assert_int_equal(log->start, 0);
    assert_true(raft_log_has_next_unstable(log));
}

/* Over what is being written: that is to be written again. Over what is only stored: so is that. */
static void test_overwriting(void **state)
{
    struct fixture *fixture = *state;
    struct raft_log *log = store(fixture, 0, 0);
    append(fixture, 1, 6, 1);
    raft_log_accept_unstable(log);
    append(fixture, 4, 1, 2);
    assert_unstable(log, 1, 4, 4);
    raft_log_stable_to(log, (struct entry_mark){1, 6}); /* gone */
    raft_log_stable_to(log, (struct entry_mark){1, 4}); /* another one by now */
    assert_unstable(log, 1, 4, 4);
    raft_log_stable_to(log, (struct entry_mark){1, 2});
    assert_unstable(log, 3, 4, 2);
    raft_log_stable_to(log, (struct entry_mark){1, 1}); /* late: it is long dropped */
    assert_unstable(log, 3, 4, 2);
    append(fixture, 2, 1, 3);
    assert_unstable(log, 2, 2, 1);
    assert_mark(raft_log_last(log), 3, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_terms_on_both_sides),
        TEST(test_up_to_date),
        TEST(test_where_logs_may_meet),
        TEST(test_slices),
        TEST(test_unapplied_change_in_a_later_page),
        TEST(test_room_is_used_again),
        TEST(test_overwriting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
