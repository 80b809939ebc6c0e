/* A mount whose member has lost its quorum: an election is a pause; what lasts longer is told. */
#include "tests/unit/op_file_fixture.h"

#include "fs/notify.h"

#define NAME(text) BYTES_LITERAL(text)
#define LOST_NS INT64_C(6000000000)             /* longer than the mount's timeo */
#define ELECTION_NS INT64_C(400000000)

static void lose(struct sim_mount *mount, int64_t ago_ns)
{
    mount->direct.status.alone = mount->direct.status.has_quorum = false;
    mount->direct.status.quorum_lost_ns = ago_ns;
    mount->direct.has_no_leader = ago_ns >= LOST_NS;
    mount->direct.hold_reads = mount->direct.hold_writes = ago_ns < LOST_NS;
}

static void regain(struct sim_mount *mount)
{
    mount->direct.status.has_quorum = true;
    mount->direct.status.quorum_lost_ns = 0;
    mount->direct.has_no_leader = mount->direct.hold_reads = mount->direct.hold_writes = false;
}

static struct kernel_request request_of(enum kernel_kind kind, uint64_t node)
{
    return (struct kernel_request){.kind = kind, .node = node, .pid = P1, .uid = 1000, .gid = 1000,
                                   .mode = S_IFIFO | 0600, .name = NAME("new"), .new_name = NAME("newer"),
                                   .data = NAME("target")};
}

static int ask(struct sim_mount *mount, const struct kernel_request *request)
{
    return sim_mount_wait(mount, sim_mount_send(mount, request));
}

struct places {
    uint64_t file, other, folder, link;
    struct sim_file reader, writer;
};

static void make_places(struct sim_mount *mount, struct places *ret)
{
    struct kernel_request link = request_of(KERNEL_SYMLINK, NODE_ROOT);
    link.name = NAME("link");
    kv_direct_other_put(&mount->direct, "/f", "old");
    kv_direct_other_put(&mount->direct, "/d/g", "1");
    assert_int_equal(ask(mount, &link), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "link", &ret->link), 0);
    kv_direct_other_put(&mount->direct, "/o", "other");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &ret->folder), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "o", &ret->other), 0);
    assert_int_equal(sim_open_path(mount, "f", O_RDONLY, P2, &ret->reader), 0);
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY | O_TRUNC, P1, &ret->writer), 0);
    assert_int_equal(sim_write(mount, &ret->writer, 0, "new"), 0);
    ret->file = ret->writer.node;
}

static void end_places(struct sim_mount *mount, struct places *places)
{
    sim_release(mount, &places->reader);
    sim_release(mount, &places->writer);
    sim_mount_settle(mount);
}

#define ASKED_MAX 16

/* One of each that waits for the kv. */
static size_t ask_all(struct sim_mount *mount, const struct places *places,
                      struct sim_call *ret[ASKED_MAX])
{
    struct kernel_request lookup = request_of(KERNEL_LOOKUP, NODE_ROOT);
    lookup.name = NAME("f");
    struct kernel_request flush = request_of(KERNEL_FLUSH, places->file);
    flush.has_handle = true;
    flush.handle = places->writer.handle;
    struct kernel_request open_to_write = request_of(KERNEL_OPEN, places->other);
    open_to_write.flags = O_WRONLY;
    open_to_write.pid = P3;
    struct kernel_request open = request_of(KERNEL_OPEN, places->file);
    open.pid = P3;
    struct kernel_request attr = request_of(KERNEL_GETATTR, places->folder);
    struct kernel_request link = request_of(KERNEL_READLINK, places->link);
    struct kernel_request folder = request_of(KERNEL_OPENDIR, places->folder);
    struct kernel_request make = request_of(KERNEL_MKDIR, NODE_ROOT);
    make.name = NAME("made");
    make.mode = 0755;
    const struct kernel_request *requests[] = {&lookup, &attr, &link, &folder, &open, &open_to_write,
                                               &make, &flush};
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
        ret[i] = sim_mount_send(mount, requests[i]);
    sim_mount_settle(mount);
    return ARRAY_COUNT(requests);
}

/* Gives back what OPEN and OPENDIR opened; others are left alone. */
static void give_back(struct sim_mount *mount, struct sim_call *call, uint64_t node,
                      enum kernel_kind kind)
{
    struct kernel_request request = request_of(kind, node);
    request.has_handle = true;
    request.handle = call->answer.open.handle;
    if (call->answer.kind == KERNEL_ANSWER_OPEN)
        assert_int_equal(ask(mount, &request), 0);
}

