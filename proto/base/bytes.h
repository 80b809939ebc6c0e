/* Byte strings: borrowed (struct bytes), owned (struct buf), shared (struct blob), and a cursor that
 * reads from borrowed ones. None is terminated by a NUL and any may hold NULs.
 *
 * Threads: a struct belongs to whoever holds it; only a blob's reference count may be changed from
 * several threads at once. Memory that is exhausted aborts the process.
 */
#ifndef PROTO_BASE_BYTES_H
#define PROTO_BASE_BYTES_H

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed: lives until the next call on its owner, unless a header says longer. Passed by value. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})
#define BYTES_EMPTY ((struct bytes){NULL, 0})

/* memcmp order, the shorter first among equals: negative, 0 or positive. */
int bytes_compare(struct bytes left, struct bytes right);
bool bytes_equal(struct bytes left, struct bytes right);
bool bytes_starts_with(struct bytes whole, struct bytes prefix);
/* The rest after the first count bytes (empty when there are fewer). */
struct bytes bytes_skip(struct bytes whole, size_t count);
/* A NUL-terminated copy that the caller frees. */
char *bytes_to_text(struct bytes from);

/* Owned: grows by appending. Zeroed memory is an empty buf. */
struct buf {
    uint8_t *data;
    size_t size, capacity;
};

void buf_release(struct buf *buf);                      /* frees; the struct is empty again */
static inline void buf_clear(struct buf *buf) { buf->size = 0; }
static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->size};
}
void buf_reserve(struct buf *buf, size_t more);         /* room for this many more bytes */
uint8_t *buf_extend(struct buf *buf, size_t more);      /* appends more uninitialised bytes; their place */
void buf_append(struct buf *buf, struct bytes from);    /* from may lie inside buf */
void buf_append_u8(struct buf *buf, uint8_t value);
void buf_append_le32(struct buf *buf, uint32_t value);
void buf_append_le64(struct buf *buf, uint64_t value);
void buf_append_be64(struct buf *buf, uint64_t value);
void buf_append_varint(struct buf *buf, uint64_t value);
void buf_append_format(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buf_assign(struct buf *buf, struct bytes from);    /* clear, then append */

/* Shared and immutable once a second reference exists. */
struct blob {
    atomic_uint references;
    uint32_t size;
    uint8_t data[];
};

struct blob *blob_new(size_t size);                     /* one reference; contents to be filled in */
struct blob *blob_copy(struct bytes from);
struct blob *blob_ref(struct blob *blob);               /* returns blob; NULL is fine */
void blob_unref(struct blob *blob);                     /* frees with the last one; NULL is fine */
static inline struct bytes blob_bytes(const struct blob *blob)
{
    return blob ? (struct bytes){blob->data, blob->size} : BYTES_EMPTY;
}

/* A cursor reads from the front. The first read past the end, or a malformed varint, makes it
 * failed: it stays so, and every read after that gives zeros. Check once, at the end. */
struct cursor {
    struct bytes rest;
    bool failed;
};

static inline struct cursor cursor_of(struct bytes from)
{
    return (struct cursor){from, false};
}
uint8_t cursor_u8(struct cursor *cursor);
uint32_t cursor_le32(struct cursor *cursor);
uint64_t cursor_le64(struct cursor *cursor);
uint64_t cursor_be64(struct cursor *cursor);
uint64_t cursor_varint(struct cursor *cursor);
struct bytes cursor_take(struct cursor *cursor, size_t size);

/* The compiler makes one instruction of each of these; of loops over bytes it does not. */
static inline void put_le32(uint8_t *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}
static inline void put_le64(uint8_t *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}
static inline void put_be64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof value);
}
static inline uint32_t get_le32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}
static inline uint64_t get_le64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}
static inline uint64_t get_be64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return be64toh(value);
}

#endif
