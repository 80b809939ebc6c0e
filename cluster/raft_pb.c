#include "cluster/raft_pb.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/limits.h"
#include "proto/base/varint.h"
#include "proto/wire.h"

/* Every field number here is below 16: a tag is one byte. */
enum {
    ENTRY_TYPE = 1, ENTRY_TERM = 2, ENTRY_INDEX = 3, ENTRY_DATA = 4,
    METADATA_CONF_STATE = 1, METADATA_INDEX = 2, METADATA_TERM = 3,
    SNAPSHOT_DATA = 1, SNAPSHOT_METADATA = 2,
    MESSAGE_TYPE = 1, MESSAGE_TO = 2, MESSAGE_FROM = 3, MESSAGE_TERM = 4, MESSAGE_LOG_TERM = 5,
    MESSAGE_INDEX = 6, MESSAGE_ENTRIES = 7, MESSAGE_COMMIT = 8, MESSAGE_SNAPSHOT = 9,
    MESSAGE_REJECT = 10, MESSAGE_REJECT_HINT = 11, MESSAGE_CONTEXT = 12, MESSAGE_VOTE = 13,
    MESSAGE_RESPONSES = 14,
};

/* --- sizes ------------------------------------------------------------------------------------ */

static size_t size_of_number(uint64_t value)
{
    return value ? 1 + varint_size(value) : 0;
}

static size_t size_of_block(size_t size)
{
    return 1 + varint_size(size) + size;
}

static size_t size_of_bytes(struct bytes bytes)
{
    return bytes.size ? size_of_block(bytes.size) : 0;
}

static size_t entry_size(const struct entry *entry)
{
    return size_of_number((uint64_t)entry->type) + size_of_number(entry->term) +
           size_of_number(entry->index) + size_of_bytes(blob_bytes(entry->payload));
}

static size_t metadata_size(const struct snapshot_mark *mark)
{
    return size_of_block(blob_bytes(mark->configuration).size) + size_of_number(mark->index) +
           size_of_number(mark->term);
}

static size_t snapshot_size(const struct raft_snapshot *snapshot)
{
    return size_of_bytes(blob_bytes(snapshot->data)) +
           size_of_block(metadata_size(&snapshot->mark));
}

size_t raft_entry_wire_size(const struct entry *entry)
{
    return size_of_block(entry_size(entry));
}

