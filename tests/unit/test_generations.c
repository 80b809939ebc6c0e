/* cluster/generations and cluster/textfile: what is remembered of data folders, and that it is. */
#include "tests/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/generations.h"
#include "cluster/textfile.h"
#include "proto/base/check.h"
#include "proto/base/mem.h"

static struct disk *disk;       /* of the test's folder */

static char *path_in(void **state) { return mem_xformat("%s/generations", (char *)*state); }

static void reopen(struct generations *generations)
{
    generations_clear(generations);
    assert_ok(generations_open(generations, disk, NULL));
}

static void what_was_met_is_there_after_a_restart(void **state)
{
    struct generations generations;
    (void)state;
    assert_ok(generations_begin(&generations, disk, NULL));
    reopen(&generations);
    assert_false(generations.formed);
    assert_int_equal(generations_get(&generations, 7), 0);
    assert_ok(generations_meet(&generations, 7, 70, NULL));
    assert_ok(generations_meet(&generations, 3, 30, NULL));
    assert_ok(generations_meet(&generations, 7, 70, NULL));
    reopen(&generations);
    assert_int_equal(generations.count, 2);
    assert_int_equal(generations_get(&generations, 7), 70);
    assert_int_equal(generations_get(&generations, 3), 30);
    assert_err(generations_meet(&generations, 7, 71, NULL), EXISTS);
    assert_int_equal(generations_get(&generations, 7), 70);
    assert_ok(generations_form(&generations, NULL));
    reopen(&generations);
    assert_true(generations.formed);
    assert_err(generations_meet(&generations, 3, 31, NULL), EXISTS);
    generations_forget(&generations, 3);
    generations_forget(&generations, 4);
    assert_int_equal(generations_get(&generations, 3), 0);
    assert_int_equal(generations_get(&generations, 7), 70);
    generations_clear(&generations);
}

/* A member that is alone, or joined, has no such file. */
static void without_a_file_it_is_formed(void **state)
{
    struct generations generations;
    (void)state;
    assert_ok(generations_open(&generations, disk, NULL));
    assert_true(generations.formed);
    assert_int_equal(generations.count, 0);
    assert_ok(generations_meet(&generations, 9, 90, NULL));
    reopen(&generations);
    assert_true(generations.formed);
    assert_int_equal(generations_get(&generations, 9), 90);
    generations_clear(&generations);
}

/* What cannot be kept is not known, so that the next hello tries again. */
static void what_cannot_be_kept_is_not_known(void **state)
{
    struct generations generations;
    struct err err = {0};
    char *fresh = mem_xformat("%s/generations.new", (char *)*state);
    assert_int_equal(mkdir(fresh, 0700), 0);        /* in the way */
    assert_ok(generations_open(&generations, disk, NULL));
    assert_true(generations_meet(&generations, 9, 90, &err) != ERR_OK);
    assert_non_null(strstr(err.text, fresh));
    assert_int_equal(generations_get(&generations, 9), 0);
    generations.formed = false;
    assert_true(generations_form(&generations, NULL) != ERR_OK);
    assert_false(generations.formed);
    generations_clear(&generations);
    free(fresh);
}

static void strange_hellos_and_too_many(void **state)
{
    struct generations generations = {0};
    (void)state;
    assert_err(generations_meet(&generations, 0, 1, NULL), INVALID);
    assert_err(generations_meet(&generations, 1, 0, NULL), INVALID);
    for (raft_id id = 1; id <= GENERATIONS_MAX; id++)
        assert_ok(generations_meet(&generations, id, 1000 + id, NULL));
    assert_err(generations_meet(&generations, GENERATIONS_MAX + 1, 1, NULL), BUSY);
    assert_ok(generations_meet(&generations, GENERATIONS_MAX, 1000 + GENERATIONS_MAX, NULL));
}

