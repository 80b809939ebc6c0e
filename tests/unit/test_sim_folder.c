/* What a simulated loss of power leaves of a folder: what was synced, under the names that were synced. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mvcc/backend.h"
#include "tests/sim/sim_folder.h"

static char *outer, *root;
static struct sim_folder *folder;

static int setup(void **state)
{
    (void)state;
    outer = test_folder_new();
    assert_true(asprintf(&root, "%s/data", outer) > 0);
    assert_int_equal(mkdir(root, 0700), 0);
    folder = sim_folder_new(root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_folder_free(folder);
    test_folder_remove(outer);
    free(root);
    return 0;
}

static const char *at(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static void put(const char *name, const char *text, bool sync)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    if (sync)
        assert_int_equal(fdatasync(fd), 0);
    close(fd);
}

static void sync_names(const char *name)
{
    int fd = open(at(name), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

/* NULL: it is not there. */
static void assert_holds(const char *name, const char *text)
{
    char found[64];
    int fd = open(at(name), O_RDONLY);
    if (!text) {
        assert_true(fd < 0);
        return;
    }
    assert_true(fd >= 0);
    ssize_t size = read(fd, found, sizeof found - 1);
    close(fd);
    assert_true(size >= 0);
    found[size] = '\0';
    assert_string_equal(found, text);
}

static void a_name_without_a_sync_is_gone(void **state)
{
    (void)state;
    put("a", "one", true);
    sim_folder_crash(folder);
    assert_holds("a", NULL);
}

static void a_file_without_a_sync_is_empty_or_as_it_was(void **state)
{
    (void)state;
    put("never", "one", false);
    put("once", "one", true);
    sync_names("");
    put("once", "two", false);
    sim_folder_crash(folder);
    assert_holds("never", "");
    assert_holds("once", "one");
}

static void a_rename_counts_from_the_sync_of_the_folder(void **state)
{
    (void)state;
    put("current", "old", true);
    sync_names("");
    for (int synced = 0; synced < 2; synced++) {
        put("current.new", "new", true);
        assert_int_equal(rename(at("current.new"), at("current")), 0);
        if (synced)
            sync_names("");
        sim_folder_crash(folder);
        assert_holds("current", synced ? "new" : "old");
        assert_holds("current.new", NULL);
    }
}

static void what_was_removed_comes_back(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("store"), 0700), 0);
    put("store/000005.ldb", "rows", true);
    put("store/CURRENT", "MANIFEST-1", true);
    sync_names("store");
    assert_int_equal(unlink(at("store/000005.ldb")), 0);
    assert_int_equal(unlink(at("store/CURRENT")), 0);
    put("store/other", "has the number of none of them", false);
    sim_folder_crash(folder);
    assert_holds("store/000005.ldb", "rows");
    assert_holds("store/CURRENT", "MANIFEST-1");
    assert_holds("store/other", NULL);
}

static void a_folder_made_again_holds_nothing_of_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("store-1"), 0700), 0);
    put("store-1/a", "old", true);
    sync_names("store-1");
    assert_int_equal(rename(at("store-1"), at("kept")), 0);
    assert_int_equal(mkdir(at("store-1"), 0700), 0);
    sync_names("");
    sim_folder_crash(folder);
    assert_int_equal(access(at("store-1"), F_OK), 0);
    assert_holds("store-1/a", NULL);
}

static void syncs_of_the_dead_do_not_count(void **state)
{
    (void)state;
    put("a", "one", true);
    sync_names("");
    sim_folder_stop(folder, 1);
    put("a", "two", true);
    assert_true(sim_folder_has_stopped(folder));
    put("a", "last", true);
    sim_folder_crash(folder);
    assert_holds("a", "two");
    assert_false(sim_folder_has_stopped(folder));
    put("a", "three", true);
    sim_folder_crash(folder);
    assert_holds("a", "three");
}

static void settled_is_durable(void **state)
{
    (void)state;
    put("a", "one", false);
    sim_folder_settle(folder);
    sim_folder_crash(folder);
    assert_holds("a", "one");
}

