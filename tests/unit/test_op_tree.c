/* Names, request by request: lookup, making, removing, renaming, attributes, listings, the past; and what
 * another host does in between. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/sim/sim_mount.h"

static int setup(void **state)
{
    struct sim_mount *mount = malloc(sizeof(*mount));
    sim_mount_init(mount);
    *state = mount;
    return 0;
}

static int teardown(void **state)
{
    sim_mount_release(*state);
    free(*state);
    return 0;
}

/* ---- requests ---- */

static int ask(struct sim_mount *mount, struct kernel_request request)
{
    if (!request.pid)
        request.pid = P1;
    if (!request.uid)
        request.uid = request.gid = 1000;
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

#define NAME(text) bytes_of_text(text)

static int make_directory(struct sim_mount *mount, uint64_t parent, const char *name)
{
    return ask(mount, (struct kernel_request){.kind = KERNEL_MKDIR, .node = parent,
                                              .name = NAME(name), .mode = 0755});
}

static int make_node(struct sim_mount *mount, uint64_t parent, const char *name, mode_t mode)
{
    return ask(mount, (struct kernel_request){.kind = KERNEL_MKNOD, .node = parent,
                                              .name = NAME(name), .mode = mode, .rdev = 5});
}

static int take_away(struct sim_mount *mount, enum kernel_kind kind, uint64_t parent, const char *name)
{
    return ask(mount, (struct kernel_request){.kind = kind, .node = parent, .name = NAME(name)});
}

static int move(struct sim_mount *mount, uint64_t from, const char *name, uint64_t to,
                const char *new_name, unsigned flags)
{
    return ask(mount, (struct kernel_request){.kind = KERNEL_RENAME, .node = from, .name = NAME(name),
                                              .new_parent = to, .new_name = NAME(new_name),
                                              .flags = (int)flags});
}

static uint64_t found(struct sim_mount *mount, uint64_t parent, const char *name)
{
    uint64_t node = 0;
    assert_int_equal(sim_lookup(mount, parent, name, &node), 0);
    return node;
}

static int missing(struct sim_mount *mount, uint64_t parent, const char *name)
{
    uint64_t node;
    return -sim_lookup(mount, parent, name, &node);
}

static void assert_value(struct sim_mount *mount, const char *key, const char *expected)
{
    struct buf value = {0};
    assert_int_equal(kv_direct_value(&mount->direct, key, &value), expected != NULL);
    if (expected)
        assert_bytes_equal(buf_bytes(&value), bytes_of_text(expected));
    buf_release(&value);
}

static int change_mode(struct sim_mount *mount, uint64_t node, mode_t mode)
{
    struct stat attr = {.st_mode = mode};
    return sim_setattr(mount, node, NULL, KERNEL_SET_MODE, &attr, P1);
}

/* ---- making and removing ---- */

static void test_directories(void **state)
{
    struct sim_mount *mount = *state;
    assert_int_equal(make_directory(mount, NODE_ROOT, "d"), 0);
    assert_int_equal(mount->attr.st_mode, S_IFDIR | 0755);
    assert_int_equal(mount->attr.st_nlink, 2);
    uint64_t d = found(mount, NODE_ROOT, "d");
    assert_int_equal(make_directory(mount, NODE_ROOT, "d"), -EEXIST);
    assert_int_equal(make_directory(mount, d, "e"), 0);
    found(mount, NODE_ROOT, "d");
    assert_int_equal(mount->attr.st_nlink, 3);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "d"), -ENOTEMPTY);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, NODE_ROOT, "d"), -EISDIR);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, d, "e"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "d"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "d"), -ENOENT);
    assert_int_equal(missing(mount, NODE_ROOT, "d"), ENOENT);
    assert_int_equal(make_directory(mount, d, "late"), -ENOENT);
    assert_int_equal(make_node(mount, NODE_ROOT, "f", S_IFREG | 0600), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "f"), -ENOTDIR);
}

/* A directory that only has keys below it stays when the last of them is unlinked, and goes when another
 * host deletes it: then nothing can be made in it any more. */
