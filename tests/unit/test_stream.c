/* .fs/watch: what changes become, and how they are read. */
#include "tests/unit/op_file_fixture.h"

#include <poll.h>

#include "fs/stream.h"
#include "proto/meta.h"

static void test_names(void **state)
{
    (void)state;
    kv_rev revision;
    assert_true(stream_is_name(BYTES_LITERAL("watch"), &revision));
    assert_int_equal(revision, 0);
    assert_true(stream_is_name(BYTES_LITERAL("watch?rev=120"), &revision));
    assert_int_equal(revision, 120);
    static const char *const others[] = {"", "watc", "watch?", "watch?rev=", "watch?rev=0", "watch?rev=-1",
                                         "watch?rev=1x", "watch?rev=01", "watch?rev=9999999999999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        assert_false(stream_is_name(bytes_of_text(others[i]), &revision));
}

static int open_stream(struct sim_mount *mount, const char *name, struct sim_file *ret)
{
    uint64_t control, node;
    assert_int_equal(sim_lookup(mount, NODE_ROOT, ".fs", &control), 0);
    int result = sim_lookup(mount, control, name, &node);
    if (result == 0)
        result = sim_open(mount, node, O_RDONLY, P1, ret);
    return result;
}

static struct sim_call *send_read(struct sim_mount *mount, const struct sim_file *file, size_t size,
                                  int flags)
{
    struct kernel_request request = {.kind = KERNEL_READ, .node = file->node, .pid = P1,
                                     .has_handle = true, .handle = file->handle, .size = size,
                                     .flags = flags};
    return sim_mount_send(mount, &request);
}

/* Everything that can be read now, times cut out of it. */
static const char *lines_now(struct sim_mount *mount, const struct sim_file *file, size_t size)
{
    static char text[65536];
    size_t used = 0;
    sim_mount_settle(mount);
    for (;;) {
        struct sim_call *call = send_read(mount, file, size, O_NONBLOCK);
        assert_true(call->answered);
        if (sim_mount_wait(mount, call) != 0)
            break;
        assert_true(mount->data.size && mount->data.size <= size);
        memcpy(text + used, mount->data.data, mount->data.size);
        used += mount->data.size;
        assert_true(used < sizeof(text));
    }
    text[used] = 0;
    for (char *at; (at = strstr(text, "\"time\":\"2026-")) != NULL;)
        memmove(at, at + sizeof("\"time\":\"2026-11-18T00:00:00.000Z\",") - 1,
                strlen(at + sizeof("\"time\":\"2026-11-18T00:00:00.000Z\",") - 1) + 1);
    return text;
}

static void other_ops(struct sim_mount *mount, const struct kv_op *ops, size_t count)
{
    kv_direct_other_txn(&mount->direct, &(struct kv_txn){.success = ops, .success_count = count});
}

static void other_rename(struct sim_mount *mount, const char *from, const char *to)
{
    struct kv_op op = {.kind = KV_OP_RENAME,
                       .rename = {.from = bytes_of_text(from), .to = bytes_of_text(to), .replace = true}};
    other_ops(mount, &op, 1);
}

static int ask(struct sim_mount *mount, enum kernel_kind kind, uint64_t node, const char *name)
{
    struct kernel_request request = {.kind = kind, .node = node, .pid = P1, .mode = 0755,
                                     .name = bytes_of_text(name)};
    if (kind == KERNEL_MKNOD)
        request.mode = S_IFIFO | 0600;
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

/* What a person does is one line, however many keys that are. */
static void test_what_is_told(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream, file;
    struct stat mode = {.st_mode = 0600};
    uint64_t node, folder;
    kv_direct_other_put(&mount->direct, "/before", "1");
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    assert_string_equal(lines_now(mount, &stream, 4096), "");
    assert_int_equal(sim_create(mount, "f", O_WRONLY | O_CREAT, 0600, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "1"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    sim_mount_settle(mount);
    kv_direct_other_put(&mount->direct, "/f", "2");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_setattr(mount, node, NULL, KERNEL_SET_MODE, &mode, P1), 0);
    assert_int_equal(ask(mount, KERNEL_MKDIR, NODE_ROOT, "d"), 0);
    assert_int_equal(ask(mount, KERNEL_MKNOD, NODE_ROOT, "pipe"), 0);
    assert_int_equal(sim_unlink(mount, "pipe"), 0);
    assert_int_equal(sim_rename(mount, "f", "g"), 0);
    assert_int_equal(sim_unlink(mount, "g"), 0);
    assert_int_equal(ask(mount, KERNEL_RMDIR, NODE_ROOT, "d"), 0);
    kv_direct_other_put(&mount->direct, "/deep/a", "1");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "deep", &folder), 0);
    assert_int_equal(sim_lookup(mount, folder, "a", &node), 0);
    assert_int_equal(ask(mount, KERNEL_UNLINK, folder, "a"), 0);    /* and deep gets a record */
    assert_string_equal(lines_now(mount, &stream, 4096),
                        "{\"revision\":3,\"kind\":\"create\",\"path\":\"f\"}\n"
                        "{\"revision\":4,\"kind\":\"modify\",\"path\":\"f\"}\n"
                        "{\"revision\":5,\"kind\":\"attrib\",\"path\":\"f\"}\n"
                        "{\"revision\":6,\"kind\":\"create\",\"path\":\"d\",\"directory\":true}\n"
                        "{\"revision\":7,\"kind\":\"create\",\"path\":\"pipe\"}\n"
                        "{\"revision\":8,\"kind\":\"delete\",\"path\":\"pipe\"}\n"
                        "{\"revision\":9,\"kind\":\"rename\",\"path\":\"g\",\"from\":\"f\"}\n"
                        "{\"revision\":10,\"kind\":\"delete\",\"path\":\"g\"}\n"
                        "{\"revision\":11,\"kind\":\"delete\",\"path\":\"d\",\"directory\":true}\n"
                        "{\"revision\":12,\"kind\":\"create\",\"path\":\"deep/a\"}\n"
                        "{\"revision\":13,\"kind\":\"delete\",\"path\":\"deep/a\"}\n");
    sim_release(mount, &stream);
}

#define PUT(text) {.kind = KV_OP_PUT, .put = {.key = BYTES_LITERAL(text), .value = BYTES_LITERAL("1")}}

static void test_renames_of_folders(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream;
    struct kv_op ops[] = {PUT("/tree/a"), PUT("/tree/b/c"), PUT("/tree-house")};
    assert_int_equal(ask(mount, KERNEL_MKDIR, NODE_ROOT, "tree"), 0);
    other_ops(mount, ops, 3);
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    other_rename(mount, "/tree", "/wood");
    other_rename(mount, "/wood/b", "/b");               /* it has no record of its own */
    struct kv_op unlike[] = {{.kind = KV_OP_DELETE, .del.key = BYTES_LITERAL("/b/c")},
                             {.kind = KV_OP_DELETE, .del.key = BYTES_LITERAL("/tree-house")},
                             PUT("/x")};
    other_ops(mount, unlike, 3);
    assert_string_equal(lines_now(mount, &stream, 4096),
                        "{\"revision\":4,\"kind\":\"rename\",\"path\":\"wood\",\"from\":\"tree\","
                        "\"directory\":true}\n"
                        "{\"revision\":5,\"kind\":\"rename\",\"path\":\"b/c\",\"from\":\"wood/b/c\"}\n"
                        "{\"revision\":6,\"kind\":\"delete\",\"path\":\"b/c\"}\n"
                        "{\"revision\":6,\"kind\":\"delete\",\"path\":\"tree-house\"}\n"
                        "{\"revision\":6,\"kind\":\"create\",\"path\":\"x\"}\n");
    sim_release(mount, &stream);
}

static void test_names_that_are_no_text(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream;
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    kv_direct_other_put(&mount->direct, "/a\"b\\c\n\xc3\xa9", "1");
    kv_direct_other_put(&mount->direct, "/x\xff", "1");
    kv_direct_other_put(&mount->direct, "/\xe0\x80\x80\xed\xa0\x80\xf0\x9f\x98\x80", "1");
    assert_string_equal(lines_now(mount, &stream, 4096),
                        "{\"revision\":2,\"kind\":\"create\",\"path\":\"a\\u0022b\\u005cc\\u000a\xc3\xa9\"}\n"
                        "{\"revision\":3,\"kind\":\"create\",\"path\":\"x\xef\xbf\xbd\",\"path_hex\":\"78ff\"}\n"
                        "{\"revision\":4,\"kind\":\"create\",\"path\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80\","
                        "\"path_hex\":\"e08080eda080f09f9880\"}\n");
    sim_release(mount, &stream);
}

/* A later one goes on where an earlier one ended; a line is not cut while there is room for it. */
static void test_it_is_resumed(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream;
    for (int i = 0; i < 3; i++)
        kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(open_stream(mount, "watch?rev=3", &stream), 0);
    kv_direct_other_delete(&mount->direct, "/f");
    assert_string_equal(lines_now(mount, &stream, 100),
                        "{\"revision\":3,\"kind\":\"modify\",\"path\":\"f\"}\n"
                        "{\"revision\":4,\"kind\":\"modify\",\"path\":\"f\"}\n"
                        "{\"revision\":5,\"kind\":\"delete\",\"path\":\"f\"}\n");
    sim_release(mount, &stream);
    assert_int_equal(open_stream(mount, "watch?rev=5", &stream), 0);
    assert_string_equal(lines_now(mount, &stream, 7), "{\"revision\":5,\"kind\":\"delete\",\"path\":\"f\"}\n");
    sim_release(mount, &stream);
    assert_int_equal(open_stream(mount, "watch?rev=x", &stream), -ENOENT);
}

static void test_what_is_compacted_is_told(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream;
    kv_rev last = 0;
    for (int i = 0; i < 9; i++)
        last = kv_direct_other_put(&mount->direct, "/f", "1");
    kv_direct_compact(&mount->direct, last);
    assert_int_equal(open_stream(mount, "watch?rev=3", &stream), 0);
    kv_direct_other_put(&mount->direct, "/g", "1");
    assert_string_equal(lines_now(mount, &stream, 4096),
                        "{\"revision\":3,\"kind\":\"lost\",\"resume\":10}\n"
                        "{\"revision\":10,\"kind\":\"modify\",\"path\":\"f\"}\n"
                        "{\"revision\":11,\"kind\":\"create\",\"path\":\"g\"}\n");
    sim_release(mount, &stream);
}

/* Who reads slowly is waited for by nobody, and misses nothing that history has. */
static void test_a_slow_reader(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file slow, quick;
    char name[3001];
    memset(name, 'n', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = 0;
    for (size_t i = 200; i < sizeof(name) - 1; i += 200)
        name[i] = '/';
    assert_int_equal(open_stream(mount, "watch", &slow), 0);
    assert_int_equal(open_stream(mount, "watch", &quick), 0);
    size_t quick_lines = 0, slow_lines = 0;
    for (int i = 0; i < 400; i++) {                     /* more than a megabyte of lines */
        kv_direct_other_put(&mount->direct, name, "1");
        for (const char *at = lines_now(mount, &quick, 8192); (at = strchr(at, '\n')) != NULL; at++)
            quick_lines++;
    }
    assert_int_equal(quick_lines, 400);
    for (kv_rev revision = 2;; revision++) {
        struct sim_call *call = send_read(mount, &slow, 4000, O_NONBLOCK);
        if (sim_mount_wait(mount, call) != 0)
            break;
        char start[32];
        snprintf(start, sizeof(start), "{\"revision\":%d,", (int)revision);
        assert_true(bytes_starts_with(buf_bytes(&mount->data), bytes_of_text(start)));
        assert_int_equal(mount->data.data[mount->data.size - 1], '\n');
        slow_lines++;
        sim_mount_settle(mount);
    }
    assert_int_equal(slow_lines, 400);
    sim_release(mount, &slow);
    sim_release(mount, &quick);
}

/* And when history is gone meanwhile, that is told. */
static void test_a_slow_reader_and_compaction(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file slow;
    char name[251], last_line[64];
    memset(name, 'n', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = 0;
    kv_rev last = 0;
    assert_int_equal(open_stream(mount, "watch", &slow), 0);
    for (int i = 0; i < 2000; i++)
        last = kv_direct_other_put(&mount->direct, name, "1");
    kv_direct_compact(&mount->direct, last);
    sim_mount_settle(mount);
    size_t lost = 0;
    snprintf(last_line, sizeof(last_line), "{\"revision\":%d,", (int)last);
    struct buf all = {0};
    for (int result = 0; result == 0;) {
        result = sim_mount_wait(mount, send_read(mount, &slow, 4000, O_NONBLOCK));
        if (result == 0)
            buf_append(&all, buf_bytes(&mount->data));
        sim_mount_settle(mount);
    }
    buf_append_u8(&all, 0);
    for (const char *at = (const char *)all.data; (at = strstr(at, "\"lost\"")) != NULL; at++)
        lost++;
    assert_int_equal(lost, 1);
    assert_non_null(strstr((const char *)all.data, last_line));
    buf_release(&all);
    sim_release(mount, &slow);
}

static void test_waiting(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream;
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    struct sim_call *first = send_read(mount, &stream, 4096, 0);
    struct sim_call *second = send_read(mount, &stream, 4096, 0);
    struct sim_call *third = send_read(mount, &stream, 4096, 0);
    sim_mount_settle(mount);
    assert_false(first->answered || second->answered || third->answered);
    sim_interrupt(&mount->kernel, second);
    assert_int_equal(sim_mount_wait(mount, second), -EINTR);
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_true(first->answered);                       /* before the change was answered anywhere */
    assert_int_equal(sim_mount_wait(mount, first), 0);
    assert_true(bytes_starts_with(buf_bytes(&mount->data),
                                  BYTES_LITERAL("{\"revision\":2,\"time\":\"2026-")));
    assert_false(third->answered);
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_int_equal(sim_mount_wait(mount, third), 0);
    sim_release(mount, &stream);
}

static unsigned poll_now(struct sim_mount *mount, const struct sim_file *file, struct sim_poll *poll)
{
    struct kernel_request request = {.kind = KERNEL_POLL, .node = file->node, .pid = P1,
                                     .has_handle = true, .handle = file->handle, .poll = poll};
    struct sim_call *call = sim_mount_send(mount, &request);
    assert_true(call->answered);
    unsigned events = (unsigned)call->answer.count;
    assert_int_equal(sim_mount_wait(mount, call), 0);
    return events;
}

static void test_polling(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream, file;
    struct sim_poll first = {0}, second = {0}, third = {0}, last = {0};
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    assert_int_equal(poll_now(mount, &stream, NULL), 0);
    assert_int_equal(poll_now(mount, &stream, &first), 0);
    assert_int_equal(poll_now(mount, &stream, &second), 0);
    assert_true(first.has_ended && !first.was_woken && !second.has_ended);
    kv_direct_other_put(&mount->direct, "/f", "1");
    assert_true(second.has_ended && second.was_woken);
    assert_int_equal(poll_now(mount, &stream, &third), POLLIN | POLLRDNORM);
    assert_true(third.has_ended);
    lines_now(mount, &stream, 4096);
    assert_int_equal(poll_now(mount, &stream, &last), 0);
    sim_release(mount, &stream);
    sim_mount_settle(mount);
    assert_true(last.has_ended && !last.was_woken);
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P1, &file), 0);
    struct sim_poll of_file = {0};
    assert_true(poll_now(mount, &file, &of_file) & POLLIN);
    assert_true(of_file.has_ended);
    sim_release(mount, &file);
}

/* The mount ends while somebody reads, and a caller that has gone left a stream behind. */
static void test_the_end(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file stream, gone;
    uint64_t control, node;
    assert_int_equal(open_stream(mount, "watch", &stream), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, ".fs", &control), 0);
    assert_int_equal(sim_lookup(mount, control, "watch", &node), 0);
    mount->kernel.refuse_next = true;
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &gone), 0);
    sim_mount_settle(mount);
    struct sim_call *call = send_read(mount, &stream, 4096, 0);
    fs_stop(mount->fs);
    assert_int_equal(sim_mount_wait(mount, call), -EINTR);
    sim_mount_settle(mount);
    assert_true(fs_is_idle(mount->fs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        WITH_MOUNT(test_what_is_told),
        WITH_MOUNT(test_renames_of_folders),
        WITH_MOUNT(test_names_that_are_no_text),
        WITH_MOUNT(test_it_is_resumed),
        WITH_MOUNT(test_what_is_compacted_is_told),
        WITH_MOUNT(test_a_slow_reader),
        WITH_MOUNT(test_a_slow_reader_and_compaction),
        WITH_MOUNT(test_waiting),
        WITH_MOUNT(test_polling),
        WITH_MOUNT(test_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
