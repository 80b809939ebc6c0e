/* Writes MANIFESTs as LevelDB does, for the tests of what reads them. */
#ifndef TESTS_UNIT_MANIFEST_WRITER_H
#define TESTS_UNIT_MANIFEST_WRITER_H

#include "proto/base/bytes.h"
#include "proto/base/crc32c.h"

#define MANIFEST_BLOCK 32768
#define MANIFEST_HEAD 7

static inline uint32_t manifest_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static inline void manifest_fragment(struct buf *to, uint8_t kind, struct bytes payload)
{
    uint32_t crc = crc32c(crc32c(0, bytes_of(&kind, 1)), payload);
    buf_append_le32(to, manifest_mask(crc));
    buf_append_u8(to, (uint8_t)payload.size);
    buf_append_u8(to, (uint8_t)(payload.size >> 8));
    buf_append_u8(to, kind);
    buf_append(to, payload);
}

/* One record, over as many blocks as it takes. */
static inline void manifest_record(struct buf *to, struct bytes record)
{
    bool is_first = true, is_last;
    do {
        size_t room = MANIFEST_BLOCK - to->size % MANIFEST_BLOCK;
        for (; room < MANIFEST_HEAD && room > 0; room--)
            buf_append_u8(to, 0);
        if (room == 0)
            room = MANIFEST_BLOCK;
        size_t size = record.size < room - MANIFEST_HEAD ? record.size : room - MANIFEST_HEAD;
        is_last = size == record.size;
        uint8_t kind = is_first ? (is_last ? 1 : 2) : is_last ? 4 : 3;
        manifest_fragment(to, kind, bytes_of(record.data, size));
        record = bytes_skip(record, size);
        is_first = false;
    } while (!is_last);
}

static inline void edit_sized(struct buf *edit, const char *text)
{
    buf_append_varint(edit, strlen(text));
    buf_append(edit, bytes_of_text(text));
}

static inline void edit_comes(struct buf *edit, uint64_t level, uint64_t number, uint64_t size)
{
    buf_append_varint(edit, 7);
    buf_append_varint(edit, level);
    buf_append_varint(edit, number);
    buf_append_varint(edit, size);
    edit_sized(edit, "least key");
    edit_sized(edit, "greatest key");
}

static inline void edit_goes(struct buf *edit, uint64_t level, uint64_t number)
{
    buf_append_varint(edit, 6);
    buf_append_varint(edit, level);
    buf_append_varint(edit, number);
}

static inline void edit_number(struct buf *edit, uint64_t field, uint64_t number)
{
    buf_append_varint(edit, field);
    buf_append_varint(edit, number);
}

#endif
