/* Segments as files: names, spare ones made ahead, what the real disk holds of them; jobs on other
 * threads; a log as text. */
#include "tests/unit/wal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/dump.h"
#include "wal/folder.h"

/* --- names --- */

static void make_file(struct disk *disk, const char *name)
{
    struct disk_file *file;
    assert_ok(disk_open(disk, name, DISK_CREATE, 0, &file, NULL, NULL));
    disk_close(disk, file);
}

static void test_names_are_sorted_out(void **state)
{
    (void)state;
    struct sim_disk *sim = sim_disk_new(1);
    struct disk *disk = sim_disk_door(sim);
    struct folder folder;
    static const char *const names[] = {
        "w/000000000000000a.seg", "w/0000000000000009.seg", "w/0000000000000003.zero",
        "w/0000000000000002.used", "w/0000000000000001.tmp", "w/seal.tmp", "w/seal",
        "w/000000000000000B.seg", "w/09.seg", "w/000000000000000a.segs", "w/x", "v/seal",
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        make_file(disk, names[i]);
    assert_ok(folder_read(disk, "w", &folder, NULL));
    assert_int_equal(folder.segment_count, 2);
    assert_int_equal(folder.segments[0], 9);
    assert_int_equal(folder.segments[1], 10);
    assert_int_equal(folder.spare_count, 2);
    assert_int_equal(folder.spares[0].number, 2);
    assert_false(folder.spares[0].fresh);
    assert_true(folder.spares[1].fresh);
    assert_int_equal(folder.spare_next, 4);
    assert_int_equal(folder.leftover_count, 2);
    assert_true(folder.sealed);
    folder_release(&folder);
    sim_disk_free(sim);
}

static void test_leftovers_and_odd_spares_go(void **state)
{
    (void)state;
    struct sim_disk *sim = sim_disk_new(1);
    struct wal_options options = fixture_options(sim_disk_door(sim));
    struct wal_recovery recovery = {0};
    struct wal_stats stats;
    struct wal *wal;
    make_file(options.disk, "wal/0000000000000005.tmp");
    make_file(options.disk, "wal/0000000000000006.zero");
    make_file(options.disk, "wal/notes");
    assert_ok(wal_open(&options, &wal, &recovery, NULL));
    assert_false(sim_disk_has(sim, "wal/0000000000000005.tmp"));
    assert_false(sim_disk_has(sim, "wal/0000000000000006.zero"));
    assert_true(sim_disk_has(sim, "wal/notes"));
    assert_ok(fixture_prepare(wal, NULL));
    wal_get_stats(wal, &stats);
    assert_int_equal(stats.spare_count, WAL_SPARE_COUNT);
    assert_int_equal(stats.bytes_in_use, (1 + WAL_SPARE_COUNT) * SEGMENT_SIZE_MIN);
    wal_abandon(wal);
    assert_ok(wal_open(&options, &wal, &recovery, NULL));
    wal_get_stats(wal, &stats);
    assert_int_equal(stats.spare_count, WAL_SPARE_COUNT);
    wal_abandon(wal);
    sim_disk_free(sim);
}

static void test_a_spare_one_that_is_stopped_leaves_nothing(void **state)
{
    (void)state;
    struct sim_disk *sim = sim_disk_new(1);
    struct disk *disk = sim_disk_door(sim);
    atomic_bool stop = true;
    assert_err(folder_make_spare(disk, "w", 1, SEGMENT_SIZE_MIN, &stop, NULL), CANCELED);
    assert_false(sim_disk_has(sim, "w/0000000000000001.tmp"));
    sim_disk_limit(sim, 4096);
    assert_err(folder_make_spare(disk, "w", 1, SEGMENT_SIZE_MIN, NULL, NULL), NO_SPACE);
    assert_false(sim_disk_has(sim, "w/0000000000000001.tmp"));
    sim_disk_limit(sim, 0);
    assert_ok(folder_make_spare(disk, "w", 1, SEGMENT_SIZE_MIN, NULL, NULL));
    sim_disk_crash(sim, 0, 0);
    uint64_t size;
    assert_non_null(sim_disk_look(sim, "w/0000000000000001.zero", &size));
    assert_int_equal(size, SEGMENT_SIZE_MIN);
    sim_disk_free(sim);
}

/* --- real files --- */

struct place {
    char *root;
    struct disk *disk;
    struct wal_options options;
    struct wal *wal;
    struct wal_recovery recovery;
    struct err err;
};

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    place->root = test_folder_new();
    assert_ok(disk_posix_new(place->root, &place->disk, NULL));
    place->options = fixture_options(place->disk);
    *state = place;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    wal_abandon(place->wal);
    wal_recovery_release(&place->recovery);
    disk_posix_free(place->disk);
    test_folder_remove(place->root);
    free(place);
    return 0;
}

