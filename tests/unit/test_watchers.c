/* Who watches, read from a folder that looks like /proc. */
#include "tests/test.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/watchers.h"
#include "proto/base/mem.h"

#define OURS makedev(0, 0x31)
#define LINE(ino, device)                                                                            \
    "inotify wd:1 ino:" ino " sdev:" device " mask:fce ignored_mask:0 fhandle-bytes:c "              \
    "fhandle-type:81 f_handle:000000000100000007000000\n"

static void test_lines(void **state)
{
    (void)state;
    struct watcher watcher;
    uint32_t device;
    assert_true(watcher_parse(LINE("2f", "800031"), &watcher, &device));
    assert_int_equal(watcher.ino, 0x2f);
    assert_int_equal(device, 0x800031);
    assert_int_equal(watcher.handle_size, 12);
    assert_int_equal(watcher.handle_type, 0x81);
    assert_int_equal(watcher.handle[4], 1);
    assert_int_equal(watcher.handle[8], 7);
    assert_true(watcher_parse("inotify wd:1 ino:2f sdev:31 mask:2\n", &watcher, &device));
    assert_int_equal(watcher.handle_size, 0);
    /* a handle that is cut, too long, or no number */
    assert_true(watcher_parse("inotify wd:1 ino:2f sdev:31 mask:2 ignored_mask:0 fhandle-bytes:2 "
                              "fhandle-type:81 f_handle:00\n", &watcher, &device));
    assert_int_equal(watcher.handle_size, 0);
    assert_true(watcher_parse("inotify wd:1 ino:2f sdev:31 fhandle-bytes:ff fhandle-type:81 f_handle:00",
                              &watcher, &device));
    assert_int_equal(watcher.handle_size, 0);
    assert_true(watcher_parse("inotify wd:1 ino:2f sdev:31 fhandle-bytes:1 fhandle-type:81 f_handle:xy",
                              &watcher, &device));
    assert_int_equal(watcher.handle_size, 0);
    assert_false(watcher_parse("pos:\t0\n", &watcher, &device));
    assert_false(watcher_parse("", &watcher, &device));
}

/* A process with one descriptor. */
static void make_process(const char *folder, const char *pid, const char *link, const char *lines)
{
    const char *const names[] = {"", "/fd", "/fdinfo"};
    for (size_t i = 0; i < 3; i++) {
        char *path = mem_xformat("%s/%s%s", folder, pid, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        free(path);
    }
    char *path = mem_xformat("%s/%s/fd/3", folder, pid);
    assert_int_equal(symlink(link, path), 0);
    free(path);
    path = mem_xformat("%s/%s/fdinfo/3", folder, pid);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "pos:\t0\n%s", lines);
    fclose(file);
    free(path);
}

static size_t count(const struct watchers *watchers, uint64_t ino)
{
    size_t found = 0;
    for (size_t place = 0; watchers_find(watchers, ino, &place) != NULL;)
        found++;
    return found;
}

static void test_a_look(void **state)
{
    (void)state;
    char *folder = test_folder_new();
    struct watchers *watchers = watchers_new(folder);
    assert_int_equal(watchers_due_ms(watchers), 0);
    assert_int_equal(count(watchers, 0x2f), 0);
    make_process(folder, "12", "anon_inode:inotify", LINE("2f", "31") LINE("30", "31") LINE("2f", "32"));
    make_process(folder, "13", "anon_inode:inotify", LINE("2f", "31") LINE("1", "31"));
    make_process(folder, "14", "anon_inode:[eventfd]", LINE("40", "31"));
    make_process(folder, "self", "anon_inode:inotify", LINE("41", "31"));
    watchers_look(watchers, OURS);
    assert_true(watchers_due_ms(watchers) > 0);
    assert_int_equal(count(watchers, 0x2f), 2);
    assert_int_equal(count(watchers, 0x30), 1);
    assert_int_equal(count(watchers, 1), 1);
    assert_int_equal(count(watchers, 0x40) + count(watchers, 0x41) + count(watchers, 0x31), 0);
    watchers_look(watchers, makedev(0, 0x32));
    assert_int_equal(count(watchers, 0x2f), 1);
    watchers_free(watchers);
    watchers = watchers_new("/there is no such folder");
    watchers_look(watchers, OURS);
    assert_int_equal(count(watchers, 0x2f), 0);
    watchers_free(watchers);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_a_look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
