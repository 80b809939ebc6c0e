/* Paths below a folder: what lies beside it is never reached, in either way of walking. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/beneath.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

struct way {
    const char *name;
    int (*open)(int root, const char *path, struct beneath *ret);
    int (*find)(const struct beneath *beneath, int *ret_fd);
};

static const struct way ways[] = {
    {"at once", beneath_open, beneath_find},
    {"name by name", beneath_walk, beneath_find_walking},
};

/* FOLDER/in with directories, links and a file; FOLDER/out beside it. */
struct fixture {
    char *folder;
    dev_t device;
    int root;
};

static void make_tree(const char *folder)
{
    char *command = mem_xformat("cd '%s' && mkdir -p in/a/b out/b && "
                                "echo 1 >in/a/b/file && echo 1 >out/b/file && "
                                "ln -s ../out in/away && ln -s \"$PWD/out\" in/far && "
                                "ln -s a in/near && ln -s ../../../out/b/file in/a/b/link && "
                                "ln -s /proc/self/root in/magic",
                                folder);
    assert_int_equal(system(command), 0);
    free(command);
}

static int fixture_up(void **state)
{
    struct fixture *fixture = mem_xzalloc(sizeof(*fixture));
    struct stat attr;
    fixture->folder = test_folder_new();
    make_tree(fixture->folder);
    char *path = mem_xformat("%s/in", fixture->folder);
    assert_int_equal(stat(path, &attr), 0);
    fixture->device = attr.st_dev;
    assert_int_equal(beneath_root(path, attr.st_dev, &fixture->root), 0);
    free(path);
    *state = fixture;
    return 0;
}

static int fixture_down(void **state)
{
    struct fixture *fixture = *state;
    close(fixture->root);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static const struct {
    const char *path;
    int error, other;           /* one of them, as the way of walking has it */
} refused[] = {
    {"away/b/file", ELOOP, ENOTDIR},
    {"far/b/file", ELOOP, ENOTDIR},
    {"near/b/file", ELOOP, ENOTDIR},            /* also one that stays within */
    {"magic/etc/passwd", ELOOP, ENOTDIR},
    {"a/b/link/x", ELOOP, ENOTDIR},
    {"a/b/file/x", ENOTDIR, ENOTDIR},
    {"../out/b/file", EINVAL, EINVAL},
    {"a/../../out/b/file", EINVAL, EINVAL},
    {"a/..", EINVAL, EINVAL},
    {"..", EINVAL, EINVAL},
    {".", EINVAL, EINVAL},
    {"./a", EINVAL, EINVAL},
    {"", EINVAL, EINVAL},
    {"a/", EINVAL, EINVAL},
    {"a//b", EINVAL, EINVAL},
    {"/etc/passwd", EINVAL, EINVAL},
    {"none/file", ENOENT, ENOENT},
};

static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        for (size_t way = 0; way < 2; way++) {
            struct beneath beneath = BENEATH_NONE;
            int error = ways[way].open(fixture->root, refused[i].path, &beneath);
            if (error != refused[i].error && error != refused[i].other)
                fail_msg("\"%s\" %s: %s", refused[i].path, ways[way].name, strerror(error));
            assert_int_equal(beneath.directory, -1);
        }
    }
}

static mode_t type_at(const struct fixture *fixture, const struct way *way, const char *path)
{
    struct beneath beneath = BENEATH_NONE;
    struct stat attr;
    int fd = -1;
    assert_int_equal(way->open(fixture->root, path, &beneath), 0);
    int error = way->find(&beneath, &fd);
    beneath_close(&beneath);
    if (error) {
        assert_int_equal(error, ENOENT);
        return 0;
    }
    assert_int_equal(fstat(fd, &attr), 0);
    assert_int_equal(attr.st_dev, fixture->device);
    close(fd);
    return attr.st_mode & S_IFMT;
}

static void test_found(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(type_at(*state, &ways[i], "a"), S_IFDIR);
        assert_int_equal(type_at(*state, &ways[i], "a/b/file"), S_IFREG);
        assert_int_equal(type_at(*state, &ways[i], "a/b/link"), S_IFLNK);       /* the link itself */
        assert_int_equal(type_at(*state, &ways[i], "away"), S_IFLNK);
        assert_int_equal(type_at(*state, &ways[i], "a/b/none"), 0);
        assert_int_equal(type_at(*state, &ways[i], "..."), 0);
    }
}

/* ---- drawn paths, against what lstat says of each directory on the way ---- */

#define DRAWN_PATHS 5000

static void draw_path(struct rand *rand, char *to, size_t room)
{
    static const char *const names[] = {"a", "a", "b", "b", "a", "b", "file", "link", "near", "away", "far",
                                        "none", "..", ".", "", "out"};
    size_t size = 0, count = 1 + rand_below(rand, 4);
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(to + size, room - size, "%s%s", i ? "/" : "",
                                 names[rand_below(rand, sizeof(names) / sizeof(*names))]);
}

