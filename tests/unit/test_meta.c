/* Records: canonical bytes, what they mean, and what is none. */
#include "tests/test.h"

#include "proto/base/limits.h"
#include "proto/meta.h"
#include "proto/schema/record.pb-c.h"

#define B(text) BYTES_LITERAL(text)

static void a_full_record_comes_back(void **state)
{
    (void)state;
    struct meta_xattr xattrs[] = {{B("user.a"), B("1")}, {B("user.b"), BYTES_EMPTY}};
    struct meta meta = {.type = META_CHAR_DEVICE, .has_mode = true, .has_owner = true,
                        .has_mtime = true, .has_atime = true, .has_birth = true, .mode = 07755,
                        .uid = UINT32_MAX, .gid = 0, .mtime = -1, .atime = 0, .birth = 5,
                        .mtime_for = 8, .rdev = 0x501, .file_id = 1ull << 62, .for_create = 7,
                        .xattrs = xattrs, .xattr_count = 2};
    struct buf buf = {0}, again = {0};
    struct arena arena = {0};
    struct meta back;
    meta_encode(&meta, &buf);
    assert_ok(meta_decode(buf_bytes(&buf), &arena, &back));
    assert_int_equal(back.type, META_CHAR_DEVICE);
    assert_true(back.has_mode && back.has_owner && back.has_mtime && back.has_atime &&
                back.has_birth);
    assert_int_equal(back.mode, 07755);
    assert_int_equal(back.uid, UINT32_MAX);
    assert_int_equal(back.gid, 0);
    assert_int_equal(back.mtime, -1);
    assert_int_equal(back.atime, 0);
    assert_int_equal(back.birth, 5);
    assert_int_equal(back.mtime_for, 8);
    assert_int_equal(back.rdev, 0x501);
    assert_int_equal(back.file_id, 1ull << 62);
    assert_int_equal(back.for_create, 7);
    assert_int_equal(back.xattr_count, 2);
    assert_bytes_equal(back.xattrs[1].name, B("user.b"));
    meta_encode(&back, &again);
    assert_bytes_equal(buf_bytes(&buf), buf_bytes(&again));

    /* Generated code agrees, bytes included. */
    Record__Meta *message = record__meta__unpack(NULL, buf.size, buf.data);
    assert_non_null(message);
    assert_int_equal(message->mtime, -1);
    assert_int_equal(message->n_xattrs, 2);
    uint8_t packed[256];
    message->xattrs[1]->has_value = 0;
    assert_int_equal(record__meta__pack(message, packed), buf.size);
    assert_memory_equal(packed, buf.data, buf.size);
    record__meta__free_unpacked(message, NULL);
    arena_release(&arena);
    buf_release(&buf);
    buf_release(&again);
}

static void an_empty_record_is_all_defaults(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct meta meta = {.has_mode = true};
    struct buf buf = {0};
    assert_ok(meta_decode(BYTES_EMPTY, &arena, &meta));
    assert_int_equal(meta.type, META_FILE);
    assert_false(meta.has_mode || meta.has_owner || meta.has_mtime);
    meta_encode(&meta, &buf);
    assert_int_equal(buf.size, 0);
    arena_release(&arena);
}

static void what_is_no_record(void **state)
{
    (void)state;
    const struct bytes bad[] = {
        B("\x08\x07"),              /* type 7 */
        B("\x10\x80\x40"),          /* mode 020000 */
        B("\x18\x01"),              /* uid without gid */
        B("\x20\x01"),              /* gid without uid */
        B("\x18\x80\x80\x80\x80\x10\x20\x00"),  /* uid of 33 bits */
        B("\x28\x01"),              /* mtime of another wire type */
        B("\x29\x01"),              /* mtime cut */
        B("\x62\x00"),              /* xattr without a name */
        B("\x62\x03\x0a\x01\x00"),  /* NUL in a name */
        B("\x62\x03\x0a\x01" "b" "\x62\x03\x0a\x01" "a"),   /* not sorted */
        B("\x62\x03\x0a\x01" "a" "\x62\x03\x0a\x01" "a"),   /* twice */
        B("\x62\x09\x0a"),          /* longer than the record */
        B("\x00"), B("\x0b"), B("\xff"), B("\x08\x80\x00"), /* no field, a group, cut, overlong */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct arena arena = {0};
        struct meta meta = {.mode = 1};
        assert_err(meta_decode(bad[i], &arena, &meta), CORRUPT);
        assert_int_equal(meta.mode, 1);     /* untouched */
        arena_release(&arena);
    }
    struct meta_xattr xattr = {B("user.a"), bytes_of(calloc(1, XATTR_SIZE_MAX), XATTR_SIZE_MAX)};
    struct meta meta = {.xattrs = &xattr, .xattr_count = 1};
    struct buf buf = {0};
    struct arena arena = {0};
    meta_encode(&meta, &buf);
    assert_err(meta_decode(buf_bytes(&buf), &arena, &meta), CORRUPT);
    free((void *)xattr.value.data);
    buf_release(&buf);
    arena_release(&arena);
}

static void unknown_fields_are_passed_over(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct meta meta;
    assert_ok(meta_decode(B("\x10\xa4\x03\xa2\x06\x01x"), &arena, &meta));
    assert_int_equal(meta.mode, 0644);
    arena_release(&arena);
}

static void when_it_counts(void **state)
{
    (void)state;
    struct meta meta = {0};
    assert_true(meta_counts(&meta, 5, 5));
    assert_false(meta_counts(&meta, 6, 5));     /* changed later, without saying for what */
    meta.for_create = 5;
    assert_true(meta_counts(&meta, 9, 5));
    assert_false(meta_counts(&meta, 9, 9));
    assert_true(meta_times_count(&meta, 9, 9));
    meta.mtime_for = 7;
    assert_true(meta_times_count(&meta, 9, 7));
    assert_false(meta_times_count(&meta, 9, 9));
}

static void identities(void **state)
{
    (void)state;
    uint64_t id = meta_file_id(1, B("/a"), 5, NULL);
    struct meta meta = {0};
    assert_int_equal(id, meta_file_id(1, B("/a"), 5, &meta));
    assert_int_not_equal(id, meta_file_id(1, B("/b"), 5, NULL));
    assert_int_not_equal(id, meta_file_id(1, B("/a"), 6, NULL));
    assert_int_not_equal(id, meta_file_id(2, B("/a"), 5, NULL));
    meta.file_id = id;
    assert_int_equal(id, meta_file_id(9, B("/z"), 1, &meta));
    meta.file_id = 1ull << 63 | 77;
    assert_int_equal(77, meta_file_id(9, B("/z"), 1, &meta));
    meta.file_id = 1;
    assert_true(meta_file_id(9, B("/z"), 1, &meta) > 1);
}

static void keys_of_records(void **state)
{
    (void)state;
    struct buf buf = {0};
    meta_key(&buf, B("/a"));
    assert_bytes_equal(buf_bytes(&buf), B(".concordfs/meta//a"));
    buf_clear(&buf);
    meta_directory_key(&buf, BYTES_EMPTY);
    assert_bytes_equal(buf_bytes(&buf), B(".concordfs/dir/"));
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_record_comes_back),
        cmocka_unit_test(an_empty_record_is_all_defaults),
        cmocka_unit_test(what_is_no_record),
        cmocka_unit_test(unknown_fields_are_passed_over),
        cmocka_unit_test(when_it_counts),
        cmocka_unit_test(identities),
        cmocka_unit_test(keys_of_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
