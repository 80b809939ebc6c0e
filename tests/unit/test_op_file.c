/* Saving open files, request by request as kernels were seen to send them. */
#include "tests/unit/op_file_fixture.h"

/* ---- saving ---- */

/* echo 8080 > port: OPEN, SETATTR, FLUSH (of the first descriptor), WRITE, FLUSH. */
static void test_shell_redirection(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, reader;
    kv_direct_other_put(&mount->direct, "/port", "80\n");
    assert_int_equal(sim_open_path(mount, "port", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(mount->attr.st_size, 3);           /* a reader's pages are not to go */
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    assert_int_equal(sim_write(mount, &file, 0, "8080\n"), 0);
    assert_value(mount, "/port", "80\n");
    assert_int_equal(sim_open_path(mount, "port", O_RDONLY, P2, &reader), 0);
    assert_reads(mount, &reader, "80\n");
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    assert_value(mount, "/port", "8080\n");
    assert_int_equal(writes(mount), 1);
    assert_reads(mount, &reader, "80\n");
    sim_release(mount, &file);
    sim_release(mount, &reader);
    assert_int_equal(writes(mount), 1);
}

/* echo 8080 > new: the name is there for this mount, and for nobody else, until it is saved. */
static void test_new_file_is_one_commit(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    assert_int_equal(sim_open_path(mount, "new", O_WRONLY | O_CREAT | O_TRUNC, P1, &file), 0);
    ino_t ino = mount->attr.st_ino;
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    assert_value(mount, "/new", NULL);
    assert_int_equal(sim_write(mount, &file, 0, "8080\n"), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "new", &node), 0);
    assert_int_equal(node, file.node);
    assert_int_equal(mount->attr.st_size, 5);
    assert_int_equal(writes(mount), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/new", "8080\n");
    assert_int_equal(writes(mount), 1);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "new", &node), 0);
    assert_int_equal(node, file.node);
    assert_int_equal(mount->attr.st_ino, ino);
    assert_int_equal(mount->attr.st_size, 5);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0644);
}

/* ( echo a; /bin/echo b; echo c ) > f: the child's FLUSH publishes no half. */
static void test_forked_child(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, child;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT | O_TRUNC, P1, &file), 0);
    child = file;
    child.pid = P2;
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    assert_int_equal(sim_write(mount, &file, 0, "a\n"), 0);
    assert_int_equal(sim_write(mount, &child, 2, "b\n"), 0);
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    assert_value(mount, "/f", NULL);
    assert_int_equal(sim_write(mount, &file, 4, "c\n"), 0);
    assert_int_equal(sim_flush(mount, &file, P1 + 3), 0);       /* another thread of the opener */
    assert_value(mount, "/f", "a\nb\nc\n");
    assert_int_equal(writes(mount), 1);
    sim_release(mount, &file);
}

static void test_opener_is_gone(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "x"), 0);
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    assert_value(mount, "/f", NULL);
    mount->gone[1] = true;
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    assert_value(mount, "/f", "x");
    sim_release(mount, &file);
}

/* A parent opens, hands the file to its child, and closes: it is out, and each FLUSH publishes. */
static void test_opener_hands_over(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &file), 0);
    file.pid = P2;
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    assert_int_equal(sim_flush(mount, &file, P1), 0);           /* nothing dirty after a foreign one */
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    assert_value(mount, "/f", "old");
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    assert_value(mount, "/f", "new");
    sim_release(mount, &file);
}

static void test_bare_truncate(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_flush(mount, &file, P1), 0);
    assert_value(mount, "/f", "old");
    assert_int_equal(sim_flush(mount, &file, P1), 0);           /* : > f */
    assert_value(mount, "/f", "");
    sim_release(mount, &file);

    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    sim_mount_expire_timers(mount);
    assert_value(mount, "/f", "");
    assert_int_equal(sim_write(mount, &file, 0, "x"), 0);
    sim_mount_expire_timers(mount);                             /* what is written waits for close */
    assert_value(mount, "/f", "");
    sim_release(mount, &file);
    sim_mount_settle(mount);
    assert_value(mount, "/f", "x");

    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/f", "");
    sim_release(mount, &file);
}

