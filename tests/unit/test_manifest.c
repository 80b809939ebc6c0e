/* mvcc/manifest.c: a version of a store from a MANIFEST, wherever it ends; mvcc/home_manifest.c: the list
 * of a copy's files as bytes. */
#include "mvcc/manifest.h"

#include "mvcc/home_internal.h"
#include "proto/base/hash.h"
#include "tests/test.h"
#include "tests/unit/manifest_writer.h"

#define TABLES_MAX 5000

static void give(struct buf *to, struct buf *edit)
{
    manifest_record(to, buf_bytes(edit));
    buf_release(edit);
}

/* Three versions: tables 5 and 6; 5 a level lower, 7 new; 8 instead of 5 and 6. */
static void three_versions(struct buf *to, size_t *ends)
{
    struct buf edit = {0};
    buf_append_varint(&edit, 1);
    edit_sized(&edit, "leveldb.BytewiseComparator");
    edit_comes(&edit, 0, 5, 500);
    edit_comes(&edit, 0, 6, 600);
    give(to, &edit);
    ends[0] = to->size;
    edit_number(&edit, 2, 11);
    edit_number(&edit, 9, 0);
    edit_number(&edit, 3, 12);
    edit_number(&edit, 4, 1000);
    edit_goes(&edit, 0, 5);
    edit_comes(&edit, 1, 5, 500);
    edit_comes(&edit, 0, 7, 700);
    give(to, &edit);
    ends[1] = to->size;
    buf_append_varint(&edit, 5);
    buf_append_varint(&edit, 1);
    edit_sized(&edit, "compact up to here");
    edit_goes(&edit, 0, 6);
    edit_goes(&edit, 1, 5);
    edit_comes(&edit, 2, 8, 1 << 20);
    give(to, &edit);
    ends[2] = to->size;
}

static void assert_tables(const struct manifest *manifest, const char *want)
{
    struct buf have = {0};
    for (size_t i = 0; i < manifest->count; i++)
        buf_append_format(&have, "%llu:%llu ", (unsigned long long)manifest->tables[i].number,
                          (unsigned long long)manifest->tables[i].size);
    buf_append_u8(&have, 0);
    assert_string_equal((const char *)have.data, want);
    buf_release(&have);
}

/* Each prefix is the version of its last whole edit. */
static void test_every_prefix(void **state)
{
    (void)state;
    static const char *const want[] = {"5:500 6:600 ", "5:500 6:600 7:700 ", "7:700 8:1048576 "};
    struct buf bytes = {0};
    size_t ends[3];
    three_versions(&bytes, ends);
    for (size_t size = 0; size <= bytes.size; size++) {
        struct manifest manifest = {0};
        enum err_code code =
            manifest_decode(bytes_of(bytes.data, size), TABLES_MAX, &manifest, NULL);
        if (size < ends[0]) {
            assert_int_equal(code, ERR_CORRUPT);
            continue;
        }
        assert_ok(code);
        int version = size < ends[1] ? 0 : size < ends[2] ? 1 : 2;
        assert_int_equal(manifest.size, ends[version]);
        assert_tables(&manifest, want[version]);
        manifest_release(&manifest);
    }
    buf_release(&bytes);
}

/* A flipped bit is damage, or makes the last edit look unfinished. */
static void test_every_bit(void **state)
{
    (void)state;
    struct buf bytes = {0};
    size_t ends[3];
    three_versions(&bytes, ends);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        struct manifest manifest = {0};
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum err_code code = manifest_decode(buf_bytes(&bytes), TABLES_MAX, &manifest, NULL);
        if (code == ERR_OK)
            assert_true(manifest.size < bytes.size);
        else
            assert_int_equal(code, ERR_CORRUPT);
        manifest_release(&manifest);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_release(&bytes);
}

static void edit_of_size(struct buf *edit, size_t size)
{
    if (size % 2)
        edit_number(edit, 4, 128);
    while (edit->size < size)
        edit_number(edit, 4, 1);
    assert_int_equal(edit->size, size);
}

