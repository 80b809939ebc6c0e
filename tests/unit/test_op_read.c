/* Reading open files, and what else is asked of a handle, request by request. */
#include "tests/unit/op_file_fixture.h"

#include "fs/handle_internal.h"

/* ---- pinned readers ---- */

static void test_reads_are_never_torn(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file reader, later;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &reader), 0);
    kv_direct_other_put(&mount->direct, "/f", "abcdefghij");    /* before it has read anything */
    assert_int_equal(sim_read(mount, &reader, 0, 5), 0);
    assert_true(sim_data_is(mount, "01234"));
    kv_rev last = kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_compact(&mount->direct, last);
    assert_int_equal(sim_read(mount, &reader, 5, 5), 0);
    assert_true(sim_data_is(mount, "56789"));
    assert_int_equal(sim_read(mount, &reader, 10, 5), 0);
    assert_true(sim_data_is(mount, ""));
    kv_direct_other_put(&mount->direct, "/f", "new");
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &later), 0);
    assert_reads(mount, &later, "new");
    assert_reads(mount, &reader, "0123456789");
    assert_int_not_equal(later.node, reader.node);
    sim_release(mount, &reader);
    sim_release(mount, &later);
}

static void test_compaction_before_the_first_read(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file same, changed;
    kv_direct_other_put(&mount->direct, "/same", "1");
    kv_direct_other_put(&mount->direct, "/changed", "1");
    assert_int_equal(sim_open_path(mount, "same", O_RDONLY, P1, &same), 0);
    assert_int_equal(sim_open_path(mount, "changed", O_RDONLY, P1, &changed), 0);
    kv_direct_compact(&mount->direct, kv_direct_other_put(&mount->direct, "/changed", "2"));
    assert_reads(mount, &same, "1");
    assert_int_equal(sim_read(mount, &changed, 0, 10), -ESTALE);
    sim_release(mount, &same);
    sim_release(mount, &changed);
}

/* Many readers of one version hold one copy of it. */
static void test_readers_share(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file files[20];
    kv_direct_other_put(&mount->direct, "/f", "shared");
    uint64_t before = mount->direct.requests;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &files[i]), 0);
        assert_reads(mount, &files[i], "shared");
    }
    assert_int_equal(mount->direct.requests - before, 41);      /* LOOKUP and OPEN each, and one read */
    for (int i = 0; i < 20; i++)
        sim_release(mount, &files[i]);
}

/* Opens, reads and closes; how many requests of the kv that took. */
static uint64_t read_once(struct sim_mount *mount, const char *name, const char *expected)
{
    struct sim_file file;
    uint64_t before = mount->direct.requests;
    assert_int_equal(sim_open_path(mount, name, O_RDONLY, P1, &file), 0);
    assert_reads(mount, &file, expected);
    sim_release(mount, &file);
    return mount->direct.requests - before;
}

/* A small version is read once, also by those who come one after the other; a new one is seen at once. */
static void test_small_versions_are_kept(void **state)
{
    struct sim_mount *mount = *state;
    kv_direct_other_put(&mount->direct, "/f", "one");
    assert_int_equal(read_once(mount, "f", "one"), 3);          /* LOOKUP, OPEN, and the content */
    assert_int_equal(read_once(mount, "f", "one"), 2);
    kv_direct_other_put(&mount->direct, "/f", "two");
    assert_int_equal(read_once(mount, "f", "two"), 3);
    assert_int_equal(read_once(mount, "f", "two"), 2);
    kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_other_put(&mount->direct, "/f", "six");           /* another life of the key */
    assert_int_equal(read_once(mount, "f", "six"), 3);
}

