/* cluster/datadir: lock, identity, first starts that died, damage. */
#include "tests/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/datadir.h"
#include "proto/base/check.h"

static const struct identity someone = {.cluster_id = 0x1234, .member_id = 5, .generation = 6,
                                        .name = "web 1"};

static void write_text(const char *folder, const char *name, const char *text, off_t offset)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
    close(fd);
}

static void a_folder_is_made_and_remembers(void **state)
{
    char *base = *state, path[512];
    struct datadir dir;
    struct err err;
    snprintf(path, sizeof path, "%s/a/b/c", base);
    assert_ok(datadir_open(&dir, path, &err));
    assert_false(dir.has_identity);
    assert_ok(datadir_set_identity(&dir, &someone, &err));
    datadir_close(&dir);
    assert_ok(datadir_open(&dir, path, &err));
    assert_true(dir.has_identity);
    assert_int_equal(dir.identity.cluster_id, 0x1234);
    assert_int_equal(dir.identity.member_id, 5);
    assert_int_equal(dir.identity.generation, 6);
    assert_string_equal(dir.identity.name, "web 1");
    datadir_close(&dir);
    datadir_close(&dir);
}

static void a_second_start_hears_who_holds_it(void **state)
{
    struct datadir dir, other;
    struct err err;
    char expected[64];
    assert_ok(datadir_open(&dir, *state, &err));
    assert_err(datadir_open(&other, *state, &err), BUSY);
    snprintf(expected, sizeof expected, "in use by process %ld:", (long)getpid());
    assert_non_null(strstr(err.text, expected));
    datadir_close(&dir);
    assert_ok(datadir_open(&dir, *state, &err));
    datadir_close(&dir);
}

static void a_full_disk_is_named(void **state)
{
    struct datadir dir;
    struct err err;
    char path[512];
    snprintf(path, sizeof path, "%s/lock", (char *)*state);
    assert_int_equal(symlink("/dev/full", path), 0);
    assert_err(datadir_open(&dir, *state, &err), NO_SPACE);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(unlink(path), 0);
    assert_ok(datadir_open(&dir, *state, &err));
    datadir_close(&dir);
}

static void every_damaged_byte_of_the_identity_is_refused(void **state)
{
    struct datadir dir;
    struct err err;
    struct stat size;
    char path[512];
    assert_ok(datadir_open(&dir, *state, &err));
    assert_ok(datadir_set_identity(&dir, &someone, &err));
    datadir_close(&dir);
    snprintf(path, sizeof path, "%s/identity", (char *)*state);
    assert_int_equal(stat(path, &size), 0);
    char *text = calloc(1, (size_t)size.st_size + 1);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, (size_t)size.st_size), size.st_size);
    close(fd);
    for (off_t i = 0; i < size.st_size - 1; i++) {
        char wrong[2] = {(char)(text[i] ^ 1), 0}, right[2] = {text[i], 0};
        if (!wrong[0])
            continue;
        write_text(*state, "identity", wrong, i);
        assert_err(datadir_open(&dir, *state, &err), CORRUPT);
        assert_non_null(strstr(err.text, "identity"));
        write_text(*state, "identity", right, i);
    }
    for (off_t cut = 0; cut < size.st_size - 1; cut++) {
        assert_int_equal(truncate(path, cut), 0);
        assert_err(datadir_open(&dir, *state, &err), CORRUPT);
    }
    free(text);
}

static void an_unfinished_first_start_is_cleared(void **state)
{
    struct datadir dir;
    struct err err;
    char path[512];
    const char *folders[] = {"wal", "store", "store/aside"};
    const char *gone[] = {"wal/half", "store", "current", "arrival", "generations"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        write_text(path, "half", "x", 0);
    }
    write_text(*state, "current", "x", 0);
    write_text(*state, "arrival", "x", 0);
    write_text(*state, "generations", "x", 0);
    assert_ok(datadir_open(&dir, *state, &err));
    assert_ok(datadir_clear(&dir, &err));
    assert_ok(datadir_clear_stores(&dir, &err));
    for (size_t i = 0; i < ARRAY_COUNT(gone); i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, gone[i]);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_ok(datadir_clear(&dir, &err));
    assert_ok(datadir_clear_stores(&dir, &err));
    datadir_close(&dir);
}

static void a_file_in_its_place_is_refused(void **state)
{
    struct datadir dir;
    struct err err;
    char path[512];
    write_text(*state, "file", "x", 0);
    snprintf(path, sizeof path, "%s/file", (char *)*state);
    assert_err(datadir_open(&dir, path, &err), INVALID);
    assert_non_null(strstr(err.text, path));
}

static int make_folder(void **state)
{
    *state = test_folder_new();
    return 0;
}

static int remove_folder(void **state)
{
    test_folder_remove(*state);
    return 0;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_folder_is_made_and_remembers),
        IN_FOLDER(a_second_start_hears_who_holds_it),
        IN_FOLDER(a_full_disk_is_named),
        IN_FOLDER(every_damaged_byte_of_the_identity_is_refused),
        IN_FOLDER(an_unfinished_first_start_is_cleared),
        IN_FOLDER(a_file_in_its_place_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
