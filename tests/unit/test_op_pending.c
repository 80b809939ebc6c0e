/* Names that are being made, and files that are being written, while their folder is listed, removed or
 * renamed, or they are. */
#include "tests/unit/op_file_fixture.h"

#include <linux/fs.h>

static int ask(struct sim_mount *mount, struct kernel_request request)
{
    request.pid = P2;
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

static uint64_t make_directory(struct sim_mount *mount, uint64_t parent, const char *name)
{
    uint64_t node;
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_MKDIR, .node = parent,
                                                        .name = bytes_of_text(name), .mode = 0755}), 0);
    assert_int_equal(sim_lookup(mount, parent, name, &node), 0);
    return node;
}

static int take_away(struct sim_mount *mount, enum kernel_kind kind, uint64_t parent, const char *name)
{
    return ask(mount, (struct kernel_request){.kind = kind, .node = parent,
                                              .name = bytes_of_text(name)});
}

/* Made in a folder, with some bytes that are not saved. */
static void begin_file(struct sim_mount *mount, uint64_t parent, const char *name, struct sim_file *ret)
{
    struct kernel_request request = {.kind = KERNEL_CREATE, .node = parent, .pid = P1,
                                     .name = bytes_of_text(name), .flags = O_WRONLY | O_CREAT,
                                     .mode = S_IFREG | 0644};
    struct sim_call *call = sim_mount_send(mount, &request);
    sim_mount_settle(mount);
    assert_true(call->answered);
    *ret = (struct sim_file){call->answer.entry.node, call->answer.open.handle, O_WRONLY, P1};
    assert_int_equal(sim_mount_wait(mount, call), 0);
    assert_int_equal(sim_write(mount, ret, 0, "content"), 0);
}

/* ---- the file itself is renamed ---- */

static void test_rename_saves_a_pending_name(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/name", "old");
    begin_file(mount, NODE_ROOT, "new", &file);
    assert_int_equal(sim_rename(mount, "new", "name"), 0);
    assert_value(mount, "/name", "content");
    assert_int_equal(sim_write(mount, &file, 7, " and more"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/name", "content and more");
    assert_value(mount, "/new", NULL);
}

/* mkstemp publishes its name at once, and others may have a pending one published. */
static void test_rename_saves_what_is_staged(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    kv_direct_other_put(&mount->direct, "/name", "old");
    assert_int_equal(sim_create(mount, "new", O_WRONLY | O_CREAT | O_EXCL, 0600, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "con"), 0);
    assert_int_equal(sim_open_path(mount, "new", O_WRONLY | O_APPEND, P2, &other), 0);
    assert_int_equal(sim_write(mount, &other, 0, "tent"), 0);
    assert_value(mount, "/new", "");
    assert_int_equal(sim_rename(mount, "new", "name"), 0);
    assert_value(mount, "/name", "content");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_close(mount, &other), 0);
    assert_value(mount, "/name", "content");
}

static void test_exchange_saves_both(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    assert_int_equal(sim_create(mount, "a", O_WRONLY | O_CREAT | O_EXCL, 0600, P1, &file), 0);
    assert_int_equal(sim_create(mount, "b", O_WRONLY | O_CREAT | O_EXCL, 0600, P1, &other), 0);
    assert_int_equal(sim_write(mount, &file, 0, "one"), 0);
    assert_int_equal(sim_write(mount, &other, 0, "two"), 0);
    assert_int_equal(ask(mount, (struct kernel_request){
        .kind = KERNEL_RENAME, .node = NODE_ROOT, .name = bytes_of_text("a"), .new_parent = NODE_ROOT,
        .new_name = bytes_of_text("b"), .flags = RENAME_EXCHANGE}), 0);
    assert_value(mount, "/a", "two");
    assert_value(mount, "/b", "one");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_close(mount, &other), 0);
    assert_value(mount, "/a", "two");
    assert_value(mount, "/b", "one");
}

static void test_rename_leaves_a_bare_truncate(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_rename(mount, "f", "g"), 0);
    assert_value(mount, "/g", "old");
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/g", "new");
}

/* What is known to be overtaken does not move, and nothing has happened. */
static void test_rename_of_what_cannot_be_saved(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    kv_direct_other_put(&mount->direct, "/g", "target");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "x"), 0);
    kv_direct_other_put(&mount->direct, "/f", "other");
    assert_int_equal(sim_rename(mount, "f", "g"), -ESTALE);
    assert_value(mount, "/f", "other");
    assert_value(mount, "/g", "target");
    sim_release(mount, &file);
    sim_mount_settle(mount);
}

/* ---- the folder is removed, or renamed ---- */