/* wait(); stat(): a commit that RELEASE began is awaited. */
static void test_release_is_awaited(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "longer"), 0);
    assert_int_equal(sim_flush(mount, &file, P2), 0);
    sim_release(mount, &file);
    assert_value(mount, "/f", "old");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(mount->attr.st_size, 6);
    assert_value(mount, "/f", "longer");
}

static void test_sync_and_append(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "s", O_WRONLY | O_CREAT | O_SYNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "1"), 0);
    assert_value(mount, "/s", "1");
    assert_int_equal(sim_write(mount, &file, 1, "2"), 0);
    assert_value(mount, "/s", "12");
    assert_int_equal(sim_close(mount, &file), 0);

    assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_CREAT | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "one\n"), 0);
    assert_value(mount, "/log", NULL);
    sim_mount_expire_timers(mount);                             /* a second has passed */
    assert_value(mount, "/log", "one\n");
    char *line = malloc(70001);
    memset(line, 'x', 70000);
    line[70000] = '\0';
    assert_int_equal(sim_write(mount, &file, 0, line), 0);      /* more than 64 KiB do not wait */
    sim_mount_settle(mount);
    struct buf value = {0};
    assert_true(kv_direct_value(&mount->direct, "/log", &value));
    assert_int_equal(value.size, 70004);
    buf_release(&value);
    free(line);
    assert_int_equal(sim_close(mount, &file), 0);
}

static void test_exclusive_create_is_committed_first(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    assert_int_equal(sim_create(mount, "lock", O_WRONLY | O_CREAT | O_EXCL, 0644, P1, &file), 0);
    assert_value(mount, "/lock", "");
    assert_int_equal(sim_create(mount, "lock", O_WRONLY | O_CREAT | O_EXCL, 0644, P2, &other),
                     -EEXIST);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(writes(mount), 2);                 /* each O_EXCL tried; the close had nothing */

    /* A name that is pending here is committed first, so that the second one fails. */
    assert_int_equal(sim_create(mount, "p", O_WRONLY | O_CREAT, 0644, P1, &file), 0);
    assert_int_equal(sim_create(mount, "p", O_WRONLY | O_CREAT | O_EXCL, 0644, P2, &other), -EEXIST);
    assert_value(mount, "/p", "");
    assert_int_equal(sim_close(mount, &file), 0);
}

/* tar x and cp -a: owner, mode and times are saved with the content. */
static void extract(struct sim_mount *mount, const char *name, int flags, uint64_t commits)
{
    struct sim_file file;
    struct stat attr = {.st_mode = S_IFREG | 0640, .st_uid = 5, .st_gid = 6,
                        .st_mtim = {1000000000, 5}, .st_atim = {1000000001, 6}};
    uint64_t node, before = writes(mount);
    assert_int_equal(sim_create(mount, name, O_WRONLY | O_CREAT | flags, 0600, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "content"), 0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_MTIME | KERNEL_SET_ATIME, &attr,
                                 P1), 0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_UID | KERNEL_SET_GID, &attr, P1),
                     0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_MODE, &attr, P1), 0);
    assert_int_equal(sim_getattr(mount, file.node, P1), 0);
    assert_int_equal(mount->attr.st_mtim.tv_sec, 1000000000);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(writes(mount), before + commits);
    for (int i = 0; i < 2; i++) {                       /* as told, and as it is found */
        assert_int_equal(mount->attr.st_mode, S_IFREG | 0640);
        assert_int_equal(mount->attr.st_uid, 5);
        assert_int_equal(mount->attr.st_gid, 6);
        assert_int_equal(mount->attr.st_mtim.tv_sec, 1000000000);
        assert_int_equal(mount->attr.st_atim.tv_nsec, 6);
        assert_int_equal(sim_lookup(mount, NODE_ROOT, name, &node), 0);
        assert_int_equal(mount->attr.st_size, 7);
    }
    assert_int_equal(node, file.node);
}

static void test_attributes_are_saved_with_the_content(void **state)
{
    struct sim_mount *mount = *state;
    extract(mount, "plain", 0, 1);
    extract(mount, "exclusive", O_EXCL, 2);
    extract(mount, "again", 0, 1);
}

