/* The log through a simulated disk: what goes in comes out again, after every kind of stop. */
#include "tests/unit/wal_fixture.h"
#include "wal/wal_internal.h"

struct world {
    struct sim_disk *sim;
    struct wal_options options;
    struct wal *wal;
    struct wal_recovery recovery;
    struct err err;
};

static void open_log(struct world *world)
{
    wal_recovery_release(&world->recovery);
    assert_good(wal_open(&world->options, &world->wal, &world->recovery, &world->err),
                world->err);
}

static void close_log(struct world *world)
{
    struct wal *wal = world->wal;
    world->wal = NULL;
    assert_good(wal_close(wal, &world->err), world->err);
}

static void flush_log(struct world *world)
{
    assert_good(wal_flush(world->wal, &world->err), world->err);
}

static void append(struct world *world, raft_index index, raft_term term, size_t count,
                   size_t size)
{
    assert_good(fixture_append(world->wal, index, term, count, size, &world->err), world->err);
}

/* The process dies and the power goes. */
static void crash(struct world *world)
{
    wal_abandon(world->wal);
    world->wal = NULL;
    sim_disk_crash(world->sim, 0, 0);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    world->sim = sim_disk_new(1);
    world->options = fixture_options(sim_disk_door(world->sim));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    wal_recovery_release(&world->recovery);
    if (world->wal)
        wal_abandon(world->wal);
    sim_disk_free(world->sim);
    free(world);
    return 0;
}

static void check_entries(const struct world *world, raft_index first, size_t count)
{
    assert_int_equal(world->recovery.entry_count, count);
    for (size_t i = 0; i < count; i++)
        fixture_check_entry(&world->recovery.entries[i], first + i);
}

static void test_new_log_is_empty(void **state)
{
    struct world *world = *state;
    open_log(world);
    assert_true(world->recovery.created);
    assert_false(world->recovery.sealed);
    assert_int_equal(world->recovery.opening, 1);
    assert_int_equal(world->recovery.entry_count, 0);
    close_log(world);
    open_log(world);
    assert_false(world->recovery.created);
    assert_true(world->recovery.sealed);
    assert_int_equal(world->recovery.opening, 2);
}

static void test_flushed_entries_come_back(void **state)
{
    struct world *world = *state;
    open_log(world);
    struct hard_state hard = {3, 7, 0};
    assert_ok(wal_append(world->wal, &hard, NULL, 0, NULL));
    append(world, 1, 3, 10, 100);
    flush_log(world);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 10);
    assert_true(hard_state_equal(&world->recovery.state, &hard));
}

static void test_entries_span_segments(void **state)
{
    struct world *world = *state;
    open_log(world);
    for (raft_index index = 1; index <= 200; index += 10) {
        append(world, index, 1, 10, 10000);
        flush_log(world);
    }
    struct wal_stats stats;
    wal_get_stats(world->wal, &stats);
    assert_true(stats.segment_last > 5);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 200);
}

static void test_crash_keeps_what_was_flushed(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 5, 300);
    flush_log(world);
    append(world, 6, 1, 5, 300);
    crash(world);
    open_log(world);
    check_entries(world, 1, 5);
    assert_false(world->recovery.sealed);
    assert_int_equal(world->recovery.dropped_bytes, 0);
    append(world, 6, 2, 1, 10);
    flush_log(world);
    crash(world);
    open_log(world);
    check_entries(world, 1, 6);
    assert_int_equal(world->recovery.opening, 3);
}

static void test_lower_index_replaces(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 10, 50);
    flush_log(world);
    append(world, 4, 2, 3, 60);
    flush_log(world);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 6);
    assert_int_equal(world->recovery.entries[2].term, 1);
    assert_int_equal(world->recovery.entries[3].term, 2);
    append(world, 7, 2, 1, 0);
    append(world, 1, 3, 1, 5);
    flush_log(world);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 1);
}

static void test_mark_hides_what_it_covers(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 4, 10, 50);
    assert_good(fixture_mark(world->wal, 6, 4, "members", &world->err), world->err);
    flush_log(world);
    close_log(world);
    open_log(world);
    assert_int_equal(world->recovery.mark.index, 6);
    assert_int_equal(world->recovery.mark.term, 4);
    assert_bytes_equal(blob_bytes(world->recovery.mark.configuration),
                       BYTES_LITERAL("members"));
    check_entries(world, 7, 4);
}

