/* Staging, against a model that keeps every operation and replays it the plain way. */
#include "tests/test.h"

#include "fs/staging.h"
#include "proto/base/rand.h"

#define SIZE_MAX_TEST 4096

static struct bytes text(const char *from) { return bytes_of_text(from); }

static void assert_view(const struct staging *staging, const char *expected)
{
    assert_bytes_equal(staging_view(staging), text(expected));
}

static void assert_replay(struct staging *staging, const char *newest, const char *expected)
{
    struct buf content = {0};
    assert_ok(staging_replay(staging, text(newest), false, &content));
    assert_bytes_equal(buf_bytes(&content), text(expected));
    buf_release(&content);
}

static void test_replay_keeps_what_others_wrote(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("hello"));
    assert_false(staging_is_dirty(&staging));
    assert_ok(staging_write(&staging, 0, text("J")));
    assert_ok(staging_append(&staging, text("!")));
    assert_view(&staging, "Jello!");
    assert_int_equal(staging.live.kind, STAGING_IN_PLACE);
    staging_freeze(&staging);
    assert_replay(&staging, "hello, world", "Jello, world!");
    assert_replay(&staging, "", "J!");
    staging_release(&staging);
}

static void test_truncate_and_rewrite_needs_no_base(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("old content"));
    assert_ok(staging_write(&staging, 3, text("xx")));
    assert_ok(staging_truncate(&staging, 0));
    assert_true(staging_is_bare_truncate(&staging));
    assert_ok(staging_write(&staging, 0, text("8080\n")));
    assert_false(staging_is_bare_truncate(&staging));
    assert_int_equal(staging.live.kind, STAGING_REPLACE);
    staging_freeze(&staging);
    assert_replay(&staging, "another one", "8080\n");
    staging_release(&staging);
}

static void test_appends_merge(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("a\n"));
    assert_ok(staging_append(&staging, text("b")));
    assert_ok(staging_append(&staging, text("\n")));
    assert_int_equal(staging.live.kind, STAGING_APPEND);
    assert_int_equal(staging.live.count, 1);
    staging_freeze(&staging);
    assert_replay(&staging, "a\nz\n", "a\nz\nb\n");
    staging_saved(&staging, text("a\nz\nb\n"));
    assert_view(&staging, "a\nz\nb\n");
    assert_false(staging_is_dirty(&staging));
    staging_release(&staging);
}

static void test_limits(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, 8);
    staging_begin(&staging, text("12345"));
    assert_err(staging_write(&staging, 5, text("6789")), TOO_BIG);
    assert_err(staging_write(&staging, UINT64_MAX, text("6")), TOO_BIG);
    assert_err(staging_write(&staging, UINT64_MAX - 1, text("6789")), TOO_BIG);
    assert_err(staging_append(&staging, text("6789")), TOO_BIG);
    assert_err(staging_truncate(&staging, 9), TOO_BIG);
    assert_false(staging_is_dirty(&staging));
    assert_view(&staging, "12345");
    assert_ok(staging_append(&staging, text("678")));
    staging_freeze(&staging);
    struct buf content = {0};
    assert_err(staging_replay(&staging, text("123456"), false, &content), TOO_BIG);
    assert_int_equal(content.size, 0);
    staging_release(&staging);
}

static void test_holes_are_zeros(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("secret"));
    assert_ok(staging_truncate(&staging, 2));
    assert_ok(staging_write(&staging, 5, text("x")));
    assert_bytes_equal(staging_view(&staging), bytes_of("se\0\0\0x", 6));
    assert_ok(staging_truncate(&staging, 3));
    assert_ok(staging_truncate(&staging, 7));
    assert_bytes_equal(staging_view(&staging), bytes_of("se\0\0\0\0\0", 7));
    assert_ok(staging_zero(&staging, 1, 100));
    assert_bytes_equal(staging_view(&staging), bytes_of("s\0\0\0\0\0\0", 7));
    staging_freeze(&staging);
    struct buf content = {0};
    assert_ok(staging_replay(&staging, text("secret"), true, &content));
    assert_bytes_equal(buf_bytes(&content), bytes_of("s\0\0\0\0\0\0", 7));
    buf_release(&content);
    staging_release(&staging);
}