static void test_an_election_is_a_pause(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    struct sim_call *calls[ASKED_MAX];
    make_places(mount, &places);
    lose(mount, ELECTION_NS);
    size_t count = ask_all(mount, &places, calls);
    for (size_t i = 0; i < count; i++)
        assert_false(calls[i]->answered);
    regain(mount);
    sim_mount_settle(mount);
    for (size_t i = 0; i < count; i++) {
        assert_true(calls[i]->answered);
        give_back(mount, calls[i], i == 3 ? places.folder : i == 4 ? places.file : places.other,
                  i == 3 ? KERNEL_RELEASEDIR : KERNEL_RELEASE);
        if (sim_mount_wait(mount, calls[i]) != 0)
            fail_msg("request %zu", i);
    }
    assert_value(mount, "/f", "new");
    end_places(mount, &places);
}

static void test_whoever_waits_can_be_stopped(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    struct sim_call *calls[ASKED_MAX];
    make_places(mount, &places);
    lose(mount, ELECTION_NS);
    size_t count = ask_all(mount, &places, calls);
    for (size_t i = 0; i < count; i++) {
        sim_interrupt(&mount->kernel, calls[i]);
        sim_mount_settle(mount);
        assert_true(calls[i]->answered);
        assert_int_equal(sim_mount_wait(mount, calls[i]), -EINTR);
    }
    regain(mount);
    end_places(mount, &places);
}

/* Nothing is asked of the kv that it could not answer. */
static void assert_refused_at_once(struct sim_mount *mount, const struct places *places)
{
    static const enum kernel_kind kinds[] = {KERNEL_MKDIR, KERNEL_MKNOD, KERNEL_SYMLINK, KERNEL_UNLINK,
                                             KERNEL_RMDIR, KERNEL_RENAME, KERNEL_CREATE, KERNEL_OPEN,
                                             KERNEL_SETATTR, KERNEL_SETXATTR, KERNEL_REMOVEXATTR};
    uint64_t before = mount->direct.requests;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        bool is_name = kinds[i] < KERNEL_OPEN && kinds[i] != KERNEL_SETATTR;
        struct kernel_request request =
            request_of(kinds[i], is_name || kinds[i] == KERNEL_CREATE ? NODE_ROOT : places->file);
        request.flags = kinds[i] == KERNEL_OPEN || kinds[i] == KERNEL_CREATE ? O_WRONLY : 0;
        request.new_parent = kinds[i] == KERNEL_RENAME ? NODE_ROOT : 0;
        if (kinds[i] == KERNEL_SETXATTR || kinds[i] == KERNEL_REMOVEXATTR)
            request.name = NAME("user.x");
        request.pid = P3;
        struct sim_call *call = sim_mount_send(mount, &request);
        assert_true(call->answered);
        assert_int_equal(sim_mount_wait(mount, call), -EROFS);
    }
    assert_int_equal(mount->direct.requests, before);
}

/* What the status says is missing stands in .fs/status, which is read through the mount's root. */
static void assert_status_tells(struct sim_mount *mount)
{
    uint64_t control, node;
    struct sim_file file;
    mount->direct.status.member_count = 1;
    mount->direct.status.members[0] = (struct kv_member_status){.id = 3, .name = "far", .is_voter = true,
                                                                .last_contact_ns = 7 * LOST_NS / 6};
    assert_int_equal(sim_getattr(mount, NODE_ROOT, P1), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, ".fs", &control), 0);
    assert_int_equal(sim_getattr(mount, control, P1), 0);
    assert_int_equal(sim_lookup(mount, control, "status", &node), 0);
    assert_int_equal(sim_open(mount, node, O_RDONLY, P1, &file), 0);
    assert_int_equal(sim_read(mount, &file, 0, 8000), 0);
    buf_append_u8(&mount->data, 0);
    assert_non_null(strstr((const char *)mount->data.data, "quorum: lost 6 s ago\n"));
    assert_non_null(strstr((const char *)mount->data.data, "missing: far, heard 7 s ago\n"));
    sim_release(mount, &file);
}

static void test_a_lost_quorum_is_told(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    struct sim_file other;
    uint64_t node;
    make_places(mount, &places);
    lose(mount, LOST_NS);
    assert_refused_at_once(mount, &places);
    struct kernel_request link = request_of(KERNEL_READLINK, places.link);
    struct kernel_request folder = request_of(KERNEL_OPENDIR, places.folder);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), -ETIMEDOUT);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "none", &node), -ETIMEDOUT);
    assert_int_equal(sim_getattr(mount, places.folder, P3), -ETIMEDOUT);
    assert_int_equal(sim_open(mount, places.file, O_RDONLY, P3, &other), -ETIMEDOUT);
    assert_int_equal(ask(mount, &link), -ETIMEDOUT);
    assert_int_equal(ask(mount, &folder), -ETIMEDOUT);
    assert_int_equal(sim_flush(mount, &places.writer, P1), -EROFS);
    assert_reads(mount, &places.reader, "old");     /* what is open stays readable */
    assert_status_tells(mount);

    regain(mount);                                  /* everything goes on, the save that failed as well */
    assert_int_equal(sim_flush(mount, &places.writer, P1), 0);
    assert_value(mount, "/f", "new");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_open_path(mount, "f", O_WRONLY, P3, &other), 0);
    sim_release(mount, &other);
    end_places(mount, &places);
}