static void test_directories_of_keys(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/a/b", "1");
    uint64_t a = found(mount, NODE_ROOT, "a");
    ino_t ino = mount->attr.st_ino;
    found(mount, a, "b");
    assert_int_equal(take_away(mount, KERNEL_UNLINK, a, "b"), 0);
    assert_int_equal(found(mount, NODE_ROOT, "a"), a);
    assert_int_equal(mount->attr.st_ino, ino);
    kv_direct_other_put(&mount->direct, "/c/d", "1");
    uint64_t c = found(mount, NODE_ROOT, "c");
    assert_int_equal(make_directory(mount, c, "e"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, c, "e"), 0);
    kv_direct_other_put(&mount->direct, "/x/y", "1");
    uint64_t x = found(mount, NODE_ROOT, "x");
    kv_direct_other_delete(&mount->direct, "/x/y");
    assert_int_equal(make_directory(mount, x, "z"), -ENOENT);
    assert_int_equal(make_node(mount, x, "z", S_IFREG | 0644), -ENOENT);
    assert_int_equal(missing(mount, NODE_ROOT, "x"), ENOENT);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "x"), -ENOENT);
}

/* What the kernel was told of a name is tried first; when that has become another file, the name counts. */
static void test_unlink_of_what_stands_there_now(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/f", "1");
    uint64_t old = found(mount, NODE_ROOT, "f");
    kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_other_put(&mount->direct, "/f", "2");
    assert_int_equal(take_away(mount, KERNEL_UNLINK, NODE_ROOT, "f"), 0);
    assert_value(mount, "/f", NULL);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, NODE_ROOT, "f"), -ENOENT);
    assert_int_equal(sim_getattr(mount, old, P1), 0);
    assert_int_equal(mount->attr.st_nlink, 0);
}

static void test_links_and_nodes(void **state)
{
    struct sim_mount *mount = *state;
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_SYMLINK, .node = NODE_ROOT,
                                                        .name = NAME("l"), .data = NAME("to/there")}), 0);
    assert_int_equal(mount->attr.st_mode, S_IFLNK | 0777);
    assert_int_equal(mount->attr.st_size, 8);
    uint64_t link = found(mount, NODE_ROOT, "l");
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_READLINK, .node = link}), 0);
    assert_true(sim_data_is(mount, "to/there"));
    assert_value(mount, "/l", "to/there");
    assert_int_equal(make_node(mount, NODE_ROOT, "p", S_IFIFO | 0640), 0);
    uint64_t fifo = found(mount, NODE_ROOT, "p");
    struct timespec made = mount->attr.st_mtim;
    assert_int_equal(mount->attr.st_mode, S_IFIFO | 0640);
    assert_int_equal(change_mode(mount, fifo, 0600), 0);
    assert_int_equal(found(mount, NODE_ROOT, "p"), fifo);
    assert_int_equal(mount->attr.st_mode, S_IFIFO | 0600);
    assert_memory_equal(&mount->attr.st_mtim, &made, sizeof(made));
    assert_int_equal(make_node(mount, NODE_ROOT, "c", S_IFCHR | 0600), 0);
    assert_int_equal(mount->attr.st_rdev, 5);
    assert_value(mount, "/p", NULL);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, NODE_ROOT, "p"), 0);
    assert_int_equal(missing(mount, NODE_ROOT, "p"), ENOENT);
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_LINK, .node = link,
                                                        .new_parent = NODE_ROOT,
                                                        .new_name = NAME("m")}), -EPERM);
}

static void test_names_that_cannot_be_made(void **state)
{
    struct sim_mount *mount = *state;
    static const struct {
        const char *name;
        int error;
    } names[] = {{"%41", EINVAL}, {"%@", EINVAL}, {".snapshot", EPERM}, {".fs", EPERM}, {"a%", EINVAL}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(make_directory(mount, NODE_ROOT, names[i].name), -names[i].error);
    char name[NAME_SIZE_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    assert_int_equal(make_directory(mount, NODE_ROOT, name), -ENAMETOOLONG);
    assert_int_equal(missing(mount, NODE_ROOT, "%41"), ENOENT);
    name[NAME_SIZE_MAX] = 0;
    uint64_t parent = NODE_ROOT;
    int error = 0, depth = 0;
    for (; depth < 100 && !error; depth++) {
        error = make_directory(mount, parent, name);
        if (!error)
            parent = found(mount, parent, name);
    }
    assert_int_equal(error, -ENAMETOOLONG);
    assert_true(depth > 16);                    /* more than PATH_MAX */
}

static void test_a_key_that_is_a_directory(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/a", "own");
    uint64_t file = found(mount, NODE_ROOT, "a");
    kv_direct_other_put(&mount->direct, "/a/b", "1");
    uint64_t directory = found(mount, NODE_ROOT, "a");
    assert_true(file != directory);
    assert_true(S_ISDIR(mount->attr.st_mode));
    uint64_t own = found(mount, directory, "%@");
    assert_int_equal(mount->attr.st_size, 3);
    assert_int_equal(change_mode(mount, own, 0600), 0);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, directory, "b"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "a"), -ENOTEMPTY);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, directory, "%@"), 0);
    assert_value(mount, "/a", NULL);
    assert_int_equal(make_node(mount, directory, "%@", S_IFREG | 0644), 0);
    assert_value(mount, "/a", "");
    assert_int_equal(make_node(mount, directory, "%@", S_IFREG | 0644), -EEXIST);
}

