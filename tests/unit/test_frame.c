/* Frames: what is written is read, however the stream is cut; whatever bit was altered is seen. */
#include "tests/test.h"

#include "cluster/frame.h"
#include "proto/base/crc32c.h"
#include "proto/base/limits.h"
#include "proto/base/rand.h"

static const struct frame_header ids = {
    .kind = FRAME_OWN, .cluster_id = 0xc1, .from = 0xa1, .to = 0xb1};

static void append_frame(struct buf *to, uint32_t kind, struct bytes body)
{
    struct frame_header header = ids;
    header.kind = kind;
    size_t begin = frame_begin(to);
    buf_append(to, body);
    frame_end(to, begin, &header);
}

/* --- headers ---------------------------------------------------------------------------------- */

static void test_header(void **state)
{
    (void)state;
    struct frame_header header;
    struct buf buf = {0};
    append_frame(&buf, FRAME_OWN + 3, BYTES_LITERAL("body"));
    assert_int_equal(buf.size, FRAME_HEADER_SIZE + 4);
    assert_ok(frame_header_decode(buf.data, &header, NULL));
    assert_int_equal(header.size, 4);
    assert_int_equal(header.kind, FRAME_OWN + 3);
    assert_int_equal(header.cluster_id, 0xc1);
    assert_int_equal(header.from, 0xa1);
    assert_int_equal(header.to, 0xb1);
    assert_int_equal(header.sum, crc32c(0, BYTES_LITERAL("body")));
    buf_release(&buf);
}

/* A header with these numbers and a right sum. */
static enum err_code decode_made(uint32_t size, uint32_t kind, struct err *err)
{
    uint8_t at[FRAME_HEADER_SIZE] = {0};
    struct frame_header header;
    put_le32(at, size);
    put_le32(at + 4, kind);
    put_le32(at + 36, crc32c(0, bytes_of(at, 36)));
    return frame_header_decode(at, &header, err);
}

static void test_sizes_and_kinds(void **state)
{
    (void)state;
    struct err err;
    assert_ok(decode_made(FRAME_SIZE_MAX, FRAME_MESSAGES, &err));
    assert_err(decode_made(FRAME_SIZE_MAX + 1, FRAME_MESSAGES, &err), INVALID);
    assert_string_equal(err.text, "a frame of 4194305 bytes, more than 4194304");
    assert_err(decode_made(UINT32_MAX, FRAME_OWN, &err), INVALID);
    assert_ok(decode_made(FRAME_SIZE_FIRST_MAX, FRAME_HELLO, &err));
    assert_err(decode_made(FRAME_SIZE_FIRST_MAX + 1, FRAME_HELLO, &err), INVALID);
    assert_err(decode_made(FRAME_SIZE_FIRST_MAX + 1, FRAME_REFUSED, &err), INVALID);
    assert_err(decode_made(0, 0, &err), INVALID);
    assert_err(decode_made(0, FRAME_JOINED + 1, &err), INVALID);
    assert_string_equal(err.text, "a frame of the unknown kind 6");
    assert_err(decode_made(0, FRAME_OWN - 1, &err), INVALID);
    assert_ok(decode_made(0, FRAME_OWN, &err));
    assert_ok(decode_made(0, FRAME_KIND_MAX, &err));
    assert_err(decode_made(0, FRAME_KIND_MAX + 1, &err), INVALID);
}

/* --- the reader ------------------------------------------------------------------------------- */

struct sink {
    struct buf bodies;          /* one behind the other */
    size_t count, in_place;
};

/* Everything that these bytes complete. */
static enum err_code feed(struct frame_reader *reader, struct bytes from, struct sink *sink,
                          struct err *err)
{
    const uint8_t *begin = from.data, *end = from.data + from.size;
    for (;;) {
        struct frame_header header;
        struct bytes body;
        bool whole;
        enum err_code code = frame_next(reader, &from, &whole, &header, &body, err);
        if (code || !whole)
            return code;
        assert_int_equal(header.size, body.size);
        buf_append(&sink->bodies, body);
        sink->count++;
        sink->in_place += body.data >= begin && body.data <= end;
    }
}