static void test_written_while_saving(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("one"));
    assert_ok(staging_append(&staging, text(" two")));
    staging_freeze(&staging);
    assert_false(staging_is_live(&staging));
    assert_ok(staging_append(&staging, text(" three")));
    assert_replay(&staging, "0 one", "0 one two");
    staging_thaw(&staging);                     /* not saved: both wait for the next time */
    assert_view(&staging, "one two three");
    staging_freeze(&staging);
    assert_replay(&staging, "one", "one two three");
    assert_ok(staging_append(&staging, text(" four")));
    staging_saved(&staging, text("0 one two three"));
    assert_view(&staging, "0 one two three four");
    assert_true(staging_is_live(&staging));

    staging_freeze(&staging);
    assert_ok(staging_truncate(&staging, 0));   /* what is being saved is no longer wanted here */
    assert_ok(staging_write(&staging, 0, text("new")));
    staging_thaw(&staging);
    assert_int_equal(staging.live.kind, STAGING_REPLACE);
    assert_view(&staging, "new");
    staging_release(&staging);
}

/* One place rewritten for ever ends as the view alone, and that may not go over another version. */
static void test_lists_are_bounded(void **state)
{
    (void)state;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text("0123456789"));
    for (int i = 0; i < 3 * STAGING_OPS_MAX; i++) {
        assert_ok(staging_write(&staging, (uint64_t)(i % 2) * 4, bytes_of(&"ab"[i % 2], 1)));
        assert_true(staging.live.count <= STAGING_OPS_MAX);
    }
    assert_int_equal(staging.live.kind, STAGING_FIXED);
    assert_view(&staging, "a123b56789");
    staging_freeze(&staging);
    struct buf content = {0};
    assert_err(staging_replay(&staging, text("0123456789"), false, &content), CONFLICT);
    assert_ok(staging_replay(&staging, text("0123456789"), true, &content));
    assert_bytes_equal(buf_bytes(&content), text("a123b56789"));
    buf_release(&content);
    staging_release(&staging);
}

static void test_attributes(void **state)
{
    (void)state;
    struct staging staging;
    struct arena arena = {0};
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, text(""));
    staging.live.attributes.has_mode = true;
    staging.live.attributes.mode = 0600;
    staging.live.attributes.has_mtime = true;
    staging.live.attributes.mtime = 5;
    staged_attributes_xattr(&staging.live.attributes, text("user.b"), text("1"), false);
    staged_attributes_xattr(&staging.live.attributes, text("user.a"), text("2"), false);
    staged_attributes_xattr(&staging.live.attributes, text("user.b"), text("3"), false);
    staged_attributes_xattr(&staging.live.attributes, text("user.old"), text(""), true);
    assert_true(staging_is_dirty(&staging));
    assert_false(staging_is_bare_truncate(&staging));

    struct meta_xattr old[] = {{text("user.keep"), text("k")}, {text("user.old"), text("o")}};
    struct meta meta = {.xattrs = old, .xattr_count = 2, .uid = 7};
    staging_attributes_apply(&staging, &arena, &meta);
    assert_int_equal(meta.mode, 0600);
    assert_true(meta.has_mtime);
    assert_false(meta.has_owner);
    assert_int_equal(meta.xattr_count, 3);
    assert_bytes_equal(meta.xattrs[0].name, text("user.a"));
    assert_bytes_equal(meta.xattrs[1].value, text("3"));
    assert_bytes_equal(meta.xattrs[2].name, text("user.keep"));

    staging_freeze(&staging);
    assert_ok(staging_write(&staging, 0, text("x")));   /* the time that was set is over */
    struct meta later = {0};
    staging_attributes_apply(&staging, &arena, &later);
    assert_false(later.has_mtime);
    assert_true(later.has_mode);
    staging_thaw(&staging);
    assert_false(staging.live.attributes.has_mtime);
    assert_true(staging.live.attributes.has_mode);
    arena_release(&arena);
    staging_release(&staging);
}

/* ---- the model ---- */

#define MODEL_OPS 64

struct model_op {
    int verb;
    size_t offset, size;
    uint8_t byte;
};

struct content {
    uint8_t data[SIZE_MAX_TEST];
    size_t size;
};