/* What the path leads to if every name is a plain one and all but the last are directories; else 0. */
static ino_t lies_at(const struct fixture *fixture, const char *path)
{
    char step[256] = "";
    struct stat attr = {.st_mode = S_IFDIR};
    for (const char *name = path;; name += strcspn(name, "/") + 1) {
        size_t size = strcspn(name, "/");
        bool is_dots = size <= 2 && strncmp(name, "..", size) == 0;
        snprintf(step, sizeof(step), "%.*s", (int)(name + size - path), path);
        if (is_dots || !S_ISDIR(attr.st_mode) ||
            fstatat(fixture->root, step, &attr, AT_SYMLINK_NOFOLLOW) != 0)
            return 0;
        if (name[size] == 0)
            return attr.st_ino;
    }
}

static ino_t reached(const struct fixture *fixture, const struct way *way, const char *path)
{
    struct beneath beneath = BENEATH_NONE;
    struct stat attr = {0};
    int fd = -1;
    if (way->open(fixture->root, path, &beneath) != 0)
        return 0;
    if (way->find(&beneath, &fd) == 0) {
        assert_int_equal(fstat(fd, &attr), 0);
        close(fd);
    }
    beneath_close(&beneath);
    return attr.st_ino;
}

static void test_drawn(void **state)
{
    struct fixture *fixture = *state;
    struct rand rand;
    char path[64];
    int found = 0;
    rand_init(&rand, 1);
    for (int i = 0; i < DRAWN_PATHS; i++) {
        draw_path(&rand, path, sizeof(path));
        ino_t wanted = lies_at(fixture, path);
        found += wanted != 0;
        for (size_t way = 0; way < 2; way++)
            if (reached(fixture, &ways[way], path) != wanted)
                fail_msg("\"%s\" %s", path, ways[way].name);
    }
    assert_true(found > DRAWN_PATHS / 20);
}

/* A directory is a link by the time that what lies in it is to be changed. */
static void test_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct beneath beneath = BENEATH_NONE;
    struct stat attr;
    assert_int_equal(beneath_open(fixture->root, "a/b/file", &beneath), 0);
    assert_int_equal(renameat(fixture->root, "a", fixture->root, "old"), 0);
    assert_int_equal(symlinkat("../out", fixture->root, "a"), 0);
    assert_int_equal(unlinkat(beneath.directory, beneath.name, 0), 0);
    beneath_close(&beneath);
    assert_int_not_equal(fstatat(fixture->root, "old/b/file", &attr, 0), 0);
    assert_int_equal(fstatat(fixture->root, "a/b/file", &attr, 0), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_not_equal(ways[i].open(fixture->root, "a/b/file", &beneath), 0);
}

static void test_other_device(void **state)
{
    struct fixture *fixture = *state;
    int root = -1;
    assert_int_equal(beneath_root(fixture->folder, fixture->device + 1, &root), EXDEV);
    char *path = mem_xformat("%s/in/a/b/file", fixture->folder);
    assert_int_equal(beneath_root(path, fixture->device, &root), ENOTDIR);
    free(path);
    assert_int_equal(root, -1);
}

/* In a child with mounts of its own: something lies on "a". 0: it is never reached. */
static int look_below_mount(const struct fixture *fixture)
{
    char *path = mem_xformat("%s/in/a", fixture->folder);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", path, "tmpfs", 0, NULL) != 0)
        return 77;
    char *below = mem_xformat("%s/b", path);
    int root = -1, fd = -1, made = mkdir(below, 0700);
    char *folder = mem_xformat("%s/in", fixture->folder);
    if (made != 0 || beneath_root(folder, fixture->device, &root) != 0)
        return 1;
    for (size_t i = 0; i < 2; i++) {
        struct beneath beneath = BENEATH_NONE;
        if (ways[i].open(root, "a/b/file", &beneath) != EXDEV ||
            ways[i].open(root, "a/x", &beneath) != EXDEV)
            return 2;
        if (ways[i].open(root, "a", &beneath) != 0 || ways[i].find(&beneath, &fd) != EXDEV)
            return 3;
        beneath_close(&beneath);
    }
    return 0;
}

static void test_mount_on_top(void **state)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(look_below_mount(*state));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused, fixture_up, fixture_down),
        cmocka_unit_test_setup_teardown(test_found, fixture_up, fixture_down),
        cmocka_unit_test_setup_teardown(test_drawn, fixture_up, fixture_down),
        cmocka_unit_test_setup_teardown(test_replaced, fixture_up, fixture_down),
        cmocka_unit_test_setup_teardown(test_other_device, fixture_up, fixture_down),
        cmocka_unit_test_setup_teardown(test_mount_on_top, fixture_up, fixture_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
