/* A file that is open for writing is renamed by this mount, alone or with a folder above it: what was
 * written goes to its new name. */
#include "tests/unit/op_file_fixture.h"

#include <linux/fs.h>

#include "proto/base/rand.h"

static struct kernel_request rename_request(uint64_t from, const char *name, uint64_t to,
                                            const char *new_name, int flags)
{
    return (struct kernel_request){.kind = KERNEL_RENAME, .node = from, .name = bytes_of_text(name),
                                   .new_parent = to, .new_name = bytes_of_text(new_name),
                                   .flags = flags, .pid = P3, .uid = 1000, .gid = 1000};
}

static int move(struct sim_mount *mount, const char *name, const char *new_name, int flags)
{
    struct kernel_request request = rename_request(NODE_ROOT, name, NODE_ROOT, new_name, flags);
    return sim_mount_wait(mount, sim_mount_send(mount, &request));
}

/* "/d/s/NAME", open, with a write in place that is not saved. */
static struct sim_file open_below(struct sim_mount *mount, const char *name, int flags)
{
    struct sim_file file;
    uint64_t directory, sub, node;
    char key[32];
    snprintf(key, sizeof(key), "/d/s/%s", name);
    kv_direct_other_put(&mount->direct, key, "0123456789");
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &directory), 0);
    assert_int_equal(sim_lookup(mount, directory, "s", &sub), 0);
    assert_int_equal(sim_lookup(mount, sub, name, &node), 0);
    assert_int_equal(sim_open(mount, node, flags, P1, &file), 0);
    if (flags & O_TRUNC)
        assert_int_equal(sim_truncate(mount, node, &file, 0, P1), 0);
    assert_int_equal(sim_write(mount, &file, 2, "xx"), 0);
    return file;
}

static struct sim_file open_file(struct sim_mount *mount, const char *name)
{
    struct sim_file file;
    char key[32];
    snprintf(key, sizeof(key), "/%s", name);
    kv_direct_other_put(&mount->direct, key, "0123456789");
    assert_int_equal(sim_open_path(mount, name, O_RDWR, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 2, "xx"), 0);
    return file;
}

static void test_folder_above(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file in_place = open_below(mount, "a", O_RDWR);
    struct sim_file append = open_below(mount, "b", O_RDWR | O_APPEND);
    struct sim_file whole = open_below(mount, "c", O_RDWR | O_TRUNC);
    assert_int_equal(move(mount, "d", "e", 0), 0);
    assert_int_equal(move(mount, "e", "f", 0), 0);
    assert_int_equal(sim_close(mount, &in_place), 0);
    assert_int_equal(sim_close(mount, &append), 0);
    assert_int_equal(sim_close(mount, &whole), 0);
    assert_value(mount, "/f/s/a", "01xx456789");
    assert_value(mount, "/f/s/b", "0123456789xx");
    assert_value(mount, "/d/s/a", NULL);
    assert_value(mount, "/e/s/b", NULL);
    assert_value(mount, "/d/s/c", NULL);
    assert_int_equal(conflicts_count(mount->fs), 0);
}