/* ---- rename ---- */

static void test_rename_files(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/a", "A");
    kv_direct_other_put(&mount->direct, "/b", "B");
    uint64_t a = found(mount, NODE_ROOT, "a");
    ino_t ino = mount->attr.st_ino;
    uint64_t b = found(mount, NODE_ROOT, "b");
    ino_t other = mount->attr.st_ino;
    assert_int_equal(move(mount, NODE_ROOT, "a", NODE_ROOT, "b", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(move(mount, NODE_ROOT, "a", NODE_ROOT, "b", RENAME_EXCHANGE), 0);
    assert_value(mount, "/a", "B");
    assert_int_equal(found(mount, NODE_ROOT, "a"), b);
    assert_int_equal(mount->attr.st_ino, other);
    assert_int_equal(move(mount, NODE_ROOT, "a", NODE_ROOT, "c", RENAME_NOREPLACE), 0);
    assert_int_equal(move(mount, NODE_ROOT, "b", NODE_ROOT, "c", 0), 0);
    assert_value(mount, "/c", "A");
    assert_value(mount, "/b", NULL);
    assert_int_equal(found(mount, NODE_ROOT, "c"), a);
    assert_int_equal(mount->attr.st_ino, ino);
    assert_int_equal(move(mount, NODE_ROOT, "b", NODE_ROOT, "d", 0), -ENOENT);
    assert_int_equal(move(mount, NODE_ROOT, "c", NODE_ROOT, "d", RENAME_EXCHANGE), -ENOENT);
    assert_int_equal(move(mount, NODE_ROOT, "c", NODE_ROOT, "d", 4), -EINVAL);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, NODE_ROOT, "c"), 0);
}

static void test_rename_directories(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/from/x/y", "1");
    kv_direct_other_put(&mount->direct, "/full/z", "2");
    kv_direct_other_put(&mount->direct, "/file", "3");
    assert_int_equal(make_directory(mount, NODE_ROOT, "empty"), 0);
    uint64_t from = found(mount, NODE_ROOT, "from");
    ino_t ino = mount->attr.st_ino;
    uint64_t y = found(mount, found(mount, from, "x"), "y");
    found(mount, NODE_ROOT, "full");
    assert_int_equal(move(mount, NODE_ROOT, "from", NODE_ROOT, "full", 0), -ENOTEMPTY);
    assert_int_equal(move(mount, NODE_ROOT, "from", NODE_ROOT, "file", 0), -ENOTDIR);
    assert_int_equal(move(mount, NODE_ROOT, "file", NODE_ROOT, "full", 0), -EISDIR);
    assert_int_equal(move(mount, NODE_ROOT, "from", NODE_ROOT, "empty", 0), 0);
    assert_value(mount, "/empty/x/y", "1");
    assert_value(mount, "/from/x/y", NULL);
    assert_int_equal(found(mount, NODE_ROOT, "empty"), from);
    assert_int_equal(mount->attr.st_ino, ino);
    assert_int_equal(sim_getattr(mount, y, P1), 0);     /* its key has changed with its parents' */
    assert_int_equal(move(mount, NODE_ROOT, "empty", NODE_ROOT, "full", RENAME_EXCHANGE), 0);
    assert_value(mount, "/full/x/y", "1");
    assert_value(mount, "/empty/z", "2");
    assert_int_equal(found(mount, NODE_ROOT, "full"), from);
    assert_int_equal(move(mount, NODE_ROOT, "full", from, "inside", 0), -EINVAL);
}

/* The last name leaves a directory without a record: the directory stays. */
static void test_rename_keeps_the_parent(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/a/f", "1");
    kv_direct_other_put(&mount->direct, "/b/g", "2");
    uint64_t a = found(mount, NODE_ROOT, "a"), b = found(mount, NODE_ROOT, "b");
    found(mount, a, "f");
    assert_int_equal(move(mount, a, "f", b, "f", 0), 0);
    assert_int_equal(found(mount, NODE_ROOT, "a"), a);
    kv_direct_other_delete(&mount->direct, "/b/g");
    kv_direct_other_delete(&mount->direct, "/b/f");
    kv_direct_other_put(&mount->direct, "/h", "3");
    assert_int_equal(move(mount, NODE_ROOT, "h", b, "h", 0), -ENOENT);
    assert_value(mount, "/h", "3");
}

