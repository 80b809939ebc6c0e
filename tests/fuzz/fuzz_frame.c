/* What another member sends: any stream of bytes is cut into frames or refused, in whatever pieces
 * it comes; hellos, refusals and messages are decoded or refused, and what is decoded comes back
 * the same from its own encoding. A first byte says how the stream is cut, and the sums are made
 * right in half of the runs, so that what lies behind them is reached. */
#include "cluster/frame.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_blob(const struct blob *first, const struct blob *second)
{
    CHECK(bytes_equal(blob_bytes(first), blob_bytes(second)));
}

static void same(const struct raft_message *first, const struct raft_message *second)
{
    CHECK(first->type == second->type && first->to == second->to && first->from == second->from);
    CHECK(first->term == second->term && first->log_term == second->log_term);
    CHECK(first->index == second->index && first->commit == second->commit);
    CHECK(first->vote == second->vote && first->reject == second->reject);
    CHECK(first->reject_hint == second->reject_hint);
    CHECK(bytes_equal(first->context, second->context));
    CHECK(first->entry_count == second->entry_count);
    for (size_t i = 0; i < first->entry_count; i++) {
        const struct entry *one = &first->entries[i], *other = &second->entries[i];
        CHECK(one->term == other->term && one->index == other->index && one->type == other->type);
        same_blob(one->payload, other->payload);
    }
    CHECK(!first->snapshot == !second->snapshot);
    if (first->snapshot) {
        CHECK(first->snapshot->mark.index == second->snapshot->mark.index);
        CHECK(first->snapshot->mark.term == second->snapshot->mark.term);
        same_blob(first->snapshot->mark.configuration, second->snapshot->mark.configuration);
        same_blob(first->snapshot->data, second->snapshot->data);
    }
}

static void message(struct bytes from)
{
    struct raft_received first = {0}, second = {0};
    struct buf buf = {0};
    if (raft_message_decode(from, &first, NULL) == ERR_OK) {
        raft_message_encode(&first.message, &buf);
        CHECK(buf.size == raft_message_wire_size(&first.message));
        CHECK(raft_message_decode(buf_bytes(&buf), &second, NULL) == ERR_OK);
        same(&first.message, &second.message);
    }
    raft_received_release(&first);
    raft_received_release(&second);
    buf_release(&buf);
}

static void messages(struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct bytes inner;
    while (frame_message_next(&cursor, &inner))
        message(inner);
}

static void hello(struct bytes body)
{
    struct frame_hello first, second;
    struct buf buf = {0};
    if (frame_hello_decode(body, &first) == ERR_OK) {
        frame_hello_encode(&first, &buf);
        CHECK(frame_hello_decode(bytes_skip(buf_bytes(&buf), FRAME_HEADER_SIZE), &second) ==
              ERR_OK);
        CHECK(first.version == second.version && first.features == second.features);
        CHECK(first.cluster_id == second.cluster_id && first.from == second.from);
        CHECK(first.to == second.to && first.generation == second.generation);
        CHECK(first.channel == second.channel);
    }
    buf_release(&buf);
}

static void refused(struct bytes body)
{
    char text[ERR_TEXT_SIZE];
    uint32_t why;
    if (frame_refused_decode(body, &why, text) == ERR_OK)
        CHECK(memchr(text, '\0', sizeof(text)));
}

static void body_of(uint32_t kind, struct bytes body)
{
    if (kind == FRAME_HELLO)
        hello(body);
    else if (kind == FRAME_REFUSED)
        refused(body);
    else if (kind == FRAME_MESSAGES)
        messages(body);
}

/* How many frames came before the end or an error. */
static size_t stream(struct bytes from, size_t piece, bool use_room)
{
    struct frame_reader reader = {0};
    size_t count = 0;
    enum err_code code = ERR_OK;
    while (from.size && !code) {
        size_t size = piece < from.size ? piece : from.size, room_size = 0;
        uint8_t *room = use_room ? frame_room(&reader, &room_size) : NULL;
        if (room) {
            size = size < room_size ? size : room_size;
            memcpy(room, from.data, size);
        }
        struct bytes rest = bytes_of(room ? room : from.data, size);
        bool whole = true;
        while (whole && !code) {
            struct frame_header header;
            struct bytes body;
            code = frame_next(&reader, &rest, &whole, &header, &body, NULL);
            if (!code && whole) {
                body_of(header.kind, body);
                count++;
            }
        }
        from = bytes_skip(from, size);
    }
    frame_reader_release(&reader);
    return count;
}

/* The same bytes as the body of a frame with right sums. */
static void framed(struct bytes from, uint32_t kind)
{
    struct frame_header header = {.kind = kind, .cluster_id = 1, .from = 2, .to = 3};
    struct buf buf = {0};
    if (kind < FRAME_MESSAGES && from.size > 1000)
        return;
    frame_begin(&buf);
    buf_append(&buf, from);
    frame_end(&buf, 0, &header);
    CHECK(stream(buf_bytes(&buf), buf.size, false) == 1);
    CHECK(stream(buf_bytes(&buf), 7, true) == 1);
    buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes from = bytes_of(data + 1, size - 1);
    if (data[0] & 1) {
        framed(from, FRAME_HELLO);
        framed(from, FRAME_REFUSED);
        framed(from, FRAME_MESSAGES);
        message(from);
    } else {
        size_t whole = stream(from, from.size ? from.size : 1, false);
        CHECK(stream(from, 1u + data[0] / 2, false) == whole);
        CHECK(stream(from, 1u + data[0] / 2, true) == whole);
    }
    return 0;
}