/* Not more than a few, those used last; nothing large. */
static void test_few_small_versions_are_kept(void **state)
{
    struct sim_mount *mount = *state;
    char key[32];
    struct buf large = {0};
    for (int i = 0; i <= UNUSED_CONTENTS_MAX; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        kv_direct_other_put(&mount->direct, key, key);
    }
    for (int i = 0; i <= UNUSED_CONTENTS_MAX; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        assert_int_equal(read_once(mount, key + 1, key), 3);
        assert_int_equal(read_once(mount, "0", "/0"), 2);
    }
    assert_int_equal(read_once(mount, "1", "/1"), 3);           /* went first */
    assert_int_equal(read_once(mount, "3", "/3"), 2);
    assert_int_equal(mount->fs->handles->unused_content_count, UNUSED_CONTENTS_MAX);

    for (size_t i = 0; i <= UNUSED_CONTENT_SIZE_MAX; i++)
        buf_append_u8(&large, 'x');
    buf_append_u8(&large, 0);
    kv_direct_other_put(&mount->direct, "/large", (const char *)large.data);
    assert_int_equal(read_once(mount, "large", (const char *)large.data), 3);
    assert_int_equal(read_once(mount, "large", (const char *)large.data), 3);
    buf_release(&large);
}

static void test_fstat_agrees_with_read(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file reader, writer;
    kv_direct_other_put(&mount->direct, "/f", "12345");
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &reader), 0);
    kv_direct_other_put(&mount->direct, "/f", "123456789");
    assert_int_equal(sim_getattr(mount, reader.node, P1 + 5), 0);
    assert_int_equal(mount->attr.st_size, 5);
    assert_int_equal(sim_getattr(mount, reader.node, P2), 0);
    assert_int_equal(mount->attr.st_size, 9);

    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_APPEND, P2, &writer), 0);
    assert_int_equal(sim_write(mount, &writer, 0, "+"), 0);
    assert_int_equal(sim_getattr(mount, writer.node, P2), 0);
    assert_int_equal(mount->attr.st_size, 10);
    assert_int_equal(sim_getattr(mount, writer.node, P3), 0);
    assert_int_equal(mount->attr.st_size, 9);
    sim_release(mount, &reader);
    assert_int_equal(sim_close(mount, &writer), 0);
}

/* A stale node is answered ESTALE once per thread; then it is opened at its newest version. */
static void test_estale_once(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    kv_direct_other_put(&mount->direct, "/f", "22");
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &file), -ESTALE);
    assert_true(mount->kernel.note_count > 0);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P2, &file), -ESTALE);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &file), 0);
    assert_reads(mount, &file, "22");
    sim_release(mount, &file);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P2, &file), 0);
    sim_release(mount, &file);
    assert_int_equal(sim_open(mount, node, O_RDONLY, 0, &file), 0);     /* nobody to send back */
    sim_release(mount, &file);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_int_equal(sim_open(mount, node, O_RDONLY, P3, &file), -ESTALE);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P3, &file), -ENOENT);
}

/* A file that is replaced between the walk to it and its OPEN sends the thread back once; replaced again,
 * the thread reads what it looked up, and a writer is refused. */
static void test_replaced_twice_on_the_way(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t first, second;
    kv_direct_other_put(&mount->direct, "/f", "one");
    kv_direct_other_put(&mount->direct, "/g", "two");
    kv_direct_other_put(&mount->direct, "/h", "three");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &first), 0);
    assert_int_equal(sim_rename(mount, "g", "f"), 0);
    assert_int_equal(sim_open(mount, first, O_RDONLY, P1, &file), -ESTALE);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &second), 0);
    assert_int_not_equal(second, first);
    assert_int_equal(sim_rename(mount, "h", "f"), 0);
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), 0);
    assert_reads(mount, &file, "two");
    assert_value(mount, "/f", "three");
    sim_release(mount, &file);
    /* That OPEN was answered: the thread may be sent back again. A writer always is. */
    assert_int_equal(sim_open(mount, second, O_WRONLY, P2, &file), -ESTALE);
    assert_int_equal(sim_open(mount, second, O_WRONLY, P2, &file), -ESTALE);
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), -ESTALE);
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), 0);
    kv_direct_compact(&mount->direct, kv_direct_other_put(&mount->direct, "/f", "four"));
    /* A small version stays in memory: its handle reads it whole, compacted or not. */
    assert_reads(mount, &file, "two");
    sim_release(mount, &file);
}