/* ---- attributes ---- */

static void test_modes_die_with_their_key(void **state)
{
    struct sim_mount *mount = *state;
    kv_rev put = kv_direct_other_put(&mount->direct, "/f", "1");
    uint64_t node = found(mount, NODE_ROOT, "f");
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0644);
    assert_int_equal(change_mode(mount, node, 0600), 0);
    struct stat owner = {.st_uid = 3, .st_gid = 4};
    assert_int_equal(sim_setattr(mount, node, NULL, KERNEL_SET_UID | KERNEL_SET_GID, &owner, P1), 0);
    assert_int_equal(found(mount, NODE_ROOT, "f"), node);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(mount->attr.st_uid, 3);
    kv_direct_other_put(&mount->direct, "/f", "22");    /* content alone: the mode stays */
    found(mount, NODE_ROOT, "f");
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(mount->attr.st_size, 2);
    kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_other_put(&mount->direct, "/f", "3");
    assert_true(found(mount, NODE_ROOT, "f") != node);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0644);
    assert_int_equal(change_mode(mount, node, 0777), -ESTALE);
    assert_true(put > 0);
}

static void test_times(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/f", "1");
    uint64_t node = found(mount, NODE_ROOT, "f");
    struct stat attr = {.st_mtim = {77, 7}, .st_atim = {66, 6}};
    assert_int_equal(sim_setattr(mount, node, NULL, KERNEL_SET_MTIME | KERNEL_SET_ATIME, &attr, P1), 0);
    assert_int_equal(change_mode(mount, node, 0600), 0);
    found(mount, NODE_ROOT, "f");
    assert_int_equal(mount->attr.st_mtim.tv_sec, 77);
    assert_int_equal(mount->attr.st_atim.tv_nsec, 6);
    assert_true(mount->attr.st_ctim.tv_nsec != 7);
    kv_direct_other_put(&mount->direct, "/f", "2");     /* a new content has a new time */
    found(mount, NODE_ROOT, "f");
    assert_true(mount->attr.st_mtim.tv_sec != 77);
    assert_int_equal(make_directory(mount, NODE_ROOT, "d"), 0);
    uint64_t d = found(mount, NODE_ROOT, "d");
    assert_int_equal(sim_setattr(mount, d, NULL, KERNEL_SET_MTIME, &attr, P1), 0);
    found(mount, NODE_ROOT, "d");
    assert_int_equal(mount->attr.st_mtim.tv_sec, 77);
    assert_int_equal(make_directory(mount, d, "e"), 0);
    found(mount, NODE_ROOT, "d");
    assert_true(mount->attr.st_mtim.tv_sec != 77);
}

static int set_xattr(struct sim_mount *mount, uint64_t node, const char *name, const char *value,
                     int flags)
{
    return ask(mount, (struct kernel_request){.kind = KERNEL_SETXATTR, .node = node,
                                              .name = NAME(name), .data = NAME(value),
                                              .flags = flags});
}

static void test_xattrs(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/f", "1");
    uint64_t node = found(mount, NODE_ROOT, "f");
    assert_int_equal(set_xattr(mount, node, "user.b", "2", 0), 0);
    assert_int_equal(set_xattr(mount, node, "user.a", "1", XATTR_CREATE), 0);
    assert_int_equal(set_xattr(mount, node, "user.a", "1", XATTR_CREATE), -EEXIST);
    assert_int_equal(set_xattr(mount, node, "user.c", "1", XATTR_REPLACE), -ENODATA);
    assert_int_equal(set_xattr(mount, node, "security.selinux", "1", 0), -EOPNOTSUPP);
    struct kernel_request get = {.kind = KERNEL_GETXATTR, .node = node, .name = NAME("user.b"),
                                 .size = 100};
    assert_int_equal(ask(mount, get), 0);
    assert_true(sim_data_is(mount, "2"));
    get.name = NAME("user.none");
    assert_int_equal(ask(mount, get), -ENODATA);
    get.name = NAME("user.b");
    assert_int_equal(set_xattr(mount, node, "user.b", "longer", XATTR_REPLACE), 0);
    get.size = 3;
    assert_int_equal(ask(mount, get), -ERANGE);
    struct kernel_request list = {.kind = KERNEL_LISTXATTR, .node = node, .size = 100};
    assert_int_equal(ask(mount, list), 0);
    assert_bytes_equal(buf_bytes(&mount->data), BYTES_LITERAL("user.a\0user.b\0"));
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_REMOVEXATTR, .node = node,
                                                        .name = NAME("user.a")}), 0);
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_REMOVEXATTR, .node = node,
                                                        .name = NAME("user.a")}), -ENODATA);
    char *big = malloc(XATTR_SIZE_MAX + 1);
    memset(big, 'x', XATTR_SIZE_MAX);
    big[XATTR_SIZE_MAX] = 0;
    assert_int_equal(set_xattr(mount, node, "user.big", big, 0), -ENOSPC);
    free(big);
    assert_value(mount, "/f", "1");
}

