#include "cluster/frame.h"

#include <inttypes.h>

#include "proto/base/check.h"
#include "proto/base/crc32c.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"
#include "proto/wire.h"

#define MESSAGES_TAG 0x0a   /* field 1, bytes */

/* --- writing ---------------------------------------------------------------------------------- */

size_t frame_begin(struct buf *buf)
{
    size_t begin = buf->size;
    buf_extend(buf, FRAME_HEADER_SIZE);
    return begin;
}

void frame_end(struct buf *buf, size_t begin, const struct frame_header *header)
{
    size_t size = buf->size - begin - FRAME_HEADER_SIZE;
    CHECK(size <= FRAME_SIZE_MAX);
    uint8_t *at = buf->data + begin;
    put_le32(at, (uint32_t)size);
    put_le32(at + 4, header->kind);
    put_le32(at + 8, crc32c(0, bytes_of(at + FRAME_HEADER_SIZE, size)));
    put_le64(at + 12, header->cluster_id);
    put_le64(at + 20, header->from);
    put_le64(at + 28, header->to);
    put_le32(at + 36, crc32c(0, bytes_of(at, 36)));
}

size_t frame_message_size(const struct raft_message *message)
{
    size_t size = raft_message_wire_size(message);
    return 1 + varint_size(size) + size;
}

