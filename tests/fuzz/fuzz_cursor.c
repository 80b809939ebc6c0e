/* The cursor and the varints: whatever the bytes are, a read stays inside them, a failed cursor stays
 * failed, and a varint that decodes is the one that encodes to the same bytes. */
#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "proto/base/varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_varint(const uint8_t *data, size_t size)
{
    uint64_t value = 0;
    uint8_t again[VARINT_SIZE_MAX];
    size_t used = varint_decode(data, size, &value);
    if (used == 0)
        return;
    CHECK(used <= size);
    CHECK(varint_encode(again, value) == used);
    CHECK(memcmp(again, data, used) == 0);
}

static void read_one(struct cursor *cursor, unsigned kind)
{
    switch (kind % 6) {
    case 0: cursor_u8(cursor); break;
    case 1: cursor_le32(cursor); break;
    case 2: cursor_le64(cursor); break;
    case 3: cursor_be64(cursor); break;
    case 4: cursor_varint(cursor); break;
    case 5: cursor_take(cursor, kind); break;
    }
}

/* The first byte of each step says what is read next. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor cursor = cursor_of(bytes_of(data, size));
    check_varint(data, size);
    while (!cursor.failed && cursor.rest.size) {
        size_t before = cursor.rest.size;
        read_one(&cursor, cursor_u8(&cursor));
        CHECK(cursor.failed || cursor.rest.size < before);
    }
    if (cursor.failed) {
        CHECK(cursor_le64(&cursor) == 0);
        CHECK(cursor.failed);
    }
    return 0;
}