/* ---- listing ---- */

struct listing {
    char *names[2000];
    off_t next[2000];
    size_t count;
};

/* One READDIR's entries behind what is there; how many. */
static size_t read_some(struct sim_mount *mount, uint64_t node, uint64_t handle, off_t offset,
                        size_t room, struct listing *listing)
{
    struct kernel_request request = {.kind = KERNEL_READDIR, .node = node, .handle = handle,
                                     .has_handle = true, .offset = offset, .size = room};
    assert_int_equal(ask(mount, request), 0);
    struct bytes rest = buf_bytes(&mount->data);
    size_t before = listing->count;
    while (rest.size) {
        struct sim_entry entry;
        memcpy(&entry, rest.data, sizeof(entry));
        listing->names[listing->count] = strdup((const char *)rest.data + sizeof(entry));
        listing->next[listing->count++] = entry.next;
        rest = bytes_skip(rest, sizeof(entry) + entry.name_size + 1);
    }
    return listing->count - before;
}

static void read_all(struct sim_mount *mount, uint64_t node, uint64_t handle, struct listing *listing)
{
    off_t offset = listing->count ? listing->next[listing->count - 1] : 0;
    while (read_some(mount, node, handle, offset, 1000, listing))
        offset = listing->next[listing->count - 1];
}

static void close_directory(struct sim_mount *mount, uint64_t node, uint64_t handle)
{
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_RELEASEDIR, .node = node,
                                                        .handle = handle, .has_handle = true}), 0);
}

static void listing_clear(struct listing *listing)
{
    while (listing->count)
        free(listing->names[--listing->count]);
}

static size_t count_of(const struct listing *listing, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++)
        count += !strcmp(listing->names[i], name);
    return count;
}

static void put_number(struct sim_mount *mount, const char *head, int number, const char *tail)
{
    char key[64];
    snprintf(key, sizeof(key), "/d/%s%04d%s", head, number, tail);
    kv_direct_other_put(&mount->direct, key, "x");
}

static void test_listing_with_names_coming_and_going(void **state)
{
    struct sim_mount *mount = *state;
    static struct listing listing;
    for (int i = 0; i < 900; i++)
        put_number(mount, "n", i, "");
    uint64_t d = found(mount, NODE_ROOT, "d");
    uint64_t handle = sim_opendir(mount, d, P1);
    off_t offset = 0;
    for (int round = 0; read_some(mount, d, handle, offset, 2000, &listing); round++) {
        offset = listing.next[listing.count - 1];
        put_number(mount, "a", round, "");           /* before everything */
        put_number(mount, "n", round * 7, "x");      /* in between */
        char key[32];
        snprintf(key, sizeof(key), "/d/n%04d", 899 - 10 * (round % 80));
        kv_direct_other_delete(&mount->direct, key);
    }
    for (int i = 0; i < 900; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%04d", i);
        if (i % 10 != 9)
            assert_int_equal(count_of(&listing, name), 1);
        assert_true(count_of(&listing, name) <= 1);
    }
    /* From the start again: as it is now. */
    static struct listing again;
    read_all(mount, d, handle, &again);
    assert_int_equal(count_of(&again, "a0000"), 1);
    /* Back to any place: the same entry follows. */
    for (size_t i = 0; i + 1 < again.count; i += 37) {
        static struct listing one;
        assert_true(read_some(mount, d, handle, again.next[i], 100, &one) > 0);
        assert_string_equal(one.names[0], again.names[i + 1]);
        listing_clear(&one);
    }
    /* An old place whose entry has gone: what came after it is still all there. */
    static struct listing rest;
    kv_direct_other_delete(&mount->direct, "/d/n0300");
    size_t at = 0;
    while (strcmp(again.names[at], "n0300"))
        at++;
    while (read_some(mount, d, handle, rest.count ? rest.next[rest.count - 1] : again.next[at], 1000,
                     &rest))
        continue;
    assert_int_equal(count_of(&rest, "n0302"), 1);
    assert_int_equal(count_of(&rest, "n0898"), 1);
    listing_clear(&listing);
    listing_clear(&again);
    listing_clear(&rest);
    close_directory(mount, d, handle);
}

