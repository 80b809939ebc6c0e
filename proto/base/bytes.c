#include "proto/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/mem.h"
#include "proto/base/varint.h"

int bytes_compare(struct bytes left, struct bytes right)
{
    size_t shared = left.size < right.size ? left.size : right.size;
    int order = shared ? memcmp(left.data, right.data, shared) : 0;
    if (order != 0)
        return order;
    return left.size < right.size ? -1 : left.size > right.size;
}

bool bytes_equal(struct bytes left, struct bytes right)
{
    return left.size == right.size &&
           (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

bool bytes_starts_with(struct bytes whole, struct bytes prefix)
{
    return whole.size >= prefix.size &&
           (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

struct bytes bytes_skip(struct bytes whole, size_t count)
{
    if (count > whole.size)
        count = whole.size;
    return (struct bytes){whole.data ? whole.data + count : NULL, whole.size - count};
}

char *bytes_to_text(struct bytes from)
{
    char *text = mem_xalloc(from.size + 1);
    if (from.size)
        memcpy(text, from.data, from.size);
    text[from.size] = '\0';
    return text;
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_reserve(struct buf *buf, size_t more)
{
    CHECK(more <= SIZE_MAX / 2 - buf->size);
    size_t needed = buf->size + more;
    if (needed <= buf->capacity)
        return;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    buf->data = mem_xrealloc(buf->data, capacity);
    buf->capacity = capacity;
}

uint8_t *buf_extend(struct buf *buf, size_t more)
{
    buf_reserve(buf, more);
    uint8_t *place = buf->data + buf->size;
    buf->size += more;
    return place;
}

void buf_append(struct buf *buf, struct bytes from)
{
    if (from.size == 0)
        return;
    bool inside = buf->data && from.data >= buf->data && from.data < buf->data + buf->size;
    size_t offset = inside ? (size_t)(from.data - buf->data) : 0;
    uint8_t *place = buf_extend(buf, from.size);
    memmove(place, inside ? buf->data + offset : from.data, from.size);
}

void buf_append_u8(struct buf *buf, uint8_t value)
{
    *buf_extend(buf, 1) = value;
}

void buf_append_le32(struct buf *buf, uint32_t value)
{
    put_le32(buf_extend(buf, 4), value);
}

void buf_append_le64(struct buf *buf, uint64_t value)
{
    put_le64(buf_extend(buf, 8), value);
}

void buf_append_be64(struct buf *buf, uint64_t value)
{
    put_be64(buf_extend(buf, 8), value);
}

void buf_append_varint(struct buf *buf, uint64_t value)
{
    buf_reserve(buf, VARINT_SIZE_MAX);
    buf->size += varint_encode(buf->data + buf->size, value);
}

void buf_append_format(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(size >= 0);
    buf_reserve(buf, (size_t)size + 1);
    va_start(args, format);
    vsnprintf((char *)buf->data + buf->size, (size_t)size + 1, format, args);
    va_end(args);
    buf->size += (size_t)size;
}

void buf_assign(struct buf *buf, struct bytes from)
{
    bool inside = buf->data && from.data >= buf->data && from.data < buf->data + buf->capacity;
    if (inside) {
        memmove(buf->data, from.data, from.size);
        buf->size = from.size;
        return;
    }
    buf->size = 0;
    buf_append(buf, from);
}

struct blob *blob_new(size_t size)
{
    CHECK(size <= UINT32_MAX);
    struct blob *blob = mem_xalloc(sizeof *blob + size);
    atomic_init(&blob->references, 1);
    blob->size = (uint32_t)size;
    return blob;
}

struct blob *blob_copy(struct bytes from)
{
    struct blob *blob = blob_new(from.size);
    if (from.size)
        memcpy(blob->data, from.data, from.size);
    return blob;
}

struct blob *blob_ref(struct blob *blob)
{
    if (blob)
        atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (blob && atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) == 1)
        free(blob);
}

struct bytes cursor_take(struct cursor *cursor, size_t size)
{
    if (cursor->failed || cursor->rest.size < size) {
        cursor->failed = true;
        return BYTES_EMPTY;
    }
    struct bytes taken = bytes_of(cursor->rest.data, size);
    cursor->rest = bytes_skip(cursor->rest, size);
    return taken;
}

uint8_t cursor_u8(struct cursor *cursor)
{
    struct bytes from = cursor_take(cursor, 1);
    return from.size ? from.data[0] : 0;
}

uint32_t cursor_le32(struct cursor *cursor)
{
    struct bytes from = cursor_take(cursor, 4);
    return from.size ? get_le32(from.data) : 0;
}

uint64_t cursor_le64(struct cursor *cursor)
{
    struct bytes from = cursor_take(cursor, 8);
    return from.size ? get_le64(from.data) : 0;
}

uint64_t cursor_be64(struct cursor *cursor)
{
    struct bytes from = cursor_take(cursor, 8);
    return from.size ? get_be64(from.data) : 0;
}

uint64_t cursor_varint(struct cursor *cursor)
{
    uint64_t value = 0;
    if (!cursor->failed && cursor->rest.size && cursor->rest.data[0] < 0x80) {
        value = *cursor->rest.data++;       /* most of them take one byte */
        cursor->rest.size--;
        return value;
    }
    size_t size = cursor->failed ? 0 : varint_decode(cursor->rest.data, cursor->rest.size, &value);
    if (size == 0) {
        cursor->failed = true;
        return 0;
    }
    cursor->rest = bytes_skip(cursor->rest, size);
    return value;
}
