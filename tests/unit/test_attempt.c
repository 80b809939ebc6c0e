/* Saves whose outcome is not known: what they left is neither doubled nor lost, whatever else happens
 * before the next one. */
#include "tests/unit/op_file_fixture.h"

#include "proto/base/rand.h"

/* The next write is done, and its answer lost. */
static void lose_answer(struct sim_mount *mount)
{
    mount->direct.lose_answers = ERR_TIMEOUT;
    mount->direct.lose_count = 1;
}

/* A save that is not done, and of which nobody knows that. */
static void fail_unknown(struct sim_mount *mount, const struct sim_file *file)
{
    mount->direct.refuse_writes = ERR_TIMEOUT;
    assert_int_equal(sim_fsync(mount, file), -ETIMEDOUT);
    mount->direct.refuse_writes = ERR_OK;
}

static void lose_save(struct sim_mount *mount, const struct sim_file *file)
{
    lose_answer(mount);
    assert_int_equal(sim_fsync(mount, file), -ETIMEDOUT);
}

static struct sim_file open_with(struct sim_mount *mount, const char *name, int flags,
                                 const char *content)
{
    struct sim_file file;
    char key[32];
    snprintf(key, sizeof(key), "/%s", name);
    if (content)
        kv_direct_other_put(&mount->direct, key, content);
    assert_int_equal(sim_open_path(mount, name, flags, P1, &file), 0);
    return file;
}

static struct sim_file open_log(struct sim_mount *mount)
{
    struct sim_file file = open_with(mount, "log", O_RDWR | O_APPEND, "0\n");
    assert_int_equal(sim_write(mount, &file, 0, "1\n"), 0);
    return file;
}

static void test_append_happened_and_others_went_on(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    lose_save(mount, &file);
    kv_direct_other_put(&mount->direct, "/log", "0\n1\na\n");
    kv_direct_other_put(&mount->direct, "/other", "so that revisions lie between");
    kv_direct_other_put(&mount->direct, "/log", "0\n1\na\nb\n");
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\na\nb\n");
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\na\nb\n2\n");
}

static void test_append_happened_and_was_written_on(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    lose_save(mount, &file);
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    assert_reads(mount, &file, "0\n1\n2\n");
    kv_direct_other_put(&mount->direct, "/log", "0\n1\na\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\na\n2\n");
}

static void test_append_never_happened(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    fail_unknown(mount, &file);
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    kv_direct_other_put(&mount->direct, "/log", "0\na\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\na\n1\n2\n");
}

/* What stands is what the attempt would have left, and was written when it could happen no more. */
static void test_equal_by_another_way(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    fail_unknown(mount, &file);
    kv_direct_other_put(&mount->direct, "/log", "0\na\n");
    kv_direct_other_put(&mount->direct, "/log", "0\n1\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\n1\n1\n");
}

static void test_twice_unknown(void **state)
{
    struct sim_mount *mount = *state;
    for (int first = 0; first < 2; first++) {
        struct sim_file file = open_log(mount);
        if (first)
            lose_save(mount, &file);
        else
            fail_unknown(mount, &file);
        assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
        lose_save(mount, &file);
        assert_int_equal(sim_write(mount, &file, 0, "3\n"), 0);
        kv_direct_other_put(&mount->direct, "/log", first ? "0\n1\n2\na\n" : "0\n1\na\n");
        assert_int_equal(sim_close(mount, &file), 0);
        assert_value(mount, "/log", first ? "0\n1\n2\na\n3\n" : "0\n1\na\n2\n3\n");
        sim_mount_settle(mount);
    }
}

/* The base stands when it is looked for; then the attempt happens, and then comes the next try. */
static void test_append_happens_late(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    mount->direct.delay_write = true;
    assert_int_equal(sim_fsync(mount, &file), -ETIMEDOUT);
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    mount->direct.hold_writes = true;
    struct sim_call *call = sim_flush_begin(mount, &file, P1);
    sim_mount_settle(mount);
    kv_direct_apply_delayed(&mount->direct);
    mount->direct.hold_writes = false;
    assert_int_equal(sim_mount_wait(mount, call), 0);
    assert_value(mount, "/log", "0\n1\n2\n");
    sim_release(mount, &file);
}

static void test_in_place_happened(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_with(mount, "f", O_RDWR, "0123456789");
    assert_int_equal(sim_write(mount, &file, 2, "xx"), 0);
    lose_save(mount, &file);
    assert_int_equal(sim_write(mount, &file, 5, "yy"), 0);
    assert_int_equal(sim_fsync(mount, &file), 0);
    assert_value(mount, "/f", "01xx4yy789");
    assert_int_equal(sim_write(mount, &file, 0, "z"), 0);
    lose_save(mount, &file);
    kv_direct_other_put(&mount->direct, "/f", "theirs");
    assert_int_equal(sim_close(mount, &file), 0);       /* it was saved; theirs went over it */
    assert_value(mount, "/f", "theirs");
    assert_int_equal(conflicts_count(mount->fs), 0);
}