/* The same when the mount itself has not heard of the replacing yet: what the store has goes first, whoever
 * asks, the permission check or the OPEN. */
static void test_replaced_twice_elsewhere(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t first, second;
    kv_direct_other_put(&mount->direct, "/f", "one");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &first), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_other_put(&mount->direct, "/f", "two");
    assert_int_equal(sim_getattr(mount, first, P1), -ESTALE);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &second), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    kv_direct_other_put(&mount->direct, "/f", "three");
    assert_int_equal(sim_getattr(mount, second, P1), 0);
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), 0);
    assert_reads(mount, &file, "two");
    sim_release(mount, &file);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &first), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_int_equal(sim_open(mount, first, O_RDONLY, P1, &file), -ESTALE);
    kv_direct_other_put(&mount->direct, "/f", "four");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &second), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), 0);
    assert_reads(mount, &file, "four");
    sim_release(mount, &file);
    assert_int_equal(sim_open(mount, second, O_RDONLY, P1, &file), -ESTALE);
}

/* A version that nobody has read is gone with its compaction, whatever handle is pinned to it. */
static void test_a_compacted_version_is_stale(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "one");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &file), 0);
    kv_direct_compact(&mount->direct, kv_direct_other_put(&mount->direct, "/f", "two"));
    assert_int_equal(sim_read(mount, &file, 0, 10), -ESTALE);
    sim_release(mount, &file);
}

/* A page fault has no lock owner, and brings no bytes of another version than the node's other handles
 * have. */
static void test_page_faults_do_not_mix(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file old, new;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &old), 0);
    kv_direct_other_put(&mount->direct, "/f", "new");
    assert_int_equal(sim_open(mount, old.node, O_RDONLY, P1, &new), -ESTALE);
    assert_int_equal(sim_open(mount, old.node, O_RDONLY, P1, &new), 0);
    struct kernel_request fault = {.kind = KERNEL_READ, .node = new.node, .has_handle = true,
                                   .handle = new.handle, .size = 4096};
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &fault)), -EIO);
    assert_reads(mount, &new, "new");
    assert_reads(mount, &old, "old");
    sim_release(mount, &old);
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &fault)), 0);
    assert_true(sim_data_is(mount, "new"));
    sim_release(mount, &new);
}

/* ---- names that go and move ---- */

static void test_unlinked_open(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, again;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "content");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P1, &file), 0);
    assert_int_equal(sim_unlink(mount, "f"), 0);
    assert_int_equal(sim_getattr(mount, file.node, P1), 0);
    assert_int_equal(mount->attr.st_nlink, 0);
    assert_reads(mount, &file, "content");
    assert_int_equal(sim_write(mount, &file, 0, "C"), 0);
    assert_reads(mount, &file, "Content");
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_int_equal(sim_open(mount, file.node, O_RDONLY, P1, &again), 0);      /* /proc/self/fd */
    assert_reads(mount, &again, "Content");
    sim_release(mount, &again);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", NULL);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), -ENOENT);

    assert_int_equal(sim_create(mount, "p", O_RDWR | O_CREAT, 0644, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "tmp"), 0);
    assert_int_equal(sim_unlink(mount, "p"), 0);
    assert_reads(mount, &file, "tmp");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/p", NULL);
}

static void test_removed_elsewhere(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", NULL);
    assert_int_equal(conflicts_count(mount->fs), 1);
}