size_t raft_message_wire_size(const struct raft_message *message)
{
    size_t size = size_of_number((uint64_t)message->type) + size_of_number(message->to) +
                  size_of_number(message->from) + size_of_number(message->term) +
                  size_of_number(message->log_term) + size_of_number(message->index) +
                  size_of_number(message->commit) + size_of_number(message->reject) +
                  size_of_number(message->reject_hint) + size_of_bytes(message->context) +
                  size_of_number(message->vote);
    for (size_t i = 0; i < message->entry_count; i++)
        size += raft_entry_wire_size(&message->entries[i]);
    if (message->snapshot)
        size += size_of_block(snapshot_size(message->snapshot));
    return size;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_tag(struct buf *buf, unsigned number, enum wire_type type)
{
    buf_append_u8(buf, (uint8_t)(number << 3 | (unsigned)type));
}

static void put_number(struct buf *buf, unsigned number, uint64_t value)
{
    if (value) {
        put_tag(buf, number, WIRE_VARINT);
        buf_append_varint(buf, value);
    }
}

static void put_block(struct buf *buf, unsigned number, size_t size)
{
    put_tag(buf, number, WIRE_BYTES);
    buf_append_varint(buf, size);
}

static void put_bytes(struct buf *buf, unsigned number, struct bytes bytes)
{
    if (bytes.size) {
        put_block(buf, number, bytes.size);
        buf_append(buf, bytes);
    }
}

static void put_entry(struct buf *buf, const struct entry *entry)
{
    put_block(buf, MESSAGE_ENTRIES, entry_size(entry));
    put_number(buf, ENTRY_TYPE, (uint64_t)entry->type);
    put_number(buf, ENTRY_TERM, entry->term);
    put_number(buf, ENTRY_INDEX, entry->index);
    put_bytes(buf, ENTRY_DATA, blob_bytes(entry->payload));
}

/* A mark's configuration is an encoded ConfState already. */
static void put_snapshot(struct buf *buf, const struct raft_snapshot *snapshot)
{
    struct bytes configuration = blob_bytes(snapshot->mark.configuration);
    put_block(buf, MESSAGE_SNAPSHOT, snapshot_size(snapshot));
    put_bytes(buf, SNAPSHOT_DATA, blob_bytes(snapshot->data));
    put_block(buf, SNAPSHOT_METADATA, metadata_size(&snapshot->mark));
    put_block(buf, METADATA_CONF_STATE, configuration.size);
    buf_append(buf, configuration);
    put_number(buf, METADATA_INDEX, snapshot->mark.index);
    put_number(buf, METADATA_TERM, snapshot->mark.term);
}

void raft_message_encode(const struct raft_message *message, struct buf *buf)
{
    CHECK(message->response_count == 0);
    size_t size = raft_message_wire_size(message);
    buf_reserve(buf, size + VARINT_SIZE_MAX);
    size_t end = buf->size + size;
    put_number(buf, MESSAGE_TYPE, (uint64_t)message->type);
    put_number(buf, MESSAGE_TO, message->to);
    put_number(buf, MESSAGE_FROM, message->from);
    put_number(buf, MESSAGE_TERM, message->term);
    put_number(buf, MESSAGE_LOG_TERM, message->log_term);
    put_number(buf, MESSAGE_INDEX, message->index);
    for (size_t i = 0; i < message->entry_count; i++)
        put_entry(buf, &message->entries[i]);
    put_number(buf, MESSAGE_COMMIT, message->commit);
    if (message->snapshot)
        put_snapshot(buf, message->snapshot);
    put_number(buf, MESSAGE_REJECT, message->reject);
    put_number(buf, MESSAGE_REJECT_HINT, message->reject_hint);
    put_bytes(buf, MESSAGE_CONTEXT, message->context);
    put_number(buf, MESSAGE_VOTE, message->vote);
    CHECK(buf->size == end);
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct blob *blob_of(struct bytes bytes)
{
    return bytes.size ? blob_copy(bytes) : NULL;
}

/* A field that comes twice: the last one counts. */
static void blob_replace(struct blob **place, struct bytes bytes)
{
    blob_unref(*place);
    *place = blob_of(bytes);
}

static bool entry_decode(struct bytes from, struct entry *entry)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    struct bytes data = BYTES_EMPTY;
    *entry = (struct entry){0};
    while (wire_next(c, f)) {
        switch (f->number) {
        case ENTRY_TYPE:
            entry->type = (enum entry_type)wire_below(c, f, ENTRY_CONF_CHANGE_V2);
            break;
        case ENTRY_TERM: entry->term = wire_u64(c, f); break;
        case ENTRY_INDEX: entry->index = wire_u64(c, f); break;
        case ENTRY_DATA: data = wire_bytes(c, f); break;
        }
    }
    if (!cursor.failed)
        entry->payload = blob_of(data);
    return !cursor.failed;
}

static bool metadata_decode(struct bytes from, struct snapshot_mark *mark)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        switch (f->number) {
        case METADATA_CONF_STATE: blob_replace(&mark->configuration, wire_bytes(c, f)); break;
        case METADATA_INDEX: mark->index = wire_u64(c, f); break;
        case METADATA_TERM: mark->term = wire_u64(c, f); break;
        }
    }
    return !cursor.failed;
}