void frame_message_append(struct buf *buf, const struct raft_message *message)
{
    buf_append_u8(buf, MESSAGES_TAG);
    buf_append_varint(buf, raft_message_wire_size(message));
    raft_message_encode(message, buf);
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err_code frame_header_decode(const uint8_t *from, struct frame_header *ret, struct err *err)
{
    struct frame_header header = {
        .size = get_le32(from),
        .kind = get_le32(from + 4),
        .sum = get_le32(from + 8),
        .cluster_id = get_le64(from + 12),
        .from = get_le64(from + 20),
        .to = get_le64(from + 28),
    };
    if (get_le32(from + 36) != crc32c(0, bytes_of(from, 36)))
        return err_set(err, ERR_INVALID, "a frame whose header's checksum is wrong");
    if (header.size > FRAME_SIZE_MAX)
        return err_set(err, ERR_INVALID, "a frame of %" PRIu32 " bytes, more than %d", header.size,
                       FRAME_SIZE_MAX);
    bool first = header.kind == FRAME_HELLO || header.kind == FRAME_REFUSED ||
                 header.kind == FRAME_JOIN;
    if (header.kind == FRAME_JOINED && header.size > FRAME_SIZE_JOINED_MAX)
        return err_set(err, ERR_INVALID, "an answer to a join of %" PRIu32 " bytes, more than %d",
                       header.size, FRAME_SIZE_JOINED_MAX);
    if (first && header.size > FRAME_SIZE_FIRST_MAX)
        return err_set(err, ERR_INVALID, "a first frame of %" PRIu32 " bytes, more than %d",
                       header.size, FRAME_SIZE_FIRST_MAX);
    if (!first && header.kind != FRAME_MESSAGES && header.kind != FRAME_JOINED &&
        (header.kind < FRAME_OWN || header.kind > FRAME_KIND_MAX))
        return err_set(err, ERR_INVALID, "a frame of the unknown kind %" PRIu32, header.kind);
    *ret = header;
    return ERR_OK;
}

bool frame_message_next(struct cursor *cursor, struct bytes *ret_message)
{
    struct wire_field field;
    while (wire_next(cursor, &field)) {
        if (field.number != 1)
            continue;
        *ret_message = wire_bytes(cursor, &field);
        return !cursor->failed;
    }
    return false;
}

bool frame_measure(struct bytes from, size_t *ret_size)
{
    struct frame_header header;
    *ret_size = 0;
    if (from.size < FRAME_HEADER_SIZE || frame_header_decode(from.data, &header, NULL) != ERR_OK ||
        from.size - FRAME_HEADER_SIZE < header.size)
        return false;
    *ret_size = FRAME_HEADER_SIZE + header.size;
    return header.kind == FRAME_MESSAGES;
}

/* Moves bytes to the end of partial until it has that size. They may lie there already:
 * frame_room. */
static bool gather(struct frame_reader *reader, struct bytes *from, size_t size)
{
    struct buf *partial = &reader->partial;
    size_t count = size - partial->size;
    if (count > from->size)
        count = from->size;
    uint8_t *place = partial->data + partial->size;
    if (count && from->data != place)
        memcpy(place, from->data, count);
    partial->size += count;
    *from = bytes_skip(*from, count);
    return partial->size == size;
}

static enum err_code check_header(struct frame_reader *reader, const uint8_t *at, struct err *err)
{
    enum err_code code = frame_header_decode(at, &reader->header, err);
    return code || !reader->check ? code : reader->check(reader->context, &reader->header, err);
}

static enum err_code check_body(const struct frame_reader *reader, struct bytes body,
                                struct err *err)
{
    if (crc32c(0, body) != reader->header.sum)
        return err_set(err, ERR_INVALID, "a frame of kind %" PRIu32 " whose checksum is wrong",
                       reader->header.kind);
    return ERR_OK;
}

/* A buffer of exactly that size: a frame of 4 MiB takes no more than that. */
static void partial_resize(struct buf *partial, size_t size)
{
    if (partial->capacity == size)
        return;
    partial->data = mem_xrealloc(partial->data, size);
    partial->capacity = size;
}

/* A frame that begins in *from and is not all there, or whose beginning is in partial. */
static enum err_code next_partial(struct frame_reader *reader, struct bytes *from, bool *ret_whole,
                                  struct bytes *ret_body, struct err *err)
{
    struct buf *partial = &reader->partial;
    if (partial->size < FRAME_HEADER_SIZE) {
        if (partial->size == 0)
            partial_resize(partial, FRAME_HEADER_SIZE);
        if (!gather(reader, from, FRAME_HEADER_SIZE))
            return ERR_OK;
        enum err_code code = check_header(reader, partial->data, err);
        if (code)
            return code;
        partial_resize(partial, FRAME_HEADER_SIZE + (size_t)reader->header.size);
    }
    if (!gather(reader, from, FRAME_HEADER_SIZE + (size_t)reader->header.size))
        return ERR_OK;
    *ret_body = bytes_skip(buf_bytes(partial), FRAME_HEADER_SIZE);
    *ret_whole = reader->given = true;
    return check_body(reader, *ret_body, err);
}

static enum err_code next_in_place(struct frame_reader *reader, struct bytes *from, bool *ret_whole,
                                   struct bytes *ret_body, struct err *err)
{
    *ret_body = bytes_of(from->data + FRAME_HEADER_SIZE, reader->header.size);
    *from = bytes_skip(*from, FRAME_HEADER_SIZE + (size_t)reader->header.size);
    *ret_whole = true;
    return check_body(reader, *ret_body, err);
}

enum err_code frame_next(struct frame_reader *reader, struct bytes *from, bool *ret_whole,
                         struct frame_header *ret_header, struct bytes *ret_body, struct err *err)
{
    enum err_code code = ERR_OK;
    *ret_whole = false;
    if (reader->given) {
        reader->given = false;
        buf_release(&reader->partial);
    }
    if (from->size == 0)
        return ERR_OK;
    if (reader->partial.size == 0 && from->size >= FRAME_HEADER_SIZE)
        code = check_header(reader, from->data, err);
    if (code)
        return code;
    if (reader->partial.size == 0 && from->size >= FRAME_HEADER_SIZE &&
        from->size - FRAME_HEADER_SIZE >= reader->header.size)
        code = next_in_place(reader, from, ret_whole, ret_body, err);
    else
        code = next_partial(reader, from, ret_whole, ret_body, err);
    *ret_header = reader->header;
    return code;
}

uint8_t *frame_room(struct frame_reader *reader, size_t *ret_size)
{
    struct buf *partial = &reader->partial;
    if (reader->given || partial->size < FRAME_HEADER_SIZE || partial->size == partial->capacity)
        return NULL;
    *ret_size = partial->capacity - partial->size;
    return partial->data + partial->size;
}

void frame_reader_release(struct frame_reader *reader)
{
    buf_release(&reader->partial);
    reader->given = false;
}

/* --- first frames ----------------------------------------------------------------------------- */

static void put_number(struct buf *buf, unsigned number, uint64_t value)
{
    if (value) {
        buf_append_varint(buf, number << 3 | WIRE_VARINT);
        buf_append_varint(buf, value);
    }
}

static void put_bytes(struct buf *buf, uint32_t number, struct bytes bytes)
{
    buf_append_varint(buf, number << 3 | WIRE_BYTES);
    buf_append_varint(buf, bytes.size);
    buf_append(buf, bytes);
}

static void put_fixed64(struct buf *buf, unsigned number, uint64_t value)
{
    if (value) {
        buf_append_varint(buf, number << 3 | WIRE_64BIT);
        buf_append_le64(buf, value);
    }
}

void frame_hello_encode(const struct frame_hello *hello, struct buf *buf)
{
    struct frame_header header = {
        .kind = FRAME_HELLO,
        .cluster_id = hello->cluster_id,
        .from = hello->from,
        .to = hello->to,
    };
    size_t begin = frame_begin(buf);
    put_number(buf, 1, hello->version);
    put_number(buf, 2, hello->features);
    put_fixed64(buf, 3, hello->cluster_id);
    put_fixed64(buf, 4, hello->from);
    put_fixed64(buf, 5, hello->to);
    put_fixed64(buf, 6, hello->generation);
    put_number(buf, 7, hello->channel);
    if (hello->address.size)
        put_bytes(buf, 8, hello->address);
    frame_end(buf, begin, &header);
}

static bool is_address(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.size <= FRAME_ADDRESS_MAX;
}

enum err_code frame_hello_decode(struct bytes body, struct frame_hello *ret)
{
    struct cursor cursor = cursor_of(body), *c = &cursor;
    struct wire_field field, *f = &field;
    struct frame_hello hello = {0};
    while (wire_next(c, f)) {
        switch (f->number) {
        case 1: hello.version = wire_below(c, f, UINT32_MAX); break;
        case 2: hello.features = wire_u64(c, f); break;
        case 3: hello.cluster_id = wire_fixed64(c, f); break;
        case 4: hello.from = wire_fixed64(c, f); break;
        case 5: hello.to = wire_fixed64(c, f); break;
        case 6: hello.generation = wire_fixed64(c, f); break;
        case 7: hello.channel = wire_below(c, f, UINT32_MAX); break;
        case 8: hello.address = wire_bytes(c, f); break;
        }
    }
    if (cursor.failed || !is_address(hello.address))
        return ERR_INVALID;
    *ret = hello;
    return ERR_OK;
}

void frame_refused_encode(const struct frame_header *ids, uint32_t why, const char *text,
                          struct buf *buf)
{
    struct frame_header header = *ids;
    struct bytes sentence = bytes_of_text(text);
    header.kind = FRAME_REFUSED;
    size_t begin = frame_begin(buf);
    put_number(buf, 1, why);
    put_bytes(buf, 2, sentence);
    frame_end(buf, begin, &header);
}

enum err_code frame_refused_decode(struct bytes body, uint32_t *ret_why,
                                   char ret_text[ERR_TEXT_SIZE])
{
    struct cursor cursor = cursor_of(body), *c = &cursor;
    struct wire_field field, *f = &field;
    struct bytes text = BYTES_EMPTY;
    uint32_t why = 0;
    while (wire_next(c, f)) {
        if (f->number == 1)
            why = wire_below(c, f, UINT32_MAX);
        else if (f->number == 2)
            text = wire_bytes(c, f);
    }
    if (cursor.failed)
        return ERR_INVALID;
    size_t size = text.size < ERR_TEXT_SIZE - 1 ? text.size : ERR_TEXT_SIZE - 1;
    for (size_t i = 0; i < size; i++)
        ret_text[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? (char)text.data[i] : '?';
    ret_text[size] = '\0';
    *ret_why = why;
    return ERR_OK;
}