/* An editor's save: write a new file, fsync, rename it over the old one; the descriptor goes on. */
static void test_rename_of_an_open_file(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "tmp", O_RDWR | O_CREAT | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    assert_int_equal(sim_rename(mount, "tmp", "f"), 0);
    assert_value(mount, "/tmp", NULL);
    assert_value(mount, "/f", "new");
    assert_int_equal(sim_write(mount, &file, 3, "er"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "newer");
    assert_value(mount, "/tmp", NULL);
}

/* ---- when it cannot be saved ---- */

static void test_quorum_is_lost(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    mount->direct.refuse_writes = ERR_NO_LEADER;
    assert_int_equal(sim_flush(mount, &file, P1), -EROFS);
    mount->direct.refuse_writes = ERR_OK;
    sim_release(mount, &file);                  /* who was told that it failed is not surprised later */
    sim_mount_settle(mount);
    assert_value(mount, "/f", "old");

    mount->direct.status.has_quorum = false;
    mount->direct.status.quorum_lost_ns = 6000000000;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &other), -EROFS);
    assert_int_equal(sim_open_path(mount, "n", O_WRONLY | O_CREAT, P1, &other), -EROFS);
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &other), 0);
    sim_release(mount, &other);
    mount->direct.status.quorum_lost_ns = 1000000000;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &other), 0);       /* it came back */
    sim_release(mount, &other);
}

static void test_fsync_that_failed_is_repeated(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "f", O_RDWR | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    mount->direct.refuse_writes = ERR_NO_SPACE;
    assert_int_equal(sim_fsync(mount, &file), -ENOSPC);
    assert_reads(mount, &file, "new");
    mount->direct.refuse_writes = ERR_OK;
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/f", "new");
    assert_int_equal(sim_close(mount, &file), 0);
}

/* A pending name whose save was refused is gone with its handle. */
static void test_pending_name_that_cannot_be_saved(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    mount->direct.refuse_writes = ERR_NO_SPACE;
    assert_int_equal(sim_close(mount, &file), -ENOSPC);
    sim_mount_settle(mount);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), -ENOENT);
    mount->direct.refuse_writes = ERR_OK;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    sim_mount_settle(mount);
    assert_value(mount, "/f", "");
}

static void test_flush_is_interrupted(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "old");
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    mount->direct.hold_writes = true;
    struct sim_call *call = sim_flush_begin(mount, &file, P1);
    sim_mount_settle(mount);
    assert_false(call->answered);
    sim_interrupt(&mount->kernel, call);
    assert_true(call->answered);
    assert_int_equal(sim_mount_wait(mount, call), -EINTR);
    sim_release(mount, &file);
    mount->direct.hold_writes = false;
    sim_mount_settle(mount);
    assert_value(mount, "/f", "new");
}

/* What is written while a save is on its way is saved after it. */
static void test_written_while_saving(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_CREAT, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "one"), 0);
    mount->direct.hold_writes = true;
    struct kernel_request fsync = {.kind = KERNEL_FSYNC, .node = file.node, .has_handle = true,
                                   .handle = file.handle, .pid = P1};
    struct sim_call *first = sim_mount_send(mount, &fsync);
    sim_mount_settle(mount);
    assert_int_equal(sim_write(mount, &file, 3, " two"), 0);
    struct sim_call *second = sim_mount_send(mount, &fsync);
    mount->direct.hold_writes = false;
    assert_int_equal(sim_mount_wait(mount, first), 0);
    assert_value(mount, "/f", "one");
    assert_int_equal(sim_mount_wait(mount, second), 0);
    assert_value(mount, "/f", "one two");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(writes(mount), 2);
}

/* ---- the rest ---- */

static void test_caller_of_open_has_gone(void **state)
{
    struct sim_mount *mount = *state;
    struct kernel_request create = {.kind = KERNEL_CREATE, .node = NODE_ROOT, .pid = P1,
                                    .name = bytes_of_text("f"), .flags = O_WRONLY | O_CREAT,
                                    .mode = S_IFREG | 0644};
    uint64_t node;
    mount->kernel.refuse_next = true;
    assert_int_equal(sim_mount_wait(mount, sim_mount_send(mount, &create)), 0);
    sim_mount_settle(mount);
    assert_value(mount, "/f", NULL);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), -ENOENT);
}