static void test_what_a_listing_shows(void **state)
{
    struct sim_mount *mount = *state;
    static struct listing listing;
    char key[800] = "/d/";
    memset(key + 3, 'l', 700);
    kv_direct_other_put(&mount->direct, key, "long");
    strcat(key, "2");
    kv_direct_other_put(&mount->direct, key, "longer");
    kv_direct_other_put(&mount->direct, "/d", "own");
    kv_direct_other_put(&mount->direct, "/d/100%", "1");
    kv_direct_other_put(&mount->direct, "/d/", "2");
    kv_direct_other_put(&mount->direct, "/d/.snapshot", "3");
    uint64_t d = found(mount, NODE_ROOT, "d");
    uint64_t handle = sim_opendir(mount, d, P1);
    read_all(mount, d, handle, &listing);
    assert_int_equal(listing.count, 2 + 5);
    assert_int_equal(count_of(&listing, "%@"), 1);
    assert_int_equal(count_of(&listing, "100%25"), 1);
    assert_int_equal(count_of(&listing, "%_"), 1);
    assert_int_equal(count_of(&listing, "%2Esnapshot"), 1);
    close_directory(mount, d, handle);
    /* Into the long one, chunk by chunk. */
    const char *chunk = listing.names[listing.count - 1];
    uint64_t first = found(mount, d, chunk);
    assert_true(S_ISDIR(mount->attr.st_mode));
    static struct listing inner, innermost;
    handle = sim_opendir(mount, first, P1);
    read_all(mount, first, handle, &inner);
    assert_int_equal(inner.count, 3);
    close_directory(mount, first, handle);
    uint64_t second = found(mount, first, inner.names[2]);
    handle = sim_opendir(mount, second, P1);
    read_all(mount, second, handle, &innermost);
    assert_int_equal(innermost.count, 4);
    close_directory(mount, second, handle);
    found(mount, second, innermost.names[3]);
    assert_int_equal(mount->attr.st_size, 6);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, second, innermost.names[3]), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, first, inner.names[2]), -ENOTEMPTY);
    found(mount, second, innermost.names[2]);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, second, innermost.names[2]), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, first, inner.names[2]), 0);
    assert_int_equal(missing(mount, d, chunk), ENOENT);
    listing_clear(&listing);
    listing_clear(&inner);
    listing_clear(&innermost);
}

/* ---- the past, and the control files ---- */

static void test_the_past(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    char name[24];
    kv_direct_other_put(&mount->direct, "/d/f", "old");
    kv_direct_other_put(&mount->direct, "/d/stays", "1");
    assert_int_equal(change_mode(mount, found(mount, found(mount, NODE_ROOT, "d"), "f"), 0600), 0);
    struct kv_status status;
    kv_status_get(&mount->direct.kv, &status);
    kv_rev then = status.revision;
    kv_direct_other_put(&mount->direct, "/d/f", "new");
    kv_direct_other_delete(&mount->direct, "/d/f");
    uint64_t d = found(mount, NODE_ROOT, "d");
    snprintf(name, sizeof(name), "%lld", (long long)then);
    uint64_t past = found(mount, found(mount, d, ".snapshot"), name);
    assert_true(S_ISDIR(mount->attr.st_mode));
    assert_true(mount->attr.st_ino >> 63);
    uint64_t f = found(mount, past, "f");
    assert_int_equal(mount->attr.st_size, 3);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(sim_open(mount, f, O_RDONLY, P1, &file), 0);
    assert_int_equal(sim_read(mount, &file, 0, 100), 0);
    assert_true(sim_data_is(mount, "old"));
    sim_release(mount, &file);
    assert_int_equal(sim_open(mount, f, O_WRONLY, P1, &file), -EROFS);
    assert_int_equal(make_directory(mount, past, "x"), -EROFS);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, past, "f"), -EROFS);
    assert_int_equal(change_mode(mount, f, 0777), -EROFS);
    assert_int_equal(move(mount, past, "f", NODE_ROOT, "f", 0), -EROFS);
    assert_int_equal(missing(mount, past, ".snapshot"), ENOENT);
}

static mode_t mode_of(struct sim_mount *mount, uint64_t parent, const char *name)
{
    found(mount, parent, name);
    return mount->attr.st_mode;
}