static void make_stream(struct rand *rand, size_t frames, struct buf *stream, struct buf *bodies)
{
    for (size_t i = 0; i < frames; i++) {
        struct buf body = {0};
        for (uint64_t left = rand_below(rand, 200); left; left--)
            buf_append_u8(&body, (uint8_t)rand_u32(rand));
        append_frame(stream, FRAME_OWN, buf_bytes(&body));
        buf_append(bodies, buf_bytes(&body));
        buf_release(&body);
    }
}

/* However it is cut, and whether the rest of a frame is read into place or not. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    struct rand rand;
    rand_init(&rand, 5);
    for (int round = 0; round < 300; round++) {
        struct buf stream = {0}, bodies = {0};
        struct frame_reader reader = {0};
        struct sink sink = {0};
        size_t frames = 1 + rand_below(&rand, 8), piece_max = 1 + rand_below(&rand, 300);
        make_stream(&rand, frames, &stream, &bodies);
        for (struct bytes rest = buf_bytes(&stream); rest.size;) {
            size_t size = 1 + rand_below(&rand, piece_max), room_size = 0;
            size = size < rest.size ? size : rest.size;
            uint8_t *room = rand_chance(&rand, 1, 2) ? frame_room(&reader, &room_size) : NULL;
            if (room) {
                size = size < room_size ? size : room_size;
                memcpy(room, rest.data, size);
            }
            assert_ok(feed(&reader, bytes_of(room ? room : rest.data, size), &sink, NULL));
            rest = bytes_skip(rest, size);
        }
        assert_int_equal(sink.count, frames);
        assert_bytes_equal(buf_bytes(&sink.bodies), buf_bytes(&bodies));
        frame_reader_release(&reader);
        buf_release(&sink.bodies);
        buf_release(&stream);
        buf_release(&bodies);
    }
}

/* A frame that came in one read is not copied. */
static void test_in_place(void **state)
{
    (void)state;
    struct frame_reader reader = {0};
    struct sink sink = {0};
    struct buf stream = {0};
    append_frame(&stream, FRAME_OWN, BYTES_LITERAL("one"));
    append_frame(&stream, FRAME_OWN, BYTES_LITERAL("two"));
    assert_ok(feed(&reader, buf_bytes(&stream), &sink, NULL));
    assert_int_equal(sink.count, 2);
    assert_int_equal(sink.in_place, 2);
    assert_int_equal(reader.partial.capacity, 0);
    buf_release(&sink.bodies);
    buf_release(&stream);
}

/* A large frame has a buffer of its size, and its bytes may be read right into it. */
static void test_room(void **state)
{
    (void)state;
    struct frame_reader reader = {0};
    struct sink sink = {0};
    struct buf body = {0}, stream = {0};
    memset(buf_extend(&body, 100000), 'x', 100000);
    append_frame(&stream, FRAME_OWN, buf_bytes(&body));
    size_t size = 0;
    assert_null(frame_room(&reader, &size));
    assert_ok(feed(&reader, bytes_of(stream.data, 30), &sink, NULL));
    assert_null(frame_room(&reader, &size));    /* the header is not all there */
    assert_ok(feed(&reader, bytes_of(stream.data + 30, 20), &sink, NULL));
    uint8_t *room = frame_room(&reader, &size);
    assert_non_null(room);
    assert_int_equal(size, stream.size - 50);
    assert_int_equal(reader.partial.capacity, stream.size);
    memcpy(room, stream.data + 50, size);
    assert_ok(feed(&reader, bytes_of(room, size), &sink, NULL));
    assert_int_equal(sink.count, 1);
    assert_bytes_equal(buf_bytes(&sink.bodies), buf_bytes(&body));
    assert_null(frame_room(&reader, &size));
    frame_reader_release(&reader);
    buf_release(&sink.bodies);
    buf_release(&stream);
    buf_release(&body);
}