/* More writes than a list holds can be saved over their own base alone: a rename leaves it that. */
static void test_fixed(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_below(mount, "a", O_RDWR);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(sim_write(mount, &file, i % 2 ? 0 : 8, "y"), 0);
    assert_int_equal(move(mount, "d", "e", 0), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/e/s/a", "y1xx4567y9");
}

/* The handle goes on after its save, and after the next rename. */
static void test_again_and_again(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_file(mount, "f");
    for (int i = 0; i < 4; i++) {
        char from[] = {(char)('f' + i), 0}, to[] = {(char)('g' + i), 0}, key[] = {'/', to[0], 0};
        assert_int_equal(move(mount, from, to, 0), 0);
        assert_int_equal(sim_fsync(mount, &file), 0);
        assert_value(mount, key, i == 0 ? "01xx456789" : i == 1 ? "zzxx456789" : "zzzz456789");
        assert_int_equal(sim_write(mount, &file, i ? 2 : 0, "zz"), 0);
    }
    assert_int_equal(sim_close(mount, &file), 0);
}

/* What another host wrote, before the rename or after it, is not written over in place. */
static void test_changed_elsewhere_too(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_file(mount, "f");
    assert_int_equal(move(mount, "f", "g", 0), 0);
    assert_int_equal(sim_write(mount, &file, 4, "yy"), 0);
    kv_direct_other_put(&mount->direct, "/g", "theirs");
    assert_int_equal(sim_close(mount, &file), -ESTALE);
    assert_value(mount, "/g", "theirs");
    assert_value(mount, "/f", NULL);
    sim_mount_settle(mount);
    assert_int_equal(conflicts_count(mount->fs), 1);
}

/* What is known to be overtaken is not moved. */
static void test_changed_elsewhere_before(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_file(mount, "f");
    kv_direct_other_put(&mount->direct, "/f", "theirs");
    assert_int_equal(move(mount, "f", "g", 0), -ESTALE);
    assert_value(mount, "/f", "theirs");
    assert_value(mount, "/g", NULL);
    assert_int_equal(sim_close(mount, &file), -ESTALE);
    sim_mount_settle(mount);
    assert_int_equal(conflicts_count(mount->fs), 1);
}

/* Another handle of this mount has saved between: both have their bytes in the end. */
static void test_two_handles(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file one = open_file(mount, "f"), two;
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P2, &two), 0);
    assert_int_equal(sim_write(mount, &two, 8, "yy"), 0);
    assert_int_equal(sim_close(mount, &two), 0);
    assert_int_equal(move(mount, "f", "g", 0), 0);
    assert_int_equal(sim_close(mount, &one), 0);
    assert_value(mount, "/g", "01xx4567yy");
}

static void test_exchange(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file below = open_below(mount, "a", O_RDWR);
    struct sim_file one = open_file(mount, "f"), two = open_file(mount, "g");
    kv_direct_other_put(&mount->direct, "/e/s/a", "another");
    assert_int_equal(sim_write(mount, &two, 4, "yy"), 0);
    assert_int_equal(move(mount, "f", "g", RENAME_EXCHANGE), 0);
    assert_int_equal(move(mount, "d", "e", RENAME_EXCHANGE), 0);
    assert_int_equal(sim_close(mount, &one), 0);
    assert_int_equal(sim_close(mount, &two), 0);
    assert_int_equal(sim_close(mount, &below), 0);
    assert_value(mount, "/g", "01xx456789");
    assert_value(mount, "/f", "01xxyy6789");
    assert_value(mount, "/e/s/a", "01xx456789");
    assert_value(mount, "/d/s/a", "another");
}

/* The rename is committed first, and the save's txn, in flight behind it, is based on the old key. */
static void test_save_behind_the_rename(void **state)
{
    struct sim_mount *mount = *state;
    for (int above = 0; above < 2; above++) {
        struct sim_file file = above ? open_below(mount, "a", O_RDWR) : open_file(mount, "f");
        struct kernel_request request =
            above ? rename_request(NODE_ROOT, "d", NODE_ROOT, "e", 0)
                  : rename_request(NODE_ROOT, "f", NODE_ROOT, "g", 0);
        mount->direct.hold_writes = true;
        struct sim_call *rename = sim_mount_send(mount, &request);
        struct sim_call *flush = sim_flush_begin(mount, &file, P1);
        sim_mount_settle(mount);
        mount->direct.hold_writes = false;
        assert_int_equal(sim_mount_wait(mount, rename), 0);
        assert_int_equal(sim_mount_wait(mount, flush), 0);
        assert_value(mount, above ? "/e/s/a" : "/g", "01xx456789");
        assert_value(mount, above ? "/d/s/a" : "/f", NULL);
        sim_release(mount, &file);
    }
}