static void test_mark_of_another_term_replaces_all(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 4, 10, 50);
    assert_good(fixture_mark(world->wal, 6, 5, NULL, &world->err), world->err);
    flush_log(world);
    crash(world);
    open_log(world);
    assert_int_equal(world->recovery.mark.index, 6);
    check_entries(world, 7, 0);
    append(world, 7, 5, 1, 50);
    flush_log(world);
    crash(world);
    open_log(world);
    check_entries(world, 7, 1);
}

static void test_mark_beyond_the_log_begins_anew(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 4, 10, 50);
    assert_good(fixture_mark(world->wal, 1000, 9, "far", &world->err), world->err);
    append(world, 1001, 9, 2, 50);
    flush_log(world);
    close_log(world);
    open_log(world);
    assert_int_equal(world->recovery.mark.index, 1000);
    check_entries(world, 1001, 2);
}

static void test_released_segments_come_back_as_spares(void **state)
{
    struct world *world = *state;
    struct wal_stats stats;
    open_log(world);
    assert_good(fixture_prepare(world->wal, &world->err), world->err);
    for (raft_index index = 1; index <= 100; index += 10) {
        append(world, index, 1, 10, 10000);
        flush_log(world);
    }
    uint64_t inode = sim_disk_inode(world->sim, "wal/0000000000000001.seg");
    assert_true(inode != 0);
    assert_good(fixture_mark(world->wal, 90, 1, "c", &world->err), world->err);
    flush_log(world);
    wal_release(world->wal, 90);
    assert_good(fixture_prepare(world->wal, &world->err), world->err);
    assert_false(sim_disk_has(world->sim, "wal/0000000000000001.seg"));
    wal_get_stats(world->wal, &stats);
    assert_true(stats.segment_first > 2);
    assert_int_equal(stats.spare_count, WAL_SPARE_KEPT);
    for (raft_index index = 101; index <= 200; index += 10) {
        append(world, index, 1, 10, 10000);
        flush_log(world);
    }
    bool found = false;
    for (unsigned number = 2; number < 20 && !found; number++) {
        char name[64];
        snprintf(name, sizeof name, "wal/%016x.seg", number);
        found = sim_disk_inode(world->sim, name) == inode;
    }
    assert_true(found);
    crash(world);
    open_log(world);
    assert_int_equal(world->recovery.mark.index, 90);
    check_entries(world, 91, 110);
}

static void test_state_and_mark_outlive_their_segments(void **state)
{
    struct world *world = *state;
    struct hard_state hard = {8, 2, 77};
    open_log(world);
    append(world, 1, 8, 80, 3000);
    assert_ok(wal_append(world->wal, &hard, NULL, 0, NULL));
    assert_good(fixture_mark(world->wal, 80, 8, "here", &world->err), world->err);
    flush_log(world);
    append(world, 81, 8, 30, 20000);
    flush_log(world);
    wal_release(world->wal, 80);
    assert_good(fixture_prepare(world->wal, &world->err), world->err);
    assert_false(sim_disk_has(world->sim, "wal/0000000000000001.seg"));
    crash(world);
    open_log(world);
    assert_true(hard_state_equal(&world->recovery.state, &hard));
    assert_int_equal(world->recovery.mark.index, 80);
    assert_bytes_equal(blob_bytes(world->recovery.mark.configuration), BYTES_LITERAL("here"));
    check_entries(world, 81, 30);
}

static void test_appends_during_a_flush_go_to_the_next(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 3, 100);
    struct wal_flush_job *job = wal_flush_begin(world->wal);
    append(world, 4, 1, 2, 100);
    wal_flush_run(job);
    append(world, 6, 1, 1, 100);
    assert_ok(wal_flush_end(world->wal, job, NULL));
    assert_true(wal_pending_bytes(world->wal) > 0);
    flush_log(world);
    assert_null(wal_flush_begin(world->wal));
    crash(world);
    open_log(world);
    check_entries(world, 1, 6);
}