/* A later write makes the time that was set before it pass. */
static void test_written_after_utimens(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    struct stat attr = {.st_mtim = {1000000000, 0}};
    uint64_t node;
    assert_int_equal(sim_create(mount, "f", O_WRONLY | O_CREAT, 0644, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "a"), 0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_MTIME, &attr, P1), 0);
    assert_int_equal(sim_write(mount, &file, 1, "b"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_true(mount->attr.st_mtim.tv_sec > 1000000000);
}

/* chmod on an open, dirty file by another process does not wait for the writer. */
static void test_attributes_from_elsewhere(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    struct stat attr = {.st_mode = S_IFREG | 0600};
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_MODE, &attr, P2), 0);
    assert_int_equal(writes(mount), 1);
    assert_int_equal(sim_getattr(mount, file.node, P1), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "new");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0600);
}

static void test_truncate_without_a_handle(void **state)
{
    struct sim_mount *mount = *state;
    uint64_t node;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "content");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_truncate(mount, node, NULL, 3, P2), 0);
    assert_int_equal(mount->attr.st_size, 3);
    assert_value(mount, "/f", "con");
    assert_int_equal(sim_truncate(mount, node, NULL, 5, P2), 0);
    struct buf value = {0};
    assert_true(kv_direct_value(&mount->direct, "/f", &value));
    assert_bytes_equal(buf_bytes(&value), bytes_of("con\0\0", 5));
    buf_release(&value);
    assert_int_equal(sim_truncate(mount, node, NULL, 2 * MIB, P2), -EFBIG);
    assert_int_equal(sim_truncate(mount, node, NULL, 0, P2), 0);
    assert_value(mount, "/f", "");

    /* With a handle it is staged. */
    assert_int_equal(sim_open(mount, node, O_RDWR, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "abcdef"), 0);
    assert_int_equal(sim_truncate(mount, node, &file, 2, P1), 0);
    assert_int_equal(mount->attr.st_size, 2);
    assert_value(mount, "/f", "");
    assert_reads(mount, &file, "ab");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "ab");
}

static void test_too_big(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, MIB - 2, "ab"), 0);
    assert_int_equal(sim_write(mount, &file, MIB - 1, "ab"), -EFBIG);
    assert_int_equal(sim_write(mount, &file, INT64_MAX - 1, "ab"), -EFBIG);
    assert_int_equal(sim_close(mount, &file), 0);
    struct buf value = {0};
    assert_true(kv_direct_value(&mount->direct, "/f", &value));
    assert_int_equal(value.size, MIB);
    buf_release(&value);
}

/* ---- races ---- */

static void test_appends_of_all_hosts_stay(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a, b;
    kv_direct_other_put(&mount->direct, "/log", "0\n");
    assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_APPEND, P1, &a), 0);
    assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_APPEND, P2, &b), 0);
    assert_int_equal(sim_write(mount, &a, 0, "a\n"), 0);
    assert_int_equal(sim_write(mount, &b, 0, "b\n"), 0);
    kv_direct_other_put(&mount->direct, "/log", "0\nother\n");
    assert_int_equal(sim_close(mount, &a), 0);
    assert_int_equal(sim_close(mount, &b), 0);
    assert_value(mount, "/log", "0\nother\na\nb\n");
}

/* A handle that goes on appending is based on what its last save left there. */
static void test_append_goes_on(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "log", O_RDWR | O_CREAT | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "1\n"), 0);
    assert_int_equal(sim_fsync(mount, &file), 0);
    kv_direct_other_put(&mount->direct, "/log", "1\nother\n");
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    assert_reads(mount, &file, "1\n2\n");
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/log", "1\nother\n2\n");
    assert_reads(mount, &file, "1\nother\n2\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(writes(mount), 3);                         /* one was refused and repeated */
}

/* The answer to an append was lost: asked again it is not appended twice. */
static void test_append_with_a_lost_answer(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/log", "0\n");
    assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "1\n"), 0);
    mount->direct.lose_answers = ERR_TIMEOUT;
    mount->direct.lose_count = 1;
    assert_int_equal(sim_fsync(mount, &file), -ETIMEDOUT);
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\n");
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\n2\n");
}

static void test_last_close_wins_whole(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    kv_direct_other_put(&mount->direct, "/f", "theirs, and longer");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "mine");
}