/* The save looks for its file when it is at the new name already and the rename is not answered. */
static void test_looked_for_before_the_answer(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file, other;
    kv_direct_other_put(&mount->direct, "/f", "0123456789");
    assert_int_equal(sim_open_path(mount, "f", O_RDWR | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_open_path(mount, "f", O_RDWR, P2, &other), 0);
    assert_int_equal(sim_write(mount, &other, 8, "yy"), 0);
    assert_int_equal(sim_close(mount, &other), 0);              /* so that the next one has to look */
    mount->direct.hold_writes = true;
    struct kernel_request request = rename_request(NODE_ROOT, "f", NODE_ROOT, "g", 0);
    struct sim_call *rename = sim_mount_send(mount, &request);
    sim_mount_settle(mount);
    struct kv_op op = {.kind = KV_OP_RENAME,
                       .rename = {.from = BYTES_LITERAL("/f"), .to = BYTES_LITERAL("/aside")}};
    struct kv_txn there = {.success = &op, .success_count = 1};
    kv_direct_other_txn(&mount->direct, &there);
    assert_int_equal(sim_write(mount, &file, 0, "xx"), 0);
    struct sim_call *flush = sim_flush_begin(mount, &file, P1);
    sim_mount_settle(mount);                                    /* nothing is there now */
    op.rename.from = BYTES_LITERAL("/aside");
    op.rename.to = BYTES_LITERAL("/f");
    kv_direct_other_txn(&mount->direct, &there);
    mount->direct.hold_writes = false;
    assert_int_equal(sim_mount_wait(mount, rename), 0);
    sim_mount_expire_timers(mount);
    assert_int_equal(sim_mount_wait(mount, flush), 0);
    assert_value(mount, "/g", "01234567yyxx");
    assert_value(mount, "/f", NULL);
    assert_int_equal(conflicts_count(mount->fs), 0);
    sim_release(mount, &file);
}

/* A name that nobody else knows yet, in a folder that is renamed. */
static void test_pending_below(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_below(mount, "a", O_RDWR), made;
    uint64_t directory, sub;
    assert_int_equal(sim_lookup(mount, NODE_ROOT, "d", &directory), 0);
    assert_int_equal(sim_lookup(mount, directory, "s", &sub), 0);
    struct kernel_request create = {.kind = KERNEL_CREATE, .node = directory, .pid = P1, .uid = 1000,
                                    .gid = 1000, .name = BYTES_LITERAL("new"), .flags = O_RDWR | O_CREAT,
                                    .mode = S_IFREG | 0644};
    struct sim_call *call = sim_mount_send(mount, &create);
    sim_mount_settle(mount);
    made = (struct sim_file){call->answer.entry.node, call->answer.open.handle, O_RDWR, P1};
    assert_int_equal(sim_mount_wait(mount, call), 0);
    assert_int_equal(sim_write(mount, &made, 0, "mine"), 0);
    assert_int_equal(move(mount, "d", "e", 0), 0);
    assert_int_equal(sim_close(mount, &made), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/e/new", "mine");
    assert_value(mount, "/d/new", NULL);
}

/* The outcome of the save is not known when the file is renamed. */
static void test_unknown_and_moved(void **state)
{
    struct sim_mount *mount = *state;
    for (int happened = 0; happened < 2; happened++) {
        struct sim_file file = open_file(mount, "f");
        if (happened)
            mount->direct.lose_answers = ERR_TIMEOUT;
        else
            mount->direct.refuse_writes = ERR_TIMEOUT;
        mount->direct.lose_count = 1;
        assert_int_equal(sim_fsync(mount, &file), -ETIMEDOUT);
        mount->direct.refuse_writes = ERR_OK;
        assert_int_equal(sim_write(mount, &file, 6, "yy"), 0);
        assert_int_equal(move(mount, "f", "g", 0), 0);
        assert_int_equal(sim_close(mount, &file), 0);
        assert_value(mount, "/g", "01xx45yy89");
        assert_value(mount, "/f", NULL);
    }
    assert_int_equal(conflicts_count(mount->fs), 0);
}

/* ---- drawn ---- */

/* The folder, and the file in it, are renamed again and again; saves end in every way. */
struct drawn {
    struct sim_mount *mount;
    struct rand rand;
    struct sim_file file;
    uint64_t parent;
    int folder, name;
    char content[11];
};

static struct kernel_request draw_rename(struct drawn *drawn)
{
    static const char *const folders[] = {"d", "e"}, *const names[] = {"a", "b"};
    int *which = rand_below(&drawn->rand, 2) ? &drawn->folder : &drawn->name;
    const char *const *words = which == &drawn->folder ? folders : names;
    uint64_t parent = which == &drawn->folder ? NODE_ROOT : drawn->parent;
    *which = !*which;
    return rename_request(parent, words[!*which], parent, words[*which], 0);
}

/* The save may be on its way while the rename is. */
static void draw_save_and_rename(struct drawn *drawn)
{
    struct kv_direct *direct = &drawn->mount->direct;
    struct kernel_request rename = draw_rename(drawn);
    struct sim_call *flush = sim_flush_begin(drawn->mount, &drawn->file, drawn->file.pid);
    for (uint64_t turns = rand_below(&drawn->rand, 5); turns; turns--)
        kv_direct_turn(direct);
    struct sim_call *renaming = sim_mount_send(drawn->mount, &rename);
    assert_int_equal(sim_mount_wait(drawn->mount, renaming), 0);
    while (!flush->answered)
        sim_mount_expire_timers(drawn->mount);
    assert_int_equal(sim_mount_wait(drawn->mount, flush), 0);
}

static void draw_unknown(struct drawn *drawn)
{
    struct kv_direct *direct = &drawn->mount->direct;
    if (rand_below(&drawn->rand, 2))
        direct->lose_answers = ERR_TIMEOUT;
    else
        direct->refuse_writes = ERR_SESSION_LOST;
    sim_fsync(drawn->mount, &drawn->file);
    direct->lose_answers = direct->refuse_writes = ERR_OK;
}

static void draw_step(struct drawn *drawn)
{
    struct kernel_request rename;
    char byte[] = {(char)('a' + rand_below(&drawn->rand, 26)), 0};
    uint64_t offset = rand_below(&drawn->rand, 10);
    switch (rand_below(&drawn->rand, 5)) {
    case 0:
        draw_unknown(drawn);
        break;
    case 1:
        draw_save_and_rename(drawn);
        break;
    case 2:
        rename = draw_rename(drawn);
        assert_int_equal(sim_mount_wait(drawn->mount, sim_mount_send(drawn->mount, &rename)), 0);
        break;
    default:
        assert_int_equal(sim_write(drawn->mount, &drawn->file, (off_t)offset, byte), 0);
        drawn->content[offset] = byte[0];
    }
}

static void test_drawn_moves(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 300; seed++) {
        struct sim_mount mount;
        struct drawn drawn = {.mount = &mount, .content = "0123456789"};
        char key[] = "/d/a";
        uint64_t node;
        sim_mount_init(&mount);
        rand_init(&drawn.rand, seed);
        kv_direct_other_put(&mount.direct, "/d/a", drawn.content);
        assert_int_equal(sim_lookup(&mount, NODE_ROOT, "d", &drawn.parent), 0);
        assert_int_equal(sim_lookup(&mount, drawn.parent, "a", &node), 0);
        assert_int_equal(sim_open(&mount, node, O_RDWR, P1, &drawn.file), 0);
        for (int i = 0; i < 40; i++)
            draw_step(&drawn);
        assert_int_equal(sim_close(&mount, &drawn.file), 0);
        key[1] = drawn.folder ? 'e' : 'd';
        key[3] = drawn.name ? 'b' : 'a';
        assert_value(&mount, key, drawn.content);
        assert_int_equal(conflicts_count(mount.fs), 0);
        sim_mount_release(&mount);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_folder_above),
        WITH_MOUNT(test_fixed),
        WITH_MOUNT(test_again_and_again),
        WITH_MOUNT(test_changed_elsewhere_too),
        WITH_MOUNT(test_changed_elsewhere_before),
        WITH_MOUNT(test_two_handles),
        WITH_MOUNT(test_exchange),
        WITH_MOUNT(test_save_behind_the_rename),
        WITH_MOUNT(test_looked_for_before_the_answer),
        WITH_MOUNT(test_pending_below),
        WITH_MOUNT(test_unknown_and_moved),
        cmocka_unit_test(test_drawn_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