static bool model_play(struct content *content, const struct model_op *op)
{
    size_t offset = op->verb == STAGING_ADD ? content->size : op->offset;
    size_t end = op->verb == STAGING_TRUNCATE ? op->offset : offset + op->size;
    if (end > SIZE_MAX_TEST)
        return false;
    if (op->verb != STAGING_TRUNCATE && op->size == 0)
        return true;
    if (op->verb == STAGING_TRUNCATE && end < content->size)
        memset(content->data + end, 0, content->size - end);
    if (op->verb == STAGING_TRUNCATE || end > content->size)
        content->size = end;
    if (op->verb != STAGING_TRUNCATE)
        memset(content->data + offset, op->byte, op->size);
    return true;
}

static struct content model_base(struct rand *rand)
{
    struct content base = {.size = (size_t)rand_below(rand, 600)};
    for (size_t i = 0; i < base.size; i++)
        base.data[i] = (uint8_t)('A' + rand_below(rand, 26));
    return base;
}

static enum err_code stage(struct staging *staging, const struct model_op *op)
{
    uint8_t data[SIZE_MAX_TEST];
    memset(data, op->byte, sizeof(data));
    if (op->verb == STAGING_TRUNCATE)
        return staging_truncate(staging, op->offset);
    if (op->verb == STAGING_ADD)
        return staging_append(staging, bytes_of(data, op->size));
    return staging_write(staging, op->offset, bytes_of(data, op->size));
}

static struct model_op draw(struct rand *rand)
{
    struct model_op op = {.verb = (int)rand_below(rand, 3), .byte = (uint8_t)rand_below(rand, 256)};
    op.offset = (size_t)rand_below(rand, rand_chance(rand, 1, 20) ? SIZE_MAX_TEST + 200 : 700);
    op.size = (size_t)rand_below(rand, 200);
    if (op.verb == STAGING_TRUNCATE && rand_chance(rand, 1, 4))
        op.offset = 0;
    return op;
}

static void check_replay(struct staging *staging, const struct content *newest,
                         const struct model_op *ops, size_t count)
{
    struct content expected = *newest;
    bool fits = true;
    for (size_t i = 0; i < count && fits; i++)
        fits = model_play(&expected, &ops[i]);
    struct buf content = {0};
    enum err_code code = staging_replay(staging, bytes_of(newest->data, newest->size), false,
                                        &content);
    if (code == ERR_OK && fits)
        assert_bytes_equal(buf_bytes(&content), bytes_of(expected.data, expected.size));
    else if (fits)
        assert_int_equal(code, ERR_TOO_BIG);
    buf_release(&content);
}

static void run_model(uint64_t seed)
{
    struct rand rand;
    rand_init(&rand, seed);
    struct content base = model_base(&rand), view = base;
    struct model_op ops[MODEL_OPS];
    size_t count = 0, frozen = 0;
    struct staging staging;
    staging_init(&staging, SIZE_MAX_TEST);
    staging_begin(&staging, bytes_of(base.data, base.size));
    for (int i = 0; i < 60; i++) {
        struct model_op op = draw(&rand);
        struct content next = view;
        bool fits = model_play(&next, &op);
        enum err_code code = stage(&staging, &op);
        assert_int_equal(code, fits ? ERR_OK : ERR_TOO_BIG);
        if (fits) {
            view = next;
            ops[count++] = op;
        }
        assert_bytes_equal(staging_view(&staging), bytes_of(view.data, view.size));
        if (!staging.is_frozen && rand_chance(&rand, 1, 12)) {
            staging_freeze(&staging);
            frozen = count;
        } else if (staging.is_frozen && rand_chance(&rand, 1, 3)) {
            struct content other = model_base(&rand);
            check_replay(&staging, &other, ops, frozen);
            staging_thaw(&staging);
        }
    }
    if (staging.is_frozen)
        staging_thaw(&staging);
    staging_freeze(&staging);
    check_replay(&staging, &base, ops, count);
    struct content other = model_base(&rand);
    check_replay(&staging, &other, ops, count);
    staging_release(&staging);
}

static void test_random_operations(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++)
        run_model(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_keeps_what_others_wrote),
        cmocka_unit_test(test_truncate_and_rewrite_needs_no_base),
        cmocka_unit_test(test_appends_merge),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_holes_are_zeros),
        cmocka_unit_test(test_written_while_saving),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