static void test_handles_are_checked(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    kv_direct_other_put(&mount->direct, "/f", "1");
    kv_direct_other_put(&mount->direct, "/g", "1");
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "x"), -EBADF);
    struct sim_file wrong = file;
    wrong.handle += 1ull << 32;
    assert_int_equal(sim_read(mount, &wrong, 0, 1), -EBADF);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "g", &node), 0);
    wrong = file;
    wrong.node = node;
    assert_int_equal(sim_read(mount, &wrong, 0, 1), -EBADF);
    wrong = file;
    wrong.handle = UINT64_MAX;
    assert_int_equal(sim_flush(mount, &wrong, P1), -EBADF);
    sim_release(mount, &file);
    assert_int_equal(sim_read(mount, &file, 0, 1), -EBADF);
}

static int ask_range(struct sim_mount *mount, enum kernel_kind kind, const struct sim_file *file,
                     int mode, off_t offset, off_t length)
{
    struct kernel_request request = {.kind = kind, .node = file->node, .has_handle = true,
                                     .handle = file->handle, .flags = mode, .whence = mode,
                                     .offset = offset, .length = length, .pid = P1};
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

static void test_fallocate_and_lseek(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P1, &file), 0);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file, FALLOC_FL_KEEP_SIZE, 0, 50), 0);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file, FALLOC_FL_COLLAPSE_RANGE, 0, 5),
                     -EOPNOTSUPP);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file,
                               FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 8, 50), 0);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file, 0, 0, 12), 0);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file, 0, 0, 2 * MIB), -EFBIG);
    assert_int_equal(ask_range(mount, KERNEL_FALLOCATE, &file, 0, 0, 0), -EINVAL);
    assert_int_equal(ask_range(mount, KERNEL_LSEEK, &file, SEEK_DATA, 3, 0), 0);
    assert_int_equal(mount->offset, 3);
    assert_int_equal(ask_range(mount, KERNEL_LSEEK, &file, SEEK_HOLE, 3, 0), 0);
    assert_int_equal(mount->offset, 12);
    assert_int_equal(ask_range(mount, KERNEL_LSEEK, &file, SEEK_HOLE, 12, 0), -ENXIO);
    assert_int_equal(sim_close(mount, &file), 0);
    struct buf value = {0};
    assert_true(kv_direct_value(&mount->direct, "/f", &value));
    assert_bytes_equal(buf_bytes(&value), bytes_of("01234567\0\0\0\0", 12));
    buf_release(&value);
}

static void test_set_ids_are_dropped_by_a_write(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    uint64_t node;
    assert_int_equal(sim_create(mount, "f", O_WRONLY | O_CREAT, 06755, P1, &file), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    sim_mount_settle(mount);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 06755);
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "x"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(mount->attr.st_mode, S_IFREG | 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_reads_are_never_torn),
        WITH_MOUNT(test_compaction_before_the_first_read),
        WITH_MOUNT(test_readers_share),
        WITH_MOUNT(test_small_versions_are_kept),
        WITH_MOUNT(test_few_small_versions_are_kept),
        WITH_MOUNT(test_fstat_agrees_with_read),
        WITH_MOUNT(test_estale_once),
        WITH_MOUNT(test_replaced_twice_on_the_way),
        WITH_MOUNT(test_replaced_twice_elsewhere),
        WITH_MOUNT(test_a_compacted_version_is_stale),
        WITH_MOUNT(test_page_faults_do_not_mix),
        WITH_MOUNT(test_unlinked_open),
        WITH_MOUNT(test_removed_elsewhere),
        WITH_MOUNT(test_rename_of_an_open_file),
        WITH_MOUNT(test_quorum_is_lost),
        WITH_MOUNT(test_fsync_that_failed_is_repeated),
        WITH_MOUNT(test_pending_name_that_cannot_be_saved),
        WITH_MOUNT(test_flush_is_interrupted),
        WITH_MOUNT(test_written_while_saving),
        WITH_MOUNT(test_caller_of_open_has_gone),
        WITH_MOUNT(test_handles_are_checked),
        WITH_MOUNT(test_fallocate_and_lseek),
        WITH_MOUNT(test_set_ids_are_dropped_by_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