static void place_open(struct place *place)
{
    wal_recovery_release(&place->recovery);
    assert_good(wal_open(&place->options, &place->wal, &place->recovery, &place->err), place->err);
}

static void place_close(struct place *place)
{
    struct wal *wal = place->wal;
    place->wal = NULL;
    assert_good(wal_close(wal, &place->err), place->err);
}

static void place_write(struct place *place, raft_index first, raft_index last)
{
    for (raft_index index = first; index <= last; index++) {
        assert_good(fixture_append(place->wal, index, 1, 1, 10000, &place->err), place->err);
        assert_good(wal_flush(place->wal, &place->err), place->err);
    }
}

static int open_in(const struct place *place, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", place->root, name);
    return open(path, O_RDONLY);
}

/* How many extents are allocated and not written; -1 where the filesystem does not tell. */
static int unwritten_extents(const struct place *place, const char *name)
{
    const unsigned extent_count = 256;
    struct fiemap *map = calloc(1, sizeof *map + extent_count * sizeof map->fm_extents[0]);
    map->fm_length = FIEMAP_MAX_OFFSET;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = extent_count;
    int descriptor = open_in(place, name), count = 0;
    assert_true(descriptor >= 0);
    if (ioctl(descriptor, FS_IOC_FIEMAP, map) < 0)
        count = -1;
    else
        assert_true(map->fm_mapped_extents > 0);
    close(descriptor);
    for (unsigned i = 0; count >= 0 && i < map->fm_mapped_extents; i++)
        count += (map->fm_extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0;
    free(map);
    return count;
}

static ino_t inode_of(const struct place *place, const char *name)
{
    struct stat stat = {0};
    int descriptor = open_in(place, name);
    if (descriptor < 0)
        return 0;
    assert_int_equal(fstat(descriptor, &stat), 0);
    close(descriptor);
    return stat.st_ino;
}

static void test_blocks_are_written_before_use(void **state)
{
    struct place *place = *state;
    place_open(place);
    assert_ok(fixture_prepare(place->wal, NULL));
    int count = unwritten_extents(place, "wal/0000000000000001.seg");
    if (count < 0)
        skip();
    assert_int_equal(count, 0);
    assert_int_equal(unwritten_extents(place, "wal/0000000000000002.zero"), 0);
}

static void test_recycled_segments_keep_their_inodes(void **state)
{
    struct place *place = *state;
    place_open(place);
    assert_ok(fixture_prepare(place->wal, NULL));
    place_write(place, 1, 60);
    ino_t inode = inode_of(place, "wal/0000000000000001.seg");
    assert_true(inode != 0);
    assert_good(fixture_mark(place->wal, 60, 1, NULL, &place->err), place->err);
    assert_ok(wal_flush(place->wal, NULL));
    wal_release(place->wal, 60);
    assert_good(fixture_prepare(place->wal, &place->err), place->err);
    assert_true(inode_of(place, "wal/0000000000000001.seg") == 0);
    place_write(place, 61, 160);
    bool found = false;
    for (unsigned number = 2; number < 16 && !found; number++) {
        char name[64];
        snprintf(name, sizeof name, "wal/%016x.seg", number);
        found = inode_of(place, name) == inode;
    }
    assert_true(found);
    place_close(place);
    place_open(place);
    assert_int_equal(place->recovery.entry_count, 100);
}

static void test_door_on_real_files(void **state)
{
    struct place *place = *state;
    struct disk *disk = place->disk;
    struct disk_file *file;
    char got[8192];
    size_t size;
    uint64_t length;
    assert_ok(disk_make_folder(disk, "d", NULL));
    assert_ok(disk_make_folder(disk, "d", NULL));
    assert_err(disk_open(disk, "d/none", DISK_READ, 0, &file, NULL, &place->err), NOT_FOUND);
    assert_non_null(strstr(place->err.text, "d/none"));
    assert_ok(disk_open(disk, "d/f", DISK_CREATE, 8192, &file, &length, NULL));
    assert_int_equal(length, 8192);
    assert_ok(disk_write(disk, file, 4000, "across a page", 13, true, NULL));
    for (int flags = DISK_CACHED; flags <= DISK_DIRECT; flags++) {
        assert_ok(disk_read(disk, file, 3990, got, sizeof got, (enum disk_read_flags)flags, &size,
                            NULL));
        assert_int_equal(size, 8192 - 3990);
        assert_memory_equal(got + 10, "across a page", 13);
        assert_int_equal(got[9], 0);
        assert_ok(disk_read(disk, file, 9000, got, 10, (enum disk_read_flags)flags, &size, NULL));
        assert_int_equal(size, 0);
    }
    assert_ok(disk_sync(disk, file, NULL));
    disk_close(disk, file);
    assert_err(disk_open(disk, "d/f", DISK_CREATE, 0, &file, NULL, NULL), EXISTS);
    assert_ok(disk_rename(disk, "d/f", "d/g", NULL));
    assert_ok(disk_sync_folder(disk, "d", NULL));
    assert_err(disk_remove(disk, "d/f", NULL), NOT_FOUND);
    assert_ok(disk_remove(disk, "d/g", NULL));
    assert_err(disk_sync_folder(disk, "e", NULL), NOT_FOUND);
    struct disk *none = NULL;
    assert_err(disk_posix_new("/nonexistent/folder", &none, NULL), NOT_FOUND);
    disk_close(disk, NULL);
    disk_posix_free(NULL);
}

static void *flush_thread(void *job)
{
    wal_flush_run(job);
    return NULL;
}

static void *prepare_thread(void *job)
{
    wal_prepare_run(job);
    return NULL;
}

/* Appends go on here while one thread flushes and another prepares. */
static void test_jobs_on_other_threads(void **state)
{
    struct place *place = *state;
    raft_index index = 0;
    place_open(place);
    for (int round = 0; round < 20; round++) {
        pthread_t flusher, preparer;
        assert_ok(fixture_append(place->wal, index + 1, 1, 3, 9000, NULL));
        index += 3;
        struct wal_flush_job *flush = wal_flush_begin(place->wal);
        struct wal_prepare_job *prepare = wal_prepare_begin(place->wal);
        assert_non_null(flush);
        assert_int_equal(pthread_create(&flusher, NULL, flush_thread, flush), 0);
        if (prepare)
            assert_int_equal(pthread_create(&preparer, NULL, prepare_thread, prepare), 0);
        assert_ok(fixture_append(place->wal, index + 1, 1, 2, 5000, NULL));
        index += 2;
        if (prepare && round % 5 == 0)
            wal_prepare_stop(prepare);
        pthread_join(flusher, NULL);
        assert_good(wal_flush_end(place->wal, flush, &place->err), place->err);
        if (prepare) {
            pthread_join(preparer, NULL);
            assert_good(wal_prepare_end(place->wal, prepare, &place->err), place->err);
        }
        if (round == 10)
            assert_ok(fixture_mark(place->wal, 20, 1, NULL, NULL));
        assert_ok(wal_flush(place->wal, NULL));
        if (round > 10)
            wal_release(place->wal, 20);
    }
    place_close(place);
    place_open(place);
    assert_int_equal(place->recovery.entry_count, index - 20);
    for (size_t i = 0; i < place->recovery.entry_count; i++)
        fixture_check_entry(&place->recovery.entries[i], 21 + i);
}

/* --- a log as text --- */

static void collect_line(void *context, const char *line)
{
    struct buf *text = context;
    buf_append(text, bytes_of_text(line));
    buf_append_u8(text, '\n');
}

static enum err_code dump(const struct place *place, struct buf *text, struct err *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/wal", place->root);
    buf_clear(text);
    enum err_code code = wal_dump(path, collect_line, text, err);
    buf_append_u8(text, 0);
    return code;
}

static void spoil(const struct place *place, const char *name, off_t offset)
{
    char path[512];
    uint8_t byte = 0;
    snprintf(path, sizeof path, "%s/%s", place->root, name);
    int descriptor = open(path, O_RDWR);
    assert_true(descriptor >= 0);
    assert_int_equal(pread(descriptor, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(descriptor, &byte, 1, offset), 1);
    close(descriptor);
}

static void test_dump_of_a_whole_and_a_damaged_log(void **state)
{
    struct place *place = *state;
    struct buf text = {0};
    struct hard_state hard = {1, 5, 0};
    assert_err(dump(place, &text, &place->err), NOT_FOUND);
    place_open(place);
    assert_ok(wal_append(place->wal, &hard, NULL, 0, NULL));
    place_write(place, 1, 30);
    assert_ok(fixture_mark(place->wal, 2, 1, "abc", NULL));
    place_close(place);
    assert_good(dump(place, &text, &place->err), place->err);
    const char *lines = (const char *)text.data;
    assert_non_null(strstr(lines, "1 0 head opening=1 version=1 fresh=1 cluster=1111 member=22"));
    assert_non_null(strstr(lines, "term=1 vote=5 commit=0"));
    assert_non_null(strstr(lines, "entry opening=1 term=1 index=30 kind=0 size=10000"));
    assert_non_null(strstr(lines, "mark opening=1 term=1 index=2 replace=0 size=3"));
    assert_non_null(strstr(lines, "\nsealed\n"));
    assert_null(strstr(lines, " bad "));
    spoil(place, "wal/0000000000000001.seg", 40000);
    assert_err(dump(place, &text, &place->err), CORRUPT);
    assert_non_null(strstr(place->err.text, "offset"));
    lines = (const char *)text.data;
    assert_non_null(strstr(lines, " bad length="));
    assert_non_null(strstr(lines, "index=30"));
    spoil(place, "wal/0000000000000001.seg", 3);
    assert_err(dump(place, &text, &place->err), CORRUPT);
    assert_non_null(strstr((const char *)text.data, "1 0 bad length=80"));
    buf_release(&text);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_names_are_sorted_out),
    cmocka_unit_test(test_leftovers_and_odd_spares_go),
    cmocka_unit_test(test_a_spare_one_that_is_stopped_leaves_nothing),
    cmocka_unit_test_setup_teardown(test_blocks_are_written_before_use, place_setup,
                                    place_teardown),
    cmocka_unit_test_setup_teardown(test_recycled_segments_keep_their_inodes, place_setup,
                                    place_teardown),
    cmocka_unit_test_setup_teardown(test_door_on_real_files, place_setup, place_teardown),
    cmocka_unit_test_setup_teardown(test_jobs_on_other_threads, place_setup, place_teardown),
    cmocka_unit_test_setup_teardown(test_dump_of_a_whole_and_a_damaged_log, place_setup,
                                    place_teardown),
};

int main(void) { return cmocka_run_group_tests(tests, NULL, NULL); }