static void test_in_place_writes_and_other_hosts(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 2, "xx"), 0);
    kv_direct_other_put(&mount->direct, "/f", "abcdefghij");
    assert_int_equal(sim_flush(mount, &file, P1), -ESTALE);
    sim_release(mount, &file);
    sim_mount_settle(mount);
    assert_value(mount, "/f", "abcdefghij");
    assert_int_equal(conflicts_count(mount->fs), 1);
    const struct conflict *conflict = conflicts_get(mount->fs, 0);
    assert_bytes_equal(blob_bytes(conflict->content), bytes_of_text("01xx456789"));
    assert_bytes_equal(conflict->key, bytes_of_text("/f"));
    assert_ptr_equal(conflicts_find(mount->fs, conflict->number), conflict);
    assert_null(conflicts_find(mount->fs, conflict->number + 1));
}

static uint64_t look_below(struct sim_mount *mount, uint64_t parent, const char *name)
{
    uint64_t node = 0;
    assert_int_equal(sim_lookup(mount, parent, name, &node), 0);
    return node;
}

static void lose_writes(struct sim_mount *mount, int round)
{
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 2, round ? "yy" : "xx"), 0);
    kv_direct_other_put(&mount->direct, "/f", "theirs");
    assert_int_equal(sim_close(mount, &file), -ESTALE);
    sim_mount_settle(mount);
}

/* What was lost is read again by its owner until newer ones need the room; to others it is not there. */
static void test_conflicts_are_files(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file lost;
    lose_writes(mount, 0);
    const struct conflict *conflict = conflicts_get(mount->fs, 0);
    uint64_t folder = look_below(mount, look_below(mount, NODE_ROOT, ".fs"), "conflicts");
    uint64_t node = look_below(mount, folder, conflict->name);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &lost), 0);
    assert_reads(mount, &lost, "01xx456789");
    assert_int_equal(sim_getattr(mount, node, P1), 0);
    assert_int_equal(mount->attr.st_size, 10);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0400);
    struct kernel_request other = {.kind = KERNEL_LOOKUP, .node = folder, .pid = P2, .uid = 1001,
                                   .name = bytes_of_text(conflict->name)};
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &other)), -ENOENT);
    for (int i = 0; i < CONFLICTS_MAX; i++)
        lose_writes(mount, 1);
    assert_reads(mount, &lost, "01xx456789");
    sim_release(mount, &lost);
    sim_mount_settle(mount);
    assert_int_equal(sim_getattr(mount, node, P1), -ENOENT);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &lost), -ENOENT);
}

static void test_in_place_writes_of_one_mount_merge(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file a, b, c;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P1, &a), 0);
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P2, &b), 0);
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P3, &c), 0);
    assert_int_equal(sim_write(mount, &a, 0, "a"), 0);
    assert_int_equal(sim_write(mount, &b, 5, "b"), 0);
    assert_int_equal(sim_write(mount, &c, 9, "c"), 0);
    assert_int_equal(sim_close(mount, &a), 0);
    assert_int_equal(sim_close(mount, &b), 0);
    assert_value(mount, "/f", "a1234b6789");
    kv_direct_other_put(&mount->direct, "/f", "theirs");        /* one link is not ours */
    assert_int_equal(sim_close(mount, &c), -ESTALE);
    assert_value(mount, "/f", "theirs");
}