static void test_in_place_never_happened(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_with(mount, "f", O_RDWR, "0123456789");
    assert_int_equal(sim_write(mount, &file, 2, "xx"), 0);
    fail_unknown(mount, &file);
    assert_int_equal(sim_write(mount, &file, 5, "yy"), 0);
    kv_direct_other_put(&mount->direct, "/f", "theirs");
    assert_int_equal(sim_close(mount, &file), -ESTALE);
    sim_mount_settle(mount);
    assert_value(mount, "/f", "theirs");
    assert_int_equal(conflicts_count(mount->fs), 1);
    assert_bytes_equal(blob_bytes(conflicts_get(mount->fs, 0)->content), bytes_of_text("01xx4yy789"));
}

/* A rewrite that has lost many races compares the file's life alone. */
static void rewrite_over_others(struct sim_mount *mount, int races)
{
    struct sim_file file = open_with(mount, "f", O_RDWR | O_TRUNC, "old");
    assert_int_equal(sim_write(mount, &file, 0, "mine"), 0);
    struct kernel_request fsync = {.kind = KERNEL_FSYNC, .node = file.node, .pid = P1,
                                   .has_handle = true, .handle = file.handle};
    struct sim_call *call = sim_mount_send(mount, &fsync);
    for (int race = 0; race < races; race++) {
        kv_direct_other_put(&mount->direct, "/f", "theirs");
        kv_direct_turn(&mount->direct);         /* refused */
        LIST_FOR_EACH(link, &mount->fs->timers)
            container_of(link, struct fs_timer, link)->at_ms = 0;
        fs_on_alarm(mount->fs);
        kv_direct_turn(&mount->direct);         /* looked at */
    }
    if (races > 4)
        kv_direct_other_put(&mount->direct, "/f", "a race that cannot be lost any more");
    lose_answer(mount);
    assert_int_equal(sim_mount_wait(mount, call), -ETIMEDOUT);
    assert_value(mount, "/f", "mine");
    kv_direct_other_put(&mount->direct, "/f", "mine+1");
    kv_direct_other_put(&mount->direct, "/f", "mine+1+2");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/f", "mine+1+2");
    sim_mount_settle(mount);
}

static void test_rewrite_over_others(void **state)
{
    for (int races = 0; races < 6; races++)
        rewrite_over_others(*state, races);
}

static void test_made_and_written_on(void **state)
{
    struct sim_mount *mount = *state;
    static const int kinds[] = {O_APPEND, O_TRUNC, 0};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct sim_file file;
        char name[] = {'m', (char)('0' + i), 0}, key[] = {'/', 'm', (char)('0' + i), 0};
        assert_int_equal(sim_open_path(mount, name, O_RDWR | O_CREAT | kinds[i], P1, &file), 0);
        assert_int_equal(sim_write(mount, &file, 0, "1\n"), 0);
        lose_save(mount, &file);
        assert_value(mount, key, "1\n");
        assert_int_equal(sim_write(mount, &file, 2, "2\n"), 0);
        if (kinds[i] == O_APPEND)
            kv_direct_other_put(&mount->direct, key, "1\na\n");
        assert_int_equal(sim_close(mount, &file), 0);
        assert_value(mount, key, kinds[i] == O_APPEND ? "1\na\n2\n" : "1\n2\n");
        sim_mount_settle(mount);
    }
}

static void test_made_by_nobody(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file;
    assert_int_equal(sim_open_path(mount, "m", O_RDWR | O_CREAT | O_APPEND, P1, &file), 0);
    assert_int_equal(sim_write(mount, &file, 0, "1\n"), 0);
    fail_unknown(mount, &file);
    assert_int_equal(sim_write(mount, &file, 0, "2\n"), 0);
    kv_direct_other_put(&mount->direct, "/m", "1\n");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/m", "1\n1\n2\n");
}

/* The same content with another record is somebody else's. */
static void test_attributes_belong_to_it(void **state)
{
    struct sim_mount *mount = *state;
    struct stat attr = {.st_mode = S_IFREG | 0600};
    struct sim_file file = open_with(mount, "f", O_RDWR | O_TRUNC, "old");
    assert_int_equal(sim_write(mount, &file, 0, "new"), 0);
    assert_int_equal(sim_setattr(mount, file.node, NULL, KERNEL_SET_MODE, &attr, P1), 0);
    fail_unknown(mount, &file);
    kv_direct_other_put(&mount->direct, "/f", "new");
    assert_int_equal(sim_close(mount, &file), 0);
    assert_int_equal(sim_getattr(mount, file.node, P2), 0);
    assert_int_equal(mount->attr.st_mode & 0777, 0600);
}

/* History is gone: bytes may be there twice, but they are there. */
static void test_compacted(void **state)
{
    struct sim_mount *mount = *state;
    struct sim_file file = open_log(mount);
    fail_unknown(mount, &file);
    kv_direct_other_put(&mount->direct, "/log", "0\na\n");
    kv_direct_compact(&mount->direct, kv_direct_other_put(&mount->direct, "/log", "0\na\nb\n"));
    assert_int_equal(sim_close(mount, &file), 0);
    assert_value(mount, "/log", "0\na\nb\n1\n");
}