static void a_full_folder_refuses_what_takes_room(void **state)
{
    (void)state;
    put("a", "one", true);
    int inside = open(at("a"), O_WRONLY), outside = open("/dev/null", O_WRONLY);
    struct statvfs room;
    assert_true(inside >= 0 && outside >= 0);
    for (int is_full = 1; is_full >= 0; is_full--) {
        sim_folder_fill(folder, is_full);
        assert_int_equal(write(inside, "x", 1), is_full ? -1 : 1);
        assert_true(!is_full || errno == ENOSPC);
        assert_int_equal(pwrite(inside, "x", 1, 0), is_full ? -1 : 1);
        assert_int_equal(posix_fallocate(inside, 0, 4096), is_full ? ENOSPC : 0);
        assert_int_equal(write(outside, "x", 1), 1);
        assert_int_equal(statvfs(root, &room), 0);
        assert_true(is_full ? room.f_bavail == 0 : room.f_blocks > 0);
    }
    close(inside);
    close(outside);
}

/* ---- LevelDB's own syncs ---- */

static struct backend *open_store(bool create)
{
    struct backend *backend = NULL;
    struct err err = {0};
    struct backend_leveldb_options options = {.folder = at("store"), .create = create};
    assert_int_equal(backend_leveldb_open(&backend, &options, &err), ERR_OK);
    return backend;
}

static void write_row(struct backend *backend, const char *key)
{
    struct backend_op op = {.key = bytes_of_text(key), .value = bytes_of_text("value")};
    struct err err = {0};
    assert_int_equal(backend->ops->write(backend, &op, 1, &err), ERR_OK);
}

static enum err_code look_for(struct backend *backend, const char *key)
{
    struct buf value = {0};
    struct err err = {0};
    enum err_code code = backend->ops->get(backend, NULL, bytes_of_text(key), &value, &err);
    buf_release(&value);
    return code;
}

static void leveldb_tells_of_a_full_disk(void **state)
{
    (void)state;
    struct backend_op op = {.key = BYTES_LITERAL("key"), .value = BYTES_LITERAL("value")};
    struct err err = {0};
    struct backend *backend = open_store(true);
    sim_folder_fill(folder, true);
    assert_int_equal(backend->ops->write(backend, &op, 1, &err), ERR_NO_SPACE);
    backend_close(backend);
}

/* Flushed rows survive, others do not. dead: the syncs of the flush do not count. */
static void power_goes_after_a_flush(bool dead)
{
    struct err err = {0};
    struct backend *backend = open_store(true);
    sim_folder_settle(folder);
    write_row(backend, "flushed");
    if (dead)
        sim_folder_stop(folder, 0);
    assert_int_equal(backend->ops->flush(backend, &err), ERR_OK);
    write_row(backend, "not flushed");
    backend_close(backend);
    sim_folder_crash(folder);
    backend = open_store(false);
    assert_int_equal(look_for(backend, "flushed"), dead ? ERR_NOT_FOUND : ERR_OK);
    assert_int_equal(look_for(backend, "not flushed"), ERR_NOT_FOUND);
    backend_close(backend);
}

static void a_flushed_store_survives(void **state)
{
    (void)state;
    power_goes_after_a_flush(false);
}

static void a_store_whose_syncs_do_not_happen_loses_what_it_flushed(void **state)
{
    (void)state;
    power_goes_after_a_flush(true);
}

/* A process dies when its flush has written the MANIFEST and not synced it. The next one finds the rows, and
 * gives the log up for them. */
static void what_an_opening_finds_is_durable(void **state)
{
    (void)state;
    struct err err = {0};
    struct backend *backend = open_store(true);
    sim_folder_settle(folder);
    write_row(backend, "flushed");
    sim_folder_stop(folder, 1);         /* the table's */
    assert_int_equal(backend->ops->flush(backend, &err), ERR_OK);
    backend_close(backend);
    sim_folder_stop(folder, UINT64_MAX);
    for (int i = 0; i < 2; i++) {
        backend = open_store(false);
        assert_int_equal(look_for(backend, "flushed"), ERR_OK);
        backend_close(backend);
        sim_folder_crash(folder);
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_name_without_a_sync_is_gone),
        TEST(a_file_without_a_sync_is_empty_or_as_it_was),
        TEST(a_rename_counts_from_the_sync_of_the_folder),
        TEST(what_was_removed_comes_back),
        TEST(a_folder_made_again_holds_nothing_of_the_old_one),
        TEST(syncs_of_the_dead_do_not_count),
        TEST(settled_is_durable),
        TEST(a_full_folder_refuses_what_takes_room),
        TEST(leveldb_tells_of_a_full_disk),
        TEST(what_an_opening_finds_is_durable),
        TEST(a_flushed_store_survives),
        TEST(a_store_whose_syncs_do_not_happen_loses_what_it_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