static void test_a_failed_flush_is_the_end(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 3, 100);
    flush_log(world);
    append(world, 4, 1, 1, 3000);
    sim_disk_fail(world->sim, sim_disk_calls(world->sim) + 1, ERR_IO, false);
    assert_err(wal_flush(world->wal, &world->err), IO);
    assert_true(wal_is_dead(world->wal));
    assert_err(fixture_append(world->wal, 5, 1, 1, 1, &world->err), IO);
    assert_err(fixture_mark(world->wal, 1, 1, NULL, &world->err), IO);
    assert_err(wal_flush(world->wal, &world->err), IO);
    assert_null(wal_flush_begin(world->wal));
    assert_null(wal_prepare_begin(world->wal));
    assert_err(wal_close(world->wal, &world->err), IO);
    world->wal = NULL;
}

/* The page cache shows the lost bytes; the disk does not have them, and has the word. */
static void test_after_a_failed_flush_the_disk_is_asked(void **state)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct world *world = *state;
        sim_disk_free(world->sim);
        world->sim = sim_disk_new(seed);
        world->options.disk = sim_disk_door(world->sim);
        open_log(world);
        append(world, 1, 1, 3, 100);
        flush_log(world);
        append(world, 4, 1, 5, 600);
        sim_disk_fail(world->sim, sim_disk_calls(world->sim) + 1, ERR_IO, false);
        assert_err(wal_flush(world->wal, &world->err), IO);
        wal_abandon(world->wal);
        sim_disk_kill(world->sim);
        open_log(world);
        size_t count = world->recovery.entry_count;
        assert_in_range(count, 3, 8);
        crash(world);
        open_log(world);
        check_entries(world, 1, count);
        close_log(world);
    }
}

/* What a torn flush left is zeros before anything is appended, and said to be cut. */
static void test_a_torn_tail_is_cut_and_zeroed(void **state)
{
    struct world *world = *state;
    const char *name = "wal/0000000000000001.seg";
    open_log(world);
    append(world, 1, 1, 3, 100);
    flush_log(world);
    append(world, 4, 1, 3, 3000);
    sim_disk_stop(world->sim, sim_disk_calls(world->sim) + 2);
    flush_log(world);
    append(world, 7, 1, 3, 3000);
    assert_err(wal_flush(world->wal, &world->err), IO);
    wal_abandon(world->wal);
    world->wal = NULL;
    sim_disk_kill(world->sim);
    open_log(world);
    assert_true(world->recovery.entry_count >= 6);
    assert_true(world->recovery.dropped_bytes > 0);
    assert_non_null(strstr(world->recovery.dropped_text, name));
    uint64_t size, end = world->wal->place.offset;
    crash(world);
    const uint8_t *bytes = sim_disk_look(world->sim, name, &size);
    for (uint64_t at = end; at < size; at++)
        assert_int_equal(bytes[at], 0);
    open_log(world);
    assert_true(world->recovery.entry_count >= 6);
    assert_int_equal(world->recovery.dropped_bytes, 0);
}

static void test_another_identity_is_refused(void **state)
{
    struct world *world = *state;
    open_log(world);
    close_log(world);
    struct wal *wal;
    world->options.identity.generation++;
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), CONFLICT);
    assert_non_null(strstr(world->err.text, "333334"));
    world->options.identity.generation--;
    open_log(world);
    assert_true(world->recovery.sealed);
}

static void test_no_log_is_made_unasked(void **state)
{
    struct world *world = *state;
    struct wal *wal;
    world->options.create = false;
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), NOT_FOUND);
    world->options.segment_size = 12345;
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), INVALID);
}

static void test_too_big_changes_nothing(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 1, 10);
    uint64_t pending = wal_pending_bytes(world->wal);
    assert_err(fixture_append(world->wal, 2, 1, 1, SEGMENT_SIZE_MIN, &world->err), TOO_BIG);
    assert_int_equal(wal_pending_bytes(world->wal), pending);
    append(world, 2, 1, 1, SEGMENT_SIZE_MIN - 1000);
    flush_log(world);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 2);
}