static bool snapshot_decode(struct bytes from, struct raft_snapshot *snapshot)
{
    struct cursor cursor = cursor_of(from), *c = &cursor;
    struct wire_field field, *f = &field;
    while (wire_next(c, f)) {
        if (f->number == SNAPSHOT_DATA)
            blob_replace(&snapshot->data, wire_bytes(c, f));
        else if (f->number == SNAPSHOT_METADATA)
            cursor.failed |= !metadata_decode(wire_bytes(c, f), &snapshot->mark);
    }
    return !cursor.failed;
}

static bool entries_reserve(struct raft_received *received, size_t count)
{
    if (count > MESSAGE_ENTRIES_MAX)
        return false;
    if (count > received->entry_capacity) {
        received->entries = mem_xrealloc(received->entries, count * sizeof(*received->entries));
        received->entry_capacity = count;
    }
    received->message.entries = received->entries;
    return true;
}

static bool block_decode(struct bytes from, uint32_t number, struct raft_received *ret)
{
    struct raft_message *message = &ret->message;
    if (number == MESSAGE_SNAPSHOT) {
        message->snapshot = &ret->snapshot;
        return snapshot_decode(from, &ret->snapshot);
    }
    CHECK(message->entry_count < ret->entry_capacity);
    return entry_decode(from, &ret->entries[message->entry_count++]);
}

static void field_decode(struct cursor *c, const struct wire_field *f, struct raft_received *ret)
{
    struct raft_message *message = &ret->message;
    switch (f->number) {
    case MESSAGE_TYPE:
        message->type = (enum raft_message_type)wire_below(c, f, RAFT_MSG_TYPE_COUNT - 1);
        break;
    case MESSAGE_TO: message->to = wire_u64(c, f); break;
    case MESSAGE_FROM: message->from = wire_u64(c, f); break;
    case MESSAGE_TERM: message->term = wire_u64(c, f); break;
    case MESSAGE_LOG_TERM: message->log_term = wire_u64(c, f); break;
    case MESSAGE_INDEX: message->index = wire_u64(c, f); break;
    case MESSAGE_COMMIT: message->commit = wire_u64(c, f); break;
    case MESSAGE_REJECT: message->reject = wire_bool(c, f); break;
    case MESSAGE_REJECT_HINT: message->reject_hint = wire_u64(c, f); break;
    case MESSAGE_CONTEXT: message->context = wire_bytes(c, f); break;
    case MESSAGE_VOTE: message->vote = wire_u64(c, f); break;
    case MESSAGE_ENTRIES:
    case MESSAGE_SNAPSHOT:
        if (wire_is(c, f, WIRE_BYTES) && !block_decode(f->bytes, f->number, ret))
            c->failed = true;
        break;
    case MESSAGE_RESPONSES: c->failed = true; break;
    }
}

enum err_code raft_message_decode(struct bytes from, struct raft_received *ret, struct err *err)
{
    struct cursor cursor = cursor_of(from);
    struct wire_field field;
    raft_received_clear(ret);
    size_t count = wire_count(from, MESSAGE_ENTRIES);
    if (!entries_reserve(ret, count))
        return err_set(err, ERR_INVALID, "a message of %zu entries", count);
    while (wire_next(&cursor, &field))
        field_decode(&cursor, &field, ret);
    if (!cursor.failed)
        return ERR_OK;
    size_t place = from.size - cursor.rest.size;
    raft_received_clear(ret);
    return err_set(err, ERR_INVALID, "a malformed message, at byte %zu of %zu", place, from.size);
}

void raft_received_clear(struct raft_received *received)
{
    for (size_t i = 0; i < received->message.entry_count; i++)
        blob_unref(received->entries[i].payload);
    blob_unref(received->snapshot.mark.configuration);
    blob_unref(received->snapshot.data);
    received->message = (struct raft_message){0};
    received->snapshot = (struct raft_snapshot){0};
}

void raft_received_release(struct raft_received *received)
{
    raft_received_clear(received);
    free(received->entries);
    *received = (struct raft_received){0};
}