static void test_created_elsewhere_meanwhile(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    assert_int_equal(sim_open_path(mount, "a", O_WRONLY | O_CREAT | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    kv_direct_other_put(&mount->direct, "/a", "theirs");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/a", "mine");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "a", &node), 0);

    assert_int_equal(sim_open_path(mount, "b", O_WRONLY | O_CREAT | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine\n"), 0);
    kv_direct_other_put(&mount->direct, "/b", "theirs\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/b", "theirs\nmine\n");

    assert_int_equal(sim_open_path(mount, "c", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    kv_direct_other_put(&mount->direct, "/c", "theirs");
    assert_int_equal(sim_close(mount, &file), -ESTALE);
    assert_value(mount, "/c", "theirs");
}

/* Handles of one mount take turns: nothing is refused, whatever the order. */
static void test_saves_of_one_mount_take_turns(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file files[8];
    struct sim_call *calls[8];
    kv_direct_other_put(&mount->direct, "/log", "");
    for (int i = 0; i < 8; i++) {
        assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_APPEND, P1, &files[i]), 0);
        assert_int_equal(sim_write(mount, &files[i], 0, (char[]){(char)('a' + i), '\n', 0}), 0);
    }
    for (int i = 0; i < 8; i++)
        calls[i] = sim_flush_begin(mount, &files[i], P1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(sim_mount_wait(mount, calls[i]), 0);
    assert_value(mount, "/log", "a\nb\nc\nd\ne\nf\ng\nh\n");
    assert_int_equal(writes(mount), 8);
    for (int i = 0; i < 8; i++)
        sim_release(mount, &files[i]);
}

/* Another host appends before each of our tries: in the end ours is there too. */
static void test_append_that_loses_often(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    struct buf value = {0};
    kv_direct_other_put(&mount->direct, "/log", "0");
    assert_int_equal(sim_open_path(mount, "log", O_WRONLY | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    struct sim_call *call = sim_flush_begin(mount, &file, P1);
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof(text), "theirs %d ", i);
        if (i % 3 == 0)
            kv_direct_other_put(&mount->direct, "/log", text);
        kv_direct_turn(&mount->direct);
        LIST_FOR_EACH(link, &mount->fs->timers)
            container_of(link, struct fs_timer, link)->at_ms = 0;
        fs_on_alarm(mount->fs);
    }
    assert_int_equal(sim_mount_wait(mount, call), 0);
    sim_release(mount, &file);
    assert_true(kv_direct_value(&mount->direct, "/log", &value));
    assert_true(value.size > 4);
    buf_release(&value);
}

/* A name that was made and not saved: others see that it is there, and do not read it. Who opens it for
 * writing has the same file, so that locks on it hold. */
static void test_pending_name_and_other_processes(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    uint64_t node;
    assert_int_equal(sim_open_path(mount, "f", O_RDWR | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "half"), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P2, &other), -ENOENT);
    assert_value(mount, "/f", NULL);
    assert_int_equal(sim_open_path(mount, "f", O_RDWR | O_CREAT, P2, &other), 0);
    assert_int_equal(other.node, file.node);
    assert_value(mount, "/f", "");
    assert_reads(mount, &other, "");
    assert_reads(mount, &file, "half");
    assert_int_equal(sim_write(mount, &file, 4, " and half"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "half and half");
    assert_reads(mount, &other, "");
    assert_int_equal(sim_close(mount, &other), 0);
    assert_int_equal(writes(mount), 2);

    assert_int_equal(sim_open_path(mount, "g", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "x"), 0);
    assert_int_equal(sim_open(mount, file.node, O_RDONLY, P1, &other), 0);
    assert_reads(mount, &other, "");
    sim_release(mount, &other);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/g", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_shell_redirection),
        WITH_MOUNT(test_new_file_is_one_commit),
        WITH_MOUNT(test_forked_child),
        WITH_MOUNT(test_opener_is_gone),
        WITH_MOUNT(test_opener_hands_over),
        WITH_MOUNT(test_bare_truncate),
        WITH_MOUNT(test_release_is_awaited),
        WITH_MOUNT(test_sync_and_append),
        WITH_MOUNT(test_exclusive_create_is_committed_first),
        WITH_MOUNT(test_attributes_are_saved_with_the_content),
        WITH_MOUNT(test_written_after_utimens),
        WITH_MOUNT(test_attributes_from_elsewhere),
        WITH_MOUNT(test_truncate_without_a_handle),
        WITH_MOUNT(test_too_big),
        WITH_MOUNT(test_appends_of_all_hosts_stay),
        WITH_MOUNT(test_append_goes_on),
        WITH_MOUNT(test_append_with_a_lost_answer),
        WITH_MOUNT(test_last_close_wins_whole),
        WITH_MOUNT(test_in_place_writes_and_other_hosts),
        WITH_MOUNT(test_conflicts_are_files),
        WITH_MOUNT(test_in_place_writes_of_one_mount_merge),
        WITH_MOUNT(test_created_elsewhere_meanwhile),
        WITH_MOUNT(test_saves_of_one_mount_take_turns),
        WITH_MOUNT(test_append_that_loses_often),
        WITH_MOUNT(test_pending_name_and_other_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
