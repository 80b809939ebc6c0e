/* Reading protobuf's wire form without copies: field after field from borrowed bytes. What is read
 * borrows from them. Groups are refused; overlong integers too (our writers make none).
 *
 *     struct cursor cursor = cursor_of(from);
 *     struct wire_field field;
 *     while (wire_next(&cursor, &field))
 *         switch (field.number) { case 1: ret->key = wire_bytes(&cursor, &field); break; ... }
 *     return cursor.failed ? ERR_CORRUPT : ERR_OK;
 *
 * A field of a known number and another type makes the cursor failed; unknown numbers are passed over
 * by the caller.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "proto/base/bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;         /* VARINT, 64BIT, 32BIT */
    struct bytes bytes;     /* BYTES */
};

/* False at the end and on a wire error (then the cursor is failed). */
static inline bool wire_next(struct cursor *cursor, struct wire_field *ret)
{
    if (cursor->failed || cursor->rest.size == 0)
        return false;
    uint64_t tag = cursor_varint(cursor);
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        cursor->failed = true;
    *ret = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    switch (tag & 7) {
    case WIRE_VARINT: ret->value = cursor_varint(cursor); break;
    case WIRE_64BIT: ret->value = cursor_le64(cursor); break;
    case WIRE_32BIT: ret->value = cursor_le32(cursor); break;
    case WIRE_BYTES: {
        uint64_t size = cursor_varint(cursor);
        if (size > cursor->rest.size)
            cursor->failed = true;
        else
            ret->bytes = cursor_take(cursor, size);
        break;
    }
    default: cursor->failed = true;
    }
    return !cursor->failed;
}

static inline bool wire_is(struct cursor *cursor, const struct wire_field *field,
                           enum wire_type type)
{
    if (field->type != type)
        cursor->failed = true;
    return field->type == type;
}
static inline struct bytes wire_bytes(struct cursor *cursor, const struct wire_field *field)
{
    return wire_is(cursor, field, WIRE_BYTES) ? field->bytes : BYTES_EMPTY;
}
static inline uint64_t wire_u64(struct cursor *cursor, const struct wire_field *field)
{
    return wire_is(cursor, field, WIRE_VARINT) ? field->value : 0;
}
static inline int64_t wire_i64(struct cursor *cursor, const struct wire_field *field)
{
    return (int64_t)wire_u64(cursor, field);
}
static inline bool wire_bool(struct cursor *cursor, const struct wire_field *field)
{
    return wire_u64(cursor, field) != 0;
}
static inline uint64_t wire_fixed64(struct cursor *cursor, const struct wire_field *field)
{
    return wire_is(cursor, field, WIRE_64BIT) ? field->value : 0;
}
/* An integer of at most max; more makes the cursor failed. */
static inline uint32_t wire_below(struct cursor *cursor, const struct wire_field *field,
                                  uint32_t max)
{
    uint64_t value = wire_u64(cursor, field);
    if (value > max) {
        cursor->failed = true;
        return 0;
    }
    return (uint32_t)value;
}

/* How many fields of this number there are, up to the first wire error. */
static inline size_t wire_count(struct bytes from, uint32_t number)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    size_t count = 0;
    while (wire_next(&cursor, &field))
        count += field.number == number;
    return count;
}

#endif
