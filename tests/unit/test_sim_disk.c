/* What the simulated disk says of its faults: what a call has met, and not what was set. */
#include "tests/test.h"
#include "tests/sim/sim_disk.h"

struct fixture {
    struct sim_disk *sim;
    struct disk *disk;
    struct disk_file *file;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->sim = sim_disk_new(1);
    fixture->disk = sim_disk_door(fixture->sim);
    assert_int_equal(disk_open(fixture->disk, "f", DISK_CREATE, 4096, &fixture->file, NULL, NULL),
                     ERR_OK);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_free(fixture->sim);
    free(fixture);
    return 0;
}

static enum err_code put(struct fixture *fixture, bool durable)
{
    return disk_write(fixture->disk, fixture->file, 0, "x", 1, durable, NULL);
}

static enum err_code flush(struct fixture *fixture)
{
    return disk_sync(fixture->disk, fixture->file, NULL);
}

static void assert_met(struct fixture *fixture, uint64_t flushes, uint64_t others, uint64_t stops)
{
    struct sim_disk_met met = sim_disk_take_met(fixture->sim);
    assert_int_equal(met.flush_errors, flushes);
    assert_int_equal(met.io_errors, others);
    assert_int_equal(met.stops, stops);
}

static void test_the_flush_that_was_meant_fails(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fail_next(fixture->sim, true, 2, ERR_IO, false);
    assert_int_equal(put(fixture, false), ERR_OK);
    assert_int_equal(flush(fixture), ERR_OK);
    assert_int_equal(put(fixture, false), ERR_OK);
    assert_met(fixture, 0, 0, 0);
    assert_int_equal(flush(fixture), ERR_IO);
    assert_int_equal(flush(fixture), ERR_OK);
    assert_met(fixture, 1, 0, 0);
    assert_met(fixture, 0, 0, 0);
}

static void test_a_durable_write_and_a_folders_sync_are_flushes(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fail_next(fixture->sim, true, 1, ERR_IO, false);
    assert_int_equal(put(fixture, true), ERR_IO);
    sim_disk_fail_next(fixture->sim, true, 1, ERR_IO, false);
    assert_int_equal(disk_sync_folder(fixture->disk, "", NULL), ERR_IO);
    assert_met(fixture, 2, 0, 0);
}

static void test_a_fault_that_stays_counts_once(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fail_next(fixture->sim, false, 1, ERR_IO, true);
    assert_int_equal(flush(fixture), ERR_OK);
    assert_int_equal(put(fixture, false), ERR_IO);
    assert_int_equal(flush(fixture), ERR_IO);
    assert_int_equal(put(fixture, false), ERR_IO);
    assert_met(fixture, 0, 1, 0);
}

static void test_a_death_takes_away_what_was_set(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fail_next(fixture->sim, true, 1, ERR_IO, false);
    sim_disk_stop(fixture->sim, sim_disk_calls(fixture->sim) + 1);
    sim_disk_kill(fixture->sim);
    assert_int_equal(disk_open(fixture->disk, "f", DISK_WRITE, 0, &fixture->file, NULL, NULL),
                     ERR_OK);
    assert_int_equal(flush(fixture), ERR_OK);
    assert_met(fixture, 0, 0, 0);
}

static void test_a_stop_counts_at_its_call(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_stop(fixture->sim, sim_disk_calls(fixture->sim) + 2);
    assert_int_equal(put(fixture, true), ERR_OK);
    assert_met(fixture, 0, 0, 0);
    assert_int_equal(put(fixture, true), ERR_IO);
    assert_int_equal(flush(fixture), ERR_IO);
    assert_met(fixture, 0, 0, 1);
}

static enum err_code get(struct fixture *fixture, uint64_t offset)
{
    uint8_t byte;
    size_t size;
    return disk_read(fixture->disk, fixture->file, offset, &byte, 1, DISK_CACHED, &size, NULL);
}

static void test_a_bad_sector_counts_when_it_is_read(void **state)
{
    struct fixture *fixture = *state;
    sim_disk_fail_sector(fixture->sim, "f", 600);
    assert_int_equal(get(fixture, 0), ERR_OK);
    assert_int_equal(sim_disk_take_met(fixture->sim).bad_sectors, 0);
    assert_int_equal(get(fixture, 700), ERR_IO);
    assert_int_equal(get(fixture, 700), ERR_IO);
    assert_int_equal(sim_disk_take_met(fixture->sim).bad_sectors, 1);
}

static void test_a_limit_says_whether_it_refused(void **state)
{
    struct fixture *fixture = *state;
    struct disk_file *file;
    sim_disk_limit(fixture->sim, 4096);
    assert_false(sim_disk_has_limited(fixture->sim));
    assert_int_equal(disk_open(fixture->disk, "g", DISK_CREATE, 1, &file, NULL, NULL),
                     ERR_NO_SPACE);
    assert_true(sim_disk_has_limited(fixture->sim));
    sim_disk_limit(fixture->sim, 4096);
    assert_false(sim_disk_has_limited(fixture->sim));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    TEST(test_the_flush_that_was_meant_fails),
    TEST(test_a_durable_write_and_a_folders_sync_are_flushes),
    TEST(test_a_fault_that_stays_counts_once),
    TEST(test_a_death_takes_away_what_was_set),
    TEST(test_a_stop_counts_at_its_call),
    TEST(test_a_bad_sector_counts_when_it_is_read),
    TEST(test_a_limit_says_whether_it_refused),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