static void test_rmdir_sees_pending_names(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t d = make_directory(mount, NODE_ROOT, "d"), e = make_directory(mount, d, "e");
    begin_file(mount, e, "f", &file);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, d, "e"), -ENOTEMPTY);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "d"), -ENOTEMPTY);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/d/e/f", "content");

    begin_file(mount, d, "g", &file);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, d, "g"), 0);
    assert_int_equal(take_away(mount, KERNEL_UNLINK, e, "f"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, d, "e"), 0);
    assert_int_equal(take_away(mount, KERNEL_RMDIR, NODE_ROOT, "d"), 0);
    assert_int_equal(sim_write(mount, &file, 7, " of nobody else"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/d/g", NULL);
}

static void test_rename_onto_a_folder_with_pending_names(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t to = make_directory(mount, NODE_ROOT, "to");
    make_directory(mount, NODE_ROOT, "from");
    begin_file(mount, to, "f", &file);
    assert_int_equal(sim_rename(mount, "from", "to"), -ENOTEMPTY);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/to/f", "content");
}

static void test_pending_names_move_with_their_folder(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, deep;
    uint64_t from = make_directory(mount, NODE_ROOT, "from");
    uint64_t below = make_directory(mount, from, "below");
    begin_file(mount, from, "f", &file);
    begin_file(mount, below, "g", &deep);
    assert_int_equal(sim_rename(mount, "from", "to"), 0);
    assert_int_equal(sim_write(mount, &file, 7, " and more"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_close(mount, &deep), 0);
    assert_value(mount, "/to/f", "content and more");
    assert_value(mount, "/to/below/g", "content");
    assert_value(mount, "/from/f", NULL);
}

/* ---- the folder is listed ---- */

static void close_directory(struct sim_mount *mount, uint64_t node, uint64_t handle)
{
    assert_int_equal(ask(mount, (struct kernel_request){.kind = KERNEL_RELEASEDIR, .node = node,
                                                        .handle = handle, .has_handle = true}), 0);
}

/* One READDIR; adds the names to what is there, with a space behind each, and returns where to go on:
 * the same place when nothing follows. */
static off_t list_some(struct sim_mount *mount, uint64_t node, uint64_t handle, off_t offset, size_t room,
                       struct buf *names)
{
    struct kernel_request request = {.kind = KERNEL_READDIR, .node = node, .handle = handle,
                                     .has_handle = true, .offset = offset, .size = room};
    assert_int_equal(ask(mount, request), 0);
    for (struct bytes rest = buf_bytes(&mount->data); rest.size;) {
        struct sim_entry entry;
        memcpy(&entry, rest.data, sizeof(entry));
        buf_append(names, bytes_of(rest.data + sizeof(entry), entry.name_size));
        buf_append(names, bytes_of_text(" "));
        offset = entry.next;
        rest = bytes_skip(rest, sizeof(entry) + entry.name_size + 1);
    }
    return offset;
}

static void assert_lists_on(struct sim_mount *mount, uint64_t node, uint64_t handle, off_t offset,
                            struct buf *names, const char *expected)
{
    for (off_t before = -1; before != offset;) {
        before = offset;
        offset = list_some(mount, node, handle, offset, 100, names);
    }
    assert_bytes_equal(buf_bytes(names), bytes_of_text(expected));
    buf_clear(names);
}

static void test_pending_names_are_listed(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    struct buf names = {0};
    uint64_t d = make_directory(mount, NODE_ROOT, "d");
    kv_direct_other_put(&mount->direct, "/d/a", "x");
    kv_direct_other_put(&mount->direct, "/d/z", "x");
    begin_file(mount, d, "new", &file);
    begin_file(mount, d, "other", &other);
    uint64_t handle = sim_opendir(mount, d, P2);
    assert_lists_on(mount, d, handle, 0, &names, ". .. new other a z ");

    /* One that is saved while a listing runs is in it once, as is one in the next listing. */
    off_t offset = list_some(mount, d, handle, 0, 100, &names);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_lists_on(mount, d, handle, offset, &names, ". .. new other a z ");
    assert_lists_on(mount, d, handle, 0, &names, ". .. other a new z ");
    assert_int_equal(take_away(mount, KERNEL_UNLINK, d, "other"), 0);
    assert_lists_on(mount, d, handle, 0, &names, ". .. a new z ");
    assert_int_equal(sim_close(mount, &other), 0);
    close_directory(mount, d, handle);
    buf_release(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_rename_saves_a_pending_name),
        WITH_MOUNT(test_rename_saves_what_is_staged),
        WITH_MOUNT(test_exchange_saves_both),
        WITH_MOUNT(test_rename_leaves_a_bare_truncate),
        WITH_MOUNT(test_rename_of_what_cannot_be_saved),
        WITH_MOUNT(test_rmdir_sees_pending_names),
        WITH_MOUNT(test_rename_onto_a_folder_with_pending_names),
        WITH_MOUNT(test_pending_names_move_with_their_folder),
        WITH_MOUNT(test_pending_names_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
