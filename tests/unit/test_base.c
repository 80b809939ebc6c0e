/* proto/base: errors, bytes, varints, checksums, chance. */
#include "tests/test.h"

#include <errno.h>

#include "proto/base/crc32c.h"
#include "proto/base/hash.h"
#include "proto/base/list.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"
#include "proto/base/varint.h"

static void errors_have_a_row_each(void **state)
{
    (void)state;
    for (int code = 0; code < ERR_CODE_COUNT; code++) {
        assert_true(err_text(code)[0] != '\0');
        assert_int_equal(err_errno(code) == 0, code == ERR_OK);
        assert_int_equal(err_kind(code) == ERR_KIND_OK, code == ERR_OK);
    }
    assert_int_equal(err_errno(ERR_TOO_BIG), EFBIG);
    assert_int_equal(err_grpc(ERR_COMPACTED), GRPC_OUT_OF_RANGE);
}

static void errors_wrap_and_cut(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set_errno(&err, ENOSPC, "write \"%s\"", "log"), ERR_NO_SPACE);
    assert_string_equal(err.text, "write \"log\": No space left on device");
    assert_int_equal(err_wrap(&err, ERR_IO, "open"), ERR_IO);
    assert_string_equal(err.text, "open: write \"log\": No space left on device");
    char longer[2 * ERR_TEXT_SIZE];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    err_wrap(&err, ERR_IO, "%s", longer);
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(err_set(NULL, ERR_BUSY, "nobody listens"), ERR_BUSY);
}

static void crc32c_of_known_strings(void **state)
{
    (void)state;
    /* RFC 3720, B.4 */
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        rising[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(crc32c(0, bytes_of(ones, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(0, bytes_of(rising, 32)), 0x46dd794e);
    assert_int_equal(crc32c(0, BYTES_LITERAL("123456789")), 0xe3069283);
}

static void crc32c_ways_agree_and_chain(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 1);
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rand_u32(&rand);
    for (size_t size = 0; size < sizeof data; size++) {
        struct bytes whole = bytes_of(data, size);
        uint32_t crc = crc32c(0, whole);
        assert_int_equal(crc, crc32c_portable(0, whole));
        size_t half = size / 2;
        assert_int_equal(crc, crc32c(crc32c(0, bytes_of(data, half)), bytes_skip(whole, half)));
    }
}

static void varints_round_trip_and_refuse(void **state)
{
    (void)state;
    uint8_t place[VARINT_SIZE_MAX];
    for (int shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)delta, back = 0;
            size_t size = varint_encode(place, value);
            assert_int_equal(size, varint_size(value));
            assert_int_equal(varint_decode(place, size, &back), size);
            assert_true(back == value);
            assert_int_equal(varint_decode(place, size - 1, &back), 0);
        }
    }
    uint64_t value;
    assert_int_equal(varint_decode((const uint8_t *)"\x80\x00", 2, &value), 0);
    assert_int_equal(
        varint_decode((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, &value), 0);
}

static void buf_takes_its_own_bytes(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_append(&buf, BYTES_LITERAL("abc"));
    for (int i = 0; i < 8; i++)
        buf_append(&buf, buf_bytes(&buf));
    assert_int_equal(buf.size, 3 * 256);
    assert_memory_equal(buf.data + buf.size - 3, "abc", 3);
    buf_assign(&buf, bytes_of(buf.data + 1, 2));
    assert_bytes_equal(buf_bytes(&buf), BYTES_LITERAL("bc"));
    buf_append_format(&buf, "%d", 42);
    assert_bytes_equal(buf_bytes(&buf), BYTES_LITERAL("bc42"));
    buf_release(&buf);
}

static void cursor_fails_once_and_for_good(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_append_le32(&buf, 7);
    buf_append_be64(&buf, 9);
    buf_append_varint(&buf, 300);
    struct cursor cursor = cursor_of(buf_bytes(&buf));
    assert_int_equal(cursor_le32(&cursor), 7);
    assert_int_equal(cursor_be64(&cursor), 9);
    assert_int_equal(cursor_varint(&cursor), 300);
    assert_false(cursor.failed);
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_true(cursor.failed);
    buf_release(&buf);
}

static void bytes_order_is_memcmp_then_size(void **state)
{
    (void)state;
    assert_true(bytes_compare(BYTES_LITERAL("a"), BYTES_LITERAL("b")) < 0);
    assert_true(bytes_compare(BYTES_LITERAL("a"), BYTES_LITERAL("aa")) < 0);
    assert_true(bytes_compare(BYTES_LITERAL("\xff"), BYTES_LITERAL("a")) > 0);
    assert_int_equal(bytes_compare(BYTES_EMPTY, BYTES_EMPTY), 0);
    assert_true(bytes_starts_with(BYTES_LITERAL("abc"), BYTES_EMPTY));
    assert_false(bytes_starts_with(BYTES_LITERAL("ab"), BYTES_LITERAL("abc")));
}

static void chance_repeats_by_seed(void **state)
{
    (void)state;
    struct rand a, b;
    rand_init(&a, 42);
    rand_init(&b, 42);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rand_u32(&a), rand_u32(&b));
    for (int i = 0; i < 1000; i++)
        assert_true(rand_below(&a, 7) < 7);
    assert_true(rand_system_seed() != 0);
}

static void hash_is_stable(void **state)
{
    (void)state;
    assert_true(hash_bytes(0, BYTES_LITERAL("a")) != hash_bytes(0, BYTES_LITERAL("a\0")));
    assert_true(hash_bytes(0, BYTES_LITERAL("a")) != hash_bytes(1, BYTES_LITERAL("a")));
    assert_true(hash_u64(0) == UINT64_C(0xe220a8397b1dcdaf));
}

static void mem_counts_fails_and_frees(void **state)
{
    (void)state;
    struct mem mem = {.fail_at = 2};
    void *first = mem_zalloc(&mem, 8);
    assert_non_null(first);
    assert_null(mem_alloc(&mem, 8));
    first = mem_realloc(&mem, first, 16);
    assert_non_null(first);
    mem_free(&mem, first);
    mem_free(&mem, NULL);
    assert_int_equal(mem.live, 0);
    assert_int_equal(mem.calls, 3);
}

static void list_keeps_order(void **state)
{
    (void)state;
    LIST_HEAD(head);
    LIST_HEAD(other);
    struct list a, b, c;
    list_init(&c);
    list_push_back(&head, &a);
    list_push_back(&head, &b);
    list_push_back(&other, &c);
    list_splice_back(&head, &other);
    assert_true(list_is_empty(&other));
    assert_ptr_equal(list_pop_front(&head), &a);
    list_remove(&b);
    list_remove(&b);
    assert_ptr_equal(list_pop_front(&head), &c);
    assert_null(list_pop_front(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_a_row_each),
        cmocka_unit_test(errors_wrap_and_cut),
        cmocka_unit_test(crc32c_of_known_strings),
        cmocka_unit_test(crc32c_ways_agree_and_chain),
        cmocka_unit_test(varints_round_trip_and_refuse),
        cmocka_unit_test(buf_takes_its_own_bytes),
        cmocka_unit_test(cursor_fails_once_and_for_good),
        cmocka_unit_test(bytes_order_is_memcmp_then_size),
        cmocka_unit_test(chance_repeats_by_seed),
        cmocka_unit_test(hash_is_stable),
        cmocka_unit_test(mem_counts_fails_and_frees),
        cmocka_unit_test(list_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