/* Any bit of a frame that flips is seen: the frame is not given out, and a size that was altered
 * does not make the reader wait. */
static void test_every_bit(void **state)
{
    (void)state;
    struct buf stream = {0};
    append_frame(&stream, FRAME_MESSAGES, BYTES_LITERAL("some body"));
    for (size_t bit = 0; bit < stream.size * 8; bit++) {
        struct frame_reader reader = {0};
        struct sink sink = {0};
        struct err err = {0};
        stream.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_err(feed(&reader, buf_bytes(&stream), &sink, &err), INVALID);
        assert_true(*err.text);
        assert_int_equal(sink.count, 0);
        frame_reader_release(&reader);
        for (size_t i = 0; i < stream.size; i++) {
            enum err_code code = feed(&reader, bytes_of(stream.data + i, 1), &sink, &err);
            if (code) {
                assert_int_equal(i + 1, bit / 8 < FRAME_HEADER_SIZE ? FRAME_HEADER_SIZE
                                                                    : stream.size);
                break;
            }
            assert_true(i + 1 < stream.size);
        }
        assert_int_equal(sink.count, 0);
        frame_reader_release(&reader);
        stream.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_release(&stream);
}

static enum err_code refuse_all(void *context, const struct frame_header *header, struct err *err)
{
    size_t *asked = context;
    assert_int_equal(header->size, 3 * MIB);
    ++*asked;
    return err_set(err, ERR_INVALID, "no");
}

/* The check stands before any memory for the body. */
static void test_check_comes_first(void **state)
{
    (void)state;
    size_t asked = 0;
    struct frame_reader reader = {.check = refuse_all, .context = &asked};
    struct sink sink = {0};
    struct err err;
    struct buf body = {0}, stream = {0};
    memset(buf_extend(&body, 3 * MIB), 0, 3 * MIB);
    append_frame(&stream, FRAME_OWN, buf_bytes(&body));
    assert_ok(feed(&reader, bytes_of(stream.data, 39), &sink, &err));
    assert_int_equal(asked, 0);
    assert_err(feed(&reader, bytes_of(stream.data + 39, 1), &sink, &err), INVALID);
    assert_string_equal(err.text, "no");
    assert_int_equal(asked, 1);
    assert_in_range(reader.partial.capacity, FRAME_HEADER_SIZE, 64);
    frame_reader_release(&reader);
    buf_release(&stream);
    buf_release(&body);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void test_messages(void **state)
{
    (void)state;
    struct raft_message message = {.type = RAFT_MSG_HEARTBEAT, .to = 1, .from = 2, .term = 3};
    struct raft_received received = {0};
    struct bytes inner;
    struct buf body = {0};
    size_t size = 0;
    for (raft_index i = 0; i < 10; i++) {
        message.commit = i * 100;
        size += frame_message_size(&message);
        frame_message_append(&body, &message);
        assert_int_equal(body.size, size);
    }
    buf_append(&body, BYTES_LITERAL("\x10\x05")); /* a field of a later version */
    struct cursor cursor = cursor_of(buf_bytes(&body));
    for (raft_index i = 0; i < 10; i++) {
        assert_true(frame_message_next(&cursor, &inner));
        assert_ok(raft_message_decode(inner, &received, NULL));
        assert_int_equal(received.message.commit, i * 100);
    }
    assert_false(frame_message_next(&cursor, &inner));
    assert_false(cursor.failed);
    cursor = cursor_of(BYTES_LITERAL("\x0a\x05x"));
    assert_false(frame_message_next(&cursor, &inner));
    assert_true(cursor.failed);
    cursor = cursor_of(BYTES_LITERAL("\x08\x05"));
    assert_false(frame_message_next(&cursor, &inner));
    assert_true(cursor.failed);
    raft_received_release(&received);
    buf_release(&body);
}

static void test_measure(void **state)
{
    (void)state;
    struct buf buf = {0};
    size_t size;
    append_frame(&buf, FRAME_MESSAGES, BYTES_LITERAL("abc"));
    append_frame(&buf, FRAME_OWN, BYTES_LITERAL("de"));
    assert_true(frame_measure(buf_bytes(&buf), &size));
    assert_int_equal(size, FRAME_HEADER_SIZE + 3);
    assert_false(frame_measure(bytes_skip(buf_bytes(&buf), size), &size));
    assert_int_equal(size, FRAME_HEADER_SIZE + 2);
    assert_false(frame_measure(bytes_of(buf.data, FRAME_HEADER_SIZE + 2), &size));
    assert_int_equal(size, 0);
    assert_false(frame_measure(bytes_of(buf.data, 5), &size));
    assert_int_equal(size, 0);
    buf_release(&buf);
}

static void test_hello(void **state)
{
    (void)state;
    const struct frame_hello hello = {FRAME_VERSION, 5, 0xc1, 0xa1, 0xb1, UINT64_MAX, 1,
                                      BYTES_LITERAL("h:1")};
    struct frame_hello again;
    struct frame_header header;
    struct buf buf = {0};
    frame_hello_encode(&hello, &buf);
    assert_true(buf.size <= FRAME_HEADER_SIZE + FRAME_SIZE_FIRST_MAX);
    assert_ok(frame_header_decode(buf.data, &header, NULL));
    assert_int_equal(header.kind, FRAME_HELLO);
    assert_int_equal(header.from, 0xa1);
    assert_ok(frame_hello_decode(bytes_skip(buf_bytes(&buf), FRAME_HEADER_SIZE), &again));
    assert_int_equal(again.version, hello.version);
    assert_int_equal(again.features, hello.features);
    assert_int_equal(again.cluster_id, hello.cluster_id);
    assert_int_equal(again.from, hello.from);
    assert_int_equal(again.to, hello.to);
    assert_int_equal(again.generation, hello.generation);
    assert_int_equal(again.channel, hello.channel);
    assert_bytes_equal(again.address, bytes_of_text("h:1"));
    assert_err(frame_hello_decode(BYTES_LITERAL("\x0a\x00"), &again), INVALID);
    assert_err(frame_hello_decode(BYTES_LITERAL("\x08"), &again), INVALID);
    assert_err(frame_hello_decode(BYTES_LITERAL("\x42\x03h 1"), &again), INVALID);
    assert_err(frame_hello_decode(BYTES_LITERAL("\x42\x03h\x00\x31"), &again), INVALID);
    /* later fields are passed over */
    buf_append(&buf, BYTES_LITERAL("\xa0\x06\x01"));
    assert_ok(frame_hello_decode(bytes_skip(buf_bytes(&buf), FRAME_HEADER_SIZE), &again));
    buf_release(&buf);
}

static void test_refused(void **state)
{
    (void)state;
    struct buf buf = {0};
    char text[ERR_TEXT_SIZE];
    uint32_t why;
    frame_refused_encode(&ids, 7, "this is member 1", &buf);
    assert_ok(frame_refused_decode(bytes_skip(buf_bytes(&buf), FRAME_HEADER_SIZE), &why, text));
    assert_int_equal(why, 7);
    assert_string_equal(text, "this is member 1");
    /* somebody else's sentence goes to a terminal and a log: nothing but printable characters */
    assert_ok(frame_refused_decode(BYTES_LITERAL("\x12\x05"
                                                 "a\x1b[\n\0"), &why, text));
    assert_string_equal(text, "a?[??");
    assert_err(frame_refused_decode(BYTES_LITERAL("\x12\x05"), &why, text), INVALID);
    buf_clear(&buf);
    buf_append(&buf, BYTES_LITERAL("\x12\xe8\x07"));
    memset(buf_extend(&buf, 1000), 'x', 1000);
    assert_ok(frame_refused_decode(buf_bytes(&buf), &why, text));
    assert_int_equal(strlen(text), ERR_TEXT_SIZE - 1);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_sizes_and_kinds),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_check_comes_first),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