/* What is closed today is closed in the past; what is gone today is as it was. */
static void test_today_closes_the_past(void **state)
{
    struct sim_mount *mount = *state;
    char name[24];
    kv_direct_other_put(&mount->direct, "/d/f", "1");
    kv_direct_other_put(&mount->direct, "/d/g", "1");
    kv_rev then = kv_direct_other_put(&mount->direct, "/d/sub/x", "1");
    uint64_t d = found(mount, NODE_ROOT, "d"), f = found(mount, d, "f");
    assert_int_equal(change_mode(mount, f, 0600), 0);
    assert_int_equal(change_mode(mount, found(mount, d, "sub"), 0700), 0);
    assert_int_equal(change_mode(mount, found(mount, d, "g"), 0777), 0);
    snprintf(name, sizeof(name), "%lld", (long long)then);
    uint64_t past = found(mount, found(mount, d, ".snapshot"), name);
    uint64_t past_f = found(mount, past, "f");
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(mode_of(mount, past, "sub"), S_IFDIR | 0700);
    assert_int_equal(mode_of(mount, past, "g"), S_IFREG | 0644);        /* never opened further */
    assert_int_equal(change_mode(mount, f, 0640), 0);
    assert_int_equal(sim_getattr(mount, past_f, P1), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0640);
    assert_int_equal(change_mode(mount, d, 0710), 0);                   /* the revision's own */
    assert_int_equal(sim_getattr(mount, past, P1), 0);
    assert_int_equal(mount->attr.st_mode, S_IFDIR | 0710);
    kv_direct_other_put(&mount->direct, "/d/f/below", "1");             /* f's value is in "f/%@" today */
    assert_int_equal(mode_of(mount, past, "f"), S_IFREG | 0640);
    kv_direct_other_delete(&mount->direct, "/d/f");                     /* a directory stands there */
    assert_int_equal(mode_of(mount, past, "f"), S_IFREG | 0644);
    kv_direct_other_delete(&mount->direct, "/d/g");
    assert_int_equal(mode_of(mount, past, "g"), S_IFREG | 0644);
}

static void test_names_of_the_past(void **state)
{
    struct sim_mount *mount = *state;
    static struct listing listing;
    kv_rev first = kv_direct_other_put(&mount->direct, "/f", "1");
    kv_rev second = kv_direct_other_put(&mount->direct, "/f", "2");
    kv_direct_other_put(&mount->direct, "/g", "3");
    uint64_t snapshots = found(mount, NODE_ROOT, ".snapshot");
    static const char *const none[] = {"0", "02", "1000", "-1", "x", "99999999999999999999", "2 ", "+2"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_int_equal(missing(mount, snapshots, none[i]), ENOENT);
    char name[24];
    snprintf(name, sizeof(name), "%lld", (long long)second);
    uint64_t past = found(mount, snapshots, name);
    assert_int_equal(missing(mount, past, "g"), ENOENT);
    uint64_t handle = sim_opendir(mount, past, P1);
    read_all(mount, past, handle, &listing);
    assert_int_equal(listing.count, 3);
    assert_int_equal(count_of(&listing, "f"), 1);
    close_directory(mount, past, handle);
    listing_clear(&listing);
    handle = sim_opendir(mount, NODE_ROOT, P1);
    read_all(mount, NODE_ROOT, handle, &listing);
    assert_int_equal(count_of(&listing, ".snapshot") + count_of(&listing, ".fs"), 0);
    close_directory(mount, NODE_ROOT, handle);
    listing_clear(&listing);
    kv_direct_compact(&mount->direct, second);
    snprintf(name, sizeof(name), "%lld", (long long)first);
    assert_int_equal(missing(mount, snapshots, name), ENOENT);
}

static void test_control_files(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t control = found(mount, NODE_ROOT, ".fs");
    uint64_t revision = found(mount, control, "revision");
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0444);
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_open(mount, revision, O_RDONLY, P1, &file), 0);
    assert_int_equal(sim_read(mount, &file, 0, 100), 0);
    assert_true(sim_data_is(mount, "2\n"));
    assert_int_equal(sim_read(mount, &file, 2, 100), 0);
    assert_int_equal(mount->data.size, 0);
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    sim_release(mount, &file);
    assert_int_equal(sim_open(mount, revision, O_WRONLY, P1, &file), -EROFS);
    assert_int_equal(change_mode(mount, revision, 0777), -EROFS);
    assert_int_equal(missing(mount, control, "nothing"), ENOENT);
    assert_int_equal(make_directory(mount, control, "d"), -EROFS);
    assert_int_equal(sim_open(mount, found(mount, control, "status"), O_RDONLY, P1, &file), 0);
    /* and the mount ends while that one is open */
}