/* The last spare segment is kept for state and marks; what was refused may be tried again. */
static void test_a_full_disk_refuses_entries_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct hard_state hard = {2, 1, 0};
    open_log(world);
    assert_good(fixture_prepare(world->wal, &world->err), world->err);
    sim_disk_limit(world->sim, 1);
    raft_index last = 0;
    enum err_code code;
    while (!(code = fixture_append(world->wal, last + 1, 1, 1, 5000, &world->err)))
        last++;
    assert_int_equal(code, ERR_NO_SPACE);
    assert_in_range(last, 60, 110);
    assert_err(fixture_prepare(world->wal, &world->err), NO_SPACE);
    flush_log(world);
    assert_false(wal_is_dead(world->wal));
    assert_good(wal_append(world->wal, &hard, NULL, 0, &world->err), world->err);
    assert_good(fixture_mark(world->wal, last, 1, "m", &world->err), world->err);
    for (int i = 0; i < 300; i++)
        assert_good(wal_append(world->wal, &hard, NULL, 0, &world->err), world->err);
    flush_log(world);
    wal_release(world->wal, last);
    assert_good(fixture_prepare(world->wal, &world->err), world->err);
    append(world, last + 1, 2, 1, 5000);
    flush_log(world);
    sim_disk_limit(world->sim, 0);
    close_log(world);
    open_log(world);
    assert_true(hard_state_equal(&world->recovery.state, &hard));
    check_entries(world, last + 1, 1);
}

static void test_a_missing_segment_is_refused(void **state)
{
    struct world *world = *state;
    struct wal *wal;
    open_log(world);
    append(world, 1, 1, 100, 10000);
    flush_log(world);
    crash(world);
    sim_disk_unlink(world->sim, "wal/0000000000000002.seg");
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), CORRUPT);
    assert_non_null(strstr(world->err.text, "0000000000000002.seg"));
    sim_disk_unlink(world->sim, "wal/0000000000000001.seg");
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), CORRUPT);
}

/* A log of one entry, so long that `left` bytes of the segment stay free behind it. */
static void fill(struct world *world, size_t left)
{
    sim_disk_free(world->sim);
    world->sim = sim_disk_new(left);
    world->options.disk = sim_disk_door(world->sim);
    open_log(world);
    append(world, 1, 1, 1, SEGMENT_SIZE_MIN - 200 - left);
    flush_log(world);
    crash(world);
}

/* An opening takes 72 bytes. Where not even its FLUSH fits, its END is the first that it writes. */
static void test_openings_at_the_end_of_a_segment(void **state)
{
    struct world *world = *state;
    for (size_t left = 32; left < 32 + 2 * 72; left += 8) {
        fill(world, left);
        for (int i = 0; i < 4; i++) {
            open_log(world);
            check_entries(world, 1, 1);
            crash(world);
        }
    }
}

/* The process dies in the opening that writes nothing but END into the segment: at any call. */
static void test_an_opening_that_dies_at_the_end_of_a_segment(void **state)
{
    struct world *world = *state;
    bool died = true;
    for (uint64_t call = 1; died; call++) {
        fill(world, 32);
        sim_disk_stop(world->sim, sim_disk_calls(world->sim) + call);
        died = wal_open(&world->options, &world->wal, &world->recovery, &world->err) != ERR_OK;
        wal_abandon(world->wal);
        world->wal = NULL;
        wal_recovery_release(&world->recovery);
        sim_disk_crash(world->sim, 1000, 0);
        for (int i = 0; i < 2; i++) {
            open_log(world);
            check_entries(world, 1, 1);
            crash(world);
        }
    }
}

/* A cut at a length that a segment could have. */
static void test_a_shortened_segment_is_refused(void **state)
{
    struct world *world = *state;
    struct wal *wal;
    const char *name = "wal/0000000000000001.seg";
    world->options.segment_size = 2 * SEGMENT_SIZE_MIN;
    open_log(world);
    append(world, 1, 1, 3, 100);
    flush_log(world);
    crash(world);
    sim_disk_truncate(world->sim, name, SEGMENT_SIZE_MIN);
    assert_err(wal_open(&world->options, &wal, &world->recovery, &world->err), CORRUPT);
    assert_non_null(strstr(world->err.text, name));
    assert_non_null(strstr(world->err.text, "262144"));
}