/* ---- drawn ---- */

/* Appends of this mount and of another host, saves that fail in every way: each line is there once, and
 * each writer's in its order; a request that was given up may be done at any time later. */
struct drawn {
    struct sim_mount *mount;
    struct rand rand;
    struct sim_file file;
    unsigned mine, theirs;
};

static void other_appends(struct drawn *drawn)
{
    struct buf value = {0};
    char line[16];
    kv_direct_value(&drawn->mount->direct, "/log", &value);
    snprintf(line, sizeof(line), "t%u\n", drawn->theirs++);
    buf_append(&value, bytes_of_text(line));
    buf_append_u8(&value, 0);
    kv_direct_other_put(&drawn->mount->direct, "/log", (const char *)value.data);
    buf_release(&value);
}

static void draw_save(struct drawn *drawn)
{
    struct kv_direct *direct = &drawn->mount->direct;
    static const enum err_code codes[] = {ERR_OK, ERR_TIMEOUT, ERR_SESSION_LOST, ERR_CANCELED};
    enum err_code code = codes[rand_below(&drawn->rand, ARRAY_COUNT(codes))];
    struct kernel_request fsync = {.kind = KERNEL_FSYNC, .node = drawn->file.node, .pid = P1,
                                   .has_handle = true, .handle = drawn->file.handle};
    struct sim_call *call = sim_mount_send(drawn->mount, &fsync);
    for (uint64_t turns = rand_below(&drawn->rand, 4); turns; turns--) {
        kv_direct_turn(direct);
        if (rand_below(&drawn->rand, 3) == 0)
            other_appends(drawn);
        if (rand_below(&drawn->rand, 4) == 0)
            kv_direct_apply_delayed(direct);
    }
    uint64_t how = rand_below(&drawn->rand, 3);
    if (how == 0)
        direct->lose_answers = code;
    else if (how == 1)
        direct->refuse_writes = code;
    else
        direct->delay_write = !direct->delayed;
    direct->lose_count = 0;
    sim_mount_wait(drawn->mount, call);
    direct->lose_answers = direct->refuse_writes = ERR_OK;
    direct->delay_write = false;
}

static void draw_step(struct drawn *drawn)
{
    char line[16];
    switch (rand_below(&drawn->rand, 5)) {
    case 0:
        other_appends(drawn);
        break;
    case 1:
        draw_save(drawn);
        break;
    case 2:
        kv_direct_apply_delayed(&drawn->mount->direct);
        break;
    default:
        snprintf(line, sizeof(line), "m%u\n", drawn->mine++);
        assert_int_equal(sim_write(drawn->mount, &drawn->file, 0, line), 0);
    }
}

static void check_lines(struct drawn *drawn)
{
    struct buf value = {0};
    unsigned mine = 0, theirs = 0;
    assert_true(kv_direct_value(&drawn->mount->direct, "/log", &value));
    buf_append_u8(&value, 0);
    for (char *line = strtok((char *)value.data, "\n"); line; line = strtok(NULL, "\n"))
        assert_int_equal(strtoul(line + 1, NULL, 10), *line == 'm' ? mine++ : theirs++);
    assert_int_equal(mine, drawn->mine);
    assert_int_equal(theirs, drawn->theirs);
    buf_release(&value);
}

static void test_drawn_appends(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 500; seed++) {
        struct sim_mount mount;
        struct drawn drawn = {.mount = &mount};
        sim_mount_init(&mount);
        rand_init(&drawn.rand, seed);
        if (seed % 2)
            other_appends(&drawn);
        int flags = O_RDWR | O_CREAT | O_APPEND;
        assert_int_equal(sim_open_path(&mount, "log", flags, P1, &drawn.file), 0);
        for (int i = 0; i < 40; i++)
            draw_step(&drawn);
        assert_int_equal(sim_close(&mount, &drawn.file), 0);
        sim_mount_settle(&mount);
        kv_direct_apply_delayed(&mount.direct);
        check_lines(&drawn);
        sim_mount_release(&mount);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MOUNT(test_append_happened_and_others_went_on),
        WITH_MOUNT(test_append_happened_and_was_written_on),
        WITH_MOUNT(test_append_never_happened),
        WITH_MOUNT(test_equal_by_another_way),
        WITH_MOUNT(test_twice_unknown),
        WITH_MOUNT(test_append_happens_late),
        WITH_MOUNT(test_in_place_happened),
        WITH_MOUNT(test_in_place_never_happened),
        WITH_MOUNT(test_rewrite_over_others),
        WITH_MOUNT(test_made_and_written_on),
        WITH_MOUNT(test_made_by_nobody),
        WITH_MOUNT(test_attributes_belong_to_it),
        WITH_MOUNT(test_compacted),
        cmocka_unit_test(test_drawn_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