static void every_damaged_byte_is_refused(void **state)
{
    struct generations generations;
    struct err err;
    char *path = path_in(state), content[512];
    assert_ok(generations_begin(&generations, disk, NULL));
    assert_ok(generations_meet(&generations, 7, 70, NULL));
    generations_clear(&generations);
    int fd = open(path, O_RDWR);
    ssize_t size = read(fd, content, sizeof content);
    assert_in_range(size, 1, sizeof content - 1);
    for (ssize_t i = 0; i < size; i++) {
        content[i] ^= 4;
        assert_int_equal(pwrite(fd, content, (size_t)size, 0), size);
        assert_err(generations_open(&generations, disk, &err), CORRUPT);
        assert_non_null(strstr(err.text, "generations"));
        assert_false(generations.formed);
        content[i] ^= 4;
    }
    for (ssize_t i = 0; i < size; i++) {
        assert_int_equal(pwrite(fd, content, (size_t)size, 0), size);
        assert_int_equal(ftruncate(fd, i), 0);
        assert_err(generations_open(&generations, disk, NULL), CORRUPT);
    }
    close(fd);
    free(path);
}

static void texts_that_are_no_table(void **state)
{
    static const char *const texts[] = {
        "", "concordfs generations\n", "concordfs generations\nformed maybe\n",
        "concordfs generations\nformed yes\nmember 7 8\n",
        "concordfs generations\nformed yes\nmember 0000000000000007 0000000000000000\n",
        "concordfs generations\nformed yes\nmember 0000000000000000 0000000000000001\n",
        ("concordfs generations\nformed no\nmember 0000000000000002 0000000000000001\n"
         "member 0000000000000002 0000000000000001\n"),
        "concordfs generations\nformed no\nmember 0000000000000002 0000000000000001",
        "concordfs generations\nformed no\nmore\n",
    };
    struct generations generations;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_err(generations_parse(bytes_of_text(texts[i]), &generations, NULL), CORRUPT);
    assert_err(generations_parse(bytes_of("concordfs generations\nformed no\n\0", 33), &generations, NULL),
               CORRUPT);
}

/* The old file stays whole until the new one is. */
static void a_file_is_replaced_as_a_whole(void **state)
{
    struct buf content = {0};
    const char *name = "options";
    char *fresh = mem_xformat("%s/options.new", (char *)*state);
    assert_err(textfile_read(disk, name, &content, NULL), NOT_FOUND);
    assert_ok(textfile_write(disk, name, BYTES_LITERAL("old\n"), NULL));
    assert_int_equal(mkdir(fresh, 0700), 0);        /* in the way of the next write */
    assert_true(textfile_write(disk, name, BYTES_LITERAL("new\n"), NULL) != ERR_OK);
    assert_ok(textfile_read(disk, name, &content, NULL));
    assert_bytes_equal(buf_bytes(&content), BYTES_LITERAL("old\n"));
    assert_int_equal(rmdir(fresh), 0);
    buf_clear(&content);
    assert_ok(textfile_write(disk, name, BYTES_EMPTY, NULL));
    assert_ok(textfile_read(disk, name, &content, NULL));
    assert_int_equal(content.size, 0);
    assert_ok(textfile_remove(disk, name, NULL));
    assert_ok(textfile_remove(disk, name, NULL));
    assert_err(textfile_read(disk, name, &content, NULL), NOT_FOUND);
    buf_release(&content);
    free(fresh);
}

static int make_folder(void **state)
{
    *state = test_folder_new();
    return disk_posix_new(*state, &disk, NULL);
}

static int remove_folder(void **state)
{
    disk_posix_free(disk);
    test_folder_remove(*state);
    return 0;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_met_is_there_after_a_restart), IN_FOLDER(without_a_file_it_is_formed),
        IN_FOLDER(what_cannot_be_kept_is_not_known), cmocka_unit_test(strange_hellos_and_too_many),
        IN_FOLDER(every_damaged_byte_is_refused), cmocka_unit_test(texts_that_are_no_table),
        IN_FOLDER(a_file_is_replaced_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