/* Edits longer than a block, and ones that end at each place before its end. */
static void test_blocks(void **state)
{
    (void)state;
    for (size_t left = 0; left < 20; left++) {
        struct buf bytes = {0}, edit = {0};
        struct manifest manifest = {0};
        for (uint64_t number = 1; number <= 3000; number++)
            edit_comes(&edit, 2, number, number * 3);
        give(&bytes, &edit);
        assert_true(bytes.size > 2 * MANIFEST_BLOCK);
        size_t room = MANIFEST_BLOCK - bytes.size % MANIFEST_BLOCK;
        edit_of_size(&edit, room - left - MANIFEST_HEAD);
        give(&bytes, &edit);
        assert_int_equal(bytes.size % MANIFEST_BLOCK, (MANIFEST_BLOCK - left) % MANIFEST_BLOCK);
        edit_goes(&edit, 2, 1);
        edit_comes(&edit, 0, 9000, 1);
        give(&bytes, &edit);
        assert_ok(manifest_decode(buf_bytes(&bytes), TABLES_MAX, &manifest, NULL));
        assert_int_equal(manifest.count, 3000);
        assert_int_equal(manifest.size, bytes.size);
        assert_int_equal(manifest.tables[0].number, 2);
        assert_int_equal(manifest.tables[2999].number, 9000);
        manifest_release(&manifest);
        buf_release(&bytes);
    }
}

static enum err_code decode_edit(struct buf *edit, size_t tables_max, struct err *err)
{
    struct buf bytes = {0};
    struct manifest manifest = {0};
    give(&bytes, edit);
    enum err_code code = manifest_decode(buf_bytes(&bytes), tables_max, &manifest, err);
    manifest_release(&manifest);
    buf_release(&bytes);
    return code;
}

static void test_edits_that_make_no_sense(void **state)
{
    (void)state;
    struct buf edit = {0};
    struct err err = {0};
    edit_goes(&edit, 0, 5);
    assert_err(decode_edit(&edit, 10, &err), CORRUPT);
    assert_non_null(strstr(err.text, "not there"));
    edit_comes(&edit, 0, 5, 1);
    edit_comes(&edit, 0, 5, 1);
    assert_err(decode_edit(&edit, 10, &err), CORRUPT);
    edit_comes(&edit, 0, 5, 1);
    edit_comes(&edit, 1, 5, 1);
    assert_err(decode_edit(&edit, 10, &err), CORRUPT);
    assert_non_null(strstr(err.text, "two levels"));
    edit_number(&edit, 8, 1);
    assert_err(decode_edit(&edit, 10, &err), CORRUPT);
    assert_non_null(strstr(err.text, "unknown"));
    edit_number(&edit, 1, UINT64_MAX);
    assert_err(decode_edit(&edit, 10, &err), CORRUPT);
    for (uint64_t i = 0; i < 11; i++)
        edit_comes(&edit, 0, i, 1);
    assert_err(decode_edit(&edit, 10, &err), TOO_BIG);
    for (uint64_t i = 0; i < 10; i++)
        edit_comes(&edit, 0, i, 1);
    assert_ok(decode_edit(&edit, 10, &err));
    /* An edit without a field is one; fragments without a beginning are none. */
    assert_ok(decode_edit(&edit, 10, &err));
    for (uint8_t kind = 0; kind < 6; kind++) {
        struct manifest manifest = {0};
        manifest_fragment(&edit, kind, BYTES_EMPTY);
        enum err_code code = manifest_decode(buf_bytes(&edit), 10, &manifest, NULL);
        assert_int_equal(code, kind == 1 ? ERR_OK : ERR_CORRUPT);
        manifest_release(&manifest);
        buf_release(&edit);
    }
}

/* ---- the list of a copy's files ---- */

static struct home_manifest list_of(struct home_file *files, size_t count)
{
    struct home_manifest list = {.files = files, .count = count};
    home_manifest_seal(&list);
    return list;
}