static int64_t wait_of_getattr(struct sim_mount *mount, uint64_t node)
{
    struct kernel_request request = request_of(KERNEL_GETATTR, node);
    struct sim_call *call = sim_mount_send(mount, &request);
    assert_false(kv_direct_is_idle(&mount->direct));
    int64_t wait = container_of(mount->direct.queue.next, struct kv_request, link)->timeout_ms;
    assert_int_equal(sim_mount_wait(mount, call), 0);
    return wait;
}

/* Everything leads through the root, .fs/status as well. */
static void test_the_root_is_not_waited_for_long(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    make_places(mount, &places);
    assert_int_equal(wait_of_getattr(mount, places.folder), 5000);
    assert_int_equal(wait_of_getattr(mount, NODE_ROOT), 1000);
    assert_int_equal(wait_of_getattr(mount, places.folder), 5000);
    mount->fs->options.timeo_ms = 300;
    assert_int_equal(wait_of_getattr(mount, NODE_ROOT), 300);
    end_places(mount, &places);
}

/* Nobody wants to wait for each name that a program looks at. */
static void test_who_comes_late_does_not_wait_long(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    make_places(mount, &places);
    lose(mount, ELECTION_NS);
    mount->direct.hold_reads = mount->direct.hold_writes = false;
    assert_int_equal(wait_of_getattr(mount, places.folder), 5000);
    lose(mount, LOST_NS);
    mount->direct.has_no_leader = false;
    assert_int_equal(wait_of_getattr(mount, places.folder), 1000);
    mount->fs->options.timeo_ms = 300;
    assert_int_equal(wait_of_getattr(mount, places.folder), 300);
    regain(mount);
    end_places(mount, &places);
}

/* The quorum is lost while the request waits: it does not know that yet when it begins. */
static void test_a_quorum_that_goes_meanwhile(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    struct sim_file other;
    make_places(mount, &places);
    mount->direct.has_no_leader = true;             /* and the status still says that there is one */
    struct kernel_request mode = request_of(KERNEL_SETATTR, places.folder);
    mode.set = KERNEL_SET_MODE;
    mode.attr.st_mode = 0700;
    mode.pid = P3;
    assert_int_equal(ask(mount, &mode), -EROFS);
    assert_int_equal(sim_open(mount, places.file, O_WRONLY, P3, &other), -EROFS);
    assert_int_equal(sim_open(mount, places.file, O_RDONLY, P3, &other), -ETIMEDOUT);
    assert_int_equal(sim_getattr(mount, NODE_ROOT, P1), 0);
    mount->direct.has_no_leader = false;
    end_places(mount, &places);
}

static void test_local_reads_go_on(void **state)
{
    struct sim_mount *mount = *state;
    struct places places;
    struct sim_file file;
    uint64_t node;
    mount->fs->options.reads = FS_READS_LOCAL;
    make_places(mount, &places);
    lose(mount, LOST_NS);
    struct kernel_request link = request_of(KERNEL_READLINK, places.link);
    struct kernel_request folder = request_of(KERNEL_OPENDIR, places.folder);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "f", &node), 0);
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "none", &node), -ENOENT);
    assert_int_equal(sim_getattr(mount, places.folder, P3), 0);
    assert_int_equal(sim_open(mount, places.file, O_RDONLY, P3, &file), 0);
    assert_reads(mount, &file, "old");
    sim_release(mount, &file);
    assert_int_equal(ask(mount, &link), 0);
    assert_true(sim_data_is(mount, "target"));
    struct sim_call *call = sim_mount_send(mount, &folder);
    sim_mount_settle(mount);
    give_back(mount, call, places.folder, KERNEL_RELEASEDIR);
    assert_int_equal(sim_mount_wait(mount, call), 0);
    assert_refused_at_once(mount, &places);
    regain(mount);
    end_places(mount, &places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_an_election_is_a_pause),
        WITH_MOUNT(test_whoever_waits_can_be_stopped),
        WITH_MOUNT(test_a_lost_quorum_is_told),
        WITH_MOUNT(test_the_root_is_not_waited_for_long),
        WITH_MOUNT(test_who_comes_late_does_not_wait_long),
        WITH_MOUNT(test_a_quorum_that_goes_meanwhile),
        WITH_MOUNT(test_local_reads_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