/* ---- what is believed, and errors ---- */

static void test_errors_of_the_cluster(void **state)
{
    struct sim_mount *mount = *state;
    static const struct {
        enum err_code code;
        int write, read;
    } rows[] = {
        {ERR_NO_LEADER, EROFS, ETIMEDOUT}, {ERR_BUSY, ETIMEDOUT, ETIMEDOUT},
        {ERR_TIMEOUT, ETIMEDOUT, ETIMEDOUT}, {ERR_NO_SPACE, ENOSPC, ENOSPC}, {ERR_IO, EIO, EIO},
        {ERR_CANCELED, EINTR, EINTR}, {ERR_TOO_WIDE, EXDEV, EXDEV}, {ERR_COMPACTED, ENOENT, ENOENT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mount->direct.refuse_writes = rows[i].code;
        assert_int_equal(make_directory(mount, NODE_ROOT, "d"), -rows[i].write);
        mount->direct.refuse_writes = ERR_OK;
        mount->direct.refuse_reads = rows[i].code;
        assert_int_equal(missing(mount, NODE_ROOT, "d"), rows[i].read);
        mount->direct.refuse_reads = ERR_OK;
    }
    assert_int_equal(make_directory(mount, NODE_ROOT, "d"), 0);
}

static void test_stale_nodes(void **state)
{
    struct sim_mount *mount = *state;
    assert_int_equal(sim_getattr(mount, 12345, P1), -ESTALE);
    assert_int_equal(sim_getattr(mount, 0, P1), -ESTALE);
    kv_direct_other_put(&mount->direct, "/f", "1");
    uint64_t node = found(mount, NODE_ROOT, "f");
    fs_forget(mount->fs, node, 1);
    assert_int_equal(sim_getattr(mount, node, P1), -ESTALE);
    assert_int_equal(mount->fs->nodes.node_count, 1);
    fs_forget(mount->fs, NODE_ROOT, 100);
    assert_int_equal(sim_getattr(mount, NODE_ROOT, P1), 0);
}

static int64_t entry_timeout(struct sim_mount *mount, const char *name, int64_t *ret_attr)
{
    struct kernel_request request = {.kind = KERNEL_LOOKUP, .node = NODE_ROOT, .name = NAME(name)};
    struct sim_call *call = sim_mount_send(mount, &request);
    sim_mount_settle(mount);
    int64_t timeout = call->answer.entry.entry_timeout_ns;
    *ret_attr = call->answer.entry.attr_timeout_ns;
    sim_call_free(call);
    return timeout;
}

static void test_timeouts(void **state)
{
    struct sim_mount *mount = *state;
    int64_t attr;
    kv_direct_other_put(&mount->direct, "/f", "1");
    mount->direct.status.alone = false;
    assert_int_equal(entry_timeout(mount, "f", &attr), 0);
    assert_int_equal(attr, 1);
    mount->direct.status.alone = true;
    assert_int_equal(entry_timeout(mount, "f", &attr), 1000000000);
    assert_int_equal(attr, 1000000000);
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &file), 0);
    entry_timeout(mount, "f", &attr);
    assert_int_equal(attr, 0);                  /* who asks decides what is shown */
    sim_release(mount, &file);
}

static void test_a_lookup_that_was_not_taken(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/f", "1");
    struct kernel_request request = {.kind = KERNEL_LOOKUP, .node = NODE_ROOT, .name = NAME("f")};
    mount->kernel.refuse_next = true;
    struct sim_call *call = sim_mount_send(mount, &request);
    sim_mount_settle(mount);
    sim_call_free(call);
    assert_int_equal(mount->fs->nodes.node_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(directories), TEST(directories_of_keys), TEST(unlink_of_what_stands_there_now),
        TEST(links_and_nodes), TEST(names_that_cannot_be_made), TEST(a_key_that_is_a_directory),
        TEST(rename_files), TEST(rename_directories), TEST(rename_keeps_the_parent),
        TEST(modes_die_with_their_key), TEST(times), TEST(xattrs),
        TEST(listing_with_names_coming_and_going), TEST(what_a_listing_shows),
        TEST(the_past), TEST(today_closes_the_past),
        TEST(names_of_the_past), TEST(control_files),
        TEST(errors_of_the_cluster), TEST(stale_nodes), TEST(timeouts),
        TEST(a_lookup_that_was_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