static void test_list(void **state)
{
    (void)state;
    struct home_file files[] = {{"CURRENT", 16, 7}, {"MANIFEST-000002", 100, 8},
                                {"000005.ldb", HOME_FILE_SIZE_MAX, UINT32_MAX}};
    struct home_manifest list = list_of(files, 3), again = {0};
    struct buf bytes = {0}, same = {0};
    home_manifest_encode(&list, &bytes);
    assert_ok(home_manifest_decode(buf_bytes(&bytes), &again, NULL));
    assert_true(home_manifest_equal(&list, &again));
    assert_int_equal(home_manifest_bytes(&again), 116 + HOME_FILE_SIZE_MAX);
    home_manifest_encode(&again, &same);
    assert_bytes_equal(buf_bytes(&same), buf_bytes(&bytes));
    home_manifest_release(&again);
    for (size_t size = 0; size < bytes.size; size++)
        assert_err(home_manifest_decode(bytes_of(bytes.data, size), &again, NULL), CORRUPT);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_err(home_manifest_decode(buf_bytes(&bytes), &again, NULL), CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_null(again.files);
    buf_append_u8(&bytes, 0);
    assert_err(home_manifest_decode(buf_bytes(&bytes), &again, NULL), CORRUPT);
    buf_release(&bytes);
    buf_release(&same);
}

static void test_list_ids(void **state)
{
    (void)state;
    struct home_file files[] = {{"CURRENT", 16, 7}, {"MANIFEST-000002", 100, 8}};
    uint64_t id = list_of(files, 2).id;
    assert_int_equal(list_of(files, 2).id, id);
    assert_int_not_equal(list_of(files, 1).id, id);
    files[1].crc++;
    assert_int_not_equal(list_of(files, 2).id, id);
    files[1].crc--;
    files[0].size++;
    assert_int_not_equal(list_of(files, 2).id, id);
}

/* A list whose id fits and whose contents do not. */
static enum err_code decode_body(struct buf *body)
{
    struct buf bytes = {0};
    struct home_manifest list = {0};
    buf_append_u8(&bytes, 1);
    buf_append_le64(&bytes, hash_bytes(HOME_ID_SEED, buf_bytes(body)));
    buf_append(&bytes, buf_bytes(body));
    enum err_code code = home_manifest_decode(buf_bytes(&bytes), &list, NULL);
    home_manifest_release(&list);
    buf_release(&bytes);
    buf_release(body);
    return code;
}

static void body_file(struct buf *body, const char *name, uint64_t size)
{
    buf_append_u8(body, (uint8_t)strlen(name));
    buf_append(body, bytes_of_text(name));
    buf_append_varint(body, size);
    buf_append_le32(body, 0);
}

static void test_list_of_an_enemy(void **state)
{
    (void)state;
    const char *wrong[] = {"", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a b", "a\nb",
                           "a\\b", "\xc3\xa4", "123456789012345678901234567890ab"};
    struct buf body = {0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        buf_append_varint(&body, 1);
        body_file(&body, wrong[i], 5);
        assert_err(decode_body(&body), CORRUPT);
    }
    buf_append_varint(&body, 1);
    buf_append_u8(&body, 3);
    buf_append(&body, bytes_of("a\0b", 3));
    buf_append_varint(&body, 1);
    buf_append_le32(&body, 0);
    assert_err(decode_body(&body), CORRUPT);
    const uint64_t sizes[] = {0, HOME_FILE_SIZE_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        buf_append_varint(&body, 1);
        body_file(&body, "a", sizes[i]);
        assert_err(decode_body(&body), CORRUPT);
    }
    const uint64_t counts[] = {0, 2, HOME_FILES_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        buf_append_varint(&body, counts[i]);
        body_file(&body, "a", 1);
        assert_err(decode_body(&body), CORRUPT);
    }
    buf_append_varint(&body, 3);
    body_file(&body, "a", 1);
    body_file(&body, "b", 1);
    body_file(&body, "a", 2);
    assert_err(decode_body(&body), CORRUPT);
    buf_append_varint(&body, 1);
    body_file(&body, "1234567890123456789012345678901", 1);
    assert_ok(decode_body(&body));
    assert_err(decode_body(&body), CORRUPT);
}

/* The longest list that is sent is within its bound, and read again. */
static void test_list_at_its_bound(void **state)
{
    (void)state;
    struct home_manifest list = {.count = HOME_FILES_MAX}, again = {0};
    struct buf bytes = {0};
    list.files = calloc(HOME_FILES_MAX, sizeof(*list.files));
    for (size_t i = 0; i < list.count; i++) {
        snprintf(list.files[i].name, HOME_NAME_SIZE, "%031zu", i);
        list.files[i].size = HOME_FILE_SIZE_MAX;
    }
    home_manifest_seal(&list);
    home_manifest_encode(&list, &bytes);
    assert_true(bytes.size <= HOME_MANIFEST_SIZE_MAX);
    assert_ok(home_manifest_decode(buf_bytes(&bytes), &again, NULL));
    assert_int_equal(home_manifest_bytes(&again), (uint64_t)HOME_FILES_MAX * HOME_FILE_SIZE_MAX);
    home_manifest_release(&again);
    home_manifest_release(&list);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_edits_that_make_no_sense),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_ids),
        cmocka_unit_test(test_list_of_an_enemy),
        cmocka_unit_test(test_list_at_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