/* Where zeros were beneath, anything behind the end was written by a flush that tore. */
static void test_a_tail_without_a_header_is_cut_too(void **state)
{
    struct world *world = *state;
    const char *name = "wal/0000000000000001.seg";
    uint64_t size;
    open_log(world);
    append(world, 1, 1, 3, 100);
    flush_log(world);
    crash(world);
    sim_disk_poke(world->sim, name, 100000, "left behind", 11);
    open_log(world);
    check_entries(world, 1, 3);
    assert_in_range(world->recovery.dropped_bytes, 90000, 100011);
    assert_int_equal(sim_disk_look(world->sim, name, &size)[100000], 0);
}

/* A user may store bytes that look like a record of a later flush, in the right place even: they are
 * no proof, because their checksum was not begun with this log's seed. */
static void test_a_forged_record_proves_nothing(void **state)
{
    struct world *world = *state;
    const char *name = "wal/0000000000000001.seg";
    struct buf forged = {0};
    open_log(world);
    append(world, 1, 1, 3, 100);
    flush_log(world);
    struct record_place place = world->wal->place;
    crash(world);
    for (int own = 0; own < 2; own++) {
        struct record_place at = place;
        struct wal *wal = NULL;
        at.offset = 200000;
        at.seed = own ? place.seed : 0;
        buf_clear(&forged);
        record_append(&forged, &at, RECORD_FLUSH, 0, BYTES_EMPTY, BYTES_EMPTY);
        sim_disk_poke(world->sim, name, 200000, forged.data, forged.size);
        wal_recovery_release(&world->recovery);
        enum err_code code = wal_open(&world->options, &wal, &world->recovery, &world->err);
        assert_int_equal(code, own ? ERR_CORRUPT : ERR_OK);
        if (!own) {
            check_entries(world, 1, 3);
            place.opening = world->recovery.opening;
        }
        wal_abandon(wal);
    }
    buf_release(&forged);
}

static void test_small_segments_grow_with_the_option(void **state)
{
    struct world *world = *state;
    open_log(world);
    append(world, 1, 1, 30, 10000);
    flush_log(world);
    close_log(world);
    world->options.segment_size = 2 * SEGMENT_SIZE_MIN;
    open_log(world);
    append(world, 31, 1, 60, 10000);
    flush_log(world);
    close_log(world);
    open_log(world);
    check_entries(world, 1, 90);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_new_log_is_empty, setup, teardown),
    cmocka_unit_test_setup_teardown(test_flushed_entries_come_back, setup, teardown),
    cmocka_unit_test_setup_teardown(test_entries_span_segments, setup, teardown),
    cmocka_unit_test_setup_teardown(test_crash_keeps_what_was_flushed, setup, teardown),
    cmocka_unit_test_setup_teardown(test_lower_index_replaces, setup, teardown),
    cmocka_unit_test_setup_teardown(test_mark_hides_what_it_covers, setup, teardown),
    cmocka_unit_test_setup_teardown(test_mark_of_another_term_replaces_all, setup, teardown),
    cmocka_unit_test_setup_teardown(test_mark_beyond_the_log_begins_anew, setup, teardown),
    cmocka_unit_test_setup_teardown(test_released_segments_come_back_as_spares, setup, teardown),
    cmocka_unit_test_setup_teardown(test_state_and_mark_outlive_their_segments, setup, teardown),
    cmocka_unit_test_setup_teardown(test_appends_during_a_flush_go_to_the_next, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_failed_flush_is_the_end, setup, teardown),
    cmocka_unit_test_setup_teardown(test_after_a_failed_flush_the_disk_is_asked, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_torn_tail_is_cut_and_zeroed, setup, teardown),
    cmocka_unit_test_setup_teardown(test_another_identity_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_no_log_is_made_unasked, setup, teardown),
    cmocka_unit_test_setup_teardown(test_too_big_changes_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_full_disk_refuses_entries_and_nothing_else, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_missing_segment_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_openings_at_the_end_of_a_segment, setup, teardown),
    cmocka_unit_test_setup_teardown(test_an_opening_that_dies_at_the_end_of_a_segment, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(test_a_shortened_segment_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_tail_without_a_header_is_cut_too, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_forged_record_proves_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_small_segments_grow_with_the_option, setup, teardown),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
